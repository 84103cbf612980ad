//! The detectors themselves: what was observed goes in, hits come out. No I/O, no clock: time is that of
//! the observations, so the same log gives the same hits.
//!
//! State is kept for each agent and bounded in every part. It is built from the observations, and from what
//! is [`Known`] of an agent when it is first seen; so it can be thrown away at any time.

mod agent;
pub mod baseline;
pub mod network;
mod rate;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use aim_core::{AgentId, OrganizationId, Timestamp};
use aim_decision::{CapabilityName, CapabilityPattern, Severity};
use aim_platform::ThreatLimits;
use serde_json::{Map, Value};

use crate::detector::Detector;
use agent::AgentState;
pub use agent::Known;

/// How many agents are watched at once; the ones that were quiet longest are forgotten first.
const WATCHED: usize = 20_000;
/// How many records a hit names.
const RECORDS: usize = 10;

/// Something that the log says about an agent, or about an MCP server.
#[derive(Debug, Clone)]
pub struct Observation {
    /// The index of its record.
    pub index: i64,
    /// When it happened.
    pub at: Timestamp,
    /// The tenant.
    pub organization: OrganizationId,
    /// The agent.
    pub agent: Option<AgentId>,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum What {
    /// An action was decided.
    Decision(Decided),
    /// A proof in the agent's name was refused.
    Refused {
        /// The code of the refusal.
        code: String,
        /// The key that was named.
        fingerprint: Option<String>,
        /// How many like it were not recorded one by one.
        held_back: u64,
        /// From where.
        source: Option<String>,
    },
    /// An MCP server's manifest changed after it was attested.
    Drift {
        /// The server's id.
        server: String,
        /// What changed, as the record says, and the server's name.
        facts: Map<String, Value>,
    },
}

/// A decision, as far as detectors look at it.
#[derive(Debug, Clone)]
pub struct Decided {
    /// The capability that was asked for.
    pub capability: String,
    /// `approved`, `denied` or `pending`.
    pub outcome: String,
    /// The reason codes.
    pub reasons: Vec<String>,
    /// The key's fingerprint, or another credential.
    pub credential: String,
    /// From where.
    pub source: Option<String>,
}

impl Decided {
    /// Whether the agent itself asked: somebody who holds a key that has ended shows nothing about the agent,
    /// and must not be able to have it stopped.
    fn is_by_a_valid_key(&self) -> bool {
        !self.reasons.iter().any(|reason| reason.starts_with("key."))
    }
}

/// What a detector found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// Which one.
    pub detector: Detector,
    /// What exactly it is about: a key, a network, a capability; repeats of the same are one finding.
    pub subject: String,
    /// How bad.
    pub severity: Severity,
    /// When.
    pub at: Timestamp,
    /// The records that show it, the first ten.
    pub records: Vec<i64>,
    /// What was seen and what the limit was, by name.
    pub values: BTreeMap<&'static str, Value>,
}

impl Hit {
    fn new(detector: Detector, subject: impl Into<String>, severity: Severity, seen: &Observation) -> Self {
        Self {
            detector,
            subject: subject.into(),
            severity,
            at: seen.at,
            records: vec![seen.index],
            values: BTreeMap::new(),
        }
    }

    fn value(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.values.insert(name, value.into());
        self
    }

    fn records(mut self, records: impl IntoIterator<Item = i64>) -> Self {
        self.records = records.into_iter().take(RECORDS).collect();
        self
    }
}

/// Hits about the same thing in one batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Merged {
    /// The latest of them, with the severity of the worst and the records of the first ones.
    pub hit: Hit,
    /// When the first one was.
    pub first: Timestamp,
    /// How many there were.
    pub count: i64,
}

/// Whom a hit is about.
pub type About = (OrganizationId, Option<AgentId>, Detector, String);

/// Puts hits about the same thing together.
#[derive(Debug, Clone, Default)]
pub struct Hits(BTreeMap<About, Merged>);

impl Hits {
    /// Adds a hit.
    pub fn add(&mut self, organization: OrganizationId, agent: Option<AgentId>, hit: Hit) {
        let about = (organization, agent, hit.detector, hit.subject.clone());
        match self.0.get_mut(&about) {
            None => {
                let first = hit.at;
                self.0.insert(about, Merged { hit, first, count: 1 });
            }
            Some(merged) => {
                merged.count += 1;
                let mut records = std::mem::take(&mut merged.hit.records);
                records.extend(hit.records.iter().copied());
                records.sort_unstable();
                records.dedup();
                records.truncate(RECORDS);
                let severity = merged.hit.severity.max(hit.severity);
                merged.hit = Hit {
                    records,
                    severity,
                    ..hit
                };
            }
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, by whom and what they are about.
    #[must_use]
    pub fn into_map(self) -> BTreeMap<About, Merged> {
        self.0
    }
}

/// The honeytokens of the organisations that an observation can belong to.
pub type Honeytokens = HashMap<OrganizationId, Vec<CapabilityPattern>>;

/// The networks that became known or were used again, to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceUse {
    /// The tenant.
    pub organization: OrganizationId,
    /// The agent.
    pub agent: AgentId,
    /// The network.
    pub network: String,
    /// When.
    pub at: Timestamp,
}

/// All agents under watch.
pub struct Watch {
    limits: ThreatLimits,
    agents: HashMap<(OrganizationId, AgentId), AgentState>,
}

impl Watch {
    /// A watch that knows nobody yet.
    #[must_use]
    pub fn new(limits: ThreatLimits) -> Self {
        Self {
            limits,
            agents: HashMap::new(),
        }
    }

    /// Whether the agent is under watch.
    #[must_use]
    pub fn knows(&self, organization: OrganizationId, agent: AgentId) -> bool {
        self.agents.contains_key(&(organization, agent))
    }

    /// Takes an agent under watch, with what is known of it.
    pub fn learn(&mut self, organization: OrganizationId, agent: AgentId, known: Known) {
        if self.agents.len() >= WATCHED {
            self.forget_the_quiet();
        }
        self.agents.insert((organization, agent), AgentState::new(known));
    }

    fn forget_the_quiet(&mut self) {
        let mut seen: Vec<_> = self.agents.values().map(AgentState::last_seen).collect();
        seen.sort_unstable();
        if let Some(middle) = seen.get(seen.len() / 2).copied() {
            self.agents.retain(|_, state| state.last_seen() > middle);
        }
    }

    /// The agents whose baseline is wanted, at most `limit`: those that have none of today.
    #[must_use]
    pub fn wanting_baselines(&self, limit: usize) -> Vec<(OrganizationId, AgentId)> {
        self.agents
            .iter()
            .filter(|(_, state)| state.wants_baseline())
            .map(|(id, _)| *id)
            .take(limit)
            .collect()
    }

    /// Gives an agent its baseline, made at `now`; none if there is too little history. Answers what that
    /// shows about the present hour.
    pub fn set_baseline(
        &mut self,
        organization: OrganizationId,
        agent: AgentId,
        baseline: Option<baseline::Baseline>,
        now: Timestamp,
        hits: &mut Hits,
    ) {
        if let Some(state) = self.agents.get_mut(&(organization, agent)) {
            for hit in state.set_baseline(&self.limits, baseline, now) {
                hits.add(organization, Some(agent), hit);
            }
        }
    }

    /// Looks at one observation. An agent that is not under watch has no history to compare with.
    pub fn observe(
        &mut self,
        seen: &Observation,
        honeytokens: &Honeytokens,
        hits: &mut Hits,
        sources: &mut Vec<SourceUse>,
    ) {
        let Some(agent) = seen.agent else {
            if let Some(hit) = drift(seen) {
                hits.add(seen.organization, None, hit);
            }
            return;
        };
        let id = (seen.organization, agent);
        if !self.agents.contains_key(&id) {
            self.learn(seen.organization, agent, Known::default());
        }
        let Some(state) = self.agents.get_mut(&id) else {
            return;
        };
        let mut found: Vec<Hit> = Vec::new();
        match &seen.what {
            What::Decision(decided) => {
                if decided.is_by_a_valid_key() {
                    found.extend(honeytoken(seen, decided, honeytokens.get(&seen.organization)));
                }
                let used = state.decided(&self.limits, seen, decided, &mut found);
                sources.extend(used.map(|network| SourceUse {
                    organization: seen.organization,
                    agent,
                    network,
                    at: seen.at,
                }));
            }
            What::Refused {
                code,
                fingerprint,
                held_back,
                source,
            } => found.push(state.refused(seen, code, fingerprint.as_deref(), *held_back, source.as_deref())),
            What::Drift { .. } => found.extend(drift(seen)),
        }
        for hit in found {
            hits.add(seen.organization, Some(agent), hit);
        }
    }
}

fn honeytoken(seen: &Observation, decided: &Decided, tokens: Option<&Vec<CapabilityPattern>>) -> Option<Hit> {
    let tokens = tokens.filter(|tokens| !tokens.is_empty())?;
    let capability = CapabilityName::try_from(decided.capability.clone()).ok()?;
    let token = tokens.iter().find(|token| token.matches(&capability))?;
    Some(
        Hit::new(
            Detector::Honeytoken,
            decided.capability.as_str(),
            Severity::Critical,
            seen,
        )
        .value("capability", decided.capability.as_str())
        .value("honeytoken", token.as_str())
        .value("outcome", decided.outcome.as_str())
        .value("source", decided.source.clone()),
    )
}

fn drift(seen: &Observation) -> Option<Hit> {
    let What::Drift { server, facts } = &seen.what else {
        return None;
    };
    let change = facts.get("diff").and_then(Value::as_object);
    let names = |name: &str| {
        change
            .and_then(|change| change.get(name))
            .cloned()
            .unwrap_or_default()
    };
    let any = |name: &str| names(name).as_array().is_some_and(|names| !names.is_empty());
    // A tool that does something else than what was attested is the rug pull; one that went away is not.
    let severe = ["tools_added", "tools_description_changed", "tools_schema_changed"];
    let severity = if severe.into_iter().any(any) {
        Severity::High
    } else {
        Severity::Medium
    };
    let hit = Hit::new(Detector::McpDrift, server.as_str(), severity, seen)
        .value("server_id", server.as_str())
        .value("server_name", facts.get("name").cloned().unwrap_or_default())
        .value("tools_added", names("tools_added"))
        .value("tools_removed", names("tools_removed"))
        .value("tools_description_changed", names("tools_description_changed"))
        .value("tools_schema_changed", names("tools_schema_changed"))
        .value(
            "attested_by",
            facts.get("attested_by").cloned().unwrap_or_default(),
        );
    Some(hit)
}
