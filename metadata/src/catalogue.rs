//! All topics as every agent has them: an immutable snapshot, replaced when a topic changes. Snapshots share what they
//! have in common, so that a change costs the same among many topics as among few.

use std::any::Any;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::types::{Lost, Lsn, PartitionIndex, Scope, Timestamp, TopicId, TopicPartition};

/// Topics by name and by id, as of an lsn.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    pub lsn: Lsn,
    by_name: Sorted,
    by_id: Sorted,
}

/// What agents know of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    pub id: TopicId,
    pub name: String,
    /// At least 1.
    pub partitions: i32,
    /// As its creator wished; object storage replicates.
    pub replication_factor: i16,
    /// Only what was set; the rest has Kafka's defaults.
    pub configs: BTreeMap<String, String>,
    pub created: Timestamp,
    /// Records that an operator gave up.
    pub lost: Lost,
    /// What an agent makes of all this.
    pub derived: Derived,
}

/// What whoever has a topic makes of it, once for as long as the topic stays as it is: agents keep there what its settings mean,
/// of which the metadata knows nothing. It is no part of the topic: all are equal, and a copy, which may be changed, has none.
#[derive(Default)]
pub struct Derived(OnceLock<Box<dyn Any + Send + Sync>>);

impl Derived {
    /// What was made before, or is made now. Whoever asks, asks for the same type each time.
    pub fn get_or_make<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> &T {
        let made = self.0.get_or_init(|| Box::new(make()));
        made.downcast_ref().expect("one type is made of all topics")
    }
}

impl Clone for Derived {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Derived {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Derived {}

impl fmt::Debug for Derived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Derived").finish_non_exhaustive()
    }
}

impl Topic {
    /// Whether it has a partition of that number, whatever a client may have sent as one.
    #[must_use]
    pub fn has(&self, partition: PartitionIndex) -> bool {
        (0..self.partitions).contains(&partition.0)
    }
}

/// How the catalogue changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TopicsUpdate {
    pub(crate) lsn: Lsn,
    pub(crate) scope: Scope,
    pub(crate) changed: Vec<Arc<Topic>>,
    pub(crate) gone: Vec<TopicId>,
    /// The next one tells more of the same change, which counts as a whole.
    pub(crate) more: bool,
}

/// An agent that serves clients, as clients are told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Kafka's broker id, not negative.
    pub node_id: i32,
    /// At least one, each with a name of its own.
    pub listeners: Vec<Listener>,
    /// Availability zone.
    pub zone: Option<String>,
    pub roles: Roles,
}

/// Where clients reach an agent. Those who came by a listener of this name are told this address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    pub name: String,
    pub host: String,
    pub port: u16,
}

/// What clients may do at an agent, besides asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles {
    pub produce: bool,
    pub fetch: bool,
}

impl Roles {
    pub const ALL: Self = Self {
        produce: true,
        fetch: true,
    };
}

impl Agent {
    /// One with all roles and a single listener, in no zone.
    #[must_use]
    pub fn new(node_id: i32, host: impl Into<String>, port: u16) -> Self {
        let listener = Listener {
            name: Listener::UNNAMED.to_owned(),
            host: host.into(),
            port,
        };
        Self {
            node_id,
            listeners: vec![listener],
            zone: None,
            roles: Roles::ALL,
        }
    }

    /// Where those are sent who came by a listener of that name.
    #[must_use]
    pub fn listener(&self, name: &str) -> Option<&Listener> {
        self.listeners.iter().find(|each| each.name == name)
    }
}

impl Listener {
    /// What a listener is called that nobody named; Kafka's own name for such.
    pub const UNNAMED: &'static str = "PLAINTEXT";
}

impl Catalogue {
    pub(crate) fn new<'a>(lsn: Lsn, topics: impl Iterator<Item = &'a Arc<Topic>>) -> Self {
        let topics: Vec<Arc<Topic>> = topics.map(Arc::clone).collect();
        Self {
            lsn,
            by_name: Sorted::new(topics.clone(), |topic| topic.name.clone()),
            by_id: Sorted::new(topics, |topic| topic.id),
        }
    }

    /// The same after a change.
    pub(crate) fn with(&self, update: &TopicsUpdate) -> Self {
        let mut catalogue = match update.scope {
            Scope::All => return Self::new(update.lsn, update.changed.iter()),
            Scope::Change => self.clone(),
        };
        catalogue.lsn = update.lsn;
        for gone in &update.gone {
            catalogue.remove(*gone);
        }
        for topic in &update.changed {
            catalogue.remove(topic.id);
            catalogue.insert(topic);
        }
        catalogue
    }

    fn insert(&mut self, topic: &Arc<Topic>) {
        self.by_id.insert(topic, by_id(topic.id));
        self.by_name.insert(topic, by_name(&topic.name));
    }

    fn remove(&mut self, id: TopicId) {
        let Some(topic) = self.by_id.remove(by_id(id)) else {
            return;
        };
        // The name may be another topic's already.
        if self.topic(&topic.name).is_some_and(|named| named.id == id) {
            self.by_name.remove(by_name(&topic.name));
        }
    }

    /// Whether there is such a partition.
    pub(crate) fn has(&self, partition: TopicPartition) -> bool {
        let topic = self.topic_by_id(partition.topic);
        topic.is_some_and(|topic| topic.has(partition.partition))
    }

    /// The topic with that name.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.by_name.get(by_name(name))
    }

    /// The topic with that id.
    #[must_use]
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Arc<Topic>> {
        self.by_id.get(by_id(id))
    }

    /// All topics, by name.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.topics_from(0)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.0.iter().map(|chunk| chunk.len()).sum()
    }

    /// All topics but so many, by name.
    pub(crate) fn topics_from(&self, skip: usize) -> impl Iterator<Item = &Arc<Topic>> {
        self.by_name.from(skip)
    }

    /// Topics that do not lie where they do in `other`, but were copied from there or are new: the cost of a change.
    #[cfg(test)]
    pub(crate) fn copied_since(&self, other: &Self) -> usize {
        self.by_name.copied_since(&other.by_name) + self.by_id.copied_since(&other.by_id)
    }
}

fn by_name(name: &str) -> impl Fn(&Topic) -> Ordering {
    move |topic| topic.name.as_str().cmp(name)
}

fn by_id(id: TopicId) -> impl Fn(&Topic) -> Ordering {
    move |topic| topic.id.cmp(&id)
}

/// Past so many topics a chunk is split.
const CHUNK_MAX: usize = 128;

/// Topics in an order that callers name, in chunks that copies of it share. None is empty.
#[derive(Clone, Debug, Default)]
struct Sorted(Vec<Arc<Vec<Arc<Topic>>>>);

impl Sorted {
    fn new<K: Ord>(mut topics: Vec<Arc<Topic>>, key: impl FnMut(&Arc<Topic>) -> K) -> Self {
        topics.sort_by_cached_key(key);
        let chunks = topics.chunks(CHUNK_MAX / 2);
        Self(chunks.map(|chunk| Arc::new(chunk.to_vec())).collect())
    }

    /// The chunk where such a topic is or belongs, and where in it.
    fn find(&self, order: &impl Fn(&Topic) -> Ordering) -> (usize, Result<usize, usize>) {
        let begins_before = |chunk: &Arc<Vec<Arc<Topic>>>| order(&chunk[0]).is_le();
        let after = self.0.partition_point(begins_before);
        let index = after.saturating_sub(1);
        let place = match self.0.get(index) {
            Some(chunk) => chunk.binary_search_by(|topic| order(topic)),
            None => Err(0),
        };
        (index, place)
    }

    fn get(&self, order: impl Fn(&Topic) -> Ordering) -> Option<&Arc<Topic>> {
        let (index, place) = self.find(&order);
        self.0.get(index)?.get(place.ok()?)
    }

    /// In place of the one there, if there is one.
    fn insert(&mut self, topic: &Arc<Topic>, order: impl Fn(&Topic) -> Ordering) {
        let (index, place) = self.find(&order);
        let Some(chunk) = self.0.get_mut(index) else {
            self.0.push(Arc::new(vec![Arc::clone(topic)]));
            return;
        };
        let chunk = Arc::make_mut(chunk);
        match place {
            Ok(place) => chunk[place] = Arc::clone(topic),
            Err(place) => chunk.insert(place, Arc::clone(topic)),
        }
        if chunk.len() > CHUNK_MAX {
            let upper = chunk.split_off(CHUNK_MAX / 2);
            self.0.insert(index + 1, Arc::new(upper));
        }
    }

    fn remove(&mut self, order: impl Fn(&Topic) -> Ordering) -> Option<Arc<Topic>> {
        let (index, place) = self.find(&order);
        let place = place.ok()?;
        let chunk = Arc::make_mut(&mut self.0[index]);
        let removed = chunk.remove(place);
        if chunk.is_empty() {
            self.0.remove(index);
            return Some(removed);
        }
        self.join(index);
        if let Some(before) = index.checked_sub(1) {
            self.join(before);
        }
        Some(removed)
    }

    /// Small neighbours become one chunk, so that chunks are few when most topics went.
    fn join(&mut self, index: usize) {
        let length = |index: usize| self.0.get(index).map_or(CHUNK_MAX, |chunk| chunk.len());
        if length(index) + length(index + 1) <= CHUNK_MAX / 2 {
            let next = self.0.remove(index + 1);
            Arc::make_mut(&mut self.0[index]).extend(next.iter().cloned());
        }
    }

    fn from(&self, skip: usize) -> impl Iterator<Item = &Arc<Topic>> {
        let mut skip = skip;
        self.0.iter().flat_map(move |chunk| {
            let begin = skip.min(chunk.len());
            skip -= begin;
            &chunk[begin..]
        })
    }

    #[cfg(test)]
    fn copied_since(&self, other: &Self) -> usize {
        let known: std::collections::HashSet<_> = other.0.iter().map(Arc::as_ptr).collect();
        let copied = self
            .0
            .iter()
            .filter(|chunk| !known.contains(&Arc::as_ptr(chunk)));
        copied.map(|chunk| chunk.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn topic(id: u128, name: &str) -> Arc<Topic> {
        Arc::new(Topic {
            id: TopicId(id),
            name: name.to_owned(),
            partitions: 1,
            replication_factor: 1,
            configs: BTreeMap::new(),
            created: Timestamp(0),
            lost: Lost::default(),
            derived: Derived::default(),
        })
    }

    fn change(changed: Vec<Arc<Topic>>, gone: Vec<TopicId>) -> TopicsUpdate {
        TopicsUpdate {
            changed,
            gone,
            ..TopicsUpdate::default()
        }
    }

    /// Ids and names in different orders.
    fn numbered(number: u128) -> Arc<Topic> {
        topic(
            number.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            &format!("topic-{number:06}"),
        )
    }

    #[test]
    fn a_change_among_many_topics_copies_few() {
        let all: Vec<_> = (0..100_000).map(numbered).collect();
        let mut catalogue = Catalogue::new(Lsn(1), all.iter());
        let mut copied = 0;
        for number in 0..1000 {
            let changed = match number % 2 {
                0 => change(vec![numbered(200_000 + number)], Vec::new()),
                _ => change(
                    Vec::new(),
                    vec![all[usize::try_from(number).unwrap() * 99].id],
                ),
            };
            let next = catalogue.with(&changed);
            copied = copied.max(next.copied_since(&catalogue));
            catalogue = next;
        }
        assert!(copied <= 4 * CHUNK_MAX, "{copied} topics for one change");
        assert_eq!(catalogue.topics().count(), 100_000);
    }

    #[test]
    fn one_whose_topics_went_has_few_chunks() {
        let all: Vec<_> = (0..10_000).map(numbered).collect();
        let gone = all.iter().filter(|topic| !topic.name.ends_with("00"));
        let gone = gone.map(|topic| topic.id).collect();
        let catalogue = Catalogue::new(Lsn(1), all.iter()).with(&change(Vec::new(), gone));
        assert_eq!(catalogue.topics().count(), 100);
        let chunks = catalogue.by_name.0.len().max(catalogue.by_id.0.len());
        assert!(chunks <= 10, "{chunks} chunks for 100 topics");
    }

    /// Whatever becomes of others, and of how many.
    #[test]
    fn what_is_made_of_a_topic_stays_until_it_changes() {
        let all: Vec<_> = (0..1000).map(numbered).collect();
        let catalogue = Catalogue::new(Lsn(1), all.iter());
        let made_of = |catalogue: &Catalogue| {
            let topic = catalogue.topic_by_id(all[500].id).unwrap();
            *topic.derived.get_or_make(|| topic.partitions)
        };
        assert_eq!(made_of(&catalogue), 1);
        let others = change(vec![numbered(2000)], vec![all[501].id]);
        let topic = catalogue.with(&others).topic(&all[500].name).cloned();
        let topic = topic.unwrap();
        assert_eq!(*topic.derived.get_or_make(|| 7), 1, "it is the same");
        let mut grown = Topic::clone(&topic);
        assert_eq!(grown, *topic);
        grown.partitions = 3;
        let grown = change(vec![Arc::new(grown)], Vec::new());
        assert_eq!(made_of(&catalogue.with(&grown)), 3);
        assert_eq!(made_of(&catalogue), 1);
    }

    #[test]
    fn a_topic_made_anew_keeps_the_name_that_the_old_one_loses() {
        let catalogue = Catalogue::new(Lsn(1), [topic(1, "a")].iter());
        let anew = catalogue.with(&change(vec![topic(2, "a")], Vec::new()));
        let anew = anew.with(&change(Vec::new(), vec![TopicId(1)]));
        assert_eq!(anew.topic("a").unwrap().id, TopicId(2));
        assert!(anew.topic_by_id(TopicId(1)).is_none());
        assert_eq!(catalogue.topic("a").unwrap().id, TopicId(1), "as it was");
    }

    proptest! {
        #[test]
        fn it_holds_what_a_map_would(
            steps in prop::collection::vec((0..400_u128, any::<bool>()), 0..1500),
            skip in 0..400_usize,
        ) {
            let (mut catalogue, mut map) = (Catalogue::default(), BTreeMap::new());
            for (number, there) in steps {
                let topic = numbered(number);
                catalogue = catalogue.with(&match there {
                    true => change(vec![Arc::clone(&topic)], Vec::new()),
                    false => change(Vec::new(), vec![topic.id]),
                });
                match there {
                    true => drop(map.insert(topic.name.clone(), topic)),
                    false => drop(map.remove(&topic.name)),
                }
            }
            prop_assert!(catalogue.topics().eq(map.values()));
            prop_assert!(catalogue.topics_from(skip).eq(map.values().skip(skip)));
            for number in 0..400 {
                let topic = numbered(number);
                prop_assert_eq!(catalogue.topic(&topic.name), map.get(&topic.name));
                prop_assert_eq!(catalogue.topic_by_id(topic.id), map.get(&topic.name));
            }
        }
    }
}
