//! A few connections behind a fair semaphore. Whoever waits longest is served first; a connection
//! that broke is dropped and replaced on the next use.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{Db, Error, Result, store::Scope};

/// How long a caller waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

type Open = dyn Fn() -> Result<Db> + Send + Sync;

/// Connections to one database.
pub(crate) struct Pool {
    idle: Mutex<Vec<(Db, Option<Scope>)>>,
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    open: Box<Open>,
}

/// One who waits, however the wait ends.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn of(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A right to one connection; taken before the blocking thread is.
pub(crate) type Permit = OwnedSemaphorePermit;

impl Pool {
    pub(crate) fn new(size: usize, open: Box<Open>) -> Self {
        Self {
            idle: Mutex::new(Vec::with_capacity(size)),
            permits: Arc::new(Semaphore::new(size)),
            waiting: AtomicUsize::new(0),
            open,
        }
    }

    /// Waits for one's turn, but not for ever: while the database is away, every turn takes long.
    pub(crate) async fn permit(&self) -> Result<Permit> {
        let _waiting = Waiting::of(&self.waiting);
        let turn = Arc::clone(&self.permits).acquire_owned();
        tokio::time::timeout(PATIENCE, turn)
            .await
            .map_err(|_| Error::Connection("every connection to the database is in use".to_owned()))?
            .map_err(|_| Error::Connection("the store is closed".to_owned()))
    }

    /// How many wait for their turn.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Runs `work` on a connection that sees `scope`. Blocks; call it on a blocking thread.
    pub(crate) fn run<T>(
        &self,
        _permit: Permit,
        scope: Scope,
        work: impl FnOnce(&mut Db) -> Result<T>,
    ) -> Result<T> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let (mut db, seen) = match idle {
            Some(connection) => connection,
            None => ((self.open)()?, None),
        };
        if seen != Some(scope) {
            db.set_scope(scope)?;
        }
        let result = work(&mut db);
        if !result.as_ref().is_err_and(Error::is_broken_connection) {
            self.idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push((db, Some(scope)));
        } else {
            // The others are likely broken too: a restarted server closes them all.
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        result
    }
}
