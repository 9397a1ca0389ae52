//! Asks a process which one it is.

use super::link::{DialError, Link};
use super::message::{Asker, Down, Up};
use crate::level;
use crate::sequencer::Found;

/// Who is at the other end of a link that was just made, or why there is none. Others reach the one that asks at `own`.
/// Takes as long as it takes.
pub async fn who(link: Result<Link, DialError>, own: String) -> Found {
    let mut link = match link {
        Ok(link) => link,
        Err(DialError::Refused) => return Found::Nobody,
        Err(DialError::Failed(reason)) => return Found::Unclear(reason),
    };
    // A link that takes nothing answers nothing, either.
    let asker = Asker {
        level: level::known(),
        address: own,
    };
    let _ = link.sender.send(Up::Who(asker).encode()).await;
    let answer = link.receiver.recv().await.map(Down::decode);
    match answer {
        Some(Ok(Down::Iam { nonce })) => Found::Process(nonce),
        _ => Found::Unclear("it does not say who it is".to_owned()),
    }
}
