//! Changes of topics while the metadata does not answer.

use super::*;

const TIMEOUT_MS: i32 = 3000;

/// Versions of CreateTopics, CreatePartitions and DeleteTopics whose clients know that they may be told to ask again for some
/// topics, and the last that do not.
const NEW: [i16; 3] = [6, 3, 5];
const OLD: [i16; 3] = [5, 2, 4];

/// What requests of each kind that changes topics are answered with, the first for each of `many` topics.
async fn change_all(
    many: usize,
    [create, grow, remove]: [i16; 3],
    call: impl AsyncFn(ApiKey, i16) -> Call,
) -> Vec<ErrorCode> {
    let name = |number| format!("fresh-{number}");
    let request = CreateTopicsRequest {
        topics: (0..many).map(|number| topic(&name(number))).collect(),
        timeout_ms: TIMEOUT_MS,
        ..CreateTopicsRequest::default()
    };
    let create = call(ApiKey::CreateTopics, create).await;
    let created = create_topics::handle(&create, request).await;
    let mut all = codes(&created);
    let request = CreatePartitionsRequest {
        topics: vec![CreatePartitionsTopic {
            name: "a".to_owned(),
            count: 5,
            assignments: None,
        }],
        timeout_ms: TIMEOUT_MS,
        ..CreatePartitionsRequest::default()
    };
    let grow = call(ApiKey::CreatePartitions, grow).await;
    let grown = create_partitions::handle(&grow, request).await;
    all.extend(grown.results.iter().map(|each| each.error_code));
    let request = DeleteTopicsRequest {
        topics: vec![DeleteTopicState {
            name: Some("a".to_owned()),
            topic_id: Uuid(0),
        }],
        timeout_ms: TIMEOUT_MS,
        ..DeleteTopicsRequest::default()
    };
    let remove = call(ApiKey::DeleteTopics, remove).await;
    let removed = delete_topics::handle(&remove, request).await;
    all.extend(removed.responses.iter().map(|each| each.error_code));
    assert_eq!(all.len(), many + 2);
    all
}

/// 256 topics after the other were waited for, whatever the client had said, and after it had left.
#[tokio::test(start_paused = true)]
async fn topics_are_not_changed_for_longer_than_the_request_may_take() {
    with_silent_metadata(make_one, async |context| {
        let began = Instant::now();
        let new = async |api, version| call(context, api, version).await;
        let changed = timeout(Duration::from_secs(100), change_all(1000, NEW, new)).await;
        let changed = changed.expect("it goes on and on");
        let code = ErrorCode::REQUEST_TIMED_OUT;
        assert!(changed.iter().all(|each| *each == code), "{changed:?}");
        assert!(began.elapsed() <= 3 * Duration::from_millis(3000));
    })
    .await;
}

/// Many that wait for metadata which does not answer would have all the room for requests.
#[tokio::test(start_paused = true)]
async fn topics_are_not_changed_where_too_many_wait_for_the_metadata() {
    with_silent_metadata(make_one, async |context| {
        let began = Instant::now();
        let crowds = Mutex::new(Vec::new());
        let crowded = async |api, version| {
            let (call, crowd) = crowded_call(context, api, version).await;
            crowds.lock().push(crowd);
            call
        };
        for (versions, code) in [
            (NEW, ErrorCode::THROTTLING_QUOTA_EXCEEDED),
            (OLD, ErrorCode::NOT_CONTROLLER),
        ] {
            let changed = change_all(10, versions, &crowded).await;
            assert!(changed.iter().all(|each| *each == code), "{changed:?}");
        }
        assert_eq!(began.elapsed(), Duration::ZERO);
    })
    .await;
}

/// They ask again for those topics then, and at the code that others know, Java's asks for all of the request.
#[tokio::test(start_paused = true)]
async fn clients_that_are_told_to_ask_again_for_some_topics_are_told_when() {
    with_silent_metadata(make_one, async |context| {
        for (version, silence) in [(5, Duration::ZERO), (6, Duration::from_secs(1))] {
            let request = CreateTopicsRequest {
                topics: vec![topic("fresh")],
                ..CreateTopicsRequest::default()
            };
            let (call, crowd) = crowded_call(context, ApiKey::CreateTopics, version).await;
            let created = create_topics::handle(&call, request).await;
            let reply = call.reply::<CreateTopicsRequest>(created);
            assert_eq!(reply.silence, silence, "{version}");
            drop(crowd);
        }
    })
    .await;
}

/// Whatever their answers take: others need the room for it.
#[tokio::test(start_paused = true)]
async fn nothing_is_held_for_an_answer_while_topics_are_changed() {
    with_silent_metadata(make_one, async |context| {
        let names = (0..100).map(|number| topic(&format!("fresh-{number}")));
        let request = CreateTopicsRequest {
            topics: names.collect(),
            ..CreateTopicsRequest::default()
        };
        let call = call(context, ApiKey::CreateTopics, 7).await;
        let mut asked = Box::pin(create_topics::handle(&call, request));
        assert!(futures::poll!(&mut asked).is_pending());
        assert_eq!(context.admission.answer_bytes(), 0);
    })
    .await;
}

/// Each request of a client that hardly waits left its commands in the metadata's queue, until no commit found room there.
#[tokio::test(start_paused = true)]
async fn commits_find_room_however_many_changes_of_topics_are_given_up() {
    with_silent_metadata(make_one, async |context| {
        let mut told = Vec::new();
        for _ in 0..70 {
            let request = CreateTopicsRequest {
                topics: (0..256)
                    .map(|number| topic(&format!("t{number}")))
                    .collect(),
                timeout_ms: 1,
                ..CreateTopicsRequest::default()
            };
            let call = call(context, ApiKey::CreateTopics, 7).await;
            told = codes(&create_topics::handle(&call, request).await);
        }
        let again = ErrorCode::THROTTLING_QUOTA_EXCEEDED;
        assert!(told.iter().all(|code| *code == again), "{told:?}");
        let commit = Command::CommitObject(CommitObject {
            object: ObjectKey(1),
            size: 1,
            blocks: Vec::new(),
        });
        let mut commit = Box::pin(context.metadata.submit(commit));
        assert!(futures::poll!(&mut commit).is_pending());
    })
    .await;
}

async fn make_one(context: &Arc<Context>) {
    let made = create(context, vec![topic("a")], false).await;
    assert_eq!(codes(&made), [ErrorCode::NONE]);
}
