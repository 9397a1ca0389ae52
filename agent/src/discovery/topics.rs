//! Brokers and topics as clients are told of them, encoded one after the other, and how many bytes that takes: of an answer
//! with a million partitions only the bytes are held. Called by `cluster_metadata` and by `shared`.

use std::sync::Arc;

use metadata::{Catalogue, Topic};
use protocol::messages::MetadataRequest;
use protocol::messages::metadata::{
    MetadataRequestTopic, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use protocol::{Elements, Encoded, ErrorCode, Uuid};

use crate::brokers::{Brokers, Placement};
use crate::tasks::StillWanted;

/// How much longer a topic's name and its number of partitions make their lengths.
const LENGTHS_BYTES: usize = 8;
/// What a broker takes besides its names where it is encoded, at the most.
const BROKER_BYTES: usize = 32;
/// What a partition takes besides its struct until it is encoded: two lists of replicas.
const REPLICAS_BYTES: usize = 64;

/// What the topics of an answer have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) version: i16,
    pub(super) leader_epoch: i32,
    pub(super) placement: Placement,
}

/// A topic that is to be told.
#[derive(Debug)]
pub(super) enum Described {
    /// With what the client may do with it.
    Found(Arc<Topic>, i32),
    /// With why there is none for the client.
    Refused(MetadataRequestTopic, ErrorCode),
}

/// Bytes of an answer, counted before it is made; never too few.
#[derive(Debug)]
pub(super) struct Size {
    /// Of a topic without a name and partitions, and of a partition, as encoded.
    topic: usize,
    partition: usize,
    /// Of what was counted so far.
    pub(super) encoded: usize,
    /// Of the list of brokers, which is there as structs.
    listed: usize,
    /// Partitions of the largest topic: those of one are there as structs.
    partitions_max: usize,
}

impl Size {
    pub(super) fn new(terms: &Terms) -> Self {
        let replicas = vec![0; terms.placement.replicas_max()];
        let partition = MetadataResponsePartition {
            replica_nodes: replicas.clone(),
            isr_nodes: replicas,
            ..MetadataResponsePartition::default()
        };
        let topic = MetadataResponseTopic {
            name: Some(String::new()),
            ..MetadataResponseTopic::default()
        };
        Self {
            topic: Elements::size_of::<MetadataRequest>(terms.version, &topic) + LENGTHS_BYTES,
            partition: Elements::size_of::<MetadataRequest>(terms.version, &partition),
            encoded: 0,
            listed: 0,
            partitions_max: 0,
        }
    }

    /// A topic more.
    pub(super) fn add(&mut self, name: &str, partitions: i32) {
        let partitions = usize::try_from(partitions).unwrap_or(0);
        self.encoded += self.topic + name.len() + partitions * self.partition;
        self.partitions_max = self.partitions_max.max(partitions);
    }

    /// Brokers, each given with how many bytes its names have.
    pub(super) fn add_brokers(&mut self, names: impl Iterator<Item = usize>) {
        for names in names {
            self.encoded += BROKER_BYTES + names;
            self.listed += size_of::<MetadataResponseBroker>() + names;
        }
    }

    pub(super) fn add_all(&mut self, catalogue: &Catalogue) {
        for topic in catalogue.topics() {
            self.add(&topic.name, topic.partitions);
        }
    }

    pub(super) fn add_described(&mut self, described: &[Described]) {
        for each in described {
            match each {
                Described::Found(topic, _) => self.add(&topic.name, topic.partitions),
                Described::Refused(wanted, _) => {
                    self.add(wanted.name.as_deref().unwrap_or_default(), 0);
                }
            }
        }
    }

    /// With what is held while it is made.
    pub(super) fn bytes(&self) -> usize {
        let struct_bytes = size_of::<MetadataResponsePartition>() + REPLICAS_BYTES;
        self.encoded + self.listed + self.partitions_max * (struct_bytes + self.partition)
    }
}

impl Terms {
    /// Topics, for as long as somebody waits for them.
    pub(super) fn topics(
        &self,
        described: impl Iterator<Item = Described>,
        wanted: &StillWanted,
    ) -> Encoded {
        let mut topics = Elements::new::<MetadataRequest>(self.version);
        for each in described.take_while(|_| wanted.is_wanted()) {
            topics.push(&self.topic(each));
        }
        topics.finish()
    }

    pub(super) fn brokers(&self, brokers: &[MetadataResponseBroker]) -> Encoded {
        let mut encoded = Elements::new::<MetadataRequest>(self.version);
        for broker in brokers {
            encoded.push(broker);
        }
        encoded.finish()
    }

    pub(super) fn topic(&self, described: Described) -> MetadataResponseTopic {
        match described {
            Described::Found(topic, operations) => self.found(&topic, operations),
            Described::Refused(wanted, error_code) => MetadataResponseTopic {
                error_code,
                name: wanted.name,
                topic_id: wanted.topic_id,
                ..MetadataResponseTopic::default()
            },
        }
    }

    fn found(&self, topic: &Topic, operations: i32) -> MetadataResponseTopic {
        let partition = |partition_index| {
            let leader_id = self.placement.leader(topic.id, partition_index);
            let replicas = (self.placement).replicas(leader_id, topic.id, partition_index);
            MetadataResponsePartition {
                partition_index,
                leader_id,
                leader_epoch: self.leader_epoch,
                isr_nodes: replicas.clone(),
                replica_nodes: replicas,
                ..MetadataResponsePartition::default()
            }
        };
        MetadataResponseTopic {
            name: Some(topic.name.clone()),
            topic_id: Uuid(topic.id.0),
            is_internal: false,
            partitions: (0..topic.partitions).map(partition).collect(),
            topic_authorized_operations: operations,
            ..MetadataResponseTopic::default()
        }
    }
}

/// The brokers that the client is told of.
pub(super) fn listed(brokers: &Brokers<'_>) -> Vec<MetadataResponseBroker> {
    let listed = brokers.all().map(|(agent, at)| MetadataResponseBroker {
        node_id: agent.node_id,
        host: at.host.clone(),
        port: at.port.into(),
        rack: agent.zone.clone(),
    });
    listed.collect()
}

/// How many bytes the names of each have, before there is a list.
pub(super) fn names(brokers: &Brokers<'_>) -> impl Iterator<Item = usize> {
    let zone = |zone: &Option<String>| zone.as_ref().map_or(0, String::len);
    let all = brokers.all();
    all.map(move |(agent, at)| at.host.len() + zone(&agent.zone))
}
