//! Values that must be found nowhere but in what was opened by the one who may.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::json;

use crate::bed::{Bed, at, wish_of};

pub(crate) const CANARY: &str = "canary-9f2c71ab44d0";

/// Whether the bytes, or their hexadecimal form, stand anywhere.
pub(crate) fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    let hex: String = needle.iter().map(|byte| format!("{byte:02x}")).collect();
    [needle, hex.as_bytes()]
        .iter()
        .any(|needle| memchr::memmem::find(haystack, needle).is_some())
}

/// All that this process logs, at every level, from here on.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    pub(crate) fn kept() -> Self {
        let lines = Self::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
            .with_writer(move || writer.clone());
        assert!(
            subscriber.try_init().is_ok(),
            "one test of this binary keeps the lines"
        );
        lines
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Everything that the database's tables hold, as text.
pub(crate) async fn everything(bed: &Bed) -> Vec<u8> {
    if bed.database.kind == "sqlite" {
        let mut bytes = Vec::new();
        for entry in std::fs::read_dir(bed.database.folder()).unwrap() {
            let path = entry.unwrap().path();
            if path != bed.key_file() {
                bytes.extend(std::fs::read(path).unwrap());
            }
        }
        return bytes;
    }
    use aim_store::diesel::{RunQueryDsl, sql_query, sql_types::Text};
    #[derive(aim_store::diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        text: String,
    }
    bed.kernel
        .store
        .read(aim_store::Scope::Installation, |db| {
            let names = "SELECT tablename::text AS text FROM pg_tables WHERE schemaname = 'public'";
            let names: Vec<Row> = aim_store::each!(db, c => sql_query(names).load(c))?;
            let mut all = Vec::new();
            for name in names {
                let rows = format!("SELECT t::text AS text FROM {} t", name.text);
                let rows: Vec<Row> = aim_store::each!(db, c => sql_query(&rows).load(c))?;
                all.extend(rows.into_iter().flat_map(|row| row.text.into_bytes()));
            }
            Ok(all)
        })
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_value_stands_in_the_database_or_an_answer() {
    for bed in Bed::all().await {
        let ctx = bed.manager();
        let body = json!({
            "kind": "map", "fields": {"a": CANARY, "b": format!("{CANARY}-b")}, "description": "visible-here", "tags": ["t"],
        });
        let mut answers =
            serde_json::to_string(&bed.try_put("payments/key", wish_of(body.clone())).await.unwrap())
                .unwrap();
        bed.try_put("payments/key", wish_of(body)).await.unwrap();
        for view in [
            bed.vault.delete(&ctx, at("payments/key"), Some(2)).await.unwrap(),
            bed.vault.undelete(&ctx, at("payments/key"), 2).await.unwrap(),
            bed.vault.rollback(&ctx, at("payments/key"), 1).await.unwrap(),
            bed.destroy("payments/key", 1).await.unwrap(),
        ] {
            answers += &serde_json::to_string(&view).unwrap();
        }
        let sought = serde_json::from_value(json!({"value": CANARY})).unwrap();
        let found = bed.vault.find_value(&ctx, sought).await.unwrap();
        assert!(found.found);
        answers += &serde_json::to_string(&found).unwrap();
        let read = bed.read("payments/key").await.unwrap();
        assert_eq!(read.opened.unwrap()["fields"]["a"], CANARY);
        answers += &serde_json::to_string(&read.reply).unwrap();
        assert!(!holds(answers.as_bytes(), CANARY.as_bytes()));
        // Refusals, and the failure of what was changed behind AIM's back.
        let bad = wish_of(json!({"kind": "api_key", "fields": {"value": CANARY, "more": CANARY}}));
        let refusal = bed.try_put("payments/key", bad).await.unwrap_err();
        assert!(!format!("{refusal:?}").contains(CANARY));
        bed.put("payments/broken", CANARY).await;
        bed.database
            .sql("UPDATE vault_secrets SET changes = 99 WHERE path = 'payments/broken'")
            .await;
        let broken = bed.read("payments/broken").await.unwrap_err();
        assert!(!format!("{broken:?}").contains(CANARY));

        let all = everything(&bed).await;
        assert!(holds(&all, b"visible-here"), "the search finds what is there");
        assert!(!holds(&all, CANARY.as_bytes()), "{}", bed.database.kind);
    }
}

/// A backup made after a destruction holds no trace of the key, remnants in SQLite's pages included: it is written anew,
/// as `aim backup` does.
#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_a_destroyed_version_stands_in_no_backup_made_afterwards() {
    use aim_store::diesel::{RunQueryDsl, sql_query, sql_types::Binary};
    #[derive(aim_store::diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = Binary)]
        wrapped_key: Vec<u8>,
    }
    for bed in Bed::all().await {
        if bed.database.kind != "sqlite" {
            continue;
        }
        for number in 0..30 {
            bed.put("payments/key", &format!("value {number}")).await;
        }
        let keys: Vec<Row> = bed
            .kernel
            .store
            .read(aim_store::Scope::Installation, |db| {
                let query = "SELECT wrapped_key FROM vault_versions ORDER BY version";
                Ok(aim_store::each!(db, c => sql_query(query).load(c))?)
            })
            .await
            .unwrap();
        assert_eq!(keys.len(), 10);
        bed.destroy("payments/key", 25).await.unwrap();
        // Trims another four.
        for _ in 0..4 {
            bed.put("payments/key", "next").await;
        }
        let copy = bed.database.folder().join("backup.db");
        aim_store::backup::copy(&bed.database.folder().join("aim.db"), &copy).unwrap();
        let file = std::fs::read(copy).unwrap();
        // Versions 21 to 24 were trimmed, 25 destroyed; 26 to 30 are there.
        for (place, row) in keys.iter().enumerate() {
            let found = memchr::memmem::find(&file, &row.wrapped_key).is_some();
            assert_eq!(found, place > 4, "the key of version {}", 21 + place);
        }
    }
}
