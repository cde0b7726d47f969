//! The limit: what the same sockets, threads and codec could answer if nothing had to be kept. A request is received,
//! verified, decoded and answered, with journal, session state and export left out.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::spawn;

use collector::client::{ClientTable, Clients};
use collector::ledger::Ledger;
use collector::record::AccountingRecord;
use collector::reply::{Reply, Route};
use collector::socket::{Outgoing, Receiver, bind, send_all};
use collector::verify::{Datagram, VerifiedRequest, verify};
use schema::{Lsn, UnixMicros};

use super::packets::SECRET;

/// Batches of replies that may wait to be sent, as a group waits for the disk.
const QUEUE: usize = 64;
/// As the collector's default.
const RECEIVE_BUFFER: usize = 16 << 20;

/// Answers on the address that it gives, until the process ends.
///
/// # Errors
/// The socket cannot be had.
pub fn start() -> anyhow::Result<SocketAddr> {
    let client = toml::from_str(&format!("name = \"bench\"\nsource = \"127.0.0.1\"\nsecret = \"{SECRET}\""))?;
    let clients = Clients::new(ClientTable::new(&[client], &Ledger::default())?);
    let socket = Arc::new(bind("127.0.0.1:0".parse()?, RECEIVE_BUFFER)?);
    let address = socket.local_addr()?;
    let (to_sender, replies) = sync_channel::<Vec<(Reply, Route)>>(QUEUE);
    let sending = Arc::clone(&socket);
    spawn(move || {
        for batch in replies {
            send(&sending, &batch);
        }
    });
    spawn(move || {
        let mut receiver = Receiver::default();
        loop {
            if !receiver.receive(&socket).is_ok_and(|count| count > 0) {
                continue;
            }
            let arrived_at = UnixMicros::now();
            let batch = receiver.datagrams().filter_map(|received| {
                let route = Route { socket: 0, peer: received.peer, local: received.local };
                let datagram =
                    Datagram { bytes: received.bytes, peer: received.peer, arrived_at, cut: received.cut };
                Some((answer(&clients, &datagram, route)?, route))
            });
            if to_sender.send(batch.collect()).is_err() {
                return;
            }
        }
    });
    Ok(address)
}

fn answer(clients: &Clients, datagram: &Datagram<'_>, route: Route) -> Option<Reply> {
    let clients = clients.load();
    let client = clients.of(datagram.peer.ip())?;
    let VerifiedRequest::Accounting(request) = verify(datagram, client).ok()? else { return None };
    let entry = collector::journal::Entry {
        arrived_at: datagram.arrived_at,
        peer: route.peer,
        client: client.name.as_str(),
        local: route.socket,
        packet: request.packet.bytes(),
    };
    std::hint::black_box(AccountingRecord::decode(Lsn(1), &entry));
    Some(Reply::new(&request, route))
}

fn send(socket: &UdpSocket, batch: &[(Reply, Route)]) {
    let datagrams: Vec<Outgoing<'_>> = batch
        .iter()
        .map(|(reply, route)| Outgoing { bytes: reply.bytes(), peer: route.peer, local: route.local })
        .collect();
    send_all(socket, &datagrams);
}
