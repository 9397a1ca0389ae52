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
enum RequestedId {
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
    if !call.step_aside(0) {
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
fn at_hand(context: &Context, wanted: RequestedId) -> Option<(i64, i16)> {
    match wanted {
        RequestedId::Next { id, epoch } if context.producer_ids.knows(id) => Some((id, epoch)),
        _ => None,
    }
}

/// A next epoch fences what the producer sent before and nobody has taken yet, through whatever agent. An id of another
/// cluster, or one made up, has none here: it may be handed out later, and two would share it.
async fn identify(context: &Context, wanted: RequestedId) -> Result<(i64, i16), metadata::Error> {
    let new = context.producer_ids.next(&context.metadata).await?;
    match wanted {
        RequestedId::Next { id, epoch } if id < new.0 => Ok((id, epoch)),
        _ => Ok((new.0, 0)),
    }
}

fn wanted(request: &InitProducerIdRequest) -> Result<RequestedId, ErrorCode> {
    match request.transactional_id.as_deref() {
        None => {}
        Some("") => return Err(ErrorCode::INVALID_REQUEST),
        // There are no transactions yet. Clients take this code for final and report it at once; whatever says that a
        // coordinator is away would be retried until a time-out, without a word about why.
        Some(_) => return Err(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED),
    }
    let (id, epoch) = (request.producer_id, request.producer_epoch);
    match (id >= 0, epoch >= 0) {
        (false, false) => Ok(RequestedId::Fresh),
        // A producer that lost track asks for its next epoch (KIP-360); past the last one it becomes somebody else.
        (true, true) if epoch >= EPOCH_MAX => Ok(RequestedId::Fresh),
        (true, true) => Ok(RequestedId::Next {
            id,
            epoch: epoch + 1,
        }),
        // One without the other says nothing.
        _ => Err(ErrorCode::INVALID_REQUEST),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use protocol::ApiKey;

    use super::*;
    use crate::context::AutoCreate;
    use crate::discovery::fixture::{
        another, call, crowded_call, with_context, with_silent_metadata,
    };

    fn request(producer_id: i64, producer_epoch: i16) -> InitProducerIdRequest {
        InitProducerIdRequest {
            producer_id,
            producer_epoch,
            ..InitProducerIdRequest::default()
        }
    }

    /// What an agent answers to that id and epoch.
    async fn ask(context: &Arc<Context>, id: i64, epoch: i16) -> (i64, i16) {
        let call = call(context, ApiKey::InitProducerId, 4).await;
        let told = handle(&call, request(id, epoch)).await;
        assert_eq!(told.error_code, ErrorCode::NONE);
        (told.producer_id, told.producer_epoch)
    }

    /// Where too many wait for the metadata, those who need it not were refused as well.
    #[tokio::test(start_paused = true)]
    async fn the_next_epoch_of_one_that_is_known_is_given_without_the_metadata() {
        let before = async |context: &Arc<Context>| {
            assert_eq!(ask(context, -1, -1).await, (0, 0));
        };
        with_silent_metadata(before, async |context| {
            let ask = async |id, epoch| {
                let (call, _crowd) = crowded_call(context, ApiKey::InitProducerId, 4).await;
                let told = handle(&call, request(id, epoch)).await;
                (told.error_code, told.producer_id, told.producer_epoch)
            };
            assert_eq!(ask(0, 3).await, (ErrorCode::NONE, 0, 4));
            for (id, epoch) in [(1, 3), (1_000_000, 3), (-1, -1)] {
                let (code, ..) = ask(id, epoch).await;
                assert_eq!(code, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS, "{id}");
            }
        })
        .await;
    }

    /// Of another cluster, or made up: it would share the id with the next new producer, and each one's batches pass for
    /// the other's repetitions, which are acknowledged and not stored.
    #[tokio::test]
    async fn whoever_brings_an_id_that_another_agent_is_going_to_hand_out_becomes_somebody_else() {
        with_context(AutoCreate::Disabled, async |context| {
            let other = another(context);
            let (mine, _) = ask(context, -1, -1).await;
            assert_eq!(ask(&other, mine, 0).await, (mine, 1), "it moved there");
            let (id, epoch) = ask(&other, mine + 500, 7).await;
            assert!(id != mine + 500 && epoch == 0, "it is of nobody yet");
            let mut taken = BTreeSet::from([mine, id]);
            for ahead in 1..20 {
                taken.insert(ask(&other, mine + ahead, 7).await.0);
                let (id, epoch) = ask(context, -1, -1).await;
                assert!(epoch == 0 && taken.insert(id), "two have {id}");
            }
        })
        .await;
    }

    fn asks(transactional_id: Option<&str>, id: i64, epoch: i16) -> Result<RequestedId, ErrorCode> {
        wanted(&InitProducerIdRequest {
            transactional_id: transactional_id.map(str::to_owned),
            producer_id: id,
            producer_epoch: epoch,
            ..InitProducerIdRequest::default()
        })
    }

    #[test]
    fn a_known_producer_gets_its_next_epoch_until_they_are_used_up() {
        assert_eq!(asks(None, -1, -1), Ok(RequestedId::Fresh));
        assert_eq!(asks(None, 7, 0), Ok(RequestedId::Next { id: 7, epoch: 1 }));
        let last = RequestedId::Next {
            id: 7,
            epoch: EPOCH_MAX,
        };
        assert_eq!(asks(None, 7, EPOCH_MAX - 1), Ok(last));
        assert_eq!(asks(None, 7, EPOCH_MAX), Ok(RequestedId::Fresh));
        assert_eq!(asks(None, 7, i16::MAX), Ok(RequestedId::Fresh));
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
