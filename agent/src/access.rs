//! Who may do what. There are no rules yet, so everybody may do everything. Asked by `call` alone.

use protocol::ErrorCode;
use protocol::acl::{Operation, ResourceType};

/// Who asks, as far as the agent is sure of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Principal {
    /// Nobody can log in yet.
    Anonymous,
}

/// What something is to be done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resource<'a> {
    Topic(&'a str),
    /// Any topic at all: one is enough.
    AnyTopic,
    Group(&'a str),
    Cluster,
    TransactionalId(&'a str),
}

/// The rules. What none forbids is allowed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Access {
    pub(crate) forbidden: Vec<Forbidden>,
}

/// Something that somebody may not do. Nobody can make such rules yet but tests.
#[derive(Clone, Debug)]
pub(crate) struct Forbidden {
    pub(crate) who: Principal,
    pub(crate) operation: Operation,
    pub(crate) kind: ResourceType,
    /// The only one it is about, if not all of their kind.
    pub(crate) name: Option<String>,
}

impl Access {
    /// Whether there are no rules.
    pub(crate) fn forbids_nothing(&self) -> bool {
        self.forbidden.is_empty()
    }

    /// Whether somebody may do that.
    pub(crate) fn allows(
        &self,
        who: Principal,
        resource: Resource<'_>,
        operation: Operation,
    ) -> bool {
        let mut rules = self.forbidden.iter();
        !rules.any(|rule| {
            let same = rule.name.is_none() || rule.name.as_deref() == resource.name();
            same && (rule.who, rule.operation, rule.kind) == (who, operation, resource.kind())
        })
    }
}

impl Resource<'_> {
    pub(crate) fn kind(self) -> ResourceType {
        match self {
            Self::Topic(_) | Self::AnyTopic => ResourceType::Topic,
            Self::Group(_) => ResourceType::Group,
            Self::Cluster => ResourceType::Cluster,
            Self::TransactionalId(_) => ResourceType::TransactionalId,
        }
    }

    /// None where there is one cluster, or any will do.
    fn name(&self) -> Option<&str> {
        match self {
            Self::Topic(name) | Self::Group(name) | Self::TransactionalId(name) => Some(name),
            Self::AnyTopic | Self::Cluster => None,
        }
    }

    /// Kafka's code for who may not.
    pub(crate) fn refusal(self) -> ErrorCode {
        match self.kind() {
            ResourceType::Topic => ErrorCode::TOPIC_AUTHORIZATION_FAILED,
            ResourceType::Group => ErrorCode::GROUP_AUTHORIZATION_FAILED,
            ResourceType::Cluster => ErrorCode::CLUSTER_AUTHORIZATION_FAILED,
            ResourceType::TransactionalId => ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        }
    }
}
