//! ApiVersions: read from the one table of what is implemented.

use protocol::messages::api_versions::ApiVersion;
use protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use protocol::{ApiKey, ErrorCode};

use crate::call::Call;

/// From this version on clients say who they are, in a form that is checked (KIP-511).
const NAMES_SOFTWARE: i16 = 3;

pub(crate) async fn handle(call: &Call, request: ApiVersionsRequest) -> ApiVersionsResponse {
    let named =
        is_software(&request.client_software_name) && is_software(&request.client_software_version);
    if call.version >= NAMES_SOFTWARE && !named {
        let error_code = ErrorCode::INVALID_REQUEST;
        return ApiVersionsResponse {
            error_code,
            ..ApiVersionsResponse::default()
        };
    }
    let api_keys = ApiKey::ALL.iter().map(|key| {
        let versions = key.advertised();
        ApiVersion {
            api_key: key.code(),
            min_version: *versions.start(),
            max_version: *versions.end(),
        }
    });
    ApiVersionsResponse {
        api_keys: api_keys.collect(),
        // No features are finalized, as of epoch 0; -1 would say "not known".
        finalized_features_epoch: 0,
        ..ApiVersionsResponse::default()
    }
}

/// Letters and digits, with '-' and '.' between them.
fn is_software(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let outer = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    outer(name.chars().next()) && outer(name.chars().last()) && name.chars().all(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_names_are_kafkas() {
        for good in ["librdkafka", "apache-kafka-java", "2.1.0", "a"] {
            assert!(is_software(good), "{good}");
        }
        for bad in ["", "-a", "a-", "a b", "a_b", "caf\u{e9}"] {
            assert!(!is_software(bad), "{bad}");
        }
    }
}
