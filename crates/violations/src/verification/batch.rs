//! Decides and commits what has queued up: one transaction for many actions. While one batch is
//! being made durable the next one gathers, so the wait for the disk is shared.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, OnceLock, PoisonError, mpsc::sync_channel},
};

use aim_audit::{Details, Entry, Kind, LeafRef, Sealed, commitment};
use aim_core::{
    Actor, AgentCredential, Ctx, DecisionId, Error, Json, Result, Timestamp, ViolationId, ctx::ActorRef,
};
use aim_crypto::digest::{self, hex};
use aim_decision::{
    Call, CapabilityName, Credential, DeciderKind, Inputs, Outcome, Verdict, canonical_bytes, decide,
};
use aim_platform::{NonceClaim, Refusal, Refusals, extract::replayed};
use aim_store::{Db, Scope, Store};
use chrono::TimeDelta;
use serde_json::{Map, Value, json};
use tokio::{runtime::Handle, sync::oneshot};

use super::{
    snapshot::{LiveSnapshot, SnapshotCache, epochs, grant_id},
    store::{self, DecisionRow, UseKey},
};
use crate::violations::{
    counts::{self, CountKey},
    groups::{self, GroupChange, GroupKey},
    store::{ViolationRow, insert_many},
};

/// The most actions in one transaction.
const BATCH: usize = 128;
/// Up to here all that wait go into one transaction.
const SMALL_BATCH: usize = 48;
/// How many may wait before further ones are turned away.
const QUEUE: usize = 8_192;
/// The largest context that is copied into a violation, in bytes.
const LARGEST_COPIED_CONTEXT: usize = 8 * 1024;

/// What an approved action looks up in the very transaction of its decision, which it is told of before that is durable or has its
/// place in the log. It may run more than once; an error fails the whole batch, so what merely is not there is no error.
pub type LookUp = Arc<dyn Fn(&mut Db, &Decided) -> aim_store::Result<()> + Send + Sync>;

/// The part of the server within which a decision is asked for, because that part acts on it.
#[derive(Clone)]
pub struct Within {
    /// Its name, which the record of the decision has as the fact `within`.
    pub part: &'static str,
    /// What is looked up with the decision, if it approves.
    pub look_up: Option<LookUp>,
}

/// An action that waits for its decision.
pub struct Item {
    /// The call's context; its actor is the agent.
    pub ctx: Ctx,
    /// The agent.
    pub agent: aim_core::AgentId,
    /// What must be claimed with the decision.
    pub nonce: Option<NonceClaim>,
    /// How the agent proved itself.
    pub scheme: &'static str,
    /// The action.
    pub action: CapabilityName,
    /// What it is done to.
    pub resource: Option<String>,
    /// Its arguments.
    pub context: Map<String, Value>,
    /// Whether a person shall approve it in any case.
    pub approval_requested: bool,
    /// Which part of the server acts on the decision; none where the agent itself does.
    pub within: Option<Within>,
    /// The decision on the snapshot in memory; it holds if the transaction finds that one current.
    /// The first transaction takes it; one that has to be tried again decides anew.
    prepared: Option<(Arc<LiveSnapshot>, Mutex<Option<Prepared>>)>,
}

/// A decision that is durable.
#[derive(Debug, Clone)]
pub struct Decided {
    /// Its id.
    pub id: DecisionId,
    /// What was decided.
    pub verdict: Verdict,
    /// SHA-256 of the recorded inputs.
    pub request_digest: [u8; 32],
    /// Until when a person may approve it, if it is pending.
    pub expires_at: Option<Timestamp>,
    /// Where it stands in the log.
    pub leaf: LeafRef,
}

impl Decided {
    /// Who decided, as the decision's row has it: `grant:id` or `policy:id`.
    #[must_use]
    pub fn decider(&self) -> Option<String> {
        self.verdict.decided_by.map(|decider| match decider.kind {
            DeciderKind::Grant => format!("grant:{}", decider.id),
            DeciderKind::Policy => format!("policy:{}", decider.id),
        })
    }
}

type Answer = oneshot::Sender<Result<Decided>>;

#[derive(Default)]
struct Waiting {
    items: VecDeque<(Item, Answer)>,
    running: usize,
}

struct Inner {
    store: Store,
    cache: SnapshotCache,
    approval: TimeDelta,
    waiting: Mutex<Waiting>,
    refusals: Refusals,
    lanes: usize,
    driver: OnceLock<Driver>,
}

/// The queue of actions, and who drives it.
#[derive(Clone)]
pub struct DecisionQueue(Arc<Inner>);

impl Item {
    /// An action in the context of `ctx`, whose actor is `agent`.
    #[must_use]
    pub fn new(
        ctx: Ctx,
        agent: aim_core::AgentId,
        nonce: Option<NonceClaim>,
        scheme: &'static str,
        action: CapabilityName,
    ) -> Self {
        Self {
            ctx,
            agent,
            nonce,
            scheme,
            action,
            resource: None,
            context: Map::new(),
            approval_requested: false,
            within: None,
            prepared: None,
        }
    }
}

impl DecisionQueue {
    /// A queue in front of `store`; `refusals` holds back the notes of replays.
    #[must_use]
    pub fn new(store: Store, approval: TimeDelta, refusals: Refusals) -> Self {
        // On PostgreSQL a second batch prepares while the first one waits for its commit.
        let lanes = if store.is_postgres() { 2 } else { 1 };
        Self(Arc::new(Inner {
            store,
            cache: SnapshotCache::new(),
            approval,
            waiting: Mutex::default(),
            refusals,
            lanes,
            driver: OnceLock::new(),
        }))
    }

    /// Decides `item` and makes the decision durable.
    ///
    /// # Errors
    /// `auth.signature_replayed`, or `server.unavailable` when it could not be committed.
    pub async fn decide(&self, mut item: Item) -> Result<Decided> {
        // On the caller's thread, so that the writer's has less to do. A rate counter is known only in
        // the transaction.
        if let Some(live) = self.0.cache.latest(item.ctx.organization, item.agent)
            && live.rated.is_empty()
        {
            let prepared = prepare(self.0.approval, &item, &live, BTreeMap::new());
            let prepared = prepared.map_err(aim_store::Error::into_core)?;
            item.prepared = Some((live, Mutex::new(Some(prepared))));
        }
        let driver = self.0.driver()?;
        let (sender, answer) = oneshot::channel();
        let start = {
            let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.items.len() >= QUEUE {
                return Err(Error::unavailable("the queue of decisions is full").retry_after(1));
            }
            waiting.items.push_back((item, sender));
            let start = waiting.running < self.0.lanes;
            if start {
                waiting.running += 1;
            }
            start
        };
        if start {
            driver.spawn(drive(self.clone()));
        }
        answer
            .await
            .map_err(|_| Error::unavailable("the decision was interrupted"))?
    }
}

/// The thread on which batches are handed to the database and their answers handed out. It is nobody's who asks: a caller that
/// goes away, or a worker of the HTTP server that ends before others do, must not strand the rest; and a worker that is busy
/// with signatures would let the database wait.
struct Driver {
    runtime: Handle,
    /// The thread ends when this is dropped.
    _alive: oneshot::Sender<()>,
}

impl Driver {
    fn start() -> std::io::Result<Self> {
        // Built where it is dropped, which may be nowhere inside of another runtime.
        let (started, result) = sync_channel(1);
        let (alive, ended) = oneshot::channel::<()>();
        std::thread::Builder::new()
            .name("aim-decisions".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                match runtime {
                    Ok(runtime) => {
                        let _ = started.send(Ok(runtime.handle().clone()));
                        // An error is how the end of the sender shows.
                        let _ = runtime.block_on(ended);
                    }
                    Err(error) => {
                        let _ = started.send(Err(error));
                    }
                }
            })?;
        Ok(Self {
            runtime: result.recv().map_err(std::io::Error::other)??,
            _alive: alive,
        })
    }
}

impl Inner {
    /// Where the queue is driven, started by the first who asks.
    fn driver(&self) -> Result<&Handle> {
        if let Some(driver) = self.driver.get() {
            return Ok(&driver.runtime);
        }
        let started = Driver::start().map_err(|error| {
            Error::unavailable(format!(
                "the thread that drives decisions could not be started: {error}"
            ))
        })?;
        // Of two that come at once one is started in vain, and ends.
        Ok(&self.driver.get_or_init(|| started).runtime)
    }
}

async fn drive(queue: DecisionQueue) {
    loop {
        let (items, answers): (Vec<Item>, Vec<Answer>) = {
            let mut waiting = queue.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.items.is_empty() {
                waiting.running -= 1;
                return;
            }
            let count = share(waiting.items.len());
            let left = u32::try_from(waiting.items.len() - count).unwrap_or(u32::MAX);
            metrics::gauge!("aim_decision_queue_depth").set(left);
            waiting.items.drain(..count).unzip()
        };
        metrics::histogram!("aim_decision_batch_size")
            .record(f64::from(u32::try_from(items.len()).unwrap_or(0)));
        let inner = Arc::clone(&queue.0);
        let items = Arc::new(items);
        let committed = queue
            .0
            .store
            .write(Scope::Installation, move |db| run(db, &inner, &items))
            .await;
        match committed {
            Ok(batch) => {
                for snapshot in &batch.snapshots {
                    snapshot.mark_noted(batch.at);
                }
                for (answer, result) in answers.into_iter().zip(batch.results) {
                    let _ = answer.send(result);
                }
            }
            Err(error) => {
                for answer in answers {
                    let _ = answer.send(Err(error.clone()));
                }
            }
        }
    }
}

/// How many of those that wait go into the next transaction: half of them once there are many, so
/// that the others' signatures are checked while these are made durable, and neither side idles.
fn share(waiting: usize) -> usize {
    waiting.min(SMALL_BATCH.max(waiting / 2)).min(BATCH)
}

struct Batch {
    results: Vec<Result<Decided>>,
    snapshots: Vec<Arc<LiveSnapshot>>,
    at: Timestamp,
}

/// What a batch writes, gathered while deciding.
#[derive(Default)]
struct Writes {
    decisions: Vec<DecisionRow>,
    violations: Vec<ViolationRow>,
    counts: BTreeMap<CountKey, i64>,
    groups: BTreeMap<GroupKey, GroupChange>,
    uses: BTreeMap<UseKey, i64>,
    grants_used: BTreeMap<(aim_core::OrganizationId, aim_core::GrantId), Timestamp>,
    entries: Vec<Sealed>,
    snapshots: Vec<Arc<LiveSnapshot>>,
}

/// Claims, decides and writes the whole batch inside the caller's transaction.
fn run(db: &mut Db, inner: &Inner, items: &[Item]) -> aim_store::Result<Batch> {
    let mut agents: Vec<_> = items
        .iter()
        .map(|item| (item.ctx.organization, item.agent))
        .collect();
    agents.sort_unstable();
    agents.dedup();
    let claims: Vec<_> = items.iter().map(|item| item.nonce.clone()).collect();
    let fresh = store::claim_nonces(db, &claims)?;
    let epochs = epochs(db, &agents)?;
    let Some(now) = items.iter().map(|item| item.ctx.now).max() else {
        return Err(aim_store::Error::Corrupt("a batch without an action".to_owned()));
    };
    let mut snapshots: HashMap<aim_core::AgentId, Arc<LiveSnapshot>> = HashMap::with_capacity(agents.len());
    for (organization, agent) in agents {
        if let Some(epochs) = epochs.get(&(organization, agent)) {
            snapshots.insert(agent, inner.cache.at(db, organization, agent, *epochs, now)?);
        }
    }
    let mut writes = Writes::default();
    lock_counters(db, items, &snapshots, &mut writes)?;
    let mut results: Vec<Result<Decided>> = Vec::with_capacity(items.len());
    for (item, fresh) in items.iter().zip(fresh) {
        results.push(match snapshots.get(&item.agent) {
            _ if !fresh => {
                note_replay(inner, item, &mut writes)?;
                Err(replayed())
            }
            None => Err(Error::not_found()),
            Some(snapshot) => {
                let decided = decide_one(inner, item, snapshot, &mut writes)?;
                if decided.verdict.outcome == Outcome::Approved
                    && let Some(look_up) = item.within.as_ref().and_then(|within| within.look_up.as_ref())
                {
                    look_up(db, &decided)?;
                }
                Ok(decided)
            }
        });
    }
    write(db, writes, results, now)
}

/// Locks the counter of every rate-limited grant that a call of this batch may use, in key order.
fn lock_counters(
    db: &mut Db,
    items: &[Item],
    snapshots: &HashMap<aim_core::AgentId, Arc<LiveSnapshot>>,
    writes: &mut Writes,
) -> aim_store::Result<()> {
    for item in items {
        let Some(snapshot) = snapshots.get(&item.agent) else {
            continue;
        };
        for (grant, limit) in &snapshot.rated {
            let window = Timestamp::new(limit.window_start(item.ctx.now.into()));
            writes
                .uses
                .insert((item.ctx.organization, grant_id(*grant), window), 0);
        }
    }
    for (key, uses) in &mut writes.uses {
        *uses = store::lock_uses(db, *key)?;
    }
    Ok(())
}

pub(super) fn credential(actor: &Actor) -> aim_store::Result<Credential> {
    match actor {
        Actor::Agent {
            credential: AgentCredential::Key { fingerprint },
            ..
        } => Ok(Credential::AgentKey {
            fingerprint: fingerprint.clone(),
        }),
        Actor::Agent {
            credential:
                AgentCredential::Limited {
                    id,
                    capabilities,
                    limits,
                },
            ..
        } => {
            let secret_paths = limits.secret_paths.as_deref().map(parsed).transpose()?;
            Ok(Credential::Limited {
                id: *id,
                capabilities: parsed(capabilities)?,
                secret_paths,
                addresses: aim_platform::standing::address_limit(limits)?,
            })
        }
        _ => Err(Error::forbidden("an agent's credential").into()),
    }
}

/// What a credential's row lists, read.
fn parsed<T: TryFrom<String, Error = aim_decision::Invalid>>(texts: &[String]) -> aim_store::Result<Vec<T>> {
    texts
        .iter()
        .cloned()
        .map(|text| T::try_from(text).map_err(|error| aim_store::Error::Corrupt(error.to_string())))
        .collect()
}

fn credential_text(credential: &Credential) -> String {
    match credential {
        Credential::AgentKey { fingerprint } => fingerprint.clone(),
        Credential::Limited { id, .. } => format!("limited:{id}"),
    }
}

/// A call that is decided, with what is to be written for it: all that needs no database.
#[derive(Debug)]
struct Prepared {
    decided: Decided,
    row: DecisionRow,
    entry: Sealed,
}

/// The counter of a rate-limited grant for a call at `now`.
fn counter(ctx: &Ctx, live: &LiveSnapshot, grant: uuid::Uuid) -> Option<UseKey> {
    let (_, limit) = live.rated.iter().find(|(id, _)| *id == grant)?;
    let window = Timestamp::new(limit.window_start(ctx.now.into()));
    Some((ctx.organization, grant_id(grant), window))
}

/// Decides one call and writes down its evidence. `uses` are the rate counters of its agent.
fn prepare(
    approval: TimeDelta,
    item: &Item,
    live: &LiveSnapshot,
    uses: BTreeMap<uuid::Uuid, u32>,
) -> aim_store::Result<Prepared> {
    let ctx = &item.ctx;
    let credential = credential(&ctx.actor)?;
    let credential_text = credential_text(&credential);
    let call = Call {
        action: item.action.clone(),
        resource: item.resource.clone(),
        context: item.context.clone(),
        credential,
        uses,
        approval_requested: item.approval_requested,
        now: ctx.now.into(),
    };
    let verdict = decide(&live.snapshot, &call);
    let inputs = Inputs::new(&live.digest, call);
    let inputs = text(canonical_bytes(&inputs))?;
    let verdict_text = text(canonical_bytes(&verdict))?;
    let salt: [u8; 16] =
        digest::random_bytes().map_err(|error| aim_store::Error::Corrupt(error.to_string()))?;
    let commit = commitment(&salt, &[inputs.as_bytes(), verdict_text.as_bytes()]);
    let id: DecisionId = ctx.new_id();
    let reason_codes: Vec<&str> = aim_decision::slugs(&verdict.reasons);
    let expires_at = (verdict.outcome == Outcome::Pending).then(|| ctx.now + approval);
    let decided = Decided {
        id,
        request_digest: digest::sha256(inputs.as_bytes()),
        expires_at,
        leaf: LeafRef {
            index: 0,
            hash: String::new(),
        },
        verdict,
    };
    let verdict = &decided.verdict;
    // No digest of the inputs stands here: they are committed to under a salt, so that erased ones cannot be guessed.
    let mut facts = json!({
        "capability": item.action.as_str(),
        "reasons": reason_codes,
        "credential": credential_text,
        "scheme": item.scheme,
        "decided_by": verdict.decided_by,
        "severity": verdict.severity,
        "snapshot_sha256": hex(&live.digest),
    });
    if let (Some(within), Some(facts)) = (&item.within, facts.as_object_mut()) {
        facts.insert("within".to_owned(), within.part.into());
    }
    let entry = aim_audit::seal(Entry {
        organization: ctx.organization,
        at: ctx.now,
        kind: Kind::Decision,
        action: "action.decided",
        actor: ActorRef::from(&ctx.actor),
        agent: Some(item.agent),
        target_kind: "decision",
        target_id: Some(id.to_string()),
        outcome: verdict.outcome.as_str(),
        facts,
        details: Details::Elsewhere(commit),
    })?;
    let row = DecisionRow {
        org_id: ctx.organization,
        id,
        agent_id: item.agent,
        created_at: ctx.now,
        action: item.action.as_str().to_owned(),
        resource: item.resource.clone(),
        status: verdict.outcome.as_str().to_owned(),
        outcome: verdict.outcome.as_str().to_owned(),
        reason_codes: Json::of(&reason_codes),
        decider: decided.decider(),
        grant_id: verdict
            .decided_by
            .filter(|decider| decider.kind == DeciderKind::Grant)
            .map(|decider| grant_id(decider.id)),
        risk: verdict.risk.as_str().to_owned(),
        credential: credential_text,
        scheme: item.scheme.to_owned(),
        source_ip: ctx.source_ip.clone(),
        snapshot_digest: live.digest.to_vec(),
        inputs,
        verdict: verdict_text,
        salt: salt.to_vec(),
        leaf_index: 0,
        expires_at,
        resolved_at: None,
        resolved_by: None,
        resolution_note: None,
    };
    Ok(Prepared { decided, row, entry })
}

/// Decides one call inside the transaction, unless it was decided before on this very snapshot, and
/// notes down everything that is to be written for it.
fn decide_one(
    inner: &Inner,
    item: &Item,
    live: &Arc<LiveSnapshot>,
    writes: &mut Writes,
) -> aim_store::Result<Decided> {
    let ctx = &item.ctx;
    let ready = match &item.prepared {
        Some((on, ready)) if Arc::ptr_eq(on, live) => {
            ready.lock().unwrap_or_else(PoisonError::into_inner).take()
        }
        _ => None,
    };
    let prepared = match ready {
        Some(prepared) => prepared,
        None => {
            let uses = live.rated.iter().filter_map(|(grant, _)| {
                let uses = writes.uses.get(&counter(ctx, live, *grant)?)?;
                Some((*grant, u32::try_from(*uses).unwrap_or(u32::MAX)))
            });
            prepare(inner.approval, item, live, uses.collect())?
        }
    };
    let Prepared { decided, row, entry } = prepared;
    let verdict = &decided.verdict;
    if verdict.outcome == Outcome::Approved {
        let counted = verdict.counted_grant.and_then(|grant| counter(ctx, live, grant));
        if let Some(uses) = counted.and_then(|key| writes.uses.get_mut(&key)) {
            *uses += 1;
        }
        if let Some(decider) = &verdict.decided_by
            && live.notes_use(decider.id, ctx.now)
        {
            writes
                .grants_used
                .insert((ctx.organization, grant_id(decider.id)), ctx.now);
        }
    }
    let reason_codes: Vec<&str> = aim_decision::slugs(&verdict.reasons);
    if verdict.outcome == Outcome::Denied {
        note_violation(item, live, &decided, &reason_codes, writes);
    }
    metrics::counter!("aim_decisions_total", "outcome" => verdict.outcome.as_str(),
        "reason" => reason_codes.first().copied().unwrap_or("none"))
    .increment(1);
    writes.entries.push(entry);
    writes.decisions.push(row);
    if !live.is_noted(ctx.now) && !writes.snapshots.iter().any(|known| Arc::ptr_eq(known, live)) {
        writes.snapshots.push(Arc::clone(live));
    }
    Ok(decided)
}

fn text(bytes: Vec<u8>) -> aim_store::Result<String> {
    String::from_utf8(bytes).map_err(|error| aim_store::Error::Corrupt(error.to_string()))
}

/// Every denial is a violation, with its group and its counts.
fn note_violation(
    item: &Item,
    live: &LiveSnapshot,
    decided: &Decided,
    reason_codes: &[&str],
    writes: &mut Writes,
) {
    let ctx = &item.ctx;
    let verdict = &decided.verdict;
    let severity = verdict
        .severity
        .map_or("low", |severity| severity.as_str())
        .to_owned();
    let id: ViolationId = ctx.new_id();
    let context = serde_json::to_string(&item.context).unwrap_or_default();
    let context = if context.len() <= LARGEST_COPIED_CONTEXT {
        Value::Object(item.context.clone())
    } else {
        json!({"left_out": "the context is larger than 8 KiB; see the decision's inputs"})
    };
    let row = ViolationRow {
        org_id: ctx.organization,
        id,
        agent_id: item.agent,
        agent_name: live.agent_name.clone(),
        decision_id: decided.id,
        attempted_capability: item.action.as_str().to_owned(),
        resource: item.resource.clone(),
        registered_capabilities: live.registered.clone(),
        severity: severity.clone(),
        trust_score_impact: i64::from(verdict.trust_score_impact),
        is_blocked: true,
        source_ip: ctx.source_ip.clone(),
        request_metadata: Json(json!({
            "request_id": ctx.request_id,
            "scheme": item.scheme,
            "user_agent": ctx.user_agent,
            "context": context,
        })),
        reason_codes: Json::of(&reason_codes),
        created_at: ctx.now,
    };
    for key in CountKey::of(
        ctx.organization,
        item.agent,
        ctx.now,
        &row.severity,
        item.action.as_str(),
        true,
    ) {
        *writes.counts.entry(key).or_default() += 1;
    }
    writes.violations.push(row);
    let key = GroupKey {
        organization: ctx.organization,
        agent: item.agent,
        attempted_capability: item.action.as_str().to_owned(),
        reason_code: reason_codes.first().copied().unwrap_or("none").to_owned(),
    };
    writes
        .groups
        .entry(key)
        .and_modify(|change| {
            change.count += 1;
            change.last_seen_at = ctx.now;
            change.last_violation_id = id;
            change.severity.clone_from(&severity);
        })
        .or_insert_with(|| GroupChange {
            agent_name: live.agent_name.clone(),
            severity,
            first_seen_at: ctx.now,
            last_seen_at: ctx.now,
            last_violation_id: id,
            count: 1,
        });
}

/// A replay leaves evidence, but an attacker who repeats one request must not fill the disk.
fn note_replay(inner: &Inner, item: &Item, writes: &mut Writes) -> aim_store::Result<()> {
    metrics::counter!("aim_authentication_failures_total", "code" => "auth.signature_replayed").increment(1);
    let fingerprint = match &item.ctx.actor {
        Actor::Agent {
            credential: AgentCredential::Key { fingerprint },
            ..
        } => Some(fingerprint.as_str()),
        _ => None,
    };
    let entry = inner.refusals.entry(&Refusal {
        organization: item.ctx.organization,
        agent: item.agent,
        fingerprint,
        code: "auth.signature_replayed",
        scheme: item.scheme,
        now: item.ctx.now,
        source_ip: item.ctx.source_ip.as_deref(),
        asked: item.action.as_str().to_owned(),
    });
    if let Some(entry) = entry {
        writes.entries.push(aim_audit::seal(entry)?);
    }
    Ok(())
}

/// Writes what was gathered. The log's head comes late, and after it only what names a leaf.
fn write(
    db: &mut Db,
    writes: Writes,
    mut results: Vec<Result<Decided>>,
    now: Timestamp,
) -> aim_store::Result<Batch> {
    let mut snapshots: Vec<_> = writes.snapshots.iter().collect();
    // In a fixed order, so that two nodes that note the same ones wait for each other, not in a ring.
    snapshots.sort_unstable_by_key(|live| live.digest);
    for live in snapshots {
        let organization = aim_core::OrganizationId::from_uuid(live.snapshot.organization_id);
        store::keep_snapshot(db, organization, &live.digest, &live.body()?, now)?;
    }
    store::set_uses(db, &writes.uses)?;
    for ((organization, grant), now) in &writes.grants_used {
        store::note_use(db, *organization, *grant, *now)?;
    }
    insert_many(db, &writes.violations)?;
    counts::add(db, &writes.counts)?;
    groups::upsert(db, &writes.groups)?;
    let is_decision: Vec<bool> = writes.entries.iter().map(Sealed::is_decision).collect();
    let leaves = aim_audit::append_sealed(db, writes.entries)?;
    let mut leaves = leaves
        .into_iter()
        .zip(is_decision)
        .filter_map(|(leaf, decision)| decision.then_some(leaf));
    let mut rows = writes.decisions;
    let decided = results.iter_mut().filter_map(|result| result.as_mut().ok());
    for ((row, decided), leaf) in rows.iter_mut().zip(decided).zip(&mut leaves) {
        row.leaf_index = leaf.index;
        decided.leaf = leaf;
    }
    store::insert_decisions(db, &rows)?;
    Ok(Batch {
        results,
        snapshots: writes.snapshots,
        at: now,
    })
}
