//! One reader of the log a node, while somebody listens. All of it is bounded: the listeners, their queues, and the paths that
//! are remembered of each.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use actix_web::web::Bytes;
use aim_core::{Actor, AgentCredential, AgentId, Code, Ctx, DecisionId, Error, OrganizationId, Result};
use aim_platform::{
    Kernel,
    follow::{log_size, records_from},
};
use aim_store::Scope;
use chrono::TimeDelta;
use futures_util::stream::{self, Stream};
use tokio::sync::mpsc;

use super::{
    BOUND, HEARTBEAT, frames,
    listeners::{ENDED, LAGGED, Listener, QUEUE, STOPPING, State, note, send},
    notices::{Notice, is_for_all, notice},
    store,
};

/// How often the log is looked at: half of what is promised.
const LOOK: Duration = match BOUND.checked_div(2) {
    Some(half) => half,
    None => BOUND,
};
/// The most records of one look.
const BATCH: i64 = 1_000;
/// How many looks apart it is checked who may still listen: 10 seconds.
const CHECK: u32 = 40;
/// The most listeners of a node, and of one agent on it.
const MOST_LISTENERS: usize = 10_000;
const MOST_OF_AGENT: usize = 50;
/// How far back, and how many of its reads, count as read by an agent that comes.
const READ_WITHIN: TimeDelta = TimeDelta::days(1);
const MOST_READS: i64 = 10_000;

struct Inner {
    kernel: Kernel,
    state: Mutex<State>,
}

/// The listeners of this node. Cloning is cheap.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

/// Takes a listener off the list when its answer is dropped.
struct Seat {
    hub: Hub,
    id: u64,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.hub.state();
        state.listeners.remove(&self.id);
        note(&state);
    }
}

/// What one listener receives.
pub struct Listening {
    _seat: Seat,
    first: Option<Bytes>,
    queue: mpsc::Receiver<Bytes>,
    ended: Arc<AtomicU8>,
    is_over: bool,
}

impl Listening {
    /// The next bytes; none when it is over. What was queued before the end is still given out: it may be the revocation.
    pub async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        if self.is_over {
            return None;
        }
        if let Some(bytes) = self.queue.recv().await {
            return Some(bytes);
        }
        self.is_over = true;
        Some(match self.ended.load(Ordering::Acquire) {
            ENDED => frames::farewell("ended", "the agent or its key does not count any more"),
            LAGGED => frames::farewell("lagged", "events came faster than they were read"),
            _ => frames::farewell("stopping", "the server stops; come back in a moment"),
        })
    }

    /// All of it as a stream.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, actix_web::Error>> {
        stream::unfold(self, |mut listening| async move {
            let bytes = listening.next().await?;
            Some((Ok(bytes), listening))
        })
    }
}

impl Hub {
    /// A hub without listeners, which reads nothing.
    #[must_use]
    pub fn new(kernel: &Kernel) -> Self {
        Self(Arc::new(Inner {
            kernel: kernel.clone(),
            state: Mutex::default(),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many listen.
    #[must_use]
    pub fn listeners(&self) -> usize {
        self.state().listeners.len()
    }

    /// Listens for an agent that signed with its key. From the first event on it misses nothing.
    ///
    /// # Errors
    /// `auth.forbidden` for anybody else; `limit.requests` when there are too many; the database's.
    pub async fn listen(&self, ctx: &Ctx) -> Result<Listening> {
        let Actor::Agent {
            id: agent,
            credential: AgentCredential::Key { .. },
        } = &ctx.actor
        else {
            return Err(Error::new(
                Code::Forbidden,
                "only an agent that signs with its own key keeps secrets; sign the request with it",
            ));
        };
        let (agent, organization) = (*agent, ctx.organization);
        let size = log_size(&self.0.kernel.store).await?;
        let (queue, events) = mpsc::channel(QUEUE);
        let ended = Arc::new(AtomicU8::new(0));
        let (id, is_first) = {
            let mut state = self.state();
            let of_agent = state.listeners.values().filter(|known| known.agent == agent);
            if of_agent.count() >= MOST_OF_AGENT || state.listeners.len() >= MOST_LISTENERS {
                let detail = "this node has no room for another listener of this agent";
                return Err(Error::new(Code::RateLimited, detail).retry_after(10));
            }
            state.last_id += 1;
            let id = state.last_id;
            let is_first = state.next.is_none();
            let from = *state.next.get_or_insert(size);
            let listener = Listener {
                organization,
                agent,
                actor: ctx.actor.clone(),
                queue,
                ended: Arc::clone(&ended),
                from,
                paths: HashSet::new(),
                held: Some(Vec::new()),
            };
            state.listeners.insert(id, listener);
            note(&state);
            (id, is_first)
        };
        if is_first {
            tokio::spawn(self.clone().read_the_log());
        }
        // From here on its seat is given up when this fails or is broken off.
        let listening = Listening {
            _seat: Seat {
                hub: self.clone(),
                id,
            },
            first: Some(frames::ready()),
            queue: events,
            ended,
            is_over: false,
        };
        let since = ctx.now - READ_WITHIN;
        let read = self
            .0
            .kernel
            .store
            .read(organization, move |db| {
                store::read_since(db, organization, agent, since, MOST_READS)
            })
            .await?;
        let mut state = self.state();
        state.settle(id, read);
        note(&state);
        drop(state);
        Ok(listening)
    }

    /// Reads the log as long as somebody listens.
    async fn read_the_log(self) {
        let mut tick = tokio::time::interval(LOOK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut looks, mut quiet, mut failing) = (0_u32, Duration::ZERO, false);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = self.0.kernel.stopping.begun() => {
                    let mut state = self.state();
                    for (_, listener) in state.listeners.drain() {
                        listener.ended.store(STOPPING, Ordering::Release);
                    }
                    state.next = None;
                    return note(&state);
                }
            }
            let from = {
                let mut state = self.state();
                if state.listeners.is_empty() {
                    state.next = None;
                    return;
                }
                state.next.unwrap_or(0)
            };
            looks = looks.wrapping_add(1);
            let looked = match self.look(from).await {
                Ok(()) if looks.is_multiple_of(CHECK) => self.check_standing().await,
                looked => looked,
            };
            quiet += LOOK;
            match looked {
                Ok(()) => {
                    failing = false;
                    // Only now: a heartbeat says that nothing was overlooked.
                    if quiet >= HEARTBEAT {
                        quiet = Duration::ZERO;
                        self.send_each(|_| Some(frames::heartbeat()));
                    }
                }
                Err(error) if !std::mem::replace(&mut failing, true) => {
                    tracing::warn!(?error, "changes of secrets cannot be told; it is tried again");
                }
                Err(_) => {}
            }
        }
    }

    /// Reads what is new to the log's end, and tells whom it concerns.
    async fn look(&self, mut from: i64) -> Result<()> {
        loop {
            let records = self
                .0
                .kernel
                .store
                .read(Scope::Installation, move |db| records_from(db, from, BATCH))
                .await?;
            let Some(last) = records.last().map(|record| record.leaf_index) else {
                return Ok(());
            };
            let is_full = i64::try_from(records.len()).unwrap_or(0) >= BATCH;
            let listening: HashSet<OrganizationId> = {
                let state = self.state();
                state.listeners.values().map(|known| known.organization).collect()
            };
            let notices: Vec<(i64, OrganizationId, Notice)> = records
                .iter()
                .filter(|record| is_for_all(record) || listening.contains(&record.org_id))
                .filter_map(|record| notice(record).map(|(org, notice)| (record.leaf_index, org, notice)))
                .collect();
            let reads = self.read_paths(&notices).await?;
            self.deliver(&notices, &reads, last + 1);
            from = last + 1;
            if !is_full {
                return Ok(());
            }
        }
    }

    /// What the agents that listen were allowed to read by these.
    async fn read_paths(
        &self,
        notices: &[(i64, OrganizationId, Notice)],
    ) -> Result<Vec<(OrganizationId, AgentId, String)>> {
        let agents: HashSet<AgentId> = {
            let state = self.state();
            state.listeners.values().map(|known| known.agent).collect()
        };
        let mut wanted: HashMap<OrganizationId, Vec<DecisionId>> = HashMap::new();
        for (_, organization, notice) in notices {
            if let Notice::Read { agent, decision } = notice
                && agents.contains(agent)
                && let Ok(id) = decision.parse()
            {
                wanted.entry(*organization).or_default().push(id);
            }
        }
        let mut found = Vec::new();
        for (organization, ids) in wanted {
            let paths = self
                .0
                .kernel
                .store
                .read(organization, move |db| store::paths(db, organization, &ids))
                .await?;
            found.extend(paths.into_iter().map(|(agent, path)| (organization, agent, path)));
        }
        Ok(found)
    }

    /// Tells the listeners, and moves on, under one lock.
    fn deliver(
        &self,
        notices: &[(i64, OrganizationId, Notice)],
        reads: &[(OrganizationId, AgentId, String)],
        next: i64,
    ) {
        let mut state = self.state();
        state.next = Some(next);
        // Reads first: of a read and a change in one look, the change may have come after.
        for (organization, agent, path) in reads {
            state.remember(*organization, *agent, path);
        }
        for (index, organization, notice) in notices {
            if let Notice::TookUp { agent, path } = notice {
                state.remember(*organization, *agent, path);
            }
            state.tell(*index, *organization, notice);
        }
        note(&state);
    }

    fn send_each(&self, of: impl Fn(&Listener) -> Option<Bytes>) {
        let mut state = self.state();
        state.listeners.retain(|_, listener| match of(listener) {
            Some(bytes) => send(listener, bytes),
            None => true,
        });
        note(&state);
    }

    /// Lets go whoever may not listen any more, though no record told so: a key that has expired.
    async fn check_standing(&self) -> Result<()> {
        let held: Vec<(u64, OrganizationId, Actor)> = {
            let state = self.state();
            let known = state.listeners.iter();
            known
                .map(|(id, listener)| (*id, listener.organization, listener.actor.clone()))
                .collect()
        };
        let now = self.0.kernel.now();
        let over: HashSet<u64> = self
            .0
            .kernel
            .store
            .read(Scope::Installation, move |db| {
                let mut over = HashSet::new();
                for (id, organization, actor) in &held {
                    if !store::stands(db, *organization, actor, now)? {
                        over.insert(*id);
                    }
                }
                Ok(over)
            })
            .await?;
        let mut state = self.state();
        state.listeners.retain(|id, listener| {
            let ends = over.contains(id);
            if ends {
                let _ = listener.queue.try_send(frames::revoked("key"));
                listener.ended.store(ENDED, Ordering::Release);
            }
            !ends
        });
        note(&state);
        Ok(())
    }
}
