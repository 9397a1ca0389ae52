//! Frames off a socket. A frame's first chunk is read on credit, judged, and only then is memory asked for the rest,
//! so a length prefix costs nothing and a trickling peer holds almost nothing. Who then sends too slowly makes room for
//! others.

use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use protocol::{ApiKey, DecodeError, RequestHeader, frame};
use tokio::io::{AsyncReadExt, ReadBuf};
use tokio::time::{Instant, sleep, timeout_at};

use super::Close;
use super::arrivals::Arrivals;
use super::in_flight::InFlight;
use crate::admission::{self, Admission, FIRST_CHUNK_BYTES, Permit};
use crate::origin::Origin;

/// Kafka's `connections.max.idle.ms`.
const IDLE_MAX: Duration = Duration::from_secs(600);
/// From a frame's first byte to the end of its first chunk.
const FIRST_CHUNK_TIME_MAX: Duration = Duration::from_secs(10);
/// For the rest of a frame: this, and a second for each `BYTES_PER_SECOND_MIN` that have arrived. A peer that stops
/// sending holds its permit no longer than the first.
const REST_TIME_MAX: Duration = Duration::from_secs(10);
const BYTES_PER_SECOND_MIN: usize = 64 * 1024;
/// What takes longer is given up if its client has left though something is to be heard of him: all of his requests together,
/// until their places in the order are taken, and one where he asked for more before he left.
pub(super) const LEFT_AFTER: Duration = Duration::from_secs(1);
/// How often a frame that arrives is compared with what others wait for.
const COMPARE_EVERY: Duration = Duration::from_millis(100);
/// How often it is looked whether all of a frame is here that waits for its permit.
const LOOK_MIN: Duration = Duration::from_millis(2);
const LOOK_MAX: Duration = Duration::from_millis(64);
/// Requests that name partitions, of which there may be many, each answered with about as much as was asked.
const PARTITIONS_FRAME_BYTES_MAX: usize = 8 * 1024 * 1024;
/// All others but Produce. Two bytes in them can ask for an answer of a hundred.
const OTHER_FRAME_BYTES_MAX: usize = 1024 * 1024;
const LENGTH_BYTES: usize = 4;
/// Read ahead at the most.
const AHEAD_BYTES: usize = LENGTH_BYTES + FIRST_CHUNK_BYTES;

/// A whole request, without its length prefix.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) bytes: Bytes,
    pub(super) permit: Permit,
    pub(super) turn: Turn,
}

/// When the next request is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// At once: batches of several requests share a segment.
    Pipelined,
    /// Once this one is answered, as in Kafka. A request that waits for long, then, holds none behind it in memory. Nor is it
    /// read itself before all others are answered.
    Alone,
}

#[derive(Debug)]
pub(super) struct Frames<R> {
    socket: R,
    /// What was read and not yet handed out: never more than a first chunk and its length prefix. Empty when idle.
    ahead: BytesMut,
    admission: Admission,
    origin: Origin,
}

impl<R: Arrivals> Frames<R> {
    pub(super) fn new(socket: R, admission: Admission, origin: Origin) -> Self {
        Self {
            socket,
            ahead: BytesMut::new(),
            admission,
            origin,
        }
    }

    /// The next frame, once what is in flight leaves room for it. Cancelling loses nothing unless a frame was half read, and
    /// then the connection is over anyway.
    pub(super) async fn next(&mut self, in_flight: &InFlight) -> Result<Frame, Close> {
        in_flight.room().await;
        self.wait_for_first_byte().await?;
        let deadline = Instant::now() + FIRST_CHUNK_TIME_MAX;
        self.read_ahead(LENGTH_BYTES, deadline).await?;
        let length = self.announced()?;
        let chunk = length.min(FIRST_CHUNK_BYTES);
        self.read_ahead(LENGTH_BYTES + chunk, deadline).await?;
        let turn = self.judge(length, chunk)?;
        if turn == Turn::Alone {
            self.wait_for_the_last_answer(in_flight).await?;
        }
        let mut permit = self.permit(turn, length, chunk).await;
        let _prefix = self.ahead.split_to(LENGTH_BYTES);
        let first = self.ahead.split_to(chunk);
        // Copied, so that a small batch which lives on in a segment does not keep the whole read buffer.
        let bytes = if chunk == length {
            Bytes::copy_from_slice(&first)
        } else {
            self.read_rest(&first, length, &permit).await?
        };
        permit.is_whole();
        if turn == Turn::Alone {
            permit = self.admission.decode(self.origin, length).await;
        }
        Ok(Frame {
            bytes,
            permit,
            turn,
        })
    }

    /// Whoever asks for what is answered alone has all earlier answers before any of it takes a permit: it would be held behind
    /// answers that its client may never read, and others need it.
    async fn wait_for_the_last_answer(&mut self, in_flight: &InFlight) -> Result<(), Close> {
        tokio::select! {
            biased;
            () = in_flight.none() => Ok(()),
            close = self.hung_up() => Err(close),
        }
    }

    /// Resolves only if the client goes away, at once where it asked for no more before. Not at once else: who wants no acks
    /// says what there is to say and goes.
    pub(super) async fn hung_up(&mut self) -> Close {
        if let Err(close) = self.wait_for_first_byte().await {
            return close;
        }
        sleep(LEFT_AFTER).await;
        while self.ahead.len() < AHEAD_BYTES {
            let mut window = (&mut self.socket).take((AHEAD_BYTES - self.ahead.len()) as u64);
            match window.read_buf(&mut self.ahead).await {
                Ok(0) => return Close::Gone,
                Ok(_) => {}
                Err(error) => return error.into(),
            }
        }
        while !self.socket.has_left() {
            sleep(LEFT_AFTER).await;
        }
        Close::Gone
    }

    /// Whether the client sends no more than lies in the socket already, where that can be told.
    pub(super) fn has_left(&mut self) -> bool {
        self.socket.has_left()
    }

    /// An idle connection holds no buffer: what comes first is read onto the stack. Only a byte that was read ends the
    /// wait, for a frame that is not there must not be timed.
    async fn wait_for_first_byte(&mut self) -> Result<(), Close> {
        if !self.ahead.is_empty() {
            return Ok(());
        }
        let deadline = Instant::now() + IDLE_MAX;
        self.ahead = BytesMut::new();
        let (socket, ahead) = (&mut self.socket, &mut self.ahead);
        let first = poll_fn(|cx| {
            let mut stack = [MaybeUninit::uninit(); AHEAD_BYTES];
            let mut read = ReadBuf::uninit(&mut stack);
            ready!(Pin::new(&mut *socket).poll_read(cx, &mut read))?;
            ahead.extend_from_slice(read.filled());
            Poll::Ready(Ok::<_, std::io::Error>(read.filled().len()))
        });
        match timeout_at(deadline, first).await {
            Ok(Ok(0)) => Err(Close::Gone),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(Close::Idle),
        }
    }

    /// Reads until `ahead` holds at least `bytes`.
    async fn read_ahead(&mut self, bytes: usize, deadline: Instant) -> Result<(), Close> {
        while self.ahead.len() < bytes {
            let room = AHEAD_BYTES.saturating_sub(self.ahead.len());
            self.ahead.reserve(room.max(1));
            let mut window = (&mut self.socket).take(room as u64);
            let read = timeout_at(deadline, window.read_buf(&mut self.ahead))
                .await
                .map_err(|_| Close::TooSlow)??;
            if read == 0 {
                return Err(Close::Gone);
            }
        }
        Ok(())
    }

    fn length_prefix(&self) -> [u8; LENGTH_BYTES] {
        let mut prefix = [0; LENGTH_BYTES];
        prefix.copy_from_slice(&self.ahead[..LENGTH_BYTES]);
        prefix
    }

    /// How many bytes come, as their sender says. One that is a producer is told apart from those who speak something else.
    fn announced(&self) -> Result<usize, Close> {
        const BYTES_MAX: usize = protocol::FRAME_BYTES_MAX;
        let prefix = self.length_prefix();
        let produce = ApiKey::Produce.code().to_be_bytes();
        frame::length(prefix, BYTES_MAX).map_err(|error| {
            let key = self.ahead.get(LENGTH_BYTES..LENGTH_BYTES + produce.len());
            if error != DecodeError::TooLarge || key != Some(&produce[..]) {
                return error.into();
            }
            Close::Refused(format!(
                "a Produce request of {} bytes, of which at most {BYTES_MAX} are read, which no flag changes: have the producer \
                 send less at once (max.request.size, or message.max.bytes of librdkafka)",
                i32::from_be_bytes(prefix)
            ))
        })
    }

    /// Refuses what cannot be right before its bulk is read.
    fn judge(&self, length: usize, chunk: usize) -> Result<Turn, Close> {
        let prefix = &self.ahead[LENGTH_BYTES..LENGTH_BYTES + chunk];
        let Some(header) = RequestHeader::peek(prefix, length)? else {
            return Err(Close::Refused("the request header is too long".into()));
        };
        let (turn, bytes_max) = match ApiKey::from_code(header.api_key) {
            Some(ApiKey::Produce) => (Turn::Pipelined, protocol::FRAME_BYTES_MAX),
            Some(ApiKey::Fetch | ApiKey::ListOffsets | ApiKey::Metadata) => {
                (Turn::Alone, PARTITIONS_FRAME_BYTES_MAX)
            }
            _ => (Turn::Alone, OTHER_FRAME_BYTES_MAX),
        };
        if length > bytes_max {
            return Err(Close::Refused(format!(
                "a request of {length} bytes with API key {}, of which at most {bytes_max} are read",
                header.api_key
            )));
        }
        Ok(turn)
    }

    /// To read what is missing of a frame. One that waits for that until all of it is here waits for no peer any longer.
    async fn permit(&mut self, turn: Turn, length: usize, chunk: usize) -> Permit {
        let (admission, origin) = (&self.admission, self.origin);
        if chunk == length {
            return whole(admission, origin, turn, length).await;
        }
        let arriving = async {
            match turn {
                Turn::Pipelined => admission.arriving_produce(origin, length).await,
                Turn::Alone => admission.arriving_frame(origin, length).await,
            }
        };
        if !admission::is_small(length) {
            return arriving.await;
        }
        let socket = &mut self.socket;
        let here = async move {
            let mut pause = LOOK_MIN;
            while !socket.has(length - chunk) {
                sleep(pause).await;
                pause = (pause * 2).min(LOOK_MAX);
            }
            whole(admission, origin, turn, length).await
        };
        tokio::select! {
            // A Produce that is here holds no room of those that are to come, for it may wait for long.
            biased;
            permit = here => permit,
            permit = arriving => permit,
        }
    }

    async fn read_rest(
        &mut self,
        first: &[u8],
        length: usize,
        permit: &Permit,
    ) -> Result<Bytes, Close> {
        let began = Instant::now();
        // What this agent takes for itself is not the peer's.
        let (mut waited, mut compare) = (Duration::ZERO, began + COMPARE_EVERY);
        let mut whole = BytesMut::with_capacity(length);
        whole.extend_from_slice(first);
        // The next frame's first bytes may be here already only if this frame is complete, so `ahead` is empty now.
        debug_assert!(self.ahead.is_empty());
        while whole.len() < length {
            let seconds = u64::try_from(whole.len() / BYTES_PER_SECOND_MIN).unwrap_or(u64::MAX);
            let deadline = began + REST_TIME_MAX + Duration::from_secs(seconds);
            let mut window = (&mut self.socket).take((length - whole.len()) as u64);
            let begins = Instant::now();
            let read = timeout_at(compare.min(deadline), window.read_buf(&mut whole));
            let read = tokio::select! {
                biased;
                read = read => read,
                () = permit.told_to_leave() => return Err(Close::MadeRoom),
            };
            let now = Instant::now();
            waited += now - begins;
            match read.map(|read| read.map_err(Close::from)) {
                Ok(Ok(0)) => return Err(Close::Gone),
                Ok(Err(close)) => return Err(close),
                Err(_) if now >= deadline => return Err(Close::TooSlow),
                Ok(Ok(_)) | Err(_) => {}
            }
            if now >= compare {
                if permit.must_leave(waited, whole.len()) {
                    return Err(Close::MadeRoom);
                }
                compare = now + COMPARE_EVERY;
            }
        }
        Ok(whole.freeze())
    }
}

/// For a frame that is here.
async fn whole(admission: &Admission, origin: Origin, turn: Turn, length: usize) -> Permit {
    match turn {
        Turn::Pipelined => admission.produce_frame(origin, length).await,
        Turn::Alone => admission.frame(origin, length).await,
    }
}
