//! The embedded engine as a program of its own, with the arguments that its supervisor gives: for this crate's tests.

use std::path::PathBuf;

use engine::{HostConfig, HostError, KEY_VARIABLE, host};
use tokio_util::sync::CancellationToken;

fn argument(name: &str) -> Option<String> {
    std::env::args().skip_while(|argument| argument != name).nth(1)
}

#[tokio::main]
async fn main() -> Result<(), HostError> {
    let listen = argument("--listen").and_then(|address| address.parse().ok());
    let config = HostConfig {
        listen: listen.unwrap_or_else(|| ([127, 0, 0, 1], 0).into()),
        data_dir: argument("--data-dir").map(PathBuf::from).unwrap_or_default(),
        library: argument("--library").map(PathBuf::from),
        key: std::env::var(KEY_VARIABLE).unwrap_or_default(),
    };
    // Until the process is ended.
    host::run(config, CancellationToken::new()).await
}
