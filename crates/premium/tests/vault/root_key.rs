//! The root key: where it is, and what happens without it.

use std::{fs, os::unix::fs::PermissionsExt as _};

use std::sync::Arc;

use aim_core::{Code, Role};
use aim_crypto::secret::SecretString;
use aim_premium::vault::VaultService;
use aim_violations::VerificationService;

use crate::bed::{Bed, at, refused, wish};

#[tokio::test(flavor = "multi_thread")]
async fn the_key_file_is_made_with_the_first_secret_and_needed_from_then_on() {
    for bed in Bed::all().await {
        let ctx = bed.manager();
        assert_eq!(bed.vault.status(&ctx).await.unwrap().state, "unused");
        assert!(!bed.key_file().exists(), "asking makes nothing");
        bed.put("payments/key", "v").await;
        let mode = fs::metadata(bed.key_file()).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        let status = bed.vault.status(&ctx).await.unwrap();
        assert_eq!((status.state.as_str(), status.secrets), ("open", 1));
        let text = fs::read_to_string(bed.key_file()).unwrap();
        assert!(!serde_json::to_string(&status).unwrap().contains(text.trim()));

        let again = bed.restarted();
        let read = bed
            .read_by(&again, &bed.as_agent(), "payments/key", None)
            .await
            .unwrap();
        assert_eq!(read.value(), "v");

        let kept = bed.database.folder().join("kept");
        fs::rename(bed.key_file(), &kept).unwrap();
        let sealed = bed.restarted();
        for refusal in [
            refused(sealed.get(&ctx, at("payments/key")).await),
            refused(sealed.put(&ctx, at("payments/key"), wish("w")).await),
            refused(bed.read_by(&sealed, &bed.as_agent(), "payments/key", None).await),
        ] {
            assert_eq!(refusal, (Code::VaultSealed, String::new()));
        }
        assert!(!bed.key_file().exists(), "no second root key is made");
        let status = sealed.status(&ctx).await.unwrap();
        assert_eq!(status.state, "sealed");
        assert!(status.reason.unwrap().contains("put it back"));
        let before = bed.database.count("SELECT count(*) FROM decisions").await;
        let _ = bed.read_by(&sealed, &bed.as_agent(), "payments/key", None).await;
        assert_eq!(
            bed.database.count("SELECT count(*) FROM decisions").await,
            before,
            "no read is approved that cannot happen"
        );

        fs::rename(&kept, bed.key_file()).unwrap();
        assert_eq!(
            sealed
                .get(&ctx, at("payments/key"))
                .await
                .unwrap()
                .secret
                .current_version,
            1
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_root_key_than_the_databases_own_seals_the_vault_and_says_so() {
    for bed in Bed::all().await {
        bed.put("payments/key", "v").await;
        fs::remove_file(bed.key_file()).unwrap();
        fs::write(bed.key_file(), format!("{}=\n", "A".repeat(43))).unwrap();
        fs::set_permissions(bed.key_file(), fs::Permissions::from_mode(0o600)).unwrap();
        let error = bed
            .restarted()
            .get(&bed.manager(), at("payments/key"))
            .await
            .unwrap_err();
        assert_eq!(error.code, Code::VaultSealed);
        assert!(error.detail.contains("are wrapped by"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_node_without_the_file_makes_no_key_of_its_own() {
    for bed in Bed::all().await {
        bed.put("payments/key", "v").await;
        let mut kernel = bed.kernel.clone();
        let elsewhere = bed.database.folder().join("node-2.key");
        Arc::make_mut(&mut kernel.config).vault_key_file = Some(elsewhere.clone());
        let verifications = VerificationService::new(&kernel);
        let node = VaultService::new(&kernel, verifications);
        assert_eq!(
            refused(node.put(&bed.manager(), at("other"), wish("v")).await).0,
            Code::VaultSealed
        );
        assert!(!elsewhere.exists());
    }
}

/// A vault without a key file, as after a start.
fn with_a_passphrase(bed: &Bed) -> VaultService {
    let mut kernel = bed.kernel.clone();
    Arc::make_mut(&mut kernel.config).vault_key_file = None;
    VaultService::new(&kernel, VerificationService::new(&kernel))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passphrase_opens_the_vault_after_each_start_and_no_other_does() {
    const PASSPHRASE: &str = "six words that nobody else has";
    for bed in Bed::all().await {
        let ctx = bed.as_role(Role::Admin);
        let first = with_a_passphrase(&bed);
        let unseal =
            async |vault: &VaultService, text: &str| vault.unseal(&ctx, SecretString::from(text)).await;
        let status = first.status(&ctx).await.unwrap();
        assert_eq!(
            (status.state.as_str(), status.provider.as_str()),
            ("sealed", "passphrase")
        );
        assert_eq!(
            refused(first.put(&ctx, at("payments/key"), wish("v")).await).0,
            Code::VaultSealed
        );
        assert_eq!(
            refused(unseal(&first, "too short").await),
            (Code::FieldInvalid, "passphrase".to_owned())
        );
        assert_eq!(unseal(&first, PASSPHRASE).await.unwrap().state, "open");
        first.put(&ctx, at("payments/key"), wish("v")).await.unwrap();
        assert!(!bed.key_file().exists());

        let again = with_a_passphrase(&bed);
        assert_eq!(
            refused(bed.read_by(&again, &bed.as_agent(), "payments/key", None).await).0,
            Code::VaultSealed
        );
        let wrong = unseal(&again, "six words that nobody ever had")
            .await
            .unwrap_err();
        assert_eq!(
            (wrong.code, wrong.field.as_deref()),
            (Code::FieldInvalid, Some("passphrase"))
        );
        assert!(!wrong.detail.contains("words"), "{wrong}");
        assert_eq!(again.status(&ctx).await.unwrap().state, "sealed");
        unseal(&again, PASSPHRASE).await.unwrap();
        let read = bed
            .read_by(&again, &bed.as_agent(), "payments/key", None)
            .await
            .unwrap();
        assert_eq!(read.value(), "v");
        let unsealed = bed
            .audited()
            .await
            .into_iter()
            .filter(|action| action == "vault.unsealed");
        assert_eq!(unsealed.count(), 4, "wrong ones leave a record too");

        // A node with a key file on this database is sealed, and makes no key.
        let error = bed.vault.get(&ctx, at("payments/key")).await.unwrap_err();
        assert!(
            error.code == Code::VaultSealed && error.detail.contains("passphrase"),
            "{error}"
        );
    }
    for bed in Bed::all().await {
        bed.put("payments/key", "v").await;
        let other = with_a_passphrase(&bed);
        let refusal = other
            .unseal(&bed.as_role(Role::Admin), SecretString::from(PASSPHRASE))
            .await;
        assert_eq!(
            refused(refusal).0,
            Code::VaultSealed,
            "its root key comes from a file"
        );
        let refusal = bed
            .vault
            .unseal(&bed.as_role(Role::Admin), SecretString::from(PASSPHRASE))
            .await;
        assert_eq!(refused(refusal).0, Code::StateConflict);
    }
}
