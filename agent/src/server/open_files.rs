//! As many open files as connections may need: shells often allow a thousand, and a process has a socket for each client or
//! peer.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Besides client connections: the store, segments being written, connections to the bucket.
const OTHER_FILES: u64 = 512;

/// Raises the soft limit towards what so many connections need; says so where the system does not allow it.
pub(super) fn allow(connections: usize) {
    let wanted = connections as u64 + OTHER_FILES;
    let limit = getrlimit(Resource::Nofile);
    let Some(allowed) = raised(limit.current, limit.maximum, wanted) else {
        return;
    };
    let raised = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(allowed),
            maximum: limit.maximum,
        },
    );
    if raised.is_err() || allowed < wanted {
        tracing::warn!(
            allowed,
            wanted,
            "fewer open files are allowed than all connections need (--connections-max, and 4096 at a port for peers); raise the limit (ulimit -n, LimitNOFILE)"
        );
    }
}

/// The soft limit to ask for; `None` where it is high enough. No limit is `None` there.
fn raised(current: Option<u64>, maximum: Option<u64>, wanted: u64) -> Option<u64> {
    current.filter(|current| *current < wanted).map(|current| {
        maximum
            .map_or(wanted, |maximum| maximum.min(wanted))
            .max(current)
    })
}

#[cfg(test)]
mod tests {
    use super::raised;

    #[test]
    fn rises_as_far_as_allowed_and_never_falls() {
        assert_eq!(raised(Some(1024), Some(4096), 10_000), Some(4096));
        assert_eq!(raised(Some(1024), Some(1 << 20), 10_000), Some(10_000));
        assert_eq!(raised(Some(1024), None, 10_000), Some(10_000));
        assert_eq!(raised(Some(20_000), Some(1 << 20), 10_000), None);
        assert_eq!(raised(None, None, 10_000), None);
        assert_eq!(raised(Some(1024), Some(1024), 10_000), Some(1024));
    }
}
