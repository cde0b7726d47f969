//! The collector as a whole: opens the journal, rebuilds what was in memory, starts the threads, and ends them in order.
//!
//! Start: sockets are bound, the journal recovered, the newest checkpoint loaded and the records after it applied; then
//! packets are taken. End: the sockets are read no more, the journal writes its last group and answers it, the state
//! applies it and writes a checkpoint, the exporter carries what it can within a few seconds.
//!
//! The ticker keeps ledger, gaps, metrics and health up to date. It touches the file `alive`, so that the next start knows
//! for how long nobody listened.

use std::fs;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use schema::health::{EXPORTER, HealthBoard, JOURNAL, LISTENER};
use schema::{CollectorId, Lsn, UnixMicros, UnixTime};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use usage::period::Calendar;

use crate::checkpoint::Checkpoints;
use crate::client::Clients;
use crate::config::{AccountingConfig, ExporterConfig, JournalSettings};
use crate::exporter::Exporter;
use crate::journal::{Batch, Hole, Journal, JournalConfig, JournalError, JournalStatus, Writer};
use crate::ledger::{Gaps, Ledger};
use crate::lines::Lines;
use crate::listener::{Listener, Log};
use crate::metrics::{self, Watch};
use crate::nas::NasSettings;
use crate::online::Online;
use crate::packet::Packet;
use crate::pipeline::{Acknowledger, Pipeline, Ticket};
use crate::reply::Replies;
use crate::retransmit::{PacketName, Window};
use crate::sessions::Sessions;
use crate::socket;
use crate::storage::Disk;

/// Time between two checkpoints of the session state, and so many times as long as the last one took to write.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(60);
const CHECKPOINT_SHARE: u32 = 20;
/// How much session state and exporter give way to the threads that NASes wait for.
const STATE_NICE: i32 = 3;
const EXPORTER_NICE: i32 = 10;
/// Durable batches that may wait for the session state; further ones it reads from the journal.
const STATE_QUEUE: usize = 64;
/// Time before the next attempt where the journal cannot be read; batches find no room meanwhile, which does no harm.
const CATCH_UP_AGAIN: Duration = Duration::from_secs(1);
/// Least time between two writings of the gaps.
const GAPS_EVERY: Duration = Duration::from_secs(2);
/// A collector that was away for less seconds has missed nothing: NASes send again for longer.
const AWAY: i64 = 10;

/// What a collector is made of.
pub struct CollectorParts {
    /// `[accounting]`.
    pub accounting: AccountingConfig,
    /// `[journal]`.
    pub journal: JournalSettings,
    /// `[exporter]`.
    pub exporter: ExporterConfig,
    /// Who may send.
    pub clients: Clients,
    /// What is configured about NASes.
    pub nases: NasSettings,
    /// The ledger that `clients` count into.
    pub ledger: Ledger,
    /// Folder of the journal and the checkpoints.
    pub data_dir: PathBuf,
    /// The provider's calendar.
    pub calendar: Calendar,
    /// Where records go.
    pub clickhouse: clickhouse::Client,
    /// Where the parts say how they do.
    pub health: HealthBoard,
}

/// Why a collector cannot start or had to end.
#[derive(Debug, thiserror::Error)]
pub enum CollectorError {
    /// An address cannot be listened on.
    #[error("cannot listen on udp/{address}: {error}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// No address is configured.
    #[error("accounting.listen is empty: there is nothing to listen on")]
    NoAddress,
    /// The journal cannot be opened or read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A file or thread cannot be made.
    #[error("{what}: {error}")]
    System {
        /// What was tried.
        what: String,
        /// What the system says.
        error: io::Error,
    },
    /// A thread ended though nobody asked it to.
    #[error("the {0} thread ended unexpectedly")]
    Thread(&'static str),
}

/// A collector that is ready to run.
pub struct Collector {
    parts: CollectorParts,
    id: CollectorId,
    sockets: Vec<Arc<UdpSocket>>,
    journal: Journal<Ticket>,
    writer: Writer<Ticket>,
    online: Online,
    checkpoints: Arc<Checkpoints>,
    cursor_file: Checkpoints,
    gaps_file: Checkpoints,
    cursor: Lsn,
}

impl Collector {
    /// Binds the sockets, recovers the journal and rebuilds the session state.
    ///
    /// # Errors
    /// [`CollectorError`] names the address, file or thread.
    pub fn new(parts: CollectorParts) -> Result<Self, CollectorError> {
        parts.health.down(JOURNAL, "it is being recovered");
        parts.health.down(LISTENER, "it is starting");
        parts.health.degraded(EXPORTER, "it is starting");
        let id = collector_id(&parts.data_dir, &parts.accounting.collector)?;
        let sockets = bind_all(&parts.accounting)?;
        let storage = Arc::new(Disk);
        let folder = parts.data_dir.join("checkpoints");
        let checkpoints = Arc::new(Checkpoints::new(folder.clone(), "sessions", storage.clone())?);
        let cursor_file = Checkpoints::new(folder.clone(), "exporter", storage.clone())?;
        let gaps_file = Checkpoints::new(folder, "gaps", storage.clone())?;
        let cursor = cursor_file.load()?.map_or(Lsn::ZERO, |(lsn, _)| lsn);
        let (state, checkpointed) = load_state(&checkpoints, &parts.nases)?;
        let config = JournalConfig {
            dir: parts.data_dir.join("journal"),
            segment_bytes: parts.journal.segment_mib.max(8) << 20,
            retention: Duration::from_secs(u64::from(parts.journal.retention_days) * 86_400),
            known: cursor.max(checkpointed),
            ..JournalConfig::default()
        };
        let (journal, writer, recovery) = Journal::open(config, storage)?;
        info!(%recovery, "the journal is open");
        parts.ledger.opened(journal.durable());
        load_gaps(&gaps_file, parts.ledger.gaps(), &parts.data_dir)?;
        for hole in journal.holes().into_iter().filter(|hole| hole.last > cursor) {
            let lost = Hole { first: hole.first.max(cursor.next()), ..hole };
            parts.ledger.gaps().hole(lost.first, lost.records(), journal.time_of(lost));
        }
        let online = Online::new(id.clone(), state);
        replay(&journal, &online)?;
        Ok(Self { parts, id, sockets, journal, writer, online, checkpoints, cursor_file, gaps_file, cursor })
    }

    /// The addresses that packets are taken on.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.iter().filter_map(|socket| socket.local_addr().ok()).collect()
    }

    /// The live state.
    #[must_use]
    pub fn online(&self) -> Online {
        self.online.clone()
    }

    /// This collector's identity.
    #[must_use]
    pub fn id(&self) -> &CollectorId {
        &self.id
    }

    /// Takes packets until `shutdown`, then ends in order.
    ///
    /// # Errors
    /// A thread could not be started, or ended by itself.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), CollectorError> {
        let health = self.parts.health.clone();
        let exporting = CancellationToken::new();
        let exporter = self.start_exporter(exporting.clone())?;
        let ticker = Ticker {
            ledger: self.parts.ledger.clone(),
            journal: self.journal.clone(),
            health: health.clone(),
            metrics: metrics::Publisher::default(),
            watch: Watch::new(self.online.clone()),
            gaps_file: self.gaps_file.clone(),
            alive: self.parts.data_dir.join(ALIVE),
        };
        let ticker = tokio::spawn(ticker.run(exporting.clone()));
        let totals = tokio::spawn({
            let (online, shutdown) = (self.online.clone(), exporting.clone());
            async move { online.tick(shutdown).await }
        });
        let replies = Replies::new(&self.sockets);
        let (state, batches) = sync_channel(STATE_QUEUE);
        let listeners = self.start_listeners(&replies, &shutdown)?;
        health.up(LISTENER);

        let mut acknowledger = Acknowledger { replies, state };
        let writer = self.writer;
        let writing = spawn("journal", move || writer.run(move |group| acknowledger.durable(group)))?;
        let journal = self.journal.clone();
        let keeper = StateKeeper { online: self.online, checkpoints: self.checkpoints, journal };
        let keeping = spawn("sessions", move || {
            // Whoever may not give way runs as before.
            _ = rustix::process::nice(STATE_NICE);
            keeper.run(&batches);
        })?;

        let early = watch_threads(&listeners, &writing, &keeping, &shutdown).await;
        health.down(LISTENER, "the service is stopping");
        let journal = self.journal;
        let ended = tokio::task::spawn_blocking(move || {
            let listened = listeners
                .into_iter()
                .map(|listener| join("listener", listener))
                .collect::<Result<Vec<()>, _>>();
            journal.stop();
            join("journal", writing).and(join("sessions", keeping)).and(listened.map(drop))
        });
        let ended = ended.await.unwrap_or(Err(CollectorError::Thread("shutdown")));
        exporting.cancel();
        tokio::task::spawn_blocking(move || join("exporter", exporter))
            .await
            .unwrap_or(Err(CollectorError::Thread("exporter")))?;
        for (name, task) in [("ticker", ticker), ("totals", totals)] {
            task.await.map_err(|_| CollectorError::Thread(name))?;
        }
        early.and(ended)
    }

    /// On a thread of its own, because priorities belong to threads.
    fn start_exporter(&self, shutdown: CancellationToken) -> Result<JoinHandle<()>, CollectorError> {
        let system = |error| CollectorError::System { what: "starting the exporter".into(), error };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(system)?;
        let exporter = self.exporter();
        spawn("exporter", move || {
            // Whoever may not give way runs as before.
            _ = rustix::process::nice(EXPORTER_NICE);
            runtime.block_on(exporter.run(shutdown));
        })
    }

    fn exporter(&self) -> Exporter {
        Exporter {
            config: self.parts.exporter.clone(),
            collector: self.id.clone(),
            calendar: self.parts.calendar,
            settings: self.parts.nases.clone(),
            clickhouse: self.parts.clickhouse.clone(),
            journal: self.journal.clone(),
            cursor_file: self.cursor_file.clone(),
            state_checkpoints: Arc::clone(&self.checkpoints),
            ledger: self.parts.ledger.clone(),
            health: self.parts.health.clone(),
            cursor: self.cursor,
        }
    }

    fn start_listeners(
        &self,
        replies: &Replies,
        shutdown: &CancellationToken,
    ) -> Result<Vec<JoinHandle<()>>, CollectorError> {
        let mut listeners = Vec::new();
        for (index, socket) in (0u16..).zip(&self.sockets) {
            let listener = Listener {
                index,
                socket: Arc::clone(socket),
                pipeline: Pipeline {
                    clients: self.parts.clients.clone(),
                    window: rebuild_window(&self.journal, self.parts.accounting.retransmit_window)?,
                    journal: self.journal.clone(),
                    replies: replies.clone(),
                    ledger: self.parts.ledger.clone(),
                    lines: Lines::new(self.parts.ledger.clone(), self.parts.nases.clone()),
                    health: self.parts.health.clone(),
                    log: Log::default(),
                    outbox: Vec::new(),
                    scratch: Vec::new(),
                },
                ledger: self.parts.ledger.clone(),
                health: self.parts.health.clone(),
            };
            let shutdown = shutdown.clone();
            listeners.push(spawn("listener", move || listener.run(&shutdown))?);
        }
        Ok(listeners)
    }
}

/// Owns the thread that changes the session state.
struct StateKeeper {
    online: Online,
    checkpoints: Arc<Checkpoints>,
    journal: Journal<Ticket>,
}

impl StateKeeper {
    fn run(&self, batches: &Receiver<Arc<Batch>>) {
        let mut written = (Instant::now(), self.online.applied());
        let mut wait = CHECKPOINT_EVERY;
        loop {
            match batches.recv_timeout(Duration::from_secs(1)) {
                Ok(batch) if batch.header().first <= self.online.applied().next() => {
                    self.online.apply(&batch)
                }
                Ok(_) => self.catch_up(),
                Err(RecvTimeoutError::Timeout) if self.online.applied() < self.journal.durable() => {
                    self.catch_up()
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if written.0.elapsed() >= wait && written.1 < self.online.applied() {
                let started = Instant::now();
                self.write();
                wait = CHECKPOINT_EVERY.max(started.elapsed() * CHECKPOINT_SHARE);
                written = (Instant::now(), self.online.applied());
            }
        }
        self.catch_up();
        self.write();
    }

    /// Applies what the journal holds and the state lacks: batches that found no room, also because a checkpoint was
    /// being written.
    fn catch_up(&self) {
        if let Err(error) = apply_rest(&self.journal, &self.online) {
            error!(%error, retry_in = ?CATCH_UP_AGAIN, "the session state lacks records that the journal holds");
            std::thread::sleep(CATCH_UP_AGAIN);
        }
    }

    fn write(&self) {
        let image = match self.online.checkpoint() {
            Ok(image) => image,
            Err(error) => {
                return error!(%error, "the session state cannot be encoded; the journal still holds it");
            }
        };
        if let Err(error) = self.checkpoints.write(image.0, &image.1) {
            warn!(%error, "no checkpoint could be written; the next start replays more of the journal");
        }
    }
}

async fn watch_threads(
    listeners: &[JoinHandle<()>],
    writing: &JoinHandle<()>,
    keeping: &JoinHandle<()>,
    shutdown: &CancellationToken,
) -> Result<(), CollectorError> {
    while shutdown.run_until_cancelled(tokio::time::sleep(Duration::from_millis(200))).await.is_some() {
        let ended = [("journal", writing.is_finished()), ("sessions", keeping.is_finished())];
        let listener = ("listener", listeners.iter().any(JoinHandle::is_finished));
        if let Some((name, _)) = ended.into_iter().chain([listener]).find(|(_, ended)| *ended)
            && !shutdown.is_cancelled()
        {
            shutdown.cancel();
            return Err(CollectorError::Thread(name));
        }
    }
    Ok(())
}

/// The file that says when the collector was last running.
const ALIVE: &str = "alive";

/// Keeps ledger, gaps, metrics and health up to date.
struct Ticker {
    ledger: Ledger,
    journal: Journal<Ticket>,
    health: HealthBoard,
    metrics: metrics::Publisher,
    watch: Watch,
    gaps_file: Checkpoints,
    alive: PathBuf,
}

impl Ticker {
    async fn run(mut self, shutdown: CancellationToken) {
        metrics::describe();
        let mut every = tokio::time::interval(Duration::from_millis(500));
        let mut written = (Instant::now(), 0);
        loop {
            let ending = shutdown.run_until_cancelled(every.tick()).await.is_none();
            self.look();
            let version = self.ledger.gaps().version();
            if version != written.1 && (ending || written.0.elapsed() >= GAPS_EVERY) {
                let (file, ledger) = (self.gaps_file.clone(), self.ledger.clone());
                let done = tokio::task::spawn_blocking(move || write_gaps(&file, ledger.gaps(), version));
                written = (Instant::now(), if done.await.unwrap_or(false) { version } else { written.1 });
            }
            if ending {
                return;
            }
        }
    }

    fn look(&mut self) {
        match self.journal.status() {
            JournalStatus::Running => self.health.up(JOURNAL),
            JournalStatus::Stopped { reason, .. } => self.health.down(JOURNAL, &*reason),
        }
        self.ledger.durable(self.journal.durable());
        self.ledger.lost(self.journal.holes());
        let report = self.ledger.report();
        self.ledger.gaps().look(&report, UnixTime::now());
        self.metrics.publish(&report);
        self.watch.look(&self.journal, &report);
        // Where it cannot be touched, the next start takes the time for one in which nobody listened: the careful error.
        _ = fs::File::create(&self.alive).and_then(|file| file.set_modified(SystemTime::now()));
    }
}

/// Writes the gaps beside the journal; says whether that worked.
fn write_gaps(file: &Checkpoints, gaps: &Gaps, version: u64) -> bool {
    let written = match gaps.image() {
        Ok(image) => file.write(Lsn(version), &image).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    written
        .inspect_err(|error| warn!(%error, "the known gaps could not be written; they are tried again"))
        .is_ok()
}

/// Takes over the gaps that earlier runs knew, and adds the time since the last one ended.
fn load_gaps(file: &Checkpoints, gaps: &Gaps, data_dir: &Path) -> Result<(), CollectorError> {
    if let Some((_, image)) = file.load()?
        && let Err(error) = gaps.load(&image)
    {
        warn!(%error, "the known gaps cannot be read; those that ClickHouse holds are still shown beside usage");
    }
    let alive = fs::metadata(data_dir.join(ALIVE)).and_then(|alive| alive.modified());
    let since_epoch = alive.ok().and_then(|alive| alive.duration_since(SystemTime::UNIX_EPOCH).ok());
    let ended = since_epoch.and_then(|time| i64::try_from(time.as_secs()).ok()).map(UnixTime);
    if let Some(ended) = ended.filter(|ended| UnixTime::now().since(*ended) >= AWAY) {
        gaps.not_running(ended, UnixTime::now());
    }
    Ok(())
}

fn bind_all(config: &AccountingConfig) -> Result<Vec<Arc<UdpSocket>>, CollectorError> {
    if config.listen.is_empty() {
        return Err(CollectorError::NoAddress);
    }
    let bind = |address: &SocketAddr| match socket::bind(*address, config.receive_buffer) {
        Ok(socket) => Ok(Arc::new(socket)),
        Err(error) => Err(CollectorError::Bind { address: *address, error }),
    };
    config.listen.iter().map(bind).collect()
}

/// The collector's identity: its name and a random part made once per data folder. Record numbers start at 1 in each
/// folder, so a name alone would be reused.
fn collector_id(data_dir: &Path, name: &str) -> Result<CollectorId, CollectorError> {
    let path = data_dir.join("collector.id");
    let system = |error| CollectorError::System { what: path.display().to_string(), error };
    match fs::read_to_string(&path) {
        Ok(id) if !id.trim().is_empty() => return Ok(CollectorId::from(id.trim())),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(system(error)),
        _ => {}
    }
    fs::create_dir_all(data_dir).map_err(system)?;
    let host =
        || nix::sys::utsname::uname().ok().and_then(|system| system.nodename().to_str().map(str::to_owned));
    let name = Some(name.to_owned()).filter(|name| !name.is_empty()).or_else(host);
    let mut random = [0; 4];
    getrandom::fill(&mut random).map_err(|error| system(error.into()))?;
    let id = format!("{}-{:08x}", name.as_deref().unwrap_or("collector"), u32::from_be_bytes(random));
    fs::write(&path, format!("{id}\n")).map_err(system)?;
    fs::File::open(&path).and_then(|file| file.sync_all()).map_err(system)?;
    fs::File::open(data_dir).and_then(|dir| dir.sync_all()).map_err(system)?;
    Ok(CollectorId::from(id))
}

/// The state of the newest checkpoint, and how far that had come: also where it cannot be read, so that no record's number
/// is used again.
fn load_state(checkpoints: &Checkpoints, settings: &NasSettings) -> Result<(Sessions, Lsn), CollectorError> {
    let Some((lsn, image)) = checkpoints.load()? else {
        return Ok((Sessions::new(settings.clone()), Lsn::ZERO));
    };
    let state = Sessions::load(lsn, &image, settings.clone()).unwrap_or_else(|error| {
        warn!(%error, "the checkpoint cannot be used; the state is rebuilt from what the journal holds");
        Sessions::new(settings.clone())
    });
    Ok((state, lsn))
}

/// Applies the records after the checkpoint.
fn replay(journal: &Journal<Ticket>, online: &Online) -> Result<(), CollectorError> {
    let (started, from) = (Instant::now(), online.applied());
    apply_rest(journal, online)?;
    info!(from = %from, to = %online.applied(), took = ?started.elapsed(), "the session state is rebuilt");
    Ok(())
}

/// Applies what the journal holds after the last record that was applied.
fn apply_rest(journal: &Journal<Ticket>, online: &Online) -> Result<(), JournalError> {
    let mut reader = journal.reader(online.applied().next());
    while let Some(batch) = reader.next_batch()? {
        online.apply(&batch);
        online.skip_to(batch.last());
    }
    Ok(())
}

/// The packets of the last moments before the start, from the journal's tail: a NAS that missed an answer because we were
/// restarted gets it now, and no second record.
fn rebuild_window(journal: &Journal<Ticket>, seconds: u32) -> Result<Window, CollectorError> {
    /// More packets than this are not looked at.
    const TAIL: u64 = 200_000;
    let mut window = Window::new(seconds);
    let since = UnixMicros(UnixMicros::now().0 - i64::from(seconds) * 1_000_000);
    let from = Lsn(journal.durable().0.saturating_sub(TAIL)).next().max(journal.oldest());
    let mut reader = journal.reader(from);
    while let Some(batch) = reader.next_batch()? {
        for (lsn, entry) in batch.iter().filter(|(_, entry)| entry.arrived_at >= since) {
            if let Ok(packet) = Packet::parse(entry.packet) {
                let name = PacketName { peer: entry.peer, identifier: packet.identifier() };
                window.remember(name, packet.authenticator(), lsn, entry.arrived_at);
            }
        }
    }
    Ok(window)
}

fn spawn(name: &'static str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, CollectorError> {
    let what = || format!("starting the {name} thread");
    Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(|error| CollectorError::System { what: what(), error })
}

fn join(name: &'static str, thread: JoinHandle<()>) -> Result<(), CollectorError> {
    thread.join().map_err(|_| CollectorError::Thread(name))
}
