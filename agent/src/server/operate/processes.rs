//! Says it to processes that hold the order, or know who does.

use std::time::Duration;

use metadata::rpc::Wire;
use metadata::{Metadata, Raised, Timestamp};
use tokio::time::timeout;

use super::answers::{given_up, raised, released};
use super::look::look;
use super::operation::Operation;
use crate::clock::Clock;
use crate::identity::Names;
use crate::server::peers::connect;
use crate::storage::Store;
use crate::tasks::Tasks;

/// To reach a process that holds the order, and to be answered.
const REACH_TIME_MAX: Duration = Duration::from_secs(30);
/// Then it is said that it is waited for.
const SILENT_TIME_MAX: Duration = Duration::from_secs(2);
pub(super) const CLOSE_TIME_MAX: Duration = Duration::from_secs(3);

pub(super) async fn say_to_processes(
    operation: Operation,
    addresses: Vec<String>,
    wire: Wire,
    bucket: Option<&Store>,
    names: &Names,
    meanwhile: impl Fn(&str),
) -> anyhow::Result<String> {
    let rooms = Tasks::new();
    let metadata = connect(addresses, wire, None, None, names, &rooms);
    let unreached = |_| {
        anyhow::anyhow!(
            "no process that holds the order answers within {} s at {}: correct --metadata, or give --store URL (and --bucket \
             URL) if none runs",
            REACH_TIME_MAX.as_secs(),
            names.metadata()
        )
    };
    let said = async {
        let joined = timeout(REACH_TIME_MAX, reach(&metadata, meanwhile)).await;
        joined.map_err(unreached)?;
        look(&operation, &metadata, bucket, names).await?;
        let said = timeout(REACH_TIME_MAX, say(&metadata, operation)).await;
        said.map_err(unreached)?
    };
    let said = tokio::select! {
        said = said => said,
        failure = rooms.failed() => anyhow::bail!("{failure}"),
    };
    // The sequencer closes its session by itself, if it does not hear of the end.
    let _ = timeout(CLOSE_TIME_MAX, metadata.close()).await;
    said
}

/// Whoever waits for long is told for what, and until when.
async fn reach(metadata: &Metadata, meanwhile: impl Fn(&str)) {
    if timeout(SILENT_TIME_MAX, metadata.joined()).await.is_ok() {
        return;
    }
    let left = REACH_TIME_MAX.saturating_sub(SILENT_TIME_MAX);
    if let Some(why) = metadata.unreached() {
        let until = time_of_day(Clock::Real.now(), left);
        let seconds = left.as_secs();
        meanwhile(&format!(
            "{why}: waiting for one until {until}, for {seconds} s"
        ));
    }
    metadata.joined().await;
}

/// That long after `now`.
fn time_of_day(now: Timestamp, later: Duration) -> String {
    let now = u64::try_from(now.0).unwrap_or_default();
    let seconds = now / 1000 + later.as_secs();
    let (hours, minutes) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02} UTC", seconds % 60)
}

async fn say(metadata: &Metadata, operation: Operation) -> anyhow::Result<String> {
    metadata.joined().await;
    let before = metadata.feature_level();
    match operation {
        Operation::Finalize => match metadata.raise_feature_level(None).await? {
            Raised::At(level) => Ok(raised(before, level)),
            Raised::Kept(why) => anyhow::bail!("the feature level stays as it is: {why}"),
        },
        Operation::ReleaseHold => {
            let held = metadata.release_hold().await?;
            Ok(released(held))
        }
        Operation::AcceptOlderStore => {
            anyhow::bail!("stop all processes, and give the store itself: --store URL")
        }
        Operation::MarkLost(records, _) => {
            let marked = metadata.mark_lost(&records.topic, records.range).await?;
            given_up(&records, marked)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn until_when_is_a_time_of_day() {
        let at = |ms| time_of_day(Timestamp(ms), Duration::from_secs(28));
        assert_eq!(at(0), "00:00:28 UTC");
        assert_eq!(
            at(1_000 * (86_400 + 23 * 3600 + 59 * 60 + 40)),
            "00:00:08 UTC"
        );
        assert_eq!(at(1_000 * (5 * 3600 + 6 * 60 + 7) + 999), "05:06:35 UTC");
    }
}
