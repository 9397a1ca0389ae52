//! The client's network thread: one for the whole process, started by the first store that is opened, stopped when the
//! process exits. The C interface wants both, and allows no second start.

use std::ffi::c_int;

use ::foundationdb::FdbError;
use ::foundationdb::api::{FdbApiBuilder, NetworkAutoStop, get_max_api_version};
use parking_lot::Mutex;

use super::super::KvError;

/// The version of the client's interface that this was written for; clients of newer releases still speak it.
const API_VERSION: c_int = 730;

static NETWORK: Mutex<Network> = Mutex::new(Network::Unborn);

enum Network {
    Unborn,
    /// Stops the thread and waits for it when dropped.
    Running(#[expect(dead_code, reason = "held to be dropped")] NetworkAutoStop),
    /// Why it never runs again.
    Over(String),
}

/// Starts it, if it does not run.
pub(super) fn start() -> Result<(), KvError> {
    let mut network = NETWORK.lock();
    if let Network::Unborn = *network {
        *network = match boot() {
            Ok(running) => Network::Running(running),
            Err(error) => Network::Over(refusal(error)),
        };
    }
    match &*network {
        Network::Unborn | Network::Running(_) => Ok(()),
        Network::Over(why) => Err(KvError::Unavailable(why.clone())),
    }
}

#[expect(
    unsafe_code,
    reason = "`boot` asks for what `stop` does, and `atexit` for a function that lives as long as the program"
)]
fn boot() -> Result<NetworkAutoStop, FdbError> {
    let builder = FdbApiBuilder::default().set_runtime_version(API_VERSION);
    // SAFETY: the guard is dropped before the process ends, by `stop`.
    let running = unsafe { builder.build()?.boot()? };
    // Registered after the library's own handlers, so it runs before them.
    // SAFETY: `stop` is a function of this program, and handles whatever state it finds.
    let registered = unsafe { libc::atexit(stop) };
    assert_eq!(registered, 0, "32 handlers are guaranteed");
    Ok(running)
}

fn refusal(error: FdbError) -> String {
    let (code, newest) = (error.code(), get_max_api_version());
    if newest < API_VERSION {
        return format!(
            "the FoundationDB client library is too old: it speaks API versions up to {newest}, {API_VERSION} is needed; \
             install that of FoundationDB 7.3 or newer"
        );
    }
    format!("the FoundationDB client does not start: {error} ({code})")
}

extern "C" fn stop() {
    let running = std::mem::replace(
        &mut *NETWORK.lock(),
        Network::Over("the process is exiting".to_owned()),
    );
    drop(running);
}
