//! Packages from npm, by lock file: the embedded ClickHouse (`engine/`) and the front end (`dashboard/`).

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use crate::step;

/// Folders with a lock file, and what it brings.
const FOLDERS: [(&str, &str); 2] =
    [("engine", "the embedded ClickHouse (over 100 MB, once)"), ("dashboard", "the front-end packages")];
/// The lock file that `node_modules` was made from, kept inside it.
const STAMP: &str = "node_modules/.made-from-lock.json";

/// Runs `npm ci` where `node_modules` does not fit the lock file.
///
/// # Errors
/// A lock file cannot be read, or npm fails.
pub fn ensure() -> anyhow::Result<()> {
    FOLDERS.iter().try_for_each(|(folder, what)| ensure_folder(Path::new(folder), what))
}

fn ensure_folder(folder: &Path, what: &str) -> anyhow::Result<()> {
    let lock = folder.join("package-lock.json");
    let wanted = fs::read(&lock).with_context(|| format!("reading {}", lock.display()))?;
    let stamp = folder.join(STAMP);
    if fs::read(&stamp).is_ok_and(|made_from| made_from == wanted) {
        return Ok(());
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--no-audit", "--no-fund"]).current_dir(folder);
    step::run_command(&format!("Fetching {what}"), &mut npm)?;
    fs::write(&stamp, wanted).with_context(|| format!("writing {}", stamp.display()))
}
