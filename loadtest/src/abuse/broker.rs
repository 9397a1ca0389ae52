//! The broker under attack: `penstock dev` on free ports, in a folder of its own, ended when dropped.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use tokio::time::{Instant, sleep};

use super::cap::{self, Cgroup};
use super::options::Options;
use super::probe;

const MIB: u64 = 1 << 20;
const START_TIME_MAX: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(super) struct Broker {
    child: Child,
    /// `HOST:PORT` for clients, and of its pages.
    pub(super) kafka: String,
    pub(super) http: String,
    /// What it was told, as flags.
    pub(super) settings: Vec<String>,
    folder: PathBuf,
    cap: u64,
    cgroup: Option<Cgroup>,
}

impl Broker {
    /// Started with the case's settings, and ready.
    pub(super) async fn start(
        options: &Options,
        case: &str,
        more: &[&str],
    ) -> anyhow::Result<Self> {
        let name = format!("penstock-abuse-{}-{case}", std::process::id());
        let folder = std::env::temp_dir().join(&name);
        let settings = settings(options, &name, &folder, more);
        fs::create_dir_all(&folder)?;
        make_bucket(&settings)?;
        let child = command(options, &settings, &folder)?.spawn();
        let child = child.with_context(|| {
            let binary = options.penstock.display();
            format!("cannot start {binary}: name the broker with --penstock FILE or PENSTOCK_BIN")
        })?;
        let mut broker = Self {
            child,
            kafka: String::new(),
            http: String::new(),
            settings,
            folder,
            cap: options.memory_cap * MIB,
            cgroup: None,
        };
        if let Some(parent) = &options.cgroup {
            broker.cgroup = Some(Cgroup::around(broker.pid(), parent, broker.cap)?);
        }
        broker.until_ready().await?;
        Ok(broker)
    }

    async fn until_ready(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let said = fs::read_to_string(self.folder.join("said"))?;
            if let Some((kafka, http)) = addresses(&said) {
                (self.kafka, self.http) = (kafka, http);
                let ready = probe::page(&self.http, "/health/ready").await;
                if ready.is_ok_and(|status| status == 200) {
                    return Ok(());
                }
            }
            let ended = self.child.try_wait()?;
            if ended.is_some() || begun.elapsed() > START_TIME_MAX {
                let log = self.log()?;
                let last = log.lines().last().unwrap_or_default();
                anyhow::bail!("the broker does not start; its log ends with: {last}");
            }
            sleep(LOOK_EVERY).await;
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether a cgroup or only this process holds it to its cap.
    pub(super) fn capped_by(&self) -> &'static str {
        match self.cgroup {
            Some(_) => "cgroup",
            None => "watched",
        }
    }

    /// Resident bytes, and the most since they were forgotten.
    ///
    /// # Errors
    /// When it ended.
    pub(super) fn look(&mut self) -> anyhow::Result<(u64, u64)> {
        if let Some(ended) = self.child.try_wait()? {
            anyhow::bail!("the broker ended: {}", why(ended));
        }
        cap::resident(self.pid())
    }

    /// Ended, and said so, where so many resident bytes are more than it may take.
    pub(super) fn hold_to_cap(&mut self, resident: u64) -> anyhow::Result<()> {
        if resident <= self.cap {
            return Ok(());
        }
        self.child.kill()?;
        anyhow::bail!(
            "the broker took more than {} MiB, and was ended",
            self.cap / MIB
        )
    }

    /// What it logged.
    pub(super) fn log(&self) -> anyhow::Result<String> {
        Ok(fs::read_to_string(self.folder.join("log"))?)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended by itself, and its folder is a temporary one.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn settings(options: &Options, name: &str, folder: &Path, more: &[&str]) -> Vec<String> {
    let bucket = match options.bucket.as_deref() {
        None => format!("file://{}/bucket", folder.display()),
        Some("memory:") => "memory:".to_owned(),
        Some(given) => format!("{}/{name}", given.trim_end_matches('/')),
    };
    let ours = [
        format!("--bucket={bucket}"),
        "--store=memory:".to_owned(),
        format!("--buffer-memory={}MiB", options.buffer_memory),
        format!("--cache-memory={}MiB", options.cache_memory),
        "--auto-create-topics-enable=false".to_owned(),
    ];
    let more = more.iter().map(|flag| (*flag).to_owned());
    ours.into_iter().chain(more).collect()
}

/// A bucket that is a folder must be there.
fn make_bucket(settings: &[String]) -> anyhow::Result<()> {
    let folder = settings
        .iter()
        .find_map(|flag| flag.strip_prefix("--bucket=file://"));
    folder.map_or(Ok(()), fs::create_dir_all)?;
    Ok(())
}

/// Nothing of this process' environment configures it but what a bucket wants.
fn command(options: &Options, settings: &[String], folder: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new(&options.penstock);
    command
        .args(["dev", "--listen=127.0.0.1:0", "--http=127.0.0.1:0"])
        .args(settings)
        .arg("--data")
        .arg(folder.join("data"))
        .stdin(Stdio::null())
        .stdout(File::create(folder.join("said"))?)
        .stderr(File::create(folder.join("log"))?);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PENSTOCK_") {
            command.env_remove(&name);
        }
    }
    Ok(command)
}

/// Of its two first lines: where clients connect, and where its pages are.
fn addresses(said: &str) -> Option<(String, String)> {
    let after = |before: &str| {
        let (_, rest) = said.split_once(before)?;
        let address = rest.split([' ', '/']).next()?;
        Some(address.trim_end_matches('.').to_owned())
    };
    after("listens on ").zip(after("http://"))
}

fn why(ended: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match ended.signal() {
        Some(9) => "killed, most likely for the memory that it took".to_owned(),
        _ => ended.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_from_what_it_says_first() {
        let said = "Penstock listens on 127.0.0.1:4711. Bucket: memory:  Metadata: memory:\n\
                    Metrics and health: http://127.0.0.1:4712/metrics  /health/ready\n";
        let both = ("127.0.0.1:4711".to_owned(), "127.0.0.1:4712".to_owned());
        assert_eq!(addresses(said), Some(both));
        assert_eq!(addresses("Penstock listens on 127.0.0.1:4711. Bu"), None);
    }
}
