//! Messages of every API and version, broken anywhere.

use protocol::DecodeError;
use protocol::sample::{Filler, SHAPES, Shape};

use crate::specimens::specimens;

#[test]
fn specimens_are_valid() {
    for specimen in SHAPES.into_iter().flat_map(specimens) {
        assert_eq!(
            (specimen.feed)(&specimen.bytes),
            Ok(()),
            "{}",
            specimen.what
        );
    }
}

#[test]
fn cut_anywhere_is_an_error() {
    let mut cuts = 0_usize;
    for specimen in SHAPES.into_iter().flat_map(specimens) {
        for end in specimen.fixed..specimen.bytes.len() {
            let cut = (specimen.feed)(&specimen.bytes[..end]);
            assert!(cut.is_err(), "{} cut at {end}", specimen.what);
            cuts += 1;
        }
    }
    println!("{cuts} cuts");
    assert!(cuts > 10_000);
}

#[test]
fn one_byte_too_many_is_an_error() {
    for specimen in SHAPES.into_iter().flat_map(specimens) {
        let longer = [&specimen.bytes[..], &[0]].concat();
        let outcome = (specimen.feed)(&longer);
        assert_eq!(outcome, Err(DecodeError::Malformed), "{}", specimen.what);
    }
}

#[test]
fn bent_bytes_are_survived() {
    let mut refused = 0_usize;
    for specimen in [Shape::Full, Shape::Null].into_iter().flat_map(specimens) {
        for position in specimen.fixed..specimen.bytes.len() {
            for bend in [0x01, 0x02, 0x40, 0x80, 0xff] {
                let mut bent = specimen.bytes.to_vec();
                bent[position] ^= bend;
                refused += usize::from((specimen.feed)(&bent).is_err());
            }
        }
    }
    println!("{refused} refused");
    assert!(refused > 1000);
}

#[test]
fn random_bytes_are_survived() {
    let mut filler = Filler::new(99, Shape::Mixed);
    let mut understood = 0_usize;
    for specimen in specimens(Shape::Null) {
        for _ in 0..400 {
            let length = filler.below(300);
            let mut random = specimen.bytes[..specimen.fixed].to_vec();
            random.extend_from_slice(&filler.bytes(length));
            understood += usize::from((specimen.feed)(&random).is_ok());
            // Small numbers are lengths that fit, so more of the message is reached.
            random.truncate(specimen.fixed);
            random.extend(filler.bytes(length).iter().map(|byte| byte % 3));
            understood += usize::from((specimen.feed)(&random).is_ok());
        }
    }
    println!("{understood} understood");
    assert!(understood > 0);
}
