//! Answers that tell of all topics, asked for by two threads at once: each finds room in the end.

use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::Duration;

use protocol::ApiKey;
use tokio::runtime::Builder;

use super::fixture::{call, with_context};
use super::many::create;
use super::shared::{Alike, Shared};
use super::topics::{Terms, listed};
use crate::brokers::Brokers;
use crate::context::{AutoCreate, Context};

/// Few of them were not enough to see it.
const ROUNDS: usize = 100_000;

/// What is asked for in each version, all of about the same size.
async fn versions(context: &Arc<Context>) -> Vec<Alike> {
    let mut all = Vec::new();
    for version in [9, 10, 11, 12] {
        let call = call(context, ApiKey::Metadata, version).await;
        let brokers = Brokers::of(&call);
        all.push(Alike {
            terms: Terms {
                version,
                leader_epoch: 0,
                placement: brokers.placement().clone(),
            },
            brokers: listed(&brokers),
            operations: 0,
        });
    }
    all
}

/// One that was just made, and is kept as nobody stands in line yet, is in the way of one that looked for kept ones just
/// before.
#[tokio::test]
async fn an_answer_that_is_kept_is_not_in_the_way_of_one_that_is_about_to_stand_in_line() {
    with_context(AutoCreate::Disabled, async |context| {
        create(context, 1, "a", 10).await;
        let versions = Arc::new(versions(context).await);
        let shared = Arc::new(Shared::default());
        // Room to make one, but none to make one beside one that is kept.
        let catalogue = context.metadata.catalogue();
        let making = versions.iter().map(|alike| alike.bytes(&catalogue));
        let room = making.max().unwrap();
        shared.told(context, versions[0].clone()).await;
        let kept = context.admission.answer_bytes();
        assert!((100..room).contains(&kept), "{kept} of {room}");
        let spare = room - versions[0].bytes(&catalogue).min(room);
        assert!(spare < kept / 2, "{spare}");
        context.admission.leave_for_shared_answers(room - kept);
        let (barrier, (done, both)) = (Arc::new(Barrier::new(2)), mpsc::channel());
        for number in 0..2 {
            let (versions, shared, context) = (
                Arc::clone(&versions),
                Arc::clone(&shared),
                Arc::clone(context),
            );
            let (barrier, done) = (Arc::clone(&barrier), done.clone());
            thread::spawn(move || {
                let runtime = Builder::new_current_thread().build().unwrap();
                for round in 0..ROUNDS {
                    barrier.wait();
                    let alike = versions[(2 * round + number) % versions.len()].clone();
                    runtime.block_on(shared.told(&context, alike));
                }
                done.send(()).unwrap();
            });
        }
        for _ in 0..2 {
            let told = both.recv_timeout(Duration::from_secs(120));
            told.expect("somebody waits for ever");
        }
    })
    .await;
}
