//! As many open files as connections may need: shells often allow a thousand, and a process has a socket for each client or
//! peer.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Besides client connections: the store, segments being written, connections to the bucket.
const OTHER_FILES: u64 = 512;

/// Raises the soft limit towards what so many connections need; where the system does not allow it, says so, and how many
/// there may be instead: they must not take what bucket and store need.
pub(super) fn allow(wanted_connections: usize) -> usize {
    let wanted = wanted_connections as u64 + OTHER_FILES;
    let limit = getrlimit(Resource::Nofile);
    let Some(allowed) = raised(limit.current, limit.maximum, wanted) else {
        return wanted_connections;
    };
    let set = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(allowed),
            maximum: limit.maximum,
        },
    );
    let allowed = match set {
        Ok(()) => allowed,
        Err(_) => limit.current.unwrap_or(allowed),
    };
    let connections = connections(allowed, wanted_connections);
    if connections < wanted_connections {
        tracing::warn!(
            allowed,
            wanted,
            connections,
            "fewer open files are allowed than all connections need (--connections-max, and 4096 at a port for peers); raise the limit (ulimit -n, LimitNOFILE)"
        );
    }
    connections
}

/// How many there may be with so many open files, of which at least half are for clients.
fn connections(allowed: u64, wanted: usize) -> usize {
    let room = allowed.saturating_sub(OTHER_FILES).max(allowed / 2);
    usize::try_from(room).map_or(wanted, |room| room.min(wanted))
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
    use super::{connections, raised};

    #[test]
    fn rises_as_far_as_allowed_and_never_falls() {
        assert_eq!(raised(Some(1024), Some(4096), 10_000), Some(4096));
        assert_eq!(raised(Some(1024), Some(1 << 20), 10_000), Some(10_000));
        assert_eq!(raised(Some(1024), None, 10_000), Some(10_000));
        assert_eq!(raised(Some(20_000), Some(1 << 20), 10_000), None);
        assert_eq!(raised(None, None, 10_000), None);
        assert_eq!(raised(Some(1024), Some(1024), 10_000), Some(1024));
    }
    #[test]
    fn clients_leave_files_for_everything_else() {
        assert_eq!(connections(10_512, 10_000), 10_000);
        assert_eq!(connections(4096, 10_000), 3584);
        assert_eq!(connections(4096, 100), 100);
        assert_eq!(connections(256, 10_000), 128);
    }
}
