//! Fresh ids for topics.

use metadata::TopicId;

use crate::random::Random;

/// A random id. Kafka reserves 0 and 1, and its tools trip over ids whose base64 form begins with '-'.
pub(crate) fn fresh(random: &Random) -> TopicId {
    loop {
        let id = random.u128();
        let begins_with_dash = id >> 122 == 62;
        if id > 1 && !begins_with_dash {
            return TopicId(id);
        }
    }
}
