//! Background work: what an agent does without being asked, in bounded turns. A job says what it is and does one turn at a
//! time; the driver says when. `server` starts it with the rooms and stops it once all replies are written. Nothing but time
//! is lost with a turn that is cut off: a process may be killed amid any.

mod budget;
mod driver;
mod job;
#[cfg(test)]
mod tests;

pub(crate) use budget::Budget;
pub(crate) use driver::Jobs;
pub(crate) use job::{Job, Progress, Terms};
