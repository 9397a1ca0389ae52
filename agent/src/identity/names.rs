//! What bucket and metadata are called in sentences for the operator, and in the commands that those end with.

use crate::storage::StoreOptions;

/// What the two are called in sentences for the operator.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    pub(super) bucket: String,
    pub(super) metadata: String,
    /// Where the metadata is kept, for commands to be typed.
    store: String,
    /// As it was given for the bucket.
    s3_endpoint: Option<String>,
}

/// How help calls what is not known.
const SOME_URL: &str = "URL";

impl Names {
    /// Of a process that works on the store. Where no bucket is given it is named in what to type alone.
    pub(crate) fn of_store(store: String, bucket: Option<String>, options: &StoreOptions) -> Self {
        Self {
            bucket: bucket.unwrap_or_else(|| SOME_URL.to_owned()),
            metadata: store.clone(),
            store,
            s3_endpoint: options.s3_endpoint.clone(),
        }
    }

    /// Of one that asks processes at these addresses.
    pub(crate) fn of_processes(
        addresses: &[String],
        bucket: Option<String>,
        options: &StoreOptions,
    ) -> Self {
        Self {
            metadata: addresses.join(", "),
            ..Self::of_store(SOME_URL.to_owned(), bucket, options)
        }
    }

    /// The metadata, in a sentence.
    pub(crate) fn metadata(&self) -> &str {
        &self.metadata
    }
}

/// What to do about metadata that lacks what somebody remembers of it: the sentence ends with a command, which gets what it
/// wants here.
pub(crate) fn went_back(names: &Names, error: &metadata::Error) -> String {
    let mut said = error.to_string();
    if matches!(error, metadata::Error::WentBack(_)) {
        let endpoint = names.s3_endpoint.as_deref();
        let flags = [
            ("--store", Some(names.store.as_str())),
            ("--bucket", Some(names.bucket.as_str())),
            ("--s3-endpoint", endpoint),
        ];
        for (flag, value) in flags {
            if let Some(value) = value {
                said.push_str(&format!(" {flag} {}", quoted(value)));
            }
        }
    }
    said
}

/// As a shell takes it for one word.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+,=".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}
