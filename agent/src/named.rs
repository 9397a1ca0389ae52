//! How many things one request may name, and how long lists are gone through. A name of a byte costs its sender nothing, and
//! this agent some hundred bytes and a microsecond: a million of them would have a worker for seconds. Used by all rooms that
//! are told names, and by `dispatch`, which reads no more.

use protocol::ApiKey;
use tokio::task::yield_now;

/// Entries of all lists of a request that are read. One that has more ends its connection, for it takes too long to say of
/// each that it is refused; twice what is answered of any API.
pub(crate) const READ_MAX: usize = 256 * 1024;
/// Topics that are told of where they are named. Java's admin client names all that it wants to have described at once.
const METADATA_MAX: usize = 128 * 1024;
/// Things of all other APIs that have no bound of their own.
const OTHERS_MAX: usize = 64 * 1024;
/// So many things are looked at before others have their turn.
const BETWEEN_TURNS: usize = 256;

/// Whether a request of that API may name so many things.
///
/// # Errors
/// With a sentence, if it may not.
pub(crate) fn check(api: ApiKey, things: usize) -> Result<(), String> {
    let things_max = match api {
        ApiKey::Metadata => METADATA_MAX,
        _ => OTHERS_MAX,
    };
    match things <= things_max {
        true => Ok(()),
        false => Err(format!(
            "{things} are too many for one request, which may name {things_max}: ask for less at once"
        )),
    }
}

/// Gives others their turn while a long list is gone through. Short ones are looked at in one go.
#[derive(Debug, Default)]
pub(crate) struct Turns(usize);

impl Turns {
    /// To be awaited for each thing, or for some that are looked at together.
    pub(crate) async fn pass(&mut self, things: usize) {
        self.0 += things;
        if self.0 >= BETWEEN_TURNS {
            self.0 = 0;
            yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn all_topics_of_a_large_cluster_may_be_named() {
        assert_eq!(check(ApiKey::Metadata, 100_000), Ok(()));
        assert_eq!(check(ApiKey::Metadata, METADATA_MAX), Ok(()));
        assert!(check(ApiKey::Metadata, METADATA_MAX + 1).is_err());
        assert_eq!(check(ApiKey::DeleteTopics, OTHERS_MAX), Ok(()));
        assert!(check(ApiKey::DeleteTopics, OTHERS_MAX + 1).is_err());
    }

    #[tokio::test]
    async fn others_have_their_turn_between_some_things_and_not_between_few() {
        let mut turns = Turns::default();
        for _ in 1..BETWEEN_TURNS {
            assert!(turns.pass(1).now_or_never().is_some());
        }
        assert!(turns.pass(1).now_or_never().is_none());
    }
}
