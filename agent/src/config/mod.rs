//! What a person typed, as typed values with units and limits. The only reader of flags, environment and config file:
//! a flag beats its variable `PENSTOCK_<FLAG>`, the variable beats the key in `--config FILE`.

mod address;
mod addressee;
mod agent;
mod alike;
mod command;
mod common;
mod dev;
mod doctor;
mod file;
mod lasting;
mod listeners;
mod metadata;
mod misuse;
mod parse;
mod peer_tls;
mod place;
mod records;
mod size;
mod state_memory;
mod values;
mod variables;
mod words;

#[cfg(test)]
mod tests;

pub use self::agent::Agent;
pub use self::command::Command;
pub use self::common::Common;
pub use self::dev::Dev;
pub use self::doctor::Doctor;
pub use self::lasting::{ends_without, ends_without_order};
pub use self::listeners::{Listen, Named, can_be_told, listeners};
pub use self::metadata::{Metadata, Say};
pub use self::misuse::Misuse;
pub use self::parse::parse;
pub use self::peer_tls::{PeerTls, PeerTlsFiles};
pub use self::records::Records;
pub use self::size::Bytes;
pub use self::state_memory::StateMemory;
pub use self::values::{CompressionLevel, HostPort, Preset, Role, StoreUrl};
pub use self::variables::{Given, unread};
