//! Tests only: every right that an API names is asked for, and every answer says how long its client is asked to be silent.
//! From frame to frame, through `dispatch`.

mod requests;
mod rooms;
mod table;
mod told;
