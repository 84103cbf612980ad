//! Following the log: who was touched by what. An agent is marked at most once in a while however much it
//! does, so that thousands of decisions a second cost a handful of writes.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use aim_audit::Record;
use aim_core::{AgentId, OrganizationId, Result, Timestamp};
use aim_platform::{Follower, Kernel, follow::Effect};
use aim_store::{Scope, Store};
use chrono::TimeDelta;

use crate::{
    jobs::RECOMPUTE,
    store::{self, EventRow},
    words::{self, Meaning},
};

/// The follower's name.
pub const CHANGES: &str = "trust.changes";
/// How soon an agent that was touched is computed again, at the earliest: time for others who follow the log
/// to count the same records.
const SOON: TimeDelta = TimeDelta::seconds(5);
/// An agent is computed again at most once in this time for its decisions.
pub const PACE: TimeDelta = TimeDelta::seconds(60);
/// How many agents are remembered as marked.
const REMEMBERED: usize = 100_000;

type AgentOf = (OrganizationId, AgentId);

/// Which agents need no mark until when, because they are marked for later than that.
#[derive(Default)]
struct Marked {
    next_index: i64,
    until: HashMap<AgentOf, Timestamp>,
}

/// The follower.
pub(crate) fn follower(kernel: &Kernel) -> Follower {
    let store = kernel.store.clone();
    let marked = Arc::new(Mutex::new(Marked::default()));
    Follower::new(CHANGES, true, move |now, records| {
        let (store, marked) = (store.clone(), Arc::clone(&marked));
        async move { consider(&store, &marked, now, &records).await }
    })
}

async fn consider(
    store: &Store,
    marked: &Mutex<Marked>,
    now: Timestamp,
    records: &[Record],
) -> Result<Option<Effect>> {
    let (events, busy, urgent) = sort(marked, now, records);
    let asked: Vec<AgentOf> = busy.clone();
    let times = if asked.is_empty() {
        Vec::new()
    } else {
        store
            .read(Scope::Installation, move |db| store::times(db, &asked))
            .await?
    };
    let known: HashMap<AgentOf, (Option<Timestamp>, Option<Timestamp>)> = times
        .into_iter()
        .map(|(organization, agent, computed, next)| ((organization, agent), (computed, next)))
        .collect();
    // In one order everywhere: who locks rows in different orders may wait for one another.
    let mut touched: BTreeMap<AgentOf, Timestamp> = BTreeMap::new();
    let mut until: Vec<(AgentOf, Timestamp)> = Vec::new();
    for agent in busy {
        let (computed, next) = known.get(&agent).copied().unwrap_or_default();
        let due = computed.map_or(now + SOON, |computed| (computed + PACE).max(now + SOON));
        match next {
            // Marked for later than now already: whoever computes then sees what happened now.
            Some(next) if next > now + SOON && next <= due => until.push((agent, next)),
            _ => {
                touched.insert(agent, due);
                until.push((agent, now + SOON));
            }
        }
    }
    for agent in urgent {
        touched.insert(agent, now + SOON);
    }
    let mut memory = marked.lock().unwrap_or_else(PoisonError::into_inner);
    if memory.until.len() > REMEMBERED {
        memory.until.retain(|_, until| *until > now);
    }
    memory.until.extend(until);
    drop(memory);
    if touched.is_empty() && events.is_empty() {
        return Ok(None);
    }
    let touched: Vec<(OrganizationId, AgentId, Timestamp)> = touched
        .into_iter()
        .map(|((organization, agent), due)| (organization, agent, due))
        .collect();
    Ok(Some(Box::new(move |db| {
        store::add_events(db, &events)?;
        store::mark(db, &touched)
    })))
}

/// The events to be noted, the agents with decisions that are not marked for later, and those with events.
fn sort(
    marked: &Mutex<Marked>,
    now: Timestamp,
    records: &[Record],
) -> (Vec<EventRow>, Vec<AgentOf>, Vec<AgentOf>) {
    let mut memory = marked.lock().unwrap_or_else(PoisonError::into_inner);
    let first = records.first().map_or(0, |record| record.leaf_index);
    if memory.next_index != first {
        // Another node read in between, or a batch failed: what is remembered may not be so.
        memory.until.clear();
    }
    memory.next_index = records.last().map_or(first, |record| record.leaf_index + 1);
    let (mut events, mut busy, mut urgent) = (Vec::new(), Vec::new(), Vec::new());
    for record in records {
        let Some(agent) = record.agent_id else { continue };
        let whose = (record.org_id, agent);
        if record.kind == "decision" {
            if memory.until.get(&whose).is_none_or(|until| *until <= now) {
                // Until the batch is through; what comes after is said by whoever considers it.
                memory.until.insert(whose, now + PACE);
                busy.push(whose);
            }
        } else if let Some(meaning) = words::meaning(&record.action) {
            urgent.push(whose);
            events.push(noted(record, agent, meaning));
        }
    }
    (events, busy, urgent)
}

fn noted(record: &Record, agent: AgentId, meaning: &Meaning) -> EventRow {
    // What trust did itself must not lower trust again.
    let ours = record.actor_kind == "system" && record.actor_id.as_deref() == Some(RECOMPUTE);
    EventRow {
        org_id: record.org_id,
        agent_id: agent,
        leaf_index: record.leaf_index,
        action: record.action.clone(),
        points: if ours { 0 } else { meaning.points },
        created_at: record.created_at,
    }
}
