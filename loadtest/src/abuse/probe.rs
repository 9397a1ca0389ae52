//! What the good client does beside its small records, where an attack is said to hurt that: larger batches, larger reads,
//! or the questions of whoever watches the broker's health.

use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use protocol::ErrorCode;
use protocol::messages::{FetchRequest, ProduceRequest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use super::good::{Lane, Target};
use crate::client::{self, Receiver, Sender};
use crate::produce;

/// Between two of a kind.
const EVERY: Duration = Duration::from_millis(500);
pub(super) const PRODUCE_VERSION: i16 = 9;
pub(super) const FETCH_VERSION: i16 = 12;
/// Topics of the good client's, for batches of any size, and for reads of a megabyte.
pub(super) const TO: &str = "good-large";
pub(super) const FROM: &str = "good-stored";

/// What else is done all along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Probe {
    /// Produces a record of so many bytes.
    Produce { bytes: usize },
    /// Fetches a batch of about a megabyte.
    Fetch,
    /// Asks whether it lives, on a new connection each time.
    Health,
}

impl Probe {
    pub(super) fn name(self) -> String {
        match self {
            Self::Produce { bytes } => format!("produce {} KB", bytes / 1000),
            Self::Fetch => "fetch 1 MB".to_owned(),
            Self::Health => "health".to_owned(),
        }
    }

    /// Until then.
    pub(super) async fn run(self, target: &Target, end: Instant) -> Lane {
        let mut lane = Lane::new(self.name());
        let mut due = Instant::now();
        let mut connection = None;
        while due < end {
            sleep_until(due).await;
            let once = self.once(target, &mut connection);
            match timeout(target.patience, once).await {
                Ok(Ok(())) => lane.latencies.record(due.elapsed()),
                failed => {
                    connection = None;
                    lane.failed(match failed {
                        Ok(Err(error)) => format!("{error:#}"),
                        _ => format!("no answer within {} s", target.patience.as_secs()),
                    });
                }
            }
            // One that waited long asks again once it is answered.
            due = (due + EVERY).max(Instant::now());
        }
        lane
    }

    async fn once(
        self,
        target: &Target,
        connection: &mut Option<(Sender, Receiver)>,
    ) -> anyhow::Result<()> {
        if self == Self::Health {
            let status = page(&target.http, "/health/live").await?;
            anyhow::ensure!(status == 200, "health is {status}");
            return Ok(());
        }
        if connection.is_none() {
            *connection = Some(client::connect(&target.kafka).await?);
        }
        let connection = connection.as_mut().context("it is connected")?;
        let error = match self {
            Self::Produce { bytes } => {
                let batch = super::good::batch(Bytes::from(vec![b'x'; bytes]));
                let request = produce::request(TO, 0, batch);
                let answer = client::ask::<ProduceRequest>(connection, PRODUCE_VERSION, &request);
                let answer = answer.await?;
                let topic = answer.responses.first();
                let partition = topic.and_then(|topic| topic.partition_responses.first());
                partition.context("no partition in the answer")?.error_code
            }
            _ => {
                let request = super::good::fetch(FROM, 0, 0);
                let answer = client::ask::<FetchRequest>(connection, FETCH_VERSION, &request);
                let answer = answer.await?;
                let topic = answer.responses.first();
                let partition = topic.and_then(|topic| topic.partitions.first());
                let partition = partition.context("no partition in the answer")?;
                let records = partition.records.as_ref();
                let some = records.is_some_and(|records| !records.is_empty());
                anyhow::ensure!(
                    some || partition.error_code != ErrorCode::NONE,
                    "no records"
                );
                partition.error_code
            }
        };
        anyhow::ensure!(error == ErrorCode::NONE, "{error}");
        Ok(())
    }
}

/// A page's status.
pub(super) async fn page(http: &str, path: &str) -> anyhow::Result<u16> {
    let mut socket = TcpStream::connect(http).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {http}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    socket.read_to_string(&mut text).await?;
    let status = text.split(' ').nth(1).context("no status in the answer")?;
    Ok(status.parse()?)
}
