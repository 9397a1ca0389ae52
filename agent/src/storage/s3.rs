//! S3 through `object_store`, with the region and credentials of `aws-config`'s chain: environment, profiles, SSO, web
//! identity, container and machine roles.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use metadata::with_causes;
use object_store::aws::{AmazonS3Builder, AwsCredential, Checksum};
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, CredentialProvider, RetryConfig};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout};
use url::Url;

use super::bounded::BoundedConnector;
use super::open::{OpenError, StoreOptions};
use super::store::Store;

/// Credentials are fetched anew when they expire within this.
const RENEW_BEFORE: Duration = Duration::from_secs(300);
/// Connections kept open while nothing is sent; S3 closes idle ones after some 20 s anyway.
const IDLE_CONNECTION: Duration = Duration::from_secs(15);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// While credentials in hand are still good, others are asked for only so often.
const RENEW_EVERY: Duration = Duration::from_secs(10);
/// The chain asks services that may not be there, and tries them again; a request to the bucket waits no longer.
const CREDENTIALS_TIMEOUT: Duration = Duration::from_secs(4);
/// How an error says that there are none.
pub(super) const NO_CREDENTIALS: &str = "no credentials";

pub(super) async fn open(
    url: &str,
    parsed: &Url,
    options: &StoreOptions,
) -> Result<Store, OpenError> {
    let bucket = parsed
        .host_str()
        .filter(|bucket| !bucket.is_empty())
        .ok_or_else(|| {
            OpenError::Misused(format!(
                "'{url}' names no bucket: write it as in s3://bucket/prefix"
            ))
        })?;
    let config = load_config().await;
    let endpoint = endpoint(&config, options);
    if let Some(endpoint) = &endpoint {
        check_endpoint(endpoint)?;
    }
    let region = config.region().map(ToString::to_string);
    if region.is_none() && endpoint.is_none() {
        return Err(OpenError::Unusable(
            "no region is set: set AWS_REGION, or one in the AWS profile".into(),
        ));
    }
    let provider = config.credentials_provider().ok_or_else(|| {
        OpenError::Unusable(
            "no credentials are set up: set AWS_ACCESS_KEY_ID or AWS_PROFILE".into(),
        )
    })?;
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(region.unwrap_or_else(|| "us-east-1".to_owned()))
        .with_credentials(Arc::new(Credentials {
            provider,
            cached: Mutex::default(),
        }))
        // TLS and the checksum guard the payload, so the signature need not. CRC-64 takes about 0.1 ms of CPU for a MiB,
        // SHA-256, which is all else there is, 0.6 ms.
        .with_unsigned_payload(true)
        .with_checksum_algorithm(Checksum::CRC64NVME)
        .with_retry(no_retries())
        .with_http_connector(BoundedConnector::default())
        .with_client_options(
            ClientOptions::new()
                .with_timeout_disabled()
                .with_connect_timeout(CONNECT_TIMEOUT)
                .with_pool_idle_timeout(IDLE_CONNECTION)
                .with_allow_http(
                    endpoint
                        .as_deref()
                        .is_some_and(|e| e.starts_with("http://")),
                ),
        );
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint);
    } else {
        // A dot in the name would not match the certificate of AWS.
        builder = builder.with_virtual_hosted_style_request(!bucket.contains('.'));
    }
    let objects = builder.build().map_err(|error| {
        let why = with_causes(&error);
        OpenError::Misused(format!("'{url}' cannot be used as a bucket: {why}"))
    })?;
    let prefix = Path::from(parsed.path().trim_matches('/'));
    Ok(Store::from_object_store(Arc::new(objects), prefix, false))
}

/// The client would panic at the first request.
fn check_endpoint(endpoint: &str) -> Result<(), OpenError> {
    let parsed = Url::parse(endpoint).ok();
    let usable = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    parsed.filter(usable).map(|_| ()).ok_or_else(|| {
        OpenError::Misused(format!(
            "'{endpoint}' is not an S3 endpoint: write it as in https://host or http://host:port"
        ))
    })
}

/// What the environment, profiles and the machine say.
pub(crate) async fn load_config() -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest()).load().await
}

/// Where S3 is spoken, if not at AWS: the option first, then what the SDKs read.
pub(crate) fn endpoint(config: &SdkConfig, options: &StoreOptions) -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the SDK's own variable, part of its chain"
    )]
    let for_s3 = || std::env::var("AWS_ENDPOINT_URL_S3").ok();
    let endpoint = options.s3_endpoint.clone().or_else(for_s3);
    endpoint.or_else(|| config.endpoint_url().map(str::to_owned))
}

fn no_retries() -> RetryConfig {
    RetryConfig {
        max_retries: 0,
        backoff: BackoffConfig::default(),
        retry_timeout: Duration::from_secs(60),
    }
}

/// The SDK's credentials, kept until they are about to expire.
#[derive(Debug)]
struct Credentials {
    provider: SharedCredentialsProvider,
    cached: Mutex<Option<Cached>>,
}

#[derive(Clone, Debug)]
struct Cached {
    credential: Arc<AwsCredential>,
    expires: Option<SystemTime>,
    /// Not asked for anew before then, as long as they have not expired.
    keep_until: Instant,
}

impl Credentials {
    /// Those in hand. When they are about to expire, one caller gets none and fetches others; the rest go on.
    fn in_hand(&self, now: SystemTime) -> Option<Arc<AwsCredential>> {
        let mut cached = self.cached.lock();
        let held = cached.as_mut()?;
        let expires_within = |left| held.expires.is_some_and(|at| at <= now + left);
        if expires_within(Duration::ZERO) {
            return None;
        }
        if expires_within(RENEW_BEFORE) && held.keep_until <= Instant::now() {
            held.keep_until = Instant::now() + RENEW_EVERY;
            return None;
        }
        Some(Arc::clone(&held.credential))
    }

    async fn fetch(&self) -> Result<Arc<AwsCredential>, String> {
        let found = timeout(CREDENTIALS_TIMEOUT, self.provider.provide_credentials());
        let found = match found.await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => return Err(format!("{NO_CREDENTIALS}: {}", with_causes(&error))),
            Err(_) => return Err(format!("{NO_CREDENTIALS}: their source does not answer")),
        };
        let credential = Arc::new(AwsCredential {
            key_id: found.access_key_id().to_owned(),
            secret_key: found.secret_access_key().to_owned(),
            token: found.session_token().map(str::to_owned),
        });
        *self.cached.lock() = Some(Cached {
            credential: Arc::clone(&credential),
            expires: found.expiry(),
            keep_until: Instant::now() + RENEW_EVERY,
        });
        Ok(credential)
    }
}

#[async_trait]
impl CredentialProvider for Credentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the wall clock is what credentials expire by"
        )]
        let now = SystemTime::now();
        if let Some(credential) = self.in_hand(now) {
            return Ok(credential);
        }
        match self.fetch().await {
            Ok(credential) => Ok(credential),
            // Better soon to expire than none.
            Err(text) => self
                .in_hand(now)
                .ok_or_else(|| object_store::Error::Generic {
                    store: "S3",
                    source: text.into(),
                }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use aws_credential_types::provider::error::CredentialsError;
    use aws_credential_types::provider::future;

    use super::*;

    /// Gives credentials that expire at a fixed time, `left` times.
    #[derive(Debug)]
    struct Limited {
        expires: SystemTime,
        left: Arc<AtomicUsize>,
    }

    impl ProvideCredentials for Limited {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let less = |left: usize| left.checked_sub(1);
            let taken = self
                .left
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less);
            future::ProvideCredentials::ready(match taken {
                Ok(_) => Ok(aws_credential_types::Credentials::new(
                    "key",
                    "secret",
                    None,
                    Some(self.expires),
                    "test",
                )),
                Err(_) => Err(CredentialsError::not_loaded("used up")),
            })
        }
    }

    fn limited(expires: SystemTime, times: usize) -> (Credentials, Arc<AtomicUsize>) {
        let left = Arc::new(AtomicUsize::new(times));
        let provider = Limited {
            expires,
            left: Arc::clone(&left),
        };
        let credentials = Credentials {
            provider: SharedCredentialsProvider::new(provider),
            cached: Mutex::default(),
        };
        (credentials, left)
    }

    #[expect(clippy::disallowed_methods, reason = "what credentials expire by")]
    fn soon(seconds: u64) -> SystemTime {
        SystemTime::now() + Duration::from_secs(seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn credentials_far_from_their_end_are_fetched_once() {
        let (credentials, left) = limited(soon(3600), 5);
        for _ in 0..100 {
            credentials.get_credential().await.unwrap();
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(left.load(Ordering::SeqCst), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn credentials_near_their_end_are_renewed_now_and_then_and_used_until_then() {
        let (credentials, left) = limited(soon(200), 3);
        for _ in 0..100 {
            // The source runs dry half-way.
            credentials.get_credential().await.unwrap();
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(left.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn expired_credentials_are_not_used() {
        let (credentials, _) = limited(soon(0), 1);
        credentials.get_credential().await.unwrap();
        let error = credentials.get_credential().await.unwrap_err();
        assert!(error.to_string().contains(NO_CREDENTIALS), "{error}");
    }
}
