//! Whether bucket and metadata belong together.

use metadata::Checked;

use super::report::{Report, sentence};
use crate::identity::{self, Found, Join, Known, Names};
use crate::storage::{Witness, WitnessError};

/// Whether the two belong together, and the metadata holds what the bucket remembers of it, as those who start would find
/// out. Binds nothing.
pub(super) fn check_identity(
    names: &Names,
    found: Result<Found, WitnessError>,
    metadata: &Checked,
    report: &mut Report,
) {
    let known = Known {
        cluster: metadata.cluster.as_deref().unwrap_or_default(),
        bucket: metadata.bucket,
    };
    let found = match found {
        Ok(found) => found,
        Err(WitnessError::Unreadable(said)) => {
            return report.wrong(&sentence(&identity::unreadable(names, known, &said)));
        }
        Err(error) => return report.wrong(&sentence(&error.to_string())),
    };
    match identity::judge(names, known, &found) {
        Ok(Join::Known(_)) => report.well("Bucket and metadata belong together."),
        Ok(Join::Bind(_) | Join::Claim) => report.well(
            "Bucket and metadata know nothing of each other yet; the first agent joins them for good.",
        ),
        Err(said) => return report.wrong(&sentence(&said)),
    }
    if let Found::Witness(Witness {
        point: Some(point), ..
    }) = found
    {
        match metadata.holds(point) {
            Ok(()) => report.well("The metadata holds what the bucket remembers of it."),
            Err(error) => report.wrong(&sentence(&identity::went_back(names, &error))),
        }
    }
}
