//! A connection that speaks just enough Kafka to make load: pipelined requests, answers in order.

use anyhow::Context;
use bytes::{Bytes, BytesMut};
use protocol::messages::create_topics::CreatableTopic;
use protocol::messages::{CreateTopicsRequest, DeleteTopicsRequest};
use protocol::{ErrorCode, Request, RequestHeader};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// Sends requests.
#[derive(Debug)]
pub(crate) struct Sender {
    socket: OwnedWriteHalf,
    correlation_id: i32,
}

/// Receives their answers.
#[derive(Debug)]
pub(crate) struct Receiver {
    socket: OwnedReadHalf,
    frame_bytes: usize,
}

pub(crate) async fn connect(bootstrap: &str) -> anyhow::Result<(Sender, Receiver)> {
    let socket = TcpStream::connect(bootstrap)
        .await
        .with_context(|| format!("no broker at {bootstrap}"))?;
    socket.set_nodelay(true)?;
    let (read, write) = socket.into_split();
    Ok((
        Sender {
            socket: write,
            correlation_id: 0,
        },
        Receiver {
            socket: read,
            frame_bytes: 0,
        },
    ))
}

impl Sender {
    pub(crate) async fn send<R: Request>(
        &mut self,
        version: i16,
        request: &R,
    ) -> anyhow::Result<()> {
        self.correlation_id = self.correlation_id.wrapping_add(1);
        let header = RequestHeader {
            api_key: R::KEY.code(),
            api_version: version,
            correlation_id: self.correlation_id,
            client_id: Some("loadtest".into()),
        };
        let mut frame = BytesMut::new();
        for slice in protocol::encode_request(&header, request) {
            frame.extend_from_slice(&slice);
        }
        self.socket.write_all(&frame).await?;
        Ok(())
    }
}

impl Receiver {
    /// Of the last answer.
    pub(crate) fn frame_bytes(&self) -> usize {
        self.frame_bytes
    }

    pub(crate) async fn receive<R: Request>(
        &mut self,
        version: i16,
    ) -> anyhow::Result<R::Response> {
        let length = self
            .socket
            .read_u32()
            .await
            .context("the broker closed the connection")?;
        self.frame_bytes = usize::try_from(length)?;
        let mut frame = vec![0; self.frame_bytes];
        self.socket.read_exact(&mut frame).await?;
        let (_, response) = protocol::decode_response::<R>(version, Bytes::from(frame))?;
        Ok(response)
    }
}

/// Sends one request and waits for its answer.
pub(crate) async fn ask<R: Request>(
    connection: &mut (Sender, Receiver),
    version: i16,
    request: &R,
) -> anyhow::Result<R::Response> {
    connection.0.send(version, request).await?;
    connection.1.receive::<R>(version).await
}

/// Makes the topic anew.
pub(crate) async fn recreate_topic(
    connection: &mut (Sender, Receiver),
    topic: &str,
    partitions: i32,
) -> anyhow::Result<()> {
    let delete = DeleteTopicsRequest {
        topic_names: vec![topic.to_string()],
        timeout_ms: 30_000,
        ..Default::default()
    };
    ask(connection, 5, &delete).await?;
    let create = CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: topic.to_string(),
            num_partitions: partitions,
            replication_factor: 1,
            ..Default::default()
        }],
        timeout_ms: 30_000,
        ..Default::default()
    };
    let created = ask(connection, 5, &create).await?;
    let result = created.topics.first().context("no answer for the topic")?;
    anyhow::ensure!(
        result.error_code == ErrorCode::NONE,
        "cannot create {topic}: {:?}",
        result.error_code
    );
    Ok(())
}
