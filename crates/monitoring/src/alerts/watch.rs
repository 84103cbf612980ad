//! What in the audit log raises alerts: denials that come in bursts, critical violations, keys that expire
//! soon, trust scores below their threshold, suspended agents.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use aim_audit::Record;
use aim_core::{AgentId, Id, OrganizationId, Result, Timestamp, id::uuid_at};
use aim_decision::Severity;
use aim_platform::{Follower, Kernel, follow::Effect};
use aim_store::{
    Db, Scope, Store, each,
    schema::{agents, violations},
};
use chrono::TimeDelta;
use diesel::{ExpressionMethods, QueryDsl, RunQueryDsl};
use serde_json::{Value, json};

use super::{
    model::{AlertKind, NewAlert},
    raise,
    rules::{self, Rule},
};

/// How many agents' latest denials are remembered; those that were quiet longest are forgotten first.
const MOST_AGENTS: usize = 20_000;

type Subject = (OrganizationId, AgentId);

/// What is remembered between batches.
#[derive(Default)]
struct Memory {
    /// The index that comes next if nothing was missed.
    next: i64,
    /// The latest denials of each agent, as many as make a burst.
    denials: HashMap<Subject, VecDeque<Timestamp>>,
}

/// The follower that raises alerts.
pub(crate) fn follower(kernel: &Kernel) -> Follower {
    let store = kernel.store.clone();
    let memory = Arc::new(Mutex::new(Memory::default()));
    Follower::new("monitoring.alerts", false, move |_, records: Arc<[Record]>| {
        let (store, memory) = (store.clone(), Arc::clone(&memory));
        async move { consider(&store, &memory, &records).await }
    })
}

async fn consider(store: &Store, memory: &Mutex<Memory>, records: &[Record]) -> Result<Option<Effect>> {
    let mut denied: HashSet<Subject> = records.iter().filter_map(denied_subject).collect();
    let needs_rules: HashSet<OrganizationId> = denied.iter().map(|(organization, _)| *organization).collect();
    let mut burst_rules = HashMap::new();
    if !needs_rules.is_empty() {
        let organizations: Vec<_> = needs_rules.into_iter().collect();
        let rows = store
            .read(Scope::Installation, move |db| {
                rules::rows_of_kind(db, &organizations, AlertKind::DenialsBurst)
            })
            .await?;
        burst_rules.extend(
            rows.iter()
                .filter_map(|row| row.rule().map(|rule| (row.org_id, rule))),
        );
    }
    let rule_of = |organization: OrganizationId| {
        let default = Rule::default_of(AlertKind::DenialsBurst);
        burst_rules.get(&organization).copied().unwrap_or(default)
    };
    denied.retain(|subject| rule_of(subject.0).enabled);
    let unknown: Vec<(Subject, Rule)> = {
        let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
        let first = records.first().map_or(0, |record| record.leaf_index);
        if memory.next != first {
            // A batch came again, or another node had the ones before: what is remembered may be wrong.
            memory.denials.clear();
        }
        let unknown = denied
            .iter()
            .filter(|subject| !memory.denials.contains_key(*subject));
        unknown.map(|subject| (*subject, rule_of(subject.0))).collect()
    };
    let start = records.first().map(|record| record.created_at);
    if let Some(start) = start.filter(|_| !unknown.is_empty()) {
        let earlier = store
            .read(Scope::Installation, move |db| {
                unknown
                    .iter()
                    .map(|(subject, rule)| Ok((*subject, denials_before(db, *subject, start, rule)?)))
                    .collect::<aim_store::Result<Vec<_>>>()
            })
            .await?;
        let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.denials.extend(earlier);
    }

    let mut alerts = Vec::new();
    {
        let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
        for record in records {
            if let Some(subject) = denied_subject(record).filter(|subject| denied.contains(subject)) {
                let rule = rule_of(subject.0);
                let latest = memory.denials.entry(subject).or_default();
                alerts.extend(burst(latest, record, subject, &rule));
            }
            alerts.extend(alert_of(record));
        }
        memory.next = records.last().map_or(0, |record| record.leaf_index + 1);
        forget(&mut memory.denials);
    }
    if alerts.is_empty() {
        return Ok(None);
    }
    let names = name_agents(store, &alerts).await?;
    for alert in &mut alerts {
        let name = alert
            .agent
            .and_then(|agent| names.get(&(alert.organization, agent)));
        alert.title = alert
            .title
            .replace("{agent}", name.map_or("an agent", String::as_str));
    }
    Ok(Some(Box::new(move |db| {
        let mut entries = Vec::new();
        for alert in &alerts {
            entries.extend(raise(db, alert)?.entries);
        }
        aim_audit::append(db, entries).map(|_| ())
    })))
}

/// Whose denial a record is.
fn denied_subject(record: &Record) -> Option<Subject> {
    let is_denial = record.kind == "decision" && record.outcome == "denied";
    is_denial
        .then_some(record.agent_id)?
        .map(|agent| (record.org_id, agent))
}

/// Adds a denial to the agent's latest; when there are enough of them in the window, that is a burst. What
/// made one does not count for the next.
fn burst(
    latest: &mut VecDeque<Timestamp>,
    record: &Record,
    subject: Subject,
    rule: &Rule,
) -> Option<NewAlert> {
    let enough = usize::try_from(rule.threshold).unwrap_or(usize::MAX).max(1);
    latest.push_back(record.created_at);
    while latest.len() > enough {
        latest.pop_front();
    }
    let first = *latest.front()?;
    let window = TimeDelta::minutes(rule.window_minutes);
    if latest.len() < enough || record.created_at - first > window {
        return None;
    }
    latest.clear();
    Some(NewAlert {
        organization: subject.0,
        agent: Some(subject.1),
        kind: AlertKind::DenialsBurst,
        severity: Severity::High,
        title: format!(
            "{{agent}} was denied {} times within {} minutes",
            rule.threshold, rule.window_minutes
        ),
        detail: json!({
            "denials": rule.threshold,
            "threshold": rule.threshold,
            "window_minutes": rule.window_minutes,
            "from": first,
            "to": record.created_at,
            "leaf_index": record.leaf_index,
        }),
        dedupe_key: format!("denials_burst:{}", subject.1),
        at: record.created_at,
    })
}

/// The agent's denials before `start`, as many as could be part of a burst, the earliest first.
fn denials_before(
    db: &mut Db,
    (organization, agent): Subject,
    start: Timestamp,
    rule: &Rule,
) -> aim_store::Result<VecDeque<Timestamp>> {
    let since = start - TimeDelta::minutes(rule.window_minutes);
    // Ids carry their time, and are what the index has.
    let floor = Id::from_uuid(floor_of(since));
    let mut times: Vec<Timestamp> = each!(db, c => violations::table
        .filter(violations::org_id.eq(organization))
        .filter(violations::agent_id.eq(agent))
        .filter(violations::id.ge::<aim_core::ViolationId>(floor))
        .filter(violations::created_at.lt(start))
        .order(violations::id.desc())
        .limit(rule.threshold.saturating_sub(1))
        .select(violations::created_at)
        .load(c))?;
    times.reverse();
    Ok(times.into())
}

/// The lowest UUIDv7 of a moment.
fn floor_of(moment: Timestamp) -> uuid::Uuid {
    let mut bytes = *uuid_at(moment).as_bytes();
    for (place, byte) in bytes.iter_mut().enumerate() {
        if place >= 6 {
            *byte = 0;
        }
    }
    uuid::Uuid::from_bytes(bytes)
}

fn forget(denials: &mut HashMap<Subject, VecDeque<Timestamp>>) {
    if denials.len() <= MOST_AGENTS {
        return;
    }
    let mut latest: Vec<Timestamp> = denials
        .values()
        .filter_map(|times| times.back().copied())
        .collect();
    latest.sort_unstable();
    let half = latest.get(latest.len() / 2).copied();
    denials.retain(|_, times| times.back().copied() > half);
}

/// The alert that one record is by itself.
fn alert_of(record: &Record) -> Option<NewAlert> {
    match (record.kind.as_str(), record.action.as_str()) {
        ("decision", _) if record.outcome == "denied" => critical_violation(record),
        ("event", "agent_key.expiry_warning") => key_expiring(record),
        ("event", "agent.suspended") => Some(agent_suspended(record)),
        ("event", "trust.threshold_crossed") => Some(trust_low(record)),
        _ => None,
    }
}

/// One alert an agent, whatever it tries: an agent that makes up names of capabilities cannot make up alerts.
fn critical_violation(record: &Record) -> Option<NewAlert> {
    // The leaf is read only where it can say so.
    if !record.leaf.contains(r#""severity":"critical""#) {
        return None;
    }
    let facts = facts_of(record);
    if facts.get("severity").and_then(Value::as_str) != Some("critical") {
        return None;
    }
    let capability = facts
        .get("capability")
        .and_then(Value::as_str)
        .unwrap_or_default();
    Some(NewAlert {
        detail: json!({
            "capability": capability,
            "reasons": facts.get("reasons"),
            "decision_id": record.target_id,
            "leaf_index": record.leaf_index,
        }),
        ..about(
            record,
            AlertKind::CriticalViolation,
            Severity::Critical,
            format!("{{agent}} tried {capability} and was denied"),
        )
    })
}

fn key_expiring(record: &Record) -> Option<NewAlert> {
    let facts = facts_of(record);
    let days = facts.get("days_left")?.as_i64()?;
    let severity = match days {
        ..=1 => Severity::High,
        2..=7 => Severity::Medium,
        _ => Severity::Low,
    };
    let fingerprint = facts
        .get("fingerprint")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let within = if days == 1 {
        "a day".to_owned()
    } else {
        format!("{days} days")
    };
    Some(NewAlert {
        detail: json!({
            "fingerprint": fingerprint,
            "days_left": days,
            "expires_at": facts.get("expires_at"),
            "leaf_index": record.leaf_index,
        }),
        dedupe_key: format!("key_expiring:{fingerprint}"),
        ..about(
            record,
            AlertKind::KeyExpiring,
            severity,
            format!("The key of {{agent}} expires within {within}"),
        )
    })
}

fn agent_suspended(record: &Record) -> NewAlert {
    let by = match record.actor_kind.as_str() {
        "system" => "AIM itself",
        "api_key" => "an API key",
        _ => "a user",
    };
    about(
        record,
        AlertKind::AgentSuspended,
        Severity::Medium,
        format!("{{agent}} was suspended by {by}"),
    )
}

fn trust_low(record: &Record) -> NewAlert {
    let facts = facts_of(record);
    let number = |name: &str| facts.get(name).and_then(Value::as_i64);
    let title = match (number("score"), number("threshold")) {
        (Some(score), Some(threshold)) => {
            format!("The trust score of {{agent}} fell to {score}, below {threshold}")
        }
        _ => "The trust score of {agent} fell below its threshold".to_owned(),
    };
    let mut detail = facts;
    if let Some(object) = detail.as_object_mut() {
        object.insert("leaf_index".to_owned(), json!(record.leaf_index));
    }
    NewAlert {
        detail,
        ..about(record, AlertKind::TrustLow, Severity::High, title)
    }
}

/// An alert about a record's agent, with the record as its evidence.
fn about(record: &Record, kind: AlertKind, severity: Severity, title: String) -> NewAlert {
    let subject = record.agent_id.map(|agent| agent.to_string());
    NewAlert {
        organization: record.org_id,
        agent: record.agent_id,
        kind,
        severity,
        title,
        detail: json!({"leaf_index": record.leaf_index, "action": record.action}),
        dedupe_key: format!("{}:{}", kind.as_str(), subject.unwrap_or_default()),
        at: record.created_at,
    }
}

/// The facts in a record's leaf.
pub(crate) fn facts_of(record: &Record) -> Value {
    record.facts().unwrap_or_default()
}

async fn name_agents(store: &Store, alerts: &[NewAlert]) -> Result<HashMap<Subject, String>> {
    let ids: Vec<AgentId> = alerts.iter().filter_map(|alert| alert.agent).collect();
    let organizations: Vec<OrganizationId> = alerts.iter().map(|alert| alert.organization).collect();
    let rows: Vec<(OrganizationId, AgentId, String)> = store
        .read(Scope::Installation, move |db| {
            Ok(each!(db, c => agents::table
                .filter(agents::org_id.eq_any(&organizations))
                .filter(agents::id.eq_any(&ids))
                .select((agents::org_id, agents::id, agents::name))
                .load(c))?)
        })
        .await?;
    Ok(rows
        .into_iter()
        .map(|(organization, agent, name)| ((organization, agent), name))
        .collect())
}
