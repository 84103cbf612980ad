//! SIGKILL at every step of writing, rolling back, destroying, rotating, replacing the root key and sealing: what was
//! acknowledged is there afterwards, every version that is active opens, and what was interrupted can be done again.
//!
//! The process that is killed is this test, started again with the name of a step (feature `fail-points`).

use std::{collections::BTreeMap, env, os::unix::process::ExitStatusExt as _, path::Path, process::Command};

use aim_core::{AgentId, Code, Id, OrganizationId, Role};
use aim_crypto::secret::SecretString;
use aim_platform::VaultProvider;
use aim_premium::vault::{VaultService, envelope::Purpose};
use aim_testkit::SeededAgent;
use serde_json::{Value, json};

use crate::bed::{Bed, at, wish};

/// What the process that is started again does, and where.
const ORDER: &str = "AIM_TEST_CRASH";
const PASSPHRASE: &str = "six words that nobody else has";

/// What is done, and the steps at which it is interrupted. `3*off->return`: at the fourth time.
const STEPS: &[(&str, &[&str])] = &[
    (
        "write",
        &[
            "vault.write.version_added",
            "vault.write.shredded",
            "vault.write.head_saved",
            "vault.write.recorded",
            "vault.write.committed",
        ],
    ),
    (
        "rollback",
        &[
            "vault.write.version_added",
            "vault.write.head_saved",
            "vault.write.recorded",
            "vault.change.committed",
        ],
    ),
    (
        "destroy",
        &[
            "vault.destroy.shredded",
            "vault.write.head_saved",
            "vault.write.recorded",
            "vault.change.committed",
        ],
    ),
    (
        "rotate wrap",
        &[
            "vault.rotate.retired",
            "vault.rotate.recorded",
            "vault.rotate.version=3*off->return",
            "vault.rotate.batch",
            "vault.rotate.removing",
            "vault.rotate.removed",
        ],
    ),
    (
        "rotate index",
        &[
            "vault.rotate.recorded",
            "vault.rotate.secret=3*off->return",
            "vault.rotate.secret=22*off->return",
            "vault.rotate.batch",
            "vault.rotate.removing",
            "vault.rotate.removed",
        ],
    ),
    (
        "rekey key_file",
        &[
            "vault.rekey.prepared",
            "vault.rekey.rewrapped",
            "vault.rekey.recorded",
            "vault.rekey.committed",
            "vault.rekey.old_file_kept",
            "vault.rekey.exchanged",
        ],
    ),
    (
        "rekey passphrase",
        &[
            "vault.rekey.prepared",
            "vault.rekey.recorded",
            "vault.rekey.committed",
            "vault.rekey.exchanged",
        ],
    ),
    (
        "seal",
        &["vault.seal.begun", "vault.seal.recorded", "vault.seal.committed"],
    ),
    ("unseal", &["vault.unseal.recorded"]),
];

/// The secrets of this test: more than a batch of the rotation of index keys takes.
fn paths() -> Vec<String> {
    (0..23).map(|number| format!("payments/key-{number}")).collect()
}

/// Writes three versions of each.
async fn filled(bed: &Bed) -> BTreeMap<(String, i64), String> {
    let mut known = BTreeMap::new();
    for path in paths() {
        for version in 1..=3 {
            let value = format!("{path} {version}");
            let mut wish = wish(&value);
            wish.max_versions = Some(3);
            bed.try_put(&path, wish).await.unwrap();
            known.insert((path.clone(), version), value);
        }
    }
    known
}

async fn act(vault: &VaultService, bed: &Bed, what: &str) -> Result<(), aim_core::Error> {
    let ctx = bed.as_role(Role::Admin);
    let path = at("payments/key-7");
    match what {
        "write" => vault.put(&ctx, path, wish("written")).await.map(|_| ()),
        "rollback" => {
            let oldest = vault.get(&ctx, path.clone()).await?.secret.oldest_version;
            vault.rollback(&ctx, path, oldest).await.map(|_| ())
        }
        "destroy" => vault.destroy(&ctx, path, 2).await.map(|_| ()),
        "seal" => vault.seal(&ctx).await.map(|_| ()),
        "unseal" => {
            vault.seal(&ctx).await?;
            vault.unseal(&ctx, None).await.map(|_| ())
        }
        "rekey key_file" => vault.rekey(&ctx, None, None).await.map(|_| ()),
        "rekey passphrase" => {
            let passphrase = Some(SecretString::from(PASSPHRASE));
            let to = Some(VaultProvider::Passphrase);
            vault.rekey(&ctx, to, passphrase).await.map(|_| ())
        }
        "rotate wrap" | "rotate index" => {
            let purpose = Purpose::parse(what.rsplit(' ').next().unwrap());
            vault.rotate(&ctx, purpose).await?;
            vault.take_over(bed.kernel.now()).await?;
            // The background may have been quicker, and be at the last step still.
            while vault.keys(&ctx).await?.percent < 100 {
                tokio::task::yield_now().await;
            }
            Ok(())
        }
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "is started by the test below, to be killed"]
async fn in_a_process_of_its_own() {
    let order: Value = serde_json::from_str(&env::var(ORDER).unwrap()).unwrap();
    let text = |name: &str| order[name].as_str().unwrap();
    let organization: OrganizationId = Id::from_uuid(text("organization").parse().unwrap());
    let bed = Bed::at(text("url"), Path::new(text("key_file")), organization).await;
    let done = act(&bed.vault, &bed, text("what")).await;
    panic!("it was to be killed at {}: {done:?}", text("step"));
}

/// Does `what` in another process, which is killed at `step`.
async fn killed(bed: &Bed, what: &str, step: &str) {
    let (name, _) = step.split_once('=').unwrap_or((step, ""));
    let order = json!({"what": what, "step": name, "url": bed.database.url, "key_file": bed.key_file(),
        "organization": bed.organization.to_string()});
    let points = if step.contains('=') {
        step.to_owned()
    } else {
        format!("{step}=return")
    };
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args([
            "--exact",
            "crash::in_a_process_of_its_own",
            "--ignored",
            "--nocapture",
        ])
        .env(ORDER, order.to_string())
        .env("FAILPOINTS", points);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert_eq!(
        output.status.signal(),
        Some(9),
        "{what} at {step}: {}",
        String::from_utf8_lossy(&said)
    );
}

/// A vault after the crash, opened as an operator would.
async fn opened(bed: &Bed, what: &str) -> VaultService {
    let (vault, ctx) = (bed.restarted(), bed.as_role(Role::Admin));
    let status = vault.status(&ctx).await.unwrap();
    if status.state == "sealed" {
        let passphrase = (status.provider == "passphrase").then(|| SecretString::from(PASSPHRASE));
        assert!(
            what.contains("seal") || what.contains("passphrase"),
            "{what}: {status:?}"
        );
        vault.unseal(&ctx, passphrase).await.unwrap();
    }
    vault
}

/// Every version that is active opens, and those that were acknowledged have their values.
async fn assert_whole(bed: &Bed, vault: &VaultService, known: &BTreeMap<(String, i64), String>, said: &str) {
    let (ctx, agent) = (bed.manager(), bed.as_agent());
    for path in paths() {
        let view = vault
            .get(&ctx, at(&path))
            .await
            .unwrap_or_else(|error| panic!("{said}: {path} {error}"));
        for version in &view.versions {
            let read = bed.read_by(vault, &agent, &path, Some(version.version)).await;
            let is_destroyed = version.destroyed_at.is_some();
            match read {
                Ok(read) => {
                    assert!(!is_destroyed, "{said}");
                    if let Some(expected) = known.get(&(path.clone(), version.version)) {
                        assert_eq!(read.value(), expected, "{said}");
                    }
                }
                Err(error) => assert!(
                    is_destroyed && error.code == Code::NotFound,
                    "{said}: {path} {error}"
                ),
            }
        }
        // None is missing but those beyond the number that is kept.
        let newest = view.secret.current_version;
        let expected: Vec<i64> = (view.secret.oldest_version..=newest).collect();
        let mut found: Vec<i64> = view.versions.iter().map(|version| version.version).collect();
        found.sort_unstable();
        assert_eq!((found, newest >= 3), (expected, true), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(feature = "fail-points"), ignore = "needs the feature fail-points")]
async fn what_is_killed_at_any_step_loses_nothing_and_leaves_nothing_half_encrypted() {
    for (what, steps) in STEPS {
        for bed in Bed::all().await {
            let known = filled(&bed).await;
            for step in *steps {
                let said = format!("{what}, killed at {step}, on {}", bed.database.kind);
                killed(&bed, what, step).await;
                let vault = opened(&bed, what).await;
                assert_whole(&bed, &vault, &known, &said).await;
                // What was interrupted is taken up, and can be done again.
                vault.take_over(bed.kernel.now()).await.unwrap();
                let keys = vault.keys(&bed.manager()).await.unwrap();
                assert_eq!((keys.keys.len(), keys.remaining), (2, 0), "{said}: {keys:?}");
                if *what == "rekey passphrase" {
                    vault
                        .rekey(&bed.as_role(Role::Admin), Some(VaultProvider::KeyFile), None)
                        .await
                        .unwrap();
                } else {
                    act(&vault, &bed, what)
                        .await
                        .unwrap_or_else(|error| panic!("{said}: {error}"));
                }
                let after = opened(&bed, what).await;
                assert_whole(&bed, &after, &known, &said).await;
            }
            assert!(
                every_change_has_its_record(&bed).await,
                "{what} on {}",
                bed.database.kind
            );
        }
    }
}

/// As many records as the secrets say that they were changed.
async fn every_change_has_its_record(bed: &Bed) -> bool {
    let changes = bed
        .database
        .count("SELECT cast(sum(changes) AS BIGINT) FROM vault_secrets")
        .await;
    let audited = "SELECT count(*) FROM audit_log WHERE action IN
        ('secret.written', 'secret.deleted', 'secret.undeleted', 'secret.destroyed', 'secret.rolled_back')";
    changes == bed.database.count(audited).await
}

/// An agent of the bed in the other process: never asked for anything.
pub(crate) fn nobody() -> SeededAgent {
    SeededAgent {
        id: AgentId::from_uuid(uuid::Uuid::nil()),
        key: aim_crypto::keys::SigningKey::generate().unwrap(),
    }
}
