//! FindCoordinator: nobody coordinates yet, and each kind of client is told in the way it understands.

use protocol::messages::FindCoordinatorRequest;
use protocol::{ApiKey, ErrorCode};

use crate::shapes::start;

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

#[tokio::test]
async fn every_key_is_answered_in_every_version() {
    let (_broker, mut client) = start(&[]).await;
    for version in ApiKey::FindCoordinator.versions() {
        for (key_type, code) in [
            (GROUP, ErrorCode::COORDINATOR_NOT_AVAILABLE),
            (
                TRANSACTION,
                ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
            ),
            (2, ErrorCode::INVALID_REQUEST),
            (-1, ErrorCode::INVALID_REQUEST),
        ] {
            if version == 0 && key_type != GROUP {
                // Version 0 knows groups alone.
                continue;
            }
            let keys = ["a", "b", ""].map(str::to_owned);
            let request = FindCoordinatorRequest {
                key: "a".to_owned(),
                key_type,
                coordinator_keys: if version >= 4 {
                    keys.to_vec()
                } else {
                    Vec::new()
                },
            };
            let response = client.ask(version, &request).await;
            if version < 4 {
                assert_eq!(
                    (response.error_code, response.node_id),
                    (code, -1),
                    "{key_type} in {version}"
                );
                assert_eq!(response.error_message.is_some(), version >= 1);
                continue;
            }
            let named: Vec<&str> = response
                .coordinators
                .iter()
                .map(|each| each.key.as_str())
                .collect();
            assert_eq!(named, ["a", "b", ""], "in the order asked");
            for each in &response.coordinators {
                assert_eq!(
                    (each.error_code, each.node_id, each.port),
                    (code, -1, -1),
                    "{key_type} in {version}"
                );
                assert!(
                    each.error_message
                        .as_ref()
                        .is_some_and(|message| message.contains(' '))
                );
            }
        }
    }
}
