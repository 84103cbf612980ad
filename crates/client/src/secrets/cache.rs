//! Secrets kept in memory for a while, as long as the server says nothing against it.
//!
//! What is kept is dropped when the server pushes a change of the secret or of what the agent may read, and wiped. When the
//! server is not heard, nothing is handed out from memory for longer than [`CacheLimits::unheard`]. Nothing is written
//! anywhere.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{task::JoinHandle, time::Instant};

use super::{Secret, SecretError, changes::Change};
use crate::{client::Client, error::Error};

/// How long after a broken connection it is tried again; twice as long each time, up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LAST_PAUSE: Duration = Duration::from_secs(8);
/// How often what may not be handed out any more is wiped.
const SWEEP: Duration = Duration::from_secs(1);

/// How much is kept, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheLimits {
    /// The most secrets; the oldest goes first.
    pub entries: usize,
    /// The longest that one is kept, whatever is heard.
    pub age: Duration,
    /// How long one is handed out after the server was last heard (or the secret was read).
    pub unheard: Duration,
}

impl Default for CacheLimits {
    /// 256 secrets, five minutes, thirty seconds.
    fn default() -> Self {
        Self {
            entries: 256,
            age: Duration::from_secs(300),
            unheard: Duration::from_secs(30),
        }
    }
}

/// A secret's path, and the version that was asked for.
type Key = (String, Option<i64>);

struct Entry {
    secret: Arc<Secret>,
    read_at: Instant,
}

/// The rules, without a clock of their own.
struct Entries {
    limits: CacheLimits,
    kept: HashMap<Key, Entry>,
    heard_at: Option<Instant>,
    /// Raised by everything that drops: what was read before and arrives after is not kept.
    epoch: u64,
}

impl Entries {
    fn new(limits: CacheLimits) -> Self {
        Self {
            limits,
            kept: HashMap::new(),
            heard_at: None,
            epoch: 0,
        }
    }

    fn is_good(&self, entry: &Entry, now: Instant, seconds: i64) -> bool {
        let last = self
            .heard_at
            .map_or(entry.read_at, |heard| heard.max(entry.read_at));
        let ended = entry
            .secret
            .expires_at
            .is_some_and(|end| end.timestamp() <= seconds);
        !ended
            && now.duration_since(entry.read_at) < self.limits.age
            && now.duration_since(last) < self.limits.unheard
    }

    fn get(&self, key: &Key, now: Instant, seconds: i64) -> Option<Arc<Secret>> {
        let entry = self
            .kept
            .get(key)
            .filter(|entry| self.is_good(entry, now, seconds))?;
        Some(Arc::clone(&entry.secret))
    }

    fn keep(&mut self, key: Key, secret: Arc<Secret>, epoch: u64, now: Instant) {
        if epoch != self.epoch || self.limits.entries == 0 {
            return;
        }
        if self.kept.len() >= self.limits.entries
            && !self.kept.contains_key(&key)
            && let Some(oldest) = self
                .kept
                .iter()
                .min_by_key(|(_, entry)| entry.read_at)
                .map(|(key, _)| key.clone())
        {
            self.kept.remove(&oldest);
        }
        let entry = Entry { secret, read_at: now };
        self.kept.insert(key, entry);
    }

    fn forget(&mut self, path: &str) {
        self.epoch += 1;
        self.kept.retain(|(kept, _), _| kept != path);
    }

    fn clear(&mut self) {
        self.epoch += 1;
        self.kept.clear();
    }

    /// Wipes what may not be handed out any more.
    fn sweep(&mut self, now: Instant, seconds: i64) {
        let over: Vec<Key> = self
            .kept
            .iter()
            .filter(|(_, entry)| !self.is_good(entry, now, seconds))
            .map(|(key, _)| key.clone())
            .collect();
        for key in over {
            self.kept.remove(&key);
        }
    }

    fn hear(&mut self, change: &Change, now: Instant) {
        match change {
            Change::Nothing => {}
            Change::Secret { path, .. } => self.forget(path),
            // Before the first event, changes may have been missed.
            Change::Ready | Change::Revoked { .. } => self.clear(),
            // The server does not answer for what comes next.
            Change::Ended { .. } => return,
        }
        self.heard_at = Some(now);
    }
}

struct Shared {
    client: Client,
    entries: Mutex<Entries>,
}

impl Shared {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads secrets as [`Client::read_secret`] does, and keeps them in memory within bounds. Dropping it ends its connection and
/// wipes what it keeps; what was handed out is wiped by whoever holds it.
pub struct SecretCache {
    shared: Arc<Shared>,
    listening: JoinHandle<()>,
}

impl SecretCache {
    /// A cache that keeps nothing yet, and listens to the server from now on. Inside of a tokio runtime.
    ///
    /// # Errors
    /// When the client speaks for no agent.
    pub fn new(client: Client, limits: CacheLimits) -> Result<Self, SecretError> {
        client.identity().ok_or(Error::NoIdentity)?;
        let shared = Arc::new(Shared {
            client,
            entries: Mutex::new(Entries::new(limits)),
        });
        let listening = tokio::spawn(listen(Arc::clone(&shared)));
        Ok(Self { shared, listening })
    }

    /// The secret, from memory if that is good, otherwise read.
    ///
    /// # Errors
    /// As [`Client::read_secret`].
    pub async fn get(&self, path: &str, version: Option<i64>) -> Result<Arc<Secret>, SecretError> {
        let key = (path.to_owned(), version);
        let seconds = self.shared.client.seconds();
        let epoch = {
            let entries = self.shared.entries();
            if let Some(secret) = entries.get(&key, Instant::now(), seconds) {
                return Ok(secret);
            }
            entries.epoch
        };
        let asked_at = Instant::now();
        match self.shared.client.read_secret(path, version).await {
            Ok(secret) => {
                let secret = Arc::new(secret);
                self.shared
                    .entries()
                    .keep(key, Arc::clone(&secret), epoch, asked_at);
                Ok(secret)
            }
            Err(error) => {
                // What may not be read now is not kept from before.
                self.shared.entries().forget(path);
                Err(error)
            }
        }
    }

    /// Forgets the secret: what an API that refuses it calls for.
    pub fn forget(&self, path: &str) {
        self.shared.entries().forget(path);
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.shared.entries().clear();
    }

    /// How many secrets are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.entries().kept.len()
    }

    /// Whether none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl std::fmt::Debug for SecretCache {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("SecretCache")
            .field("secrets", &self.len())
            .finish_non_exhaustive()
    }
}

impl Drop for SecretCache {
    fn drop(&mut self) {
        self.listening.abort();
        self.clear();
    }
}

/// Listens for as long as the cache is there.
async fn listen(shared: Arc<Shared>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let connecting = shared.client.secret_changes();
        match swept(&shared, connecting).await {
            Ok(mut changes) => {
                while let Ok(Some(change)) = swept(&shared, changes.next()).await {
                    pause = FIRST_PAUSE;
                    shared.entries().hear(&change, Instant::now());
                }
            }
            Err(SecretError::Call(Error::Refused(problem))) if matches!(problem.status, 401 | 403) => {
                // The agent is not what it was: nothing that it keeps counts.
                shared.entries().clear();
            }
            Err(_) => {}
        }
        swept(&shared, tokio::time::sleep(pause)).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

/// Waits, and meanwhile wipes what has become too old.
async fn swept<T>(shared: &Shared, waiting: impl Future<Output = T>) -> T {
    let mut waiting = std::pin::pin!(waiting);
    loop {
        tokio::select! {
            done = &mut waiting => return done,
            () = tokio::time::sleep(SWEEP) => {
                let seconds = shared.client.seconds();
                shared.entries().sweep(Instant::now(), seconds);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::Decision;

    fn secret(path: &str, expires_at: Option<i64>) -> Arc<Secret> {
        let decision: Decision =
            serde_json::from_value(serde_json::json!({"id": uuid::Uuid::nil(), "status": "approved"}))
                .unwrap();
        Arc::new(Secret {
            path: path.to_owned(),
            version: 1,
            kind: "api_key".to_owned(),
            expires_at: expires_at.and_then(|at| chrono::DateTime::from_timestamp(at, 0)),
            decision,
            fields: BTreeMap::new(),
        })
    }

    fn key(path: &str) -> Key {
        (path.to_owned(), None)
    }

    fn has(entries: &Entries, path: &str, now: Instant) -> bool {
        entries.get(&key(path), now, 1_000).is_some()
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn without_a_word_of_the_server_nothing_is_handed_out_beyond_the_bound() {
        let start = Instant::now();
        let mut entries = Entries::new(CacheLimits::default());
        entries.keep(key("a"), secret("a", None), 0, start);
        assert!(has(&entries, "a", start + 29 * SECOND));
        assert!(!has(&entries, "a", start + 30 * SECOND));
        // As long as it is heard, up to the age.
        for heard in 1..30 {
            entries.hear(&Change::Nothing, start + 10 * heard * SECOND);
        }
        assert!(has(&entries, "a", start + 299 * SECOND));
        assert!(!has(&entries, "a", start + 300 * SECOND));
        entries.sweep(start + 300 * SECOND, 1_000);
        assert!(entries.kept.is_empty());
    }

    #[test]
    fn an_ended_connection_is_no_word_of_the_server() {
        let start = Instant::now();
        let mut entries = Entries::new(CacheLimits::default());
        entries.keep(key("a"), secret("a", None), 0, start);
        let ended = Change::Ended {
            reason: "stopping".to_owned(),
        };
        entries.hear(&ended, start + 20 * SECOND);
        assert!(has(&entries, "a", start + 29 * SECOND));
        assert!(!has(&entries, "a", start + 30 * SECOND));
    }

    #[test]
    fn a_change_drops_the_secret_and_a_revocation_all_of_them() {
        let now = Instant::now();
        let mut entries = Entries::new(CacheLimits::default());
        for path in ["a", "b"] {
            entries.keep(key(path), secret(path, None), entries.epoch, now);
        }
        let change = Change::Secret {
            path: "a".to_owned(),
            version: Some(2),
            change: "written".to_owned(),
        };
        entries.hear(&change, now);
        assert!(!has(&entries, "a", now) && has(&entries, "b", now));
        let revoked = Change::Revoked {
            reason: "grant".to_owned(),
        };
        for change in [revoked, Change::Ready] {
            entries.keep(key("b"), secret("b", None), entries.epoch, now);
            entries.hear(&change, now);
            assert!(entries.kept.is_empty(), "{change:?}");
        }
    }

    #[test]
    fn what_was_read_before_a_change_and_arrives_after_it_is_not_kept() {
        let now = Instant::now();
        let mut entries = Entries::new(CacheLimits::default());
        let epoch = entries.epoch;
        entries.hear(
            &Change::Revoked {
                reason: String::new(),
            },
            now,
        );
        entries.keep(key("a"), secret("a", None), epoch, now);
        assert!(entries.kept.is_empty());
    }

    #[test]
    fn the_number_is_bounded_and_an_expired_secret_is_not_handed_out() {
        let start = Instant::now();
        let limits = CacheLimits {
            entries: 2,
            ..CacheLimits::default()
        };
        let mut entries = Entries::new(limits);
        for (place, path) in ["a", "b", "c"].into_iter().enumerate() {
            let at = start + SECOND * u32::try_from(place).unwrap();
            entries.keep(key(path), secret(path, None), 0, at);
        }
        let now = start + 3 * SECOND;
        assert_eq!(entries.kept.len(), 2);
        assert!(!has(&entries, "a", now) && has(&entries, "b", now) && has(&entries, "c", now));
        entries.keep(key("c"), secret("c", Some(1_000)), 0, now);
        assert!(!has(&entries, "c", now));
    }
}
