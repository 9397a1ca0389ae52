//! How often clients are answered that the network or the broker could keep waiting: Nagle's algorithm holds small requests
//! back until earlier ones are acknowledged. Counted beside a client that nothing holds up, in the same run.

use std::time::Duration;

use protocol::messages::ProduceRequest;
use protocol::{Request, RequestHeader};
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep};

use crate::shapes::start;
use crate::support::broker::Broker;
use crate::support::client::{Client, batch, produce_request};

/// What Kafka's clients have in flight where batches are numbered.
const IN_FLIGHT: usize = 5;
/// Each of two that are compared has so long in turn, so many times.
const TURN: Duration = Duration::from_millis(200);
const TURNS: usize = 3;
/// A busy machine may hold one of them up by itself, but hardly so often.
const ATTEMPTS: usize = 5;
/// What a client waits that has little to say.
const PACE: Duration = Duration::from_millis(40);
const VERSION: i16 = 9;

fn request() -> ProduceRequest {
    produce_request("rounds", 0, -1, batch(&["small"]))
}

async fn topic() -> Broker {
    let (broker, mut client) = start(&[]).await;
    client.create_topic("rounds", 1, &[]).await;
    broker
}

async fn connect(broker: &Broker, nagle: bool) -> Client {
    let client = Client::connect(broker.listen).await;
    client.socket.set_nodelay(!nagle).expect("a TCP option");
    client
}

/// Five at once, and one more for each answer.
async fn pipelining(client: &mut Client, until: Instant) -> u32 {
    let mut answered = 0;
    for _ in 0..IN_FLIGHT {
        client.send(VERSION, &request()).await;
    }
    while Instant::now() < until {
        client.receive_frame().await.expect("an answer");
        answered += 1;
        client.send(VERSION, &request()).await;
    }
    for _ in 0..IN_FLIGHT {
        client.receive_frame().await.expect("an answer");
    }
    answered
}

/// One at a time, each in two pieces.
async fn in_pieces(client: &mut Client, until: Instant) -> u32 {
    let header = RequestHeader {
        api_key: ProduceRequest::KEY.code(),
        api_version: VERSION,
        correlation_id: 1,
        client_id: None,
    };
    let whole = protocol::encode_request(&header, &request()).concat();
    let mut answered = 0;
    while Instant::now() < until {
        let (first, second) = whole.split_at(whole.len() / 2);
        client.socket.write_all(first).await.expect("sent");
        client.socket.write_all(second).await.expect("sent");
        client.receive_frame().await.expect("an answer");
        answered += 1;
    }
    answered
}

/// Many at once, then one alone, of which only the second kind is counted: nobody knows that no more will come.
async fn bursts(client: &mut Client, until: Instant, burst: usize) -> u32 {
    let mut answered = 0;
    while Instant::now() < until {
        for count in [burst, 1] {
            for _ in 0..count {
                client.send(VERSION, &request()).await;
            }
            for _ in 0..count {
                client.receive_frame().await.expect("an answer");
            }
        }
        answered += 1;
    }
    answered
}

/// At least half as many of the first as of the second.
async fn hardly_fewer(mut turn: impl AsyncFnMut() -> (u32, u32)) {
    let mut counts = Vec::new();
    loop {
        let (mut held, mut free) = (0, 0);
        for _ in 0..TURNS {
            let more = turn().await;
            held += more.0;
            free += more.1;
        }
        if held * 2 >= free {
            return;
        }
        counts.push((held, free));
        assert!(counts.len() < ATTEMPTS, "{counts:?}");
    }
}

#[tokio::test]
async fn small_batches_are_answered_as_often_with_nagle_on() {
    let broker = topic().await;
    let (mut held, mut free) = (connect(&broker, true).await, connect(&broker, false).await);
    hardly_fewer(async || {
        let of_held = pipelining(&mut held, Instant::now() + TURN).await;
        (of_held, pipelining(&mut free, Instant::now() + TURN).await)
    })
    .await;
}

#[tokio::test]
async fn requests_in_two_pieces_are_answered_as_often_with_nagle_on() {
    let broker = topic().await;
    let (mut held, mut free) = (connect(&broker, true).await, connect(&broker, false).await);
    hardly_fewer(async || {
        let of_held = in_pieces(&mut held, Instant::now() + TURN).await;
        (of_held, in_pieces(&mut free, Instant::now() + TURN).await)
    })
    .await;
}

#[tokio::test]
async fn a_request_alone_does_not_wait_for_as_many_as_came_before() {
    let broker = topic().await;
    let (mut many, mut one) = (connect(&broker, false).await, connect(&broker, false).await);
    hardly_fewer(async || {
        let after_many = bursts(&mut many, Instant::now() + TURN, IN_FLIGHT).await;
        let after_one = bursts(&mut one, Instant::now() + TURN, 1).await;
        // Six requests in the time of two.
        (after_many * 3, after_one)
    })
    .await;
}

#[tokio::test]
async fn a_busy_client_does_not_keep_to_the_pace_of_a_slow_one() {
    let broker = topic().await;
    let mut busy = connect(&broker, false).await;
    hardly_fewer(async || {
        let alone = pipelining(&mut busy, Instant::now() + TURN).await;
        let mut slow = connect(&broker, false).await;
        let pace = async {
            loop {
                slow.ask(VERSION, &request()).await;
                sleep(PACE).await;
            }
        };
        let together = tokio::select! {
            () = pace => unreachable!("it goes on"),
            answered = pipelining(&mut busy, Instant::now() + TURN) => answered,
        };
        (together, alone)
    })
    .await;
}
