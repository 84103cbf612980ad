//! One reader of the log a node, while there are clients; and their queues.
//!
//! What is to be sent is made once for all clients of an organisation, as shared bytes. A client's queue is
//! bounded: who reads too slowly is told so and let go. Everything is bounded by the number of clients.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use actix_web::web::Bytes;
use aim_audit::Record;
use aim_core::{Actor, AgentId, ApiKeyId, Code, Ctx, Error, OrganizationId, Result, SessionId};
use aim_platform::{
    Kernel,
    follow::{log_size, records_from},
};
use aim_store::Scope;
use futures_util::stream::{self, Stream};
use tokio::sync::mpsc;

use super::{frames, model::FeedItem, store};

/// How often the log is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// The most records of one look.
const BATCH: i64 = 1_000;
/// How many looks' worth of events a client may be behind.
const QUEUE: usize = 32;
/// How many looks apart heartbeats are: 15 seconds.
const HEARTBEAT: u32 = 60;
/// How many looks apart credentials are checked: 10 seconds.
const CHECK: u32 = 40;
/// The most clients of a node.
const MOST_CLIENTS: usize = 10_000;
/// The most events that are sent again to a client that comes back.
const MOST_REPLAYED: i64 = 1_000;
/// The most names of agents that are remembered.
const MOST_NAMES: usize = 20_000;
/// The most ids of one query.
const IDS: usize = 500;

/// Why a client's events end.
const ENDED_CREDENTIALS: u8 = 1;
const ENDED_LAGGED: u8 = 2;
const ENDED_STOPPING: u8 = 3;

/// What a client proved itself with; its events end when that does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Credential {
    Session(SessionId),
    ApiKey(ApiKeyId),
}

/// What a client sees.
type View = (OrganizationId, Option<AgentId>);

struct Client {
    view: View,
    credential: Credential,
    queue: mpsc::Sender<Bytes>,
    ended: Arc<AtomicU8>,
    /// The first index that it has not seen when it comes.
    from: i64,
}

impl Client {
    fn end(&self, why: u8) {
        self.ended.store(why, Ordering::Release);
    }
}

#[derive(Default)]
struct State {
    clients: HashMap<u64, Client>,
    last_id: u64,
    /// The index that is read next, while somebody reads.
    next: Option<i64>,
}

struct Inner {
    kernel: Kernel,
    state: Mutex<State>,
}

/// The clients of this node. Cloning is cheap.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

/// Takes a client off the list when its answer is dropped.
struct Seat {
    hub: Hub,
    id: u64,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.hub.state();
        state.clients.remove(&self.id);
        note(&state);
    }
}

/// What one client receives.
pub struct Subscription {
    seat: Seat,
    first: Option<Bytes>,
    queue: mpsc::Receiver<Bytes>,
    ended: Arc<AtomicU8>,
    is_over: bool,
}

impl Subscription {
    /// The next bytes for the client; none when it is over.
    pub async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        if self.is_over {
            return None;
        }
        // What is queued for somebody who is let go is not worth sending any more.
        let bytes = match self.ended.load(Ordering::Acquire) {
            0 => self.queue.recv().await,
            _ => None,
        };
        bytes.or_else(|| {
            self.is_over = true;
            Some(match self.ended.load(Ordering::Acquire) {
                ENDED_CREDENTIALS => frames::farewell("ended", "the credentials are not valid any more"),
                ENDED_LAGGED => frames::farewell("lagged", "events came faster than they were read"),
                _ => frames::farewell("stopping", "the server stops; come back in a moment"),
            })
        })
    }

    /// The client's place in the list of clients.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.seat.id
    }

    /// All of it as a stream.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, actix_web::Error>> {
        stream::unfold(self, |mut subscription| async move {
            let bytes = subscription.next().await?;
            Some((Ok(bytes), subscription))
        })
    }
}

fn note(state: &State) {
    metrics::gauge!("aim_sse_clients").set(state.clients.len() as f64);
}

impl Hub {
    /// A hub without clients, which reads nothing.
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

    /// How many clients there are.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.state().clients.len()
    }

    /// Adds a client that has seen everything up to `last_seen`, or wants only what comes from now on. It
    /// misses nothing and gets nothing twice.
    ///
    /// # Errors
    /// `limit.requests` when the node has too many clients; the database's.
    pub async fn subscribe(
        &self,
        ctx: &Ctx,
        agent: Option<AgentId>,
        last_seen: Option<i64>,
    ) -> Result<Subscription> {
        let credential = match &ctx.actor {
            Actor::User { session, .. } => Credential::Session(*session),
            Actor::ApiKey { id, .. } => Credential::ApiKey(*id),
            _ => return Err(Error::forbidden("events:read")),
        };
        let size = log_size(&self.0.kernel.store).await?;
        let (queue, events) = mpsc::channel(QUEUE);
        let ended = Arc::new(AtomicU8::new(0));
        let (id, from, is_first) = {
            let mut state = self.state();
            if state.clients.len() >= MOST_CLIENTS {
                return Err(
                    Error::new(Code::RateLimited, "this node has no room for another follower")
                        .retry_after(10),
                );
            }
            state.last_id += 1;
            let id = state.last_id;
            let is_first = state.next.is_none();
            let from = *state.next.get_or_insert(size);
            state.clients.insert(
                id,
                Client {
                    view: (ctx.organization, agent),
                    credential,
                    queue,
                    ended: Arc::clone(&ended),
                    from,
                },
            );
            note(&state);
            (id, from, is_first)
        };
        if is_first {
            tokio::spawn(self.clone().read_the_log());
        }
        // From here on the client's seat is given up when this fails or is broken off.
        let mut subscription = Subscription {
            seat: Seat {
                hub: self.clone(),
                id,
            },
            first: None,
            queue: events,
            ended,
            is_over: false,
        };
        let missed = match last_seen {
            Some(last_seen) if last_seen < from - 1 => self.missed(ctx, agent, last_seen, from).await?,
            _ => Bytes::new(),
        };
        let mut first = frames::ready(from).to_vec();
        first.extend_from_slice(&missed);
        subscription.first = Some(first.into());
        Ok(subscription)
    }

    /// What came after `last_seen` and before `from`.
    async fn missed(&self, ctx: &Ctx, agent: Option<AgentId>, last_seen: i64, from: i64) -> Result<Bytes> {
        let organization = ctx.organization;
        let mut records = self
            .0
            .kernel
            .store
            .read(organization, move |db| {
                store::between(db, organization, agent, last_seen, from, MOST_REPLAYED + 1)
            })
            .await?;
        let mut text = Vec::new();
        if i64::try_from(records.len()).is_ok_and(|count| count > MOST_REPLAYED) {
            records.pop();
            let earliest = records.last().map_or(from, |record| record.leaf_index);
            text.extend_from_slice(&frames::gap(last_seen + 1, earliest));
        }
        records.reverse();
        let mut names = HashMap::new();
        self.name(&records.iter().collect::<Vec<_>>(), &mut names).await?;
        for part in records.chunks(frames::MOST_ITEMS) {
            let last = part.last().map_or(from, |record| record.leaf_index);
            text.extend_from_slice(&frames::items(shown(part, &names), last));
        }
        Ok(text.into())
    }

    /// Reads the log as long as there are clients.
    async fn read_the_log(self) {
        let mut tick = tokio::time::interval(LOOK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut names = HashMap::new();
        let (mut looks, mut failing) = (0_u32, false);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = self.0.kernel.stopping.begun() => {
                    let mut state = self.state();
                    for (_, client) in state.clients.drain() {
                        client.end(ENDED_STOPPING);
                    }
                    state.next = None;
                    return note(&state);
                }
            }
            let from = {
                let mut state = self.state();
                if state.clients.is_empty() {
                    state.next = None;
                    return;
                }
                state.next.unwrap_or(0)
            };
            looks = looks.wrapping_add(1);
            let looked = match self.look(from, &mut names).await {
                Ok(()) if looks.is_multiple_of(CHECK) => self.check_credentials().await,
                looked => looked,
            };
            match looked {
                Ok(()) => failing = false,
                Err(error) if !std::mem::replace(&mut failing, true) => {
                    tracing::warn!(?error, "the live feed cannot read the log; it is tried again");
                }
                Err(_) => {}
            }
            if looks.is_multiple_of(HEARTBEAT) {
                self.send_each(|_| Some(frames::heartbeat()));
            }
        }
    }

    /// Reads what is new, and gives it to whom it concerns.
    async fn look(&self, mut from: i64, names: &mut Names) -> Result<()> {
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
            let mut made: HashMap<View, Option<Bytes>> = HashMap::new();
            loop {
                for view in self.views() {
                    if let Entry::Vacant(place) = made.entry(view) {
                        place.insert(self.make(view, &records, last, names).await?);
                    }
                }
                if self.deliver(&made, from, last + 1) {
                    break;
                }
            }
            from = last + 1;
            if !is_full {
                return Ok(());
            }
        }
    }

    /// What the clients see.
    fn views(&self) -> HashSet<View> {
        self.state().clients.values().map(|client| client.view).collect()
    }

    /// What those who see `view` are sent about `records`; none if nothing.
    async fn make(
        &self,
        view: View,
        records: &[Record],
        last: i64,
        names: &mut Names,
    ) -> Result<Option<Bytes>> {
        let concerns =
            |record: &&Record| record.org_id == view.0 && (view.1.is_none() || record.agent_id == view.1);
        let wanted: Vec<&Record> = records.iter().filter(concerns).collect();
        if wanted.is_empty() {
            return Ok(None);
        }
        if wanted.iter().any(|record| record.action == "agent.updated") {
            names.clear();
        }
        self.name(&wanted, names).await?;
        Ok(Some(frames::items(shown_of(&wanted, names), last)))
    }

    /// Gives out what was made of the records from `from` to before `next`, and moves on, under one lock: a
    /// client that comes meanwhile is either given it here or finds it behind it. `false`, and nothing is
    /// given out, when a client came that sees what nothing was made for yet.
    fn deliver(&self, made: &HashMap<View, Option<Bytes>>, from: i64, next: i64) -> bool {
        let mut state = self.state();
        if state
            .clients
            .values()
            .any(|client| client.from <= from && !made.contains_key(&client.view))
        {
            return false;
        }
        state.next = Some(next);
        send_each(&mut state, |client| {
            if client.from > from {
                return None;
            }
            made.get(&client.view).cloned().flatten()
        });
        true
    }

    fn send_each(&self, of: impl Fn(&Client) -> Option<Bytes>) {
        send_each(&mut self.state(), of);
    }

    /// Looks up the names that are not known yet.
    async fn name(&self, records: &[&Record], names: &mut Names) -> Result<()> {
        let unknown: HashSet<(OrganizationId, AgentId)> = records
            .iter()
            .filter_map(|record| record.agent_id.map(|agent| (record.org_id, agent)))
            .filter(|key| !names.contains_key(key))
            .collect();
        if names.len() + unknown.len() > MOST_NAMES {
            names.clear();
        }
        let unknown: Vec<_> = unknown.into_iter().collect();
        for part in unknown.chunks(IDS) {
            let part = part.to_vec();
            let found = self
                .0
                .kernel
                .store
                .read(Scope::Installation, move |db| store::names(db, &part))
                .await?;
            names.extend(
                found
                    .into_iter()
                    .map(|(organization, agent, name)| ((organization, agent), name)),
            );
        }
        Ok(())
    }

    /// Lets go whoever's session or key has ended.
    async fn check_credentials(&self) -> Result<()> {
        let held: Vec<(OrganizationId, Credential)> = {
            let state = self.state();
            let held: HashSet<_> = state
                .clients
                .values()
                .map(|client| (client.view.0, client.credential))
                .collect();
            held.into_iter().collect()
        };
        let now = self.0.kernel.now();
        let mut live: HashSet<Credential> = HashSet::new();
        for part in held.chunks(IDS) {
            let organizations: Vec<_> = part.iter().map(|(organization, _)| *organization).collect();
            let (mut sessions, mut keys) = (Vec::new(), Vec::new());
            for (_, credential) in part {
                match credential {
                    Credential::Session(id) => sessions.push(*id),
                    Credential::ApiKey(id) => keys.push(*id),
                }
            }
            let (sessions, keys) = self
                .0
                .kernel
                .store
                .read(Scope::Installation, move |db| {
                    Ok((
                        store::live_sessions(db, &organizations, &sessions, now)?,
                        store::live_api_keys(db, &organizations, &keys, now)?,
                    ))
                })
                .await?;
            live.extend(sessions.into_iter().map(Credential::Session));
            live.extend(keys.into_iter().map(Credential::ApiKey));
        }
        let checked: HashSet<Credential> = held.into_iter().map(|(_, credential)| credential).collect();
        let mut state = self.state();
        state.clients.retain(|_, client| {
            let is_over = checked.contains(&client.credential) && !live.contains(&client.credential);
            if is_over {
                client.end(ENDED_CREDENTIALS);
            }
            !is_over
        });
        note(&state);
        Ok(())
    }
}

type Names = HashMap<(OrganizationId, AgentId), String>;

/// Queues bytes for each client that `of` has some for. Whoever has no room any more is let go.
fn send_each(state: &mut State, of: impl Fn(&Client) -> Option<Bytes>) {
    let before = state.clients.len();
    state.clients.retain(|_, client| {
        let Some(bytes) = of(client) else { return true };
        match client.queue.try_send(bytes) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                client.end(ENDED_LAGGED);
                metrics::counter!("aim_sse_lagged_total").increment(1);
                false
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        }
    });
    if state.clients.len() != before {
        note(state);
    }
}

fn shown(records: &[Record], names: &Names) -> Vec<FeedItem> {
    shown_of(&records.iter().collect::<Vec<_>>(), names)
}

fn shown_of(records: &[&Record], names: &Names) -> Vec<FeedItem> {
    let name = |record: &Record| {
        let key = record.agent_id.map(|agent| (record.org_id, agent))?;
        names.get(&key).cloned()
    };
    records
        .iter()
        .map(|record| FeedItem::of(record, name(record)))
        .collect()
}
