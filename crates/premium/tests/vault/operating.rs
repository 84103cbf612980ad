//! The vault of the whole installation: sealed and opened again, and its root key replaced.

use std::{fs, os::unix::fs::PermissionsExt as _, sync::Arc, time::Duration};

use aim_core::{Code, Role};
use aim_crypto::secret::SecretString;
use aim_platform::VaultProvider;
use aim_premium::vault::{VaultService, envelope::Purpose};
use aim_violations::VerificationService;
use chrono::TimeDelta;

use crate::bed::{Bed, at, refused, wish};

const PASSPHRASE: &str = "six words that nobody else has";
const ANOTHER: &str = "six other words nobody else has";

/// A vault as after a start, with another key file, or none.
fn node(bed: &Bed, file: Option<&str>) -> VaultService {
    let mut kernel = bed.kernel.clone();
    Arc::make_mut(&mut kernel.config).vault_key_file = file.map(|name| bed.database.folder().join(name));
    VaultService::new(&kernel, VerificationService::new(&kernel))
}

async fn value(bed: &Bed, vault: &VaultService) -> Result<String, Code> {
    let read = bed.read_by(vault, &bed.as_agent(), "payments/key", None).await;
    read.map(|read| read.value().to_owned())
        .map_err(|error| error.code)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_vault_answers_nobody_on_any_node_until_it_is_unsealed() {
    for bed in Bed::all().await {
        let ctx = bed.as_role(Role::Admin);
        assert_eq!(
            refused(bed.vault.seal(&ctx).await).0,
            Code::StateConflict,
            "nothing to seal"
        );
        bed.put("payments/key", "v").await;
        let other = bed.restarted();
        // On SQLite the other node knows it from the second read on.
        for _ in 0..2 {
            assert_eq!(value(&bed, &other).await.as_deref(), Ok("v"));
        }

        let status = bed.vault.seal(&ctx).await.unwrap();
        assert_eq!((status.state.as_str(), status.root_key_id), ("sealed", None));
        assert!(status.reason.unwrap().contains("somebody sealed it"));
        for vault in [&bed.vault, &other, &bed.restarted()] {
            // Reads by agents and writes hear of it at once, though the other node believes for a second what it knows.
            assert_eq!(value(&bed, vault).await, Err(Code::VaultSealed));
            assert_eq!(
                refused(vault.put(&ctx, at("payments/key"), wish("w")).await).0,
                Code::VaultSealed
            );
            assert_eq!(
                refused(vault.seal(&ctx).await).0,
                Code::StateConflict,
                "sealed already"
            );
        }
        // Everything else on that node, after the second.
        bed.clock.advance(TimeDelta::seconds(1));
        let ctx = bed.as_role(Role::Admin);
        for vault in [&bed.vault, &other] {
            // The second of two finds that the first is looking, and may not go on with what was believed before.
            let (one, other) = tokio::join!(
                vault.get(&ctx, at("payments/key")),
                vault.get(&ctx, at("payments/key"))
            );
            assert_eq!(
                (refused(one).0, refused(other).0),
                (Code::VaultSealed, Code::VaultSealed)
            );
            assert_eq!(
                refused(vault.rotate(&ctx, Purpose::Wrap).await).0,
                Code::VaultSealed
            );
            assert_eq!(refused(vault.rekey(&ctx, None, None).await).0, Code::VaultSealed);
            assert_eq!(vault.status(&ctx).await.unwrap().state, "sealed");
        }
        let wrong = bed.vault.unseal(&ctx, SecretString::from(PASSPHRASE)).await;
        assert_eq!(refused(wrong), (Code::FieldInvalid, "passphrase".to_owned()));

        assert_eq!(other.unseal(&ctx, None).await.unwrap().state, "open");
        for vault in [&bed.vault, &other, &bed.restarted()] {
            assert_eq!(value(&bed, vault).await.as_deref(), Ok("v"));
        }
        assert_eq!(refused(bed.vault.unseal(&ctx, None).await).0, Code::StateConflict);
        let audited = bed.audited().await;
        let of_the_vault = audited.iter().rev().filter(|event| event.starts_with("vault."));
        let last: Vec<&str> = of_the_vault.take(3).map(String::as_str).collect();
        assert_eq!(last, ["vault.unsealed", "vault.unsealed", "vault.sealed"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_vault_with_a_file_stays_sealed_without_the_file() {
    for bed in Bed::all().await {
        let ctx = bed.as_role(Role::Admin);
        bed.put("payments/key", "v").await;
        bed.vault.seal(&ctx).await.unwrap();
        let kept = bed.database.folder().join("kept");
        fs::rename(bed.key_file(), &kept).unwrap();
        assert_eq!(refused(bed.vault.unseal(&ctx, None).await).0, Code::VaultSealed);
        assert_eq!(value(&bed, &bed.restarted()).await, Err(Code::VaultSealed));
        fs::rename(&kept, bed.key_file()).unwrap();
        assert_eq!(
            value(&bed, &bed.restarted()).await,
            Err(Code::VaultSealed),
            "the seal is on still"
        );
        bed.vault.unseal(&ctx, None).await.unwrap();
        assert_eq!(value(&bed, &bed.vault).await.as_deref(), Ok("v"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_vault_with_a_passphrase_needs_it_on_every_node() {
    for bed in Bed::all().await {
        let ctx = bed.as_role(Role::Admin);
        let (one, two) = (node(&bed, None), node(&bed, None));
        for vault in [&one, &two] {
            vault.unseal(&ctx, SecretString::from(PASSPHRASE)).await.unwrap();
        }
        one.put(&ctx, at("payments/key"), wish("v")).await.unwrap();
        assert_eq!(value(&bed, &two).await.as_deref(), Ok("v"));
        two.seal(&ctx).await.unwrap();
        assert_eq!(value(&bed, &one).await, Err(Code::VaultSealed));
        assert_eq!(
            refused(one.unseal(&ctx, None).await),
            (Code::FieldInvalid, "passphrase".to_owned())
        );
        let wrong = one.unseal(&ctx, SecretString::from(ANOTHER)).await;
        assert_eq!(refused(wrong).0, Code::FieldInvalid);
        assert_eq!(
            value(&bed, &one).await,
            Err(Code::VaultSealed),
            "a wrong one takes no seal off"
        );
        one.unseal(&ctx, SecretString::from(PASSPHRASE)).await.unwrap();
        assert_eq!(value(&bed, &one).await.as_deref(), Ok("v"));
        assert_eq!(
            value(&bed, &two).await,
            Err(Code::VaultSealed),
            "its key left its memory"
        );
        two.unseal(&ctx, SecretString::from(PASSPHRASE)).await.unwrap();
        assert_eq!(value(&bed, &two).await.as_deref(), Ok("v"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_organisation_of_the_operator_seals_rekeys_or_sets_the_first_passphrase() {
    for bed in Bed::all().await {
        let other = bed.another_organization().await;
        let theirs = bed.as_role_of(other, Role::Admin);
        let unset = node(&bed, None);
        assert_eq!(
            refused(unset.unseal(&theirs, SecretString::from(PASSPHRASE)).await).0,
            Code::Forbidden
        );
        assert_eq!(
            bed.database.count("SELECT count(*) FROM vault_roots").await,
            0,
            "no passphrase was set"
        );
        bed.put("payments/key", "v").await;
        assert_eq!(refused(bed.vault.seal(&theirs).await).0, Code::Forbidden);
        assert_eq!(
            refused(bed.vault.rekey(&theirs, None, None).await).0,
            Code::Forbidden
        );
        assert_eq!(value(&bed, &bed.vault).await.as_deref(), Ok("v"));
        bed.vault.seal(&bed.as_role(Role::Admin)).await.unwrap();
        assert_eq!(refused(bed.vault.unseal(&theirs, None).await).0, Code::Forbidden);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_root_key_opens_everything_and_the_old_one_nothing() {
    for bed in Bed::all().await {
        let ctx = bed.as_role(Role::Admin);
        bed.put("payments/key", "v").await;
        let other = bed.another_organization().await;
        let theirs = bed.as_role_of(other, Role::Admin);
        bed.vault
            .put(&theirs, at("payments/key"), wish("theirs"))
            .await
            .unwrap();
        let before = bed.vault.status(&ctx).await.unwrap().root_key_id.unwrap();
        let old = fs::read(bed.key_file()).unwrap();
        let elsewhere = bed.restarted();
        assert_eq!(value(&bed, &elsewhere).await.as_deref(), Ok("v"));

        let after = bed.vault.rekey(&ctx, None, None).await.unwrap();
        let after = after.root_key_id.unwrap();
        assert_ne!(after, before);
        assert_ne!(fs::read(bed.key_file()).unwrap(), old);
        let kept = bed.database.folder().join(format!("vault.key.{before}"));
        assert_eq!(fs::read(&kept).unwrap(), old, "older backups need it");
        assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!bed.database.folder().join("vault.key.new").exists());
        let stale = format!("SELECT count(*) FROM vault_keys WHERE root_key_id <> '{after}'");
        assert_eq!(bed.database.count(&stale).await, 0);
        for vault in [&bed.vault, &elsewhere, &bed.restarted()] {
            assert_eq!(value(&bed, vault).await.as_deref(), Ok("v"));
            vault
                .put(&theirs, at("payments/key"), wish("theirs again"))
                .await
                .unwrap();
        }
        bed.clock.advance(TimeDelta::seconds(2));
        let ctx = bed.as_role(Role::Admin);
        assert_eq!(value(&bed, &elsewhere).await.as_deref(), Ok("v"));
        assert_eq!(elsewhere.status(&ctx).await.unwrap().root_key_id.unwrap(), after);

        fs::write(bed.key_file(), old).unwrap();
        assert_eq!(value(&bed, &bed.restarted()).await, Err(Code::VaultSealed));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_a_file_of_its_own_finds_the_next_key_where_the_operator_laid_it() {
    for bed in Bed::all().await {
        let ctx = bed.as_role(Role::Admin);
        bed.put("payments/key", "v").await;
        let folder = bed.database.folder();
        fs::copy(bed.key_file(), folder.join("node-2.key")).unwrap();
        let two = node(&bed, Some("node-2.key"));
        assert_eq!(value(&bed, &two).await.as_deref(), Ok("v"));
        let next = format!("{}=\n", "B".repeat(42) + "A");
        for name in ["vault.key.new", "node-2.key.new"] {
            fs::write(folder.join(name), &next).unwrap();
            fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o600)).unwrap();
        }
        bed.vault.rekey(&ctx, None, None).await.unwrap();
        assert_eq!(fs::read_to_string(bed.key_file()).unwrap(), next);
        bed.clock.advance(TimeDelta::seconds(1));
        // While somebody else looks at the database, a read goes on with what the node knows: so ask until it has looked.
        let looked = tokio::time::timeout(Duration::from_secs(30), async {
            loop {
                assert_eq!(value(&bed, &two).await.as_deref(), Ok("v"));
                if fs::read_to_string(folder.join("node-2.key")).unwrap() == next {
                    break;
                }
                tokio::task::yield_now().await;
            }
        });
        looked
            .await
            .expect("the node takes up the key that lies beside its own");
        // Without it, that node is sealed and says which key it misses.
        let three = node(&bed, Some("node-3.key"));
        assert_eq!(value(&bed, &three).await, Err(Code::VaultSealed));
        assert!(!folder.join("node-3.key").exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_key_moves_from_a_file_to_a_passphrase_and_back() {
    for bed in Bed::all().await {
        let ctx = bed.as_role(Role::Admin);
        bed.put("payments/key", "v").await;
        let to = async |vault: &VaultService, provider, passphrase: Option<&str>| {
            let passphrase = passphrase.map(SecretString::from);
            vault.rekey(&ctx, Some(provider), passphrase).await
        };
        for (provider, passphrase) in [
            (VaultProvider::Passphrase, None),
            (VaultProvider::Passphrase, Some("too short")),
            (VaultProvider::KeyFile, Some(PASSPHRASE)),
        ] {
            let refusal = refused(to(&bed.vault, provider, passphrase).await);
            assert_eq!(refusal, (Code::FieldInvalid, "passphrase".to_owned()));
        }
        assert_eq!(
            refused(to(&bed.vault, VaultProvider::AwsKms, None).await),
            (Code::FieldInvalid, "provider".to_owned())
        );
        let status = to(&bed.vault, VaultProvider::Passphrase, Some(PASSPHRASE))
            .await
            .unwrap();
        assert_eq!(
            (status.state.as_str(), status.provider.as_str()),
            ("open", "passphrase")
        );
        assert_eq!(value(&bed, &bed.vault).await.as_deref(), Ok("v"));

        // The database says which provider it is, whatever the settings say.
        let again = bed.restarted();
        assert_eq!(value(&bed, &again).await, Err(Code::VaultSealed));
        again.unseal(&ctx, SecretString::from(PASSPHRASE)).await.unwrap();
        assert_eq!(value(&bed, &again).await.as_deref(), Ok("v"));
        let status = to(&again, VaultProvider::Passphrase, Some(ANOTHER))
            .await
            .unwrap();
        assert_eq!(status.provider, "passphrase");
        let wrong = bed.restarted().unseal(&ctx, SecretString::from(PASSPHRASE)).await;
        assert_eq!(refused(wrong).0, Code::FieldInvalid);

        let old_file = fs::read(bed.key_file()).unwrap();
        let status = to(&again, VaultProvider::KeyFile, None).await.unwrap();
        assert_eq!(status.provider, "key_file");
        assert_ne!(fs::read(bed.key_file()).unwrap(), old_file);
        assert_eq!(value(&bed, &bed.restarted()).await.as_deref(), Ok("v"));
        let rekeyed = bed
            .audited()
            .await
            .into_iter()
            .filter(|action| action == "vault.rekeyed");
        assert_eq!(rekeyed.count(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_replace_the_root_key_at_once_one_is_told() {
    for bed in Bed::all().await {
        let ctx = bed.as_role(Role::Admin);
        bed.put("payments/key", "v").await;
        let two = bed.restarted();
        assert_eq!(value(&bed, &two).await.as_deref(), Ok("v"));
        let passphrase = |text| Some(SecretString::from(text));
        let (first, second) = tokio::join!(
            bed.vault
                .rekey(&ctx, Some(VaultProvider::Passphrase), passphrase(PASSPHRASE)),
            two.rekey(&ctx, Some(VaultProvider::Passphrase), passphrase(ANOTHER)),
        );
        let refusals: Vec<_> = [&first, &second]
            .into_iter()
            .filter_map(|done| done.as_ref().err())
            .collect();
        assert_eq!(refusals.len(), 1, "{first:?} {second:?}");
        assert_eq!(refusals[0].code, Code::StateConflict);
        let works = if first.is_ok() { PASSPHRASE } else { ANOTHER };
        let after = bed.restarted();
        after.unseal(&ctx, SecretString::from(works)).await.unwrap();
        assert_eq!(value(&bed, &after).await.as_deref(), Ok("v"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_changed_outside_stops_a_new_root_key_and_nothing_is_lost() {
    for bed in Bed::all().await {
        let ctx = bed.as_role(Role::Admin);
        bed.put("payments/key", "v").await;
        let other = bed.another_organization().await;
        bed.vault
            .put(&bed.as_role_of(other, Role::Admin), at("theirs"), wish("v"))
            .await
            .unwrap();
        let before = fs::read(bed.key_file()).unwrap();
        bed.database
            .sql("UPDATE vault_keys SET wrapped = (SELECT k.wrapped FROM vault_keys k
                  WHERE k.purpose = 'index' AND k.org_id = vault_keys.org_id) WHERE purpose = 'wrap' AND org_id IN (SELECT org_id FROM vault_secrets WHERE path = 'theirs')")
            .await;
        assert_eq!(
            refused(bed.vault.rekey(&ctx, None, None).await).0,
            Code::VaultIntegrity
        );
        assert_eq!(fs::read(bed.key_file()).unwrap(), before);
        assert_eq!(value(&bed, &bed.restarted()).await.as_deref(), Ok("v"));
    }
}
