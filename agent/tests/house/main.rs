//! The rules of the house that no compiler checks: what may import what, what every file begins with, and that lists in
//! documents are complete. Reads the sources of the whole workspace.

mod apis;
mod imports;
mod metrics;
mod rooms;
mod sources;
mod tables;
mod texts;
