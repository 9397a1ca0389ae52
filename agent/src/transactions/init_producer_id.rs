//! InitProducerId, for idempotent producers.

use protocol::ErrorCode;
use protocol::acl::Operation;
use protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};

use crate::call::{Call, Resource};
use crate::context::Context;
use crate::said::warn_seldom;

/// An epoch cannot be raised past this; Kafka keeps the last one for itself.
const EPOCH_MAX: i16 = i16::MAX - 1;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// To be somebody new.
    Fresh,
    /// To go on as a known producer in this epoch.
    Next { id: i64, epoch: i16 },
}

pub(crate) async fn handle(call: &Call, request: InitProducerIdRequest) -> InitProducerIdResponse {
    let context = call.context.as_ref();
    let given = |producer_id, producer_epoch| InitProducerIdResponse {
        producer_id,
        producer_epoch,
        ..InitProducerIdResponse::default()
    };
    let refused = |error_code| InitProducerIdResponse {
        error_code,
        ..given(-1, -1)
    };
    let allowed = allow(call, request.transactional_id.as_deref());
    let wanted = match allowed.and_then(|()| wanted(&request)) {
        Ok(wanted) => wanted,
        Err(code) => return refused(code),
    };
    if let Some((id, epoch)) = at_hand(context, wanted) {
        return given(id, epoch);
    }
    // Kafka's code for "ask again". A producer without transactions has no coordinator: told that it is away, Java's looks
    // for one and fails for good.
    let again = ErrorCode::COORDINATOR_LOAD_IN_PROGRESS;
    if !call.step_aside() {
        return refused(again);
    }
    match identify(context, wanted).await {
        Ok((id, epoch)) => given(id, epoch),
        Err(error) => {
            warn_seldom!(%error, "cannot get producer ids");
            // Whatever happened to the block.
            refused(again)
        }
    }
}

/// Without transactions, whoever may append to any topic needs an id for that.
fn allow(call: &Call, transactional_id: Option<&str>) -> Result<(), ErrorCode> {
    match transactional_id {
        Some(id) => call.allow(Resource::TransactionalId(id), Operation::Write),
        None => call
            .allow(Resource::Cluster, Operation::IdempotentWrite)
            .or_else(|code| {
                let any = call.allow(Resource::AnyTopic, Operation::Write);
                any.map_err(|_| code)
            }),
    }
}

/// Who the producer is, where it is known without asking the metadata.
fn at_hand(context: &Context, wanted: Wanted) -> Option<(i64, i16)> {
    let ids = &context.producer_ids;
    if let Wanted::Next { id, epoch } = wanted
        && ids.known_to_be_handed_out(id)?
    {
        return Some((id, epoch));
    }
    ids.at_hand(&context.metadata).map(|id| (id.0, 0))
}

/// A next epoch fences what the producer sent before and nobody has taken yet, through whatever agent. An id of another
/// cluster, or one made up, has none here.
async fn identify(context: &Context, wanted: Wanted) -> Result<(i64, i16), metadata::Error> {
    let ids = &context.producer_ids;
    if let Wanted::Next { id, epoch } = wanted
        && ids.were_handed_out(&context.metadata, id).await?
    {
        return Ok((id, epoch));
    }
    ids.next(&context.metadata).await.map(|id| (id.0, 0))
}

fn wanted(request: &InitProducerIdRequest) -> Result<Wanted, ErrorCode> {
    match request.transactional_id.as_deref() {
        None => {}
        Some("") => return Err(ErrorCode::INVALID_REQUEST),
        // There are no transactions yet. Clients take this code for final and report it at once; whatever says that a
        // coordinator is away would be retried until a time-out, without a word about why.
        Some(_) => return Err(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED),
    }
    let (id, epoch) = (request.producer_id, request.producer_epoch);
    match (id >= 0, epoch >= 0) {
        (false, false) => Ok(Wanted::Fresh),
        // A producer that lost track asks for its next epoch (KIP-360); past the last one it becomes somebody else.
        (true, true) if epoch >= EPOCH_MAX => Ok(Wanted::Fresh),
        (true, true) => Ok(Wanted::Next {
            id,
            epoch: epoch + 1,
        }),
        // One without the other says nothing.
        _ => Err(ErrorCode::INVALID_REQUEST),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use protocol::ApiKey;

    use super::*;
    use crate::discovery::fixture::{call, crowded_call, with_silent_metadata};

    /// Where too many wait for the metadata, those who need it not were refused as well.
    #[tokio::test(start_paused = true)]
    async fn what_is_at_hand_is_given_without_the_metadata() {
        let new = InitProducerIdRequest {
            producer_id: -1,
            producer_epoch: -1,
            ..InitProducerIdRequest::default()
        };
        let again = |producer_id| InitProducerIdRequest {
            producer_id,
            producer_epoch: 3,
            ..InitProducerIdRequest::default()
        };
        let before = async |context: &Arc<Context>| {
            let call = call(context, ApiKey::InitProducerId, 4).await;
            assert_eq!(handle(&call, new.clone()).await.error_code, ErrorCode::NONE);
        };
        with_silent_metadata(before, async |context| {
            let ask = async |request| {
                let (call, _crowd) = crowded_call(context, ApiKey::InitProducerId, 4).await;
                let told = handle(&call, request).await;
                (told.error_code, told.producer_id, told.producer_epoch)
            };
            let (code, id, epoch) = ask(new.clone()).await;
            assert_eq!((code, epoch), (ErrorCode::NONE, 0));
            assert_eq!(ask(again(id)).await, (ErrorCode::NONE, id, 4));
            let next = ask(again(id + 500)).await;
            assert_eq!(next, (ErrorCode::NONE, id + 1, 0), "it is of nobody yet");
            let (code, ..) = ask(again(id + 1_000_000)).await;
            assert_eq!(code, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
        })
        .await;
    }

    fn asks(transactional_id: Option<&str>, id: i64, epoch: i16) -> Result<Wanted, ErrorCode> {
        wanted(&InitProducerIdRequest {
            transactional_id: transactional_id.map(str::to_owned),
            producer_id: id,
            producer_epoch: epoch,
            ..InitProducerIdRequest::default()
        })
    }

    #[test]
    fn a_known_producer_gets_its_next_epoch_until_they_are_used_up() {
        assert_eq!(asks(None, -1, -1), Ok(Wanted::Fresh));
        assert_eq!(asks(None, 7, 0), Ok(Wanted::Next { id: 7, epoch: 1 }));
        let last = Wanted::Next {
            id: 7,
            epoch: EPOCH_MAX,
        };
        assert_eq!(asks(None, 7, EPOCH_MAX - 1), Ok(last));
        assert_eq!(asks(None, 7, EPOCH_MAX), Ok(Wanted::Fresh));
        assert_eq!(asks(None, 7, i16::MAX), Ok(Wanted::Fresh));
    }

    #[test]
    fn half_an_identity_and_transactions_are_refused_for_good() {
        for refused in [
            asks(None, 7, -1),
            asks(None, -1, 0),
            asks(Some(""), -1, -1),
            asks(Some("t"), -1, -1),
        ] {
            assert!(!refused.unwrap_err().is_retriable());
        }
    }
}
