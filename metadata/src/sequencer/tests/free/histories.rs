//! Anything that may come between two chunks, in any order.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Add {
        count: u64,
    },
    /// So many steps of a checkpoint, begun if none is under way.
    Checkpoint {
        steps: usize,
    },
    /// The log starts so many thousandths further on.
    Start {
        index: i32,
        per_mille: i64,
    },
    Free {
        index: i32,
        fault: Option<Fault>,
    },
    Swap {
        index: i32,
    },
    /// So many looks at what deleted topics left.
    GiveBack {
        looks: usize,
    },
    /// One partition more.
    Grow,
    Delete,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let fault = prop_oneof![
        Just(Fault::Conflict),
        Just(Fault::UnknownLanded),
        Just(Fault::UnknownLost),
        (0..9_u32).prop_map(|operations| Fault::UnknownLate { operations }),
        Just(Fault::Unavailable),
    ];
    prop_oneof![
        3 => prop_oneof![1..9_u64, 1..600_u64].prop_map(|count| Step::Add { count }),
        4 => prop_oneof![1..9_usize, Just(10_000)].prop_map(|steps| Step::Checkpoint { steps }),
        2 => (0..PARTITIONS, prop_oneof![0..=1000_i64, Just(1000)])
            .prop_map(|(index, per_mille)| Step::Start { index, per_mille }),
        6 => (0..PARTITIONS, prop::option::weighted(0.2, fault))
            .prop_map(|(index, fault)| Step::Free { index, fault }),
        1 => (0..PARTITIONS).prop_map(|index| Step::Swap { index }),
        2 => (1..12_usize).prop_map(|looks| Step::GiveBack { looks }),
        1 => Just(Step::Grow),
        1 => Just(Step::Delete),
        1 => Just(Step::Restart),
    ]
}

fn steps() -> impl Strategy<Value = Steps> {
    let bytes = prop_oneof![Just(1_usize), Just(2_000), Just(usize::MAX)];
    let extents = prop_oneof![1..50_usize, Just(usize::MAX)];
    (bytes, extents).prop_map(|(bytes, extents)| Steps {
        bytes,
        extents,
        cleared: 1,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 300, ..ProptestConfig::default() })]

    #[test]
    fn counts_are_right_whatever_comes_between(
        script in prop::collection::vec(step(), 1..40),
        steps in steps(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (memory, mut sequencer) = fresh().await;
            sequencer.options.checkpoint_steps = steps;
            let mut number = 0;
            for (seed, step) in (10..).zip(script) {
                let mut again = false;
                let is_gone = sequencer.state.topics.get(TOPIC).is_none();
                match step {
                    Step::Add { .. } | Step::Start { .. } | Step::Swap { .. } | Step::Grow | Step::Delete if is_gone => {}
                    Step::Grow => grow(&mut sequencer).await,
                    Step::Delete => delete(&mut sequencer).await,
                    Step::Add { count } => for _ in 0..count {
                        number += 1;
                        add(&mut sequencer, number).await;
                    },
                    Step::Checkpoint { steps } => {
                        sequencer.begin_checkpoint();
                        for _ in 0..steps {
                            if sequencer.is_checkpointing() {
                                sequencer.step_and_wait().await.unwrap();
                            }
                        }
                    }
                    Step::Start { index, per_mille } => {
                        let to = end(&sequencer, index) * per_mille / 1000;
                        move_start(&mut sequencer, index, to).await;
                    }
                    Step::Free { index, fault } => {
                        memory.faults().inject(fault);
                        let freed = sequencer.free_chunk(partition(index)).await;
                        memory.faults().cease();
                        assert!(!matches!(freed, Err(Error::Damaged(_))), "{freed:?}");
                        again = freed.is_err();
                    }
                    Step::GiveBack { looks } => for _ in 0..looks {
                        sequencer.leftovers.due().await;
                        sequencer.give_back().await.unwrap();
                    },
                    Step::Swap { index } => swap(&mut sequencer, &memory, index).await,
                    Step::Restart => again = true,
                }
                if again {
                    drop(sequencer);
                    sequencer = hold(&memory, seed).await;
                    sequencer.options.checkpoint_steps = steps;
                }
                memory.faults().land();
                check(&memory).await;
            }
        });
    }
}
