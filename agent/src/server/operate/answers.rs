//! What the operator is told of what was done.

use metadata::{Acceptance, Rejected, WRITER_LEVEL};

use crate::config::Records;

pub(super) fn given_up(records: &Records, marked: Result<(), Rejected>) -> anyhow::Result<String> {
    match marked {
        Ok(()) => Ok(format!(
            "{records} is given up: readers who get there go on behind it, and agents log that once in a while. Nothing brings \
             these records back."
        )),
        Err(Rejected::UnknownTopic) => anyhow::bail!(
            "{records} is not given up, and nothing was changed: there is no topic named {}",
            records.topic
        ),
        Err(why) => anyhow::bail!("{records} is not given up, and nothing was changed: {why}"),
    }
}

pub(super) fn released(held: bool) -> String {
    let said = match held {
        true => {
            "The hold is released: objects that the metadata does not know may be deleted again."
        }
        false => {
            "There is no hold: objects that the metadata does not know may be deleted. Nothing was changed."
        }
    };
    said.to_owned()
}

pub(super) fn raised(before: u32, level: u32) -> String {
    let mut said = if before == level {
        format!("The cluster writes at feature level {level} already, and nothing was changed.")
    } else {
        format!(
            "The cluster writes at feature level {level} from now on. Processes that cannot read it are refused, and going \
             back to their version is no longer possible."
        )
    };
    if level < WRITER_LEVEL {
        said.push_str(" The process that holds the order knows no higher one: upgrade it, and say this again.");
    }
    said
}

pub(super) fn lost(accepted: &Acceptance) -> String {
    match accepted {
        Acceptance::Needless => {
            "The store holds all that the bucket remembers of it, or was accepted without it before: there is nothing to \
             accept, and nothing was changed."
                .to_owned()
        }
        Acceptance::Accepted {
            history,
            kept,
            remembered,
        } => {
            let what = match remembered {
                Some(point) => format!(
                    "Lost is what followed log position {} of the store: the bucket remembers position {} of history {}, \
                     and up to ten seconds may have followed that. Of each partition lost are the records from its present \
                     end on, and changes of topics made since.",
                    kept.0, point.lsn.0, point.history
                ),
                None => format!(
                    "Lost is what followed log position {} of the store. How much that is nobody remembers: it was never \
                     joined to a bucket, or that one holds no point of it.",
                    kept.0
                ),
            };
            format!(
                "History {history} begins. {what}\n2^32 session ids and 2^40 producer ids were skipped, so that none is \
                 handed out twice; consumers that were past a partition's end are told by a new leader epoch. Objects that the \
                 metadata does not know are kept until `penstock metadata release-hold`: the records lost lie in them."
            )
        }
    }
}
