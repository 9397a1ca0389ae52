//! Tests only: requests to all rooms, through `dispatch` and from frame to frame, of clients that lack rights. The table of
//! who may do what is with the list of handlers in `dispatch.rs`.

pub(crate) mod requests;
pub(crate) mod rooms;
mod told;
