//! `loadtest abuse`: clients that mean harm, one kind after the other, against a broker that is started for it with little
//! memory, and a good client beside them that must not notice.
//!
//! `options` says what is typed, `cases` is the table of attacks, `attacks/` has them, one module for each kind. `run` goes
//! through the table: a `broker` under its `cap`, the `good` client quiet, attacked, and quiet again, with what else is to be
//! looked at (`probe`). What attackers were answered is counted in a `tally`; `report` says all of it, and `goal` whether that
//! is as it should be.

mod attacks;
mod broker;
mod cap;
mod cases;
mod goal;
mod good;
mod manners;
mod options;
mod probe;
mod report;
mod run;
mod tally;

pub(crate) use self::cases::help;
pub(crate) use self::options::Options;
pub(crate) use self::run::run;
