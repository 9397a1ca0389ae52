//! What the topics of a request have the metadata change: some side by side, for no longer than the request may take, and
//! without anything in hand meanwhile that others need. Used by the handlers that change topics.

use std::time::Duration;

use futures::future::join_all;
use metadata::{Command, Outcome};
use protocol::ErrorCode;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout_at};

use super::refused::{Refused, refuse, unanswered};
use crate::call::Call;
use crate::context::Context;
use crate::refusal;

/// Topics of a request that are changed side by side, so that they share a commit without filling the metadata's queue.
const AT_ONCE: usize = 256;
/// A client that is told so is asked to be silent for so long, and then asks again for what found no room.
const SILENCE: Duration = Duration::from_secs(1);
/// No request waits for longer, nor one that does not say for how long: Java's `default.api.timeout.ms`.
const TIME_MAX: Duration = Duration::from_secs(60);

/// What a topic takes besides its names while the metadata is asked, about: in the lists of what is wanted and of what was
/// done, and where its strings are allocated.
const ASKED_BYTES: usize = 320;
/// So many times as much as their frame takes what was named in a request, as it is there and in what is asked for.
const NAMED_FACTOR: usize = 2;

/// Submits what is wanted of each topic. Where a command was not answered in time it may have been done all the same, and
/// those behind it are not begun: REQUEST_TIMED_OUT for each. Who finds no room among those who wait for the metadata is
/// told to ask again, and so is who finds none among the changes that it has not answered: it counts those that nobody
/// waits for any longer. `quota_since`: the version of the API from which on its clients know THROTTLING_QUOTA_EXCEEDED.
pub(super) async fn submit<K, T>(
    call: &Call,
    (timeout_ms, quota_since): (i32, i16),
    mut wanted: Vec<(K, Result<T, Refused>)>,
    command: impl Fn(&T) -> Command,
) -> Vec<(K, Result<(T, Outcome), Refused>)> {
    let deadline = Instant::now() + time_max(timeout_ms);
    // At the other code Java's asks for all topics of the request again, also for those that were made.
    let crowded = match call.version >= quota_since {
        true => refusal::CROWDED_ADMIN,
        false => refusal::NOT_ASKED_ADMIN,
    };
    let asks = wanted.iter().any(|(_, wanted)| wanted.is_ok());
    if asks && !call.step_aside(held(call, &wanted)) {
        for (_, wanted) in &mut wanted {
            if wanted.is_ok() {
                let message = "too many wait for the metadata: nothing was done";
                *wanted = refuse(crowded, message);
            }
        }
    }
    let mut done = Vec::with_capacity(wanted.len());
    let mut wanted = wanted.into_iter();
    while wanted.len() > 0 {
        let some = wanted.by_ref().take(AT_ONCE).map(|(key, wanted)| {
            let wanted = wanted.map(|wanted| (command(&wanted), wanted));
            answer(&call.context, (deadline, crowded), key, wanted)
        });
        done.extend(join_all(some).await);
        if wanted.len() > 0 {
            // None of them may have had to wait, and others have their turn meanwhile.
            yield_now().await;
        }
    }
    let is_crowded = |(_, done): &(K, Result<_, Refused>)| {
        let refused = done.as_ref().err();
        refused.is_some_and(|(code, _)| *code == refusal::CROWDED_ADMIN)
    };
    if done.iter().any(is_crowded) {
        call.ask_for_silence(SILENCE);
    }
    call.charge_again().await;
    done
}

/// Bytes that the topics of a request take while the metadata is asked.
fn held<K, T>(call: &Call, wanted: &[(K, Result<T, Refused>)]) -> usize {
    let refused = wanted
        .iter()
        .filter_map(|(_, wanted)| wanted.as_ref().err());
    let sentences: usize = refused.map(|(_, message)| message.len()).sum();
    NAMED_FACTOR * call.frame_bytes + wanted.len() * ASKED_BYTES + sentences
}

async fn answer<K, T>(
    context: &Context,
    (deadline, crowded): (Instant, ErrorCode),
    key: K,
    wanted: Result<(Command, T), Refused>,
) -> (K, Result<(T, Outcome), Refused>) {
    let outcome = match wanted {
        Ok((command, wanted)) => {
            let outcome = ask(context, (deadline, crowded), command).await;
            outcome.map(|outcome| (wanted, outcome))
        }
        Err(refused) => Err(refused),
    };
    (key, outcome)
}

async fn ask(
    context: &Context,
    (deadline, crowded): (Instant, ErrorCode),
    command: Command,
) -> Result<Outcome, Refused> {
    let timed_out = |message| refuse(ErrorCode::REQUEST_TIMED_OUT, message);
    if Instant::now() >= deadline {
        return timed_out("its turn did not come in time: nothing was done");
    }
    match timeout_at(deadline, context.metadata.submit(command)).await {
        Ok(Ok(answer)) => Ok(answer.outcome),
        Ok(Err(error)) => Err(unanswered(&error, crowded)),
        Err(_) => timed_out("the metadata did not answer in time: it may be done all the same"),
    }
}

fn time_max(timeout_ms: i32) -> Duration {
    match u64::try_from(timeout_ms) {
        Ok(timeout_ms @ 1..) => TIME_MAX.min(Duration::from_millis(timeout_ms)),
        _ => TIME_MAX,
    }
}
