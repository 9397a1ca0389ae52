//! A counter that only one writer raises, while backends are killed and servers stopped: no outcome may be a lie.

use tokio::time::Instant;

use super::server::{DATABASE, Server, send};
use super::*;

/// What was seen on the way.
#[derive(Debug, Default)]
struct Seen {
    done: u32,
    refused: u32,
    unknown_landed: u32,
    unknown_lost: u32,
}

/// Raises the number in a row. Every write of it has a nonce, so that two writes of a number are told apart.
struct Counter<'a> {
    kv: &'a Postgres,
    row: Option<Bytes>,
    nonce: u64,
    seen: Seen,
}

impl<'a> Counter<'a> {
    fn new(kv: &'a Postgres) -> Self {
        Self {
            kv,
            row: None,
            nonce: 0,
            seen: Seen::default(),
        }
    }

    fn encode(&mut self, number: u64) -> Bytes {
        self.nonce += 1;
        Bytes::from([number.to_be_bytes(), self.nonce.to_be_bytes()].concat())
    }

    fn number(row: Option<&Bytes>) -> u64 {
        row.map_or(0, |row| u64::from_be_bytes(row[..8].try_into().unwrap()))
    }

    async fn replace(&self, old: Option<Bytes>, new: &Bytes) -> Result<(), KvError> {
        let mut transaction = Transaction::default();
        transaction.expect(b("n"), old);
        transaction.set(b("n"), new.clone());
        transaction.set(b("page"), Bytes::from(vec![new[7]; 20_000]));
        self.kv.commit(transaction).await
    }

    /// As of now, however long the server is away.
    async fn read(&self) -> Option<Bytes> {
        for _ in 0..2000 {
            match self.kv.get(b"n").await {
                Ok(row) => return row,
                Err(KvError::Unavailable(_) | KvError::TooOld) => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Err(error) => panic!("{error:?}"),
            }
        }
        panic!("the server stays away");
    }

    /// Whatever was unknown can no longer happen afterwards; what the row holds then.
    async fn settle(&mut self) {
        loop {
            let found = self.read().await;
            let next = self.encode(Self::number(found.as_ref()));
            match self.replace(found, &next).await {
                Ok(()) => return self.row = Some(next),
                Err(KvError::Corrupt(text)) => panic!("{text}"),
                Err(_) => {}
            }
        }
    }

    async fn raise(&mut self) {
        let number = Self::number(self.row.as_ref());
        let next = self.encode(number + 1);
        match self.replace(self.row.clone(), &next).await {
            Ok(()) => {
                self.seen.done += 1;
                self.row = Some(next);
                assert_eq!(self.read().await, self.row, "what was confirmed is there");
            }
            Err(KvError::Unknown(_)) => {
                self.settle().await;
                match Self::number(self.row.as_ref()) - number {
                    0 => self.seen.unknown_lost += 1,
                    1 => self.seen.unknown_landed += 1,
                    more => panic!("{more} more"),
                }
            }
            Err(KvError::Unavailable(_) | KvError::TooOld) => {
                self.seen.refused += 1;
                assert_eq!(self.read().await, self.row, "what was refused is not there");
            }
            Err(error) => panic!("nobody else writes: {error:?}"),
        }
    }

    /// Raises until so many succeeded: the store finds its server again in its own time.
    async fn succeed(&mut self, times: u32) {
        let (goal, limit) = (
            self.seen.done + times,
            Instant::now() + Duration::from_secs(60),
        );
        while self.seen.done < goal {
            assert!(Instant::now() < limit, "{:?}", self.seen);
            self.raise().await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

#[tokio::test]
async fn backends_killed_around_commits_make_no_wrong_answer() {
    let Some(server) = Server::start() else {
        return;
    };
    let kv = open(&server, "").await;
    let kill = "DO $$ BEGIN FOR i IN 1..60 LOOP PERFORM pg_stat_clear_snapshot(); \
                PERFORM pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'penstock'; \
                PERFORM pg_sleep(0.03 + random() * 0.04); END LOOP; END $$";
    let mut killer = server.psql(DATABASE, kill).spawn().unwrap();
    let mut counter = Counter::new(&kv);
    while killer.try_wait().unwrap().is_none() {
        counter.raise().await;
    }
    println!("{:?}", counter.seen);
    let seen = &counter.seen;
    let cut_off = seen.unknown_lost + seen.unknown_landed + seen.refused;
    assert!(cut_off > 5, "{seen:?}");
    counter.succeed(20).await;
}

/// The server takes all its backends down and recovers when one of them dies.
#[tokio::test]
async fn a_backend_that_dies_takes_all_down_and_they_come_back() {
    let Some(server) = Server::start() else {
        return;
    };
    let kv = open(&server, "").await;
    let mut counter = Counter::new(&kv);
    for _ in 0..5 {
        counter.raise().await;
        let find = "SELECT min(pid) FROM pg_stat_activity WHERE application_name = 'penstock' AND query LIKE '%.write(%'";
        let found = server.sql("postgres", find);
        let Ok(backend) = found.parse() else { continue };
        send("KILL", backend);
        counter.succeed(20).await;
    }
    assert!(counter.seen.done >= 50, "{:?}", counter.seen);
}

#[tokio::test]
async fn servers_stopped_in_order_or_not_come_back_with_what_was_confirmed() {
    let Some(mut server) = Server::with(&[], |_| {}) else {
        return;
    };
    let kv = open(&server, "").await;
    let mut counter = Counter::new(&kv);
    for signal in ["INT", "QUIT", "INT", "QUIT"] {
        counter.succeed(20).await;
        // In the middle of a commit, as often as not.
        let (stopped, ()) = tokio::join!(
            tokio::task::spawn_blocking(move || {
                server.stop(signal);
                server
            }),
            async {
                let number = Counter::number(counter.row.as_ref());
                for _ in 0..2000_u32 {
                    let next = counter.encode(number + 1);
                    match kv.commit(noise(&next)).await {
                        Ok(()) => {}
                        Err(_) => break,
                    }
                }
            }
        );
        server = stopped.unwrap();
        let away = kv.commit(set("away", "1")).await;
        assert!(matches!(away, Err(KvError::Unavailable(_))), "{away:?}");
        assert!(matches!(
            kv.get(b"away").await,
            Err(KvError::Unavailable(_))
        ));
        server.run();
    }
    assert!(counter.seen.done >= 80, "{:?}", counter.seen);
}

fn noise(value: &Bytes) -> Transaction {
    let mut transaction = Transaction::default();
    transaction.set(b("noise"), value.clone());
    transaction
}

/// A server that is stopped like a process in a debugger is silent; it is not waited for without end.
#[tokio::test]
async fn a_silent_server_is_given_up_and_found_again() {
    let Some(server) = Server::start() else {
        return;
    };
    let kv = open(&server, "").await;
    kv.commit(set("n", "1")).await.unwrap();
    let find = "SELECT string_agg(pid::text, ' ') FROM pg_stat_activity WHERE application_name = 'penstock'";
    let backends: Vec<u32> = server
        .sql("postgres", find)
        .split(' ')
        .map(|pid| pid.parse().unwrap())
        .collect();
    backends.iter().for_each(|pid| send("STOP", *pid));
    let silent = tokio::time::timeout(Duration::from_secs(60), kv.commit(set("n", "2"))).await;
    let silent = silent.expect("it is not waited for without end");
    assert!(matches!(silent, Err(KvError::Unknown(_))), "{silent:?}");
    // On a connection of its own, while the other backend still sleeps and may yet commit.
    kv.commit(set("m", "1")).await.unwrap();
    backends.iter().for_each(|pid| send("CONT", *pid));
    kv.commit(set("n", "3")).await.unwrap();
    assert_eq!(kv.get(b"m").await, Ok(Some(b("1"))));
}
