//! Bytes that must stay readable for ever: the files under `tests/golden/`. A test fails when this version would write
//! other bytes, or reads something else from the old ones. A missing file is written when `PENSTOCK_WRITE_GOLDEN` is
//! set; one that exists is never written over: what is encoded anew gets a new version and a new file.

mod effects;
mod index;
mod levels;
mod outcomes;
mod store;

use std::fs;
use std::path::Path;

use bytes::Bytes;

use crate::types::TopicId;

/// The file's bytes, which must be `encoded`.
#[expect(
    clippy::disallowed_methods,
    reason = "only a person who adds an encoding sets the variable"
)]
pub(crate) fn golden(name: &str, encoded: &Bytes) -> Bytes {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let path = folder.join(name);
    if !path.exists() && std::env::var("PENSTOCK_WRITE_GOLDEN").is_ok() {
        fs::write(&path, encoded).unwrap();
    }
    let old = Bytes::from(fs::read(&path).unwrap_or_else(|error| panic!("{name}: {error}")));
    let same = old.iter().zip(encoded).take_while(|(a, b)| a == b).count();
    assert!(
        old == encoded,
        "{name} would be written otherwise from byte {same} on"
    );
    old
}

/// Fails to compile when a variant is missing, and fails when none of the samples is of a variant.
macro_rules! cover {
    ($samples:expr, $kind:ty, $($pattern:pat),+ $(,)?) => {
        fn exhaustive(sample: &$kind) {
            match sample { $($pattern => (),)+ }
        }
        $samples.iter().for_each(exhaustive);
        $(assert!($samples.iter().any(|sample: &$kind| matches!(sample, $pattern)),
            "no sample of {}", stringify!($pattern));)+
    };
}
pub(crate) use cover;

const TOPIC: TopicId = TopicId(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
