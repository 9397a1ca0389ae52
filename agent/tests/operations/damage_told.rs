//! Damage in a bucket that speaks S3, and who is told of it: each reader at once, beside partitions that are well; the log
//! once; whoever watches the metric.

use std::collections::HashMap;

use protocol::ErrorCode;
use protocol::messages::FetchRequest;
use tokio::time::Instant;

use super::bucket::Held;
use super::damaged_index::by_time;
use super::lifecycle::over;
use super::tools::{records_of, until};
use crate::support::client::{Client, batch, fetch_request};

const DAMAGED: [&str; 4] = ["overwritten", "gone", "emptied", "cut-short"];
/// For which damage is remembered, and a little.
const REMEMBERED_SECONDS: u64 = 5;

/// Topics of one record each, in a segment each; and where those lie.
async fn fill(client: &mut Client, bucket: &Held) -> HashMap<&'static str, String> {
    let mut at = HashMap::new();
    for topic in DAMAGED.into_iter().chain(["well", "another"]) {
        assert_eq!(client.create_topic(topic, 1, &[]).await, ErrorCode::NONE);
        // As long as each other, so that positions and lengths fit.
        let value = format!("{topic:>20}");
        let placed = client.produce(topic, 0, batch(&[&value])).await;
        assert_eq!(placed.error_code, ErrorCode::NONE);
        let mut segments = bucket.segments().into_keys();
        let new = segments.find(|path| !at.values().any(|known| known == path));
        at.insert(topic, new.expect("a segment"));
    }
    at
}

/// All topics with one request, the one that is well first. Who got what.
async fn fetch(client: &mut Client) -> HashMap<String, (ErrorCode, usize)> {
    let mut request: FetchRequest = fetch_request("well", 0, 0, 0);
    for topic in DAMAGED {
        request.topics.extend(fetch_request(topic, 0, 0, 0).topics);
    }
    let answer = client.ask(12, &request).await;
    let topics = answer.responses.into_iter().map(|topic| {
        let data = &topic.partitions[0];
        (topic.topic, (data.error_code, records_of(data).len()))
    });
    topics.collect()
}

#[tokio::test]
async fn damage_is_told_to_readers_to_the_log_and_to_the_metric() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let bucket = Held::start().await;
    // Nothing stays in memory.
    let broker = over(&bucket, &log, &["--cache-memory", "1"]).await;
    let mut client = Client::connect(broker.listen).await;
    let at = fill(&mut client, &bucket).await;
    let well = fetch(&mut client).await;
    assert!(
        well.values().all(|got| *got == (ErrorCode::NONE, 1)),
        "{well:?}"
    );
    assert_eq!(broker.metric("penstock_damage_total", &[]).await, 0.0);

    let segments = bucket.segments();
    bucket.replace(&at["overwritten"], segments.get(&at["another"]).cloned());
    bucket.replace(&at["gone"], None);
    bucket.replace(&at["emptied"], Some(bytes::Bytes::new()));
    let cut = segments[&at["cut-short"]].slice(..40);
    bucket.replace(&at["cut-short"], Some(cut));
    let before: HashMap<_, _> = at
        .iter()
        .map(|(topic, path)| (*topic, bucket.gets(path)))
        .collect();
    let began = Instant::now();
    let damaged = (ErrorCode::KAFKA_STORAGE_ERROR, 0);
    until(
        "readers of all four are told, beside one that reads",
        async || {
            let got = fetch(&mut client).await;
            assert_eq!(got["well"], (ErrorCode::NONE, 1));
            DAMAGED.iter().all(|topic| got[*topic] == damaged)
        },
    )
    .await;
    for topic in DAMAGED {
        assert_eq!(by_time(&mut client, topic, 0).await, damaged.0, "{topic}");
        assert_eq!(client.fetch(topic, 0, 0).await.error_code, damaged.0);
    }
    // Two looks, for what came may have been a whim; not tries for twenty seconds.
    let looks = 1 + began.elapsed().as_secs() / REMEMBERED_SECONDS;
    for topic in DAMAGED {
        let asked = bucket.gets(&at[topic]) - before[topic];
        assert!(asked as u64 <= 2 * looks, "{topic}: {asked}");
    }

    for (kind, at_least) in [("missing", 3.0), ("block", 9.0)] {
        let label = format!("kind=\"{kind}\"");
        let counted = broker.metric("penstock_damage_total", &[&label]).await;
        assert!(counted >= at_least, "{kind}: {counted}");
    }
    let said = std::fs::read_to_string(&log).unwrap();
    for topic in DAMAGED {
        let object = at[topic].rsplit('/').next().unwrap();
        let lines: Vec<_> = said.lines().filter(|line| line.contains(object)).collect();
        assert_eq!(lines.len(), 1, "{topic}: {lines:?}");
        for part in [
            "ERROR",
            "damage",
            topic,
            "\"partition\":0",
            "\"from\":0",
            "\"to\":0",
            &format!("\"records\":\"{topic}:0:0-0\""),
        ] {
            assert!(lines[0].contains(part), "no {part} in {}", lines[0]);
        }
    }

    // Brought back, it is read again.
    for topic in DAMAGED {
        bucket.replace(&at[topic], segments.get(&at[topic]).cloned());
    }
    until("all can be read again", async || {
        let got = fetch(&mut client).await;
        got.values().all(|got| *got == (ErrorCode::NONE, 1))
    })
    .await;
}
