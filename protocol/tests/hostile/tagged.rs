//! Sections of tagged fields, of which nobody knows any.

use protocol::sample::Shape;
use protocol::{ApiKey, DecodeError};

use crate::lengths::compact;
use crate::specimens::{Specimen, specimens};

/// Ten million tagged fields, counted honestly or with nothing behind the count, wherever a section of them is.
#[test]
fn ten_million_tagged_fields_are_refused() {
    const TAGS: u32 = 10_000_000;
    let fields = [0x7f, 0].repeat(usize::try_from(TAGS).unwrap());
    let mut tags = Vec::new();
    compact(&mut tags, TAGS);
    for specimen in untagged() {
        let sections = if specimen.flexible {
            tag_sections(&specimen)
        } else {
            Vec::new()
        };
        assert_eq!(specimen.flexible, !sections.is_empty(), "{}", specimen.what);
        for position in sections {
            for behind in [&fields[..0], &fields] {
                let many = [&specimen.bytes[..position], &tags, behind].concat();
                let outcome = (specimen.feed)(&many);
                assert_eq!(outcome, Err(DecodeError::TooLarge), "{}", specimen.what);
            }
        }
    }
}

/// Empty messages. Where a tagged field is not at its default when empty (the cluster of Fetch, the epoch of the features
/// of ApiVersions), it goes.
fn untagged() -> Vec<Specimen> {
    let mut made = specimens(Shape::Empty);
    for specimen in &mut made {
        let tagged: [&[u8]; 2] = [&[1, 0, 1, 1], &[1, 1, 8, 0, 0, 0, 0, 0, 0, 0, 0]];
        for section in tagged.into_iter().filter(|_| specimen.flexible) {
            if let Some(front) = specimen.bytes.strip_suffix(section) {
                specimen.bytes = [front, &[0]].concat().into();
                break;
            }
        }
    }
    made
}

/// Where the header's and the outermost section of tagged fields start. A section of an empty message is one byte of 0.
fn tag_sections(specimen: &Specimen) -> Vec<usize> {
    let last = specimen.bytes.len() - 1;
    let apis = ApiKey::ALL;
    match specimen.fixed {
        // Key, version, correlation id, empty client id.
        4 => vec![10, last],
        // The response to ApiVersions has no section in its header.
        _ if apis[usize::from(specimen.bytes[0])] == ApiKey::ApiVersions => vec![last],
        _ => vec![6, last],
    }
}

#[test]
fn few_unknown_tagged_fields_are_skipped() {
    for specimen in untagged() {
        let sections = if specimen.flexible {
            tag_sections(&specimen)
        } else {
            Vec::new()
        };
        for position in sections {
            let mut with_tags = specimen.bytes[..position].to_vec();
            with_tags.extend_from_slice(&[2, 100, 0, 101, 3, 1, 2, 3]);
            with_tags.extend_from_slice(&specimen.bytes[position + 1..]);
            assert_eq!((specimen.feed)(&with_tags), Ok(()), "{}", specimen.what);
        }
    }
}
