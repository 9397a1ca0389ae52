//! Agents as they travel.

use super::parts::{decode_flag, decode_list, decode_option, encode_option};
use super::{AGENT_BYTES_MAX, LISTENERS_MAX};
use crate::catalogue::{Agent, Listener, Roles};
use crate::codec::{Decoder, Encoder, Unreadable};

pub(super) fn encode_agent(agent: &Agent, frame: &mut Encoder) {
    frame.i64(agent.node_id.into());
    frame.u64(agent.listeners.len() as u64);
    for listener in &agent.listeners {
        frame.text(&listener.name);
        frame.text(&listener.host);
        frame.u32(listener.port.into());
    }
    encode_option(agent.zone.as_deref(), frame, |zone, frame| frame.text(zone));
    frame.u8(u8::from(agent.roles.produce));
    frame.u8(u8::from(agent.roles.fetch));
}

pub(super) fn decode_agent(frame: &mut Decoder) -> Result<Agent, Unreadable> {
    let listener = |frame: &mut Decoder| {
        Ok(Listener {
            name: frame.text()?,
            host: frame.text()?,
            port: u16::try_from(frame.u32()?).map_err(|_| Unreadable)?,
        })
    };
    let agent = Agent {
        node_id: frame.i32()?,
        listeners: decode_list(frame, LISTENERS_MAX, listener)?,
        zone: decode_option(frame, Decoder::text)?,
        roles: Roles {
            produce: decode_flag(frame)?,
            fetch: decode_flag(frame)?,
        },
    };
    match agent.node_id {
        0.. if !agent.listeners.is_empty() && bytes(&agent) <= AGENT_BYTES_MAX => Ok(agent),
        _ => Err(Unreadable),
    }
}

/// About what an agent takes in a frame.
fn bytes(agent: &Agent) -> usize {
    let listener = |listener: &Listener| 8 + listener.name.len() + listener.host.len();
    let listeners = agent.listeners.iter().map(listener);
    listeners.sum::<usize>() + agent.zone.as_ref().map_or(0, String::len)
}
