//! A sequencer's process whose every word a test says.

use super::*;
use crate::catalogue::{Derived, Topic, TopicsUpdate};
use crate::rpc::message::{Down, Up};
use crate::types::{Lost, Scope, Timestamp};
use crate::update::Update;

/// A process of the test's own, as an agent sees it.
pub(super) struct Played {
    links: mpsc::Receiver<Link>,
    _thawed: watch::Sender<bool>,
}

impl Played {
    pub(super) fn at(net: &Net, address: &str) -> Self {
        let (links, incoming) = mpsc::channel(1);
        let thawed = watch::Sender::new(false);
        let port = Port {
            links,
            frozen: thawed.subscribe(),
        };
        net.open.lock().insert(address.to_owned(), port);
        Self {
            links: incoming,
            _thawed: thawed,
        }
    }

    /// One at `one:1`, an agent that joined it, and the link between them.
    pub(super) async fn joined(net: &Net) -> (Self, Agent, Link) {
        let mut played = Self::at(net, "one:1");
        let agent = net.agent_alone(&["one:1"], 11);
        let link = played.welcome(0).await;
        timeout(PATIENCE, agent.metadata.joined()).await.unwrap();
        (played, agent, link)
    }

    /// The agent's next link, after a welcome.
    pub(super) async fn welcome(&mut self, known: u64) -> Link {
        let mut link = timeout(PATIENCE, self.links.recv())
            .await
            .expect("it comes")
            .unwrap();
        let hello = asked(&mut link).await;
        assert!(
            matches!(&hello, Up::Hello(hello) if hello.session.id == known),
            "{hello:?}"
        );
        answer(&link, Down::Welcome(welcome(7))).await;
        let topic = Topic {
            id: TOPIC,
            name: "orders".to_owned(),
            partitions: 3,
            replication_factor: 1,
            configs: BTreeMap::new(),
            created: Timestamp(0),
            lost: Lost::default(),
            derived: Derived::default(),
        };
        let update = TopicsUpdate {
            scope: Scope::All,
            changed: vec![Arc::new(topic)],
            ..TopicsUpdate::default()
        };
        answer(&link, Down::Update(Update::Topics(Arc::new(update)))).await;
        link
    }
}

pub(super) async fn asked(link: &mut Link) -> Up {
    loop {
        let frame = timeout(PATIENCE, link.receiver.recv()).await;
        let up = Up::decode(frame.expect("in time").expect("it says more")).unwrap();
        if up != Up::Ping {
            return up;
        }
    }
}

pub(super) async fn answer(link: &Link, down: Down) {
    link.sender.send(down.encode()).await.unwrap();
}
