//! Answers that take the CPU for long are made where they hold up nobody else, few at a time, and no longer than somebody
//! waits for them. Used by the rooms whose answers can be large.

use std::sync::LazyLock;

use crate::origin::Origin;
use crate::tasks::{StillWanted, Workers};

/// All that is made so in this process. One more than one, so that what takes longest is not waited for by all.
static MAKERS: LazyLock<Workers> = LazyLock::new(|| Workers::new(2));
/// What takes no more bytes is made at once: some thousand partitions.
const AT_ONCE_BYTES_MAX: usize = 128 * 1024;

/// Makes an answer of about so many bytes, for whoever asks from there. What is made once nobody wants it is thrown away.
pub(crate) async fn make<T: Send + 'static>(
    origin: Origin,
    bytes: usize,
    work: impl FnOnce(&StillWanted) -> T + Send + 'static,
) -> T {
    match bytes <= AT_ONCE_BYTES_MAX {
        true => work(&StillWanted::always()),
        false => MAKERS.compute(origin, work).await,
    }
}
