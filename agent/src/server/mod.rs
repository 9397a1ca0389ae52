//! Binds, starts the rooms, accepts under a limit, and stops everything in order. Called by `commands/`.

mod accept;
mod gate;
mod metadata_role;
mod metadata_store;
mod open_files;
mod operate;
mod peers;
mod ports;
mod prompt;
mod rooms;
mod run;
mod settings;
mod shares;
mod signals;
mod start;
mod unanswered;

pub use self::metadata_role::{MetadataSettings, serve_metadata};
pub(crate) use self::metadata_store::says_disk_full;
pub use self::operate::{IfReadable, Operated, Operation, operate};
pub use self::rooms::{Outside, Rooms};
pub use self::settings::{PeerListen, Sequencing, Settings};
pub use self::start::Server;
