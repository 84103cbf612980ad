//! Runs the detectors over the week as the follower does, and compares what they found with the labels.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
};

use aim_core::{AgentId, Timestamp};
use aim_decision::CapabilityPattern;
use aim_platform::ThreatLimits;
use aim_threats::{
    detect::{Hits, Honeytokens, Watch, baseline::Baseline},
    detector::Detector,
};
use chrono::{TimeDelta, Timelike};

use super::simulation::{Week, start};

/// The week of the published figures.
pub(crate) const SEED: u64 = 20_261_116;
/// How long after an attack a finding still belongs to it.
const AFTERWARDS: TimeDelta = TimeDelta::minutes(10);

struct Finding {
    agent: Option<AgentId>,
    subject: String,
    detector: Detector,
    first: Timestamp,
    last: Timestamp,
}

/// One detector's figures.
#[derive(Default)]
struct Line {
    right: usize,
    wrong: usize,
    attacks: usize,
    seen: usize,
}

/// The figures.
pub(crate) struct Score {
    observations: usize,
    agents: usize,
    lines: BTreeMap<Detector, Line>,
    missed: BTreeMap<(Detector, &'static str), usize>,
    wrong: BTreeMap<(Detector, &'static str), usize>,
}

impl Score {
    /// Looks at the week.
    pub(crate) fn of(week: &Week) -> Self {
        let findings = findings(week);
        let mut lines: BTreeMap<Detector, Line> = BTreeMap::new();
        let mut wrong: BTreeMap<(Detector, &'static str), usize> = BTreeMap::new();
        for finding in &findings {
            let is_right = week.attacks.iter().any(|attack| {
                let same = match attack.agent {
                    Some(agent) => finding.agent == Some(agent),
                    None => finding.agent.is_none(),
                };
                // An attack may well be seen by more than the detector that was made for it.
                same && finding.first <= attack.to + AFTERWARDS && finding.last >= attack.from
            });
            let line = lines.entry(finding.detector).or_default();
            if is_right {
                line.right += 1;
            } else {
                line.wrong += 1;
                let cause = week.benign.iter().find(|(_, agent)| *agent == finding.agent);
                let cause = cause.map_or("ordinary work", |(name, _)| name);
                *wrong.entry((finding.detector, cause)).or_default() += 1;
            }
        }
        let mut missed: BTreeMap<(Detector, &'static str), usize> = BTreeMap::new();
        for attack in &week.attacks {
            let seen = findings.iter().any(|finding| {
                finding.detector == attack.expected
                    && finding.agent == attack.agent
                    && finding.first <= attack.to + AFTERWARDS
                    && finding.last >= attack.from
            });
            let line = lines.entry(attack.expected).or_default();
            line.attacks += 1;
            if seen {
                line.seen += 1;
            } else {
                *missed.entry((attack.expected, attack.name)).or_default() += 1;
            }
        }
        Self {
            observations: week.observations.len(),
            agents: week.agents.len(),
            lines,
            missed,
            wrong,
        }
    }

    /// The figures as Markdown.
    pub(crate) fn report(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(
            text,
            "{} agents, {} observations in the week, seed {SEED}.\n",
            self.agents, self.observations
        );
        text.push_str("| detector | findings | right | wrong | precision | attacks | seen | recall |\n");
        text.push_str("|---|---|---|---|---|---|---|---|\n");
        let mut all = Line::default();
        for (detector, line) in &self.lines {
            row(&mut text, detector.as_str(), line);
            all.right += line.right;
            all.wrong += line.wrong;
            all.attacks += line.attacks;
            all.seen += line.seen;
        }
        row(&mut text, "all", &all);
        for (title, list) in [("Missed", &self.missed), ("Wrongly found", &self.wrong)] {
            let items: Vec<String> = list
                .iter()
                .map(|((detector, name), count)| format!("{count} × {name} ({})", detector.as_str()))
                .collect();
            let _ = writeln!(text, "\n{title}: {}.", items.join("; "));
        }
        text
    }
}

fn row(text: &mut String, name: &str, line: &Line) {
    let share = |part: usize, whole: usize| {
        if whole == 0 {
            "–".to_owned()
        } else {
            format!("{:.2}", part as f64 / whole as f64)
        }
    };
    let found = line.right + line.wrong;
    let _ = writeln!(
        text,
        "| {name} | {found} | {} | {} | {} | {} | {} | {} |",
        line.right,
        line.wrong,
        share(line.right, found),
        line.attacks,
        line.seen,
        share(line.seen, line.attacks)
    );
}

/// What the detectors find, with repeats within a day as one, as in the database.
fn findings(week: &Week) -> Vec<Finding> {
    let limits = ThreatLimits::default();
    let mut watch = Watch::new(limits);
    for agent in &week.agents {
        let known = week.known.get(&agent.id).cloned().unwrap_or_default();
        watch.learn(week.organization, agent.id, known);
    }
    let mut tokens = Honeytokens::new();
    if let Ok(pattern) = CapabilityPattern::try_from("vault:export") {
        tokens.insert(week.organization, vec![pattern]);
    }
    let mut hours: HashMap<AgentId, BTreeMap<Timestamp, i64>> = week
        .history
        .iter()
        .map(|(agent, hours)| (*agent, hours.iter().copied().collect()))
        .collect();
    let mut findings: Vec<Finding> = Vec::new();
    // In batches of a quarter of an hour, so that the baselines come as they do in life.
    let mut batch_end = start();
    let mut rest = week.observations.as_slice();
    while !rest.is_empty() {
        batch_end = batch_end + TimeDelta::minutes(15);
        let count = rest.partition_point(|seen| seen.at < batch_end);
        let (batch, after) = rest.split_at(count);
        rest = after;
        let mut hits = Hits::default();
        let mut sources = Vec::new();
        for seen in batch {
            watch.observe(seen, &tokens, &mut hits, &mut sources);
        }
        for seen in batch {
            let hour = seen.at
                - TimeDelta::seconds(seen.at.timestamp().rem_euclid(3_600))
                - TimeDelta::nanoseconds(i64::from(seen.at.nanosecond()));
            if let (Some(agent), aim_threats::detect::What::Decision(_)) = (seen.agent, &seen.what) {
                *hours.entry(agent).or_default().entry(hour).or_default() += 1;
            }
        }
        let hour = batch_end - TimeDelta::seconds(batch_end.timestamp().rem_euclid(3_600));
        for (organization, agent) in watch.wanting_baselines(usize::MAX) {
            let from = hour - TimeDelta::days(limits.baseline_days);
            let past: Vec<(Timestamp, i64)> = hours
                .get(&agent)
                .map(|hours| {
                    hours
                        .range(from..hour)
                        .map(|(hour, count)| (*hour, *count))
                        .collect()
                })
                .unwrap_or_default();
            let baseline = Baseline::of(&past, hour, &limits);
            watch.set_baseline(organization, agent, baseline, hour, &mut hits);
        }
        keep(&mut findings, hits, &limits);
    }
    findings
}

fn keep(findings: &mut Vec<Finding>, hits: Hits, limits: &ThreatLimits) {
    let repeats = TimeDelta::hours(limits.repeat_hours);
    for ((_, agent, detector, subject), merged) in hits.into_map() {
        let known = findings.iter_mut().rev().find(|finding| {
            finding.detector == detector && finding.agent == agent && finding.subject == subject
        });
        match known {
            Some(finding) if merged.hit.at - finding.last < repeats => finding.last = merged.hit.at,
            _ => findings.push(Finding {
                agent,
                subject,
                detector,
                first: merged.first,
                last: merged.hit.at,
            }),
        }
    }
}
