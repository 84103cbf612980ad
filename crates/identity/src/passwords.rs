//! Hashing passwords without hurting anything else: on blocking threads, two at a time, and never
//! inside a transaction.

use std::sync::Arc;

use aim_core::{Code, Error, Result};
use aim_crypto::{
    password::{self, PasswordError},
    secret::SecretString,
};
use tokio::sync::Semaphore;

/// How many hashes are computed at once: each takes 19 MiB and a core.
const AT_ONCE: usize = 2;
/// How many callers may wait for their turn before more are turned away.
const WAITING: usize = 128;

/// The one place that hashes passwords. Cloning shares its limits.
#[derive(Clone)]
pub struct Passwords {
    turns: Arc<Semaphore>,
    queue: Arc<Semaphore>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self::new()
    }
}

impl Passwords {
    /// With limits of its own.
    #[must_use]
    pub fn new() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            queue: Arc::new(Semaphore::new(WAITING)),
        }
    }

    /// Checks the rule for new passwords and hashes one; the refusal names `field`.
    ///
    /// # Errors
    /// `request.field_invalid` with what is wrong, `limit.requests` when too many wait.
    pub async fn hash_new(&self, password: &SecretString, field: &'static str) -> Result<String> {
        password::check_password_strength(password)
            .map_err(|error| Error::field(field, error.to_string()))?;
        self.hash(password).await
    }

    /// Hashes a password that was accepted before.
    ///
    /// # Errors
    /// `limit.requests` when too many wait, `server.internal` without memory or randomness.
    pub async fn hash(&self, password: &SecretString) -> Result<String> {
        let password = password.clone();
        self.in_turn(move || password::hash_password(&password))
            .await?
            .map_err(|error: PasswordError| Error::internal(error))
    }

    /// Whether `password` fits `hash`. Without a hash the same work is done and the answer is no, so
    /// that the time tells nothing about the account.
    ///
    /// # Errors
    /// `limit.requests` when too many wait.
    pub async fn fits(&self, password: &SecretString, hash: Option<String>) -> Result<bool> {
        let password = password.clone();
        self.in_turn(move || {
            let known = hash.is_some();
            let hash = hash.as_deref().unwrap_or_else(|| password::dummy_hash());
            password::verify_password(&password, hash) && known
        })
        .await
    }

    async fn in_turn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let _place = self.queue.try_acquire().map_err(|_| {
            Error::new(Code::RateLimited, "too many sign-ins are waiting at this moment").retry_after(2)
        })?;
        let turn = Arc::clone(&self.turns)
            .acquire_owned()
            .await
            .map_err(Error::internal)?;
        // The turn moves along: a caller that hangs up does not free it while the hash is computed.
        tokio::task::spawn_blocking(move || {
            let result = work();
            drop(turn);
            result
        })
        .await
        .map_err(Error::internal)
    }
}
