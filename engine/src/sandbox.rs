//! What the engine's threads may touch of the machine: their folder, and no network.
//!
//! ClickHouse can read and write any file and speak to any host on behalf of a query. Its own grants refuse most of that
//! (see `settings`), not all: `file()` as a plain function, `INTO OUTFILE` and others ask nobody. So each thread that
//! enters the library gives up the rest of the machine first (Linux's Landlock); threads that the library starts inherit
//! that. On a kernel without Landlock the grants and `statement` are what there is.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Once;

use landlock::{
    ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus,
    path_beneath_rules,
};
use tracing::warn;

/// Read by the library: what machine it runs on, and the clock's rules.
const READABLE: [&str; 5] = ["/proc", "/sys", "/dev", "/etc/localtime", "/usr/share/zoneinfo"];

/// The newest rules this program knows; an older kernel applies those it has.
const KNOWN: ABI = ABI::V6;

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// The rules.
pub struct Sandbox {
    folder: PathBuf,
}

impl Sandbox {
    /// Rules for an engine in `folder`.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Confines the calling thread, and all that it starts, for good.
    pub fn enter(&self) {
        static WARNED: Once = Once::new();
        if INSIDE.replace(true) {
            return;
        }
        let why = match self.confine() {
            Ok(RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced) => return,
            Ok(RulesetStatus::NotEnforced) => "this kernel has no Landlock".to_owned(),
            Err(error) => error.to_string(),
        };
        WARNED.call_once(|| warn!(why, "the engine is not confined to its folder; its own rules must do"));
    }

    fn confine(&self) -> Result<RulesetStatus, RulesetError> {
        let status = Ruleset::default()
            .handle_access(AccessFs::from_all(KNOWN))?
            .handle_access(AccessNet::from_all(KNOWN))?
            .create()?
            .add_rules(path_beneath_rules(READABLE, AccessFs::ReadFile | AccessFs::ReadDir))?
            .add_rules(path_beneath_rules(["/dev/null"], AccessFs::ReadFile | AccessFs::WriteFile))?
            .add_rules(path_beneath_rules([&self.folder], AccessFs::from_all(KNOWN) & !AccessFs::Execute))?
            .restrict_self()?;
        Ok(status.ruleset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    #[test]
    fn a_thread_inside_reaches_its_folder_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let sandbox = Sandbox::new(folder.path());
        let inside = move || {
            sandbox.enter();
            fs::write(folder.path().join("a"), "a").unwrap();
            fs::rename(folder.path().join("a"), folder.path().join("b")).unwrap();
            assert!(fs::read("/proc/meminfo").is_ok());
            let child = thread::spawn(|| fs::read("/etc/passwd").is_err()).join().unwrap();
            assert!(child && fs::read("/etc/passwd").is_err(), "files outside");
            assert!(fs::write("/tmp/radtally-outside", "a").is_err(), "writing outside");
            assert!(TcpStream::connect(listener.local_addr().unwrap()).is_err(), "other hosts");
        };
        thread::spawn(inside).join().unwrap();
        assert!(fs::read("/etc/passwd").is_ok(), "other threads are free");
    }
}
