//! The words of Kafka's access control: what may be done, and to what.

macro_rules! words {
    ($(#[$of:meta])* $kind:ident { $($(#[$doc:meta])* $name:ident = $code:literal,)* }) => {
        $(#[$of])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $kind {
            $($(#[$doc])* $name,)*
        }

        impl $kind {
            /// The code on the wire.
            #[must_use]
            pub const fn code(self) -> i8 {
                match self {
                    $(Self::$name => $code,)*
                }
            }
        }

        impl std::fmt::Display for $kind {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self {
                    $(Self::$name => stringify!($name),)*
                })
            }
        }
    };
}

words! {
    /// What something may be done to.
    ResourceType {
        /// A topic, by name.
        Topic = 2,
        /// A consumer group, by its id.
        Group = 3,
        /// The cluster as a whole.
        Cluster = 4,
        /// A transactional producer, by its id.
        TransactionalId = 5,
    }
}

words! {
    /// What may be done.
    Operation {
        /// Fetch records, join a group.
        Read = 3,
        /// Append records.
        Write = 4,
        /// Make it.
        Create = 5,
        /// Remove it.
        Delete = 6,
        /// Change what it is, as a topic's number of partitions.
        Alter = 7,
        /// Know that it is there, and what of it is no content.
        Describe = 8,
        /// What brokers ask of each other.
        ClusterAction = 9,
        /// Read its settings.
        DescribeConfigs = 10,
        /// Change its settings.
        AlterConfigs = 11,
        /// Append with a producer id and without a transaction.
        IdempotentWrite = 12,
    }
}
