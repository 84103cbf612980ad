//! What the records of the log say of accesses to secrets.

use std::collections::HashMap;

use aim_audit::Record;
use aim_core::{DecisionId, Json, OrganizationId, Timestamp};
use aim_store::{Db, Result};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    model::AccessId,
    store::{self, AccessRow, DecisionPart, KnownSecret},
};
use crate::vault::{
    path::SecretPath,
    reads::{PART, READ_ACTION},
    recent::{RecentRead, RecentReads},
};

/// The record that nothing was handed over though the decision said yes.
const UNDELIVERED: &str = "secret.not_delivered";
/// The `delivery` of a secret that left in an export.
pub(super) const EXPORTED: &str = "exported";
/// The `delivery` of a secret that was sealed to its reader.
const SEALED: &str = "sealed";
/// The record that a wrap token was brought again.
const WRAP_REUSED: &str = "secret.wrap_reused";
/// The record that an OAuth token could not be refreshed.
const REFRESH_FAILED: &str = "secret.refresh_failed";
/// So many failures in a row of a refresh that is tried again are more than a hiccup.
const FAILURES: i64 = 3;

/// An access, with what only the detectors look at.
#[derive(Debug, Clone)]
pub(super) struct Touch {
    pub(super) row: AccessRow,
    /// Whether the agent itself asked: somebody who holds a key that has ended shows nothing about the agent, and must
    /// not be able to have it stopped.
    pub(super) by_a_valid_key: bool,
    /// Whether there is such a secret. What is asked for where there is none is listed, and not counted: anybody could fill
    /// the counts with paths.
    pub(super) is_there: bool,
}

/// An event about a secret that is a finding by itself.
#[derive(Debug, Clone)]
pub(super) struct Incident {
    pub(super) organization: OrganizationId,
    pub(super) path: String,
    pub(super) at: Timestamp,
    pub(super) leaf_index: i64,
    pub(super) what: What,
}

/// What happened.
#[derive(Debug, Clone)]
pub(super) enum What {
    /// A wrap token was brought again.
    WrapReused {
        wrap: String,
        used_at: Option<String>,
        source: Option<String>,
    },
    /// An OAuth token could not be refreshed.
    RefreshFailed {
        is_refused: bool,
        failures: i64,
        reason: String,
    },
}

/// A batch of records, understood.
#[derive(Debug, Clone, Default)]
pub(super) struct Understood {
    pub(super) touches: Vec<Touch>,
    pub(super) incidents: Vec<Incident>,
    /// Decisions whose secret was not handed over in the end.
    pub(super) undelivered: Vec<(OrganizationId, aim_core::AgentId, DecisionId)>,
}

impl Understood {
    pub(super) fn is_empty(&self) -> bool {
        self.touches.is_empty() && self.incidents.is_empty() && self.undelivered.is_empty()
    }
}

/// The facts of a decision that tell of a read.
#[derive(Deserialize)]
struct DecisionFacts {
    capability: String,
    /// Which part of the server asked for the decision.
    #[serde(default)]
    within: Option<String>,
    #[serde(default)]
    reasons: Vec<String>,
}

/// The part of a decision's inputs that the vault wrote.
#[derive(Default, Deserialize)]
struct Inputs {
    #[serde(default)]
    call: Call,
}

#[derive(Default, Deserialize)]
struct Call {
    #[serde(default)]
    context: Context,
}

#[derive(Default, Deserialize)]
struct Context {
    #[serde(default)]
    secret: Own,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Own {
    version: Option<i64>,
    seal_to: Option<String>,
    delivery: Option<String>,
}

/// What an organisation's own code writes into `delivery`, cut to a sane length.
const LONGEST_DELIVERY: usize = 40;

/// Understands a batch: one query for all decisions that are not `recent`, and one for all secrets that these do not tell of.
pub(super) fn understand(db: &mut Db, recent: &RecentReads, records: &[Record]) -> Result<Understood> {
    let mut reads: Vec<(&Record, DecisionId, DecisionFacts)> = Vec::new();
    let mut understood = Understood::default();
    for record in records {
        // The leaf is looked into only where it can be about a secret: most records are not.
        if record.kind == "decision" {
            if record.leaf.contains(READ_ACTION)
                && let Some(facts) = record.facts::<DecisionFacts>()
                && facts.capability == READ_ACTION
                && let Some(id) = decision_of(record)
            {
                match recent.take(id) {
                    Some(read) => understood.touches.push(found(record, id, &facts, read)),
                    None => reads.push((record, id, facts)),
                }
            }
        } else if record.action == UNDELIVERED {
            if let (Some(agent), Some(id)) = (record.agent_id, decision_of(record)) {
                understood.undelivered.push((record.org_id, agent, id));
            }
        } else if matches!(record.action.as_str(), WRAP_REUSED | REFRESH_FAILED) {
            understood.incidents.extend(happened(record));
        } else if record.action.starts_with("secret.")
            && record.leaf.contains("\"delivery\":")
            && let Some(touch) = record.facts().and_then(|facts| delivered(record, &facts))
        {
            understood.touches.push(touch);
        }
    }
    let ids: Vec<DecisionId> = reads.iter().map(|(_, id, _)| *id).collect();
    let mut organizations: Vec<OrganizationId> = reads.iter().map(|(record, ..)| record.org_id).collect();
    organizations.extend(understood.touches.iter().map(|touch| touch.row.org_id));
    organizations.sort_unstable();
    organizations.dedup();
    let mut parts = store::decisions_of(db, &organizations, &ids)?;
    understood.touches.extend(
        reads
            .into_iter()
            .filter_map(|(record, id, facts)| decided(record, id, &facts, parts.remove(&id)?)),
    );
    understood.touches.sort_by_key(|touch| touch.row.leaf_index);
    look_up_secrets(db, &organizations, &mut understood.touches)?;
    Ok(understood)
}

/// Which of the secrets are there, and which version was the newest.
fn look_up_secrets(db: &mut Db, organizations: &[OrganizationId], touches: &mut [Touch]) -> Result<()> {
    let unknown = touches.iter().filter(|touch| !touch.is_there);
    let mut paths: Vec<String> = unknown.map(|touch| touch.row.path.clone()).collect();
    paths.sort_unstable();
    paths.dedup();
    let secrets: HashMap<(OrganizationId, String), KnownSecret> =
        store::secrets_at(db, organizations, &paths)?;
    for touch in touches.iter_mut().filter(|touch| !touch.is_there) {
        let secret = secrets.get(&(touch.row.org_id, touch.row.path.clone()));
        touch.is_there = secret.is_some();
        if touch.row.outcome == "approved" && touch.row.version.is_none() {
            touch.row.version = match secret {
                Some(secret) if secret.updated_at <= touch.row.at => Some(secret.current_version),
                // It was written since: which version it was then, the versions say.
                Some(secret) => store::version_at(db, secret, touch.row.at)?,
                None => None,
            };
        }
    }
    Ok(())
}

fn text(facts: &Map<String, Value>, name: &str) -> Option<String> {
    facts.get(name).and_then(Value::as_str).map(str::to_owned)
}

fn decision_of(record: &Record) -> Option<DecisionId> {
    record.target_id.as_deref()?.parse().ok()
}

fn actor_of(record: &Record) -> String {
    match &record.actor_id {
        Some(id) => format!("{}:{id}", record.actor_kind),
        None => record.actor_kind.clone(),
    }
}

/// A decision on `secret:read`. A resource that is no path of a secret is none.
fn decided(record: &Record, id: DecisionId, facts: &DecisionFacts, part: DecisionPart) -> Option<Touch> {
    let path = part.resource.filter(|path| SecretPath::parse(path).is_ok())?;
    // An agent writes what it likes into the context of an action that it asks for by itself, and gets nothing for it.
    let own = if facts.within.as_deref() == Some(PART) {
        let inputs = serde_json::from_str::<Inputs>(&part.inputs).unwrap_or_default();
        inputs.call.context.secret
    } else {
        Own::default()
    };
    let delivery = own.delivery.or_else(|| own.seal_to.map(|_| SEALED.to_owned()));
    let row = AccessRow {
        version: own.version,
        delivery: delivery
            .filter(|_| record.outcome == "approved")
            .map(|word| word.chars().take(LONGEST_DELIVERY).collect()),
        decided_by: part.decider,
        source_ip: part.source_ip,
        ..row_of(record, id, path, facts)
    };
    Some(touch_of(row, facts, false))
}

/// A read that this process approved just now, of a secret that was there.
fn found(record: &Record, id: DecisionId, facts: &DecisionFacts, read: RecentRead) -> Touch {
    let row = AccessRow {
        version: Some(read.version),
        delivery: Some(SEALED.to_owned()),
        decided_by: read.decider,
        source_ip: read.source_ip,
        ..row_of(record, id, read.path, facts)
    };
    touch_of(row, facts, true)
}

/// What the record says by itself.
fn row_of(record: &Record, id: DecisionId, path: String, facts: &DecisionFacts) -> AccessRow {
    AccessRow {
        org_id: record.org_id,
        id: AccessId::from_uuid(id.uuid()),
        decision_id: Some(id),
        path,
        agent_id: record.agent_id,
        actor: actor_of(record),
        at: record.created_at,
        version: None,
        delivery: None,
        outcome: record.outcome.clone(),
        decided_by: None,
        reasons: Json::of(&facts.reasons),
        source_ip: None,
        leaf_index: record.leaf_index,
    }
}

fn touch_of(row: AccessRow, facts: &DecisionFacts, is_there: bool) -> Touch {
    Touch {
        by_a_valid_key: !facts.reasons.iter().any(|reason| reason.starts_with("key.")),
        is_there,
        row,
    }
}

/// An event that is a finding by itself; a refresh that failed once or twice and is tried again is none.
fn happened(record: &Record) -> Option<Incident> {
    let (facts, details): (Map<String, Value>, _) = (record.facts()?, record.details.as_ref()?);
    let detail = |name: &str| details.get(name).and_then(Value::as_str).map(str::to_owned);
    let what = if record.action == WRAP_REUSED {
        What::WrapReused {
            wrap: record.target_id.clone()?,
            used_at: text(&facts, "used_at"),
            source: detail("source_ip"),
        }
    } else {
        let is_refused = record.outcome == "refused";
        let failures = facts.get("failures").and_then(Value::as_i64).unwrap_or_default();
        let is_lost = facts
            .get("answer_lost")
            .and_then(Value::as_bool)
            .unwrap_or_default();
        if !is_refused && !is_lost && failures < FAILURES {
            return None;
        }
        What::RefreshFailed {
            is_refused,
            failures,
            reason: detail("reason")?,
        }
    };
    Some(Incident {
        organization: record.org_id,
        path: detail("path")?,
        at: record.created_at,
        leaf_index: record.leaf_index,
        what,
    })
}

/// An event that says how a secret was handed over: the fact `delivery`, and the path in its details.
fn delivered(record: &Record, facts: &Map<String, Value>) -> Option<Touch> {
    let delivery = text(facts, "delivery")?;
    let details = record.details.as_ref()?;
    let path = details.get("path")?.as_str()?;
    SecretPath::parse(path).ok()?;
    Some(Touch {
        by_a_valid_key: true,
        is_there: false,
        row: AccessRow {
            org_id: record.org_id,
            id: AccessId::from_uuid(record.id.uuid()),
            decision_id: decision_of(record).filter(|_| record.target_kind == "decision"),
            path: path.to_owned(),
            agent_id: record.agent_id,
            actor: actor_of(record),
            at: record.created_at,
            outcome: match record.outcome.as_str() {
                "denied" | "refused" => "denied",
                "pending" => "pending",
                _ => "approved",
            }
            .to_owned(),
            version: facts.get("version").and_then(Value::as_i64),
            delivery: Some(delivery.chars().take(LONGEST_DELIVERY).collect()),
            decided_by: text(facts, "decided_by"),
            reasons: Json::of(&Vec::<String>::new()),
            source_ip: details
                .get("source_ip")
                .and_then(Value::as_str)
                .map(str::to_owned),
            leaf_index: record.leaf_index,
        },
    })
}
