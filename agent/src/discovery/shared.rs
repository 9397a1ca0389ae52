//! The answer that tells of all topics: made once for all who are told the same, and its bytes are in memory once, however
//! many connections write them. Called by `cluster_metadata`.
//!
//! An answer is kept until the catalogue moves, or until its room is needed. It is made by those who wait for it, and
//! given up when the last of them has hung up.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Weak};

use futures::future::{BoxFuture, FutureExt, Shared as Joint, WeakShared};
use metadata::Catalogue;
use parking_lot::Mutex;
use protocol::Encoded;
use protocol::messages::metadata::MetadataResponseBroker;

use super::topics::{Described, Size, Terms};
use crate::admission::{Admission, Permit};
use crate::context::Context;
use crate::making::make;
use crate::origin::Origin;

/// Answers that are kept, whatever their size: for some versions, listeners and zones.
const KEPT_MAX: usize = 32;

/// An agent's.
#[derive(Debug, Default)]
pub(super) struct Shared(Arc<Mutex<Kept>>);

/// What an answer depends on besides the topics. Who is told the same of all this is given the same bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Alike {
    pub(super) terms: Terms,
    /// As the client's listener has them.
    pub(super) brokers: Vec<MetadataResponseBroker>,
    /// What a client may do with each topic.
    pub(super) operations: i32,
}

impl Alike {
    /// What making an answer takes.
    pub(super) fn bytes(&self, catalogue: &Catalogue) -> usize {
        let mut size = Size::new(&self.terms);
        size.add_all(catalogue);
        let rack = |broker: &MetadataResponseBroker| broker.rack.as_ref().map_or(0, String::len);
        let brokers = self.brokers.iter();
        size.add_brokers(brokers.map(|broker| broker.host.len() + rack(broker)));
        size.bytes()
    }
}

/// The two parts that are large.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) brokers: Encoded,
    pub(super) topics: Encoded,
    /// For both, until nobody has them any more.
    pub(super) permit: Arc<Permit>,
}

type Making = BoxFuture<'static, Arc<Told>>;

#[derive(Debug, Default)]
struct Kept {
    /// The one used last is the last.
    entries: Vec<Entry>,
    made: u64,
}

#[derive(Debug)]
struct Entry {
    id: u64,
    alike: Arc<Alike>,
    /// Which topics it tells of; those that there are when its turn has come, where there is none yet.
    as_of: Option<Weak<Catalogue>>,
    state: State,
}

enum State {
    Making(WeakShared<Making>),
    Made(Arc<Told>),
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Making(_) => "Making",
            Self::Made(_) => "Made",
        })
    }
}

/// What there is for somebody who asks.
enum Found {
    Made(Arc<Told>),
    Making(Joint<Making>),
}

impl Shared {
    /// All topics, as of this call or later.
    pub(super) async fn told(&self, context: &Arc<Context>, alike: Alike) -> Arc<Told> {
        match self.find(context, alike) {
            Found::Made(told) => told,
            Found::Making(making) => making.await,
        }
    }

    fn find(&self, context: &Arc<Context>, alike: Alike) -> Found {
        let now = context.metadata.catalogue();
        let mut kept = self.0.lock();
        kept.forget_others(&now);
        let same = kept.entries.iter().position(|entry| *entry.alike == alike);
        if let Some(entry) = same.map(|place| kept.entries.remove(place))
            && let Some(found) = entry.state.found()
        {
            kept.entries.push(entry);
            return found;
        }
        kept.made += 1;
        let (id, alike) = (kept.made, Arc::new(alike));
        let turn = Turn {
            kept: Arc::clone(&self.0),
            context: Arc::clone(context),
            alike: Arc::clone(&alike),
            id,
        };
        let making = turn.make().boxed().shared();
        if let Some(state) = making.downgrade().map(State::Making) {
            kept.entries.push(Entry {
                id,
                alike,
                as_of: None,
                state,
            });
        }
        let surplus = kept.entries.len().saturating_sub(KEPT_MAX);
        kept.entries.drain(..surplus);
        Found::Making(making)
    }
}

impl State {
    /// Nothing, where all who waited for it have hung up.
    fn found(&self) -> Option<Found> {
        match self {
            Self::Made(told) => Some(Found::Made(Arc::clone(told))),
            Self::Making(making) => making.upgrade().map(Found::Making),
        }
    }
}

impl Kept {
    /// Keeps what tells of these topics, or is still to begin.
    fn forget_others(&mut self, now: &Arc<Catalogue>) {
        let is_of = |as_of: &Weak<Catalogue>| std::ptr::eq(as_of.as_ptr(), Arc::as_ptr(now));
        let stays = |entry: &Entry| entry.as_of.as_ref().is_none_or(is_of);
        self.entries.retain(stays);
    }

    /// Forgets answers that are made, the ones used longest ago first, until there is room, or will be once those who
    /// write them have done so.
    fn make_room(&mut self, admission: &Admission, bytes: usize) {
        let mut short_of = admission.shared_answers_short_of(bytes);
        self.entries.retain(|entry| match &entry.state {
            State::Made(told) if short_of > 0 => {
                short_of = short_of.saturating_sub(told.permit.bytes());
                false
            }
            _ => true,
        });
    }

    fn entry(&mut self, id: u64) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.id == id)
    }
}

/// An answer that is to be made.
struct Turn {
    kept: Arc<Mutex<Kept>>,
    context: Arc<Context>,
    alike: Arc<Alike>,
    id: u64,
}

impl Turn {
    async fn make(self) -> Arc<Told> {
        let (mut permit, catalogue) = self.admit().await;
        let alike = Arc::clone(&self.alike);
        // The work has the permit, for it ends later than those who wait for it; and it is for all of them.
        let told = make(Origin::of(None), permit.bytes(), move |wanted| {
            let all = catalogue.topics();
            let all = all.map(|topic| Described::Found(Arc::clone(topic), alike.operations));
            let topics = alike.terms.topics(all, wanted);
            let brokers = alike.terms.brokers(&alike.brokers);
            permit.shrink(topics.bytes() + brokers.bytes());
            Arc::new(Told {
                brokers,
                topics,
                permit: Arc::new(permit),
            })
        });
        let told = told.await;
        let mut kept = self.kept.lock();
        match kept.entries.iter().position(|entry| entry.id == self.id) {
            // It would be in the way of those who stand in line. Who is not there yet finds it kept: see `stand_in_line`.
            Some(place) if told.permit.is_wanted() => drop(kept.entries.remove(place)),
            Some(place) => kept.entries[place].state = State::Made(Arc::clone(&told)),
            // The catalogue moved meanwhile.
            None => {}
        }
        drop(kept);
        told
    }

    /// Room for all topics that there are once it was given.
    async fn admit(&self) -> (Permit, Arc<Catalogue>) {
        let metadata = &self.context.metadata;
        let mut bytes = self.alike.bytes(&metadata.catalogue());
        loop {
            let permit = self.stand_in_line(bytes).await;
            let catalogue = self.as_of_now();
            let now = self.alike.bytes(&catalogue);
            if now <= bytes {
                return (permit, catalogue);
            }
            bytes = now;
        }
    }

    /// Has what is kept make room, and stands in line: in one step for those who keep what they made. Between the two one
    /// would keep what nobody asks to make room any more.
    async fn stand_in_line(&self, bytes: usize) -> Permit {
        let admission = &self.context.admission;
        let mut line = pin!(admission.shared_answer(bytes));
        let mut stands = false;
        poll_fn(|cx| {
            let kept = (!stands).then(|| {
                let mut kept = self.kept.lock();
                kept.make_room(admission, bytes);
                kept
            });
            stands = true;
            let given = line.as_mut().poll(cx);
            drop(kept);
            given
        })
        .await
    }

    /// All topics as they are now. Whoever comes later and may know of more does not join.
    fn as_of_now(&self) -> Arc<Catalogue> {
        let mut kept = self.kept.lock();
        let catalogue = self.context.metadata.catalogue();
        if let Some(entry) = kept.entry(self.id) {
            entry.as_of = Some(Arc::downgrade(&catalogue));
        }
        catalogue
    }
}
