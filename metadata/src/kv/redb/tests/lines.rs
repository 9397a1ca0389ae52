//! What the log says of a file that is opened again and again, as on a full disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use redb::StorageBackend as _;
use tokio::time::advance;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::with_default;
use tracing::{Dispatch, Event, Metadata, Subscriber};

use super::disk::Disk;
use crate::kv::redb::renewed::{Doubt, LINES_MAX, Renewed};
use crate::said::Said;

/// Counts the lines of `renewed`.
#[derive(Clone, Debug, Default)]
struct Lines(Arc<AtomicU32>);

impl Subscriber for Lines {
    fn enabled(&self, line: &Metadata<'_>) -> bool {
        line.target().ends_with("::renewed")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// How many lines that work writes on this thread.
fn lines_of(work: impl FnOnce()) -> u32 {
    let lines = Lines::default();
    // Were it alone, a thread of another test that meets the line first could settle that nobody wants it: tracing asks
    // all subscribers where there are several, and else that of the thread.
    let _second = Dispatch::new(lines.clone());
    with_default(lines.clone(), work);
    lines.0.load(Ordering::Relaxed)
}

#[tokio::test(start_paused = true)]
async fn that_a_file_is_written_anew_is_said_a_few_times_a_minute() {
    static SAID: Said<()> = Said::seldom(LINES_MAX);
    let disk = Disk::default();
    let store = disk.start();
    let killed = disk.copy();
    drop(store);
    let open = |times: u32| {
        lines_of(|| {
            for _ in 0..times {
                let mut file = Renewed::new(killed.clone(), Doubt::default());
                file.said = &SAID;
                let before = killed.written();
                file.len().unwrap();
                assert!(killed.written() > before, "it is written anew each time");
            }
        })
    };
    assert_eq!(open(2), 2);
    assert_eq!(open(50), LINES_MAX - 2);
    advance(Duration::from_secs(60)).await;
    assert_eq!(open(50), LINES_MAX);
}
