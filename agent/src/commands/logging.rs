//! Logs: for people on a terminal, JSON otherwise; always on standard error. A line that cannot be written, as on a disk that
//! is full, is lost and ends nothing.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::Misuse;

/// Starts logging with a filter such as `info` or `info,penstock=debug`.
pub(super) fn start(filter: &str) -> anyhow::Result<()> {
    // What libraries say of themselves is for their developers.
    let quiet = [
        "aws_smithy_runtime",
        "aws_sdk_s3",
        "hyper",
        "hyper_util",
        "reqwest",
        "rustls",
        "tokio_postgres",
    ];
    // Of credentials and regions that it does not find it warns at each try; what is missing is said in our own sentence.
    let mut all = format!("aws_config=error,{filter}");
    for library in quiet {
        all = format!("{library}=warn,{all}");
    }
    let filter = EnvFilter::builder().parse(all).map_err(|error| {
        Misuse::say(format!(
            "--log {filter} is not a filter; write it as in info or info,penstock=debug: {error}"
        ))
    })?;
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // It would say so with `eprintln!`, which panics where nothing can be written.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        logs.with_target(false).init();
    } else {
        logs.json().init();
    }
    Ok(())
}
