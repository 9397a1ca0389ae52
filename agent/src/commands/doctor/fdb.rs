//! Looks at a metadata store in FoundationDB, and tries whether it can be written.

use std::path::Path;

use metadata::Checked;

use super::report::Report;
use super::writes::check_writes;

/// An agent may be at work.
pub(super) async fn check(
    cluster_file: &Path,
    prefix: &str,
    report: &mut Report,
) -> Option<Checked> {
    let opened = metadata::kv::FoundationDb::open(cluster_file, prefix);
    let read = match &opened {
        Ok(store) => metadata::check(store).await,
        Err(error) => Err(error.clone().into()),
    };
    let shown = cluster_file.display();
    match read {
        Ok(checked) => {
            report.well(&format!(
                "The metadata under the prefix {prefix} in the cluster of {shown} can be read."
            ));
            if let Ok(store) = &opened {
                let advice = |_: &str| "see what the status of fdbcli says";
                check_writes(store, "it", advice, report).await;
            }
            return Some(checked);
        }
        Err(metadata::Error::Corrupt(why)) => report.wrong(&format!(
            "What lies under the prefix {prefix} in the cluster of {shown} cannot be read as metadata ({why}): ask again \
             if an agent was at work meanwhile; else start none with it, or choose another prefix."
        )),
        Err(error @ metadata::Error::NewerFormat { .. }) => report.wrong(&format!(
            "The metadata in the cluster of {shown} is not for this version: {error}."
        )),
        Err(error) => report.wrong(&format!(
            "The metadata in the cluster of {shown} cannot be read ({error}): check the cluster file, whether fdbcli \
             reaches the cluster with it, and what its status says."
        )),
    }
    None
}
