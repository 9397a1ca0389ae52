//! Changes of the catalogue as they travel.

use std::sync::Arc;

use super::ITEMS_MAX;
use super::parts::{decode_flag, decode_list, decode_scope, encode_scope};
use crate::catalogue::{Derived, Topic, TopicsUpdate};
use crate::codec::{Decoder, Encoder, Unreadable, Wire};
use crate::types::{Lost, Lsn, Timestamp};

pub(super) fn encode_topics(update: &TopicsUpdate, frame: &mut Encoder) {
    frame.u64(update.lsn.0);
    encode_scope(update.scope, frame);
    frame.u64(update.changed.len() as u64);
    for topic in &update.changed {
        encode_topic(topic, frame);
    }
    frame.u64(update.gone.len() as u64);
    update.gone.iter().for_each(|topic| frame.topic(*topic));
    frame.u8(u8::from(update.more));
}

pub(super) fn decode_topics(frame: &mut Decoder) -> Result<TopicsUpdate, Unreadable> {
    Ok(TopicsUpdate {
        lsn: Lsn(frame.u64()?),
        scope: decode_scope(frame)?,
        changed: decode_list(frame, ITEMS_MAX, |frame| decode_topic(frame).map(Arc::new))?,
        gone: frame.list(Decoder::topic)?,
        more: decode_flag(frame)?,
    })
}

fn encode_topic(topic: &Topic, frame: &mut Encoder) {
    frame.topic(topic.id);
    frame.text(&topic.name);
    frame.i64(topic.partitions.into());
    frame.i64(topic.replication_factor.into());
    frame.texts(&topic.configs);
    frame.i64(topic.created.0);
    topic.lost.put(frame);
}

fn decode_topic(frame: &mut Decoder) -> Result<Topic, Unreadable> {
    let topic = Topic {
        id: frame.topic()?,
        name: frame.text()?,
        partitions: frame.i32()?,
        replication_factor: frame.i16()?,
        configs: frame.texts()?,
        created: Timestamp(frame.i64()?),
        lost: Lost::take(frame)?,
        derived: Derived::default(),
    };
    match topic.partitions {
        1.. => Ok(topic),
        _ => Err(Unreadable),
    }
}
