//! A running broker and a plain connection to it, for the tests in this folder. The broker is the real binary as a child
//! process on free ports; it dies with the test. All test binaries declare it as `pub mod`: each uses its own part of what is
//! here.

pub mod broker;
pub mod client;
pub mod processes;
pub mod tools;
