//! What is said to a person beside the log. Whoever it was for may have gone, or the disk be full on which it is kept: that
//! ends nothing, so nothing here panics as `println!` does.

use std::fmt::Display;
use std::io::{Write, stderr, stdout};

/// A line of what was asked for, on standard output.
pub(super) fn answer(line: impl Display) {
    let _ = writeln!(stdout(), "{line}");
}

/// A line of what is wrong, on standard error.
pub(super) fn complain(line: impl Display) {
    let _ = writeln!(stderr(), "{line}");
}
