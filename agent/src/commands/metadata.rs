//! `penstock metadata`: a candidate for the order of offsets over a metadata store, for agents elsewhere. And what an
//! operator says to such a store once.

use super::say::{answer, complain};
use super::state_memory::state_memory;
use super::{agent, logging};
use crate::config::{HostPort, Metadata, Misuse, Say};
use crate::server::{IfReadable, MetadataSettings, Operated, Operation, operate, serve_metadata};
use crate::storage::StoreOptions;

pub(super) async fn run(options: Metadata) -> anyhow::Result<()> {
    logging::start(&options.log)?;
    match (options.say, options.accept_older_store) {
        (None, false) => serve(options).await,
        (None, true) => once(Operation::AcceptOlderStore, options).await,
        (Some(Say::Finalize), _) => once(Operation::Finalize, options).await,
        (Some(Say::ReleaseHold), _) => once(Operation::ReleaseHold, options).await,
        (Some(Say::MarkLost), _) => {
            let records = given(options.records.clone(), "--records")?;
            let readable = match options.force {
                true => IfReadable::GiveUp,
                false => IfReadable::Refuse,
            };
            once(Operation::MarkLost(records, readable), options).await
        }
    }
}

async fn once(operation: Operation, options: Metadata) -> anyhow::Result<()> {
    let operated = if options.metadata.is_empty() {
        Operated::Store(given(options.store, "--store URL")?)
    } else {
        Operated::Processes {
            addresses: options.metadata.iter().map(HostPort::to_string).collect(),
            tls: options.peer_tls.files()?,
        }
    };
    let bucket_options = StoreOptions {
        s3_endpoint: options.s3_endpoint,
    };
    let meanwhile = |said: &str| complain(format_args!("penstock: {said}"));
    let done = operate(
        operation,
        operated,
        options.bucket,
        bucket_options,
        meanwhile,
    )
    .await?;
    answer(done);
    Ok(())
}

fn given<T>(value: Option<T>, flag: &str) -> anyhow::Result<T> {
    value.ok_or_else(|| Misuse::say(format!("give {flag}")))
}

async fn serve(options: Metadata) -> anyhow::Result<()> {
    let store = given(options.store, "--store URL")?;
    let listen = given(options.listen, "--listen ADDR")?;
    let tls = options.peer_tls.files()?;
    let told = options.advertise.as_ref();
    agent::peers_can_be_told(listen, told, ["listen", "advertise"])?;
    let advertise = options.advertise.map(|advertise| advertise.to_string());
    serve_metadata(MetadataSettings {
        store,
        bucket: options.bucket,
        bucket_options: StoreOptions {
            s3_endpoint: options.s3_endpoint,
        },
        listen,
        advertise,
        http: options.http,
        tls,
        state_memory: state_memory(options.state.state_memory),
    })
    .await
}
