//! Rotation of an organisation's keys: what was written stays readable all the while, on every node, and in the end nothing
//! stands under the old key.

use aim_core::{Code, Role};
use aim_premium::vault::{
    VaultService,
    envelope::Purpose,
    model::{KeyState, VaultKeyList},
};
use serde_json::json;

use crate::bed::{Bed, at, refused, wish, wish_of};

async fn rotated(bed: &Bed, vault: &VaultService, purpose: Purpose) -> VaultKeyList {
    let ctx = bed.as_role(Role::Admin);
    vault.rotate(&ctx, purpose).await.unwrap();
    vault.take_over(bed.kernel.now()).await.unwrap();
    vault.keys(&ctx).await.unwrap()
}

/// Secrets with versions of every state, more than a batch of the smaller kind has.
async fn filled(bed: &Bed) {
    for number in 0..25 {
        bed.put(&format!("payments/many-{number}"), &format!("value {number}"))
            .await;
    }
    for version in 1..=4 {
        bed.put("payments/one", &format!("one {version}")).await;
    }
    bed.destroy("payments/one", 1).await.unwrap();
    let ctx = bed.manager();
    bed.vault.delete(&ctx, at("payments/one"), Some(2)).await.unwrap();
}

async fn assert_all_there(bed: &Bed, vault: &VaultService) {
    let agent = bed.as_agent();
    for number in 0..25 {
        let path = format!("payments/many-{number}");
        let read = bed.read_by(vault, &agent, &path, None).await.unwrap();
        assert_eq!(read.value(), format!("value {number}"));
    }
    for (version, expected) in [
        (1, Err(Code::NotFound)),
        (2, Err(Code::NotFound)),
        (3, Ok("one 3")),
        (4, Ok("one 4")),
    ] {
        let read = bed.read_by(vault, &agent, "payments/one", Some(version)).await;
        let said = read.as_ref().map(|read| read.value()).map_err(|error| error.code);
        assert_eq!(said, expected, "version {version}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_key_leaves_everything_readable_and_nothing_under_the_old_one() {
    for purpose in [Purpose::Wrap, Purpose::Index] {
        for bed in Bed::all().await {
            filled(&bed).await;
            let before = bed.vault.keys(&bed.manager()).await.unwrap();
            assert_eq!((before.keys.len(), before.remaining, before.percent), (2, 0, 100));
            let ciphertexts = "SELECT count(*) FROM vault_versions v JOIN kept k ON k.secret_id = v.secret_id
                AND k.version = v.version AND k.ciphertext = v.ciphertext";
            bed.database
                .sql("CREATE TABLE kept AS SELECT secret_id, version, ciphertext, wrapped_key FROM vault_versions")
                .await;

            let after = rotated(&bed, &bed.vault, purpose).await;
            assert_eq!(
                (after.keys.len(), after.remaining, after.percent),
                (2, 0, 100),
                "{after:?}"
            );
            assert!(after.keys.iter().all(|key| key.state == KeyState::Current));
            let stayed = after
                .keys
                .iter()
                .filter(|key| before.keys.iter().any(|known| known.id == key.id));
            assert_eq!(stayed.count(), 1, "one of two was rotated");
            let all = bed.database.count("SELECT count(*) FROM vault_versions").await;
            assert_eq!(
                bed.database.count(ciphertexts).await,
                all,
                "what is encrypted stays as it is"
            );
            let same_keys = format!("{ciphertexts} AND k.wrapped_key = v.wrapped_key");
            let kept = if purpose == Purpose::Wrap { 1 } else { all };
            assert_eq!(
                bed.database.count(&same_keys).await,
                kept,
                "a destroyed one stays destroyed"
            );
            bed.database.sql("DROP TABLE kept").await;

            assert_all_there(&bed, &bed.vault).await;
            assert_all_there(&bed, &bed.restarted()).await;
            let ctx = bed.manager();
            for (value, found) in [
                ("value 7", true),
                ("one 2", true),
                ("one 1", false),
                ("value", false),
            ] {
                let wanted = serde_json::from_value(json!({"value": value})).unwrap();
                let answer = bed.vault.find_value(&ctx, wanted).await.unwrap();
                assert_eq!(answer.found, found, "{value}");
            }
            bed.vault.undelete(&ctx, at("payments/one"), 2).await.unwrap();
            assert_eq!(
                bed.read_version("payments/one", Some(2)).await.unwrap().value(),
                "one 2"
            );
            let audited = bed.audited().await;
            for event in ["vault.key_rotated", "vault.key_removed"] {
                assert!(audited.iter().any(|action| action == event), "{event}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_the_old_keys_in_memory_reads_and_writes_on() {
    for purpose in [Purpose::Wrap, Purpose::Index] {
        for bed in Bed::all().await {
            filled(&bed).await;
            let node = bed.restarted();
            assert_all_there(&bed, &node).await;
            let ctx = bed.as_role(Role::Admin);
            bed.vault.rotate(&ctx, purpose).await.unwrap();
            bed.put("payments/new", "under the new key").await;

            let read = bed.read_by(&node, &bed.as_agent(), "payments/new", None).await;
            assert_eq!(read.unwrap().value(), "under the new key");
            node.get(&ctx, at("payments/new")).await.unwrap();
            let stale = bed.restarted();
            assert_all_there(&bed, &stale).await;
            rotated(&bed, &bed.vault, purpose).await;
            // Nobody uses a retired key for anything new, however old his memory.
            for (vault, path) in [(&node, "payments/a"), (&stale, "payments/b")] {
                vault.put(&ctx, at(path), wish("written late")).await.unwrap();
                let read = bed.read(path).await.unwrap();
                assert_eq!(read.value(), "written late");
            }
            let keys = bed.vault.keys(&ctx).await.unwrap();
            assert_eq!((keys.keys.len(), keys.percent), (2, 100), "{keys:?}");
            assert_all_there(&bed, &node).await;
            assert_all_there(&bed, &stale).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_and_two_nodes_that_take_over_do_not_disturb_each_other() {
    for bed in Bed::all().await {
        filled(&bed).await;
        let (one, two) = (bed.restarted(), bed.restarted());
        let (ctx, now) = (bed.as_role(Role::Admin), bed.kernel.now());
        let writing = async {
            for number in 0..30 {
                let path = format!("payments/many-{}", number % 25);
                let wish = wish(&format!("value {}", number % 25));
                bed.vault.put(&ctx, at(&path), wish).await.unwrap();
                if number % 7 == 0 {
                    bed.vault.destroy(&ctx, at(&path), 1).await.unwrap();
                }
            }
        };
        let rotating = async {
            for purpose in [Purpose::Wrap, Purpose::Index, Purpose::Wrap] {
                one.rotate(&ctx, purpose).await.unwrap();
                let (first, second) = tokio::join!(one.take_over(now), two.take_over(now));
                first.and(second).unwrap();
            }
        };
        tokio::join!(writing, rotating);
        bed.vault.take_over(now).await.unwrap();
        assert_all_there(&bed, &bed.vault).await;
        let keys = bed.vault.keys(&ctx).await.unwrap();
        assert_eq!((keys.keys.len(), keys.remaining), (2, 0), "{keys:?}");
        let revived =
            "SELECT count(*) FROM vault_versions WHERE state = 'destroyed' AND length(ciphertext) > 0";
        assert_eq!(bed.database.count(revived).await, 0);
        for number in (0..25).filter(|number| number % 7 == 0) {
            let read = bed
                .read_version(&format!("payments/many-{number}"), Some(1))
                .await;
            assert_eq!(refused(read).0, Code::NotFound, "destroyed stays destroyed");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_outside_keeps_its_key_and_holds_nobody_up() {
    for bed in Bed::all().await {
        filled(&bed).await;
        let spoil = "UPDATE vault_versions SET wrapped_key = (SELECT v.wrapped_key FROM vault_versions v
            JOIN vault_secrets s ON s.id = v.secret_id WHERE s.path = 'payments/many-4')
            WHERE secret_id = (SELECT id FROM vault_secrets WHERE path = 'payments/many-3')";
        bed.database.sql(spoil).await;
        let keys = rotated(&bed, &bed.vault, Purpose::Wrap).await;
        let retired = keys
            .keys
            .iter()
            .find(|key| key.state == KeyState::Retired)
            .unwrap();
        assert_eq!((retired.covers, retired.stuck), (1, 1), "{keys:?}");
        assert!(keys.percent < 100);
        let error = refused(bed.read("payments/many-3").await);
        assert_eq!(error.0, Code::VaultIntegrity);
        assert_eq!(bed.read("payments/many-4").await.unwrap().value(), "value 4");
        // Destroyed, as the refusal says, it is in nobody's way any more.
        bed.destroy("payments/many-3", 1).await.unwrap();
        bed.vault.take_over(bed.kernel.now()).await.unwrap();
        assert_eq!(
            bed.vault.keys(&bed.manager()).await.unwrap().keys.len(),
            3,
            "not at once"
        );
        bed.clock.advance(chrono::TimeDelta::minutes(61));
        bed.vault.take_over(bed.kernel.now()).await.unwrap();
        assert_eq!(bed.vault.keys(&bed.manager()).await.unwrap().keys.len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rotating_has_its_limits() {
    for bed in Bed::all().await {
        let ctx = bed.as_role(Role::Admin);
        let none = bed.vault.rotate(&ctx, Purpose::Wrap).await;
        assert_eq!(refused(none).0, Code::StateConflict, "there is no key yet");
        bed.put("payments/one", "v").await;
        // Without anybody who takes over.
        bed.database
            .sql("UPDATE vault_keys SET stuck = 0 WHERE retired_at IS NOT NULL")
            .await;
        bed.kernel.stopping.begin();
        let mut refusals = 0;
        for _ in 0..10 {
            refusals += i32::from(bed.vault.rotate(&ctx, Purpose::Wrap).await.is_err());
        }
        assert_eq!(refusals, 2, "eight retired keys at the most");
        assert_eq!(bed.read("payments/one").await.unwrap().value(), "v");
        let again = wish_of(json!({"kind": "api_key", "fields": {"value": "w"}}));
        bed.try_put("payments/one", again).await.unwrap();
        assert_eq!(bed.read("payments/one").await.unwrap().value(), "w");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_organisation_rotates_touches_nobody_else() {
    for bed in Bed::all().await {
        filled(&bed).await;
        let other = bed.another_organization().await;
        let theirs = bed.as_role_of(other, Role::Admin);
        bed.vault
            .put(&theirs, at("payments/one"), wish("theirs"))
            .await
            .unwrap();
        let mine = bed.vault.keys(&bed.manager()).await.unwrap();
        bed.vault.rotate(&theirs, Purpose::Wrap).await.unwrap();
        bed.vault.take_over(bed.kernel.now()).await.unwrap();
        assert_eq!(bed.vault.keys(&bed.manager()).await.unwrap(), mine);
        let their_keys = bed.vault.keys(&theirs).await.unwrap();
        let known: Vec<_> = mine.keys.iter().map(|key| key.id).collect();
        assert!(their_keys.keys.iter().all(|key| !known.contains(&key.id)));
        assert_all_there(&bed, &bed.vault).await;
    }
}
