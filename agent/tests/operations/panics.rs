//! How a panic is told to whoever operates it.

use std::fs::File;
use std::process::Stdio;

use tokio::time::timeout;

use crate::support::broker::{PATIENCE, penstock};

/// What lies before it is of the machine that built this.
#[tokio::test]
async fn a_panic_is_told_with_a_place_that_begins_with_its_crate() {
    let mut dev = penstock(["dev", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    dev.args(["--bucket", "memory:", "--store", "memory:"]);
    dev.env_remove("RUST_BACKTRACE").stdin(Stdio::null());
    // The standard library panics where it cannot print.
    let full = File::options().write(true).open("/dev/full").unwrap();
    let started = dev.stdout(full).stderr(Stdio::piped()).spawn().unwrap();
    let ended = timeout(PATIENCE, started.wait_with_output()).await;
    let ended = ended.expect("it ends by itself").unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(!ended.status.success(), "{said}");
    let told = "thread 'main' panicked at std/src/io/stdio.rs:";
    assert!(said.contains(told), "{said}");
    assert!(said.contains("failed printing to stdout"), "{said}");
    for folder in ["/rustc/", "registry", "/library/"] {
        assert!(!said.contains(folder), "{said}");
    }
}
