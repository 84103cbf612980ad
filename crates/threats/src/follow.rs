//! The follower that feeds the detectors: it turns records into observations, keeps the watch in memory, and
//! builds it anew from the log when it was not this node that read the records before.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use aim_audit::Record;
use aim_core::{AgentId, DecisionId, OrganizationId, Timestamp};
use aim_decision::CapabilityPattern;
use aim_platform::{Follower, Kernel, ThreatLimits, follow::Effect, refusals::REFUSED};
use aim_store::{Db, Scope};
use chrono::{TimeDelta, Timelike};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use crate::{
    detect::{Decided, Hits, Honeytokens, Known, Observation, Watch, What, baseline::Baseline},
    detector::{Detector, Response},
    respond::Outcome,
    store,
};

/// The follower's name.
pub const NAME: &str = "threats.detect";
/// The audit record of a changed manifest.
const DRIFT: &str = "mcp_server.manifest_drift";
/// How far back the log is read when the watch is built anew.
const LOOK_BACK: TimeDelta = TimeDelta::hours(1);
/// The most records that are read for it.
const LOOK_BACK_RECORDS: i64 = 20_000;
/// How many records are turned into observations at once.
const CHUNK: usize = 1_000;
/// How many baselines are made in one batch.
const BASELINES: usize = 50;

/// The watch, and the record that it expects next.
struct State {
    watch: Watch,
    next: Option<i64>,
}

/// The facts of a decision that detectors look at: the rest is not even taken apart, for most records are decisions.
#[derive(Default, Deserialize)]
#[serde(default)]
struct DecisionFacts {
    capability: String,
    reasons: Vec<String>,
    credential: String,
}

type Ids = Vec<(OrganizationId, AgentId)>;

/// The follower of this installation.
pub(crate) fn follower(kernel: &Kernel) -> Follower {
    let limits = kernel.config.threats;
    let store = kernel.store.clone();
    let state = Arc::new(Mutex::new(State {
        watch: Watch::new(limits),
        next: None,
    }));
    Follower::new(NAME, false, move |now, records: Arc<[Record]>| {
        let (store, state) = (store.clone(), Arc::clone(&state));
        async move {
            let mut state = state.lock_owned().await;
            let outcome = store
                .read(Scope::Installation, move |db| {
                    consider(db, &mut state, &limits, now, &records)
                })
                .await?;
            Ok(outcome.map(|outcome| {
                let effect: Effect = Box::new(move |db: &mut Db| outcome.write(db, &limits));
                effect
            }))
        }
    })
}

/// One batch: brings the watch to where it begins, and looks at each record.
fn consider(
    db: &mut Db,
    state: &mut State,
    limits: &ThreatLimits,
    now: Timestamp,
    records: &[Record],
) -> aim_store::Result<Option<Outcome>> {
    let Some((first, last)) = records.first().zip(records.last()) else {
        return Ok(None);
    };
    if state.next != Some(first.leaf_index) {
        // A restart, another node before, or a batch that comes again: what is in memory does not count.
        state.next = None;
        state.watch = rebuilt(db, limits, first)?;
    }
    // Until this batch is through, the memory is neither here nor there.
    state.next = None;
    let observations = observations(db, records)?;
    let mut outcome = Outcome::default();
    if !observations.is_empty() {
        let tokens = honeytokens(db, &observations)?;
        let mut hits = Hits::default();
        learn(db, &mut state.watch, &observations, first.leaf_index)?;
        for seen in &observations {
            state
                .watch
                .observe(seen, &tokens, &mut hits, &mut outcome.sources);
        }
        make_baselines(db, &mut state.watch, limits, now, &mut hits)?;
        outcome.hits = hits.into_map();
        settings(db, &mut outcome)?;
    }
    state.next = Some(last.leaf_index + 1);
    Ok((!outcome.is_empty()).then_some(outcome))
}

/// The watch as it was before `first`: from the last hour of the log, without telling anybody again.
fn rebuilt(db: &mut Db, limits: &ThreatLimits, first: &Record) -> aim_store::Result<Watch> {
    let mut watch = Watch::new(*limits);
    let since = first.created_at - LOOK_BACK;
    let records = store::records_before(db, since, first.leaf_index, LOOK_BACK_RECORDS)?;
    let (none, mut hits, mut sources) = (Honeytokens::new(), Hits::default(), Vec::new());
    for chunk in records.chunks(CHUNK) {
        let observations = observations(db, chunk)?;
        let before = chunk.first().map_or(0, |record| record.leaf_index);
        learn(db, &mut watch, &observations, before)?;
        for seen in &observations {
            watch.observe(seen, &none, &mut hits, &mut sources);
        }
    }
    Ok(watch)
}

/// What the records say to detectors. One query for all decisions.
fn observations(db: &mut Db, records: &[Record]) -> aim_store::Result<Vec<Observation>> {
    let wanted: Vec<(&Record, Option<DecisionId>)> = records
        .iter()
        .filter(|record| record.kind == "decision" || record.action == REFUSED || record.action == DRIFT)
        .map(|record| (record, decision_of(record)))
        .collect();
    let ids: Vec<DecisionId> = wanted.iter().filter_map(|(_, id)| *id).collect();
    let mut organizations: Vec<OrganizationId> = wanted.iter().map(|(record, _)| record.org_id).collect();
    organizations.sort_unstable();
    organizations.dedup();
    let mut sources = store::sources_of_decisions(db, &organizations, &ids)?;
    Ok(wanted
        .into_iter()
        .map(|(record, id)| {
            let source = id.and_then(|id| sources.remove(&id)).flatten();
            observation(record, source)
        })
        .collect())
}

fn decision_of(record: &Record) -> Option<DecisionId> {
    (record.kind == "decision")
        .then(|| record.target_id.as_deref()?.parse().ok())
        .flatten()
}

fn observation(record: &Record, source: Option<String>) -> Observation {
    // A leaf of a later version reads as one without facts: what it has in its columns still counts.
    let what = if record.kind == "decision" {
        let facts: DecisionFacts = record.facts().unwrap_or_default();
        What::Decision(Decided {
            capability: facts.capability,
            outcome: record.outcome.clone(),
            reasons: facts.reasons,
            credential: facts.credential,
            source,
        })
    } else if record.action == REFUSED {
        let facts: Map<String, Value> = record.facts().unwrap_or_default();
        let text = |name: &str| facts.get(name).and_then(Value::as_str).map(str::to_owned);
        let details = record.details.as_ref();
        What::Refused {
            code: text("code").unwrap_or_default(),
            fingerprint: text("fingerprint"),
            held_back: facts.get("held_back").and_then(Value::as_u64).unwrap_or(0),
            source: details
                .and_then(|details| details.get("source_ip"))
                .and_then(Value::as_str)
                .map(str::to_owned),
        }
    } else {
        let mut facts: Map<String, Value> = record.facts().unwrap_or_default();
        let name = record.details.as_ref().and_then(|details| details.get("name"));
        facts.insert("name".to_owned(), name.cloned().unwrap_or_default());
        What::Drift {
            server: record.target_id.clone().unwrap_or_default(),
            facts,
        }
    };
    Observation {
        index: record.leaf_index,
        at: record.created_at,
        organization: record.org_id,
        // A drift is about the server, whoever submitted the manifest.
        agent: record.agent_id.filter(|_| record.action != DRIFT),
        what,
    }
}

/// Takes agents that are not under watch yet under it, as they were before the record `before`.
fn learn(db: &mut Db, watch: &mut Watch, observations: &[Observation], before: i64) -> aim_store::Result<()> {
    let unknown: HashSet<(OrganizationId, AgentId)> = observations
        .iter()
        .filter_map(|seen| Some((seen.organization, seen.agent?)))
        .filter(|(organization, agent)| !watch.knows(*organization, *agent))
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let unknown: Ids = unknown.into_iter().collect();
    let mut known: HashMap<(OrganizationId, AgentId), Known> = HashMap::new();
    for (organization, agent, registered_at, _) in store::registrations(db, &unknown)? {
        known.entry((organization, agent)).or_default().registered_at = Some(registered_at);
    }
    for (organization, agent, network, first, last) in store::sources(db, &unknown)? {
        let agent = known.entry((organization, agent)).or_default();
        agent.sources.push((network, first, last));
    }
    for id in unknown {
        let mut known = known.remove(&id).unwrap_or_default();
        known.last_action = store::last_action(db, id, before)?;
        watch.learn(id.0, id.1, known);
    }
    Ok(())
}

/// Makes some of the baselines that are wanted; the rest follow with the next batches.
fn make_baselines(
    db: &mut Db,
    watch: &mut Watch,
    limits: &ThreatLimits,
    now: Timestamp,
    hits: &mut Hits,
) -> aim_store::Result<()> {
    let wanted = watch.wanting_baselines(BASELINES);
    if wanted.is_empty() {
        return Ok(());
    }
    let past = TimeDelta::seconds(now.timestamp().rem_euclid(3_600))
        + TimeDelta::nanoseconds(i64::from(now.nanosecond()));
    let this_hour = now - past;
    let from = this_hour - TimeDelta::days(limits.baseline_days);
    let hours = store::hours(db, &wanted, from, this_hour)?;
    for (organization, agent) in wanted {
        let baseline = hours
            .get(&(organization, agent))
            .and_then(|hours| Baseline::of(hours, this_hour, limits));
        watch.set_baseline(organization, agent, baseline, this_hour, hits);
    }
    Ok(())
}

fn honeytokens(db: &mut Db, observations: &[Observation]) -> aim_store::Result<Honeytokens> {
    let mut organizations: Vec<OrganizationId> = observations.iter().map(|seen| seen.organization).collect();
    organizations.sort_unstable();
    organizations.dedup();
    let mut tokens = Honeytokens::new();
    for row in store::honeytokens(db, &organizations)? {
        // What no service of this crate would have written cannot be matched.
        if let Ok(pattern) = CapabilityPattern::try_from(row.capability.as_str()) {
            tokens.entry(row.org_id).or_default().push(pattern);
        }
    }
    Ok(tokens)
}

/// Adds what is needed to write the hits: what they lead to, and the agents' names.
fn settings(db: &mut Db, outcome: &mut Outcome) -> aim_store::Result<()> {
    if outcome.hits.is_empty() {
        return Ok(());
    }
    let mut organizations: Vec<OrganizationId> = outcome
        .hits
        .keys()
        .map(|(organization, ..)| *organization)
        .collect();
    organizations.dedup();
    for row in store::policies(db, &organizations)? {
        if let (Some(detector), Some(response)) =
            (Detector::parse(&row.detector), Response::parse(&row.response))
        {
            outcome.policies.insert((row.org_id, detector), response);
        }
    }
    let agents: Ids = outcome
        .hits
        .keys()
        .filter_map(|(organization, agent, ..)| Some((*organization, (*agent)?)))
        .collect();
    for (organization, agent, _, name) in store::registrations(db, &agents)? {
        outcome.names.insert((organization, agent), name);
    }
    Ok(())
}
