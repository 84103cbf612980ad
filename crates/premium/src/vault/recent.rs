//! Reads that were decided just now, for the access audit, which else would look up again what the transaction of the decision
//! had in its hands. It only spares queries: what is not here, because it is older, of another process or of a decision in whose
//! transaction nothing was looked up (so it is on PostgreSQL), is found in the tables.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aim_core::DecisionId;

/// How many reads are kept for a follower that is behind: those of some seconds at full load. One that is further behind than
/// that finds those that it needs gone, and asks the tables.
const KEPT: usize = 32_768;

/// What the decision's row, and the secret that it found, say of a read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecentRead {
    /// The path at which a secret is.
    pub(crate) path: String,
    /// Who decided, as the decision's row has it.
    pub(crate) decider: Option<String>,
    /// From where it was asked, as far as it is known.
    pub(crate) source_ip: Option<String>,
    /// The version: the one that was asked for, or the newest in the transaction of the decision.
    pub(crate) version: i64,
}

#[derive(Debug, Default)]
struct Reads {
    known: HashMap<DecisionId, RecentRead>,
    /// The ids in order, taken ones too.
    order: VecDeque<DecisionId>,
}

/// The reads of this process that were not taken yet; clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct RecentReads(Arc<Mutex<Reads>>);

impl RecentReads {
    fn lock(&self) -> MutexGuard<'_, Reads> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a read whose decision is being written. One that is not committed after all is never asked for.
    pub(crate) fn note(&self, decision: DecisionId, read: RecentRead) {
        let mut reads = self.lock();
        if reads.known.insert(decision, read).is_none() {
            reads.order.push_back(decision);
        }
        while reads.order.len() > KEPT {
            let Some(oldest) = reads.order.pop_front() else {
                break;
            };
            reads.known.remove(&oldest);
        }
    }

    /// Gives a read away.
    pub(crate) fn take(&self, decision: DecisionId) -> Option<RecentRead> {
        self.lock().known.remove(&decision)
    }
}

#[cfg(test)]
mod tests {
    use aim_core::Id;
    use uuid::Uuid;

    use super::*;

    fn id(number: usize) -> DecisionId {
        Id::from_uuid(Uuid::from_u128(number as u128))
    }

    fn read(version: i64) -> RecentRead {
        RecentRead {
            path: "payments/stripe/live".to_owned(),
            decider: None,
            source_ip: None,
            version,
        }
    }

    #[test]
    fn a_read_is_given_away_once_and_the_oldest_make_room() {
        let reads = RecentReads::default();
        reads.note(id(0), read(1));
        // The transaction ran once more.
        reads.note(id(0), read(2));
        assert_eq!(reads.take(id(0)), Some(read(2)));
        assert_eq!(reads.take(id(0)), None);
        for number in 1..=KEPT + 10 {
            reads.note(id(number), read(3));
        }
        assert_eq!(reads.take(id(10)), None);
        assert_eq!(reads.take(id(11)), Some(read(3)));
        assert_eq!(reads.take(id(KEPT + 10)), Some(read(3)));
    }
}
