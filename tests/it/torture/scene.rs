//! A service to which everything can be done: its network, its disk, its PostgreSQL and its clock are a test's own.

use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::relay::Relay;
use crate::postgres::Cluster;
use crate::service::{Service, Setup};

/// Small segments, so that many are begun and a full disk shows soon; comparisons with ClickHouse all the time.
const SETTINGS: &str = "[journal]\nsegment_mib = 8\n[exporter]\nverify_interval = 1\n";
/// A receive buffer as small as a careless machine's: bursts overflow it.
const RECEIVE_BUFFER: &str = "524288";

/// The service and its surroundings.
pub struct Scene {
    /// The service.
    pub service: Service,
    /// Where NASes send to.
    pub relay: Relay,
    /// What decides where and when faults strike.
    pub dice: StdRng,
    database: Option<Cluster>,
    /// Whose ClickHouse it uses, where it has none of its own.
    other: Option<Service>,
}

impl Scene {
    /// Starts a service with everything, but for its clock.
    pub async fn set(seed: u64) -> Self {
        let database = tokio::task::spawn_blocking(Cluster::start).await.unwrap();
        let environment = [("RADTALLY_ACCOUNTING__RECEIVE_BUFFER".to_owned(), RECEIVE_BUFFER.to_owned())];
        let setup = Setup {
            environment: environment.into(),
            more: format!("{SETTINGS}[database]\nurl = \"{}\"\n", database.new_database()),
            own_disk: true,
            ..Setup::default()
        };
        let scene = Self::around(Service::start_as(setup).await, seed).await;
        Self { database: Some(database), ..scene }
    }

    /// Starts a service with a clock of its own. Its ClickHouse is another's: inside that, the library that sets clocks keeps
    /// waiting threads awake.
    pub async fn with_clock(seed: u64) -> Self {
        let other = Service::start().await;
        let environment = [
            ("LD_PRELOAD", faketime().display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", "{dir}/clock".to_owned()),
            ("FAKETIME_CACHE_DURATION", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("FAKETIME_DISABLE_SHM", "1".to_owned()),
        ];
        let setup = Setup {
            environment: environment.map(|(name, value)| (name.to_owned(), value)).into(),
            ..Setup::beside(&other)
        };
        let scene = Self::around(Service::start_as(setup).await, seed).await;
        scene.set_clock(0);
        Self { other: Some(other), ..scene }
    }

    async fn around(service: Service, seed: u64) -> Self {
        let mut dice = StdRng::seed_from_u64(seed);
        let relay = Relay::to(service.accounting, dice.random()).await;
        Self { service, relay, dice, database: None, other: None }
    }

    /// Its relational database.
    pub fn database(&mut self) -> &mut Cluster {
        self.database.as_mut().expect("it was set with a database")
    }

    /// The service whose ClickHouse it uses.
    pub fn store(&self) -> &Service {
        self.other.as_ref().unwrap_or(&self.service)
    }

    /// Sets the service's clock to so many seconds after the right time. It is noticed within a second.
    pub fn set_clock(&self, seconds: i64) {
        let clock = self.service.dir().join("clock");
        let aside = clock.with_extension("new");
        std::fs::write(&aside, format!("{seconds:+}\n")).unwrap();
        std::fs::rename(aside, clock).unwrap();
    }
}

/// The library that sets clocks, where Debian keeps it.
fn faketime() -> PathBuf {
    let architectures = std::fs::read_dir("/usr/lib").unwrap().flatten();
    let mut libraries = architectures.map(|folder| folder.path().join("faketime/libfaketime.so.1"));
    libraries.find(|library| Path::exists(library)).expect("`cargo xtask test` installs faketime")
}
