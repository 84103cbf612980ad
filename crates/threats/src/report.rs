//! How a detector that an edition adds hands over what it saw. What that leads to is the same as for AIM's own: the response
//! that the organisation has set, one finding for repeats, silence about what was marked as false, an alert.

use std::collections::HashMap;

use aim_audit::Entry;
use aim_core::{AgentId, OrganizationId, Timestamp};
use aim_decision::Severity;
use aim_platform::ThreatLimits;
use aim_store::{Db, Result};
use serde_json::{Map, Value};

use crate::{
    detector::{AddedDetector, Response},
    model::{Evidence, Words},
    respond::{Sighted, Subject, found},
    store,
};

/// Something that an added detector saw.
#[derive(Debug, Clone)]
pub struct Sighting {
    /// The detector.
    pub detector: &'static AddedDetector,
    /// The tenant.
    pub organization: OrganizationId,
    /// The agent that it is about, if it is about one.
    pub agent: Option<AgentId>,
    /// What exactly it is about: repeats of the same are one finding.
    pub subject: String,
    /// How bad.
    pub severity: Severity,
    /// When it was seen first.
    pub first: Timestamp,
    /// When it was seen last.
    pub at: Timestamp,
    /// How often.
    pub count: i64,
    /// The records of the audit log that show it, at most ten.
    pub records: Vec<i64>,
    /// What was seen and what the limit was, by name.
    pub values: Map<String, Value>,
    /// The same in a sentence.
    pub summary: String,
    /// The strongest response that this may have, if that is less than the detector's: what somebody without a valid
    /// key can set off must not stop the agent.
    pub at_most: Response,
}

/// Writes what was seen with all that it leads to, and answers the records of that: the caller appends them, last in its
/// transaction. The present moment in them is that of the sightings.
///
/// # Errors
/// The database's.
pub fn report(db: &mut Db, limits: &ThreatLimits, sightings: &[Sighting]) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    if sightings.is_empty() {
        return Ok(entries);
    }
    let mut organizations: Vec<OrganizationId> = sightings.iter().map(|seen| seen.organization).collect();
    organizations.sort_unstable();
    organizations.dedup();
    let mut responses = HashMap::new();
    for row in store::policies(db, &organizations)? {
        if let Some(response) = Response::parse(&row.response) {
            responses.insert((row.org_id, row.detector), response);
        }
    }
    let agents: Vec<(OrganizationId, AgentId)> = sightings
        .iter()
        .filter_map(|seen| Some((seen.organization, seen.agent?)))
        .collect();
    let names: HashMap<(OrganizationId, AgentId), String> = store::registrations(db, &agents)?
        .into_iter()
        .map(|(organization, agent, _, name)| ((organization, agent), name))
        .collect();
    for seen in sightings {
        let set = responses.get(&(seen.organization, seen.detector.name.to_owned()));
        let response = set.copied().unwrap_or(Response::Alert);
        if response == Response::Off {
            continue;
        }
        let name = seen
            .agent
            .and_then(|agent| names.get(&(seen.organization, agent)));
        let about = Subject {
            organization: seen.organization,
            agent: seen.agent,
            name: name.map(String::as_str),
            response: response.min(seen.at_most).min(seen.detector.strongest),
        };
        found(db, limits, &about, &seen.sighted(), &mut entries)?;
    }
    Ok(entries)
}

impl Sighting {
    fn sighted(&self) -> Sighted<'_> {
        Sighted {
            detector: self.detector.name,
            title: self.detector.title,
            subject: &self.subject,
            severity: self.severity,
            summary: self.summary.clone(),
            evidence: Evidence {
                records: self.records.clone(),
                values: self.values.clone(),
                words: Some(Words {
                    title: self.detector.title.to_owned(),
                    summary: self.summary.clone(),
                    owasp: self.detector.owasp.to_owned(),
                    mitre: self.detector.mitre.to_owned(),
                }),
            },
            first: self.first,
            at: self.at,
            count: self.count,
        }
    }
}
