//! A connection that speaks Kafka through `protocol`, or sends whatever bytes it is given.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use protocol::messages::create_topics::CreatableTopic;
use protocol::messages::fetch::{FetchPartition, FetchTopic, PartitionData};
use protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use protocol::messages::produce::{
    PartitionProduceData, PartitionProduceResponse, TopicProduceData,
};
use protocol::messages::{CreateTopicsRequest, FetchRequest, ListOffsetsRequest, ProduceRequest};
use protocol::records::{BatchOptions, Record, build_batch};
use protocol::{ErrorCode, Records, Request, RequestHeader};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::broker::PATIENCE;

/// One socket, requests answered in order.
#[derive(Debug)]
pub struct Client {
    pub socket: TcpStream,
    /// What it calls itself.
    pub client_id: Option<String>,
    correlation_id: i32,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).await.expect("it listens")
    }

    /// `None` where nobody listens.
    pub async fn try_connect(address: SocketAddr) -> Option<Self> {
        let socket = TcpStream::connect(address).await.ok()?;
        socket.set_nodelay(true).expect("a TCP option");
        Some(Self {
            socket,
            client_id: Some("test".to_owned()),
            correlation_id: 0,
        })
    }

    /// Sends a request and gives back its answer.
    pub async fn ask<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        let correlation_id = self.send(version, request).await;
        let frame = self.receive_frame().await.expect("an answer");
        let (answered, response) = protocol::decode_response::<R>(version, frame)
            .expect("an answer in the version asked in");
        assert_eq!(answered, correlation_id, "answers come in order");
        response
    }

    /// Sends a request; its correlation id.
    pub async fn send<R: Request>(&mut self, version: i16, request: &R) -> i32 {
        self.correlation_id += 1;
        let header = RequestHeader {
            api_key: R::KEY.code(),
            api_version: version,
            correlation_id: self.correlation_id,
            client_id: self.client_id.clone(),
        };
        let mut frame = BytesMut::new();
        for slice in protocol::encode_request(&header, request) {
            frame.extend_from_slice(&slice);
        }
        self.socket.write_all(&frame).await.expect("sent");
        self.correlation_id
    }

    /// Sends bytes as they are. False if the broker closed the connection.
    pub async fn send_raw(&mut self, bytes: &[u8]) -> bool {
        self.socket.write_all(bytes).await.is_ok()
    }

    /// The next frame without its length; `None` once the broker closed the connection.
    pub async fn receive_frame(&mut self) -> Option<Bytes> {
        let receive = async {
            let length = self.socket.read_u32().await.ok()?;
            let mut frame = vec![0; length as usize];
            self.socket.read_exact(&mut frame).await.ok()?;
            Some(Bytes::from(frame))
        };
        timeout(PATIENCE, receive)
            .await
            .expect("an answer or an end")
    }

    /// Makes a topic with configs; what it was answered with.
    pub async fn create_topic(
        &mut self,
        name: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> ErrorCode {
        let configs = configs.iter().map(|(name, value)| {
            protocol::messages::create_topics::CreatableTopicConfig {
                name: (*name).to_owned(),
                value: Some((*value).to_owned()),
            }
        });
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: name.to_owned(),
                num_partitions: partitions,
                replication_factor: 1,
                configs: configs.collect(),
                ..Default::default()
            }],
            timeout_ms: 30_000,
            ..Default::default()
        };
        self.ask(7, &request).await.topics[0].error_code
    }

    /// Produces one batch with acks=all.
    pub async fn produce(
        &mut self,
        topic: &str,
        partition: i32,
        batch: Bytes,
    ) -> PartitionProduceResponse {
        let response = self
            .ask(9, &produce_request(topic, partition, -1, batch))
            .await;
        response.responses[0].partition_responses[0].clone()
    }

    /// Fetches one partition with generous limits, without waiting for more.
    pub async fn fetch(&mut self, topic: &str, partition: i32, offset: i64) -> PartitionData {
        let response = self
            .ask(12, &fetch_request(topic, partition, offset, 0))
            .await;
        response.responses[0].partitions[0].clone()
    }
}

pub fn produce_request(topic: &str, index: i32, acks: i16, batch: Bytes) -> ProduceRequest {
    ProduceRequest {
        acks,
        timeout_ms: 30_000,
        topic_data: vec![TopicProduceData {
            name: topic.to_owned(),
            partition_data: vec![PartitionProduceData {
                index,
                records: Some(Records::from(batch)),
            }],
        }],
        ..Default::default()
    }
}

pub fn fetch_request(
    topic: &str,
    partition: i32,
    fetch_offset: i64,
    max_wait_ms: i32,
) -> FetchRequest {
    FetchRequest {
        max_wait_ms,
        min_bytes: 1,
        max_bytes: 50 << 20,
        session_epoch: -1,
        topics: vec![FetchTopic {
            topic: topic.to_owned(),
            partitions: vec![FetchPartition {
                partition,
                current_leader_epoch: -1,
                fetch_offset,
                partition_max_bytes: 1 << 20,
                ..Default::default()
            }],
        }],
        ..Default::default()
    }
}

/// Asks partitions for the first record at or after a time each; -1 is the end.
pub fn list_offsets_request(topic: &str, wanted: &[(i32, i64)]) -> ListOffsetsRequest {
    let partitions = wanted
        .iter()
        .map(|(partition_index, timestamp)| ListOffsetsPartition {
            partition_index: *partition_index,
            current_leader_epoch: -1,
            timestamp: *timestamp,
        });
    ListOffsetsRequest {
        replica_id: -1,
        isolation_level: 0,
        topics: vec![ListOffsetsTopic {
            name: topic.to_owned(),
            partitions: partitions.collect(),
        }],
        timeout_ms: 30_000,
    }
}

/// A batch of plain records with those values.
pub fn batch(values: &[&str]) -> Bytes {
    batch_with(values, BatchOptions::default())
}

pub fn batch_with(values: &[&str], options: BatchOptions) -> Bytes {
    let records: Vec<Record> = (0..)
        .zip(values)
        .map(|(offset_delta, value)| Record {
            offset_delta,
            timestamp_delta: 0,
            key: None,
            value: Some(Bytes::copy_from_slice(value.as_bytes())),
            headers: Vec::new(),
        })
        .collect();
    build_batch(&records, options)
}
