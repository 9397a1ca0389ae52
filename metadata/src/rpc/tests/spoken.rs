//! An agent whose every word a test says.

use super::*;
use crate::command::{Command, Outcome};
use crate::rpc::message::{Down, Up};

pub(super) async fn say(link: &Link, up: Up) {
    link.sender.send(up.encode()).await.unwrap();
}

/// What the sequencer says next.
pub(super) async fn next(link: &mut Link) -> Down {
    let frame = timeout(PATIENCE, link.receiver.recv()).await;
    Down::decode(frame.expect("in time").expect("it says more")).unwrap()
}

/// What becomes of a command of which all before it is seen, whatever else is said meanwhile.
pub(super) async fn outcome_of(link: &mut Link, sequence: u64, command: Command) -> Outcome {
    let submit = Up::Submit {
        sequence,
        seen: sequence,
        command,
    };
    say(link, submit).await;
    let answer = async {
        loop {
            if let Down::Answer { outcome, .. } = next(link).await {
                return outcome;
            }
        }
    };
    timeout(PATIENCE, answer).await.expect("in time")
}
