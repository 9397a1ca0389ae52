//! Looks at a metadata store in PostgreSQL, and tries whether it can be written. A schema that is not there is not made.

use metadata::Checked;
use metadata::kv::{Examined, Kv, Postgres, PostgresUrl};
use tokio::time::Instant;

use super::objects::ROUNDS;
use super::report::{Report, sentence};

/// What the metadata says of itself, if it can be read.
pub(super) async fn check(url: &PostgresUrl, report: &mut Report) -> Option<Checked> {
    let examined = match Postgres::examine(url).await {
        Ok(examined) => examined,
        Err(error) => return refused(url, error.into(), report),
    };
    let Examined {
        server_version,
        encrypted,
        exists,
        may_create,
        careless,
        ..
    } = examined;
    let how = if encrypted { "with TLS" } else { "without TLS" };
    report.well(&format!(
        "PostgreSQL {server_version} answers {how} at {url}."
    ));
    for setting in careless {
        report.wrong(&format!(
            "PostgreSQL runs with {setting} = off: a power cut may lose what was acknowledged. Turn it on and restart it."
        ));
    }
    match (exists, may_create) {
        (true, _) => check_rows(url, report).await,
        (false, true) => {
            report.well("There is no metadata in it yet; the first agent makes it.");
            Some(Checked::default())
        }
        (false, false) => {
            report.wrong(
                "There is no metadata in it yet, and this role may not make it: run, as the owner of the database, \
                 GRANT CREATE ON DATABASE for it (deploy/README.md).",
            );
            None
        }
    }
}

/// As the next agent would read them.
async fn check_rows(url: &PostgresUrl, report: &mut Report) -> Option<Checked> {
    let kv = match Postgres::open(url).await {
        Ok(kv) => kv,
        Err(error) => return refused(url, error.into(), report),
    };
    let checked = match metadata::check(&kv).await {
        Ok(checked) => checked,
        Err(error) => return refused(url, error, report),
    };
    report.well(match checked.busy {
        false => "The metadata in it can be read.",
        true => {
            "A process writes the metadata in it all the time: it was not read as a whole, as that process did when it began."
        }
    });
    match metadata::takes_writes(&kv).await {
        Ok(true) => report.well("The metadata in it can be written."),
        Ok(false) => {}
        Err(metadata::Error::Unavailable { reason, .. }) => {
            report.wrong(&format!(
                "Nothing can be written to the metadata in it: {reason}."
            ));
        }
        Err(error) => report.wrong(&format!(
            "Nothing can be written to the metadata in it: {error}."
        )),
    }
    let mut took = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        if let Err(error) = kv.get(b"").await {
            return refused(url, error.into(), report);
        }
        took.push(began.elapsed());
    }
    took.sort_unstable();
    let median = took.get(took.len() / 2).copied().unwrap_or_default();
    let millis = median.as_secs_f64() * 1000.0;
    report.well(&format!(
        "A small read takes {millis:.1} ms (median of {ROUNDS})."
    ));
    Some(checked)
}

fn refused(url: &PostgresUrl, error: metadata::Error, report: &mut Report) -> Option<Checked> {
    match error {
        metadata::Error::Unavailable { reason, .. } => report.wrong(&sentence(&reason)),
        metadata::Error::Corrupt(why) => report.wrong(&format!(
            "The metadata in {url} is damaged ({why}): start no agent with it, keep it, and bring back a copy."
        )),
        error => report.wrong(&format!("The metadata in {url} cannot be used: {error}.")),
    }
    None
}
