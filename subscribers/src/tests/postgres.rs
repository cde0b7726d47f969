//! A private PostgreSQL server for tests: in a temporary folder, as a non-root user, reachable only through a socket in that
//! folder; stopped and removed with its last user.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A server.
pub(crate) struct Cluster {
    folder: tempfile::TempDir,
    user: Option<String>,
    running: Option<Running>,
    databases: AtomicU32,
}

struct Running {
    stop: mpsc::Sender<()>,
    keeper: JoinHandle<()>,
}

impl Cluster {
    /// The URL of a new, empty database.
    pub(crate) fn new_database(&self) -> String {
        let name = format!("t{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut createdb = Command::new(program("createdb"));
        run(createdb.arg("-h").arg(self.folder.path()).args(["-U", "postgres", &name]));
        format!("postgres://postgres@localhost/{name}?host={}", self.folder.path().display())
    }

    /// A new server.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let user = unprivileged_user(folder.path());
        let data = folder.path().join("data");
        let initdb = ["-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-locale", "--no-sync", "-D"];
        run(as_user(user.as_deref(), "initdb").args(initdb).arg(&data));
        let mut cluster = Self { folder, user, running: None, databases: AtomicU32::new(0) };
        cluster.go_on();
        cluster
    }

    /// Ends it at once, as a crash would; its databases stay.
    pub(crate) fn stop(&mut self) {
        if let Some(Running { stop, keeper }) = self.running.take() {
            drop(stop);
            let _ = keeper.join();
        }
    }

    /// Starts it where it was stopped.
    pub(crate) fn go_on(&mut self) {
        let mut server = as_user(self.user.as_deref(), "postgres");
        server.arg("-D").arg(self.folder.path().join("data")).arg("-k").arg(self.folder.path());
        server
            .args(["-c", "listen_addresses=", "-c", "fsync=off"])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // The child is to die with the process, and PR_SET_PDEATHSIG follows the thread that started it: so not with
        // the thread of the first test, but with one that lasts.
        let (stop, stopped) = mpsc::channel::<()>();
        let (started, is_started) = mpsc::channel();
        let keeper = std::thread::spawn(move || {
            let child = server.spawn().unwrap();
            started.send(()).unwrap();
            let _ = stopped.recv();
            finish(child);
        });
        is_started.recv().unwrap();
        self.running = Some(Running { stop, keeper });
        self.await_ready();
    }

    fn await_ready(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut probe = Command::new(program("pg_isready"));
        probe.arg("-q").args(["-t", "1"]).arg("-h").arg(self.folder.path());
        while !probe.status().unwrap().success() {
            assert!(Instant::now() < deadline, "PostgreSQL did not become ready within 60 s");
            std::thread::yield_now();
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop();
    }
}

/// SIGQUIT: PostgreSQL's immediate shutdown, which takes its children with it.
fn finish(mut child: Child) {
    let _ = Command::new("kill").args(["-QUIT", &child.id().to_string()]).status();
    let _ = child.wait();
}

/// PostgreSQL refuses to run as root: as root, gives the folder to a user that is not, and names it.
fn unprivileged_user(folder: &Path) -> Option<String> {
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let id_of = |name: &str| {
        let line = users.lines().find(|line| line.starts_with(&format!("{name}:")))?;
        line.split(':').nth(2)?.parse::<u32>().ok()
    };
    let (name, id) = ["postgres", "nobody"]
        .into_iter()
        .find_map(|name| Some((name, id_of(name)?)))
        .expect("root needs a user `postgres` or `nobody` to run PostgreSQL as");
    chown(folder, Some(id), None).unwrap();
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    Some(name.to_owned())
}

fn as_user(user: Option<&str>, name: &str) -> Command {
    let mut command = Command::new("setpriv");
    if let Some(user) = user {
        command.arg(format!("--reuid={user}")).arg("--clear-groups");
    }
    command.args(["--pdeathsig=QUIT", "--"]).arg(program(name)).current_dir("/");
    command
}

/// Where Debian keeps PostgreSQL's programs, else on the PATH.
fn program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let debian =
        versions.map(|version| version.path().join("bin").join(name)).filter(|path| path.exists()).max();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = || std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.exists());
    debian.or_else(on_path).unwrap_or_else(|| {
        panic!(
            "PostgreSQL's `{name}` is missing: these tests run on SQLite and PostgreSQL. Install it: apt-get install \
             postgresql (looked in /usr/lib/postgresql/*/bin and on the PATH)"
        )
    })
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
