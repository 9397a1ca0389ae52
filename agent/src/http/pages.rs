//! What there is to see: metrics and health.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use metadata::Status;
use metrics_exporter_prometheus::PrometheusHandle;

use super::figures::Figures;
use super::store_calls::{StoreCalls, brief};
use crate::admission::Admission;
use crate::context::Context;
use crate::identity::Identity;
use crate::metrics;
use crate::storage::Store;
use crate::tasks::Stop;

/// Whose pages they are.
#[derive(Clone, Debug)]
pub(crate) enum Pages {
    Agent(Box<AgentPages>),
    /// A process that is nothing but a candidate for the order.
    Metadata {
        prometheus: PrometheusHandle,
        status: Status,
        calls: Arc<StoreCalls>,
    },
}

/// What the pages of an agent show.
#[derive(Clone, Debug)]
pub(crate) struct AgentPages {
    pub(crate) prometheus: PrometheusHandle,
    pub(crate) context: Arc<Context>,
    pub(crate) admission: Admission,
    pub(crate) store: Store,
    /// Whether the bucket is that of the metadata.
    pub(crate) identity: Identity,
    pub(crate) front: metrics::Front,
    /// Set once the agent drains: it is then not ready.
    pub(crate) draining: Stop,
    /// Of a process that may hold the order for others as well.
    pub(crate) candidate: Option<Status>,
    /// Of the metadata store, where this process works on it.
    pub(crate) calls: Arc<StoreCalls>,
}

const SILENT_STORE: &str = "the metadata store does not answer";
const SILENT_METADATA: &str =
    "the metadata's process lives and answers nothing: see whether its metadata store does";

fn cannot_take_over(trouble: &str) -> String {
    format!("cannot take over: {trouble}")
}

impl Pages {
    pub(super) async fn answer(
        &self,
        request: &Request<Incoming>,
        figures: &Figures,
    ) -> Response<Full<Bytes>> {
        if !request.body().is_end_stream() {
            return not_read();
        }
        let is_read = [Method::GET, Method::HEAD].contains(request.method());
        match request.uri().path() {
            "/metrics" | "/health/live" | "/health/ready" if !is_read => not_allowed(),
            "/metrics" => {
                let pages = self.clone();
                let shown = figures.shown(move || pages.figures()).await;
                respond(StatusCode::OK, "text/plain; version=0.0.4", shown)
            }
            "/health/live" => respond(StatusCode::OK, "text/plain", "live\n"),
            "/health/ready" => self.ready(),
            _ => respond(
                StatusCode::NOT_FOUND,
                "text/plain",
                "try /metrics, /health/live or /health/ready\n",
            ),
        }
    }

    fn figures(&self) -> String {
        match self {
            Self::Agent(agent) => {
                agent.refresh();
                agent.prometheus.render()
            }
            Self::Metadata {
                prometheus, status, ..
            } => {
                metrics::holds_order(status.holds(), status.stats());
                prometheus.render()
            }
        }
    }

    fn ready(&self) -> Response<Full<Bytes>> {
        let (status, said) = match self {
            Self::Agent(agent) => agent.readiness(),
            Self::Metadata { calls, .. } if calls.silent() > 0 => {
                (StatusCode::SERVICE_UNAVAILABLE, format!("{SILENT_STORE}\n"))
            }
            Self::Metadata { status, calls, .. } => readiness(status, calls),
        };
        respond(status, "text/plain", said)
    }
}

/// Of a process that is nothing but a candidate.
fn readiness(status: &Status, calls: &StoreCalls) -> (StatusCode, String) {
    if let Some(displaced) = status.displaced() {
        return (StatusCode::SERVICE_UNAVAILABLE, format!("{displaced}\n"));
    }
    match (status.holds(), status.ready()) {
        (true, false) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{}\n", calls.unwritable()),
        ),
        (true, true) => (StatusCode::OK, "holds the order\n".to_owned()),
        (false, _) => match status.trouble() {
            Some(trouble) => (
                StatusCode::SERVICE_UNAVAILABLE,
                format!("{}\n", cannot_take_over(&trouble)),
            ),
            None => (StatusCode::OK, "waits for its turn\n".to_owned()),
        },
    }
}

impl AgentPages {
    fn readiness(&self) -> (StatusCode, String) {
        match self.trouble() {
            Some(trouble) => (StatusCode::SERVICE_UNAVAILABLE, format!("{trouble}\n")),
            None => (StatusCode::OK, "ready\n".to_owned()),
        }
    }

    /// Why no client should be sent here.
    fn trouble(&self) -> Option<String> {
        if self.draining.is_requested() {
            return Some("draining".to_owned());
        }
        let candidate = || self.candidate.as_ref()?.displaced();
        let displaced = self.context.metadata.displaced().or_else(candidate);
        if displaced.is_some() {
            return displaced;
        }
        if self.calls.silent() > 0 {
            return Some(SILENT_STORE.to_owned());
        }
        if !self.context.metadata.ready() {
            return Some(self.without_order());
        }
        if !self.context.metadata.answers() {
            return Some(SILENT_METADATA.to_owned());
        }
        if let Some(trouble) = self.identity.trouble() {
            return Some(trouble);
        }
        let why = self.store.unwritable()?;
        Some(format!("the bucket cannot be written: {}", brief(&why)))
    }

    /// Why nothing can be committed: the store is to blame where this process works on it.
    fn without_order(&self) -> String {
        let store = || self.calls.unwritable();
        match &self.candidate {
            None => self.context.metadata.unreached().unwrap_or_else(store),
            Some(status) if status.holds() => store(),
            Some(status) => match status.trouble() {
                Some(trouble) => cannot_take_over(&trouble),
                None => "no process that holds the order is reached".to_owned(),
            },
        }
    }

    /// Figures that others keep are read when somebody asks.
    fn refresh(&self) {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a gauge needs no more than 52 bits"
        )]
        self.front
            .buffered_bytes
            .set(self.admission.buffered_bytes() as f64);
        match &self.candidate {
            Some(status) => metrics::holds_order(status.holds(), status.stats()),
            None => {
                let stats = self.context.metadata.stats();
                metrics::usage(stats);
                self.front.drains.absolute(stats.drains);
            }
        }
    }
}

/// No page wants a body: the connection ends, and with it whatever is still to come of one.
fn not_read() -> Response<Full<Bytes>> {
    let said = "a request with a body is not taken here\n";
    let mut response = respond(StatusCode::PAYLOAD_TOO_LARGE, "text/plain", said);
    let ends = HeaderValue::from_static("close");
    response.headers_mut().insert(CONNECTION, ends);
    response
}

/// Nothing is changed by these pages.
fn not_allowed() -> Response<Full<Bytes>> {
    let said = "this page can only be read\n";
    let mut response = respond(StatusCode::METHOD_NOT_ALLOWED, "text/plain", said);
    let allowed = HeaderValue::from_static("GET, HEAD");
    response.headers_mut().insert(ALLOW, allowed);
    response
}

fn respond(
    status: StatusCode,
    kind: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
