//! The root key: where it is, and what happens without it.

use std::{fs, os::unix::fs::PermissionsExt as _};

use aim_core::Code;

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
        std::sync::Arc::make_mut(&mut kernel.config).vault_key_file = Some(elsewhere.clone());
        let verifications = aim_violations::VerificationService::new(&kernel);
        let node = aim_premium::vault::VaultService::new(&kernel, verifications);
        assert_eq!(
            refused(node.put(&bed.manager(), at("other"), wish("v")).await).0,
            Code::VaultSealed
        );
        assert!(!elsewhere.exists());
    }
}
