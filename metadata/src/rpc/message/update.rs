//! Updates as they travel: one kind for each thing that can be watched.

use std::sync::Arc;

use super::ITEMS_MAX;
use super::agent::{decode_agent, encode_agent};
use super::parts::{
    decode_bounds, decode_extents, decode_list, decode_partition, decode_scope, encode_bounds,
    encode_extents, encode_partition, encode_scope,
};
use super::topics::{decode_topics, encode_topics};
use crate::codec::{Decoder, Encoder, Unreadable};
use crate::types::NamingEpoch;
use crate::update::{Agents, Update, ViewUpdate};

const TOPICS: u8 = 1;
const VIEWS: u8 = 2;
const AGENTS: u8 = 3;
const NAMING: u8 = 4;

pub(super) fn encode_update(update: &Update, frame: &mut Encoder) {
    match update {
        Update::Topics(topics) => {
            frame.u8(TOPICS);
            encode_topics(topics, frame);
        }
        Update::Views(views) => {
            frame.u8(VIEWS);
            frame.u64(views.len() as u64);
            views.iter().for_each(|view| encode_view(view, frame));
        }
        Update::Agents(agents) => {
            frame.u8(AGENTS);
            frame.u64(agents.all.len() as u64);
            agents
                .all
                .iter()
                .for_each(|agent| encode_agent(agent, frame));
        }
        Update::Naming(epoch) => {
            frame.u8(NAMING);
            frame.u32(epoch.0);
        }
    }
}

pub(super) fn decode_update(frame: &mut Decoder) -> Result<Update, Unreadable> {
    Ok(match frame.u8()? {
        TOPICS => Update::Topics(Arc::new(decode_topics(frame)?)),
        VIEWS => Update::Views(decode_views(frame)?),
        AGENTS => {
            let agent = |frame: &mut Decoder| decode_agent(frame).map(Arc::new);
            let agents = decode_list(frame, ITEMS_MAX, agent)?;
            Update::Agents(Arc::new(Agents::new(agents)))
        }
        NAMING => Update::Naming(NamingEpoch(frame.u32()?)),
        _ => return Err(Unreadable),
    })
}

fn encode_view(view: &ViewUpdate, frame: &mut Encoder) {
    encode_partition(view.partition, frame);
    encode_scope(view.scope, frame);
    encode_bounds(view.bounds, frame);
    encode_extents(&view.extents, frame);
}

fn decode_views(frame: &mut Decoder) -> Result<Vec<ViewUpdate>, Unreadable> {
    let mut room = ITEMS_MAX;
    decode_list(frame, ITEMS_MAX, |frame| {
        let view = decode_view(frame, room)?;
        room -= view.extents.len();
        Ok(view)
    })
}

fn decode_view(frame: &mut Decoder, extents_max: usize) -> Result<ViewUpdate, Unreadable> {
    Ok(ViewUpdate {
        partition: decode_partition(frame)?,
        scope: decode_scope(frame)?,
        bounds: decode_bounds(frame)?,
        extents: decode_extents(frame, extents_max)?,
    })
}
