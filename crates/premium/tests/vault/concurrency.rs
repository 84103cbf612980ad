//! Many writers at once, and any order of changes.

use std::{collections::BTreeMap, sync::Arc};

use aim_core::Code;
use aim_premium::vault::model::VersionState;
use proptest::prelude::*;
use serde_json::json;

use crate::bed::{Bed, at, states, wish_of};

/// Writers that each read the current version and write on it: every version has one writer, none is missing, and
/// whoever was told of a conflict wrote nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn compare_and_set_lets_one_of_many_writers_win_each_version() {
    const WRITERS: usize = 8;
    const ROUNDS: usize = 6;
    for bed in Bed::all().await {
        let bed = Arc::new(bed);
        let writers = (0..WRITERS).map(|writer| {
            let bed = Arc::clone(&bed);
            tokio::spawn(async move {
                let mut won = Vec::new();
                for round in 0..ROUNDS {
                    let seen = match bed.vault.get(&bed.manager(), at("payments/key")).await {
                        Ok(view) => view.secret.current_version,
                        Err(error) => {
                            assert_eq!(error.code, Code::NotFound, "{error:?}");
                            0
                        }
                    };
                    let value = format!("{writer}/{round}");
                    let body = json!({"kind": "api_key", "fields": {"value": value}, "cas": seen, "max_versions": 100});
                    match bed.try_put("payments/key", wish_of(body)).await {
                        Ok(view) => {
                            assert_eq!(view.secret.current_version, seen + 1);
                            won.push((seen + 1, value));
                        }
                        Err(error) => assert_eq!(error.code, Code::VersionConflict, "{error:?}"),
                    }
                }
                won
            })
        });
        let mut winners = BTreeMap::new();
        for writer in futures_util::future::join_all(writers).await {
            for (version, value) in writer.unwrap() {
                assert!(
                    winners.insert(version, value).is_none(),
                    "two wrote version {version}"
                );
            }
        }
        let view = bed.vault.get(&bed.manager(), at("payments/key")).await.unwrap();
        let versions: Vec<i64> = view
            .versions
            .iter()
            .rev()
            .map(|version| version.version)
            .collect();
        assert_eq!(versions, winners.keys().copied().collect::<Vec<_>>());
        assert_eq!(versions, (1..=view.secret.current_version).collect::<Vec<_>>());
        assert!(versions.len() >= ROUNDS, "somebody wins each round");
        for (version, value) in winners {
            assert_eq!(
                bed.read_version("payments/key", Some(version))
                    .await
                    .unwrap()
                    .value(),
                value
            );
        }
    }
}

/// Readers beside a writer see one version or the next, and never an alarm.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_beside_a_writer_see_whole_versions() {
    for bed in Bed::all().await {
        let bed = Arc::new(bed);
        bed.put("payments/key", "1").await;
        let readers = (0..4).map(|_| {
            let bed = Arc::clone(&bed);
            tokio::spawn(async move {
                let mut last = 0;
                for _ in 0..20 {
                    let read = bed.read("payments/key").await.unwrap();
                    let version = read.reply.secret.as_ref().unwrap().version;
                    assert_eq!(read.value(), version.to_string());
                    assert!(version >= last, "versions go forward");
                    last = version;
                }
            })
        });
        let readers: Vec<_> = readers.collect();
        for version in 2..=20 {
            bed.put("payments/key", &version.to_string()).await;
        }
        for reader in readers {
            reader.await.unwrap();
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Put { cas: Option<i64> },
    Delete(i64),
    Undelete(i64),
    Destroy(i64),
    Rollback(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let version = 0_i64..8;
    let step = prop_oneof![
        3 => proptest::option::of(0_i64..8).prop_map(|cas| Step::Put { cas }),
        1 => version.clone().prop_map(Step::Delete),
        1 => version.clone().prop_map(Step::Undelete),
        1 => version.clone().prop_map(Step::Destroy),
        1 => version.prop_map(Step::Rollback),
    ];
    proptest::collection::vec(step, 1..16)
}

/// What a secret should be: each version's value and state.
#[derive(Default)]
struct Model(BTreeMap<i64, (String, VersionState)>);

impl Model {
    fn current(&self) -> i64 {
        self.0.keys().next_back().copied().unwrap_or(0)
    }

    fn add(&mut self, value: String) {
        self.0.insert(self.current() + 1, (value, VersionState::Active));
    }

    /// Sets a state, unless the version is not there or destroyed. `false`: refused.
    fn set(&mut self, version: i64, state: VersionState) -> bool {
        match self.0.get_mut(&version) {
            Some((_, VersionState::Destroyed)) => state == VersionState::Destroyed,
            Some((_, known)) => {
                *known = state;
                true
            }
            None => false,
        }
    }
}

/// Takes the steps on a path of their own, beside the model.
async fn follow(bed: &Bed, path: &str, steps: &[Step]) {
    let ctx = bed.manager();
    let mut model = Model::default();
    for (number, step) in steps.iter().enumerate() {
        let before = model.current();
        let (done, expected) = match step {
            Step::Put { cas } => {
                let value = format!("{path}-{number}");
                let body =
                    json!({"kind": "api_key", "fields": {"value": value}, "cas": cas, "max_versions": 100});
                let expected = cas.is_none_or(|seen| seen == before);
                if expected {
                    model.add(value);
                }
                (bed.try_put(path, wish_of(body)).await, expected)
            }
            Step::Delete(version) => (
                bed.vault.delete(&ctx, at(path), Some(*version)).await,
                model.set(*version, VersionState::Deleted),
            ),
            Step::Undelete(version) => (
                bed.vault.undelete(&ctx, at(path), *version).await,
                model.set(*version, VersionState::Active),
            ),
            Step::Destroy(version) => (
                bed.vault.destroy(&ctx, at(path), *version).await,
                model.set(*version, VersionState::Destroyed),
            ),
            Step::Rollback(version) => {
                let value = match model.0.get(version) {
                    Some((value, VersionState::Active)) => Some(value.clone()),
                    _ => None,
                };
                let expected = value.is_some();
                if let Some(value) = value {
                    model.add(value);
                }
                (bed.vault.rollback(&ctx, at(path), *version).await, expected)
            }
        };
        assert_eq!(done.is_ok(), expected, "{number}: {step:?}: {done:?}");
        if let Ok(view) = done {
            let mut found = states(&view);
            found.reverse();
            let expected: Vec<_> = model
                .0
                .iter()
                .map(|(version, (_, state))| (*version, *state))
                .collect();
            assert_eq!(found, expected, "{number}: {step:?}");
            assert!(view.secret.current_version >= before, "versions are monotonic");
        }
    }
    for (version, (value, state)) in &model.0 {
        let read = bed.read_version(path, Some(*version)).await;
        match state {
            VersionState::Active => assert_eq!(read.unwrap().value(), value),
            _ => assert_eq!(read.unwrap_err().code, Code::NotFound, "{state:?}"),
        }
    }
}

#[test]
fn any_order_of_changes_leads_to_what_a_simple_model_says() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let beds = runtime.block_on(Bed::all());
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(24));
    let number = std::cell::Cell::new(0);
    runner
        .run(&steps(), |steps| {
            number.set(number.get() + 1);
            for bed in &beds {
                runtime.block_on(follow(bed, &format!("payments/{}", number.get()), &steps));
            }
            Ok(())
        })
        .unwrap();
}
