//! `penstock dev`: the whole product in one process with nothing installed.

use std::path::{Path, absolute};

use anyhow::Context as _;

use super::say::answer;
use super::state_memory::state_memory;
use super::{agent, logging};
use crate::config::{Dev, Misuse, Named, StoreUrl, ends_without};
use crate::context::AutoCreate;
use crate::server::{Sequencing, Server, Settings};

pub(super) async fn run(options: Dev) -> anyhow::Result<()> {
    logging::start(&options.common.log)?;
    let (settings, store) = settings(options)?;
    let bucket = settings.bucket.clone();
    let server = Server::start(settings).await?;
    greet(&server, &bucket, &store);
    if let Some(sentence) = ends_without(&store, Some(&bucket)) {
        tracing::warn!("{sentence}");
    }
    server.run().await
}

fn settings(options: Dev) -> anyhow::Result<(Settings, StoreUrl)> {
    let data =
        absolute(&options.data).with_context(|| format!("--data {}", options.data.display()))?;
    let needs_folder = options.bucket.is_none() || options.store.is_none();
    let bucket = match options.bucket {
        Some(bucket) => bucket,
        None => folder_url(&data)?,
    };
    let store = options
        .store
        .unwrap_or_else(|| StoreUrl::Redb(data.join("metadata.redb")));
    let auto_create = if options.auto_create_topics_enable {
        AutoCreate::Enabled
    } else {
        AutoCreate::Disabled
    };
    let peer = if store.is_shared() {
        let peer = agent::own_machine([options.listen]);
        let sentence = "processes that share a store hold the order in turn: let --listen name 127.0.0.1, or use penstock agent with --peer-listen ADDR, where the others reach it";
        Some(peer.ok_or_else(|| Misuse::say(sentence))?)
    } else {
        None
    };
    let order = Sequencing::InProcess {
        store: store.clone(),
        peer,
        state_memory: state_memory(options.common.state.state_memory),
    };
    let listen = vec![Named {
        name: None,
        value: options.listen,
    }];
    let mut settings = agent::settings(options.common, bucket, order, listen, auto_create)?;
    settings.http = Some(options.http);
    settings.data = needs_folder.then_some(data);
    Ok((settings, store))
}

fn folder_url(data: &Path) -> anyhow::Result<String> {
    let bucket = data.join("bucket");
    let url = url::Url::from_directory_path(&bucket)
        .map_err(|()| anyhow::anyhow!("{} cannot be written as a file:// URL", bucket.display()))?;
    Ok(url.to_string())
}

/// The first lines that a new user sees.
fn greet(server: &Server, bucket: &str, store: &StoreUrl) {
    let listen = server.listen().first();
    let listen = listen.map_or_else(String::new, ToString::to_string);
    answer(format_args!(
        "Penstock listens on {listen}. Bucket: {bucket}  Metadata: {store}"
    ));
    if let Some(http) = server.http() {
        answer(format_args!(
            "Metrics and health: http://{http}/metrics  /health/ready"
        ));
    }
    answer(format_args!(
        "Try:  echo hello | kcat -b {listen} -t first -P   then   kcat -b {listen} -t first -C -e"
    ));
}
