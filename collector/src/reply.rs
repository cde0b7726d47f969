//! The one place that answers a NAS. An Accounting-Response needs a proof that its record is on disk.
//!
//! The response authenticator is MD5 over code, identifier, length, request authenticator, attributes and secret
//! (RFC 2866 3); Proxy-State attributes are echoed in their order (RFC 2865 5.33).

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

use fast_md5::Md5;
use schema::Lsn;

use crate::journal::DurableLsn;
use crate::packet::{ACCOUNTING_RESPONSE, HEADER};
use crate::socket::{Outgoing, send_all};
use crate::verify::AccountingRequest;

/// Where a request came from, and so where its reply goes.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// Index of the listening socket.
    pub socket: u16,
    /// Who sent the request.
    pub peer: SocketAddr,
    /// Our address that it was sent to.
    pub local: Option<IpAddr>,
}

/// A reply ready to go.
#[derive(Clone, Debug)]
pub struct Reply {
    route: Route,
    header: [u8; HEADER],
    /// Header and attributes, where there are attributes to echo.
    whole: Option<Box<[u8]>>,
}

impl Reply {
    /// The Accounting-Response to `request`; also the answer to a Status-Server on an accounting port (RFC 5997 4.1).
    #[must_use]
    pub fn new(request: &AccountingRequest<'_>, route: Route) -> Self {
        let proxy_states = request.proxy_states().unwrap_or_default();
        let length = u16::try_from(HEADER + proxy_states.len()).unwrap_or(u16::MAX).to_be_bytes();
        let start = [ACCOUNTING_RESPONSE, request.packet.identifier(), length[0], length[1]];
        let mut md5 = Md5::new();
        md5.update(&start);
        md5.update(&request.packet.authenticator());
        md5.update(&proxy_states);
        md5.update(request.client.secret.octets());
        let authenticator = md5.finalize();
        let mut header = [0; HEADER];
        for (to, from) in header.iter_mut().zip(start.iter().chain(&authenticator)) {
            *to = *from;
        }
        let whole = (!proxy_states.is_empty()).then(|| header.iter().chain(&proxy_states).copied().collect());
        Self { route, header, whole }
    }

    /// Its octets.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.whole.as_deref().unwrap_or(&self.header)
    }

    fn outgoing(&self) -> Outgoing<'_> {
        Outgoing { bytes: self.bytes(), peer: self.route.peer, local: self.route.local }
    }
}

/// Why a reply may go.
#[derive(Clone, Copy, Debug)]
pub enum Proof {
    /// Everything up to here is on disk.
    Durable(DurableLsn),
    /// It is a Status-Server's, and packets can be acknowledged.
    Healthy,
}

/// The listening sockets, for sending.
#[derive(Clone, Debug)]
pub struct Replies(Arc<[Arc<UdpSocket>]>);

impl Replies {
    /// Sends from `sockets`, in the order that [`Route::socket`] counts.
    #[must_use]
    pub fn new(sockets: &[Arc<UdpSocket>]) -> Self {
        Self(sockets.into())
    }

    /// Sends the replies whose records `proof` covers. Gives how many the kernel refused to send.
    pub fn send<'r>(&self, proof: Proof, replies: impl Iterator<Item = (Lsn, &'r Reply)> + Clone) -> usize {
        let covered = |lsn: Lsn| match proof {
            Proof::Durable(durable) => lsn <= durable.lsn(),
            Proof::Healthy => lsn == Lsn::ZERO,
        };
        let mut refused = 0;
        for (index, socket) in (0u16..).zip(self.0.iter()) {
            let through = replies.clone().filter(|(lsn, reply)| reply.route.socket == index && covered(*lsn));
            let outgoing: Vec<_> = through.map(|(_, reply)| reply.outgoing()).collect();
            refused += send_all(socket, &outgoing);
        }
        refused
    }
}
