//! What must not end the product by a panic: nobody can be told anything, because whoever listened has gone, or because the
//! disk is full on which logs are kept.

use std::fs::File;
use std::process::Stdio;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::bucket::free_address;
use super::tools::until;
use crate::support::broker::{PATIENCE, penstock, signal};

/// A file to which nothing can be written.
fn full() -> Stdio {
    Stdio::from(File::options().write(true).open("/dev/full").unwrap())
}

fn untold(command: &mut Command) -> Child {
    let command = command.stdout(full()).stderr(full());
    command.stdin(Stdio::null()).spawn().unwrap()
}

async fn code(mut child: Child) -> Option<i32> {
    let ended = timeout(PATIENCE, child.wait()).await;
    ended.expect("it ends by itself").unwrap().code()
}

async fn is_ready(http: &str) -> std::io::Result<bool> {
    let mut socket = TcpStream::connect(http).await?;
    let request = "GET /health/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    socket.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await?;
    Ok(answer.starts_with("HTTP/1.1 200 "))
}

#[tokio::test]
async fn a_broker_whose_greeting_and_log_cannot_be_written_serves() {
    let http = free_address().to_string();
    let mut dev = penstock(["dev", "--listen", "127.0.0.1:0", "--http", &http]);
    dev.args([
        "--bucket", "memory:", "--store", "memory:", "--log", "debug",
    ]);
    let mut broker = untold(&mut dev);
    until("it is ready", async || {
        let ended = broker.try_wait().unwrap();
        assert_eq!(ended, None);
        is_ready(&http).await.unwrap_or(false)
    })
    .await;
    signal(broker.id().unwrap(), libc::SIGTERM);
    assert_eq!(code(broker).await, Some(0));
}

#[tokio::test]
async fn what_is_typed_ends_with_its_code_also_where_it_cannot_be_told() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = format!("file://{}", folder.path().display());
    let doctor = |bucket: &str| untold(&mut penstock(["doctor", "--bucket", bucket]));
    assert_eq!(code(doctor(&bucket)).await, Some(0));
    assert_eq!(code(doctor("file:///nowhere/at/all")).await, Some(1));
    assert_eq!(code(doctor("nonsense:")).await, Some(2));
}
