//! A PostgreSQL of the tests' own: from Debian's packages, in a temporary folder, on a free port of 127.0.0.1, stopped
//! when dropped. Used by the tests of `metadata` and of the agent.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Who may log in, and with what.
pub const USER: &str = "penstock";
pub const PASSWORD: &str = "se@cr/et";
pub const ENCODED_PASSWORD: &str = "se%40cr%2Fet";
/// There from the start, beside `postgres`.
pub const DATABASE: &str = "meta";

/// A server that runs, unless it was stopped.
#[derive(Debug)]
pub struct Server {
    programs: PathBuf,
    folder: tempfile::TempDir,
    port: u16,
    settings: Vec<String>,
    running: Option<Child>,
}

impl Server {
    /// `None`, and a line that says so, where the packages are missing.
    pub fn start() -> Option<Self> {
        Self::with(&["fsync=off"], |_| {})
    }

    /// With settings, and files that `prepare` lays into its folder.
    pub fn with(settings: &[&str], prepare: impl FnOnce(&Path)) -> Option<Self> {
        let Some(programs) = programs() else {
            skipped("no PostgreSQL in /usr/lib/postgresql: apt-get install postgresql");
            return None;
        };
        let folder = tempfile::tempdir().expect("a temporary folder");
        prepare(folder.path());
        std::fs::write(folder.path().join("password"), PASSWORD).expect("written");
        if is_root() {
            ran(Command::new("chown")
                .arg("-R")
                .arg("postgres")
                .arg(folder.path()));
        }
        let mut server = Self {
            programs,
            folder,
            port: 0,
            settings: settings.iter().map(|&setting| setting.to_owned()).collect(),
            running: None,
        };
        let (data, password) = (server.path("data"), server.path("password"));
        let mut initdb = server.program("initdb", "KILL");
        ran(initdb
            .args(["-U", USER, "-E", "UTF8", "--no-sync", "--auth-local=trust"])
            .arg("--auth-host=scram-sha-256")
            .arg("-D")
            .arg(data)
            .arg("--pwfile")
            .arg(password));
        server.find_a_port();
        server.sql("postgres", &format!("CREATE DATABASE {DATABASE}"));
        Some(server)
    }

    /// Another server that follows this one, and takes no writes until it is promoted.
    pub fn standby(&self) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        if is_root() {
            ran(Command::new("chown").arg("postgres").arg(folder.path()));
        }
        let mut standby = Self {
            programs: self.programs.clone(),
            folder,
            port: 0,
            settings: self.settings.clone(),
            running: None,
        };
        let mut copy = self.program("pg_basebackup", "KILL");
        ran(copy
            .args(["-U", USER, "-R", "-c", "fast", "--no-sync", "-D"])
            .arg(standby.path("data"))
            .arg("-h")
            .arg(self.folder.path())
            .args(["-p", &self.port.to_string()]));
        standby.find_a_port();
        standby
    }

    /// From here on a standby is a server of its own.
    pub fn promote(&self) {
        self.sql("postgres", "SELECT pg_promote()");
    }

    /// Below its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// With a schema, or whatever else follows the question mark.
    pub fn url(&self, parameters: &str) -> String {
        let port = self.port;
        format!("postgres://{USER}:{ENCODED_PASSWORD}@127.0.0.1:{port}/{DATABASE}?{parameters}")
    }

    /// Another process may take a free port before the server does.
    fn find_a_port(&mut self) {
        for _ in 0..10 {
            let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
            self.port = free.local_addr().expect("bound").port();
            drop(free);
            if self.try_run() {
                return;
            }
        }
        self.give_up();
    }

    /// Starts it again, on the port that it had.
    pub fn run(&mut self) {
        assert!(self.running.is_none(), "it runs already");
        for _ in 0..100 {
            if self.try_run() {
                return;
            }
            pause();
        }
        self.give_up();
    }

    fn give_up(&self) -> ! {
        let log = std::fs::read_to_string(self.path("log")).unwrap_or_default();
        panic!("PostgreSQL does not start: {log}");
    }

    fn try_run(&mut self) -> bool {
        let mut command = self.program("postgres", "QUIT");
        command.arg("-D").arg(self.path("data"));
        command.args(["-p", &self.port.to_string()]);
        command.args(["-c", "listen_addresses=127.0.0.1", "-c"]);
        command.arg(format!(
            "unix_socket_directories={}",
            self.folder.path().display()
        ));
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        let log = std::fs::File::create(self.path("log")).expect("made");
        let also = log.try_clone().expect("the same file");
        let mut child = command.stdout(log).stderr(also).spawn().expect("it starts");
        for _ in 0..3000 {
            if child.try_wait().expect("ours").is_some() {
                return false;
            }
            let mut ready = self.program("pg_isready", "KILL");
            ready.args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
            if ready.status().expect("it runs").success() {
                self.running = Some(child);
                return true;
            }
            pause();
        }
        self.give_up();
    }

    /// `INT` ends it in order, `QUIT` as a crash does.
    pub fn stop(&mut self, signal: &str) {
        if let Some(mut child) = self.running.take() {
            send(signal, child.id());
            child.wait().expect("ours");
        }
    }

    /// What psql prints, over the socket that needs no password.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let output = self.psql(database, sql).output().expect("psql runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{sql}: {said}");
        String::from_utf8(output.stdout)
            .expect("UTF-8")
            .trim()
            .to_owned()
    }

    /// To be started.
    pub fn psql(&self, database: &str, sql: &str) -> Command {
        let mut psql = self.program("psql", "KILL");
        psql.args([
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-U",
            USER,
            "-d",
            database,
        ])
        .arg("-h")
        .arg(self.folder.path())
        .args(["-p", &self.port.to_string(), "-c", sql])
        .stdin(Stdio::null());
        psql
    }

    /// One of the package's, as the user that it wants, ended with this thread whatever happens.
    fn program(&self, name: &str, at_the_end: &str) -> Command {
        let program = self.programs.join(name);
        let mut command = Command::new("setpriv");
        if is_root() {
            command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]);
        }
        command.arg("--pdeathsig").arg(at_the_end).arg(program);
        command
            .current_dir("/")
            .env_remove("PGHOST")
            .env_remove("PGPORT");
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop("QUIT");
    }
}

/// The newest that is installed.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let folders = versions.filter_map(|entry| Some(entry.ok()?.path().join("bin")));
    let whole = folders.filter(|folder| folder.join("postgres").exists());
    whole.max_by_key(|folder| {
        let version = folder.parent().and_then(Path::file_name);
        version.and_then(|name| name.to_str()?.parse::<u32>().ok())
    })
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| {
        use std::os::unix::fs::MetadataExt;
        own.uid() == 0
    })
}

/// By id.
pub fn send(signal: &str, id: u32) {
    ran(Command::new("kill").args(["-s", signal, &id.to_string()]));
}

fn ran(command: &mut Command) {
    let output = command.output().expect("it is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

/// Without the timers of a runtime, which tests may have stopped.
fn pause() {
    let (_waker, sleeper) = std::sync::mpsc::channel::<()>();
    let _ = sleeper.recv_timeout(std::time::Duration::from_millis(10));
}

/// Says that something was not tested, past the harness' capture. Where all must run, that is a failure.
fn skipped(why: &str) {
    assert!(
        std::env::var_os("CI").is_none_or(|ci| ci != "true"),
        "CI must test everything: {why}"
    );
    let test = std::thread::current().name().unwrap_or("?").to_owned();
    let line = format!("{test}: SKIPPED: {why}\n");
    std::io::stderr()
        .write_all(line.as_bytes())
        .expect("standard error is open");
}
