//! The engine host as a program of its own, with the arguments that the supervisor gives: for this crate's tests.

use std::path::PathBuf;

use radtally_engine::{HostConfig, KEY_VARIABLE};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

fn argument(name: &str) -> Option<String> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments.next()?;
    arguments.next()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = HostConfig {
        listen: argument("--listen").ok_or("--listen is missing")?.parse()?,
        data_dir: argument("--data-dir").ok_or("--data-dir is missing")?.into(),
        library: argument("--library").map(PathBuf::from),
        key: std::env::var(KEY_VARIABLE)?,
    };
    let shutdown = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn({
        let shutdown = shutdown.clone();
        async move {
            terminate.recv().await;
            shutdown.cancel();
        }
    });
    radtally_engine::host::run(config, shutdown).await?;
    std::process::exit(0);
}
