//! How attackers behave: they ask and ask again, ask and never read, or announce and hardly send. Who is thrown out comes
//! back at once.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use protocol::messages::{
    CreatePartitionsResponse, DescribeConfigsResponse, FetchResponse, ListOffsetsResponse,
    MetadataResponse, ProduceResponse,
};
use protocol::{ErrorCode, Request, RequestHeader};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::tally::Tally;

/// Before one that was thrown out comes back.
const PAUSE: Duration = Duration::from_millis(10);
/// Of who never reads: what it sends on before the broker took it.
const UNREAD_BYTES_MAX: usize = 64 * 1024;
/// Of who sends slowly: its pieces, ten a second.
const PIECE_EVERY: Duration = Duration::from_millis(100);
/// What a broker may read of a frame before it asks itself whether to.
const FIRST_BYTES: usize = 16 * 1024;

/// Of an answer that is so large and as long as another one it is taken that it says the same. To read them all would take
/// from the broker the cores that it is measured on.
const LARGE_ANSWER_BYTES: usize = 64 * 1024;

type Attacker = dyn Fn(usize, Tally) -> BoxFuture<'static, ()> + Send + Sync;

/// What so many sockets do, each until it is dropped. The number tells them apart.
#[derive(Clone)]
pub(super) struct Attack {
    sockets: usize,
    attacker: Arc<Attacker>,
}

impl fmt::Debug for Attack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attack")
            .field("sockets", &self.sockets)
            .finish_non_exhaustive()
    }
}

impl Attack {
    pub(super) fn new<F>(
        sockets: usize,
        attacker: impl Fn(usize, Tally) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let attacker = move |number, tally| attacker(number, tally).boxed();
        Self {
            sockets,
            attacker: Arc::new(attacker),
        }
    }

    /// All of them, gone when dropped.
    pub(super) fn begin(&self, crowd: &mut JoinSet<()>, tally: &Tally) {
        for number in 0..self.sockets {
            crowd.spawn((self.attacker)(number, tally.clone()));
        }
    }
}

/// What an answer says first that is no success.
pub(super) trait FirstError {
    fn first_error(&self) -> ErrorCode;
}

fn first(mut codes: impl Iterator<Item = ErrorCode>) -> ErrorCode {
    let error = codes.find(|code| *code != ErrorCode::NONE);
    error.unwrap_or(ErrorCode::NONE)
}

macro_rules! first_error {
    ($($response:ty: $answer:ident => $codes:expr;)*) => {
        $(impl FirstError for $response {
            fn first_error(&self) -> ErrorCode {
                let $answer = self;
                first($codes)
            }
        })*
    };
}

first_error! {
    FetchResponse: answer => {
        let partitions = answer.responses.iter().flat_map(|topic| &topic.partitions);
        std::iter::once(answer.error_code).chain(partitions.map(|each| each.error_code))
    };
    ProduceResponse: answer => {
        let partitions = answer.responses.iter().flat_map(|topic| &topic.partition_responses);
        partitions.map(|each| each.error_code)
    };
    ListOffsetsResponse: answer => {
        answer.topics.iter().flat_map(|topic| &topic.partitions).map(|each| each.error_code)
    };
    MetadataResponse: answer => answer.topics.iter().map(|topic| topic.error_code);
    CreatePartitionsResponse: answer => answer.results.iter().map(|topic| topic.error_code);
    DescribeConfigsResponse: answer => answer.results.iter().map(|each| each.error_code);
}

/// A request as it goes over the wire.
pub(super) fn frame<R: Request>(version: i16, request: &R) -> Bytes {
    let header = RequestHeader {
        api_key: R::KEY.code(),
        api_version: version,
        correlation_id: 7,
        client_id: Some("abuse".into()),
    };
    let mut frame = BytesMut::new();
    for slice in protocol::encode_request(&header, request) {
        frame.extend_from_slice(&slice);
    }
    frame.freeze()
}

/// Each socket sends one of the requests again and again, and reads the answers.
pub(super) fn asks<R>(sockets: usize, to: &str, version: i16, requests: &[R]) -> Attack
where
    R: Request,
    R::Response: FirstError,
{
    let read = move |answer| match protocol::decode_response::<R>(version, answer) {
        Ok((_, response)) => response.first_error().name().to_owned(),
        Err(error) => format!("nonsense: {error}"),
    };
    let known = Arc::new(Mutex::new(BTreeMap::new()));
    let said = move |answer: Bytes| {
        let bytes = answer.len();
        if bytes < LARGE_ANSWER_BYTES {
            return read(answer);
        }
        if let Some(said) = known.lock().get(&bytes) {
            return String::clone(said);
        }
        let said = read(answer);
        known.lock().insert(bytes, said.clone());
        said
    };
    let frames: Vec<Bytes> = requests.iter().map(|each| frame(version, each)).collect();
    let to = to.to_owned();
    Attack::new(sockets, move |number, tally| {
        let frame = frames[number % frames.len()].clone();
        keep_asking(to.clone(), frame, said.clone(), tally)
    })
}

async fn keep_asking(to: String, frame: Bytes, said: impl Fn(Bytes) -> String, tally: Tally) {
    loop {
        let Some(mut socket) = connect(&to, &tally).await else {
            continue;
        };
        loop {
            tally.ask();
            let begun = Instant::now();
            match ask(&mut socket, &frame).await {
                Ok(answer) => {
                    let bytes = answer.len();
                    tally.answer(&said(answer), begun.elapsed(), bytes);
                }
                Err(_) => {
                    tally.answer("closed", begun.elapsed(), 0);
                    break;
                }
            }
        }
        sleep(PAUSE).await;
    }
}

async fn ask(socket: &mut TcpStream, frame: &[u8]) -> io::Result<Bytes> {
    socket.write_all(frame).await?;
    let length = usize::try_from(socket.read_u32().await?).unwrap_or(0);
    let mut answer = vec![0; length];
    socket.read_exact(&mut answer).await?;
    Ok(answer.into())
}

/// Each socket sends the bytes as long as they are taken, and reads nothing. Of what the broker does not read little waits in
/// this machine: copying megabytes for each socket takes all cores from the good client, and nothing of it from the broker.
pub(super) fn never_reads(sockets: usize, to: &str, bytes: Bytes) -> Attack {
    let to = to.to_owned();
    Attack::new(sockets, move |_, tally| {
        let (to, bytes) = (to.clone(), bytes.clone());
        async move {
            loop {
                if let Some(mut socket) = connect(&to, &tally).await {
                    tally.ask();
                    let begun = Instant::now();
                    // As the system has it where it cannot be set.
                    let _ = SockRef::from(&socket).set_send_buffer_size(UNREAD_BYTES_MAX);
                    while socket.write_all(&bytes).await.is_ok() {}
                    tally.answer("closed", begun.elapsed(), 0);
                }
                sleep(PAUSE).await;
            }
        }
    })
}

/// Each socket announces a frame that begins like that and sends its first bytes, then so many ten times a second; none is
/// as good as a promise.
pub(super) fn trickles(
    sockets: usize,
    to: &str,
    begins: &Bytes,
    length: u32,
    piece: usize,
) -> Attack {
    let mut start = begins.to_vec();
    start.resize(4 + FIRST_BYTES, 0);
    start[..4].copy_from_slice(&length.to_be_bytes());
    let (to, start) = (to.to_owned(), Bytes::from(start));
    Attack::new(sockets, move |_, tally| {
        let (to, start) = (to.clone(), start.clone());
        async move {
            loop {
                if let Some(mut socket) = connect(&to, &tally).await {
                    tally.ask();
                    let begun = Instant::now();
                    // However it ends, the broker ended it.
                    let _ = trickle(&mut socket, &start, piece).await;
                    tally.answer("closed", begun.elapsed(), 0);
                }
                sleep(PAUSE).await;
            }
        }
    })
}

async fn trickle(socket: &mut TcpStream, start: &[u8], piece: usize) -> io::Result<()> {
    socket.write_all(start).await?;
    loop {
        if piece == 0 {
            socket.read_u8().await?;
        }
        socket.write_all(&vec![0; piece]).await?;
        sleep(PIECE_EVERY).await;
    }
}

/// Each socket sends what is no request, and is thrown out for it; each from an address of its own on this machine, or its
/// ports would soon all be taken by connections that were.
pub(super) fn is_refused(sockets: usize, to: &str, nonsense: &[Bytes]) -> Attack {
    let (to, nonsense) = (to.to_owned(), nonsense.to_vec());
    Attack::new(sockets, move |number, tally| {
        let (to, bytes) = (to.clone(), nonsense[number % nonsense.len()].clone());
        let last = u8::try_from(number % 250).unwrap_or_default();
        let from = Ipv4Addr::new(127, 0, 1, last + 1);
        async move {
            loop {
                tally.ask();
                let begun = Instant::now();
                let said = match thrown_out(&to, from, &bytes).await {
                    Ok(()) => "closed",
                    Err(_) => "reset",
                };
                tally.answer(said, begun.elapsed(), 0);
                sleep(PAUSE / 5).await;
            }
        }
    })
}

async fn thrown_out(to: &str, from: Ipv4Addr, bytes: &[u8]) -> anyhow::Result<()> {
    let to: SocketAddr = to.parse()?;
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    let mut socket = socket.connect(to).await?;
    socket.write_all(bytes).await?;
    socket.read_to_end(&mut Vec::new()).await?;
    Ok(())
}

/// None after a while where nobody lets it in.
async fn connect(to: &str, tally: &Tally) -> Option<TcpStream> {
    let begun = Instant::now();
    if let Ok(socket) = TcpStream::connect(to).await
        && socket.set_nodelay(true).is_ok()
    {
        return Some(socket);
    }
    tally.ask();
    tally.answer("no connection", begun.elapsed(), 0);
    sleep(PAUSE).await;
    None
}
