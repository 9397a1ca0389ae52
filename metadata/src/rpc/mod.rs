//! The metadata over a network: `client` is what an agent's handle is attached to, `session` answers one agent, `server`
//! takes agents in while this process holds the order and sends them on while it does not. `link` is all they know of the
//! wire: frames in order, both ways; `message` says what is in them, `grpc` carries them.

mod budget;
mod client;
mod counted;
mod grpc;
mod link;
mod message;
mod route;
pub(crate) mod server;
mod session;
#[cfg(test)]
mod tests;
mod tls;
mod topics;
mod who;

pub use budget::Budget;
pub use client::{Client, ConnectOptions, connect};
pub use grpc::{Wire, accept, dial};
pub use link::{Dial, DialError, Link, pair};
pub use server::Server;
pub use tls::Pem;
pub use who::who;
