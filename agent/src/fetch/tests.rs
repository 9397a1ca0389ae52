//! A poll from its translation to its answer: what it holds meanwhile, and what it hears where there is no room.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use metadata::{Command, CreateTopic, TopicId, VIEWS_MAX};
use protocol::messages::fetch::{FetchPartition, FetchTopic};
use protocol::messages::{FetchRequest, FetchResponse};
use protocol::{ApiKey, ErrorCode};
use tokio::time::{Instant, timeout};

use super::held::wants;
use super::{Fetch, check};
use crate::admission::{Admission, Permit, ReplyBytes};
use crate::context::{AutoCreate, Context};
use crate::discovery::fixture::{
    call, call_from, crowded_call, with_context, with_silent_metadata,
};
use crate::origin::Origin;
use crate::tasks::Tasks;

const VERSION: i16 = 12;
const PARTITIONS: i32 = 2000;

/// For ever, as far as a client can say it.
fn request(partitions: i32) -> FetchRequest {
    let partition = |partition| FetchPartition {
        partition,
        partition_max_bytes: 1 << 20,
        ..FetchPartition::default()
    };
    FetchRequest {
        max_wait_ms: i32::MAX,
        min_bytes: 1,
        max_bytes: 1 << 20,
        session_epoch: -1,
        topics: vec![FetchTopic {
            topic: "t".to_owned(),
            partitions: (0..partitions).map(partition).collect(),
        }],
        ..FetchRequest::default()
    }
}

async fn create(context: &Arc<Context>) {
    let create = CreateTopic {
        name: "t".to_owned(),
        id: TopicId(1),
        partitions: PARTITIONS,
        replication_factor: 1,
        configs: std::collections::BTreeMap::new(),
    };
    let made = context.metadata.submit(Command::CreateTopic(create)).await;
    made.unwrap();
}

async fn waits<T>(asked: impl Future<Output = T>) -> bool {
    timeout(Duration::from_millis(300), asked).await.is_err()
}

/// An agent's room, with an admission of its own.
struct Room<'a> {
    context: &'a Arc<Context>,
    admission: Admission,
    fetch: Fetch,
    /// It drains when they are gone.
    _tasks: Tasks,
}

impl<'a> Room<'a> {
    fn of(context: &'a Arc<Context>) -> Self {
        let tasks = Tasks::new();
        let admission = Admission::new(1 << 20, 64 << 20);
        let (cache, draining) = (context.cache.clone(), tasks.stopping());
        Self {
            context,
            fetch: Fetch::new(admission.clone(), cache, draining),
            admission,
            _tasks: tasks,
        }
    }

    /// Places for polls of so many bytes, until there are no more.
    fn take_all(&self, bytes: usize) -> Vec<Permit> {
        let poll = || self.admission.poll(Origin::of(None), bytes);
        std::iter::from_fn(poll).collect()
    }

    /// Asks in a call of its own: the answer, and for how long its client is asked to be silent.
    async fn ask(&self, partitions: i32) -> (FetchResponse, Duration) {
        let call = call(self.context, ApiKey::Fetch, VERSION).await;
        let response = self.fetch.handle(&call, request(partitions)).await;
        let reply = call.reply::<FetchRequest>(response.clone());
        (response, reply.silence)
    }
}

#[tokio::test]
async fn a_poll_that_waits_holds_what_it_was_charged_and_gives_it_back_when_its_client_leaves() {
    with_context(AutoCreate::Disabled, async |context| {
        create(context).await;
        let room = Room::of(context);
        const ODD: usize = 1000;
        let places = || room.take_all(ODD).len() * ODD;
        let all = places();
        let call = call(context, ApiKey::Fetch, VERSION).await;
        let mut waiting = Box::pin(room.fetch.handle(&call, request(100)));
        assert!(waits(&mut waiting).await);
        let taken = all - places();
        assert!((10_000..40_000).contains(&taken), "{taken}");
        drop(waiting);
        drop(call);
        assert_eq!(places(), all);
    })
    .await;
}

/// Who may not wait is answered with what there is, and asked to be silent as long as it would have waited: else its client
/// came back at once.
#[tokio::test]
async fn a_poll_that_finds_no_room_is_answered_at_once_and_its_client_asked_to_be_silent() {
    with_context(AutoCreate::Disabled, async |context| {
        create(context).await;
        let room = Room::of(context);
        let crowd = room.take_all(1024);
        let (response, silence) = room.ask(50).await;
        assert_eq!(silence, Duration::from_millis(500));
        let partitions = &response.responses[0].partitions;
        assert_eq!(partitions.len(), 50);
        let nothing = |code| code == ErrorCode::NONE;
        assert!(partitions.iter().all(|each| nothing(each.error_code)));
        // One of very many partitions has a lane of its own, and the other way round.
        assert!(waits(room.ask(PARTITIONS)).await);
        drop(crowd);
        let crowd = room.take_all(1 << 20);
        let (_, silence) = room.ask(PARTITIONS).await;
        assert_eq!(silence, Duration::from_millis(500));
        assert!(waits(room.ask(50)).await);
        drop(crowd);
    })
    .await;
}

/// However its polls come by their views, others wait for theirs.
#[tokio::test(start_paused = true)]
async fn an_origin_that_holds_as_many_views_as_it_leaves_waits_for_no_more() {
    with_context(AutoCreate::Disabled, async |context| {
        create(context).await;
        let room = Room::of(context);
        let half = wants(2, VIEWS_MAX / 2);
        let hold = room.fetch.held.hold(Origin::of(None), &half);
        assert!(hold.is_some());
        let answered = timeout(Duration::from_secs(1), room.ask(100)).await;
        let (response, silence) = answered.expect("it does not wait");
        assert_eq!(silence, Duration::from_millis(500));
        assert_eq!(codes(&response), [ErrorCode::NONE]);
        // Of few it finds some.
        assert!(waits(room.ask(50)).await);
        let other = call_from(9, context, ApiKey::Fetch, VERSION).await;
        assert!(waits(room.fetch.handle(&other, request(100))).await);
        drop(hold);
        assert!(waits(room.ask(50)).await);
    })
    .await;
}

/// There is nothing to be silent about where something was said.
#[tokio::test]
async fn a_poll_that_is_refused_asks_for_no_silence() {
    with_context(AutoCreate::Disabled, async |context| {
        create(context).await;
        let room = Room::of(context);
        let crowd = room.take_all(1024);
        let (response, silence) = room.ask(PARTITIONS + 1).await;
        let last = response.responses[0].partitions.last().unwrap();
        assert_eq!(last.error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        assert_eq!(silence, Duration::ZERO);
        drop(crowd);
    })
    .await;
}

fn codes(response: &FetchResponse) -> Vec<ErrorCode> {
    let partitions = response.responses[0].partitions.iter();
    let mut codes: Vec<_> = partitions.map(|each| each.error_code).collect();
    codes.dedup();
    codes
}

/// However many partitions it names: each was waited for by itself, for as long as a question may take.
#[tokio::test(start_paused = true)]
async fn a_fetch_does_not_wait_for_metadata_that_does_not_answer_for_long() {
    with_silent_metadata(create, async |context| {
        let room = Room::of(context);
        let began = Instant::now();
        let (response, _) = room.ask(PARTITIONS).await;
        assert!(began.elapsed() < Duration::from_secs(30), "{began:?}");
        assert_eq!(response.responses[0].partitions.len(), PARTITIONS as usize);
        assert_eq!(codes(&response), [ErrorCode::NOT_LEADER_OR_FOLLOWER]);
    })
    .await;
}

/// Who has room among neither those who wait for records nor those who wait for the metadata holds room of others, so it
/// waits for nothing.
#[tokio::test(start_paused = true)]
async fn a_fetch_that_finds_no_room_at_all_is_refused_at_once() {
    with_silent_metadata(create, async |context| {
        let room = Room::of(context);
        let polls = room.take_all(1 << 20);
        let began = Instant::now();
        let (call, crowd) = crowded_call(context, ApiKey::Fetch, VERSION).await;
        let response = room.fetch.handle(&call, request(PARTITIONS)).await;
        assert_eq!(codes(&response), [ErrorCode::NOT_LEADER_OR_FOLLOWER]);
        assert_eq!(began.elapsed(), Duration::ZERO);
        let reply = call.reply::<FetchRequest>(response);
        assert_eq!(reply.silence, Duration::from_millis(500));
        drop((polls, crowd));
    })
    .await;
}

/// A fetch past the end of a partition, which is asked about.
async fn past_the_end(context: &Arc<Context>, admission: &Admission) -> Waiting {
    let tasks = Tasks::new();
    let cache = context.cache.clone();
    let fetch = Fetch::new(admission.clone(), cache, tasks.stopping());
    let call = call(context, ApiKey::Fetch, VERSION).await;
    let mut request = request(1);
    request.topics[0].partitions[0].fetch_offset = 7;
    Box::pin(async move {
        let response = fetch.handle(&call, request).await;
        drop(tasks);
        response
    })
}

type Waiting = Pin<Box<dyn Future<Output = FetchResponse>>>;

/// Who asked again with his permit in hand had the room for replies of all others while the metadata did not answer.
#[tokio::test(start_paused = true)]
async fn a_fetch_in_line_for_its_reply_does_not_ask_with_its_permit_in_hand() {
    for (crowded, code) in [
        (false, ErrorCode::OFFSET_OUT_OF_RANGE),
        (true, ErrorCode::NOT_LEADER_OR_FOLLOWER),
    ] {
        let admission = Admission::new(1 << 20, 64 << 20);
        let located = || admission.located(Origin::of(None), 1 << 20);
        let in_line: Vec<_> = std::iter::from_fn(|| located().filter(|_| crowded)).collect();
        let reply = || {
            admission.reply_now(ReplyBytes {
                least: 256 << 10,
                wanted: 256 << 10,
                taken: 0,
            })
        };
        let unread: Vec<_> = std::iter::from_fn(reply).collect();
        let waiting = RefCell::new(None);
        let before = async |context: &Arc<Context>| {
            create(context).await;
            let mut fetch = past_the_end(context, &admission).await;
            assert!(waits(&mut fetch).await);
            *waiting.borrow_mut() = Some(fetch);
        };
        with_silent_metadata(before, async |_| {
            drop(unread);
            let began = Instant::now();
            let response = waiting.take().unwrap().await;
            assert_eq!(codes(&response), [code]);
            assert!(began.elapsed() < Duration::from_secs(1));
        })
        .await;
        drop(in_line);
    }
}

#[test]
fn partitions_beyond_all_measure_are_refused() {
    assert!(check(&request(16 * 1024)).is_ok());
    assert!(check(&request(16 * 1024 + 1)).is_err());
    // A million topics without partitions were looked up in one go.
    let mut nothing = request(0);
    nothing.topics = vec![nothing.topics[0].clone(); 16 * 1024 + 1];
    assert!(check(&nothing).is_err());
    nothing.topics.pop();
    assert!(check(&nothing).is_ok());
}
