//! What a run says: a JSON line of figures, or why there is none.

use serde::Serialize;

#[expect(clippy::print_stdout, reason = "the report is the product")]
pub(crate) fn print(report: &impl Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(report)?);
    Ok(())
}

#[expect(
    clippy::print_stderr,
    reason = "this is what a person reads when a run fails"
)]
pub(crate) fn failure(error: &anyhow::Error) {
    eprintln!("loadtest: {error:#}");
}
