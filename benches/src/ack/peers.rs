//! FreeRADIUS, as Debian packages it: writing a detail file, or to PostgreSQL.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use super::packets::SECRET;

/// Where Debian's package keeps how records become SQL.
const SQL: &str = "/etc/freeradius/3.0/mods-config/sql/main/postgresql";
/// How long a program may take to start.
const SOON: Duration = Duration::from_secs(30);

/// A running peer; ended when dropped.
pub struct Peer {
    /// Where it takes accounting.
    pub address: SocketAddr,
    server: Child,
    database: Option<Postgres>,
    _folder: TempDir,
}

/// Where a peer keeps what it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// A file, which it does not sync.
    Detail,
    /// PostgreSQL with its defaults: every commit is synced.
    Postgres,
}

/// What is missing to run a peer, in words.
#[must_use]
pub fn missing(store: Store) -> Option<String> {
    let programs: &[&str] = match store {
        Store::Detail => &["/usr/sbin/freeradius"],
        Store::Postgres => {
            &["/usr/sbin/freeradius", "/usr/lib/freeradius/rlm_sql_postgresql.so", SQL, "/usr/lib/postgresql"]
        }
    };
    let lacks = programs.iter().find(|path| !Path::new(path).exists())?;
    Some(format!("{lacks} is missing: apt-get install freeradius freeradius-postgresql postgresql"))
}

impl Peer {
    /// Starts one that keeps records in `store`.
    ///
    /// # Errors
    /// It does not start; the end of its log is told.
    pub fn start(store: Store) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("radtally-peer-").tempdir()?;
        let database =
            (store == Store::Postgres).then(|| Postgres::start(&folder.path().join("db"))).transpose()?;
        let port = UdpSocket::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        fs::write(folder.path().join("radiusd.conf"), configuration(folder.path(), port, database.as_ref()))?;
        let log = folder.path().join("log");
        let server = Command::new("/usr/sbin/freeradius")
            .args(["-f", "-l"])
            .arg(&log)
            .arg("-d")
            .arg(folder.path())
            .args(["-n", "radiusd"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting freeradius")?;
        let mut peer = Self { address, server, database, _folder: folder };
        peer.await_ready(&log)?;
        Ok(peer)
    }

    /// Its process, and its database's.
    pub fn pids(&self) -> impl Iterator<Item = u32> {
        [Some(self.server.id()), self.database.as_ref().map(|database| database.server.id())]
            .into_iter()
            .flatten()
    }

    fn await_ready(&mut self, log: &Path) -> anyhow::Result<()> {
        let until = Instant::now() + SOON;
        loop {
            let said = fs::read_to_string(log).unwrap_or_default();
            if said.contains("Ready to process requests") {
                return Ok(());
            }
            if self.server.try_wait()?.is_some() || Instant::now() > until {
                let end: Vec<&str> = said.lines().rev().take(10).collect();
                bail!("freeradius does not start: {}", end.into_iter().rev().collect::<Vec<_>>().join(" | "));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        _ = self.server.kill();
        _ = self.server.wait();
    }
}

fn configuration(folder: &Path, port: u16, database: Option<&Postgres>) -> String {
    let folder = folder.display();
    let (module, name) = match database {
        None => (
            format!("detail {{\n filename = {folder}/detail\n permissions = 0600\n header = \"%t\"\n }}"),
            "detail",
        ),
        Some(database) => (database.module(), "sql"),
    };
    format!(
        r#"
prefix = /usr
exec_prefix = /usr
libdir = /usr/lib/freeradius
raddbdir = {folder}
name = radiusd
run_dir = {folder}
logdir = {folder}
radacctdir = {folder}
pidfile = {folder}/pid
max_request_time = 30
cleanup_delay = 5
max_requests = 65536
hostname_lookups = no
proxy_requests = no
log {{
    destination = files
    file = {folder}/log
}}
security {{
    max_attributes = 200
    reject_delay = 0
    status_server = no
}}
client bench {{
    ipaddr = 127.0.0.1
    secret = {SECRET}
}}
thread pool {{
    start_servers = 5
    max_servers = 32
    min_spare_servers = 3
    max_spare_servers = 10
    max_requests_per_server = 0
    auto_limit_acct = no
}}
modules {{
    expr {{
    }}
    {module}
}}
instantiate {{
    expr
}}
server default {{
    listen {{
        type = acct
        ipaddr = 127.0.0.1
        port = {port}
    }}
    preacct {{
        update request {{
            &Acct-Unique-Session-Id := "%{{md5:%{{User-Name}},%{{Acct-Session-Id}},%{{NAS-Identifier}}}}"
        }}
    }}
    accounting {{
        {name}
    }}
}}
"#
    )
}

/// A private PostgreSQL.
struct Postgres {
    folder: PathBuf,
    server: Child,
}

impl Postgres {
    fn start(folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir(folder)?;
        let user = unprivileged_user(folder)?;
        let data = folder.join("data");
        let initdb = ["-A", "trust", "-U", "radius", "-E", "UTF8", "--no-locale", "-D"];
        run(as_user(user.as_deref(), "initdb")?.args(initdb).arg(&data))?;
        let mut server = as_user(user.as_deref(), "postgres")?;
        server.arg("-D").arg(&data).arg("-k").arg(folder).args(["-c", "listen_addresses="]);
        let server =
            server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("starting postgres")?;
        let started = Self { folder: folder.to_owned(), server };
        let until = Instant::now() + SOON;
        while run(started.client("pg_isready")?.arg("-q")).is_err() {
            if Instant::now() > until {
                bail!("PostgreSQL did not become ready within {} s", SOON.as_secs());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        run(started.client("createdb")?.args(["-U", "radius", "radius"]))?;
        run(started
            .client("psql")?
            .args(["-q", "-U", "radius", "-d", "radius", "-f"])
            .arg(format!("{SQL}/schema.sql")))?;
        Ok(started)
    }

    fn client(&self, name: &str) -> anyhow::Result<Command> {
        let mut command = Command::new(program(name)?);
        command.arg("-h").arg(&self.folder);
        Ok(command)
    }

    fn module(&self) -> String {
        format!(
            r#"sql {{
        driver = "rlm_sql_postgresql"
        dialect = "postgresql"
        server = "{}"
        login = "radius"
        radius_db = "radius"
        acct_table1 = "radacct"
        acct_table2 = "radacct"
        postauth_table = "radpostauth"
        authcheck_table = "radcheck"
        groupcheck_table = "radgroupcheck"
        authreply_table = "radreply"
        groupreply_table = "radgroupreply"
        usergroup_table = "radusergroup"
        client_table = "nas"
        read_clients = no
        delete_stale_sessions = yes
        group_attribute = "SQL-Group"
        pool {{
            start = 8
            min = 4
            max = 32
            spare = 8
            uses = 0
            lifetime = 0
            idle_timeout = 60
        }}
        $INCLUDE {SQL}/queries.conf
    }}"#,
            self.folder.display()
        )
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGQUIT: its immediate shutdown, which takes its children with it.
        _ = Command::new("kill").args(["-QUIT", &self.server.id().to_string()]).status();
        _ = self.server.wait();
    }
}

/// PostgreSQL refuses to run as root: as root, gives the folder to a user that is not, and names it.
fn unprivileged_user(folder: &Path) -> anyhow::Result<Option<String>> {
    if fs::metadata("/proc/self")?.uid() != 0 {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd")?;
    let id = |name: &str| {
        let line = users.lines().find(|line| line.starts_with(&format!("{name}:")))?;
        line.split(':').nth(2)?.parse::<u32>().ok()
    };
    let user = ["postgres", "nobody"].into_iter().find_map(|name| Some((name, id(name)?)));
    let (name, id) = user.context("root needs a user `postgres` or `nobody` to run PostgreSQL as")?;
    chown(folder, Some(id), None)?;
    for folder in folder.ancestors().take(2) {
        let mut permissions = fs::metadata(folder)?.permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
        fs::set_permissions(folder, permissions)?;
    }
    Ok(Some(name.to_owned()))
}

fn as_user(user: Option<&str>, name: &str) -> anyhow::Result<Command> {
    let mut command = Command::new("setpriv");
    if let Some(user) = user {
        command.arg(format!("--reuid={user}")).arg("--clear-groups");
    }
    command.args(["--pdeathsig=QUIT", "--"]).arg(program(name)?).current_dir("/");
    Ok(command)
}

/// Where Debian keeps PostgreSQL's programs.
fn program(name: &str) -> anyhow::Result<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let found =
        versions.map(|version| version.path().join("bin").join(name)).filter(|path| path.exists()).max();
    found.with_context(|| format!("PostgreSQL's {name} is missing"))
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
