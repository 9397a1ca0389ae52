//! FindCoordinator: there are no groups and no transactions yet, so nobody coordinates.
//!
//! The two kinds are told so differently, for what clients do with it. A consumer of librdkafka needs a `group.id` even if
//! it is assigned partitions by hand, and asks for the group's coordinator all the same: at a code that is not retriable
//! it hands its application an error, though it reads on; at COORDINATOR_NOT_AVAILABLE it asks again in silence. A
//! transactional producer can do nothing without a coordinator: only an authorization code makes it fail at once.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use metadata::Shown;
use protocol::ErrorCode;
use protocol::acl::Operation;
use protocol::messages::find_coordinator::Coordinator;
use protocol::messages::{FindCoordinatorRequest, FindCoordinatorResponse};

use crate::call::{Call, Resource};
use crate::named::Turns;
use crate::origin::Origin;
use crate::said::Said;

/// From this version on many keys are asked for at once (KIP-699).
const BATCHED: i16 = 4;
/// Who asks for a group hears nothing that a person would read, and asks again without end.
/// By where it comes from and the hash of the group.
static WITHOUT_GROUPS: Said<(Origin, u64)> = Said::new(Duration::from_secs(600), 20);
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
/// What a key takes besides itself: its place in a table, its line in the answer, the sentence in it, and both as encoded.
const KEY_BYTES: usize = size_of::<Coordinator>() + 384;

pub(crate) async fn handle(
    call: &Call,
    request: FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    let mut keys = request.coordinator_keys;
    let bytes = keys.iter().map(|key| KEY_BYTES + 3 * key.len());
    call.charge(bytes.sum()).await;
    once_each(&mut keys).await;
    let mut too_many = call.check_named(keys.len()).err();
    let refused = too_many.is_some();
    if request.key_type == GROUP {
        say_that_there_are_no_groups(call, keys.first().unwrap_or(&request.key));
    }
    let refusal = |key: &str| {
        let (error_code, message) = match may_describe(call, request.key_type, key) {
            Ok(()) => refusal(request.key_type),
            Err(code) => (code, "finding its coordinator is not allowed"),
        };
        (error_code, Some(message.to_owned()))
    };
    if call.version < BATCHED {
        let (error_code, error_message) = refusal(&request.key);
        return FindCoordinatorResponse {
            error_code,
            error_message,
            node_id: -1,
            port: -1,
            ..FindCoordinatorResponse::default()
        };
    }
    let mut coordinators = Vec::with_capacity(keys.len());
    let mut turns = Turns::default();
    for key in keys {
        turns.pass(1).await;
        let (error_code, error_message) = match refused {
            false => refusal(&key),
            // The sentence once, for it is far longer than a key.
            true => (ErrorCode::POLICY_VIOLATION, too_many.take()),
        };
        coordinators.push(Coordinator {
            key,
            node_id: -1,
            port: -1,
            error_code,
            error_message,
            ..Coordinator::default()
        });
    }
    FindCoordinatorResponse {
        coordinators,
        ..FindCoordinatorResponse::default()
    }
}

/// An answer is much larger than a key.
async fn once_each(keys: &mut Vec<String>) {
    let mut seen = HashSet::with_capacity(keys.len());
    let mut first = Vec::with_capacity(keys.len());
    let mut turns = Turns::default();
    for key in keys.iter() {
        turns.pass(1).await;
        first.push(seen.insert(key.as_str()));
    }
    drop(seen);
    let mut first = first.into_iter();
    keys.retain(|_| first.next().unwrap_or(true));
}

/// In the log: one whose partitions are assigned by hand asks as well, and reads on.
fn say_that_there_are_no_groups(call: &Call, group: &str) {
    let mut hash = DefaultHasher::new();
    group.hash(&mut hash);
    let cause = (call.arrival.origin(), hash.finish());
    let Some(unsaid) = WITHOUT_GROUPS.admit(cause) else {
        return;
    };
    let address = call.arrival.address.map(tracing::field::display);
    let client_id = call.client_id.as_deref().map(Shown::name);
    tracing::warn!(
        address,
        client_id = client_id.map(tracing::field::display),
        group = %Shown::name(group),
        unsaid,
        "a client asks for a consumer group, and these are not supported yet: if it subscribes to topics it waits in vain; \
         assign it partitions by hand"
    );
}

fn may_describe(call: &Call, key_type: i8, key: &str) -> Result<(), ErrorCode> {
    match key_type {
        GROUP => call.allow(Resource::Group(key), Operation::Describe),
        TRANSACTION => call.allow(Resource::TransactionalId(key), Operation::Describe),
        _ => Ok(()),
    }
}

fn refusal(key_type: i8) -> (ErrorCode, &'static str) {
    match key_type {
        GROUP => (
            ErrorCode::COORDINATOR_NOT_AVAILABLE,
            "consumer groups are not offered yet: assign partitions by hand",
        ),
        TRANSACTION => (
            ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
            "transactions are not offered yet: unset transactional.id",
        ),
        _ => (
            ErrorCode::INVALID_REQUEST,
            "only groups (0) and transactional ids (1) can be asked for",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consumers_wait_and_transactional_producers_fail() {
        assert!(refusal(GROUP).0.is_retriable());
        assert!(!refusal(TRANSACTION).0.is_retriable());
        assert_eq!(refusal(2).0, ErrorCode::INVALID_REQUEST);
    }
}
