//! Whether the metadata takes writes.

use metadata::kv::Kv;

use super::report::{Report, sentence};

/// Tries whether the metadata takes writes; `what` is what it is called, and `advice` says what to do about a reason why it
/// does not. An agent may be at work: nothing that it needs is touched.
pub(super) async fn check_writes(
    kv: &dyn Kv,
    what: &str,
    advice: impl Fn(&str) -> &'static str,
    report: &mut Report,
) {
    let why = match metadata::takes_writes(kv).await {
        Ok(true) => return report.well(&sentence(&format!("{what} can be written"))),
        Ok(false) => return,
        Err(metadata::Error::Unavailable { reason, .. }) => reason,
        Err(error) => error.to_string(),
    };
    let advice = advice(&why);
    report.wrong(&format!(
        "Nothing can be written to {what} ({why}): {advice}."
    ));
}
