//! The table of attacks: each has a name, what it draws on, what else is looked at beside it, and what it must measure.

use futures::future::BoxFuture;

use super::attacks::{batches, bombs, fetches, frames, paces, packing, replies, topics};
use super::good::Target;
use super::manners::Attack;
use super::probe::Probe;
use crate::scrape::Samples;

/// One row.
pub(super) struct Case {
    pub(super) name: &'static str,
    /// For people.
    pub(super) about: &'static str,
    /// Flags for the broker.
    pub(super) settings: &'static [&'static str],
    /// What of the broker's budgets it may fill, besides buffers and cache.
    pub(super) budgets: &'static [Budget],
    pub(super) probes: &'static [Probe],
    pub(super) wants: &'static [Want],
    /// Makes ready what the attackers need.
    pub(super) ready: for<'a> fn(&'a Target) -> BoxFuture<'a, anyhow::Result<Vec<Attack>>>,
}

/// What the broker allows all clients together of something. It says itself how much that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Budget {
    /// Frames that are here, and small, large and huge ones that arrive.
    Frames,
    /// A frame that is larger than all of those, which then goes alone.
    Frame { mib: u64 },
    /// Requests once decoded.
    Decoded,
    /// Batches that unpack into much, until they were looked at.
    Dense,
    /// What batches unpack into.
    Unpacked,
    /// Fetches that wait.
    Polls,
    /// What is known of the newest records of partitions that are read.
    Views,
    /// Fetched bytes until they are written.
    Replies,
    /// All other answers.
    Answers,
}

impl Budget {
    fn name(self) -> &'static str {
        match self {
            Self::Frames => "frames",
            Self::Frame { .. } => "one frame",
            Self::Decoded => "decoded",
            Self::Dense => "dense",
            Self::Unpacked => "unpacked",
            Self::Polls => "polls",
            Self::Views => "views",
            Self::Replies => "replies",
            Self::Answers => "answers",
        }
    }

    /// Its name, and how many MiB it is by what the broker says.
    ///
    /// # Errors
    /// When the broker says nothing of it.
    pub(super) fn told(self, broker: &Samples) -> anyhow::Result<(&'static str, u64)> {
        let name = self.name();
        if let Self::Frame { mib } = self {
            return Ok((name, mib));
        }
        let label = format!("for=\"{name}\"");
        let bytes = broker.sum("penstock_memory_budget_bytes", &[label.as_str()]);
        anyhow::ensure!(bytes > 0.0, "the broker does not say what {name} may take");
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is positive, and far less than 2^64"
        )]
        let mib = (bytes / f64::from(1 << 20)).ceil() as u64;
        Ok((name, mib))
    }
}

/// A bound on something that attackers measure.
#[derive(Clone, Copy, Debug)]
pub(super) enum Want {
    AtLeast(&'static str, f64),
    AtMost(&'static str, f64),
}

/// What a case that says no more is.
const PLAIN: Case = Case {
    name: "",
    about: "",
    settings: &[],
    budgets: &[],
    probes: &[],
    wants: &[],
    ready: frames::announced,
};

pub(super) const ALL: &[Case] = &[
    Case {
        name: "repeated-partitions",
        about: "Fetches of 16 and 960 KB that name one partition over and over",
        budgets: &[Budget::Decoded, Budget::Replies],
        ready: fetches::repeated_partitions,
        ..PLAIN
    },
    Case {
        name: "waiting-wants",
        about: "Fetches of 400,000 partitions at whose ends nothing comes, with a max_wait of 24 days",
        budgets: &[Budget::Frames, Budget::Decoded, Budget::Polls],
        ready: fetches::waiting_wants,
        ..PLAIN
    },
    Case {
        name: "waiting-views",
        about: "Fetches of 2,048 partitions each that wait, for as many partitions as an agent keeps views of",
        budgets: &[Budget::Decoded, Budget::Polls, Budget::Views],
        ready: fetches::waiting_views,
        ..PLAIN
    },
    Case {
        name: "woken-polls",
        about: "Fetches of 16,384 partitions that each of the good client's records wakes",
        budgets: &[
            Budget::Frames,
            Budget::Decoded,
            Budget::Polls,
            Budget::Views,
        ],
        ready: fetches::woken_polls,
        ..PLAIN
    },
    Case {
        name: "create-partitions",
        about: "CreatePartitions of 2.7 KB that asks for 20 million",
        budgets: &[Budget::Decoded],
        ready: topics::twenty_million_partitions,
        ..PLAIN
    },
    Case {
        name: "bombs-produced",
        about: "zstd bombs in Produce requests to a compacted topic",
        budgets: &[Budget::Dense, Budget::Unpacked],
        ready: bombs::produced,
        ..PLAIN
    },
    Case {
        name: "bombs-searched",
        about: "ListOffsets by time over 512 of them",
        budgets: &[Budget::Unpacked],
        ready: bombs::searched,
        ..PLAIN
    },
    Case {
        name: "bombs-repacked",
        about: "the same beside zstd bombs in Produce requests to a topic that has all packed anew",
        budgets: &[Budget::Dense, Budget::Unpacked],
        ready: bombs::repacked,
        ..PLAIN
    },
    Case {
        name: "packed-hard",
        about: "Produce of a megabyte and of a few bytes to a topic with compression.zstd.level=22",
        budgets: &[Budget::Dense, Budget::Unpacked],
        ready: packing::hardest,
        ..PLAIN
    },
    Case {
        name: "announced",
        about: "100 sockets that announce 1.4 MB each and stop",
        budgets: &[Budget::Frames],
        probes: &[Probe::Produce { bytes: 40_000 }],
        ready: frames::announced,
        ..PLAIN
    },
    Case {
        name: "trickled",
        about: "one socket that announces 100 MiB and sends 70 KiB a second",
        budgets: &[Budget::Frames, Budget::Frame { mib: 100 }],
        probes: &[Probe::Produce { bytes: 2_000_000 }],
        ready: frames::trickled,
        ..PLAIN
    },
    Case {
        name: "mostly-refused",
        about: "frames of 32 MiB of which one small batch is taken, and another one at once",
        budgets: &[Budget::Frames, Budget::Frame { mib: 32 }, Budget::Decoded],
        ready: frames::mostly_refused,
        ..PLAIN
    },
    Case {
        name: "never-read",
        about: "300 sockets that fetch all there is and never read it",
        budgets: &[Budget::Replies],
        probes: &[Probe::Fetch],
        ready: fetches::never_read,
        ..PLAIN
    },
    Case {
        name: "much-metadata",
        about: "Metadata of a million partitions, read by half of those who ask",
        budgets: &[Budget::Decoded, Budget::Answers],
        ready: replies::metadata,
        ..PLAIN
    },
    Case {
        name: "many-names",
        about: "Metadata of 1.6 million topics with names of three letters, and of as many as are answered",
        budgets: &[Budget::Frames, Budget::Decoded, Budget::Answers],
        ready: replies::many_names,
        ..PLAIN
    },
    Case {
        name: "null-records",
        about: "Produce of 4 million partitions without records in one request",
        budgets: &[Budget::Frame { mib: 23 }, Budget::Decoded],
        ready: replies::nulls,
        ..PLAIN
    },
    Case {
        name: "unread-acks",
        about: "16 sockets that produce a small batch and 3,000 partitions without one, over and over, and never read",
        budgets: &[Budget::Frames, Budget::Answers],
        ready: replies::unread_acks,
        ..PLAIN
    },
    Case {
        name: "long-names",
        about: "Produce to 40,000 topics that are not there, with names of 249 bytes, read by half of those who ask",
        budgets: &[Budget::Frames, Budget::Decoded, Budget::Answers],
        ready: replies::long_names,
        ..PLAIN
    },
    Case {
        name: "described-topics",
        about: "DescribeConfigs of 60,000 topics",
        budgets: &[Budget::Decoded, Budget::Answers],
        ready: replies::described,
        ..PLAIN
    },
    Case {
        name: "tiny-batches",
        about: "600,000 batches of one empty record for one partition in one frame, and one for each of 100,000",
        budgets: &[Budget::Frame { mib: 39 }, Budget::Dense],
        ready: batches::tiny,
        ..PLAIN
    },
    Case {
        name: "one-byte-limits",
        about: "Fetches of a byte from each of 300 partitions",
        budgets: &[Budget::Decoded, Budget::Replies],
        ready: fetches::one_byte_limits,
        ..PLAIN
    },
    Case {
        name: "unread-pages",
        about: "64 HTTP connections that ask for metrics and do not read",
        probes: &[Probe::Health],
        ready: frames::pages,
        ..PLAIN
    },
    Case {
        name: "refused-frames",
        about: "frames that are none, as fast as they are refused",
        wants: &[Want::AtMost("log_lines_s", 10.0)],
        ready: frames::refused,
        ..PLAIN
    },
    Case {
        name: "nagle",
        about: "an idempotent producer's small batches with Nagle's algorithm on, and off",
        wants: &[Want::AtLeast("nagle_on_of_off", 0.5)],
        ready: paces::nagle,
        ..PLAIN
    },
    Case {
        name: "sixty-four",
        about: "64 requests of 1 KiB in flight on one connection",
        ready: paces::sixty_four,
        ..PLAIN
    },
    Case {
        name: "pipelining",
        about: "20 MiB/s in batches of 16 KiB on one connection, preset eco",
        settings: &["--preset=eco"],
        wants: &[Want::AtLeast("mib_s", 19.0)],
        ready: paces::pipelining,
        ..PLAIN
    },
];

/// Those that are named, or all.
///
/// # Errors
/// When there is none of that name.
pub(super) fn named(names: &[String]) -> anyhow::Result<Vec<&'static Case>> {
    if names.is_empty() {
        return Ok(ALL.iter().collect());
    }
    let find = |name: &String| {
        let found = ALL.iter().find(|case| case.name == name.as_str());
        found.ok_or_else(|| anyhow::anyhow!("there is no case {name}: see loadtest abuse --help"))
    };
    names.iter().map(find).collect()
}

/// What `--help` says below the flags.
pub(crate) fn help() -> String {
    let mut text = HELP.to_owned();
    for case in ALL {
        text.push_str(&format!("  {:<20} {}\n", case.name, case.about));
    }
    text
}

const HELP: &str = "\
Each run is quiet, attacked, and quiet again, while a good client produces 50 records of 1 KB a second, consumes them, and \
does what else the case is said to hurt. A case meets its goal where

- the broker's resident memory stays within what it is allowed and 64 MiB: --buffer-memory, --cache-memory, and those of \
its fixed budgets that the attack can fill (`budgets_mib`), but never beyond --memory-cap. What a case stores in a bucket in \
memory counts besides, and so do topics that were there before the attack;
- each p99 of the good client's is, attacked and afterwards, at most 1.5 times what it was when quiet, or that and 50 ms;
- no request of the good client's fails, and the broker goes on;
- attackers that measure something measure what is wanted (`figures`).

Ends with an error where one is missed. Figures of a debug build, or beside other work, say little.

Cases:
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scrape;

    #[test]
    fn budgets_are_what_the_broker_says() {
        let said = scrape::parse("penstock_memory_budget_bytes{for=\"polls\"} 100663296\n");
        assert_eq!(Budget::Polls.told(&said).unwrap(), ("polls", 96));
        assert_eq!(Budget::Frame { mib: 7 }.told(&said).unwrap().1, 7);
        assert!(Budget::Replies.told(&said).is_err());
    }

    #[test]
    fn cases_are_found_by_name_and_told_apart() {
        for case in ALL {
            let found = named(&[case.name.to_owned()]).unwrap();
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].about, case.about);
            assert!(help().contains(case.about));
        }
        assert_eq!(named(&[]).unwrap().len(), ALL.len());
        assert!(named(&["none".to_owned()]).is_err());
    }
}
