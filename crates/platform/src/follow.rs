//! Following the audit log. Every change and decision is a record there, in one order and committed with what
//! it tells of; so the log is what activity, trust, alerts and threat detection are made from. A follower is
//! given the records in order, by one node at a time, and says what is to be written about them; that is
//! committed together with its place in the log, so each record takes effect exactly once.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aim_audit::Record;
use aim_core::{Result, Timestamp};
use aim_store::{
    Db, Scope, Store, each, followers,
    schema::{audit_head, audit_log},
};
use chrono::TimeDelta;
use diesel::{ExpressionMethods, QueryDsl, RunQueryDsl, SelectableHelper};

use crate::Kernel;

/// The most records that a follower is given at once. A record in memory takes about 1.3 KB.
const BATCH: i64 = 1_000;
/// How often the log is looked at: as it grows at the most, that is after two or three batches.
const LOOK: Duration = Duration::from_millis(250);
/// For how long a place that moved without effects may stay in memory alone.
const UNSTORED: TimeDelta = TimeDelta::seconds(10);
/// How long a node keeps a follower that it does not prolong.
const LEASE: TimeDelta = TimeDelta::seconds(15);
/// When a lease that is still good is prolonged.
const PROLONG: TimeDelta = TimeDelta::seconds(5);

/// What a follower wants written about a batch; run in the transaction that moves its place. May run more
/// than once. An audit record is appended last.
pub type Effect = Box<dyn Fn(&mut Db) -> aim_store::Result<()> + Send>;

type Considering = Pin<Box<dyn Future<Output = Result<Option<Effect>>> + Send>>;

/// Somebody who follows the log.
///
/// Records come in order and are never skipped, but a batch can come again after a failure, and another node
/// may have read those before: what a follower keeps in memory must be built up from the database when the
/// first index of a batch is not the one after its last.
#[derive(Clone)]
pub struct Follower {
    /// A name that stays, as the follower's row has it.
    pub name: &'static str,
    /// Whether a new follower reads what the log already holds.
    pub from_the_start: bool,
    /// The most records that it is given at once, where its effect on many would hold up the one writer for too long.
    pub at_most: usize,
    /// Looks at the records of all organisations, reads what it needs, and answers what is to be written.
    pub consider: Arc<dyn Fn(Timestamp, Arc<[Record]>) -> Considering + Send + Sync>,
}

impl Follower {
    /// A follower that is given each batch with the present moment.
    pub fn new<F, Fut>(name: &'static str, from_the_start: bool, consider: F) -> Self
    where
        F: Fn(Timestamp, Arc<[Record]>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Option<Effect>>> + Send + 'static,
    {
        Self {
            name,
            from_the_start,
            at_most: usize::MAX,
            consider: Arc::new(move |now, records| Box::pin(consider(now, records))),
        }
    }

    /// Gives it at most `records` at once.
    #[must_use]
    pub fn at_most(self, records: usize) -> Self {
        Self {
            at_most: records,
            ..self
        }
    }
}

/// The records from `from` on, at most `limit`.
///
/// # Errors
/// The database's.
pub fn records_from(db: &mut Db, from: i64, limit: i64) -> aim_store::Result<Vec<Record>> {
    Ok(each!(db, c => audit_log::table
        .filter(audit_log::leaf_index.ge(from))
        .order(audit_log::leaf_index.asc())
        .limit(limit)
        .select(Record::as_select())
        .load(c))?)
}

/// How many records the log has.
///
/// # Errors
/// The database's.
pub async fn log_size(store: &Store) -> Result<i64> {
    store.read(Scope::Installation, records_count).await
}

/// How many records the log has.
pub(crate) fn records_count(db: &mut Db) -> aim_store::Result<i64> {
    Ok(each!(db, c => audit_head::table.find(1).select(audit_head::size).get_result(c))?)
}

/// The batches that were read last and that somebody has yet to see. The followers of a node go on at nearly the same place, so what
/// one of them read serves the others: the log is read about once, however many follow it. Records never change, but for details that
/// are erased; a follower may still be given what was erased a moment ago.
#[derive(Default)]
struct Shelf {
    batches: VecDeque<Arc<[Record]>>,
    /// Where each follower of this node reads next, by its index; none for those that another node has.
    places: Vec<Option<i64>>,
}

/// The most batches that are kept for the others: more than the log grows by between two looks, or those who come last would find
/// the first of them gone, and read all of it anew.
const SHELF: usize = 4;

impl Shelf {
    /// The batch that has the record `from`, if somebody has read it just now.
    fn kept(&self, from: i64) -> Option<&Arc<[Record]>> {
        self.batches.iter().find(|batch| {
            batch
                .first()
                .zip(batch.last())
                .is_some_and(|(first, last)| (first.leaf_index..=last.leaf_index).contains(&from))
        })
    }

    fn put(&mut self, batch: Arc<[Record]>) {
        self.batches.push_back(batch);
        while self.batches.len() > SHELF {
            self.batches.pop_front();
        }
    }

    /// Notes where a follower reads next, and lets go of what everybody has seen.
    fn note(&mut self, follower: usize, next: Option<i64>) {
        if self.places.len() <= follower {
            self.places.resize(follower + 1, None);
        }
        if let Some(place) = self.places.get_mut(follower) {
            *place = next;
        }
        let first = self.places.iter().flatten().min().copied();
        self.batches.retain(|batch| {
            batch
                .last()
                .zip(first)
                .is_some_and(|(last, first)| last.leaf_index >= first)
        });
    }
}

/// Runs the followers of this node.
#[derive(Clone)]
pub struct FollowRunner {
    kernel: Kernel,
    followers: Arc<[Follower]>,
    shelf: Arc<Mutex<Shelf>>,
}

/// One follower as this node sees it.
struct Held {
    /// What is read next.
    next: i64,
    /// The place in the database: batches without effects do not move it each time. What comes again after a
    /// crash had none.
    stored: i64,
    stored_at: Timestamp,
    until: Timestamp,
}

/// The records of a batch from `from` on, at most `most`: the batch itself where that is all of it.
fn part_of(batch: &Arc<[Record]>, from: i64, most: usize) -> Arc<[Record]> {
    let skipped = batch.iter().take_while(|record| record.leaf_index < from).count();
    if skipped == 0 && batch.len() <= most {
        return Arc::clone(batch);
    }
    batch.iter().skip(skipped).take(most).cloned().collect()
}

/// What a step found.
enum Found {
    /// The log ends here, or another node follows.
    Nothing,
    /// Records, and there may be more to read at once.
    More,
    /// Records, up to the end.
    Last,
}

impl FollowRunner {
    /// A runner of `followers`.
    #[must_use]
    pub fn new(kernel: Kernel, followers: Vec<Follower>) -> Self {
        Self {
            kernel,
            followers: followers.into(),
            shelf: Arc::default(),
        }
    }

    /// The records from `from` on, at most `most` and at most a batch of them; none when the log ends there.
    async fn batch_from(&self, from: i64, most: usize) -> Result<Option<Arc<[Record]>>> {
        let kept = self.shelf().kept(from).cloned();
        if let Some(kept) = kept {
            return Ok(Some(part_of(&kept, from, most)));
        }
        let read = self
            .kernel
            .store
            .read(Scope::Installation, move |db| records_from(db, from, BATCH))
            .await?;
        if read.is_empty() {
            return Ok(None);
        }
        let batch: Arc<[Record]> = read.into();
        self.shelf().put(Arc::clone(&batch));
        Ok(Some(part_of(&batch, from, most)))
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes sure each follower has its row.
    ///
    /// # Errors
    /// The database's.
    pub async fn prepare(&self) -> Result<()> {
        let rows: Vec<_> = self
            .followers
            .iter()
            .map(|follower| (follower.name, follower.from_the_start))
            .collect();
        self.kernel
            .store
            .write(Scope::Installation, move |db| {
                rows.iter()
                    .try_for_each(|(name, start)| followers::ensure(db, name, *start))
            })
            .await
    }

    /// Lets every follower read to the present end of the log. For tests and commands.
    ///
    /// # Errors
    /// The first failure of a follower or the database.
    pub async fn catch_up(&self) -> Result<()> {
        for follower in self.followers.iter() {
            let mut held = None;
            while let Found::More | Found::Last = self.step(follower, &mut held).await? {}
            if let Some(place) = held.as_mut() {
                self.store_place(follower, place).await?;
            }
        }
        Ok(())
    }

    /// Follows until `stop` is resolved. Each follower goes at its own pace.
    pub async fn run_until(self, stop: impl Future<Output = ()>) {
        let tasks: Vec<_> = (0..self.followers.len())
            .map(|index| tokio::spawn(self.clone().follow(index)))
            .collect();
        stop.await;
        for task in &tasks {
            task.abort();
        }
        let (names, owner): (Vec<_>, _) = (
            self.followers.iter().map(|follower| follower.name).collect(),
            self.kernel.node.to_string(),
        );
        let released = self
            .kernel
            .store
            .write(Scope::Installation, move |db| {
                names
                    .iter()
                    .try_for_each(|name| followers::release(db, name, &owner))
            })
            .await;
        if let Err(error) = released {
            tracing::debug!(
                ?error,
                "the followers were not given back; their leases end by themselves"
            );
        }
    }

    async fn follow(self, index: usize) {
        let Some(follower) = self.followers.get(index) else {
            return;
        };
        let mut held = None;
        let mut failing = false;
        loop {
            loop {
                let step = self.step(follower, &mut held).await;
                self.shelf().note(index, held.as_ref().map(|place| place.next));
                match step {
                    Ok(Found::More) => failing = false,
                    Ok(Found::Last | Found::Nothing) => {
                        failing = false;
                        break;
                    }
                    Err(error) => {
                        // Once a run of failures: it is tried again four times a second.
                        if !std::mem::replace(&mut failing, true) {
                            tracing::warn!(
                                follower = follower.name,
                                ?error,
                                "following the log failed; it is tried again"
                            );
                        }
                        held = None;
                        break;
                    }
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Writes down the place of a follower, if it moved without effects. Another node may have taken over: then
    /// its place counts, and this one is given up at the next lease.
    async fn store_place(&self, follower: &Follower, place: &mut Held) -> Result<()> {
        if place.stored == place.next {
            return Ok(());
        }
        let (name, owner) = (follower.name, self.kernel.node.to_string());
        let (from, to) = (place.stored, place.next);
        self.kernel
            .store
            .write(Scope::Installation, move |db| {
                followers::advance(db, name, &owner, from, to)
            })
            .await?;
        place.stored = to;
        place.stored_at = self.kernel.now();
        Ok(())
    }

    /// One batch.
    async fn step(&self, follower: &Follower, held: &mut Option<Held>) -> Result<Found> {
        let store = &self.kernel.store;
        let now = self.kernel.now();
        let (name, owner) = (follower.name, self.kernel.node.to_string());
        if held.as_ref().is_none_or(|held| held.until - PROLONG <= now) {
            let holder = owner.clone();
            let next = store
                .write(Scope::Installation, move |db| {
                    followers::hold(db, name, &holder, now, LEASE)
                })
                .await?;
            let before = held.take();
            *held = next.map(|stored| Held {
                // What was read since counts on, unless another node moved the place meanwhile.
                next: before
                    .filter(|place| place.stored == stored)
                    .map_or(stored, |place| place.next),
                stored,
                stored_at: now,
                until: now + LEASE,
            });
        }
        let Some(place) = held.as_mut() else {
            return Ok(Found::Nothing);
        };
        let Some(records) = self.batch_from(place.next, follower.at_most).await? else {
            self.store_place(follower, place).await?;
            return Ok(Found::Nothing);
        };
        let to = records.last().map_or(place.next, |last| last.leaf_index + 1);
        let full = records.len() >= usize::try_from(BATCH).unwrap_or(0).min(follower.at_most);
        let found = || {
            if full || self.shelf().kept(to).is_some() {
                Found::More
            } else {
                Found::Last
            }
        };
        let Some(effect) = (follower.consider)(now, records).await? else {
            place.next = to;
            if place.stored_at + UNSTORED <= now {
                self.store_place(follower, place).await?;
            }
            return Ok(found());
        };
        let (from, effect) = (place.stored, Mutex::new(effect));
        let moved = store
            .write_behind(Scope::Installation, move |db| {
                let moved = followers::advance(db, name, &owner, from, to)?;
                let effect = effect.lock().unwrap_or_else(PoisonError::into_inner);
                if moved {
                    effect(db)?;
                }
                Ok(moved)
            })
            .await?;
        if !moved {
            // Another node took over: what it did counts.
            *held = None;
            return Ok(Found::Nothing);
        }
        (place.next, place.stored, place.stored_at) = (to, to, now);
        Ok(found())
    }
}

#[cfg(test)]
mod tests {
    use super::{Record, SHELF, Shelf};
    use aim_core::{Id, Timestamp};
    use chrono::DateTime;
    use std::{ops::Range, sync::Arc};

    fn batch(places: Range<i64>) -> Arc<[Record]> {
        let now = Timestamp::new(DateTime::UNIX_EPOCH);
        places
            .map(|leaf_index| Record {
                leaf_index,
                org_id: Id::generate(now),
                id: Id::generate(now),
                created_at: now,
                kind: String::new(),
                action: String::new(),
                actor_kind: String::new(),
                actor_id: None,
                agent_id: None,
                target_kind: String::new(),
                target_id: None,
                outcome: String::new(),
                leaf: String::new(),
                leaf_hash: Vec::new(),
                link: Vec::new(),
                details: None,
                salt: None,
            })
            .collect()
    }

    #[test]
    fn what_was_read_is_there_for_the_others_until_the_last_has_seen_it() {
        let mut shelf = Shelf::default();
        for follower in 0..3 {
            shelf.note(follower, Some(10));
        }
        shelf.put(batch(10..15));
        shelf.note(0, Some(15));
        assert_eq!(shelf.kept(12).map(|batch| batch.len()), Some(5));
        shelf.put(batch(15..18));
        shelf.note(0, Some(18));
        shelf.note(1, Some(14));
        assert!(shelf.kept(14).is_some(), "the one that reads last");
        shelf.note(2, Some(15));
        assert!(shelf.kept(14).is_some(), "the one that stopped amid a batch");
        shelf.note(1, Some(18));
        assert!(shelf.kept(14).is_none());
        assert!(shelf.kept(15).is_some());
        shelf.note(2, Some(18));
        assert!(shelf.batches.is_empty());
    }

    #[test]
    fn a_follower_that_another_node_has_holds_nothing_up() {
        let mut shelf = Shelf::default();
        shelf.note(0, Some(0));
        shelf.note(1, Some(0));
        shelf.put(batch(0..4));
        shelf.note(0, Some(4));
        assert!(shelf.kept(0).is_some());
        shelf.note(1, None);
        assert!(shelf.kept(0).is_none());
    }

    #[test]
    fn for_one_that_lags_behind_only_so_many_are_kept() {
        let mut shelf = Shelf::default();
        shelf.note(0, Some(0));
        for start in 0..10 {
            shelf.put(batch(start..start + 1));
            shelf.note(1, Some(start + 1));
        }
        assert_eq!(shelf.batches.len(), SHELF);
        assert!(shelf.kept(0).is_none());
        assert!(shelf.kept(9).is_some());
    }
}
