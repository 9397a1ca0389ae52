//! The client's life: one API version, one network thread that does all work in the order asked, and a stop that the
//! process owes it before it ends.

#![expect(
    clippy::disallowed_types,
    reason = "timeouts are the client's own, and it has no runtime whose clock it could read"
)]

use std::collections::VecDeque;
use std::ffi::c_int;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use crate::errors;
use crate::future::Future;

/// As the real library of the headers in use.
const API_VERSION_MAX: c_int = 730;

type Work = Box<dyn FnOnce() + Send>;

static NETWORK: Mutex<Network> = Mutex::new(Network {
    version: None,
    life: Life::Unborn,
    work: VecDeque::new(),
    hanging: Vec::new(),
});
static NEWS: Condvar = Condvar::new();

struct Network {
    version: Option<c_int>,
    life: Life,
    work: VecDeque<Work>,
    /// Futures of operations that never end, and when their transactions time out.
    hanging: Vec<(Instant, Arc<Future>)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    Unborn,
    SetUp,
    Running,
    Stopping,
    Stopped,
}

/// Has the network thread do it.
pub(crate) fn post(work: impl FnOnce() + Send + 'static) {
    NETWORK.lock().work.push_back(Box::new(work));
    NEWS.notify_one();
}

/// The future's operation does not end; the transaction's timeout does, if there is one.
pub(crate) fn hang(future: &Arc<Future>, until: Option<Instant>) {
    if let Some(until) = until {
        let hanging = &mut NETWORK.lock().hanging;
        hanging.push((until, Arc::clone(future)));
        NEWS.notify_one();
    }
}

/// Now, on the clock of timeouts.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// What is to be done next, or `None` when the network was stopped.
fn next() -> Option<Work> {
    let mut network = NETWORK.lock();
    loop {
        if network.life == Life::Stopping {
            return None;
        }
        let now = Instant::now();
        if let Some(place) = network.hanging.iter().position(|(until, _)| *until <= now) {
            let (_, future) = network.hanging.swap_remove(place);
            return Some(Box::new(move || {
                future.fail(errors::TRANSACTION_TIMED_OUT);
            }));
        }
        if let Some(work) = network.work.pop_front() {
            return Some(work);
        }
        match network.hanging.iter().map(|(until, _)| *until).min() {
            Some(until) => drop(NEWS.wait_until(&mut network, until)),
            None => NEWS.wait(&mut network),
        }
    }
}

/// The C interface wants the network stopped before the process ends; the real library may crash then.
extern "C" fn check_that_it_was_stopped() {
    if NETWORK.lock().life != Life::Stopped {
        let _ = std::io::Write::write_all(
            &mut std::io::stderr(),
            b"fdb-look-alike: the process ends and its network was not stopped\n",
        );
        std::process::abort();
    }
}

unsafe extern "C" {
    safe fn atexit(handler: extern "C" fn()) -> c_int;
}

#[unsafe(no_mangle)]
extern "C" fn fdb_get_max_api_version() -> c_int {
    API_VERSION_MAX
}

#[unsafe(no_mangle)]
extern "C" fn fdb_select_api_version_impl(runtime: c_int, header: c_int) -> c_int {
    let mut network = NETWORK.lock();
    if network.version.is_some() {
        return errors::API_VERSION_ALREADY_SET;
    }
    if runtime > header || header > API_VERSION_MAX {
        return errors::API_VERSION_NOT_SUPPORTED;
    }
    network.version = Some(runtime);
    0
}

/// Options of the real network mean nothing here.
#[unsafe(no_mangle)]
extern "C" fn fdb_network_set_option(_option: c_int, _value: *const u8, _length: c_int) -> c_int {
    match NETWORK.lock().version {
        Some(_) => 0,
        None => errors::API_VERSION_UNSET,
    }
}

#[unsafe(no_mangle)]
extern "C" fn fdb_setup_network() -> c_int {
    let mut network = NETWORK.lock();
    if network.version.is_none() {
        return errors::API_VERSION_UNSET;
    }
    if network.life != Life::Unborn {
        return errors::NETWORK_ALREADY_SETUP;
    }
    // Handlers run in the opposite order: a client that registers its own after this call stops in time.
    atexit(check_that_it_was_stopped);
    network.life = Life::SetUp;
    0
}

/// Returns when the network was stopped.
#[unsafe(no_mangle)]
extern "C" fn fdb_run_network() -> c_int {
    {
        let mut network = NETWORK.lock();
        match network.life {
            Life::SetUp => network.life = Life::Running,
            Life::Unborn => return errors::NETWORK_NOT_SETUP,
            // Stopped before it ran.
            Life::Stopping => {}
            Life::Running | Life::Stopped => return errors::NETWORK_CANNOT_BE_RESTARTED,
        }
    }
    while let Some(work) = next() {
        work();
    }
    NETWORK.lock().life = Life::Stopped;
    0
}

#[unsafe(no_mangle)]
extern "C" fn fdb_stop_network() -> c_int {
    let mut network = NETWORK.lock();
    match network.life {
        Life::Unborn => errors::NETWORK_NOT_SETUP,
        Life::SetUp | Life::Running => {
            network.life = Life::Stopping;
            NEWS.notify_all();
            0
        }
        Life::Stopping | Life::Stopped => 0,
    }
}
