//! Which closed connections of peers the log has heard of lately: one that is refused comes back several times a second,
//! for as long as nobody corrects it. Used by `peers`.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// The same reason is logged again after so long.
const SAY_AGAIN: Duration = Duration::from_secs(60);
/// Of so many is known when they were logged last, and no more are logged in that time.
const KNOWN_MAX: usize = 64;

/// Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Closed(Arc<Mutex<Lately>>);

#[derive(Debug, Default)]
struct Lately {
    said: HashMap<(IpAddr, String), Instant>,
    unsaid: u64,
}

impl Closed {
    /// Whether to log it, and how many were closed without a word since the line before.
    pub(super) fn admit(&self, peer: IpAddr, reason: &str) -> Option<u64> {
        let now = Instant::now();
        let mut lately = self.0.lock();
        let cause = (peer, reason.to_owned());
        lately.said.retain(|_, said| now - *said < SAY_AGAIN);
        if lately.said.contains_key(&cause) || lately.said.len() >= KNOWN_MAX {
            lately.unsaid += 1;
            return None;
        }
        lately.said.insert(cause, now);
        Some(std::mem::take(&mut lately.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_reason_is_said_once_in_a_while_and_few_in_all() {
        let closed = Closed::default();
        let peer = |last| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last));
        assert_eq!(closed.admit(peer(1), "a"), Some(0));
        assert_eq!(closed.admit(peer(1), "a"), None);
        assert_eq!(closed.admit(peer(1), "b"), Some(1));
        assert_eq!(closed.admit(peer(2), "a"), Some(0));
        advance(SAY_AGAIN).await;
        assert_eq!(closed.admit(peer(1), "a"), Some(0));
        let said = (0..=u8::MAX).filter(|last| closed.admit(peer(*last), "c").is_some());
        assert_eq!(said.count(), KNOWN_MAX - 1);
    }
}
