//! The producers of one partition, by id.

use std::collections::BTreeMap;

use super::Producer;
use crate::types::ProducerId;

/// A partition with more producers than this has them in a map.
const FEW: usize = 16;

/// Most partitions have none or few, and there are many partitions: a map's node has room for eleven.
#[derive(Clone, Debug)]
pub(super) enum ById {
    Few(Vec<(ProducerId, Producer)>),
    Many(BTreeMap<ProducerId, Producer>),
}

impl ById {
    pub(super) fn get(&self, id: ProducerId) -> Option<&Producer> {
        match self {
            Self::Few(few) => {
                let found = few.binary_search_by_key(&id, |(id, _)| *id).ok()?;
                Some(&few[found].1)
            }
            Self::Many(many) => many.get(&id),
        }
    }

    pub(super) fn get_mut(&mut self, id: ProducerId) -> Option<&mut Producer> {
        match self {
            Self::Few(few) => {
                let found = few.binary_search_by_key(&id, |(id, _)| *id).ok()?;
                Some(&mut few[found].1)
            }
            Self::Many(many) => many.get_mut(&id),
        }
    }

    /// One that is not there yet.
    pub(super) fn insert(&mut self, id: ProducerId, producer: Producer) {
        if let Self::Few(few) = self
            && few.len() >= FEW
        {
            *self = Self::Many(std::mem::take(few).into_iter().collect());
        }
        match self {
            Self::Few(few) => {
                let place = few.partition_point(|(known, _)| *known < id);
                few.reserve_exact(1);
                few.insert(place, (id, producer));
            }
            Self::Many(many) => {
                many.insert(id, producer);
            }
        }
    }

    pub(super) fn remove(&mut self, id: ProducerId) -> Option<Producer> {
        let removed = match self {
            Self::Few(few) => {
                let found = few.binary_search_by_key(&id, |(id, _)| *id).ok()?;
                let removed = few.remove(found).1;
                few.shrink_to_fit();
                Some(removed)
            }
            Self::Many(many) => many.remove(&id),
        };
        if let Self::Many(many) = self
            && many.len() <= FEW / 2
        {
            *self = Self::Few(std::mem::take(many).into_iter().collect());
        }
        removed
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Few(few) => few.is_empty(),
            Self::Many(many) => many.is_empty(),
        }
    }

    /// Those from an id on.
    pub(super) fn since_mut(
        &mut self,
        first: ProducerId,
    ) -> Box<dyn Iterator<Item = (ProducerId, &mut Producer)> + '_> {
        match self {
            Self::Few(few) => {
                let place = few.partition_point(|(known, _)| *known < first);
                let rest = few[place..].iter_mut();
                Box::new(rest.map(|(id, producer)| (*id, producer)))
            }
            Self::Many(many) => {
                let rest = many.range_mut(first..);
                Box::new(rest.map(|(id, producer)| (*id, producer)))
            }
        }
    }

    pub(super) fn iter(&self) -> Box<dyn Iterator<Item = (ProducerId, &Producer)> + '_> {
        match self {
            Self::Few(few) => Box::new(few.iter().map(|(id, producer)| (*id, producer))),
            Self::Many(many) => Box::new(many.iter().map(|(id, producer)| (*id, producer))),
        }
    }
}
