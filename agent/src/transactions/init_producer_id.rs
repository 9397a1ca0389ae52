//! InitProducerId, for idempotent producers.

use protocol::ErrorCode;
use protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};

use super::ProducerIds;
use crate::context::Context;

pub(crate) async fn handle(
    context: &Context,
    ids: &ProducerIds,
    request: InitProducerIdRequest,
    _: i16,
) -> InitProducerIdResponse {
    let given = |producer_id, producer_epoch| InitProducerIdResponse {
        producer_id,
        producer_epoch,
        ..InitProducerIdResponse::default()
    };
    let refused = |error_code| InitProducerIdResponse {
        error_code,
        ..given(-1, -1)
    };
    if let Err(code) = check(&request) {
        return refused(code);
    }
    // Whatever id it had, as Kafka's brokers do without transactions: that may be one of another cluster.
    match ids.next(&context.metadata).await {
        Ok(id) => given(id.0, 0),
        Err(error) => {
            tracing::warn!(%error, "cannot get producer ids");
            // Kafka's code for "ask again", whatever happened to the block. A producer without transactions has no
            // coordinator: told that it is away, Java's looks for one and fails for good.
            refused(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS)
        }
    }
}

fn check(request: &InitProducerIdRequest) -> Result<(), ErrorCode> {
    match request.transactional_id.as_deref() {
        None => {}
        Some("") => return Err(ErrorCode::INVALID_REQUEST),
        // There are no transactions yet. Clients take this code for final and report it at once; whatever says that a
        // coordinator is away would be retried until a time-out, without a word about why.
        Some(_) => return Err(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED),
    }
    let (id, epoch) = (request.producer_id, request.producer_epoch);
    match (id >= 0) == (epoch >= 0) {
        true => Ok(()),
        // One without the other says nothing.
        false => Err(ErrorCode::INVALID_REQUEST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(transactional_id: Option<&str>, id: i64, epoch: i16) -> Result<(), ErrorCode> {
        check(&InitProducerIdRequest {
            transactional_id: transactional_id.map(str::to_owned),
            producer_id: id,
            producer_epoch: epoch,
            ..InitProducerIdRequest::default()
        })
    }

    #[test]
    fn whoever_is_new_or_lost_track_gets_an_id() {
        for (id, epoch) in [(-1, -1), (7, 0), (i64::MAX, i16::MAX)] {
            assert_eq!(asks(None, id, epoch), Ok(()));
        }
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
