//! A client's end of a connection: whole requests out, whole responses in. Reading may be given up at any moment without
//! losing anything.

use bytes::{Buf, Bytes, BytesMut};
use protocol::{Request, RequestHeader};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::{Instant, timeout_at};

/// The connection is over, or the process took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone;

#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) process: u32,
    /// No other connection has it.
    pub(crate) number: u32,
    socket: DuplexStream,
    read: BytesMut,
    correlation_id: i32,
}

impl Wire {
    pub(crate) fn new(socket: DuplexStream, process: u32, number: u32) -> Self {
        Self {
            process,
            number,
            socket,
            read: BytesMut::new(),
            correlation_id: 0,
        }
    }

    /// Sends a request; its correlation id.
    pub(crate) async fn send<R: Request>(
        &mut self,
        version: i16,
        request: &R,
        until: Instant,
    ) -> Result<i32, Gone> {
        self.correlation_id += 1;
        let header = RequestHeader {
            api_key: R::KEY.code(),
            api_version: version,
            correlation_id: self.correlation_id,
            client_id: None,
        };
        for slice in protocol::encode_request(&header, request) {
            let sent = timeout_at(until, self.socket.write_all(&slice)).await;
            sent.map_err(|_| Gone)?.map_err(|_| Gone)?;
        }
        Ok(self.correlation_id)
    }

    /// The next response, undecoded. Loses nothing if it is given up.
    pub(crate) async fn receive(&mut self) -> Result<Bytes, Gone> {
        loop {
            if let Some(mut prefix) = self.read.get(..4) {
                let length = prefix.get_u32() as usize;
                if self.read.len() >= 4 + length {
                    self.read.advance(4);
                    return Ok(self.read.split_to(length).freeze());
                }
            }
            match self.socket.read_buf(&mut self.read).await {
                Ok(0) | Err(_) => return Err(Gone),
                Ok(_) => {}
            }
        }
    }

    /// Asks and waits, with nothing else under way.
    pub(crate) async fn ask<R: Request>(
        &mut self,
        version: i16,
        request: &R,
        until: Instant,
    ) -> Result<R::Response, Gone> {
        let asked = self.send(version, request, until).await?;
        let frame = timeout_at(until, self.receive())
            .await
            .map_err(|_| Gone)??;
        decode::<R>(version, asked, frame)
    }
}

/// A response to the request with that correlation id.
pub(crate) fn decode<R: Request>(
    version: i16,
    asked: i32,
    frame: Bytes,
) -> Result<R::Response, Gone> {
    let (answered, response) = protocol::decode_response::<R>(version, frame).map_err(|_| Gone)?;
    assert_eq!(answered, asked, "responses come in the order of requests");
    Ok(response)
}
