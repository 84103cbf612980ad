//! What the detectors remember of one agent, and what each makes of the next observation.

use std::collections::VecDeque;

use aim_core::Timestamp;
use aim_decision::Severity;
use aim_platform::ThreatLimits;
use chrono::{TimeDelta, Timelike};

use super::{Decided, Hit, Observation, baseline::Baseline, network::network_of, rate::Recent};
use crate::detector::Detector;

/// The most networks, keys, capabilities and spoken-of subjects that are remembered of an agent.
const NETWORKS: usize = 64;
const KEYS: usize = 8;
const PROBES: usize = 64;
const CHANGES: usize = 33;
const SPOKEN: usize = 32;
/// How exact the last use of a network is kept.
const SOURCE_EXACTNESS: TimeDelta = TimeDelta::hours(1);
/// How long a detector that looks at windows stays silent about the same subject.
const SILENCE: TimeDelta = TimeDelta::seconds(60);
/// So many refusals that were not recorded one by one are no accident.
const MANY_HELD_BACK: u64 = 10;

/// What is known of an agent before the first observation.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// When it was registered.
    pub registered_at: Option<Timestamp>,
    /// When it acted last.
    pub last_action: Option<Timestamp>,
    /// The networks that it called from: name, first and last use.
    pub sources: Vec<(String, Timestamp, Timestamp)>,
}

struct Source {
    network: String,
    first: Timestamp,
    last: Timestamp,
    kept: Timestamp,
}

/// A key's last network, and when it changed.
struct KeyUse {
    credential: String,
    network: String,
    changes: VecDeque<Change>,
    last: Timestamp,
}

struct Change {
    at: Timestamp,
    index: i64,
    from: String,
    to: String,
}

struct Probe {
    capability: String,
    at: Timestamp,
    index: i64,
}

/// The present hour.
struct Hour {
    start: Timestamp,
    first_index: i64,
    count: i64,
    /// The count at which the volume is looked at next.
    next_look: i64,
    /// Whether it was said whether this hour is usual.
    judged: bool,
}

/// What is remembered of one agent. Bounded in every part.
pub(super) struct AgentState {
    registered_at: Option<Timestamp>,
    last_action: Option<Timestamp>,
    last_seen: Timestamp,
    sources: Vec<Source>,
    keys: Vec<KeyUse>,
    recent: Recent,
    probes: Vec<Probe>,
    hour: Option<Hour>,
    baseline: Option<Baseline>,
    baseline_of: Option<Timestamp>,
    spoken: VecDeque<(Detector, String, Timestamp)>,
}

/// The whole hour of a moment.
fn hour_of(at: Timestamp) -> Timestamp {
    let past = TimeDelta::seconds(at.timestamp().rem_euclid(3_600))
        + TimeDelta::nanoseconds(i64::from(at.nanosecond() % 1_000_000_000));
    at - past
}

impl AgentState {
    pub(super) fn new(known: Known) -> Self {
        let last_seen = known
            .last_action
            .or(known.registered_at)
            .unwrap_or_else(|| Timestamp::from(chrono::DateTime::UNIX_EPOCH));
        let sources = known.sources.into_iter().map(|(network, first, last)| Source {
            network,
            first,
            last,
            kept: last,
        });
        Self {
            registered_at: known.registered_at,
            last_action: known.last_action,
            last_seen,
            sources: sources.take(NETWORKS).collect(),
            keys: Vec::new(),
            recent: Recent::default(),
            probes: Vec::new(),
            hour: None,
            baseline: None,
            baseline_of: None,
            spoken: VecDeque::new(),
        }
    }

    pub(super) const fn last_seen(&self) -> Timestamp {
        self.last_seen
    }

    /// Whether a baseline of today would be of use: one is looked for once a day, when the agent acts.
    pub(super) fn wants_baseline(&self) -> bool {
        self.hour.as_ref().is_some_and(|hour| {
            self.baseline_of
                .is_none_or(|made| hour.start - made >= TimeDelta::days(1))
        })
    }

    pub(super) fn set_baseline(
        &mut self,
        limits: &ThreatLimits,
        baseline: Option<Baseline>,
        now: Timestamp,
    ) -> Vec<Hit> {
        self.baseline = baseline;
        self.baseline_of = Some(hour_of(now));
        // The present hour was counted before there was anything to compare it with.
        let mut hits = Vec::new();
        self.judge_hour(limits, self.last_seen, &mut hits);
        hits
    }

    /// Whether a detector may speak about a subject again.
    fn may_speak(&mut self, detector: Detector, subject: &str, at: Timestamp) -> bool {
        let known = self
            .spoken
            .iter_mut()
            .find(|(by, about, _)| *by == detector && about == subject);
        if let Some((_, _, last)) = known {
            let quiet = (TimeDelta::zero()..SILENCE).contains(&(at - *last));
            if !quiet {
                *last = at;
            }
            return !quiet;
        }
        if self.spoken.len() >= SPOKEN {
            self.spoken.pop_front();
        }
        self.spoken.push_back((detector, subject.to_owned(), at));
        true
    }

    /// A refused proof in this agent's name.
    pub(super) fn refused(
        &self,
        seen: &Observation,
        code: &str,
        fingerprint: Option<&str>,
        held_back: u64,
        source: Option<&str>,
    ) -> Hit {
        let subject = fingerprint.unwrap_or("no key of the agent");
        let known_source = source.is_some_and(|source| self.knows_network(&network_of(source)));
        let many = held_back >= MANY_HELD_BACK;
        let (detector, severity) = match code {
            "auth.signature_replayed" => (
                Detector::ReplayedSignature,
                match (known_source, many) {
                    (true, false) => Severity::Low,
                    (true, true) | (false, false) => Severity::Medium,
                    (false, true) => Severity::High,
                },
            ),
            "key.ended" => (Detector::EndedKey, Severity::Medium),
            _ if many => (Detector::ForgedSignature, Severity::High),
            _ => (Detector::ForgedSignature, Severity::Medium),
        };
        Hit::new(detector, subject, severity, seen)
            .value("code", code)
            .value("held_back", held_back)
            .value("source", source)
            .value("source_known", known_source)
    }

    /// A decision. Answers the network that is to be kept, if its use is news.
    pub(super) fn decided(
        &mut self,
        limits: &ThreatLimits,
        seen: &Observation,
        decided: &Decided,
        hits: &mut Vec<Hit>,
    ) -> Option<String> {
        if !decided.is_by_a_valid_key() {
            self.ended_key(seen, decided, hits);
            return None;
        }
        // What a suspended agent still tries says nothing new.
        let stopped = decided.reasons.iter().any(|reason| reason.starts_with("agent."));
        let denied = decided.outcome == "denied" && !stopped;
        self.dormant(limits, seen, hits);
        self.denials(limits, seen, denied, hits);
        if denied {
            self.probing(limits, seen, decided, hits);
        }
        self.volume(limits, seen, hits);
        self.last_seen = self.last_seen.max(seen.at);
        let network = decided.source.as_deref().map(network_of)?;
        let news = self.source(limits, seen, decided, &network, hits);
        self.key_use(limits, seen, &decided.credential, &network, hits);
        news.then_some(network)
    }

    fn ended_key(&self, seen: &Observation, decided: &Decided, hits: &mut Vec<Hit>) {
        let found = decided.reasons.iter().find_map(|reason| match reason.as_str() {
            "key.revoked" => Some((reason, Severity::High)),
            "key.expired" => Some((reason, Severity::Medium)),
            // Mostly an instance that has not heard of the rotation.
            "key.grace_ended" => Some((reason, Severity::Low)),
            _ => None,
        });
        if let Some((reason, severity)) = found {
            hits.push(
                Hit::new(Detector::EndedKey, decided.credential.as_str(), severity, seen)
                    .value("code", reason.as_str())
                    .value("capability", decided.capability.as_str())
                    .value("source", decided.source.clone()),
            );
        }
    }

    fn dormant(&mut self, limits: &ThreatLimits, seen: &Observation, hits: &mut Vec<Hit>) {
        let before = self.last_action.or(self.registered_at);
        if let Some(before) = before {
            let days = (seen.at - before).num_days();
            if days >= limits.dormant_days {
                hits.push(
                    Hit::new(Detector::DormantAgent, "agent", Severity::Medium, seen)
                        .value("days", days)
                        .value("limit_days", limits.dormant_days)
                        .value("last_action", before.to_text())
                        .value("had_acted", self.last_action.is_some()),
                );
            }
        }
        self.last_action = Some(self.last_action.map_or(seen.at, |last| last.max(seen.at)));
    }

    fn denials(&mut self, limits: &ThreatLimits, seen: &Observation, denied: bool, hits: &mut Vec<Hit>) {
        self.recent
            .count(seen.at, seen.index, denied, limits.denial_burst_minutes);
        if !denied {
            return;
        }
        let (all, refused) = self.recent.totals();
        let is_burst = refused >= limits.denial_burst && refused * 100 >= all * limits.denial_burst_percent;
        if is_burst && self.may_speak(Detector::DenialBurst, "denials", seen.at) {
            let severity = if refused >= limits.denial_burst * 5 {
                Severity::High
            } else {
                Severity::Medium
            };
            hits.push(
                Hit::new(Detector::DenialBurst, "denials", severity, seen)
                    .value("denials", refused)
                    .value("decisions", all)
                    .value("limit", limits.denial_burst)
                    .value("minutes", limits.denial_burst_minutes)
                    .records(self.recent.records()),
            );
        }
    }

    fn probing(&mut self, limits: &ThreatLimits, seen: &Observation, decided: &Decided, hits: &mut Vec<Hit>) {
        let never_given = decided
            .reasons
            .iter()
            .any(|reason| matches!(reason.as_str(), "capability.not_granted" | "capability.denied"));
        if !never_given {
            return;
        }
        let window = TimeDelta::minutes(limits.probing_minutes);
        self.probes.retain(|probe| seen.at - probe.at < window);
        match self
            .probes
            .iter_mut()
            .find(|probe| probe.capability == decided.capability)
        {
            Some(probe) => probe.at = seen.at,
            None => {
                if self.probes.len() >= PROBES {
                    self.probes.remove(0);
                }
                self.probes.push(Probe {
                    capability: decided.capability.clone(),
                    at: seen.at,
                    index: seen.index,
                });
            }
        }
        let different = i64::try_from(self.probes.len()).unwrap_or(i64::MAX);
        if different >= limits.probing && self.may_speak(Detector::CapabilityProbing, "capabilities", seen.at)
        {
            let severity = if different >= limits.probing * 2 {
                Severity::High
            } else {
                Severity::Medium
            };
            let names: Vec<&str> = self
                .probes
                .iter()
                .take(20)
                .map(|probe| probe.capability.as_str())
                .collect();
            hits.push(
                Hit::new(Detector::CapabilityProbing, "capabilities", severity, seen)
                    .value("different", different)
                    .value("limit", limits.probing)
                    .value("minutes", limits.probing_minutes)
                    .value("capabilities", names)
                    .records(self.probes.iter().map(|probe| probe.index)),
            );
        }
    }

    fn volume(&mut self, limits: &ThreatLimits, seen: &Observation, hits: &mut Vec<Hit>) {
        let start = hour_of(seen.at);
        match &mut self.hour {
            // What comes late counts into the present hour.
            Some(hour) if hour.start >= start => hour.count += 1,
            _ => {
                self.hour = Some(Hour {
                    start,
                    first_index: seen.index,
                    count: 1,
                    next_look: limits.volume_floor,
                    judged: false,
                });
            }
        }
        self.judge_hour(limits, seen.at, hits);
    }

    /// Whether the present hour, and what was done in it, is usual.
    fn judge_hour(&mut self, limits: &ThreatLimits, at: Timestamp, hits: &mut Vec<Hit>) {
        let (Some(baseline), Some(hour)) = (&self.baseline, &mut self.hour) else {
            return;
        };
        let hit = |detector, subject: &str, severity| Hit {
            detector,
            subject: subject.to_owned(),
            severity,
            at,
            records: vec![hour.first_index],
            values: std::collections::BTreeMap::new(),
        };
        if !hour.judged
            && let Some(why) = baseline.unusual_hour(hour.start, limits)
        {
            hits.push(
                hit(Detector::UnusualHour, why, Severity::Low)
                    .value("why", why)
                    .value("hour", hour.start.to_text())
                    .value("days_known", baseline.days)
                    .value("active_hours", baseline.overall.count),
            );
        }
        hour.judged = true;
        if hour.count < hour.next_look {
            return;
        }
        let volume = baseline.volume_limit(hour.start, limits);
        if hour.count > volume.limit {
            let severity = if hour.count > volume.limit.saturating_mul(5) {
                Severity::High
            } else {
                Severity::Medium
            };
            hits.push(
                hit(Detector::UnusualVolume, "decisions an hour", severity)
                    .value("decisions", hour.count)
                    .value("limit", volume.limit)
                    .value("median", volume.median)
                    .value("greatest_at_this_time", volume.greatest)
                    .value("hour", hour.start.to_text()),
            );
            hour.next_look = hour.count.saturating_mul(2);
        } else {
            hour.next_look = volume.limit + 1;
        }
    }

    fn knows_network(&self, network: &str) -> bool {
        self.sources.iter().any(|source| source.network == network)
    }

    /// Whether the agent was at home somewhere before the settling time.
    fn is_settled(&self, limits: &ThreatLimits, at: Timestamp) -> bool {
        let settling = TimeDelta::hours(limits.source_settling_hours);
        self.sources.iter().any(|source| at - source.first >= settling)
    }

    fn source(
        &mut self,
        limits: &ThreatLimits,
        seen: &Observation,
        decided: &Decided,
        network: &str,
        hits: &mut Vec<Hit>,
    ) -> bool {
        if let Some(source) = self.sources.iter_mut().find(|source| source.network == network) {
            source.last = source.last.max(seen.at);
            let news = seen.at - source.kept >= SOURCE_EXACTNESS;
            if news {
                source.kept = seen.at;
            }
            return news;
        }
        let many = i64::try_from(self.sources.len()).unwrap_or(i64::MAX) >= limits.source_many;
        if self.is_settled(limits, seen.at) && !many {
            let known: Vec<&str> = self
                .sources
                .iter()
                .take(10)
                .map(|source| source.network.as_str())
                .collect();
            hits.push(
                Hit::new(Detector::NewSource, network, Severity::Medium, seen)
                    .value("network", network)
                    .value("source", decided.source.clone())
                    .value("credential", decided.credential.as_str())
                    .value("known_networks", known),
            );
        }
        if self.sources.len() >= NETWORKS {
            let quietest = self
                .sources
                .iter()
                .enumerate()
                .min_by_key(|(_, source)| source.last)
                .map(|(place, _)| place);
            if let Some(place) = quietest {
                self.sources.swap_remove(place);
            }
        }
        self.sources.push(Source {
            network: network.to_owned(),
            first: seen.at,
            last: seen.at,
            kept: seen.at,
        });
        true
    }

    fn key_use(
        &mut self,
        limits: &ThreatLimits,
        seen: &Observation,
        credential: &str,
        network: &str,
        hits: &mut Vec<Hit>,
    ) {
        let Some(key) = self.keys.iter_mut().find(|key| key.credential == credential) else {
            if self.keys.len() >= KEYS {
                self.keys.sort_by_key(|key| std::cmp::Reverse(key.last));
                self.keys.truncate(KEYS - 1);
            }
            self.keys.push(KeyUse {
                credential: credential.to_owned(),
                network: network.to_owned(),
                changes: VecDeque::new(),
                last: seen.at,
            });
            return;
        };
        key.last = seen.at;
        if key.network == network {
            return;
        }
        let from = std::mem::replace(&mut key.network, network.to_owned());
        key.changes.push_back(Change {
            at: seen.at,
            index: seen.index,
            from,
            to: network.to_owned(),
        });
        let window = TimeDelta::minutes(limits.shared_key_minutes);
        while key.changes.len() > CHANGES
            || key
                .changes
                .front()
                .is_some_and(|change| seen.at - change.at >= window)
        {
            key.changes.pop_front();
        }
        let mut networks: Vec<String> = key
            .changes
            .iter()
            .flat_map(|change| [change.from.clone(), change.to.clone()])
            .collect();
        networks.sort_unstable();
        networks.dedup();
        let changes = i64::try_from(key.changes.len()).unwrap_or(i64::MAX);
        let records: Vec<i64> = key.changes.iter().map(|change| change.index).collect();
        // In turn means that it comes back: a walk through ever new networks is none of this.
        let in_turn = networks.len() * 2 <= key.changes.len();
        if changes < limits.shared_key_changes || !in_turn {
            return;
        }
        // Two networks that the agent has long used in turn are how it lives.
        let settling = TimeDelta::hours(limits.source_settling_hours);
        let fresh: Vec<&str> = self
            .sources
            .iter()
            .filter(|source| networks.contains(&source.network) && seen.at - source.first < settling)
            .map(|source| source.network.as_str())
            .collect();
        if fresh.is_empty() {
            return;
        }
        let severity = if self.is_settled(limits, seen.at) {
            Severity::High
        } else {
            Severity::Medium
        };
        let fresh: Vec<String> = fresh.into_iter().map(str::to_owned).collect();
        if self.may_speak(Detector::SharedKey, credential, seen.at) {
            hits.push(
                Hit::new(Detector::SharedKey, credential, severity, seen)
                    .value("changes", changes)
                    .value("limit", limits.shared_key_changes)
                    .value("minutes", limits.shared_key_minutes)
                    .value("networks", networks)
                    .value("new_networks", fresh)
                    .records(records),
            );
        }
    }
}
