//! Buckets that speak S3: real servers from the kit, and one inside the test whose PUTs can be held back.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::tools::{skipped, until};

pub(crate) const KEY: &str = "operations";
pub(crate) const SECRET: &str = "operations-secret";

/// The variables with which a bucket of ours is used.
pub(crate) fn credentials(command: &mut Command, secret: &str) {
    command
        .env("AWS_ACCESS_KEY_ID", KEY)
        .env("AWS_SECRET_ACCESS_KEY", secret)
        .env("AWS_REGION", "us-east-1")
        // No machine role and no profile of whoever runs the test.
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
}

/// A server of the kit, with the bucket `there`.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) endpoint: String,
    _child: Child,
    _folder: tempfile::TempDir,
}

impl Server {
    /// All that the kit holds; says what it does not.
    pub(crate) async fn all() -> Vec<Self> {
        let mut servers = Vec::new();
        for name in ["versitygw", "minio"] {
            match kit(name) {
                Some(program) => servers.push(Self::start(name, program).await),
                None => skipped(&format!("no {name} in the kit's bin folder")),
            }
        }
        servers
    }

    async fn start(name: &'static str, program: PathBuf) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        // In both a folder is a bucket.
        std::fs::create_dir(folder.path().join("there")).expect("it can be written");
        let address = free_address();
        let mut command = Command::new(program);
        if name == "minio" {
            command
                .args(["server", "--quiet", "--address", &address.to_string()])
                .arg(folder.path())
                .env("MINIO_ROOT_USER", KEY)
                .env("MINIO_ROOT_PASSWORD", SECRET);
        } else {
            command
                .args([
                    "--port",
                    &address.to_string(),
                    "--access",
                    KEY,
                    "--secret",
                    SECRET,
                ])
                .args(["--quiet", "posix"])
                .arg(folder.path());
        }
        let child = command
            .kill_on_drop(true)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the kit's programs start");
        until("a server of S3 that listens", async || {
            TcpStream::connect(address).await.is_ok()
        })
        .await;
        Self {
            name,
            endpoint: format!("http://{address}"),
            _child: child,
            _folder: folder,
        }
    }
}

fn kit(program: &str) -> Option<PathBuf> {
    let kit = std::env::var_os("PENSTOCK_KIT").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/kit")),
        PathBuf::from,
    );
    let path = kit.join("bin").join(program);
    path.is_file().then_some(path)
}

/// Nobody listens there.
pub(crate) fn free_address() -> SocketAddr {
    let listener = StdListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound")
}

/// As much of S3 as a broker needs, in memory, with PUTs that wait for as long as they are held: those of segments, not
/// that by which the bucket says whose it is.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) endpoint: String,
    hold: watch::Sender<bool>,
    shared: Arc<Shared>,
    _serving: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    objects: Mutex<HashMap<String, Bytes>>,
    /// PUTs that arrived.
    puts: watch::Sender<usize>,
    /// Objects that were read, or should have been.
    gets: Mutex<Vec<String>>,
    refused: Mutex<Refused>,
    held: watch::Receiver<bool>,
}

/// Which object's PUTs are refused, for good.
#[derive(Debug, Default)]
enum Refused {
    #[default]
    None,
    Next,
    Object(String),
}

impl Held {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("it is bound"));
        let (hold, held) = watch::channel(false);
        let shared = Arc::new(Shared {
            objects: Mutex::default(),
            puts: watch::Sender::new(0),
            gets: Mutex::default(),
            refused: Mutex::default(),
            held,
        });
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, Arc::clone(&shared)));
        Self {
            endpoint,
            hold,
            shared,
            _serving: serving,
        }
    }

    /// From now on PUTs wait.
    pub(crate) fn hold(&self) {
        self.hold.send_replace(true);
    }

    /// The object that is put next cannot be stored, however often it is tried.
    pub(crate) fn refuse_next(&self) {
        *self.shared.refused.lock() = Refused::Next;
    }

    /// PUTs that arrived so far.
    pub(crate) fn puts(&self) -> usize {
        *self.shared.puts.borrow()
    }

    /// The segments that are there.
    pub(crate) fn segments(&self) -> HashMap<String, Bytes> {
        let objects = self.shared.objects.lock();
        let segments = objects
            .iter()
            .filter(|(path, _)| path.contains("/segments/"));
        segments
            .map(|(path, bytes)| (path.clone(), bytes.clone()))
            .collect()
    }

    /// What lies there from now on, past all that a broker does.
    pub(crate) fn replace(&self, path: &str, object: Option<Bytes>) {
        let mut objects = self.shared.objects.lock();
        match object {
            Some(object) => objects.insert(path.to_owned(), object),
            None => objects.remove(path),
        };
    }

    /// How often somebody asked for that object.
    pub(crate) fn gets(&self, path: &str) -> usize {
        let gets = self.shared.gets.lock();
        gets.iter().filter(|asked| *asked == path).count()
    }

    pub(crate) fn release(&self) {
        self.hold.send_replace(false);
    }

    /// Until so many arrived.
    pub(crate) async fn wait_for_puts(&self, count: usize) {
        let mut puts = self.shared.puts.subscribe();
        let reached = tokio::time::timeout(
            crate::support::broker::PATIENCE,
            puts.wait_for(|puts| *puts >= count),
        );
        reached
            .await
            .expect("PUTs arrive")
            .expect("the bucket is there");
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        let service = service_fn(move |request| {
            let shared = Arc::clone(&shared);
            async move { Ok::<_, Infallible>(shared.answer(request).await) }
        });
        connections.spawn(async move {
            // A client that went away is no matter.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(socket), service)
                .await;
        });
    }
}

impl Shared {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().to_owned();
        match parts.method {
            Method::PUT => {
                let Ok(body) = body.collect().await else {
                    return respond(StatusCode::BAD_REQUEST, Bytes::new());
                };
                if path.ends_with("/penstock.json") {
                    self.objects.lock().insert(path, body.to_bytes());
                    return respond(StatusCode::OK, Bytes::new());
                }
                let refused = self.is_refused(&path);
                self.puts.send_modify(|puts| *puts += 1);
                let mut held = self.held.clone();
                // The test is over if nobody can release it any more.
                let _ = held.wait_for(|held| !held).await;
                if refused {
                    return respond(StatusCode::FORBIDDEN, Bytes::new());
                }
                self.objects.lock().insert(path, body.to_bytes());
                respond(StatusCode::OK, Bytes::new())
            }
            Method::GET
                if parts
                    .uri
                    .query()
                    .is_some_and(|query| query.contains("list-type")) =>
            {
                let nothing =
                    "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>";
                respond(StatusCode::OK, Bytes::from_static(nothing.as_bytes()))
            }
            Method::GET => {
                let range = parts
                    .headers
                    .get("range")
                    .and_then(|range| range.to_str().ok());
                self.read(&path, range)
            }
            _ => respond(StatusCode::NO_CONTENT, Bytes::new()),
        }
    }

    fn is_refused(&self, path: &str) -> bool {
        let mut refused = self.refused.lock();
        if matches!(*refused, Refused::Next) {
            *refused = Refused::Object(path.to_owned());
        }
        matches!(&*refused, Refused::Object(object) if object == path)
    }

    fn read(&self, path: &str, range: Option<&str>) -> Response<Full<Bytes>> {
        self.gets.lock().push(path.to_owned());
        let Some(object) = self.objects.lock().get(path).cloned() else {
            let missing = "<Error><Code>NoSuchKey</Code><Message>no such key</Message></Error>";
            return respond(
                StatusCode::NOT_FOUND,
                Bytes::from_static(missing.as_bytes()),
            );
        };
        let total = object.len();
        let wanted = range
            .and_then(|range| range.strip_prefix("bytes="))
            .and_then(|range| range.split_once('-'))
            .and_then(|(first, last)| {
                Some((first.parse::<usize>().ok()?, last.parse::<usize>().ok()?))
            });
        let Some((first, last)) = wanted else {
            return respond(StatusCode::OK, object);
        };
        if first >= total {
            let said = "<Error><Code>InvalidRange</Code><Message>it ends before</Message></Error>";
            return respond(
                StatusCode::RANGE_NOT_SATISFIABLE,
                Bytes::from_static(said.as_bytes()),
            );
        }
        let last = last.min(total - 1);
        let mut response = respond(StatusCode::PARTIAL_CONTENT, object.slice(first..=last));
        let place = format!("bytes {first}-{last}/{total}");
        response
            .headers_mut()
            .insert("content-range", place.parse().expect("plain text"));
        response
    }
}

fn respond(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let response = Response::builder()
        .status(status)
        .header("etag", "\"1\"")
        .header("last-modified", "Tue, 24 Nov 2026 00:00:00 GMT");
    response.body(Full::new(body)).expect("well formed")
}
