//! radtally itself, as it is shipped: `radtally serve` on the embedded default, in a folder of its own.

use std::fs;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use super::packets::SECRET;

/// How long it may take to start, and to stop.
const SOON: Duration = Duration::from_secs(60);

/// A running service; ended when dropped.
pub struct Service {
    /// Where it takes accounting.
    pub accounting: SocketAddr,
    http: SocketAddr,
    token: String,
    server: Child,
    folder: TempDir,
}

/// What it says of its export.
#[derive(Clone, Copy, Debug, Default)]
pub struct Export {
    /// Records that ClickHouse holds.
    pub stored: u64,
    /// Acknowledged records that it does not hold yet.
    pub pending: u64,
}

impl Service {
    /// Starts it.
    ///
    /// # Errors
    /// It does not start; its log is told.
    pub async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("radtally-bench-").tempdir()?;
        let accounting = UdpSocket::bind(("127.0.0.1", 0))?.local_addr()?;
        let http = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
        let library = engine::find_library(None)?;
        let config = format!(
            "data_dir = \"{}\"\n[accounting]\nlisten = [\"{accounting}\"]\n[http]\nlisten = \"{http}\"\n\
             [clickhouse]\nlibrary = \"{}\"\n[[client]]\nname = \"bench\"\nsource = \"127.0.0.1\"\nsecret = \"{SECRET}\"\n",
            folder.path().join("data").display(),
            library.display(),
        );
        let file = folder.path().join("radtally.toml");
        fs::write(&file, config)?;
        let log = fs::File::create(folder.path().join("log"))?;
        let mut serve = Command::new(program()?);
        serve.arg("--config").arg(&file).arg("serve").stdin(Stdio::null());
        let server = serve.stdout(log.try_clone()?).stderr(log).spawn().context("starting radtally")?;
        let mut service = Self { accounting, http, token: String::new(), server, folder };
        service.await_ready().await?;
        let token = ["token", "create", "--role", "admin", "--name", "bench"];
        let made = Command::new(program()?).arg("--config").arg(&file).args(token).output()?;
        let said = String::from_utf8(made.stdout)?;
        service.token = said.lines().last().context("no token was printed")?.trim().to_owned();
        Ok(service)
    }

    /// Where it serves API and live feed.
    #[must_use]
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// A token that may do everything.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.server.id()
    }

    /// Reads its metrics.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn export(&self) -> anyhow::Result<Export> {
        let url = format!("http://{}/metrics", self.http);
        let text = reqwest::Client::new().get(url).bearer_auth(&self.token).send().await?.text().await?;
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|value| value.parse::<f64>().ok()).map(|value| value as u64)
        };
        let stored =
            value("radtally_collector_stored_records_total").context("no metric of stored records")?;
        let pending = value("radtally_collector_pending_records").context("no metric of pending records")?;
        Ok(Export { stored, pending })
    }

    async fn await_ready(&mut self) -> anyhow::Result<()> {
        let url = format!("http://{}/api/v1/health", self.http);
        let until = Instant::now() + SOON;
        loop {
            if let Ok(answer) = reqwest::get(&url).await
                && answer.status().is_success()
                && answer.text().await.is_ok_and(|text| text.contains("\"status\":\"up\""))
            {
                return Ok(());
            }
            if self.server.try_wait()?.is_some() || Instant::now() > until {
                let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                bail!("radtally does not start: {log}");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        _ = self.server.kill();
        _ = self.server.wait();
    }
}

/// The program that was built with this one.
fn program() -> anyhow::Result<PathBuf> {
    let beside = std::env::current_exe()?.with_file_name("radtally");
    if !beside.exists() {
        bail!(
            "{} is missing: cargo build --release, or `cargo xtask bench`, which does it",
            beside.display()
        );
    }
    Ok(beside)
}
