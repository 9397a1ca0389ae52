//! Answers lost on the way, exactly when it matters: a proxy between store and server that can be told to drop them.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};

use super::server::Server;
use super::*;

const PASS: u8 = 0;
/// What the client sends arrives; instead of the answer the connection ends.
const LOSE_ANSWERS: u8 = 1;
/// The connection ends before what the client sends has arrived.
const LOSE_REQUESTS: u8 = 2;

struct Proxy {
    port: u16,
    mode: Arc<AtomicU8>,
}

impl Proxy {
    /// Its threads end with the connections.
    fn before(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mode = Arc::new(AtomicU8::new(PASS));
        let (behind, shared) = (server.port(), Arc::clone(&mode));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(("127.0.0.1", behind)) else {
                    return;
                };
                pump(&client, &server, &shared, LOSE_REQUESTS);
                pump(&server, &client, &shared, LOSE_ANSWERS);
            }
        });
        Self { port, mode }
    }

    fn set(&self, mode: u8) {
        self.mode.store(mode, Ordering::SeqCst);
    }
}

/// Carries bytes until one side ends, or the mode says to lose them.
fn pump(from: &TcpStream, to: &TcpStream, mode: &Arc<AtomicU8>, losing: u8) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    let mode = Arc::clone(mode);
    thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let lost = mode.load(Ordering::SeqCst) == losing;
            if lost || to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    });
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_unknown_and_one_never_sent_did_not_happen() {
    let Some(server) = Server::start() else {
        return;
    };
    let proxy = Proxy::before(&server);
    let url = server.url("").replace(
        &format!(":{}/", server.port()),
        &format!(":{}/", proxy.port),
    );
    let kv = Postgres::open(&url.parse().unwrap()).await.unwrap();
    kv.commit(set("n", "0")).await.unwrap();
    for round in 0..20_u32 {
        let value = round.to_string();
        proxy.set(LOSE_ANSWERS);
        let lost = kv.commit(set("answered", &value)).await;
        assert!(matches!(lost, Err(KvError::Unknown(_))), "{lost:?}");
        proxy.set(LOSE_REQUESTS);
        let lost = kv.commit(set("asked", &value)).await;
        // It could not even connect.
        assert!(matches!(lost, Err(KvError::Unavailable(_))), "{lost:?}");
        proxy.set(PASS);
        reached(&kv, "n", "0").await;
        assert_eq!(kv.get(b"answered").await, Ok(Some(b(&value))));
        reached_commit(&kv).await;
        proxy.set(LOSE_REQUESTS);
        let lost = kv.commit(set("asked", &value)).await;
        // It may have been sent, for all that is known here.
        assert!(matches!(lost, Err(KvError::Unknown(_))), "{lost:?}");
        proxy.set(PASS);
        reached(&kv, "n", "0").await;
        assert_eq!(kv.get(b"asked").await, Ok(None));
        // A conflict is an answer; without it nothing is known.
        reached_commit(&kv).await;
        let mut conflict = set("asked", &value);
        conflict.expect(b("n"), None);
        proxy.set(LOSE_ANSWERS);
        let lost = kv.commit(conflict).await;
        assert!(matches!(lost, Err(KvError::Unknown(_))), "{lost:?}");
        proxy.set(PASS);
        reached_commit(&kv).await;
        assert_eq!(kv.get(b"asked").await, Ok(None));
    }
}

/// Waits out the pause between attempts to connect.
async fn reached(kv: &Postgres, key: &str, value: &str) {
    for _ in 0..1000 {
        match kv.get(key.as_bytes()).await {
            Ok(found) => return assert_eq!(found, Some(b(value))),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
    panic!("it does not come back");
}

async fn reached_commit(kv: &Postgres) {
    for _ in 0..1000 {
        if kv.commit(set("n", "0")).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it does not come back");
}
