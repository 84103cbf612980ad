//! SQLite's one writer. It takes what has queued up, runs each piece in a savepoint of one
//! transaction, commits once, and only then answers: durable before the reply, one sync for many.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use crate::{Db, Error, Result};

/// The most pieces of work in one transaction.
const BATCH: usize = 256;
/// How many pieces may wait; beyond that callers wait for room.
const QUEUE: usize = 4096;

/// How long the checkpointer waits after it was woken: under load the same pages are written by batch after batch, and are
/// copied once for all of them.
const GATHERING: Duration = Duration::from_millis(50);

/// When a piece of work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Somebody waits for it: with the next transaction.
    Next,
    /// It follows what happened: one a transaction, so that several which take long hold up nobody at once.
    Behind,
}

/// A piece of work in the queue.
pub(crate) trait Work: Send {
    /// Runs inside the transaction. `false` asks for a rollback of this piece alone.
    fn run(&mut self, db: &mut Db) -> bool;
    /// Answers the caller, once the fate of the transaction is known.
    fn finish(self: Box<Self>, failure: Option<&str>);
}

/// A closure in the queue, with its result until the commit.
pub(crate) struct Piece<T, F> {
    pub(crate) work: F,
    pub(crate) result: Option<Result<T>>,
    pub(crate) reply: oneshot::Sender<Result<T>>,
}

impl<T: Send, F: Fn(&mut Db) -> Result<T> + Send> Work for Piece<T, F> {
    fn run(&mut self, db: &mut Db) -> bool {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (self.work)(db)))
            .unwrap_or_else(|_| Err(Error::Corrupt("a write panicked".to_owned())));
        let keep = result.is_ok();
        self.result = Some(result);
        keep
    }

    fn finish(self: Box<Self>, failure: Option<&str>) {
        let result = match (self.result, failure) {
            (Some(Ok(_)) | None, Some(failure)) => Err(Error::Connection(failure.to_owned())),
            (Some(result), _) => result,
            (None, None) => Err(Error::Connection("the write was not run".to_owned())),
        };
        // The caller may have gone away; what was committed stays committed.
        let _ = self.reply.send(result);
    }
}

/// Copies SQLite's log into the database on a thread and a connection of its own, soon after every batch, so that
/// the writer does not stop for it. The writer's own checkpoint is only the backstop, which keeps the log
/// short under a load that never pauses: a long log makes every search in it slower, and a backstop that
/// finds little left to copy is over soon.
struct Checkpointer(SyncSender<()>);

impl Checkpointer {
    fn start(mut db: Db) -> Result<Self> {
        let (wake, woken) = sync_channel::<()>(1);
        std::thread::Builder::new()
            .name("aim-checkpoint".to_owned())
            .spawn(move || {
                while woken.recv().is_ok() {
                    let until = Instant::now() + GATHERING;
                    while let Some(left) = until.checked_duration_since(Instant::now()) {
                        // Woken once more: still the same gathering. An error is the end of it, or of the writer.
                        if woken.recv_timeout(left).is_err() {
                            break;
                        }
                    }
                    // PASSIVE never waits for a reader or the writer; what it leaves is for the next one.
                    if let Err(error) = db.execute("PRAGMA wal_checkpoint(PASSIVE)") {
                        tracing::warn!(%error, "the log could not be copied into the database");
                    }
                }
            })
            .map_err(|error| Error::Connection(error.to_string()))?;
        Ok(Self(wake))
    }

    fn note_batch(&self) {
        // When it is busy still, it is woken once more afterwards.
        let _ = self.0.try_send(());
    }
}

/// The way to the writer's thread.
#[derive(Clone)]
pub(crate) struct Writer {
    queue: SyncSender<(Turn, Box<dyn Work>)>,
    waiting: Arc<AtomicUsize>,
}

impl Writer {
    /// Starts the writer's thread on a connection of its own, and another one for checkpoints.
    pub(crate) fn start(db: Db, checkpoints: Db) -> Result<Self> {
        let checkpointer = Checkpointer::start(checkpoints)?;
        let (queue, receiver) = sync_channel(QUEUE);
        let waiting = Arc::<AtomicUsize>::default();
        let left = Arc::clone(&waiting);
        std::thread::Builder::new()
            .name("aim-writer".to_owned())
            .spawn(move || drive(db, checkpointer, &receiver, &left))
            .map_err(|error| Error::Connection(error.to_string()))?;
        Ok(Self { queue, waiting })
    }

    /// Queues a piece of work; refuses at once when the queue is full.
    pub(crate) fn submit(&self, turn: Turn, work: Box<dyn Work>) -> Result<()> {
        // Counted before it is sent: the writer may have taken it by the time that sending returns.
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.queue.try_send((turn, work)).map_err(|_| {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            Error::Connection("the write queue is full".to_owned())
        })
    }

    /// How many pieces wait, or are being written.
    pub(crate) fn depth(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

/// Gathers a transaction, for which it waits: what is of the next one, and then the first of what is put behind. `false` when
/// nobody can send any more and nothing is left.
fn gather(
    queue: &Receiver<(Turn, Box<dyn Work>)>,
    batch: &mut Vec<Box<dyn Work>>,
    behind: &mut VecDeque<Box<dyn Work>>,
) -> bool {
    let mut sort = |(turn, work), behind: &mut VecDeque<_>| match turn {
        Turn::Next => batch.push(work),
        Turn::Behind => behind.push_back(work),
    };
    if behind.is_empty() {
        match queue.recv() {
            Ok(first) => sort(first, behind),
            Err(_) => return false,
        }
    }
    for next in queue.try_iter().take(BATCH) {
        sort(next, behind);
    }
    batch.extend(behind.pop_front());
    true
}

fn drive(
    mut db: Db,
    checkpointer: Checkpointer,
    queue: &Receiver<(Turn, Box<dyn Work>)>,
    waiting: &AtomicUsize,
) {
    let mut batch: Vec<Box<dyn Work>> = Vec::with_capacity(BATCH);
    let mut behind: VecDeque<Box<dyn Work>> = VecDeque::new();
    while gather(queue, &mut batch, &mut behind) {
        let started = Instant::now();
        let size = batch.len();
        let mark = db.mark();
        let failure = commit(&mut db, &mut batch).err().map(|error| error.to_string());
        metrics::histogram!("aim_writer_batch_size")
            .record(f64::from(u32::try_from(size).unwrap_or(u32::MAX)));
        metrics::histogram!("aim_writer_commit_seconds").record(started.elapsed().as_secs_f64());
        if let Some(failure) = &failure {
            tracing::error!(%failure, size, "a batch of writes could not be committed");
            let _ = db.execute("ROLLBACK");
            db.back_to(mark);
        }
        waiting.fetch_sub(size, Ordering::Relaxed);
        for work in batch.drain(..) {
            work.finish(failure.as_deref());
        }
        checkpointer.note_batch();
    }
}

/// Runs the whole batch in one transaction. An error means that nothing of it was committed.
fn commit(db: &mut Db, batch: &mut [Box<dyn Work>]) -> Result<()> {
    db.begin()?;
    if let [only] = batch {
        let mark = db.mark();
        let keep = only.run(db);
        if !keep {
            db.back_to(mark);
        }
        return db.execute(if keep { "COMMIT" } else { "ROLLBACK" });
    }
    for work in batch.iter_mut() {
        let mark = db.mark();
        db.execute("SAVEPOINT piece")?;
        if work.run(db) {
            db.execute("RELEASE piece")?;
        } else {
            db.execute("ROLLBACK TO piece; RELEASE piece")?;
            db.back_to(mark);
        }
    }
    db.execute("COMMIT")
}
