//! Kafka's Metadata: brokers, topics, and whom to ask for each partition. Every partition is served here. A topic that
//! does not exist is made, if client and broker both want that.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use metadata::{Catalogue, Topic, TopicId};
use protocol::acl::Operation;
use protocol::messages::metadata::MetadataRequestTopic;
use protocol::messages::{MetadataRequest, MetadataResponse};
use protocol::{Encoded, ErrorCode};
use tokio::task::yield_now;
use tokio::time::Instant;

use super::auto_create::by_name;
use super::operations;
use super::shared::{Alike, Shared};
use super::topics::{Described, Size, Terms, listed, names};
use crate::admission::Permit;
use crate::brokers::Brokers;
use crate::call::{Call, Resource};
use crate::context::AutoCreate;
use crate::making::make;
use crate::named::Turns;

/// Before this version an empty list asks for all topics; from it on null does.
const NULL_IS_ALL: i16 = 1;
/// Before this version topics are made whatever the client says.
const SAYS_CREATE: i16 = 4;
/// Before this version a request carries ids, but may not ask by them.
const ASKS_BY_ID: i16 = 12;
/// Topics made side by side, so that they share a commit without filling the metadata's queue.
const CREATED_AT_ONCE: usize = 256;
/// Later in a request no more are begun: clients ask again.
const CREATE_TIME_MAX: Duration = Duration::from_secs(30);

/// What it takes to tell topics apart that are named in a request, and to say what each is.
const NAMED_BYTES: usize = 2 * size_of::<(Option<&str>, u128)>() + size_of::<Described>();
/// What each of them takes besides its name while the metadata is asked: as it was named, and as it will be described.
const ASKED_BYTES: usize =
    size_of::<MetadataRequestTopic>() + size_of::<Described>() + ALLOCATED_BYTES;
/// How much more than itself a name takes where it is allocated, about.
const ALLOCATED_BYTES: usize = 16;

/// The room's part that answers Metadata. Each agent has one.
#[derive(Debug, Default)]
pub(crate) struct ClusterMetadata {
    shared: Shared,
}

impl ClusterMetadata {
    pub(crate) async fn handle(
        &self,
        call: &Call,
        request: MetadataRequest,
    ) -> MetadataResponse<Encoded, Encoded> {
        let context = call.context.as_ref();
        let brokers = Brokers::of(call);
        let controller_id = brokers.controller();
        let asker = Asker {
            call,
            terms: Terms {
                version: call.version,
                leader_epoch: context.metadata.leader_epoch(),
                placement: brokers.placement().clone(),
            },
            operations: match request.include_topic_authorized_operations {
                true => Operations::Asked,
                false => Operations::NotAsked,
            },
            create: match call.version < SAYS_CREATE || request.allow_auto_topic_creation {
                true => context.topics.auto_create,
                false => AutoCreate::Disabled,
            },
        };
        let cluster_asked = request.include_cluster_authorized_operations;
        let (listed, topics) = match request.topics {
            Some(topics) if call.version >= NULL_IS_ALL || !topics.is_empty() => {
                asker.these(topics, &brokers).await
            }
            _ if call.may_do_everything() => {
                // Nothing of the request is held any more.
                call.release();
                let alike = Alike {
                    operations: asker.operations_of(""),
                    terms: asker.terms,
                    brokers: listed(&brokers),
                };
                let told = self.shared.told(&call.context, alike).await;
                call.hold(Permit::shared(&told.permit));
                (told.brokers.clone(), told.topics.clone())
            }
            _ => asker.all(&brokers).await,
        };
        MetadataResponse {
            brokers: listed,
            cluster_id: Some(context.metadata.cluster_id().to_owned()),
            controller_id,
            topics,
            cluster_authorized_operations: operations::cluster(call, cluster_asked),
            ..MetadataResponse::default()
        }
    }
}

/// Whether the client wants to know what it may do with each topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operations {
    Asked,
    NotAsked,
}

/// Who asks, and how it is answered.
struct Asker<'a> {
    call: &'a Call,
    terms: Terms,
    operations: Operations,
    create: AutoCreate,
}

impl Asker<'_> {
    /// All topics of which the client may know. Asked for all, Kafka does not say that there are others.
    async fn all(self, brokers: &Brokers<'_>) -> (Encoded, Encoded) {
        let mut size = Size::new(&self.terms);
        let catalogue = self.call.context.metadata.catalogue();
        size.add_all(&catalogue);
        size.add_brokers(names(brokers));
        let described = catalogue.topics().count() * size_of::<Described>();
        drop(catalogue);
        self.call.charge(size.bytes() + described).await;
        let catalogue = self.call.context.metadata.catalogue();
        let known = catalogue.topics();
        let known = known.filter(|topic| self.may_describe(topic).is_ok());
        let described = known.map(|topic| self.found(Arc::clone(topic))).collect();
        self.tell(described, brokers).await
    }

    /// The topics asked for, each once: an answer is much larger than a name, and a name costs the client next to nothing
    /// to repeat.
    async fn these(
        self,
        mut topics: Vec<MetadataRequestTopic>,
        brokers: &Brokers<'_>,
    ) -> (Encoded, Encoded) {
        // What it takes to know which they are. Only then is the answer charged, so that nothing of it is held while they are
        // asked after, and made.
        self.call.charge(topics.len() * NAMED_BYTES).await;
        once_each(&mut topics).await;
        let described = match self.call.check_named(topics.len()) {
            Ok(()) => self.describe_all(topics).await,
            // Per topic, for before version 13 an answer has no other place for it.
            Err(_) => {
                let refused = |topic| Described::Refused(topic, ErrorCode::POLICY_VIOLATION);
                topics.into_iter().map(refused).collect()
            }
        };
        self.tell(described, brokers).await
    }

    /// Brokers and topics, once they are charged.
    async fn tell(self, described: Vec<Described>, brokers: &Brokers<'_>) -> (Encoded, Encoded) {
        let mut size = Size::new(&self.terms);
        size.add_described(&described);
        size.add_brokers(names(brokers));
        let bytes = size.bytes() + described.len() * size_of::<Described>();
        self.call.charge(bytes).await;
        let told = self.terms.brokers(&listed(brokers));
        let terms = self.terms;
        let topics = make(self.call.arrival.origin(), bytes, move |wanted| {
            terms.topics(described.into_iter(), wanted)
        });
        (told, topics.await)
    }

    async fn describe_all(&self, topics: Vec<MetadataRequestTopic>) -> Vec<Described> {
        let context = self.call.context.as_ref();
        let mut create = self.create;
        if !self.know_all(&topics).await {
            // Unconfirmed, what is known here counts: clients ask again for a topic they are told does not exist. So they do
            // where there is no room among those who wait for the metadata, and whoever waits there has nothing else in hand.
            match self.call.step_aside(held(&topics)) {
                true => drop(context.refresh_catalogue().await),
                false => create = AutoCreate::Disabled,
            }
        }
        let deadline = Instant::now() + CREATE_TIME_MAX;
        let mut described = Vec::with_capacity(topics.len());
        let mut topics = topics.into_iter();
        loop {
            if Instant::now() >= deadline {
                create = AutoCreate::Disabled;
            }
            let some: Vec<_> = topics.by_ref().take(CREATED_AT_ONCE).collect();
            if some.is_empty() {
                return described;
            }
            let some = some.into_iter().map(|topic| self.describe(topic, create));
            described.extend(join_all(some).await);
            if topics.len() > 0 {
                // None of them may have had to wait, and others have their turn meanwhile.
                yield_now().await;
            }
        }
    }

    async fn know_all(&self, topics: &[MetadataRequestTopic]) -> bool {
        let catalogue = self.call.context.metadata.catalogue();
        let mut turns = Turns::default();
        for topic in topics {
            turns.pass(1).await;
            if known(&catalogue, topic).is_none() {
                return false;
            }
        }
        true
    }

    async fn describe(&self, wanted: MetadataRequestTopic, create: AutoCreate) -> Described {
        let context = self.call.context.as_ref();
        let topic = match &wanted.name {
            _ if self.call.version < ASKS_BY_ID
                && (wanted.name.is_none() || wanted.topic_id.0 != 0) =>
            {
                Err(ErrorCode::INVALID_REQUEST)
            }
            Some(name) => by_name(self.call, name, create).await,
            None => {
                let catalogue = context.metadata.catalogue();
                let topic = catalogue.topic_by_id(TopicId(wanted.topic_id.0)).cloned();
                let topic = topic.ok_or(ErrorCode::UNKNOWN_TOPIC_ID);
                // The answer has no name then: ids are no secret, names are.
                topic.and_then(|topic| self.may_describe(&topic).map(|()| topic))
            }
        };
        match topic {
            Ok(topic) => self.found(topic),
            Err(error_code) => Described::Refused(wanted, error_code),
        }
    }

    fn found(&self, topic: Arc<Topic>) -> Described {
        let operations = self.operations_of(&topic.name);
        Described::Found(topic, operations)
    }

    fn operations_of(&self, topic: &str) -> i32 {
        match self.operations {
            Operations::Asked => operations::topic(self.call, topic),
            Operations::NotAsked => operations::NOT_ASKED,
        }
    }

    fn may_describe(&self, topic: &Topic) -> Result<(), ErrorCode> {
        let topic = Resource::Topic(&topic.name);
        self.call.allow(topic, Operation::Describe)
    }
}

fn known<'a>(catalogue: &'a Catalogue, wanted: &MetadataRequestTopic) -> Option<&'a Arc<Topic>> {
    match &wanted.name {
        Some(name) => catalogue.topic(name),
        None => catalogue.topic_by_id(TopicId(wanted.topic_id.0)),
    }
}

/// Bytes that they take while the metadata is asked after them.
fn held(topics: &[MetadataRequestTopic]) -> usize {
    let names = topics.iter().filter_map(|topic| topic.name.as_ref());
    let names: usize = names.map(String::len).sum();
    names + topics.len() * ASKED_BYTES
}

async fn once_each(topics: &mut Vec<MetadataRequestTopic>) {
    let mut seen = HashSet::with_capacity(topics.len());
    let mut first = Vec::with_capacity(topics.len());
    let mut turns = Turns::default();
    for topic in topics.iter() {
        turns.pass(1).await;
        first.push(seen.insert((topic.name.as_deref(), topic.topic_id.0)));
    }
    drop(seen);
    let mut first = first.into_iter();
    topics.retain(|_| first.next().unwrap_or(true));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_topic_is_answered_once_however_often_it_is_named() {
        let named = |name: &str| MetadataRequestTopic {
            name: Some(name.to_owned()),
            ..MetadataRequestTopic::default()
        };
        let mut topics = vec![named("b"), named("a"), named("b")];
        once_each(&mut topics).await;
        assert_eq!(topics, [named("b"), named("a")]);
    }
}
