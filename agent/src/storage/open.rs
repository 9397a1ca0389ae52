//! From a bucket's URL to a `Store`, with a sentence for the operator where that fails.

use std::io::ErrorKind as ErrorOfIo;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use url::{ParseError, Url};

use super::error::{ErrorKind, StoreError};
use super::s3;
use super::s3::NO_CREDENTIALS;
use super::store::Store;

/// How long a bucket may take to answer at start.
const CHECK_DEADLINE: Duration = Duration::from_secs(8);

/// What a URL cannot say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreOptions {
    /// Where S3 is spoken, if not at AWS: `http://host:port`.
    pub s3_endpoint: Option<String>,
}

/// A sentence that says what is wrong with a bucket and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// What was typed names none, whatever there is.
    #[error("{0}")]
    Misused(String),
    #[error("{0}")]
    Unusable(String),
}

/// What to do about a folder that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Absent {
    Make,
    Refuse,
}

impl Store {
    /// Opens `memory:`, `file:///path` or `s3://bucket/prefix`. A folder that does not exist is made.
    ///
    /// # Errors
    /// With a sentence for the operator. Whether a bucket of S3 answers is for [`Store::check`] to find out.
    pub async fn open(url: &str, options: &StoreOptions) -> Result<Self, OpenError> {
        Self::open_or(Absent::Make, url, options).await
    }

    /// The same of a bucket that has to be there: a folder that is not is refused, and nothing is made.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn open_existing(url: &str, options: &StoreOptions) -> Result<Self, OpenError> {
        Self::open_or(Absent::Refuse, url, options).await
    }

    async fn open_or(absent: Absent, url: &str, options: &StoreOptions) -> Result<Self, OpenError> {
        if url == "memory:" {
            return Ok(Self::from_object_store(
                Arc::new(InMemory::new()),
                Path::default(),
                true,
            ));
        }
        let parsed = Url::parse(url).map_err(|error| no_url(url, error))?;
        match parsed.scheme() {
            "file" => open_folder(absent, url, &parsed),
            "s3" => s3::open(url, &parsed, options).await,
            "memory" => Err(not_a_bucket(url, "nothing follows memory:")),
            other => Err(not_a_bucket(
                url,
                &format!("the scheme {other}: is not known"),
            )),
        }
    }

    /// Whether the bucket answers and lets us in. Writes nothing.
    ///
    /// # Errors
    /// With a sentence for the operator.
    pub async fn check(&self) -> Result<(), OpenError> {
        let error = self.probe(CHECK_DEADLINE).await;
        if error.kind == ErrorKind::NotFound {
            return Ok(());
        }
        let text = error.to_string();
        Err(OpenError::Unusable(format!(
            "{} ({})",
            advice(&error, &text),
            gist(&text)
        )))
    }
}

fn is_http(text: &str) -> bool {
    text.contains("status code: 404")
}

/// What to do about a bucket that cannot be read. The store's own word for it says more than the status.
fn advice(error: &StoreError, text: &str) -> &'static str {
    const WORDS: [(&[&str], &str); 6] = [
        (
            &["NoSuchBucket"],
            "there is no such bucket: create it, or correct --bucket",
        ),
        (
            &[
                "InvalidAccessKeyId",
                "SignatureDoesNotMatch",
                "InvalidToken",
            ],
            "the credentials are wrong: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the \
             profile or role in use",
        ),
        (
            &["ExpiredToken"],
            "the credentials have expired: sign in again, or renew AWS_SESSION_TOKEN",
        ),
        (
            &["RequestTimeTooSkewed"],
            "the clock of this machine is wrong by minutes: set it, best by NTP",
        ),
        (
            &[
                "AuthorizationHeaderMalformed",
                "PermanentRedirect",
                "incorrectly configured region",
            ],
            "the bucket is in another region: set AWS_REGION to that of the bucket",
        ),
        (
            &[NO_CREDENTIALS],
            "no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or \
             AWS_PROFILE, or give this machine a role",
        ),
    ];
    let said = |(words, _): &&(&[&str], _)| words.iter().any(|word| text.contains(word));
    match WORDS.iter().find(said) {
        Some((_, advice)) => advice,
        None if is_http(text) => {
            "what answers there does not speak S3: check --s3-endpoint, which has no path"
        }
        None if error.kind == ErrorKind::Refused => {
            "the bucket refuses us: allow these credentials s3:ListBucket on the bucket and \
             s3:GetObject, s3:PutObject and s3:DeleteObject on what is in it"
        }
        None => {
            "the bucket does not answer: check its URL, --s3-endpoint, the region and the network"
        }
    }
}

/// The store's own words, where there are any: errors of HTTP clients carry whole pages.
fn gist(text: &str) -> String {
    let element = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        rest.split_once("</").map(|(inside, _)| inside)
    };
    let said = match (element("Code"), element("Message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        _ => text.lines().next().unwrap_or_default().to_owned(),
    };
    said.chars().take(500).collect()
}

fn not_a_bucket(url: &str, why: &str) -> OpenError {
    OpenError::Misused(format!(
        "'{url}' is not a bucket ({why}): write memory:, file:///absolute/path or \
         s3://bucket/prefix"
    ))
}

/// People type paths, too.
fn no_url(text: &str, error: ParseError) -> OpenError {
    match (error, Url::from_file_path(text)) {
        (ParseError::RelativeUrlWithoutBase, Ok(meant)) => OpenError::Misused(format!(
            "'{text}' is not a bucket but a path: write {meant}"
        )),
        (ParseError::RelativeUrlWithoutBase, Err(())) => {
            not_a_bucket(text, "it does not begin as a URL")
        }
        (error, _) => not_a_bucket(text, &error.to_string()),
    }
}

/// The folder of `file:///path`. A URL has no relative paths: `file:./x` would be read as `/x`.
fn folder_of(url: &str, parsed: &Url) -> Result<PathBuf, OpenError> {
    let is_absolute = |(_, path): (&str, &str)| path.starts_with('/');
    let absolute = url.split_once(':').is_some_and(is_absolute);
    let folder = parsed.to_file_path().ok().filter(|_| absolute);
    folder.ok_or_else(|| not_a_bucket(url, "not an absolute path of this machine"))
}

fn open_folder(absent: Absent, url: &str, parsed: &Url) -> Result<Store, OpenError> {
    let folder = folder_of(url, parsed)?;
    let say = |what: &str, error: std::io::Error| {
        OpenError::Unusable(format!(
            "the folder {} cannot be {what} ({error}): check the path and its permissions",
            folder.display()
        ))
    };
    match absent {
        Absent::Make => match std::fs::create_dir_all(&folder) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorOfIo::AlreadyExists => {}
            Err(error) => return Err(say("made", error)),
        },
        Absent::Refuse => match std::fs::metadata(&folder) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorOfIo::NotFound => {
                return Err(OpenError::Unusable(format!(
                    "there is no folder {}: make it, or correct --bucket",
                    folder.display()
                )));
            }
            Err(error) => return Err(say("looked at", error)),
        },
    }
    check_writable(&folder).map_err(|error| say("written", error))?;
    // An ack means that the bytes are on the disk, also after a power cut.
    let objects = LocalFileSystem::new_with_prefix(&folder)
        .map_err(|error| OpenError::Unusable(format!("{}: {error}", folder.display())))?
        .with_fsync(true);
    Ok(Store::of_folder(Arc::new(objects)))
}

/// Permissions lie (root, read-only file systems), so it is tried.
fn check_writable(folder: &FilePath) -> std::io::Result<()> {
    let probe = folder.join(format!(".penstock-probe-{}", std::process::id()));
    // One may be left of a process that was killed here: in a container the next has its number.
    std::fs::File::create(&probe)?;
    match std::fs::remove_file(&probe) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_s_path_is_absolute() {
        let folder = |url: &str| folder_of(url, &Url::parse(url).unwrap());
        for (url, path) in [
            ("file:///a/b", "/a/b"),
            ("file:/a/b", "/a/b"),
            ("FILE:///a/b", "/a/b"),
            ("file://localhost/a/b", "/a/b"),
        ] {
            assert_eq!(folder(url), Ok(PathBuf::from(path)), "{url}");
        }
        for url in [
            "file:./x",
            "file:rel",
            "file:../rel",
            "file:rel/x",
            "file:",
            "file://rel/x",
        ] {
            let said = folder(url).unwrap_err().to_string();
            let parts = ["not an absolute path", "file:///absolute/path", url];
            assert!(parts.iter().all(|part| said.contains(part)), "{said}");
        }
    }

    #[test]
    fn a_process_that_was_killed_while_it_tried_a_folder_stops_no_later_one() {
        let folder = tempfile::tempdir().unwrap();
        let left = folder
            .path()
            .join(format!(".penstock-probe-{}", std::process::id()));
        std::fs::write(left, b"").unwrap();
        check_writable(folder.path()).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
