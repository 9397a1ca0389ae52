//! A request on its way through a room: who asks and by which way, what it holds of the agent meanwhile, and what it is
//! answered with. `dispatch` makes one of each request, and every handler takes it.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use protocol::acl::Operation;
use protocol::{Answers, ApiKey, ErrorCode, Request, RequestHeader};

pub(crate) use crate::access::Resource;
use crate::access::{Access, Principal};
use crate::admission::{ANSWER_BYTES_MAX, Permit, REQUEST_BYTES};
use crate::context::Context;
use crate::metrics::count_request;
use crate::named;
use crate::origin::Origin;
use crate::storage::InLine;

/// One request, without what it asks for.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) context: Arc<Context>,
    pub(crate) arrival: Arc<Arrival>,
    api: ApiKey,
    /// One of the versions of its API.
    pub(crate) version: i16,
    /// What the client calls itself.
    pub(crate) client_id: Option<String>,
    principal: Principal,
    access: Access,
    /// For how many ms the client is asked to be silent after its answer.
    throttle_time_ms: AtomicI32,
    correlation_id: i32,
    /// Of the frame that it came in, to which what was read of it may still hold on.
    pub(crate) frame_bytes: usize,
    /// What it holds of the agent's memory until its reply is written, or until there is an answer that was charged for.
    held: Mutex<Option<Permit>>,
    answer: Mutex<Answer>,
}

/// What a request's answer holds until it is written.
#[derive(Debug, Default)]
struct Answer {
    permit: Option<Permit>,
    /// For so many bytes it is to be charged again, for they were given back while others were waited for.
    given_back: usize,
}

/// Where a connection came in, and what it leaves from one request for its next.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) connection: ConnectionId,
    /// The listener's name.
    pub(crate) listener: String,
    pub(crate) address: Option<IpAddr>,
    /// Blocks that its last Fetch did not wait for until they came, and its next one is going to ask for.
    pub(crate) in_line: Mutex<Option<InLine>>,
    /// Bytes of replies that its client took.
    taken: AtomicUsize,
}

impl Arrival {
    pub(crate) fn new(connection: ConnectionId, listener: String, address: Option<IpAddr>) -> Self {
        Self {
            connection,
            listener,
            address,
            in_line: Mutex::new(None),
            taken: AtomicUsize::new(0),
        }
    }

    /// Its client took a reply of so many bytes, to the last of them.
    pub(crate) fn took(&self, bytes: usize) {
        self.taken.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes of all that it took, which it is trusted to take again. A few that the system takes for it are among them
    /// (`connection/unsent.rs`).
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Whom it is counted for where room is shared.
    pub(crate) fn origin(&self) -> Origin {
        Origin::of(self.address)
    }
}

/// Tells connections of this process apart, for as long as it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ConnectionId(pub(crate) u64);

/// What a request is answered with.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    /// The whole frame, in slices; empty where the request wants no answer (`acks=0`).
    pub(crate) slices: Vec<Bytes>,
    /// Held until the reply is written.
    pub(crate) permit: Option<Permit>,
    /// The same, where requests were read behind this one. They hold room of that kind, too, so that it tells whether others
    /// wait for what is held behind a reply that nobody takes.
    pub(crate) place: Option<Permit>,
    /// For so long the connection is not read, for clients that do not know how to be silent (KIP-219).
    pub(crate) silence: Duration,
}

/// The second half of a request: what is left to do once its place in the order is taken. An error closes the connection.
pub(crate) type PendingReply = Pin<Box<dyn Future<Output = Result<Reply, Close>> + Send>>;

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Close {
    #[error("the client went away")]
    Gone,
    #[error("nothing was heard for too long")]
    Idle,
    #[error("a request arrived too slowly")]
    TooSlow,
    #[error("a request arrived more slowly than others could that waited for its memory")]
    MadeRoom,
    #[error("the client does not read its replies")]
    NotReading,
    #[error(
        "the client reads its replies more slowly than others could that waited for their memory"
    )]
    ReadsSlowly,
    #[error("malformed request: {0}")]
    Malformed(#[from] protocol::DecodeError),
    #[error("{0}")]
    Refused(String),
    #[error("socket: {0}")]
    Socket(#[from] std::io::Error),
}

impl Call {
    /// `permit`: what its frame, of so many bytes, was admitted with.
    pub(crate) fn new(
        context: Arc<Context>,
        arrival: Arc<Arrival>,
        api: ApiKey,
        header: RequestHeader,
        (permit, frame_bytes): (Permit, usize),
    ) -> Self {
        Self {
            context,
            arrival,
            api,
            version: header.api_version,
            client_id: header.client_id,
            principal: Principal::Anonymous,
            access: Access::default(),
            throttle_time_ms: AtomicI32::new(0),
            correlation_id: header.correlation_id,
            frame_bytes,
            held: Mutex::new(Some(permit)),
            answer: Mutex::default(),
        }
    }

    /// Whether the client may do that: every handler asks for each thing that it is to do, whether that is there or not.
    ///
    /// # Errors
    /// With Kafka's code, if it may not.
    pub(crate) fn allow(
        &self,
        resource: Resource<'_>,
        operation: Operation,
    ) -> Result<(), ErrorCode> {
        debug_assert!(
            self.api.rights().contains(&(operation, resource.kind())),
            "{operation} on {} is not among the rights of {}",
            resource.kind(),
            self.api.name()
        );
        match self.access.allows(self.principal, resource, operation) {
            true => Ok(()),
            false => Err(resource.refusal()),
        }
    }

    /// The same of a topic, where the right to do something of that kind anywhere is enough.
    ///
    /// # Errors
    /// TOPIC_AUTHORIZATION_FAILED.
    pub(crate) fn allow_topic(
        &self,
        name: &str,
        anywhere: Operation,
        here: Operation,
    ) -> Result<(), ErrorCode> {
        let everything = self.allow(Resource::Cluster, anywhere);
        everything.or_else(|_| self.allow(Resource::Topic(name), here))
    }

    /// Parts topics with which the client may do that from those with which it may not: TOPIC_AUTHORIZATION_FAILED.
    pub(crate) fn part<T>(
        &self,
        topics: Vec<T>,
        name: impl Fn(&T) -> &str,
        operation: Operation,
    ) -> (Vec<T>, Vec<T>) {
        let may = |topic: &T| self.allow(Resource::Topic(name(topic)), operation).is_ok();
        topics.into_iter().partition(may)
    }

    /// Which of the operations the client may do, as Kafka tells it: a bit for each, by its code (KIP-430).
    pub(crate) fn authorized(&self, resource: Resource<'_>, operations: &[Operation]) -> i32 {
        let allowed = operations
            .iter()
            .filter(|operation| self.access.allows(self.principal, resource, **operation));
        allowed.fold(0, |bits, operation| bits | 1 << operation.code())
    }

    /// Gives back what it holds: a request that waits for long holds nothing meanwhile.
    pub(crate) fn release(&self) {
        *self.held.lock() = None;
    }

    /// Asks for room among those who wait for the metadata, in place of what it holds and others need: for so many bytes that
    /// the request and what was made of it take meanwhile. What it was charged for its answer it gives back, and [charges
    /// again](Self::charge_again) when it has waited. False where there is none: then it is answered without asking.
    pub(crate) fn step_aside(&self, held: usize) -> bool {
        let held = held.saturating_add(REQUEST_BYTES);
        let mut permit = self.held.lock();
        let aside = (permit.as_mut()).is_none_or(|permit| permit.step_aside(held));
        drop(permit);
        if aside {
            let mut answer = self.answer.lock();
            let permit = answer.permit.take();
            answer.given_back += permit.map_or(0, |permit| permit.bytes());
        }
        aside
    }

    /// Holds that in place of what it held, until its reply is written.
    pub(crate) fn hold(&self, permit: Permit) {
        *self.held.lock() = Some(permit);
    }

    /// Stands in line for what the answer takes, before any of it is made: an upper bound of its bytes and of what making it
    /// holds. Asked again for more than was said, it gives back what it has of that: nobody waits for more with something in
    /// hand that others wait for. An answer that takes more than there is goes alone.
    pub(crate) async fn charge(&self, bytes: usize) {
        let bytes = bytes.saturating_add(REQUEST_BYTES);
        let held = self.answer.lock().permit.as_ref().map_or(0, Permit::bytes);
        if held < bytes {
            *self.answer.lock() = Answer::default();
            let origin = self.arrival.origin();
            let permit = self.context.admission.answer(origin, bytes).await;
            self.answer.lock().permit = Some(permit);
        }
    }

    /// The same for what it gave back when it [stepped aside](Self::step_aside).
    pub(crate) async fn charge_again(&self) {
        let bytes = std::mem::take(&mut self.answer.lock().given_back);
        if bytes > 0 {
            self.charge(bytes.saturating_sub(REQUEST_BYTES)).await;
        }
    }

    /// Whether an answer of so many bytes can be given beside others.
    ///
    /// # Errors
    /// With a sentence, for POLICY_VIOLATION, if it cannot.
    pub(crate) fn check_answer(bytes: usize) -> Result<(), String> {
        match bytes <= ANSWER_BYTES_MAX {
            true => Ok(()),
            false => Err(format!(
                "the answer would take {bytes} bytes, of which one answer has {ANSWER_BYTES_MAX}: ask for less at once"
            )),
        }
    }

    /// Whether so many things may be named in one request of its API.
    ///
    /// # Errors
    /// With a sentence, for POLICY_VIOLATION, if they may not.
    pub(crate) fn check_named(&self, things: usize) -> Result<(), String> {
        named::check(self.api, things)
    }

    /// Whether no rule keeps the client from anything, so that it is told what everybody is.
    pub(crate) fn may_do_everything(&self) -> bool {
        self.access.forbids_nothing()
    }

    /// Asks the client to be silent for so long once it is answered, where it was not asked for longer.
    pub(crate) fn ask_for_silence(&self, silence: Duration) {
        let silence = i32::try_from(silence.as_millis()).unwrap_or(i32::MAX);
        self.throttle_time_ms.fetch_max(silence, Ordering::Relaxed);
    }

    /// The reply, counted, in the call's version. It says how long the client is asked to be silent. Of what was charged for
    /// the answer it holds no more than it takes, and of the request nothing.
    pub(crate) fn reply<R: Request>(self, mut response: impl Answers<R>) -> Reply {
        count_request(R::KEY, response.first_error());
        let throttle_time_ms = self.throttle_time_ms.into_inner();
        response.set_throttle_time(throttle_time_ms);
        let slices = protocol::encode_response::<R>(self.correlation_id, self.version, &response);
        let answer = self.answer.into_inner();
        debug_assert_eq!(answer.given_back, 0, "who waited charges again");
        let mut answer = answer.permit;
        if let Some(answer) = &mut answer {
            answer.shrink(slices.iter().map(Bytes::len).sum::<usize>() + REQUEST_BYTES);
        }
        Reply {
            slices,
            permit: answer.or(self.held.into_inner()),
            place: None,
            silence: Duration::from_millis(u64::try_from(throttle_time_ms).unwrap_or(0)),
        }
    }

    /// Tests only: the same under rules of the test's own, and from a client that is asked to be silent for so long.
    #[cfg(test)]
    pub(crate) fn under(self, access: Access, throttle_time_ms: i32) -> Self {
        Self {
            access,
            throttle_time_ms: AtomicI32::new(throttle_time_ms),
            ..self
        }
    }
}
