//! The binary `penstock`: reads the command line, starts the runtime, turns a failure into a sentence and an exit code.

use std::process::ExitCode;
use std::time::Duration;

use penstock::commands;
use penstock::config;

/// jemalloc gives memory back after a burst and does not fragment under mixed sizes.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Freed pages go back to the system after five seconds, by a thread of jemalloc's own.
#[expect(
    unsafe_code,
    reason = "jemalloc reads its options from a symbol of this name"
)]
#[unsafe(export_name = "malloc_conf")]
#[expect(non_upper_case_globals, reason = "the name is jemalloc's")]
pub static malloc_conf: Option<&'static std::ffi::c_char> = Some(OPTIONS_START);

const OPTIONS: &std::ffi::CStr =
    c"background_thread:true,dirty_decay_ms:5000,muzzy_decay_ms:0,narenas:4";
#[expect(
    unsafe_code,
    reason = "a C string literal is never empty, so its first byte exists"
)]
const OPTIONS_START: &std::ffi::c_char = unsafe { &*OPTIONS.as_ptr() };

/// Threads for what blocks: encoding segments, files, the embedded store.
const BLOCKING_THREADS_MAX: usize = 32;

/// How long threads that still block are waited for at the end.
const LAST_THREADS_MAX: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let (command, given) = match config::parse(std::env::args_os()) {
        Ok(parsed) => parsed,
        Err(refused) => return commands::say_refused(&refused),
    };
    commands::say_panics();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build()
        .expect("the system gives us threads");
    let ended = runtime.block_on(commands::run(command));
    // Not for as long as a file that does not answer: everything that is to be waited for was.
    runtime.shutdown_timeout(LAST_THREADS_MAX);
    match ended {
        Ok(code) => code,
        Err(error) => commands::say_error(&error, &given),
    }
}
