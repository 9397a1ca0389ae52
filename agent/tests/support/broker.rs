//! `penstock` as a child process. Used by all tests that need one.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Bounds a failure, never a success: the machine may be slow.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A broker that listens. Killed when dropped.
#[derive(Debug)]
pub struct Broker {
    pub child: Child,
    pub listen: SocketAddr,
    pub http: SocketAddr,
    /// Kept open, so that the broker can go on printing.
    _stdout: BufReader<tokio::process::ChildStdout>,
}

/// The binary with those arguments; nothing of this process' environment that could configure it.
pub fn penstock<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    program(env!("CARGO_BIN_EXE_penstock"), arguments)
}

/// The same of another binary.
pub fn program<S: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    arguments: impl IntoIterator<Item = S>,
) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).kill_on_drop(true);
    for (name, _) in std::env::vars_os() {
        let name_text = name.to_string_lossy();
        if name_text.starts_with("PENSTOCK_") || name_text.starts_with("AWS_") {
            command.env_remove(&name);
        }
    }
    command
}

impl Broker {
    /// `penstock dev` that keeps everything in memory, with more arguments.
    pub async fn in_memory(more: &[&str]) -> Self {
        let mut arguments = vec!["--bucket", "memory:", "--store", "memory:"];
        arguments.extend(more);
        Self::dev(&arguments).await
    }

    /// `penstock dev` over a folder.
    pub async fn in_folder(data: &Path, more: &[&str]) -> Self {
        let data = data.to_str().expect("a temporary folder is named in UTF-8");
        let mut arguments = vec!["--data", data];
        arguments.extend(more);
        Self::dev(&arguments).await
    }

    /// `penstock dev` on free ports.
    pub async fn dev(arguments: &[&str]) -> Self {
        let ports = ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"];
        let mut command = penstock(
            std::iter::once("dev")
                .chain(ports)
                .chain(arguments.iter().copied()),
        );
        Self::start(&mut command).await
    }

    /// Waits for the two lines that say where it listens.
    pub async fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let listen = address(&line(&mut stdout).await, "listens on ");
        let http = address(&line(&mut stdout).await, "http://");
        Self {
            child,
            listen,
            http,
            _stdout: stdout,
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// SIGKILL.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("it was ours to kill");
    }

    /// SIGTERM, and how it ended.
    pub async fn terminate(mut self) -> std::process::ExitStatus {
        signal(self.pid(), libc::SIGTERM);
        timeout(PATIENCE, self.child.wait())
            .await
            .expect("it ends when asked to")
            .expect("it was ours to wait for")
    }

    /// How it ended by itself.
    pub async fn ended(mut self) -> std::process::ExitStatus {
        timeout(PATIENCE, self.child.wait())
            .await
            .expect("it ends by itself")
            .expect("it can be waited for")
    }

    /// The body of a page, and its status.
    pub async fn page(&self, path: &str) -> (u16, String) {
        let mut socket = TcpStream::connect(self.http)
            .await
            .expect("its pages are there");
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.http
        );
        socket.write_all(request.as_bytes()).await.expect("sent");
        let mut text = String::new();
        socket.read_to_string(&mut text).await.expect("answered");
        let status = text
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .expect("a status");
        let body = text
            .split_once("\r\n\r\n")
            .map_or("", |(_, body)| body)
            .to_owned();
        (status, body)
    }

    /// The sum of a metric's samples whose labels contain each of `labels`; 0 if there are none.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let (_, body) = self.page("/metrics").await;
        body.lines()
            .filter_map(|line| line.rsplit_once(' '))
            .filter(|(sample, _)| sample.split('{').next() == Some(name))
            .filter(|(sample, _)| labels.iter().all(|label| sample.contains(label)))
            .filter_map(|(_, value)| value.parse::<f64>().ok())
            .sum()
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .expect("Linux tells");
        let kib = line
            .split_whitespace()
            .nth(1)
            .and_then(|kib| kib.parse::<u64>().ok());
        kib.expect("a number") * 1024
    }
}

/// Sends a signal to a child of ours.
#[expect(
    unsafe_code,
    reason = "a signal to a process id is a plain system call"
)]
pub fn signal(pid: u32, signal: i32) {
    let pid = i32::try_from(pid).expect("process ids are small");
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0, "it can be signalled");
}

async fn line(stdout: &mut BufReader<tokio::process::ChildStdout>) -> String {
    let mut line = String::new();
    timeout(PATIENCE, stdout.read_line(&mut line))
        .await
        .expect("it says where it listens")
        .expect("its output can be read");
    line
}

#[expect(clippy::panic, reason = "the test cannot go on without a broker")]
fn address(line: &str, before: &str) -> SocketAddr {
    let rest = line.split_once(before).map(|(_, rest)| rest);
    let rest = rest.unwrap_or_else(|| panic!("no {before:?} in {line:?}: it did not start"));
    let text: String = rest
        .chars()
        .take_while(|c| c.is_ascii_hexdigit() || ".:[]".contains(*c))
        .collect();
    text.trim_end_matches('.')
        .parse()
        .unwrap_or_else(|_| panic!("no address in {line:?}"))
}
