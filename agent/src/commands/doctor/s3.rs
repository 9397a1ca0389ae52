//! What only S3's own client can tell: permissions one by one, versioning, lifecycle rules, conditional PUT, the clock.
//! Called by `doctor`.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{ConfigBag, Intercept, Region, RuntimeComponents};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::{ByteStream, DateTime, DateTimeFormat};
use aws_sdk_s3::types::{BucketVersioningStatus, ExpirationStatus, LifecycleRule};
use metadata::with_causes;
use object_store::path::Path;
use parking_lot::Mutex;
use tokio::time::Instant;
use url::Url;

use super::objects::{PROBE, ROUNDS, latency, left};
use super::report::Report;
use crate::clock::Clock;
use crate::storage::{StoreOptions, paths, s3};

const TIMEOUT: Duration = Duration::from_secs(10);
/// S3 refuses requests at 15 minutes.
const SKEW_MAX_MS: u64 = 60_000;

/// Looks at a bucket that is known to answer.
pub(super) async fn check(url: &str, options: &StoreOptions, report: &mut Report) {
    let Ok(parsed) = Url::parse(url) else {
        return report.wrong("The bucket's URL is none.");
    };
    let prefix = Path::from(parsed.path().trim_matches('/'));
    let skew = Arc::new(Mutex::new(None));
    let checks = Checks {
        client: client(options, &skew).await,
        bucket: parsed.host_str().unwrap_or_default().to_owned(),
        key: paths::probe(&prefix, &format!("{:032x}", rand::random::<u128>())).to_string(),
        prefix: prefix.to_string(),
    };
    let stored = checks.objects(report).await;
    if stored {
        checks.condition(report).await;
        checks.latency(report).await;
    }
    checks.delete(stored, report).await;
    checks.versioning(report).await;
    checks.lifecycle(report).await;
    match *skew.lock() {
        None => report.note("The bucket does not tell the time."),
        Some(skew) if skew > SKEW_MAX_MS => report.wrong(&format!(
            "The clock of this machine and that of the bucket are {} s apart: set the clock, best by NTP.",
            skew / 1000
        )),
        Some(_) => report.well("The clock agrees with that of the bucket."),
    }
}

async fn client(options: &StoreOptions, skew: &Arc<Mutex<Option<u64>>>) -> Client {
    let shared = s3::load_config().await;
    let endpoint = s3::endpoint(&shared, options);
    let mut config = aws_sdk_s3::config::Builder::from(&shared)
        .force_path_style(endpoint.is_some())
        .retry_config(RetryConfig::standard())
        .timeout_config(TimeoutConfig::builder().operation_timeout(TIMEOUT).build())
        .interceptor(ReadClock(Arc::clone(skew)));
    config.set_endpoint_url(endpoint);
    if shared.region().is_none() {
        config = config.region(Region::from_static("us-east-1"));
    }
    Client::from_conf(config.build())
}

/// Compares the `Date` of answers with this machine's clock; the smallest difference counts, in ms.
#[derive(Debug)]
struct ReadClock(Arc<Mutex<Option<u64>>>);

impl Intercept for ReadClock {
    fn name(&self) -> &'static str {
        "ReadClock"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), aws_sdk_s3::error::BoxError> {
        let date = context.response().headers().get("date");
        let date = date.and_then(|date| DateTime::from_str(date, DateTimeFormat::HttpDate).ok());
        if let Some(theirs) = date.and_then(|date| date.to_millis().ok()) {
            let apart = Clock::Real.now().0.abs_diff(theirs);
            let mut skew = self.0.lock();
            *skew = Some(skew.map_or(apart, |before| before.min(apart)));
        }
        Ok(())
    }
}

struct Checks {
    client: Client,
    bucket: String,
    /// Of the probe.
    key: String,
    prefix: String,
}

impl Checks {
    /// Stores the probe and reads it; whether it is there.
    async fn objects(&self, report: &mut Report) -> bool {
        if let Err(error) = self.put().await {
            report.wrong(&refusal("stored", "s3:PutObject", &error));
            return false;
        }
        match self.get().await {
            Ok(read) if read == PROBE => report.well("Objects can be stored and read."),
            Ok(_) => report.wrong("What is read from the bucket is not what was stored in it."),
            Err(error) => report.wrong(&format!(
                "Nothing can be read from the bucket ({error}): allow these credentials s3:GetObject."
            )),
        }
        true
    }

    async fn put(&self) -> Result<(), SdkError<aws_sdk_s3::operation::put_object::PutObjectError>> {
        let put = self.client.put_object().bucket(&self.bucket).key(&self.key);
        put.body(ByteStream::from_static(PROBE)).send().await?;
        Ok(())
    }

    async fn get(&self) -> Result<Vec<u8>, String> {
        let get = self.client.get_object().bucket(&self.bucket).key(&self.key);
        let object = get.send().await.map_err(|error| said(&error))?;
        let read = object.body.collect().await;
        read.map(|body| body.to_vec())
            .map_err(|error| with_causes(&error))
    }

    /// Whether or not the probe is there.
    async fn delete(&self, stored: bool, report: &mut Report) {
        let delete = self.client.delete_object().bucket(&self.bucket);
        match delete.key(&self.key).send().await {
            Ok(_) => report.well("Objects can be deleted."),
            Err(error) => {
                let mut said = refusal("deleted", "s3:DeleteObject", &error);
                if stored {
                    said.push_str(&left(&self.key));
                }
                report.wrong(&said);
            }
        }
    }

    /// The probe is there, so storing it if it is not must fail.
    async fn condition(&self, report: &Report) {
        let put = self.client.put_object().bucket(&self.bucket).key(&self.key);
        let put = put.if_none_match("*").body(ByteStream::from_static(PROBE));
        match put.send().await {
            Ok(_) => report.note(
                "The store ignores If-None-Match, so it cannot guard an object against being written over. Penstock \
                 does without: its keys are never used twice.",
            ),
            Err(error) if error.code() == Some("PreconditionFailed") => {
                report.well("Conditional PUTs work.");
            }
            Err(error) => report.note(&format!(
                "Conditional PUTs do not work here ({}). Penstock does without.",
                said(&error)
            )),
        }
    }

    async fn latency(&self, report: &mut Report) {
        let (mut puts, mut gets) = (Vec::new(), Vec::new());
        let mut last = String::new();
        for _ in 0..ROUNDS {
            let began = Instant::now();
            match self.put().await {
                Ok(()) => puts.push(began.elapsed()),
                Err(error) => last = said(&error),
            }
            let began = Instant::now();
            match self.get().await {
                Ok(_) => gets.push(began.elapsed()),
                Err(why) => last = why,
            }
        }
        let failed = 2 * ROUNDS - puts.len() - gets.len();
        if failed > 0 {
            report.wrong(&format!(
                "{failed} of {} requests failed, the last of them with {last}: the bucket or the way to it is not reliable.",
                2 * ROUNDS
            ));
        }
        report.well(&latency(puts, gets));
    }

    async fn versioning(&self, report: &Report) {
        let asked = self.client.get_bucket_versioning().bucket(&self.bucket);
        match asked.send().await {
            Ok(answer) if answer.status() == Some(&BucketVersioningStatus::Enabled) => report.note(
                "The bucket keeps old versions, so what Penstock deletes is still paid for: suspend versioning, or \
                 add a lifecycle rule that expires noncurrent versions.",
            ),
            Ok(_) => report.well("The bucket keeps no old versions."),
            Err(error) => report.note(&unknown(
                "whether it keeps old versions",
                "s3:GetBucketVersioning",
                &error,
            )),
        }
    }

    async fn lifecycle(&self, report: &mut Report) {
        let asked = self.client.get_bucket_lifecycle_configuration();
        let rules = match asked.bucket(&self.bucket).send().await {
            Ok(answer) => answer.rules().to_vec(),
            Err(error) if error.code() == Some("NoSuchLifecycleConfiguration") => Vec::new(),
            Err(error) => {
                let what = "whether a lifecycle rule deletes data";
                return report.note(&unknown(what, "s3:GetLifecycleConfiguration", &error));
            }
        };
        let harmful = rules.iter().filter(|rule| touches(rule, &self.prefix));
        let mut harmless = true;
        for (rule, harm) in harmful.filter_map(|rule| harm(rule).map(|harm| (rule, harm))) {
            harmless = false;
            report.wrong(&format!(
                "The lifecycle rule '{}' {harm} what Penstock stores, and records would be lost to readers: remove it, \
                 or have it leave out '{}'.",
                rule.id().unwrap_or("without a name"),
                self.prefix
            ));
        }
        if harmless {
            report.well("No lifecycle rule takes data away.");
        }
    }
}

/// What a rule does to segments that are still needed.
fn harm(rule: &LifecycleRule) -> Option<&'static str> {
    let deletes =
        |e: &aws_sdk_s3::types::LifecycleExpiration| e.days().is_some() || e.date().is_some();
    if rule.expiration().is_some_and(deletes) {
        return Some("deletes");
    }
    let archives = rule.transitions().iter().any(|transition| {
        let class = transition.storage_class().map(|class| class.as_str());
        matches!(class, Some("GLACIER" | "DEEP_ARCHIVE"))
    });
    archives.then_some("archives")
}

/// Whether a rule is in force for keys under the prefix. Segments have no tags, so rules by tag are not.
fn touches(rule: &LifecycleRule, prefix: &str) -> bool {
    #[expect(deprecated, reason = "old rules still have their prefix there")]
    let old = rule.prefix();
    let filter = rule.filter();
    let both = filter.and_then(|filter| filter.and());
    let tagged = filter.is_some_and(|filter| filter.tag().is_some())
        || both.is_some_and(|and| !and.tags().is_empty());
    let named = filter.and_then(|filter| filter.prefix());
    let of = named
        .or_else(|| both.and_then(|and| and.prefix()))
        .or(old)
        .unwrap_or_default();
    let meet = prefix.starts_with(of) || of.starts_with(prefix);
    rule.status() == &ExpirationStatus::Enabled && !tagged && meet
}

/// The store's words, else the client's.
fn said<E>(error: &SdkError<E>) -> String
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {}", message.trim_end_matches('.')),
        (Some(code), None) => code.to_owned(),
        _ => match error.raw_response() {
            Some(answer) => {
                let status = answer.status().as_u16();
                format!("HTTP status {status}: {}", with_causes(error))
            }
            None => with_causes(error),
        },
    }
}

fn refusal<E>(what: &str, permission: &str, error: &SdkError<E>) -> String
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    let said = said(error);
    if error.code() == Some("AccessDenied") {
        format!(
            "Nothing can be {what} in the bucket ({said}): allow these credentials {permission}."
        )
    } else {
        format!("Nothing can be {what} in the bucket ({said}): see what the bucket's own log says.")
    }
}

fn unknown<E>(what: &str, permission: &str, error: &SdkError<E>) -> String
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    let said = said(error);
    format!("The bucket does not say {what} ({said}); with {permission} it might.")
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::types::{
        LifecycleExpiration, LifecycleRuleFilter, Tag, Transition, TransitionStorageClass,
    };

    use super::*;

    /// The client's own words are in its causes, not in its error.
    #[test]
    fn what_led_to_a_failure_is_said() {
        let cause = std::io::Error::other("tcp connect error: Connection refused");
        let error: SdkError<aws_sdk_s3::operation::put_object::PutObjectError> =
            SdkError::construction_failure(cause);
        assert_eq!(
            said(&error),
            "failed to construct request: tcp connect error: Connection refused"
        );
    }

    fn rule(filter: LifecycleRuleFilter, status: ExpirationStatus) -> LifecycleRule {
        let expiration = LifecycleExpiration::builder().days(7).build();
        let rule = LifecycleRule::builder().filter(filter).status(status);
        rule.expiration(expiration).build().unwrap()
    }

    fn under(prefix: &str) -> LifecycleRuleFilter {
        LifecycleRuleFilter::builder().prefix(prefix).build()
    }

    #[test]
    fn rules_that_meet_the_prefix_are_found() {
        for (of, ours, expected) in [
            ("", "logs", true),
            ("logs", "", true),
            ("logs/", "logs/a", true),
            ("logs/a/segments", "logs/a", true),
            ("tmp", "logs", false),
        ] {
            let found = touches(&rule(under(of), ExpirationStatus::Enabled), ours);
            assert_eq!(found, expected, "{of} {ours}");
        }
        assert!(!touches(&rule(under(""), ExpirationStatus::Disabled), ""));
        let tag = Tag::builder().key("a").value("b").build().unwrap();
        let tagged = LifecycleRuleFilter::builder().tag(tag).build();
        assert!(!touches(&rule(tagged, ExpirationStatus::Enabled), ""));
    }

    #[test]
    fn deleting_and_archiving_do_harm_and_cheaper_classes_do_not() {
        assert_eq!(
            harm(&rule(under(""), ExpirationStatus::Enabled)),
            Some("deletes")
        );
        let moved = |class| {
            let transition = Transition::builder().storage_class(class).build();
            let rule = LifecycleRule::builder().status(ExpirationStatus::Enabled);
            rule.transitions(transition).build().unwrap()
        };
        assert_eq!(
            harm(&moved(TransitionStorageClass::Glacier)),
            Some("archives")
        );
        assert_eq!(harm(&moved(TransitionStorageClass::StandardIa)), None);
    }
}
