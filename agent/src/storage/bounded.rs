//! Answers of a bucket, none of which takes more memory than what was asked for: `object_store` collects them whole, whatever
//! the other side goes on sending.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::RANGE;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService, ReqwestConnector,
};

/// Of an answer that is no range of an object: a list, a small object, what became of a PUT.
const WHOLE_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Of one that says why not, the rest of which nobody reads.
const REFUSAL_BYTES_MAX: usize = 64 * 1024;

/// Connects as `object_store` does by default.
#[derive(Debug, Default)]
pub(super) struct BoundedConnector(ReqwestConnector);

impl HttpConnector for BoundedConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Bounded(self.0.connect(options)?)))
    }
}

#[derive(Debug)]
struct Bounded(HttpClient);

#[async_trait]
impl HttpService for Bounded {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let wanted = wanted(&request);
        let (head, body) = self.0.execute(request).await?.into_parts();
        let body = match head.status.is_success() {
            true => HttpResponseBody::new(AtMost { body, left: wanted }),
            false => HttpResponseBody::from(beginning(body).await?),
        };
        Ok(HttpResponse::from_parts(head, body))
    }
}

/// How many bytes the request asks for.
fn wanted(request: &HttpRequest) -> u64 {
    let range = request.headers().get(RANGE);
    let range = range.and_then(|range| range.to_str().ok());
    range.and_then(length).unwrap_or(WHOLE_BYTES_MAX)
}

/// Of `bytes=FIRST-LAST` or `bytes=-COUNT`.
fn length(range: &str) -> Option<u64> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let last: u64 = last.parse().ok()?;
    match first {
        "" => Some(last),
        first => last.checked_sub(first.parse().ok()?)?.checked_add(1),
    }
}

async fn beginning(mut body: HttpResponseBody) -> Result<Bytes, HttpError> {
    let mut taken = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        let room = REFUSAL_BYTES_MAX - taken.len();
        taken.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() >= room {
            break;
        }
    }
    // It is read as text, which it would not be if it were cut amid a letter.
    Ok(String::from_utf8_lossy(&taken).into_owned().into())
}

/// A body that fails where it goes beyond what was asked for.
struct AtMost {
    body: HttpResponseBody,
    left: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("the object store sends more than was asked for")]
struct TooMuch;

impl Body for AtMost {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let bytes = match &frame {
            Some(Ok(frame)) => frame.data_ref().map_or(0, Bytes::len),
            _ => 0,
        };
        Poll::Ready(match self.left.checked_sub(bytes as u64) {
            Some(left) => {
                self.left = left;
                frame
            }
            None => Some(Err(HttpError::new(HttpErrorKind::Decode, TooMuch))),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    /// Room is made for so much at once.
    fn size_hint(&self) -> SizeHint {
        let mut hint = SizeHint::new();
        hint.set_lower(self.body.size_hint().lower().min(self.left));
        hint
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::stream;
    use http_body_util::StreamBody;
    use hyper::Response;
    use object_store::client::HttpRequestBody;

    use super::*;

    /// A refusal that is cut is text all the same: the code counts.
    #[tokio::test]
    async fn a_long_refusal_in_any_letters_stays_text() {
        let body = format!("a{}", "\u{e4}".repeat(REFUSAL_BYTES_MAX));
        let cut = beginning(HttpResponseBody::from(Bytes::from(body)))
            .await
            .unwrap();
        assert!(String::from_utf8(cut.into()).is_ok());
    }

    /// Answers every request with that status, and pieces without end.
    #[derive(Debug)]
    struct Endless(u16);

    #[async_trait]
    impl HttpService for Endless {
        async fn call(&self, _request: HttpRequest) -> Result<HttpResponse, HttpError> {
            let piece = || Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[7; 10_000])));
            let body = StreamBody::new(stream::iter(std::iter::repeat_with(piece)));
            let body = body.map_err(|never| match never {});
            let answer = Response::builder().status(self.0);
            Ok(answer.body(HttpResponseBody::new(body)).unwrap())
        }
    }

    async fn answered(status: u16, range: Option<&str>) -> Result<usize, String> {
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        if let Some(range) = range {
            request.headers_mut().insert(RANGE, range.parse().unwrap());
        }
        let bounded = Bounded(HttpClient::new(Endless(status)));
        let answer = bounded.call(request).await.unwrap();
        let bytes = answer.into_body().bytes().await;
        bytes
            .map(|bytes| bytes.len())
            .map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_bucket_that_sends_without_end_is_read_no_further_than_was_asked_for() {
        for range in [Some("bytes=0-49999"), Some("bytes=-5"), None] {
            assert!(answered(206, range).await.is_err(), "{range:?}");
        }
        for status in [400, 403, 500, 503] {
            assert_eq!(answered(status, None).await, Ok(REFUSAL_BYTES_MAX));
        }
    }

    #[test]
    fn ranges_say_how_long_they_are() {
        assert_eq!(length("bytes=0-0"), Some(1));
        assert_eq!(length("bytes=10-29"), Some(20));
        assert_eq!(length("bytes=-5"), Some(5));
        assert_eq!(length("bytes=5-"), None);
        assert_eq!(length("bytes=9-5"), None);
        assert_eq!(length(&format!("bytes=0-{}", u64::MAX)), None);
    }
}
