//! Rows that were changed behind AIM's back.

use aim_core::Code;
use aim_premium::vault::VaultService;
use aim_store::Scope;

use crate::bed::{Bed, at, refused};

/// Two secrets of two versions each, the first version of the first deleted.
async fn prepared(bed: &Bed) {
    for path in ["payments/one", "payments/two"] {
        bed.put(path, &format!("{path} old")).await;
        bed.put(path, &format!("{path} new")).await;
    }
    bed.vault
        .delete(&bed.manager(), at("payments/one"), Some(1))
        .await
        .unwrap();
    assert_eq!(
        bed.read("payments/one").await.unwrap().value(),
        "payments/one new"
    );
}

/// Reading `path` is refused, and says so; what else there is can be read.
async fn assert_refused(bed: &Bed, vault: &VaultService, path: &str, what: &str) {
    let read = bed.read_by(vault, &bed.as_agent(), path, None).await;
    let error = read.unwrap_err();
    assert_eq!(error.code, Code::VaultIntegrity, "{what}: {error}");
    assert!(!error.detail.is_empty(), "{what}");
}

const ONE: &str = "(SELECT id FROM vault_secrets WHERE path = 'payments/one')";
const TWO: &str = "(SELECT id FROM vault_secrets WHERE path = 'payments/two')";

/// Exchanges columns of the newest versions of both secrets.
fn swap(columns: &[&str]) -> String {
    let sets: Vec<String> = columns
        .iter()
        .map(|column| format!("{column} = (SELECT {column} FROM swapped WHERE swapped.secret_id <> vault_versions.secret_id)"))
        .collect();
    format!(
        "CREATE TABLE swapped AS SELECT secret_id, {} FROM vault_versions WHERE version = 2;
         UPDATE vault_versions SET {} WHERE version = 2;
         DROP TABLE swapped;",
        columns.join(", "),
        sets.join(", ")
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn exchanged_rows_are_refused() {
    for columns in [
        &["ciphertext"][..],
        &["wrapped_key"],
        &["wrapped_key", "ciphertext"],
    ] {
        for bed in Bed::all().await {
            prepared(&bed).await;
            bed.database.sql(&swap(columns)).await;
            for path in ["payments/one", "payments/two"] {
                assert_refused(&bed, &bed.vault, path, &format!("{columns:?} exchanged")).await;
            }
        }
    }
    for bed in Bed::all().await {
        prepared(&bed).await;
        bed.database
            .sql(
                "UPDATE vault_secrets SET path = 'x' WHERE path = 'payments/one';
                  UPDATE vault_secrets SET path = 'payments/one' WHERE path = 'payments/two';
                  UPDATE vault_secrets SET path = 'payments/two' WHERE path = 'x';",
            )
            .await;
        for path in ["payments/one", "payments/two"] {
            assert_refused(&bed, &bed.vault, path, "paths exchanged").await;
        }
    }
    for bed in Bed::all().await {
        prepared(&bed).await;
        bed.database
            .sql(&format!(
                "UPDATE vault_versions SET version = version + 10 WHERE secret_id = {TWO};
                 UPDATE vault_versions SET version = 13 - version WHERE secret_id = {TWO};"
            ))
            .await;
        assert_refused(&bed, &bed.vault, "payments/two", "versions exchanged").await;
        assert_eq!(
            bed.read("payments/one").await.unwrap().value(),
            "payments/one new"
        );
    }
}

/// On SQLite a read is answered from what the one before it found, until anybody else writes to the file.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_of_a_secret_ends_with_a_write_by_anybody_else() {
    let bed = Bed::all().await.remove(0);
    assert_eq!(bed.database.kind, "sqlite");
    prepared(&bed).await;
    let exchange = || {
        let statement = swap(&["ciphertext"]);
        let write = bed
            .database
            .store
            .write(Scope::Installation, move |db| db.execute(&statement));
        async { write.await.unwrap() }
    };
    // By the connection that writes, past all code that counts its changes: only what is kept can still be right. The counters are
    // the process's: another test may just then have changed something.
    let mut answered = false;
    for _ in 0..50 {
        assert!(bed.read("payments/one").await.is_ok());
        exchange().await;
        if let Ok(read) = bed.read("payments/one").await {
            assert_eq!(read.value(), "payments/one new");
            answered = true;
            break;
        }
        exchange().await;
    }
    assert!(answered, "nothing was kept in fifty attempts");
    bed.database
        .sql("UPDATE vault_secrets SET description = 'other' WHERE path = 'payments/two'")
        .await;
    assert_refused(&bed, &bed.vault, "payments/one", "exchanged before").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_that_were_cut_off_or_turned_back_are_refused() {
    for statement in [
        // The newest version is gone, and the row says so too.
        format!(
            "DELETE FROM vault_versions WHERE secret_id = {ONE} AND version = 2;
             UPDATE vault_secrets SET current_version = 1 WHERE path = 'payments/one';"
        ),
        format!("DELETE FROM vault_versions WHERE secret_id = {ONE} AND version = 2"),
        format!("DELETE FROM vault_versions WHERE secret_id = {ONE} AND version = 1"),
        // A deleted version is made readable.
        format!("UPDATE vault_versions SET state = 'active' WHERE secret_id = {ONE} AND version = 1"),
        "UPDATE vault_secrets SET changes = changes - 1 WHERE path = 'payments/one'".to_owned(),
        "UPDATE vault_secrets SET expires_at = created_at WHERE path = 'payments/one'".to_owned(),
        "UPDATE vault_secrets SET max_versions = 99 WHERE path = 'payments/one'".to_owned(),
        format!(
            "UPDATE vault_secrets SET head = (SELECT head FROM vault_secrets WHERE id = {TWO}) WHERE path = 'payments/one'"
        ),
    ] {
        for bed in Bed::all().await {
            prepared(&bed).await;
            bed.database.sql(&statement).await;
            assert_refused(&bed, &bed.vault, "payments/one", &statement).await;
            let ctx = bed.manager();
            assert_eq!(
                refused(bed.vault.get(&ctx, at("payments/one")).await).0,
                Code::VaultIntegrity
            );
            let delete = bed.vault.delete(&ctx, at("payments/one"), None).await;
            assert_eq!(refused(delete).0, Code::VaultIntegrity);
            assert_eq!(
                bed.read("payments/two").await.unwrap().value(),
                "payments/two new"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organisations_keys_that_were_exchanged_are_refused() {
    for bed in Bed::all().await {
        prepared(&bed).await;
        bed.database
            .sql("CREATE TABLE swapped AS SELECT id, wrapped FROM vault_keys;
                  UPDATE vault_keys SET wrapped = (SELECT wrapped FROM swapped WHERE swapped.id <> vault_keys.id);
                  DROP TABLE swapped;")
            .await;
        assert_refused(&bed, &bed.restarted(), "payments/one", "keys exchanged").await;
    }
    for bed in Bed::all().await {
        prepared(&bed).await;
        bed.database
            .sql("DELETE FROM vault_keys WHERE purpose = 'index'")
            .await;
        assert_refused(&bed, &bed.restarted(), "payments/one", "a key is missing").await;
    }
}

/// All rows of one secret fit together as they were once, head and all: the log knows of a later change.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_secret_that_were_all_put_back_are_refused_by_the_log() {
    for bed in Bed::all().await {
        prepared(&bed).await;
        bed.database
            .sql(&format!(
                "CREATE TABLE once_secret AS SELECT * FROM vault_secrets WHERE id = {ONE};
                 CREATE TABLE once_versions AS SELECT * FROM vault_versions WHERE secret_id = {ONE};"
            ))
            .await;
        // Read before the change, often enough to be known, and not after it: what this node knows of the older rows counts no more.
        for _ in 0..2 {
            assert_eq!(
                bed.read("payments/one").await.unwrap().value(),
                "payments/one new"
            );
        }
        bed.put("payments/one", "payments/one newest").await;
        bed.database
            .sql(&format!(
                "DELETE FROM vault_versions WHERE secret_id = {ONE};
                 INSERT INTO vault_versions SELECT * FROM once_versions;
                 UPDATE vault_secrets SET
                   (current_version, oldest_version, changes, head, updated_at) =
                   (SELECT current_version, oldest_version, changes, head, updated_at FROM once_secret)
                 WHERE id = {ONE};"
            ))
            .await;
        for vault in [&bed.vault, &bed.restarted()] {
            assert_refused(&bed, vault, "payments/one", "all rows put back").await;
            let (code, detail) = {
                let error = vault.get(&bed.manager(), at("payments/one")).await.unwrap_err();
                (error.code, error.detail)
            };
            assert_eq!(code, Code::VaultIntegrity);
            assert!(detail.contains("turned back"), "{detail}");
            let delete = vault.delete(&bed.manager(), at("payments/one"), None).await;
            assert_eq!(refused(delete).0, Code::VaultIntegrity);
        }
        assert_eq!(
            bed.read("payments/two").await.unwrap().value(),
            "payments/two new"
        );
    }
}
