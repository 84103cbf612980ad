//! Backups are taken from a database in use and put back whole, or not at all.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use aim::backup::{BackupError, check, checksum_file, create, restore};
use aim_audit::Entry;
use aim_core::{Ctx, Timestamp};
use aim_store::{COMMUNITY_MIGRATIONS, DatabaseConfig, Scope, Store};
use aim_testkit::{TestDatabase, seed_organization, start};

fn file_of(database: &TestDatabase) -> PathBuf {
    PathBuf::from(database.url.strip_prefix("sqlite:").unwrap())
}

async fn note(store: &Store, ctx: &Ctx, count: usize) {
    let ctx = ctx.clone();
    store
        .write(ctx.organization, move |db| {
            let entries = (0..count)
                .map(|number| Entry::event(&ctx, "test.made").details(serde_json::json!({"number": number})));
            aim_audit::append(db, entries.collect()).map(|_| ())
        })
        .await
        .unwrap();
}

async fn report(store: &Store, expected: Option<(i64, String)>) -> aim_audit::Report {
    store
        .read(Scope::Installation, move |db| aim_audit::verify(db, expected))
        .await
        .unwrap()
}

async fn open(path: &Path) -> Store {
    let config = DatabaseConfig {
        url: format!("sqlite:{}", path.display()),
        connections: 2,
    };
    Store::connect(&config, vec![COMMUNITY_MIGRATIONS]).await.unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn later(seconds: i64) -> Timestamp {
    start() + chrono::TimeDelta::seconds(seconds)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_write_load_restores_to_a_prefix_of_the_log_that_verifies() {
    let database = TestDatabase::sqlite(vec![COMMUNITY_MIGRATIONS]).await;
    let ctx = seed_organization(&database.store).await.ctx(start());
    note(&database.store, &ctx, 200).await;
    let (store, writing) = (database.store.clone(), Arc::new(AtomicBool::new(true)));
    let writer = tokio::spawn({
        let (ctx, writing) = (ctx.clone(), Arc::clone(&writing));
        async move {
            while writing.load(Ordering::Relaxed) {
                note(&store, &ctx, 3).await;
            }
        }
    });
    let home = tempfile::tempdir().unwrap();
    let mut made = Vec::new();
    for round in 0..5 {
        let (from, to) = (file_of(&database), home.path().join(format!("{round}.backup")));
        let backup = tokio::task::spawn_blocking(move || create(&from, &to, later(round))).await;
        made.push(backup.unwrap().unwrap());
    }
    writing.store(false, Ordering::Relaxed);
    writer.await.unwrap();

    assert!(
        made.windows(2).all(|pair| pair[0].records <= pair[1].records),
        "{made:?}"
    );
    let end = report(&database.store, None).await;
    assert!(end.intact && end.records > made.first().unwrap().records);
    for backup in &made {
        assert_eq!(mode(&backup.file), 0o600);
        assert_eq!(check(&backup.file).unwrap(), *backup);
        // The live log has the backup's head at its place: a prefix.
        let place = (backup.records, backup.head.clone());
        assert!(report(&database.store, Some(place)).await.intact);
        let target = backup.file.with_extension("restored");
        let restored = restore(&backup.file, &target, false, later(9)).unwrap();
        assert_eq!(restored.database.records, backup.records);
        assert_eq!(mode(&target), 0o600);
        let again = open(&target).await;
        let place = (backup.records, backup.head.clone());
        let seen = report(&again, Some(place)).await;
        assert!(seen.intact && seen.records == backup.records);
        // And it can be written to.
        note(&again, &ctx, 1).await;
        assert!(report(&again, None).await.intact);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_over_and_a_database_in_use_is_not_replaced() {
    let database = TestDatabase::sqlite(vec![COMMUNITY_MIGRATIONS]).await;
    let ctx = seed_organization(&database.store).await.ctx(start());
    note(&database.store, &ctx, 10).await;
    let (live, home) = (file_of(&database), tempfile::tempdir().unwrap());
    let to = home.path().join("aim.backup");
    let backup = create(&live, &to, later(1)).unwrap();
    let before = fs::read(&to).unwrap();
    assert!(matches!(
        create(&live, &to, later(2)),
        Err(BackupError::Exists(_))
    ));
    assert_eq!(fs::read(&to).unwrap(), before);
    fs::remove_file(&to).unwrap();
    assert!(
        matches!(create(&live, &to, later(2)), Err(BackupError::Exists(_))),
        "the checksum of another backup is there"
    );
    fs::write(&to, &before).unwrap();
    assert_eq!(names(home.path()), ["aim.backup", "aim.backup.sha256"]);

    note(&database.store, &ctx, 5).await;
    assert!(matches!(
        restore(&to, &live, false, later(3)),
        Err(BackupError::DatabaseExists(_))
    ));
    assert!(matches!(
        restore(&to, &live, true, later(4)),
        Err(BackupError::InUse(_))
    ));
    let unchanged = report(&database.store, None).await;
    assert!(unchanged.intact && unchanged.records == 15);
    assert!(backup.records == 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_force_a_database_that_nobody_uses_is_moved_aside_whole() {
    let home = tempfile::tempdir().unwrap();
    let (live, to) = (home.path().join("aim.db"), home.path().join("aim.backup"));
    // In a process of its own, so that nothing here has it open: what is left is a log that was not folded in.
    let other = home.path().join("other.db");
    let store = open(&other).await;
    let ctx = seed_organization(&store).await.ctx(start());
    note(&store, &ctx, 4).await;
    create(&other, &to, later(1)).unwrap();
    note(&store, &ctx, 3).await;
    for suffix in ["", "-wal", "-shm"] {
        fs::copy(
            format!("{}{suffix}", other.display()),
            format!("{}{suffix}", live.display()),
        )
        .unwrap();
    }
    let restored = restore(&to, &live, true, later(2)).unwrap();
    assert_eq!(restored.database.records, 4);
    let aside = restored.moved_aside.unwrap();
    assert_eq!(check(&aside).unwrap().records, 7, "what was there is not whole");
    assert!(!names(home.path()).iter().any(|name| name.starts_with("aim.db-")));
    let again = open(&live).await;
    assert_eq!(report(&again, None).await.records, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_sound_is_refused_and_leaves_nothing_behind() {
    let database = TestDatabase::sqlite(vec![COMMUNITY_MIGRATIONS]).await;
    let ctx = seed_organization(&database.store).await.ctx(start());
    note(&database.store, &ctx, 400).await;
    let home = tempfile::tempdir().unwrap();
    let good = home.path().join("good");
    create(&file_of(&database), &good, later(1)).unwrap();
    let bytes = fs::read(&good).unwrap();
    let target = home.path().join("data.db");
    let refused = |name: &str, content: &[u8]| {
        let file = home.path().join(name);
        fs::write(&file, content).unwrap();
        let error = restore(&file, &target, false, later(2)).expect_err(name);
        fs::remove_file(&file).unwrap();
        assert!(!target.exists(), "{name}");
        error.to_string()
    };
    assert!(refused("empty", b"").contains("not sound"));
    assert!(
        refused("other", b"not a database at all, but long enough to be looked at").contains("not sound")
    );
    assert!(refused("short", &bytes[..bytes.len() / 2]).contains("not sound"));
    // One letter of a record, which SQLite does not mind.
    // In every place: pages keep leftovers of rows that were moved, which mean nothing.
    let mut altered = bytes.clone();
    let text = br#""action":"test.made"#;
    let places: Vec<usize> = (0..bytes.len() - text.len())
        .filter(|place| bytes[*place..].starts_with(text))
        .collect();
    assert!(places.len() >= 400);
    for place in places {
        altered[place + text.len() - 1] = b'X';
    }
    let told = refused("altered", &altered);
    assert!(told.contains("audit log is not intact"), "{told}");

    // With its checksum beside it, every change is noticed, one after the last record too.
    let mut longer = bytes.clone();
    longer.push(0);
    let file = home.path().join("summed");
    fs::write(&file, &longer).unwrap();
    fs::copy(checksum_file(&good), checksum_file(&file)).unwrap();
    assert!(matches!(
        restore(&file, &target, false, later(3)),
        Err(BackupError::Checksum { .. })
    ));

    // A backup of a database whose log was tampered with is none.
    database
        .sql("UPDATE audit_log SET details = '{}' WHERE leaf_index = 3")
        .await;
    let to = home.path().join("tampered");
    assert!(matches!(
        create(&file_of(&database), &to, later(4)),
        Err(BackupError::Unsound { .. })
    ));
    assert_eq!(
        names(home.path()),
        ["good", "good.sha256", "summed", "summed.sha256"],
        "something was left behind"
    );
}
