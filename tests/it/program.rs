//! Programs that run beside a test and end with it.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::until::until;

/// A running program, in a process group of its own; what is left of the group is killed when this is dropped.
pub struct Program {
    name: String,
    child: Child,
    output: PathBuf,
}

impl Program {
    /// Starts `command`, with its output going to `output`.
    pub fn start(command: &mut Command, output: PathBuf) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let file = File::create(&output).unwrap();
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file).process_group(0);
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}; `cargo xtask test` installs what is missing"));
        Self { name, child, output }
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// What it has printed.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.output).unwrap_or_default()).into_owned()
    }

    /// Whether it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Waits for its end.
    pub async fn wait(&mut self, within: Duration) -> ExitStatus {
        let what = format!("the end of {}", self.name);
        until(&what, within, async || self.ended()).await
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        _ = killpg(self.pid(), Signal::SIGKILL);
        _ = self.child.wait();
        if std::thread::panicking() {
            let output = self.output();
            let lines: Vec<_> = output.lines().collect();
            let tail = lines.get(lines.len().saturating_sub(60)..).unwrap_or_default();
            eprintln!("---- the last that {} said:\n{}\n----", self.name, tail.join("\n"));
        }
    }
}

/// The children of a process whose command line holds `word`.
pub fn children(parent: Pid, word: &str) -> Vec<Pid> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        if parent_of(&entry.path()).is_ok_and(|of| of == parent.as_raw())
            && command_line(&entry.path()).contains(word)
        {
            found.push(Pid::from_raw(pid));
        }
    }
    found
}

/// A program's command line, its words separated by blanks.
pub fn command_line(proc: &Path) -> String {
    let bytes = std::fs::read(proc.join("cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

fn parent_of(proc: &Path) -> io::Result<i32> {
    let stat = std::fs::read_to_string(proc.join("stat"))?;
    // The name, in parentheses, may hold anything: what follows its end is state and parent.
    let after = stat.rsplit(')').next().unwrap_or_default();
    after
        .split_whitespace()
        .nth(1)
        .and_then(|parent| parent.parse().ok())
        .ok_or_else(|| io::Error::other("stat"))
}
