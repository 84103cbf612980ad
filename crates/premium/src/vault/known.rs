//! Secrets as the rows had them a moment ago, encrypted as they are, so that a secret that is read again and again is not looked up
//! anew at each decision. On SQLite alone, where one connection writes: what it changed itself it counted, and of changes by anybody
//! else SQLite tells. On PostgreSQL nothing is kept here.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use aim_core::OrganizationId;
use aim_store::Db;
use moka::sync::Cache;

use super::{model::SecretId, path::SecretPath, reads::Found};

/// The most bytes that are kept, counted roughly.
const KEPT: u64 = 10 * 1024 * 1024;
/// A larger secret is looked up each time: there would be room for few.
const LARGEST: usize = 16 * 1024;
/// How many keys are remembered as having been looked up, whether or not they are kept.
const SIGHTS: u64 = 32_768;
/// What an entry takes beside what differs from secret to secret, with what the cache needs for it.
const OVERHEAD: usize = 1_100;
/// For how long what is known counts, should the file have been changed past SQLite.
const COUNTS_FOR: Duration = Duration::from_secs(10);

/// Changes of secrets that this process wrote, by the lowest bits of their ids: two that share a number only look each other up once
/// more often. Counted where they are written, whether or not they are committed.
static CHANGES: [AtomicU64; 4096] = [const { AtomicU64::new(0) }; 4096];
/// Changes of the root key, which sealing the vault is one of.
static ROOT_CHANGES: AtomicU64 = AtomicU64::new(0);

fn changes_of(secret: SecretId) -> &'static AtomicU64 {
    let [.., high, low] = *secret.uuid().as_bytes();
    let number = usize::from(u16::from_be_bytes([high, low])) % CHANGES.len();
    // It is always there; the other one would only be counted too often.
    CHANGES.get(number).unwrap_or(&ROOT_CHANGES)
}

/// Counts a change of a secret's rows, in the transaction that writes it.
pub(super) fn changed(secret: SecretId) {
    changes_of(secret).fetch_add(1, Ordering::Relaxed);
}

/// Counts a change of the root key, in the transaction that writes it.
pub(super) fn root_changed() {
    ROOT_CHANGES.fetch_add(1, Ordering::Relaxed);
}

/// Which changes there were when a transaction looked a secret up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    elsewhere: i64,
    secret: u64,
    root: u64,
}

impl Moment {
    /// The present moment of the transaction that `db` is in, for a secret; none where nothing is to be kept.
    pub(super) fn of(db: &Db, secret: SecretId) -> Option<Self> {
        Some(Self {
            elsewhere: db.data_version()?,
            secret: changes_of(secret).load(Ordering::Relaxed),
            root: ROOT_CHANGES.load(Ordering::Relaxed),
        })
    }
}

/// A secret's path in its organisation, and the version that is asked for; none: the newest.
pub(super) type Key = (OrganizationId, SecretPath, Option<i64>);

/// Which keys were looked up before, by marks in places that they share, each of which has the latest: what is looked up for the first
/// time is not kept, or a walk through a million secrets would fill the memory with what nobody asks for again. To forget one, or to
/// take it for another, only makes a difference in speed.
struct Sights {
    marks: Box<[AtomicU32]>,
    hasher: RandomState,
}

impl Default for Sights {
    fn default() -> Self {
        Self {
            marks: (0..SIGHTS).map(|_| AtomicU32::default()).collect(),
            hasher: RandomState::new(),
        }
    }
}

impl Sights {
    /// Notes that a key was looked up, and tells whether it was the latest at its place already.
    fn again(&self, key: &Key) -> bool {
        let hash = self.hasher.hash_one(key);
        let place = usize::try_from(hash % SIGHTS).unwrap_or_default();
        let seen = u32::try_from(hash >> 32).unwrap_or_default();
        let mark = self.marks.get(place);
        mark.is_some_and(|mark| mark.swap(seen, Ordering::Relaxed) == seen)
    }
}

/// The secrets that are known; clones share them.
#[derive(Clone)]
pub(super) struct KnownSecrets {
    kept: Cache<Key, (Moment, Arc<Found>)>,
    sights: Arc<Sights>,
}

impl Default for KnownSecrets {
    fn default() -> Self {
        let kept = Cache::builder()
            .max_capacity(KEPT)
            .weigher(|(_, path, _): &Key, (_, found): &(Moment, Arc<Found>)| {
                u32::try_from(path.as_str().len() + found.size() + OVERHEAD).unwrap_or(u32::MAX)
            })
            .time_to_live(COUNTS_FOR)
            .build();
        Self {
            kept,
            sights: Arc::default(),
        }
    }
}

impl KnownSecrets {
    /// What a transaction would find now, if nothing has changed since it was found. The vault was not sealed then, and is not now.
    pub(super) fn get(&self, db: &Db, key: &Key) -> Option<Arc<Found>> {
        let (moment, found) = self.kept.get(key)?;
        (Moment::of(db, found.stored.row.id) == Some(moment)).then_some(found)
    }

    /// Keeps what a transaction found that is committed by now, of a vault that is not sealed.
    pub(super) fn keep(&self, key: Key, moment: Moment, found: Arc<Found>) {
        // What was changed meanwhile would only lie there.
        let is_present = changes_of(found.stored.row.id).load(Ordering::Relaxed) == moment.secret;
        if is_present && found.size() <= LARGEST && self.sights.again(&key) {
            self.kept.insert(key, (moment, found));
        }
    }

    /// Keeps it no longer. Its memory is given back when the cache is tidied, as soon as it is used again.
    pub(super) fn forget(&self, key: &Key) {
        self.kept.invalidate(key);
    }

    /// Gives back the memory of what counts no more.
    pub(super) fn tidy(&self) {
        self.kept.run_pending_tasks();
    }
}

#[cfg(test)]
mod tests {
    use aim_core::Id;
    use aim_store::{COMMUNITY_MIGRATIONS, Scope};
    use aim_testkit::TestDatabase;
    use uuid::Uuid;

    use super::*;
    use crate::PREMIUM_MIGRATIONS;

    const SECRET: u128 = 7;

    fn key() -> Key {
        let organization = Id::from_uuid(Uuid::from_u128(1));
        (organization, SecretPath::parse("payments/one").unwrap(), None)
    }

    fn secret(number: u128) -> SecretId {
        Id::from_uuid(Uuid::from_u128(number))
    }

    /// Whether a transaction of the writer finds it, and the moment that it has.
    async fn asked(database: &TestDatabase, known: &KnownSecrets) -> (bool, Moment) {
        let known = known.clone();
        let asked = database.store.write(Scope::Installation, move |db| {
            Ok((known.get(db, &key()).is_some(), Moment::of(db, secret(SECRET))))
        });
        let (found, moment) = asked.await.unwrap();
        (found, moment.unwrap())
    }

    async fn keep(database: &TestDatabase, known: &KnownSecrets) {
        let (_, moment) = asked(database, known).await;
        // What was looked up once is not kept, and may have been looked up before.
        for _ in 0..2 {
            known.keep(key(), moment, Arc::new(Found::of(secret(SECRET), 100)));
        }
        assert!(asked(database, known).await.0);
    }

    /// One test, since the counters are the process's.
    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_known_counts_until_anybody_changes_it() {
        let database = TestDatabase::sqlite(vec![COMMUNITY_MIGRATIONS, PREMIUM_MIGRATIONS]).await;
        let known = KnownSecrets::default();
        let (_, moment) = asked(&database, &known).await;
        known.keep(key(), moment, Arc::new(Found::of(secret(SECRET), 100)));
        assert!(!asked(&database, &known).await.0);
        keep(&database, &known).await;
        // A change that shares no number with it.
        changed(secret(SECRET + 1));
        assert!(asked(&database, &known).await.0);

        changed(secret(SECRET));
        assert!(!asked(&database, &known).await.0);
        keep(&database, &known).await;

        root_changed();
        assert!(!asked(&database, &known).await.0);
        keep(&database, &known).await;

        // Another connection, as another process would have it.
        database.sql("DELETE FROM vault_secrets").await;
        assert!(!asked(&database, &known).await.0);
        keep(&database, &known).await;

        known.forget(&key());
        assert!(!asked(&database, &known).await.0);

        // Only a transaction of the writer knows whether it counts.
        keep(&database, &known).await;
        let by_a_reader = {
            let known = known.clone();
            database.store.read(Scope::Installation, move |db| {
                Ok((known.get(db, &key()).is_some(), Moment::of(db, secret(SECRET))))
            })
        };
        assert_eq!(by_a_reader.await.unwrap(), (false, None));

        // What counts no more is let go of although nobody asks.
        known.tidy();
        assert_eq!(known.kept.entry_count(), 1);
        known.forget(&key());
        known.tidy();
        assert_eq!(known.kept.entry_count(), 0);

        // Nothing is kept that is large, or was changed before it could be kept.
        let (_, moment) = asked(&database, &known).await;
        known.forget(&key());
        known.keep(key(), moment, Arc::new(Found::of(secret(SECRET), LARGEST + 1)));
        assert!(!asked(&database, &known).await.0);
        changed(secret(SECRET));
        known.keep(key(), moment, Arc::new(Found::of(secret(SECRET), 100)));
        assert!(known.kept.get(&key()).is_none());
    }
}
