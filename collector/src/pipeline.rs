//! The life of a packet, from the socket to its acknowledgement. Read it top-down:
//!
//! ```text
//! listener ──► Pipeline::accept                                         one thread per socket
//!                client?      client.rs      by source address, longest prefix
//!                verify       verify.rs      lengths, authenticators: Datagram → VerifiedRequest
//!                seen?        retransmit.rs  in flight → wait; answered → the same reply
//!                journal      journal.rs     appended, without its secrets
//!              ── group commit: one fdatasync for all that arrived while the last one ran ──
//!              Acknowledger::durable                                    the journal's thread
//!                reply        reply.rs       only now, with the durable LSN as proof
//!                state        sessions.rs    live sessions, in journal order, on a thread of its own
//!              exporter       exporter.rs    follows the journal, to ClickHouse, at its own pace
//! ```
//!
//! Whatever happens to a packet is counted once, in `ledger.rs`. Nothing here waits for ClickHouse or a database.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use schema::health::HealthBoard;
use schema::{Lsn, UnixMicros};

use crate::client::{Client, Clients};
use crate::journal::{AppendError, Batch, Entry, Group, Journal};
use crate::ledger::{Dropped, Ledger, Outcome, Tally};
use crate::lines::Lines;
use crate::listener::Log;
use crate::metrics;
use crate::reply::{Proof, Replies, Reply, Route};
use crate::retransmit::{PacketName, Seen, Window};
use crate::verify::{AccountingRequest, Datagram, Rejected, VerifiedRequest, nas_of, verify};

/// What must happen once a record is durable.
#[derive(Debug)]
pub struct Ticket {
    reply: Reply,
    line: Arc<Tally>,
}

/// The steps before the disk, for one listening socket.
pub struct Pipeline {
    pub(crate) clients: Clients,
    pub(crate) window: Window,
    pub(crate) journal: Journal<Ticket>,
    pub(crate) replies: Replies,
    pub(crate) ledger: Ledger,
    pub(crate) lines: Lines,
    pub(crate) health: HealthBoard,
    pub(crate) log: Log,
    /// Replies that need no new record: to retransmissions and Status-Servers.
    pub(crate) outbox: Vec<(Proof, Reply)>,
    /// For packets that must be stored without their secrets.
    pub(crate) scratch: Vec<u8>,
}

impl Pipeline {
    /// Takes one datagram as far as the journal.
    pub fn accept(&mut self, datagram: &Datagram<'_>, route: Route) {
        let source = datagram.peer.ip();
        let clients = self.clients.load();
        let Some(client) = clients.of(source) else {
            self.ledger.unknown_source(source, datagram.arrived_at.seconds());
            self.log.unknown_client(datagram.peer, datagram.arrived_at);
            return;
        };
        match verify(datagram, client) {
            Ok(VerifiedRequest::Accounting(request)) => self.record(&request, datagram.arrived_at, route),
            Ok(VerifiedRequest::StatusServer(request)) => client.tally.count(self.status(&request, route)),
            Err(rejected) => self.reject(client, datagram, &rejected),
        }
    }

    /// Sends what the batch's packets are owed without a new record.
    pub fn flush(&mut self) {
        for (proof, reply) in self.outbox.drain(..) {
            self.replies.send(proof, [(Lsn::ZERO, &reply)].into_iter());
        }
    }

    fn record(&mut self, request: &AccountingRequest<'_>, arrived_at: UnixMicros, route: Route) {
        let line = self.lines.of(&request.client.name, &request.nas(route.peer.ip()));
        let outcome = self.append(request, arrived_at, route, &line);
        line.count(outcome);
    }

    fn append(
        &mut self,
        request: &AccountingRequest<'_>,
        arrived_at: UnixMicros,
        route: Route,
        line: &Arc<Tally>,
    ) -> Outcome {
        let name = PacketName { peer: route.peer, identifier: request.packet.identifier() };
        let authenticator = request.packet.authenticator();
        if let Seen::Before(lsn) = self.window.check(name, authenticator) {
            let durable = self.journal.durable_proof();
            if lsn <= durable.lsn() {
                self.outbox.push((Proof::Durable(durable), Reply::new(request, route)));
            }
            return Outcome::Duplicate;
        }
        let packet = request.without_secrets(&mut self.scratch);
        let client = &request.client;
        let entry =
            Entry { arrived_at, peer: route.peer, client: client.name.as_str(), local: route.socket, packet };
        let ticket = Ticket { reply: Reply::new(request, route), line: Arc::clone(line) };
        match self.journal.append(&entry, ticket) {
            Ok(lsn) => {
                self.window.remember(name, authenticator, lsn, arrived_at);
                Outcome::Recorded
            }
            Err(AppendError::Full) => self.drop(client, Dropped::Overload, arrived_at),
            Err(AppendError::Stopped(_)) => self.drop(client, Dropped::JournalStopped, arrived_at),
        }
    }

    fn status(&mut self, request: &AccountingRequest<'_>, route: Route) -> Outcome {
        if self.health.acknowledging() {
            self.outbox.push((Proof::Healthy, Reply::new(request, route)));
        }
        Outcome::StatusServer
    }

    /// What is refused counts in its client's own line, but where its sender did prove to know the secret.
    fn reject(&mut self, client: &Client, datagram: &Datagram<'_>, rejected: &Rejected) {
        if matches!(rejected, Rejected::WrongAuthenticator | Rejected::WrongMessageAuthenticator) {
            self.ledger.wrong_secret(datagram.peer.ip(), datagram.arrived_at.seconds());
        }
        self.log.rejected(client, datagram.peer, rejected, datagram.arrived_at);
        let line = match nas_of(datagram) {
            Some(nas) if *rejected == Rejected::NoStatusType => self.lines.of(&client.name, &nas),
            _ => Arc::clone(&client.tally),
        };
        line.count(Outcome::Rejected(rejected.reason()));
    }

    fn drop(&mut self, client: &Client, dropped: Dropped, now: UnixMicros) -> Outcome {
        self.log.dropped(client, dropped, now);
        Outcome::Dropped(dropped)
    }
}

/// The steps after the disk, on the journal's thread.
pub struct Acknowledger {
    pub(crate) replies: Replies,
    /// Durable batches for the session state, in journal order. Bounded; full: the batch is left out, and the state reads it
    /// from the journal.
    pub(crate) state: SyncSender<Arc<Batch>>,
}

impl Acknowledger {
    /// Answers a group's packets and hands its records to the session state.
    pub fn durable(&mut self, group: Group<Ticket>) {
        let tickets = &group.tickets;
        self.replies
            .send(Proof::Durable(group.last), tickets.iter().map(|(lsn, ticket)| (*lsn, &ticket.reply)));
        tickets.iter().for_each(|(_, ticket)| ticket.line.acknowledged());
        if let Some((_, oldest)) = group.entries.iter().next() {
            metrics::acknowledged(oldest.arrived_at, UnixMicros::now());
        }
        _ = self.state.try_send(group.entries);
    }
}
