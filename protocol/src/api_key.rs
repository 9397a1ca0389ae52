//! The APIs spoken here and their versions, from the list in `messages/mod.rs`.

use std::ops::RangeInclusive;

use crate::acl::{Operation, ResourceType};
use crate::messages;
use crate::wire::{Answers, Request};

macro_rules! api_key {
    (() $($(#[$doc:meta])* $name:ident($request:ident, $response:ident) =
        { $code:literal, $versions:expr, $flexible:literal,
          [$($operation:ident $resource:ident),*] };)*) => {
        /// An API of Kafka's protocol that is implemented.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum ApiKey {
            $($(#[$doc])* $name,)*
        }

        impl ApiKey {
            /// All of them, by code.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The API with that code, if it is implemented.
            #[must_use]
            pub fn from_code(code: i16) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// The code on the wire.
            #[must_use]
            pub fn code(self) -> i16 {
                match self {
                    $(Self::$name => $code,)*
                }
            }

            /// Kafka's name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// The versions that are implemented.
            #[must_use]
            pub fn versions(self) -> RangeInclusive<i16> {
                match self {
                    $(Self::$name => $versions,)*
                }
            }

            /// The first version with compact lengths and tagged fields (KIP-482).
            #[must_use]
            pub fn first_flexible(self) -> i16 {
                match self {
                    $(Self::$name => $flexible,)*
                }
            }

            /// What a client may have to be allowed, depending on what it asks for.
            #[must_use]
            pub fn rights(self) -> &'static [(Operation, ResourceType)] {
                match self {
                    $(Self::$name => &[$((Operation::$operation, ResourceType::$resource)),*],)*
                }
            }
        }

        $(impl Request for messages::$request {
            const KEY: ApiKey = ApiKey::$name;
            type Response = messages::$response;
        }
        impl Answers<messages::$request> for messages::$response {})*
    };
}

crate::for_each_api!(api_key());

impl ApiKey {
    /// The versions named by ApiVersions. Produce says 0, though 0 to 2 carry formats that Kafka 4 no longer takes:
    /// librdkafka gives up compression when the range does not start there, so Kafka 4 says so as well (KIP-896).
    #[must_use]
    pub fn advertised(self) -> RangeInclusive<i16> {
        match self {
            Self::Produce => 0..=*self.versions().end(),
            other => other.versions(),
        }
    }
}
