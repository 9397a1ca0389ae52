//! Every message comes back as it went, and no bytes upset the reader.

mod bytes;
mod greeting;
mod samples;

use ::bytes::Bytes;
use proptest::prelude::*;

use super::{Down, Hello, SPOKEN, Up, Versions};
use crate::command::Command;
use crate::types::Timestamp;
use samples::{downs, ups};

#[test]
fn messages_come_back_as_they_went_and_not_a_byte_shorter_or_longer() {
    for up in ups() {
        let frame = up.encode();
        assert_eq!(Up::decode(frame.clone()), Ok(up.clone()));
        for length in 0..frame.len() {
            assert!(
                Up::decode(frame.slice(..length)).is_err(),
                "{up:?}, {length}"
            );
        }
        assert!(Up::decode([&frame[..], &[0]].concat().into()).is_err());
    }
    for down in downs() {
        let frame = down.encode();
        assert_eq!(Down::decode(frame.clone()), Ok(down.clone()));
        for length in 0..frame.len() {
            assert!(
                Down::decode(frame.slice(..length)).is_err(),
                "{down:?}, {length}"
            );
        }
        assert!(Down::decode([&frame[..], &[0]].concat().into()).is_err());
    }
}

#[test]
fn what_the_sequencer_asks_of_itself_cannot_be_sent() {
    for command in [
        Command::CloseSession(1),
        Command::KeepFeatureLevel("for a reason".to_owned()),
        Command::OpenSession {
            closing: vec![1],
            nonce: 1,
        },
        Command::ExpireProducers {
            before: Timestamp(i64::MAX),
        },
    ] {
        let submit = Up::Submit {
            sequence: 1,
            seen: 1,
            command,
        };
        assert!(Up::decode(submit.encode()).is_err());
    }
}

proptest! {
    #[test]
    fn no_bytes_upset_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Up::decode(Bytes::from(bytes.clone()));
        let _ = Down::decode(Bytes::from(bytes));
    }

    #[test]
    fn nor_does_damage(which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let damaged = |frame: Bytes| {
            let mut frame = frame.to_vec();
            let at = at.index(frame.len());
            frame[at] = byte;
            Bytes::from(frame)
        };
        let (ups, downs) = (ups(), downs());
        let _ = Up::decode(damaged(ups[which.index(ups.len())].encode()));
        let _ = Down::decode(damaged(downs[which.index(downs.len())].encode()));
    }
}
