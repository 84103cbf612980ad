//! The rules: what is out of the ordinary in one access, given what is known of the secret and the agent. No I/O, no clock.

use std::collections::{BTreeMap, VecDeque};

use aim_core::{AgentId, OrganizationId, Timestamp};
use aim_decision::Severity;
use aim_monitoring::activity::model::hour_of;
use aim_platform::ThreatLimits;
use aim_threats::{detect::baseline::Baseline, detector::Response, report::Sighting};
use chrono::TimeDelta;
use serde_json::{Map, Value, json};

use super::{
    detectors::Kind,
    model::bits_of,
    records::{Incident, Touch, What},
    settings::Thresholds,
    store::{HourRow, PairRow},
};

/// How many records a sighting names.
const RECORDS: usize = 10;
/// The most denials that are remembered of an agent.
const DENIALS: usize = 100;
/// Days that must have gone by before a day of the week can be unusual: three of each.
const WEEKDAY_DAYS: i64 = 21;
/// How far back a number of reads is compared.
pub(super) const BASELINE_DAYS: i64 = 28;
/// For how long a grant is new: a read by it is no wonder.
const NEW_GRANT: TimeDelta = TimeDelta::hours(24);

/// What is known of a secret and an agent, and of the present hour.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    pub(super) row: PairRow,
    /// The present hour, which that of the row is once something is counted into it.
    pub(super) hour: Timestamp,
    /// What would be unusual in this hour: unknown yet, or nothing, or above this.
    pub(super) limit: Option<Option<Limit>>,
}

/// What is unusual in an hour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Limit {
    pub(super) reads: i64,
    pub(super) median: f64,
}

impl Pair {
    /// Moves on to the hour of `at`. The counts of the hour that is over, if there are any, are the caller's to keep.
    #[must_use]
    pub(super) fn enter(&mut self, at: Timestamp) -> Option<HourRow> {
        let hour = hour_of(at);
        if hour > self.hour {
            self.hour = hour;
            self.limit = None;
        }
        if self.row.hour.is_some_and(|counted| counted >= self.hour) {
            return None;
        }
        let over = self.row.last_hour();
        self.row.hour = Some(self.hour);
        self.row.hour_approved = 0;
        self.row.hour_denied = 0;
        self.row.hour_pending = 0;
        over.filter(|over| over.approved + over.denied + over.pending > 0)
    }

    /// How often it was read in the present hour.
    pub(super) const fn in_hour(&self) -> i64 {
        self.row.hour_approved
    }

    /// Whether a limit is wanted for the next read.
    pub(super) const fn wants_limit(&self, thresholds: &Thresholds) -> bool {
        self.limit.is_none() && self.in_hour() >= thresholds.volume_floor
    }
}

/// What the hours of the past say about the present one.
pub(super) fn limit_of(
    history: &[(Timestamp, i64)],
    hour: Timestamp,
    thresholds: &Thresholds,
) -> Option<Limit> {
    let limits = ThreatLimits {
        baseline_hours: thresholds.volume_hours,
        volume_deviations: thresholds.volume_deviations,
        volume_floor: thresholds.volume_floor,
        ..ThreatLimits::default()
    };
    let usual = Baseline::of(history, hour, &limits)?.volume_limit(hour, &limits);
    Some(Limit {
        reads: usual.limit,
        median: usual.median,
    })
}

/// Denials of one agent, the latest last.
#[derive(Debug, Clone, Default)]
pub(super) struct Denials(VecDeque<(Timestamp, i64)>);

impl Denials {
    /// Counts a denial, unless it says nothing: that of a stopped agent, or of somebody with a key that has ended.
    pub(super) fn count(&mut self, at: Timestamp, index: i64, reasons: &[&str]) {
        let idle = reasons
            .iter()
            .any(|reason| reason.starts_with("agent.") || reason.starts_with("key."));
        if idle {
            return;
        }
        if self.0.len() >= DENIALS {
            self.0.pop_front();
        }
        self.0.push_back((at, index));
    }

    /// Those in the time before `at`.
    fn within(&mut self, at: Timestamp, minutes: i64) -> Vec<i64> {
        let since = at - TimeDelta::minutes(minutes);
        self.0.retain(|(when, _)| *when >= since);
        self.0.iter().map(|(_, index)| *index).collect()
    }
}

/// What a finding is about: a secret, and what tells two findings about it apart. No path has a space in it.
fn subject(path: &str, apart: Option<&str>) -> String {
    apart.map_or_else(|| path.to_owned(), |apart| format!("{path} {apart}"))
}

/// What was found about one thing in a batch, merged.
#[derive(Debug, Default)]
pub(super) struct Findings(BTreeMap<(OrganizationId, Option<AgentId>, Kind, String), Sighting>);

impl Findings {
    fn add(&mut self, kind: Kind, touch: &Touch, severity: Severity, values: Value, summary: String) {
        let Some(detector) = kind.detector() else {
            return;
        };
        let row = &touch.row;
        let mut values = match values {
            Value::Object(values) => values,
            _ => Map::new(),
        };
        values.insert("path".to_owned(), json!(row.path));
        values.insert("actor".to_owned(), json!(row.actor));
        values.insert("decision_id".to_owned(), json!(row.decision_id));
        values.insert("source".to_owned(), json!(row.source_ip));
        let seen = Sighting {
            detector,
            organization: row.org_id,
            agent: row.agent_id,
            // A person is named nowhere else.
            subject: subject(&row.path, row.agent_id.is_none().then_some(row.actor.as_str())),
            severity,
            first: row.at,
            at: row.at,
            count: 1,
            records: vec![row.leaf_index],
            values,
            summary,
            at_most: if touch.by_a_valid_key {
                Response::Suspend
            } else {
                Response::Alert
            },
        };
        self.merge(kind, seen);
    }

    fn merge(&mut self, kind: Kind, seen: Sighting) {
        let about = (seen.organization, seen.agent, kind, seen.subject.clone());
        match self.0.get_mut(&about) {
            None => {
                self.0.insert(about, seen);
            }
            Some(before) => {
                before.count += 1;
                before.at = before.at.max(seen.at);
                before.severity = before.severity.max(seen.severity);
                before.at_most = before.at_most.max(seen.at_most);
                if before.records.len() < RECORDS {
                    before.records.extend(seen.records);
                }
                before.values = seen.values;
                before.summary = seen.summary;
            }
        }
    }

    /// More records that show what was found last about this.
    fn with_records(&mut self, kind: Kind, touch: &Touch, records: &[i64]) {
        let about = (touch.row.org_id, touch.row.agent_id, kind, touch.row.path.clone());
        if let Some(seen) = self.0.get_mut(&about) {
            let mut all = seen.records.clone();
            all.extend(records.iter().rev().copied());
            all.sort_unstable();
            all.dedup();
            // The read itself is the last of them and stays.
            seen.records = all.split_off(all.len().saturating_sub(RECORDS));
        }
    }

    pub(super) fn into_sightings(self) -> Vec<Sighting> {
        self.0.into_values().collect()
    }
}

/// What an event says by itself, without an access.
pub(super) fn incident(findings: &mut Findings, incident: &Incident) {
    let (kind, apart, severity, values, summary) = match &incident.what {
        What::WrapReused {
            wrap,
            used_at,
            source,
        } => {
            let summary = format!(
                "A wrap token for {} was brought again after it had been used{}. One of the two who had it was not meant to: unless it was one and the same, rotate the secret.",
                incident.path,
                used_at
                    .as_deref()
                    .map(|at| format!(" at {at}"))
                    .unwrap_or_default(),
            );
            let values = json!({"wrap_id": wrap, "used_at": used_at, "source": source});
            (
                Kind::WrapReused,
                Some(wrap.as_str()),
                Severity::High,
                values,
                summary,
            )
        }
        What::RefreshFailed {
            is_refused,
            failures,
            reason,
        } => {
            let (severity, how) = if *is_refused {
                (
                    Severity::High,
                    "for good; agents go on with what they have until it ends".to_owned(),
                )
            } else {
                (
                    Severity::Medium,
                    format!("{failures} times in a row, and is tried again"),
                )
            };
            let summary = format!("The refresh of {} failed {how}: {reason}.", incident.path);
            let values = json!({"failures": failures, "reason": reason});
            (Kind::RefreshFailed, None, severity, values, summary)
        }
    };
    let (Some(detector), Value::Object(mut values)) = (kind.detector(), values) else {
        return;
    };
    values.insert("path".to_owned(), json!(incident.path));
    findings.merge(
        kind,
        Sighting {
            detector,
            organization: incident.organization,
            agent: None,
            subject: subject(&incident.path, apart),
            severity,
            first: incident.at,
            at: incident.at,
            count: 1,
            records: vec![incident.leaf_index],
            values,
            summary,
            at_most: Response::Alert,
        },
    );
}

/// A touch of a path that nobody has a reason to read.
pub(super) fn honeytoken(findings: &mut Findings, touch: &Touch) {
    let row = &touch.row;
    let summary = if row.agent_id.is_none() {
        format!(
            "The honeytoken secret {} was taken by {} ({}). Nobody has a reason to.",
            row.path,
            row.actor,
            row.delivery.as_deref().unwrap_or(&row.outcome)
        )
    } else if touch.by_a_valid_key {
        format!(
            "The honeytoken secret {} was asked for; it was {}. Nobody has a reason to.",
            row.path, row.outcome
        )
    } else {
        format!(
            "The honeytoken secret {} was asked for with a key that no longer counts; it was {}.",
            row.path, row.outcome
        )
    };
    let values = json!({
        "outcome": row.outcome,
        "delivery": row.delivery,
        "decided_by": row.decided_by,
        "reasons": *row.reasons,
    });
    findings.add(Kind::Honeytoken, touch, Severity::Critical, values, summary);
}

/// A read that was approved soon after many that were not.
pub(super) fn after_denials(
    findings: &mut Findings,
    thresholds: &Thresholds,
    touch: &Touch,
    denials: &mut Denials,
) {
    let records = denials.within(touch.row.at, thresholds.denial_minutes);
    let count = i64::try_from(records.len()).unwrap_or(i64::MAX);
    if count < thresholds.denials {
        return;
    }
    let summary = format!(
        "{} was handed over after {count} denied reads within {} minutes; the limit is {}.",
        touch.row.path, thresholds.denial_minutes, thresholds.denials
    );
    let values = json!({
        "denials": count,
        "minutes": thresholds.denial_minutes,
        "limit": thresholds.denials,
    });
    findings.add(Kind::AfterDenials, touch, Severity::High, values, summary);
    findings.with_records(Kind::AfterDenials, touch, &records);
}

/// Who else reads a secret, and since when; and when the grant was given by which it is read now.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Company {
    pub(super) readers: i64,
    pub(super) since: Option<Timestamp>,
    pub(super) granted_at: Option<Timestamp>,
}

/// The first read of an agent, of a secret that others have been reading.
pub(super) fn first_reader(
    findings: &mut Findings,
    thresholds: &Thresholds,
    touch: &Touch,
    company: &Company,
) {
    let Some(since) = company.since.filter(|_| company.readers > 0) else {
        return;
    };
    let days = (touch.row.at - since).num_days();
    if days < thresholds.learning_days {
        return;
    }
    // Somebody has just let it: most likely it is meant to.
    let is_new_grant = company
        .granted_at
        .is_some_and(|granted| touch.row.at - granted < NEW_GRANT);
    let severity = if is_new_grant {
        Severity::Low
    } else {
        Severity::Medium
    };
    let grant = if is_new_grant {
        ", by a grant of the last day"
    } else {
        ""
    };
    let agents = if company.readers == 1 {
        "one other agent".to_owned()
    } else {
        format!("{} other agents", company.readers)
    };
    let summary = format!(
        "{} was read for the first time by this agent{grant}. For {days} days {agents} read it.",
        touch.row.path
    );
    let values = json!({
        "readers_before": company.readers,
        "read_since": since,
        "days": days,
        "limit_days": thresholds.learning_days,
        "granted_at": company.granted_at,
    });
    findings.add(Kind::FirstReader, touch, severity, values, summary);
}

/// A read at an hour, or on a day of the week, at which there was none before.
pub(super) fn unusual_hour(findings: &mut Findings, thresholds: &Thresholds, touch: &Touch, pair: &PairRow) {
    let Some(first) = pair.first_read_at else { return };
    let days = (touch.row.at - first).num_days();
    if days < thresholds.hour_days || pair.approved < thresholds.hour_reads {
        return;
    }
    let why = unusual(pair.hours_seen, touch.row.at, days);
    let Some(why) = why else { return };
    let words = match why {
        "weekday" => "on a day of the week on which",
        _ => "at a time of day at which",
    };
    let summary = format!(
        "{} was read in the hour from {}, {words} this agent did not read it in {days} days.",
        touch.row.path,
        hour_of(touch.row.at).format("%Y-%m-%d %H:%M UTC")
    );
    let values =
        json!({"why": why, "hour": hour_of(touch.row.at), "days_known": days, "reads_before": pair.approved});
    findings.add(Kind::UnusualHour, touch, Severity::Low, values, summary);
}

/// Whether the hour or the weekday was not seen before. An hour early or late is no wonder.
fn unusual(seen: i64, at: Timestamp, days: i64) -> Option<&'static str> {
    use chrono::{Datelike, Timelike};
    let hour = at.hour();
    let near = [(hour + 23) % 24, hour, (hour + 1) % 24];
    if near.iter().all(|hour| seen & (1 << hour) == 0) {
        return Some("time_of_day");
    }
    let weekday = 24 + at.weekday().num_days_from_monday();
    (days >= WEEKDAY_DAYS && seen & (1 << weekday) == 0).then_some("weekday")
}

/// Far more reads within the hour than ever: said when the limit is passed, and each time the number has doubled.
pub(super) fn unusual_volume(findings: &mut Findings, touch: &Touch, pair: &Pair) {
    let Some(limit) = pair.limit.flatten() else { return };
    let over = pair.in_hour() - limit.reads;
    let doubled = over > 0 && (over == 1 || is_doubling(pair.in_hour(), limit.reads));
    if !doubled {
        return;
    }
    let severity = if pair.in_hour() >= limit.reads.saturating_mul(4) {
        Severity::High
    } else {
        Severity::Medium
    };
    let summary = format!(
        "{} was read {} times in the hour from {}; above {} is unusual. This agent's median hour with it has {:.0}.",
        touch.row.path,
        pair.in_hour(),
        pair.hour.format("%Y-%m-%d %H:%M UTC"),
        limit.reads,
        limit.median
    );
    let values = json!({
        "reads": pair.in_hour(),
        "hour": pair.hour,
        "limit": limit.reads,
        "median": limit.median,
    });
    findings.add(Kind::UnusualVolume, touch, severity, values, summary);
}

/// Whether `count` is `limit` times a power of two.
const fn is_doubling(count: i64, limit: i64) -> bool {
    let mut at = if limit < 1 { 1 } else { limit };
    while at < count {
        at = at.saturating_mul(2);
    }
    at == count
}

/// Counts a touch of the present hour into it.
pub(super) fn count_in_hour(pair: &mut Pair, touch: &Touch) {
    match touch.row.outcome.as_str() {
        "approved" => pair.row.hour_approved += 1,
        "denied" => pair.row.hour_denied += 1,
        _ => pair.row.hour_pending += 1,
    }
}

/// Counts a touch into its pair.
pub(super) fn count(pair: &mut Pair, touch: &Touch) {
    let at = touch.row.at;
    match touch.row.outcome.as_str() {
        "approved" => {
            pair.row.approved += 1;
            pair.row.first_read_at = Some(pair.row.first_read_at.map_or(at, |first| first.min(at)));
            pair.row.last_read_at = Some(pair.row.last_read_at.map_or(at, |last| last.max(at)));
            let (hour, weekday) = bits_of(at);
            pair.row.hours_seen |= hour | weekday;
        }
        "denied" => {
            pair.row.denied += 1;
            pair.row.last_denied_at = Some(pair.row.last_denied_at.map_or(at, |last| last.max(at)));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn an_hour_early_is_no_wonder_and_a_night_is() {
        // Monday to Friday, 8 to 17 o'clock.
        let mut seen = 0;
        for day in 0..5 {
            for hour in 8..18 {
                let when = at("2026-11-02T00:00:00Z") + TimeDelta::days(day) + TimeDelta::hours(hour);
                let (of_hour, of_day) = bits_of(when);
                seen |= of_hour | of_day;
            }
        }
        assert_eq!(unusual(seen, at("2026-11-24T07:30:00Z"), 22), None);
        assert_eq!(unusual(seen, at("2026-11-24T18:10:00Z"), 22), None);
        assert_eq!(unusual(seen, at("2026-11-24T03:00:00Z"), 22), Some("time_of_day"));
        assert_eq!(unusual(seen, at("2026-11-21T10:00:00Z"), 22), Some("weekday"));
        assert_eq!(
            unusual(seen, at("2026-11-21T10:00:00Z"), 20),
            None,
            "three Saturdays must have gone by"
        );
        // Midnight has the hours before and after on both sides of it.
        let (late, _) = bits_of(at("2026-11-02T23:00:00Z"));
        assert_eq!(unusual(late, at("2026-11-03T00:00:00Z"), 1), None);
    }

    #[test]
    fn there_is_no_limit_without_enough_hours_and_never_one_below_the_floor() {
        let start = at("2026-10-05T00:00:00Z");
        let history = |hours: i64, reads: i64| -> Vec<(Timestamp, i64)> {
            (0..hours)
                .map(|hour| (start + TimeDelta::hours(hour), reads))
                .collect()
        };
        let thresholds = Thresholds::default();
        let now = start + TimeDelta::days(10);
        assert_eq!(limit_of(&history(23, 100), now, &thresholds), None);
        let busy = limit_of(&history(100, 100), now, &thresholds).unwrap();
        assert!((150..400).contains(&busy.reads), "{busy:?}");
        let quiet = limit_of(&history(100, 1), now, &thresholds).unwrap();
        assert_eq!(quiet.reads, thresholds.volume_floor);
    }

    #[test]
    fn the_number_is_said_when_it_passes_the_limit_and_when_it_doubles() {
        let said: Vec<i64> = (1..=1_000)
            .filter(|count| *count - 100 == 1 || (*count > 100 && is_doubling(*count, 100)))
            .collect();
        assert_eq!(said, [101, 200, 400, 800]);
    }

    #[test]
    fn denials_of_a_stopped_agent_or_an_ended_key_do_not_count() {
        let mut denials = Denials::default();
        let now = at("2026-11-24T10:00:00Z");
        denials.count(now, 1, &["agent.suspended"]);
        denials.count(now, 2, &["key.revoked"]);
        denials.count(now, 3, &["capability.not_granted"]);
        denials.count(now - TimeDelta::minutes(20), 4, &["capability.not_granted"]);
        assert_eq!(denials.within(now, 10), [3]);
    }
}
