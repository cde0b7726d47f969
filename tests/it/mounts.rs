//! Disks of a test's own: mounted where nobody else sees them, gone with the test, and full whenever it wants them to be.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use nix::sched::{CloneFlags, unshare};
use nix::sys::statvfs::statvfs;

/// Room on a disk that is not full; memory is taken only for what is written.
const ROOM: u64 = 8 << 30;

/// Runs `test` where mounts are its own: every program that it starts sees them, and nobody else does.
pub fn on_own_mounts<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    let thread = thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNS).expect("mounting a disk needs root");
        run("mount", &["--make-rprivate", "/"]);
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test());
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// A disk in memory. It keeps what is written through any kill, and no power cut can be played on it.
pub struct OwnDisk(PathBuf);

impl OwnDisk {
    /// A disk with room enough, mounted at `path`.
    pub fn mounted(path: &Path) -> Self {
        std::fs::create_dir(path).unwrap();
        run("mount", &["-t", "tmpfs", "-o", &format!("size={ROOM}"), "tmpfs", &path.display().to_string()]);
        Self(path.to_owned())
    }

    /// Leaves it no room: `ENOSPC` for whoever wants more than is there.
    pub fn fill(&self) {
        let disk = statvfs(&self.0).unwrap();
        let used = (disk.blocks() - disk.blocks_free()) * disk.fragment_size();
        // A little, so that what is written at this moment does not keep the disk from being made smaller.
        self.resize(used + (1 << 20));
    }

    /// Gives it room again.
    pub fn clear(&self) {
        self.resize(ROOM);
    }

    fn resize(&self, size: u64) {
        run("mount", &["-o", &format!("remount,size={size}"), &self.0.display().to_string()]);
    }
}

impl Drop for OwnDisk {
    fn drop(&mut self) {
        // Failing, it leaves an empty folder behind; a test that has failed already shall say why it did.
        _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {}: {errors}", output.status);
}
