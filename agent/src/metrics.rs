//! All metric handles outside `storage/`, grouped by room. Registered once; the hot path only adds.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge};
use metrics::{describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use protocol::{ApiKey, ErrorCode};

use crate::own_thread::OwnThread;
use crate::tasks::Stop;

/// Upper bounds in seconds, for everything that is timed.
const SECONDS: &[f64] = &[
    0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75,
    1.0, 1.5, 2.5, 5.0, 10.0, 30.0,
];
/// Upper bounds in bytes, for segments.
const BYTES: &[f64] = &[
    1024.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
    2_097_152.0,
    4_194_304.0,
    8_388_608.0,
    16_777_216.0,
];

/// Makes the process' recorder; the handle renders `/metrics`.
///
/// # Errors
/// When a recorder is installed already.
pub fn install() -> anyhow::Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_bytes".into()), BYTES)?
        .install_recorder()?;
    describe();
    Ok(handle)
}

fn describe() {
    describe_histogram!(
        "penstock_produce_seconds",
        Unit::Seconds,
        "Time a produce request spent waiting in the open segment, being stored, being committed, and in all"
    );
    describe_counter!(
        "penstock_fetch_bytes_total",
        Unit::Bytes,
        "Record batch bytes served, by where they came from"
    );
    describe_counter!("penstock_segments_total", "Segments stored and committed");
    describe_histogram!(
        "penstock_segment_bytes",
        Unit::Bytes,
        "Size of stored segments"
    );
    describe_gauge!(
        "penstock_cluster_usage",
        "How much there is of what is bounded, by kind; 0 where the order is not decided"
    );
    describe_gauge!(
        "penstock_cluster_usage_max",
        "The bound: what would go past it is refused"
    );
    describe_gauge!(
        "penstock_holds_order",
        "1 where the order of offsets is decided, 0 where a process waits for its turn"
    );
    describe_gauge!(
        "penstock_buffered_bytes",
        Unit::Bytes,
        "Record batches waiting for their ack"
    );
    describe_gauge!(
        "penstock_memory_budget_bytes",
        Unit::Bytes,
        "What all clients together may take of memory, by what for, besides --buffer-memory and --cache-memory"
    );
    describe_gauge!("penstock_connections", "Open client connections");
    describe_counter!(
        "penstock_turned_away_total",
        "Connections that were refused, or ended for what the client did or did not do, by reason"
    );
    describe_counter!(
        "penstock_requests_total",
        "Requests answered, by API and first error in the answer"
    );
    describe_counter!(
        "penstock_answers_not_believed_total",
        "Answers of the sequencer to a segment's commit that cannot be answers to it; any is a fault"
    );
    describe_counter!(
        "penstock_damage_total",
        "Readers who met committed records that cannot be read as they were committed, by kind"
    );
    describe_counter!(
        "penstock_drains_total",
        "Drains of the sequencer's queue that were made durable"
    );
    describe_counter!(
        "penstock_index_rows_freed_total",
        "Rows of extents that were given back because their topic is deleted"
    );
    describe_counter!(
        "penstock_objects_orphaned_total",
        "Objects of the bucket in which nothing lies any more since rows of extents were given back"
    );
    describe_counter!(
        "penstock_job_turns_total",
        "Turns of background jobs, by job and outcome: more, idle, failed, late"
    );
    describe_histogram!(
        "penstock_job_seconds",
        Unit::Seconds,
        "Time of turns of background jobs"
    );
    describe_counter!(
        "penstock_job_done_total",
        "What background jobs did, in units of each: blocks that a cache sweep let go of, looks at whose bucket it is"
    );
    describe_counter!(
        "penstock_object_store_requests_total",
        "Requests to the object store, by operation, cause and outcome"
    );
    describe_counter!(
        "penstock_object_store_bytes_total",
        Unit::Bytes,
        "Bytes to and from the object store"
    );
    describe_histogram!(
        "penstock_object_store_seconds",
        Unit::Seconds,
        "Time of requests to the object store"
    );
}

/// Handles of the write path.
#[derive(Clone, Debug)]
pub(crate) struct Produce {
    pub(crate) buffer: Histogram,
    pub(crate) put: Histogram,
    pub(crate) commit: Histogram,
    pub(crate) total: Histogram,
    pub(crate) segments: Counter,
    pub(crate) segment_bytes: Histogram,
}

impl Produce {
    pub(crate) fn new() -> Self {
        // From 0 on, so that the first one is a rise that an alert sees.
        answers_not_believed().increment(0);
        Self {
            buffer: histogram!("penstock_produce_seconds", "stage" => "buffer"),
            put: histogram!("penstock_produce_seconds", "stage" => "put"),
            commit: histogram!("penstock_produce_seconds", "stage" => "commit"),
            total: histogram!("penstock_produce_seconds", "stage" => "total"),
            segments: counter!("penstock_segments_total"),
            segment_bytes: histogram!("penstock_segment_bytes"),
        }
    }
}

/// Handles of the read path.
#[derive(Clone, Debug)]
pub(crate) struct Fetch {
    pub(crate) from_cache: Counter,
    pub(crate) from_store: Counter,
    /// Written by this agent and still in memory: what consumers at the tail read.
    pub(crate) from_view: Counter,
}

impl Fetch {
    pub(crate) fn new() -> Self {
        // From 0 on, so that the first damage is a rise that an alert sees.
        for kind in DamageKind::ALL {
            damage(kind).increment(0);
        }
        Self {
            from_view: counter!("penstock_fetch_bytes_total", "source" => "view"),
            from_cache: counter!("penstock_fetch_bytes_total", "source" => "cache"),
            from_store: counter!("penstock_fetch_bytes_total", "source" => "store"),
        }
    }
}

/// Handles of the front door.
#[derive(Clone, Debug)]
pub(crate) struct Front {
    pub(crate) connections: Gauge,
    pub(crate) buffered_bytes: Gauge,
    pub(crate) drains: Counter,
}

impl Front {
    pub(crate) fn new() -> Self {
        for reason in Turned::ALL {
            turned(reason).increment(0);
        }
        Self {
            connections: gauge!("penstock_connections"),
            buffered_bytes: gauge!("penstock_buffered_bytes"),
            drains: counter!("penstock_drains_total"),
        }
    }
}

/// Handles of a background job.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// Turns behind which there was more to do, and those behind which there was not.
    pub(crate) more: Counter,
    pub(crate) idle: Counter,
    /// Turns that failed, and those that were given up.
    pub(crate) failed: Counter,
    pub(crate) late: Counter,
    pub(crate) seconds: Histogram,
    pub(crate) done: Counter,
}

impl Job {
    pub(crate) fn new(job: &'static str) -> Self {
        let turns = |outcome: &'static str| {
            let turns = counter!("penstock_job_turns_total", "job" => job, "outcome" => outcome);
            // From 0 on, so that the first failure is a rise that an alert sees.
            turns.increment(0);
            turns
        };
        Self {
            more: turns("more"),
            idle: turns("idle"),
            failed: turns("failed"),
            late: turns("late"),
            seconds: histogram!("penstock_job_seconds", "job" => job),
            done: counter!("penstock_job_done_total", "job" => job),
        }
    }
}

/// What all clients together may take, by what for; it does not change.
pub(crate) fn memory_budgets(budgets: impl IntoIterator<Item = (&'static str, usize)>) {
    for (kind, bytes) in budgets {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a gauge needs no more than 52 bits"
        )]
        gauge!("penstock_memory_budget_bytes", "for" => kind).set(bytes as f64);
    }
}

/// What a process that may hold the order did since it took over, when somebody asks.
pub(crate) fn holds_order(holds: bool, stats: metadata::Stats) {
    gauge!("penstock_holds_order").set(f64::from(u8::from(holds)));
    counter!("penstock_drains_total").absolute(stats.drains);
    usage(stats);
}

/// How much of what the cluster may have there is, and what was given back, where the order is decided; nothing is known
/// elsewhere.
pub(crate) fn usage(stats: metadata::Stats) {
    counter!("penstock_index_rows_freed_total").absolute(stats.chunks_freed);
    counter!("penstock_objects_orphaned_total").absolute(stats.objects_orphaned);
    let (usage, max) = (stats.usage, stats.limits);
    let wide = |count: usize| count as u64;
    for (kind, count, max) in [
        ("topics", usage.topics, wide(max.topics)),
        ("topic_bytes", usage.topic_bytes, max.topic_bytes),
        ("partitions", usage.partitions, max.partitions),
        (
            "deleted_topics",
            usage.deleted_topics,
            wide(max.deleted_topics),
        ),
        ("sessions", usage.sessions, wide(max.sessions)),
        ("outcome_bytes", usage.outcome_bytes, max.outcome_bytes),
        ("producer_bytes", usage.producer_bytes, max.producer_bytes),
    ] {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a gauge needs no more than 52 bits"
        )]
        let (count, max) = (count as f64, max as f64);
        gauge!("penstock_cluster_usage", "kind" => kind).set(count);
        gauge!("penstock_cluster_usage_max", "kind" => kind).set(max);
    }
}

/// Counts one answered request.
pub(crate) fn count_request(api: ApiKey, error: ErrorCode) {
    counter!("penstock_requests_total", "api" => api.name(), "error" => error.name()).increment(1);
}

/// How committed records cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum DamageKind {
    /// There is no such object.
    Missing,
    /// A block is cut short, or its bytes are not those that were committed for that partition.
    Block,
    /// A block's bytes are not record batches, or not as many as were committed.
    Batches,
    /// No extent leads to them.
    Hole,
}

impl DamageKind {
    const ALL: [Self; 4] = [Self::Missing, Self::Block, Self::Batches, Self::Hole];

    /// The metric's label.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Block => "block",
            Self::Batches => "batches",
            Self::Hole => "hole",
        }
    }
}

/// Counts a reader who met records that cannot be read as they were committed.
pub(crate) fn count_damage(kind: DamageKind) {
    damage(kind).increment(1);
}

fn damage(kind: DamageKind) -> Counter {
    counter!("penstock_damage_total", "kind" => kind.name())
}

/// Why a connection was refused or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Turned {
    /// There are as many connections as there may be.
    Full,
    /// There are as many of that address.
    AddressFull,
    /// A request took too long to arrive.
    TooSlow,
    /// A request arrived more slowly than others could that waited for its memory.
    MadeRoom,
    /// Replies were not read.
    NotReading,
    /// Replies were read more slowly than others could that waited for their memory.
    ReadsSlowly,
    Malformed,
    /// A request that is not spoken here, or cannot be.
    Refused,
    /// At the HTTP port: another one came, and nobody stood still for longer.
    Http,
}

impl Turned {
    const ALL: [Self; 9] = [
        Self::Full,
        Self::AddressFull,
        Self::TooSlow,
        Self::MadeRoom,
        Self::NotReading,
        Self::ReadsSlowly,
        Self::Malformed,
        Self::Refused,
        Self::Http,
    ];

    /// The metric's label.
    fn name(self) -> &'static str {
        match self {
            Self::Full => "connections_max",
            Self::AddressFull => "connections_max_per_address",
            Self::TooSlow => "too_slow",
            Self::MadeRoom => "made_room",
            Self::NotReading => "not_reading",
            Self::ReadsSlowly => "reads_slowly",
            Self::Malformed => "malformed",
            Self::Refused => "refused",
            Self::Http => "http",
        }
    }
}

/// Counts a connection that was refused or ended.
pub(crate) fn count_turned(reason: Turned) {
    turned(reason).increment(1);
}

fn turned(reason: Turned) -> Counter {
    counter!("penstock_turned_away_total", "reason" => reason.name())
}

/// Counts an answer to a commit that cannot be one.
pub(crate) fn count_answer_not_believed() {
    answers_not_believed().increment(1);
}

fn answers_not_believed() -> Counter {
    counter!("penstock_answers_not_believed_total")
}

/// Keeps histograms small: without this their samples pile up until somebody scrapes.
pub(crate) async fn upkeep(handle: PrometheusHandle, thread: OwnThread, mut stop: Stop) {
    loop {
        let turn = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            // It takes as long as there are histograms.
            let handle = handle.clone();
            thread.run(move || handle.run_upkeep()).await;
        };
        tokio::select! {
            () = turn => {}
            () = stop.requested() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures::poll;
    use tokio::time::timeout;

    use super::*;
    use crate::tasks::Tasks;

    #[tokio::test(start_paused = true)]
    async fn upkeep_ends_when_told_to_though_its_turn_has_not_come() {
        let (thread, tasks) = (OwnThread::start("figures").unwrap(), Tasks::new());
        let (go_on, hangs) = mpsc::channel::<()>();
        let mut rendering = Box::pin(thread.run(move || hangs.recv()));
        assert!(poll!(&mut rendering).is_pending());
        let handle = PrometheusBuilder::new().build_recorder().handle();
        let mut upkeep = Box::pin(upkeep(handle, thread.clone(), tasks.stopping()));
        let waits = timeout(Duration::from_secs(60), &mut upkeep).await;
        assert!(waits.is_err());
        tasks.stop();
        assert!(poll!(&mut upkeep).is_ready());
        drop(go_on);
    }
}
