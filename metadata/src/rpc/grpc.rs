//! Links over sockets: one gRPC stream of frames on a connection of its own, with or without mutual TLS. Frames are opaque
//! here; `message` reads them. The agent's `server/` accepts sockets and hands them to [`accept`].

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use http::uri::PathAndQuery;
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::StreamingService;
use tonic::{Status, Streaming};

use super::budget::{Budget, Part};
use super::counted::{Counted, WINDOW_BYTES};
use super::link::{DialError, FRAMES_MAX, Link};
use super::message::FRAME_BYTES_MAX;
use crate::shown::Shown;

const PATH: &str = "/penstock.metadata.v1.Sequencer/Session";
/// For TLS, HTTP/2 and the beginning of the stream.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(5);
/// With which all that speak TLS begin.
const TLS_HANDSHAKE: [u8; 1] = [0x16];
const NO_TLS: &str = "it speaks no TLS, and this process wants it of all peers: give that one --peer-tls-cert, --peer-tls-key and \
                      --peer-tls-ca";
/// Below what the links themselves notice: it keeps what lies between awake.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Bytes on their way to an agent that nobody has taken yet; for what agents send, `counted` has a bound.
const AGENT_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
const HEADER_BYTES_MAX: u32 = 16 * 1024;

/// How peers speak with each other.
#[derive(Clone, Debug)]
pub enum Wire {
    Plain,
    /// Each side shows a certificate that the other's authority has signed.
    Tls(Tls),
}

/// Mutual TLS.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Tls {
    pub(super) fn new(acceptor: TlsAcceptor, connector: TlsConnector) -> Self {
        Self {
            acceptor,
            connector,
        }
    }
}

/// Connects to `HOST:PORT`.
///
/// # Errors
/// See [`DialError`].
pub async fn dial(wire: &Wire, address: &str) -> Result<Link, DialError> {
    let socket = connect(address).await?;
    match wire {
        Wire::Plain => begin(socket).await.map_err(|error| {
            let likely = "wants TLS, or is no metadata process (a port for Kafka clients, say)";
            broke_off(error, likely)
        }),
        Wire::Tls(tls) => {
            let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
            let host = host.trim_matches(['[', ']']).to_owned();
            let name = tokio_rustls::rustls::pki_types::ServerName::try_from(host)
                .map_err(DialError::failed)?;
            let socket = tls.connector.connect(name, socket).await.map_err(failed)?;
            // In TLS 1.3 a client is done before the server has looked at its certificate.
            begin(socket)
                .await
                .map_err(|error| broke_off(error, "does not trust this process's certificate"))
        }
    }
}

/// Whoever refuses a peer only closes the connection. So it looks where a process is killed: what its system had accepted for
/// it until then is reset, and only later ones are refused. That happens more often, so it is said first.
fn broke_off(error: DialError, likely: &str) -> DialError {
    match error {
        DialError::Refused => DialError::Refused,
        DialError::Failed(reason) => DialError::Failed(format!(
            "it broke off: it stopped just then, or {likely}: {reason}"
        )),
    }
}

async fn connect(address: &str) -> Result<TcpStream, DialError> {
    let socket = TcpStream::connect(address).await.map_err(failed)?;
    // Frames are written whole; waiting for more would only delay them.
    socket.set_nodelay(true).map_err(failed)?;
    Ok(socket)
}

fn failed(error: io::Error) -> DialError {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => DialError::Refused,
        _ => DialError::failed(error),
    }
}

/// The agent's end of a link over any ordered bytes.
pub(super) async fn begin<I>(io: I) -> Result<Link, DialError>
where
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (requests, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .initial_stream_window_size(AGENT_WINDOW_BYTES)
        .initial_connection_window_size(AGENT_WINDOW_BYTES)
        .max_header_list_size(HEADER_BYTES_MAX)
        .handshake::<_, Body>(TokioIo::new(io))
        .await
        .map_err(DialError::failed)?;
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        // Its end is seen at the stream.
        let _ = connection.await;
    });
    let (sender, frames) = mpsc::channel(FRAMES_MAX);
    let origin = Uri::from_static("http://sequencer");
    let mut grpc = tonic::client::Grpc::with_origin(Requests(requests), origin)
        .max_decoding_message_size(FRAME_BYTES_MAX)
        .max_encoding_message_size(FRAME_BYTES_MAX);
    let ask = tonic::Request::new(ReceiverStream::new(frames));
    let path = PathAndQuery::from_static(PATH);
    let answered = timeout(HANDSHAKE_TIME_MAX, grpc.streaming(ask, path, Frames)).await;
    let answered = answered
        .map_err(|_| DialError::Failed("no answer".to_owned()))?
        .map_err(|status| DialError::failed(said(&status)))?;
    let (into, receiver) = mpsc::channel(FRAMES_MAX);
    driver.spawn(async move {
        pump(answered.into_inner(), into).await;
    });
    Ok(Link {
        sender,
        receiver,
        from: None,
        part: None,
        _driver: Some(driver),
    })
}

/// Serves a socket to its end; the stream that its peer begins goes to `links`.
///
/// # Errors
/// With why the peer was not served, for the log.
pub async fn accept(
    wire: &Wire,
    socket: TcpStream,
    links: mpsc::Sender<Link>,
    budget: &Budget,
) -> Result<(), String> {
    // As above.
    socket
        .set_nodelay(true)
        .map_err(|error| error.to_string())?;
    let from = socket.peer_addr().ok().map(|peer| peer.ip());
    let mut first = [0];
    let peeked = timeout(HANDSHAKE_TIME_MAX, socket.peek(&mut first)).await;
    if let Ok(Ok(0)) = peeked {
        // Somebody who only looked whether anybody is here.
        return Ok(());
    }
    match wire {
        Wire::Plain => serve(socket, from, links, budget).await,
        Wire::Tls(_) if matches!(peeked, Ok(Ok(_))) && first != TLS_HANDSHAKE => {
            Err(NO_TLS.to_owned())
        }
        Wire::Tls(tls) => {
            let socket = timeout(HANDSHAKE_TIME_MAX, tls.acceptor.accept(socket)).await;
            let socket = socket.map_err(|_| "no TLS handshake in time".to_owned())?;
            let socket = socket.map_err(|error| error.to_string())?;
            serve(socket, from, links, budget).await
        }
    }
}

/// The sequencer's end of a link over any ordered bytes, from a peer at that machine.
pub(super) async fn serve<I>(
    io: I,
    from: Option<IpAddr>,
    links: mpsc::Sender<Link>,
    budget: &Budget,
) -> Result<(), String>
where
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let deadline = tokio::time::Instant::now() + HANDSHAKE_TIME_MAX;
    let (begun, mut streams) = mpsc::channel(1);
    let part = budget.part(from);
    let service = service_fn(move |request: Request<Incoming>| {
        let (request, body) = request.into_parts();
        let mut begin = Begin {
            from,
            links: links.clone(),
            begun: begun.clone(),
            frames: Some(Counted::new(body, Arc::clone(&part))),
            part: Arc::clone(&part),
        };
        // tonic would keep a buffer as large as the largest frame, so its frames are put together here.
        let request = Request::from_parts(request, Body::empty());
        async move {
            let known = request.uri().path() == PATH;
            let mut grpc = tonic::server::Grpc::new(Frames)
                .max_decoding_message_size(FRAME_BYTES_MAX)
                .max_encoding_message_size(FRAME_BYTES_MAX);
            let response: Response<Body> = match known {
                true => grpc.streaming(&mut begin, request).await,
                false => Status::unimplemented("no such service").into_http(),
            };
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_header_list_size(HEADER_BYTES_MAX)
        .max_concurrent_streams(1)
        .serve_connection(TokioIo::new(io), service);
    tokio::pin!(connection);
    let mut stream: Option<Pumping> = None;
    loop {
        tokio::select! {
            ended = &mut connection => return ended.map_err(|error| error.to_string()),
            Some(begun) = streams.recv() => stream = Some(begun),
            ended = run(&mut stream), if stream.is_some() => {
                ended?;
                return finish(connection).await;
            }
            () = sleep_until(deadline), if stream.is_none() => return Err("it asks for nothing".to_owned()),
        }
    }
}

/// The peer's stream has ended; what is still to be written is.
async fn finish(connection: impl Future<Output = hyper::Result<()>>) -> Result<(), String> {
    match timeout(HANDSHAKE_TIME_MAX, connection).await {
        Ok(ended) => ended.map_err(|error| error.to_string()),
        Err(_) => Ok(()),
    }
}

type Pumping = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

async fn run(stream: &mut Option<Pumping>) -> Result<(), String> {
    match stream {
        Some(stream) => stream.await,
        None => Ok(()),
    }
}

/// Frames from the sequencer's process, until there are no more or nobody wants them.
async fn pump(mut frames: Streaming<Bytes>, into: mpsc::Sender<Bytes>) {
    loop {
        let frame = tokio::select! {
            frame = frames.message() => frame,
            () = into.closed() => return,
        };
        match frame {
            Ok(Some(frame)) => {
                if into.send(frame).await.is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(status) => {
                return tracing::debug!(why = %Shown::sentence(said(&status)), "a link broke");
            }
        }
    }
}

/// Why a stream ended, for people: as a whole, a status shows its insides.
fn said(status: &Status) -> &str {
    match status.message() {
        "" => status.code().description(),
        message => message,
    }
}

/// Makes a link of the stream that the peer begins.
struct Begin {
    from: Option<IpAddr>,
    links: mpsc::Sender<Link>,
    begun: mpsc::Sender<Pumping>,
    /// What the peer says in the stream.
    frames: Option<Counted>,
    part: Arc<Part>,
}

type Outgoing = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;
type Beginning = Pin<Box<dyn Future<Output = Result<tonic::Response<Outgoing>, Status>> + Send>>;

impl StreamingService<Bytes> for &mut Begin {
    type Response = Bytes;
    type ResponseStream = Outgoing;
    type Future = Beginning;

    fn call(&mut self, _: tonic::Request<Streaming<Bytes>>) -> Beginning {
        let said = self.frames.take();
        let (links, begun) = (self.links.clone(), self.begun.clone());
        let (from, part) = (self.from, Some(Arc::clone(&self.part)));
        Box::pin(async move {
            let (into, receiver) = mpsc::channel(FRAMES_MAX);
            let (sender, frames) = mpsc::channel(FRAMES_MAX);
            let link = Link {
                from,
                part,
                ..Link::new(sender, receiver)
            };
            let gone = |_| Status::unavailable("this process is stopping");
            links.send(link).await.map_err(gone)?;
            let twice = || Status::resource_exhausted("one stream a connection");
            let pumping: Pumping = Box::pin(said.ok_or_else(twice)?.pump(into));
            begun.try_send(pumping).map_err(|_| twice())?;
            let frames: Outgoing = Box::pin(ReceiverStream::new(frames).map(Ok));
            Ok(tonic::Response::new(frames))
        })
    }
}

/// hyper's connection as tonic wants it.
struct Requests(SendRequest<Body>);

impl GrpcService<Body> for Requests {
    type ResponseBody = Incoming;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = hyper::Result<Response<Incoming>>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

/// Messages are frames as they are.
#[derive(Clone, Copy, Debug)]
struct Frames;

impl Codec for Frames {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Frames {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, frame: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(frame);
        Ok(())
    }
}

impl Decoder for Frames {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
