//! The broker's own counters, before and after a run.

use std::collections::BTreeMap;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Samples by name and labels, as Prometheus' text format writes them.
#[derive(Debug, Default)]
pub(crate) struct Samples(BTreeMap<String, f64>);

/// Reads `/metrics` at `HOST:PORT`.
pub(crate) async fn scrape(address: &str) -> anyhow::Result<Samples> {
    let mut socket = TcpStream::connect(address)
        .await
        .with_context(|| format!("no metrics at {address}"))?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    socket.read_to_string(&mut text).await?;
    Ok(parse(&text))
}

/// As the page has them.
pub(crate) fn parse(text: &str) -> Samples {
    let samples = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_string(), value.parse().ok()?))
        });
    Samples(samples.collect())
}

impl Samples {
    /// The sum of all samples of a metric whose labels contain each of `labels`.
    pub(crate) fn sum(&self, metric: &str, labels: &[&str]) -> f64 {
        self.0
            .iter()
            .filter(|(name, _)| name.split('{').next() == Some(metric))
            .filter(|(name, _)| labels.iter().all(|label| name.contains(label)))
            .map(|(_, value)| value)
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_by_label() {
        let samples = parse("# HELP a b\na{op=\"put\",outcome=\"ok\"} 2\na{op=\"get\"} 5\nab 7\n");
        assert_eq!(samples.sum("a", &["op=\"put\""]), 2.0);
        assert_eq!(samples.sum("a", &[]), 7.0);
    }
}
