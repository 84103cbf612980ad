//! The listeners of a node and their queues: what a notice is to each of them. Nothing here waits.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use actix_web::web::Bytes;
use aim_core::{Actor, AgentId, OrganizationId};
use tokio::sync::mpsc;

use super::{frames, notices::Notice};

/// How many events somebody may be behind.
pub(super) const QUEUE: usize = 256;
/// The most paths that are remembered of a listener.
const MOST_PATHS: usize = 10_000;

/// Why somebody's events end.
pub(super) const ENDED: u8 = 1;
pub(super) const LAGGED: u8 = 2;
pub(super) const STOPPING: u8 = 3;

pub(super) struct Listener {
    pub(super) organization: OrganizationId,
    pub(super) agent: AgentId,
    pub(super) actor: Actor,
    pub(super) queue: mpsc::Sender<Bytes>,
    pub(super) ended: Arc<AtomicU8>,
    /// The first index that concerns it.
    pub(super) from: i64,
    /// What it has read.
    pub(super) paths: HashSet<String>,
    /// Changes that came before it was known what it had read; none once that is known.
    pub(super) held: Option<Vec<(String, Bytes)>>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) listeners: HashMap<u64, Listener>,
    pub(super) last_id: u64,
    /// The index that is read next, while somebody reads.
    pub(super) next: Option<i64>,
}

pub(super) fn note(state: &State) {
    metrics::gauge!("aim_secret_change_listeners").set(state.listeners.len() as f64);
}

impl State {
    /// What a listener has read is known: what was held is told or dropped. One whose queue has no room for it ends, since a change
    /// that is lost would never be missed.
    pub(super) fn settle(&mut self, id: u64, read: HashSet<String>) {
        let Some(listener) = self.listeners.get_mut(&id) else {
            return;
        };
        listener.paths.extend(read.into_iter().take(MOST_PATHS));
        let held = listener.held.take().unwrap_or_default();
        let stays = held
            .into_iter()
            .filter(|(path, _)| listener.paths.contains(path))
            .all(|(_, bytes)| send(listener, bytes));
        if !stays {
            self.listeners.remove(&id);
        }
    }

    /// Notes that an agent has read a secret.
    pub(super) fn remember(&mut self, organization: OrganizationId, agent: AgentId, path: &str) {
        self.listeners.retain(|_, listener| {
            if listener.organization != organization || listener.agent != agent {
                return true;
            }
            if listener.paths.len() >= MOST_PATHS && !listener.paths.contains(path) {
                // Nothing is kept that could not be taken back: it begins anew.
                listener.paths.clear();
                if !send(listener, frames::revoked("reads")) {
                    return false;
                }
            }
            listener.paths.insert(path.to_owned());
            true
        });
    }

    pub(super) fn tell(&mut self, index: i64, organization: OrganizationId, notice: &Notice) {
        self.listeners.retain(|_, listener| {
            let concerns = listener.organization == organization || matches!(notice, Notice::Sealed);
            if !concerns || index < listener.from {
                return true;
            }
            match notice {
                // Of all organisations; who did it, and where, is not told.
                Notice::Sealed => send(listener, frames::revoked("sealed")),
                Notice::Changed {
                    path,
                    version,
                    change,
                } => {
                    let bytes = frames::secret(path, *version, change);
                    if let Some(held) = &mut listener.held {
                        held.push((path.clone(), bytes));
                        let fits = held.len() <= QUEUE;
                        if !fits {
                            listener.ended.store(LAGGED, Ordering::Release);
                        }
                        return fits;
                    }
                    !listener.paths.contains(path) || send(listener, bytes)
                }
                Notice::Everybody { reason } => send(listener, frames::revoked(reason)),
                Notice::Agent { agent, reason, ends } if *agent == listener.agent => {
                    if *ends {
                        // The words may not fit any more; the end of the stream says the same.
                        let _ = listener.queue.try_send(frames::revoked(reason));
                        listener.ended.store(ENDED, Ordering::Release);
                        return false;
                    }
                    send(listener, frames::revoked(reason))
                }
                Notice::Agent { .. } | Notice::Read { .. } | Notice::TookUp { .. } => true,
            }
        });
    }
}

/// Queues bytes. `false`: there is no room any more, or nobody.
pub(super) fn send(listener: &Listener, bytes: Bytes) -> bool {
    match listener.queue.try_send(bytes) {
        Ok(()) => true,
        Err(mpsc::error::TrySendError::Full(_)) => {
            listener.ended.store(LAGGED, Ordering::Release);
            false
        }
        Err(mpsc::error::TrySendError::Closed(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use aim_core::Timestamp;

    use super::*;

    fn moment() -> Timestamp {
        Timestamp::parse("2026-11-23T10:00:00Z").unwrap()
    }

    fn changed(path: &str) -> Notice {
        Notice::Changed {
            path: path.to_owned(),
            version: Some(2),
            change: "written".to_owned(),
        }
    }

    /// One listener, of which it is not known yet what it has read.
    fn one(organization: OrganizationId) -> (State, mpsc::Receiver<Bytes>, Arc<AtomicU8>) {
        let (queue, events) = mpsc::channel(QUEUE);
        let ended = Arc::new(AtomicU8::new(0));
        let listener = Listener {
            organization,
            agent: AgentId::generate(moment()),
            actor: Actor::Anonymous,
            queue,
            ended: Arc::clone(&ended),
            from: 0,
            paths: HashSet::new(),
            held: Some(Vec::new()),
        };
        let mut state = State::default();
        state.listeners.insert(1, listener);
        (state, events, ended)
    }

    #[test]
    fn a_listener_for_whom_a_held_change_has_no_room_ends_and_does_not_miss_it() {
        let organization = OrganizationId::generate(moment());
        for (events, stays) in [(QUEUE - 1, true), (QUEUE, false)] {
            let (mut state, _queue, ended) = one(organization);
            state.tell(1, organization, &changed("a/b"));
            for _ in 0..events {
                state.tell(1, organization, &Notice::Everybody { reason: "policy" });
            }
            state.settle(1, HashSet::from(["a/b".to_owned()]));
            assert_eq!(state.listeners.contains_key(&1), stays, "{events}");
            assert_eq!(ended.load(Ordering::Acquire) == LAGGED, !stays, "{events}");
        }
    }

    #[test]
    fn a_listener_that_is_held_up_by_too_many_changes_is_told_that_it_lags() {
        let organization = OrganizationId::generate(moment());
        let (mut state, _queue, ended) = one(organization);
        for _ in 0..=QUEUE {
            state.tell(1, organization, &changed("a/b"));
        }
        assert!(state.listeners.is_empty());
        assert_eq!(ended.load(Ordering::Acquire), LAGGED);
    }

    #[test]
    fn that_the_vault_was_sealed_is_told_to_other_organisations_and_nothing_else_is() {
        let (mine, other) = (
            OrganizationId::generate(moment()),
            OrganizationId::generate(moment()),
        );
        let (mut state, mut queue, _) = one(mine);
        state.tell(1, other, &Notice::Everybody { reason: "policy" });
        state.tell(1, other, &Notice::Sealed);
        assert_eq!(queue.try_recv().unwrap(), frames::revoked("sealed"));
        assert!(queue.try_recv().is_err());
    }
}
