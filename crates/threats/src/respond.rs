//! What a batch of hits leads to, in one transaction: findings, alerts, restrictions, suspensions, and last
//! the records of all that.

use std::collections::{BTreeMap, HashMap};

use aim_audit::Entry;
use aim_core::{AgentId, Ctx, Id, Json, OrganizationId, Timestamp};
use aim_decision::Severity;
use aim_monitoring::alerts::{self, AlertKind, NewAlert};
use aim_platform::ThreatLimits;
use aim_store::{Db, Result};
use chrono::TimeDelta;
use serde_json::json;

use crate::{
    detect::{About, Merged, SourceUse},
    detector::{Detector, Response},
    model::{Evidence, FindingId, FindingStatus, Tenant, parse_severity},
    store::{self, FindingRow, RestrictionRow},
    words,
};

/// Who acts, in records.
pub(crate) const ACTOR: &str = "threats.detect";

/// What is to be written about a batch.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcome {
    pub(crate) hits: BTreeMap<About, Merged>,
    pub(crate) sources: Vec<SourceUse>,
    pub(crate) policies: HashMap<(Tenant, Detector), Response>,
    pub(crate) names: HashMap<(Tenant, AgentId), String>,
}

impl Outcome {
    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.hits.is_empty() && self.sources.is_empty()
    }

    /// Writes it.
    pub(crate) fn write(&self, db: &mut Db, limits: &ThreatLimits) -> Result<()> {
        for used in &self.sources {
            store::keep_source(db, used.organization, used.agent, &used.network, used.at)?;
        }
        let mut entries = Vec::new();
        for ((organization, agent, detector, _), merged) in &self.hits {
            let response = self.response(*organization, *detector);
            if response != Response::Off {
                let name = agent.and_then(|agent| self.names.get(&(*organization, agent)));
                let about = Subject {
                    organization: *organization,
                    agent: *agent,
                    name: name.map(String::as_str),
                    response,
                };
                found(db, limits, &about, &Sighted::from(merged), &mut entries)?;
            }
        }
        aim_audit::append(db, entries)?;
        Ok(())
    }

    fn response(&self, organization: OrganizationId, detector: Detector) -> Response {
        self.policies
            .get(&(organization, detector))
            .copied()
            .unwrap_or(Response::Alert)
    }
}

/// Whom a finding is about, and what it leads to.
pub(crate) struct Subject<'a> {
    pub(crate) organization: OrganizationId,
    pub(crate) agent: Option<AgentId>,
    pub(crate) name: Option<&'a str>,
    pub(crate) response: Response,
}

/// What was seen, whichever detector saw it.
pub(crate) struct Sighted<'a> {
    pub(crate) detector: &'a str,
    pub(crate) title: &'a str,
    pub(crate) subject: &'a str,
    pub(crate) severity: Severity,
    pub(crate) summary: String,
    pub(crate) evidence: Evidence,
    pub(crate) first: Timestamp,
    pub(crate) at: Timestamp,
    pub(crate) count: i64,
}

impl<'a> From<&'a Merged> for Sighted<'a> {
    fn from(merged: &'a Merged) -> Self {
        let hit = &merged.hit;
        let values = hit
            .values
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        Self {
            detector: hit.detector.as_str(),
            title: hit.detector.title(),
            subject: &hit.subject,
            severity: hit.severity,
            summary: words::summary(hit.detector, &values),
            evidence: Evidence {
                records: hit.records.clone(),
                values,
                words: None,
            },
            first: merged.first,
            at: hit.at,
            count: merged.count,
        }
    }
}

/// Writes one finding: a repeat counts with the one that is there.
pub(crate) fn found(
    db: &mut Db,
    limits: &ThreatLimits,
    about: &Subject<'_>,
    hit: &Sighted<'_>,
    entries: &mut Vec<Entry>,
) -> Result<()> {
    let known = store::latest(db, about.organization, about.agent, hit.detector, hit.subject)?;
    let repeats = TimeDelta::hours(limits.repeat_hours);
    let row = match known {
        Some(mut row) if row.is_quiet(hit.at) => {
            // Somebody said that this is no threat: it is counted, and nobody is told.
            row.repeated(hit);
            return store::save(db, &row);
        }
        Some(mut row)
            if row.status == FindingStatus::Open.as_str() && hit.at - row.last_seen_at < repeats =>
        {
            row.repeated(hit);
            row.evidence = Json::of(&hit.evidence);
            row.response = about.response.as_str().to_owned();
            store::save(db, &row)?;
            row
        }
        _ => {
            let row = new_finding(about, hit);
            store::insert(db, &row)?;
            entries.push(about_agent(
                Entry::event(&context(about.organization, hit.at), "threat.found")
                    .target("threat_finding", row.id)
                    .facts(json!({
                        "detector": hit.detector,
                        "severity": hit.severity.as_str(),
                        "response": about.response.as_str(),
                        "records": hit.evidence.records,
                    }))
                    .details(json!({
                        "title": hit.title,
                        "subject": hit.subject,
                        "summary": hit.summary,
                        "agent_name": about.name,
                    })),
                about.agent,
            ));
            row
        }
    };
    respond(db, limits, about, &row, hit, entries)?;
    alert(db, about, &row, hit, entries)
}

impl FindingRow {
    fn is_quiet(&self, at: Timestamp) -> bool {
        self.status == FindingStatus::FalsePositive.as_str()
            && self.quiet_until.is_some_and(|until| at < until)
    }

    fn repeated(&mut self, hit: &Sighted<'_>) {
        self.count += hit.count;
        self.last_seen_at = self.last_seen_at.max(hit.at);
        let before = parse_severity(&self.severity).unwrap_or(Severity::Low);
        before.max(hit.severity).as_str().clone_into(&mut self.severity);
    }
}

fn new_finding(about: &Subject<'_>, hit: &Sighted<'_>) -> FindingRow {
    FindingRow {
        org_id: about.organization,
        id: FindingId::generate(hit.at),
        agent_id: about.agent,
        agent_name: about.name.map(str::to_owned),
        detector: hit.detector.to_owned(),
        subject: hit.subject.to_owned(),
        severity: hit.severity.as_str().to_owned(),
        status: FindingStatus::Open.as_str().to_owned(),
        response: about.response.as_str().to_owned(),
        evidence: Json::of(&hit.evidence),
        count: hit.count,
        first_seen_at: hit.first,
        last_seen_at: hit.at,
        quiet_until: None,
        reviewed_by: None,
        reviewed_at: None,
        review_note: None,
    }
}

fn context(organization: OrganizationId, at: Timestamp) -> Ctx {
    Ctx::system(ACTOR, organization, at)
}

fn about_agent(entry: Entry, agent: Option<AgentId>) -> Entry {
    match agent {
        Some(agent) => entry.agent(agent),
        None => entry,
    }
}

/// Tells people.
fn alert(
    db: &mut Db,
    about: &Subject<'_>,
    row: &FindingRow,
    hit: &Sighted<'_>,
    entries: &mut Vec<Entry>,
) -> Result<()> {
    let title = match about.name {
        Some(name) => format!("{}: {name}", hit.title),
        None => hit.title.to_owned(),
    };
    let raised = alerts::raise(
        db,
        &NewAlert {
            organization: about.organization,
            agent: about.agent,
            kind: AlertKind::ThreatFinding,
            severity: parse_severity(&row.severity).unwrap_or(hit.severity),
            title,
            detail: json!({
                "finding_id": row.id,
                "detector": hit.detector,
                "summary": hit.summary,
                "records": hit.evidence.records,
            }),
            dedupe_key: format!("threat:{}", row.id),
            at: hit.at,
        },
    )?;
    entries.extend(raised.entries);
    Ok(())
}

/// What follows for the agent, beyond the alert.
fn respond(
    db: &mut Db,
    limits: &ThreatLimits,
    about: &Subject<'_>,
    row: &FindingRow,
    hit: &Sighted<'_>,
    entries: &mut Vec<Entry>,
) -> Result<()> {
    let Some(agent) = about.agent else {
        return Ok(());
    };
    let at = hit.at;
    let ctx = context(about.organization, at);
    let reason = format!("threat finding: {}", hit.title);
    match about.response {
        Response::Off | Response::Alert => {}
        Response::Suspend => {
            if store::suspend(db, about.organization, agent, at)? {
                entries.push(
                    Entry::event(&ctx, "agent.suspended")
                        .agent(agent)
                        .target("agent", agent)
                        .facts(json!({ "finding_id": row.id, "detector": row.detector }))
                        .details(json!({ "reason": reason })),
                );
            }
        }
        Response::RequireApproval => {
            let until = at + TimeDelta::hours(limits.restriction_hours);
            let by = created_by(row.id);
            let there = store::restrictions(db, about.organization, agent, &by)?;
            if let Some(restriction) = there.first() {
                // Moved at most once an hour: repeats come in great numbers.
                if until - restriction.expires_at >= TimeDelta::hours(1) {
                    store::prolong(db, restriction, until)?;
                    store::bump_epoch(db, about.organization, agent)?;
                }
                return Ok(());
            }
            if !store::bump_epoch(db, about.organization, agent)? {
                return Ok(());
            }
            let restriction = RestrictionRow {
                org_id: about.organization,
                id: Id::generate(at),
                agent_id: agent,
                reason: reason.clone(),
                created_by: by,
                created_at: at,
                expires_at: until,
            };
            store::restrict(db, &restriction)?;
            entries.push(
                Entry::event(&ctx, "agent.restricted")
                    .agent(agent)
                    .target("agent", agent)
                    .facts(json!({
                        "finding_id": row.id,
                        "detector": row.detector,
                        "effect": "require_approval",
                        "expires_at": until,
                    }))
                    .details(json!({ "reason": reason })),
            );
        }
    }
    Ok(())
}

/// The maker of a finding's restriction.
pub(crate) fn created_by(finding: FindingId) -> String {
    format!("threat_finding:{finding}")
}

/// Lifts one restriction with its record, unless somebody did already.
pub(crate) fn lift(db: &mut Db, ctx: &Ctx, row: &RestrictionRow, why: &str) -> Result<Option<Entry>> {
    if !store::lift(db, row)? {
        return Ok(None);
    }
    store::bump_epoch(db, row.org_id, row.agent_id)?;
    Ok(Some(
        Entry::event(ctx, "agent.restriction_lifted")
            .agent(row.agent_id)
            .target("agent", row.agent_id)
            .facts(json!({ "why": why, "made_by": row.created_by })),
    ))
}
