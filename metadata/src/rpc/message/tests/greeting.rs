//! Versions and greetings.

use bytes::Bytes;

use super::samples::agent;
use super::{Hello, SPOKEN, Up, Versions};
use crate::rpc::message::no_common_version;
use crate::types::SessionId;

/// Newer processes may append to their hello, and some speak nothing that this one does.
#[test]
fn the_hello_of_a_newer_process_can_be_read_as_far_as_it_is_known() {
    let hello = |versions| Hello {
        versions,
        level: 2,
        session: SessionId { id: 1, nonce: 2 },
        remembered: None,
        agent: Some(agent()),
    };
    let newer = Versions {
        min: SPOKEN.max,
        max: SPOKEN.max + 1,
    };
    let frame = Up::Hello(hello(newer)).encode();
    let more: Bytes = [&frame[..], b"more"].concat().into();
    for frame in [frame, more] {
        assert_eq!(Up::decode(frame), Ok(Up::Hello(hello(newer))));
    }
    let stranger = Versions {
        min: SPOKEN.max + 1,
        max: u32::MAX,
    };
    let frame = Up::Hello(hello(stranger)).encode();
    assert_eq!(Up::decode(frame), Ok(Up::Stranger(stranger)));
    let frame = Up::Stranger(stranger).encode();
    assert_eq!(Up::decode(frame), Ok(Up::Stranger(stranger)));
    let torn = Versions { min: 9, max: 8 };
    assert!(Up::decode(Up::Stranger(torn).encode()).is_err());
}

#[test]
fn two_processes_speak_the_smaller_of_their_newest_versions() {
    let versions = |min, max| Versions { min, max };
    let common = |a: Versions, b: Versions| {
        assert_eq!(a.common(b), b.common(a));
        a.common(b)
    };
    assert_eq!(common(versions(3, 5), versions(4, 9)), Some(5));
    assert_eq!(common(versions(3, 3), versions(3, 3)), Some(3));
    assert_eq!(common(versions(3, 9), versions(4, 4)), Some(4));
    assert_eq!(common(versions(3, 4), versions(5, 6)), None);
    assert_eq!(
        no_common_version(versions(5, 6), versions(3, 3)),
        "the metadata process speaks versions 5 to 6 of the protocol and the agent version 3: upgrade the agent, by way of a release between the two"
    );
}
