//! The week: 70 agents of five kinds at work, four weeks of history, ordinary events that look suspicious, and
//! attacks. Everything benign is drawn as it happens in practice: holidays, batch jobs, deployments, new hosts.

use std::collections::HashMap;

use aim_core::{AgentId, Id, OrganizationId, Timestamp};
use aim_threats::{
    detect::{Decided, Known, Observation, What, network::network_of},
    detector::Detector,
};
use chrono::{Datelike, TimeDelta, Timelike};
use serde_json::json;

/// SplitMix64: a fixed seed gives the same week on every machine.
pub(crate) struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: i64) -> i64 {
        i64::try_from(self.next() % u64::try_from(limit.max(1)).unwrap_or(1)).unwrap_or(0)
    }

    /// Around `middle`, by a third either way; rarely twice as much.
    fn around(&mut self, middle: i64) -> i64 {
        let value = middle * 2 / 3 + self.below(middle * 2 / 3 + 1);
        if self.below(100) == 0 { value * 2 } else { value }
    }
}

/// How an agent lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Workdays from 8 to 18 o'clock.
    Office,
    /// All day and night, more by day.
    Service,
    /// Every night at an hour of its own; on Sundays twice as much.
    Batch,
    /// A few actions a day.
    Rare,
    /// From two networks in turn, as long as it exists.
    Fleet,
    /// A laptop that is somewhere else every day.
    Roaming,
    /// Registered two days ago.
    Young,
    /// Not seen for weeks.
    Asleep,
}

/// One agent.
pub(crate) struct Agent {
    pub(crate) id: AgentId,
    pub(crate) kind: Kind,
    number: i64,
    rate: i64,
    night: i64,
}

/// Something that is an attack, from its first to its last observation.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    /// Whom it is about; none for an MCP server.
    pub(crate) agent: Option<AgentId>,
    pub(crate) expected: Detector,
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
}

/// The whole of it.
pub(crate) struct Week {
    pub(crate) organization: OrganizationId,
    pub(crate) agents: Vec<Agent>,
    pub(crate) observations: Vec<Observation>,
    pub(crate) attacks: Vec<Attack>,
    /// What looks suspicious and is not, by its name and agent.
    pub(crate) benign: Vec<(&'static str, Option<AgentId>)>,
    /// Decisions by hour of the four weeks before.
    pub(crate) history: HashMap<AgentId, Vec<(Timestamp, i64)>>,
    pub(crate) known: HashMap<AgentId, Known>,
    dice: Dice,
}

/// A Monday, at midnight.
pub(crate) fn start() -> Timestamp {
    Timestamp::parse("2026-11-16T00:00:00Z").unwrap_or_else(|| Timestamp::from(chrono::DateTime::UNIX_EPOCH))
}

fn at(day: i64, hour: i64, minute: i64) -> Timestamp {
    start() + TimeDelta::days(day) + TimeDelta::hours(hour) + TimeDelta::minutes(minute)
}

const AWAY: &str = "203.0.113.66";

impl Agent {
    fn home(&self) -> String {
        format!("10.1.{}.10", self.number)
    }

    /// How much it does in an hour, before chance.
    fn usual(&self, hour: Timestamp) -> i64 {
        let workday = hour.weekday().num_days_from_monday() < 5;
        let clock = i64::from(hour.hour());
        match self.kind {
            Kind::Office if workday && (8..18).contains(&clock) => self.rate,
            Kind::Service | Kind::Fleet if (7..20).contains(&clock) => self.rate,
            Kind::Service | Kind::Fleet => self.rate / 2,
            Kind::Batch if clock == self.night && hour.weekday().num_days_from_monday() == 6 => {
                self.rate * 20
            }
            Kind::Batch if clock == self.night => self.rate * 10,
            Kind::Rare if clock % 6 == self.night % 6 => 1,
            Kind::Roaming | Kind::Young if (9..19).contains(&clock) => self.rate / 3,
            Kind::Office | Kind::Batch | Kind::Rare | Kind::Roaming | Kind::Young | Kind::Asleep => 0,
        }
    }
}

impl Week {
    /// Simulates the week.
    pub(crate) fn simulate(seed: u64) -> Self {
        let mut week = Self {
            organization: Id::from_uuid(uuid::Uuid::from_u128(1)),
            agents: Vec::new(),
            observations: Vec::new(),
            attacks: Vec::new(),
            benign: Vec::new(),
            history: HashMap::new(),
            known: HashMap::new(),
            dice: Dice(seed),
        };
        week.hire();
        for number in 0..week.agents.len() {
            week.past_of(number);
            week.ordinary_week_of(number);
        }
        week.benign_events();
        week.attacks();
        week.observations.sort_by_key(|seen| seen.at);
        for (index, seen) in week.observations.iter_mut().enumerate() {
            seen.index = i64::try_from(index).unwrap_or(i64::MAX);
        }
        week
    }

    fn hire(&mut self) {
        for (kind, count) in [
            (Kind::Office, 24),
            (Kind::Service, 14),
            (Kind::Batch, 10),
            (Kind::Rare, 6),
            (Kind::Fleet, 6),
            (Kind::Roaming, 3),
            (Kind::Young, 3),
            (Kind::Asleep, 4),
        ] {
            for _ in 0..count {
                let number = i64::try_from(self.agents.len()).unwrap_or(0);
                let rate = 30 + self.dice.below(60);
                let night = 1 + self.dice.below(5);
                self.agents.push(Agent {
                    id: Id::from_uuid(uuid::Uuid::from_u128(1_000 + u128::from(number.unsigned_abs()))),
                    kind,
                    number,
                    rate,
                    night,
                });
            }
        }
    }

    fn agent(&self, kind: Kind, place: usize) -> (AgentId, String) {
        let found = self.agents.iter().filter(|agent| agent.kind == kind).nth(place);
        found.map_or_else(
            || (Id::from_uuid(uuid::Uuid::nil()), String::new()),
            |agent| (agent.id, agent.home()),
        )
    }

    /// The four weeks before, and where the agent was seen in them.
    fn past_of(&mut self, place: usize) {
        let Some(agent) = self.agents.get(place) else {
            return;
        };
        let (id, kind, home, number) = (agent.id, agent.kind, agent.home(), agent.number);
        let since = if kind == Kind::Young { 2 } else { 28 };
        let mut hours = Vec::new();
        for hour in 0..since * 24 {
            let moment = start() - TimeDelta::hours(since * 24 - hour);
            let usual = self.agents.get(place).map_or(0, |agent| agent.usual(moment));
            if usual > 0 {
                hours.push((moment, self.dice.around(usual)));
            }
        }
        let seen = |address: &str| {
            (
                network_of(address),
                start() - TimeDelta::days(since),
                start() - TimeDelta::hours(7),
            )
        };
        let mut sources = vec![seen(&home)];
        if kind == Kind::Fleet {
            sources.push(seen(&format!("10.2.{number}.10")));
        }
        if kind == Kind::Roaming {
            sources.extend((0..9).map(|place| seen(&format!("10.{}.{number}.10", 30 + place))));
        }
        let last_action = match kind {
            Kind::Asleep => Some(start() - TimeDelta::days(28 + 3 * number % 30)),
            _ => hours.last().map(|(hour, _)| *hour),
        };
        let known = Known {
            registered_at: Some(start() - TimeDelta::days(if kind == Kind::Young { 2 } else { 200 })),
            last_action,
            sources,
        };
        self.known.insert(id, known);
        self.history.insert(id, hours);
    }

    fn ordinary_week_of(&mut self, place: usize) {
        for hour in 0..7 * 24 {
            let moment = start() + TimeDelta::hours(hour);
            let Some(agent) = self.agents.get(place) else {
                return;
            };
            let (id, kind, home, number) = (agent.id, agent.kind, agent.home(), agent.number);
            // Holidays: five agents of the office do nothing on Monday and Tuesday.
            if kind == Kind::Office && number < 5 && hour < 48 {
                continue;
            }
            let usual = agent.usual(moment);
            let count = if usual > 0 { self.dice.around(usual) } else { 0 };
            for _ in 0..count {
                let when = moment + TimeDelta::milliseconds(self.dice.below(3_600_000));
                let from = match kind {
                    Kind::Fleet if self.dice.below(2) == 0 => format!("10.2.{number}.10"),
                    Kind::Roaming => format!("10.{}.{number}.10", 30 + (hour / 24 + number) % 9),
                    // New hosts behind the same gateway come and go.
                    _ if self.dice.below(40) == 0 => {
                        format!("{}{}", home.trim_end_matches("10"), 11 + self.dice.below(200))
                    }
                    _ => home.clone(),
                };
                let (capability, outcome, reason) = match self.dice.below(200) {
                    0 => ("orders:refund", "denied", "scope.resource"),
                    1 => ("reports:delete", "denied", "capability.not_granted"),
                    _ => ("orders:read", "approved", "granted"),
                };
                self.decided(id, when, capability, outcome, reason, &from);
            }
        }
    }

    fn decided(
        &mut self,
        agent: AgentId,
        when: Timestamp,
        capability: &str,
        outcome: &str,
        reason: &str,
        from: &str,
    ) {
        self.observations.push(Observation {
            index: 0,
            at: when,
            organization: self.organization,
            agent: Some(agent),
            what: What::Decision(Decided {
                capability: capability.to_owned(),
                outcome: outcome.to_owned(),
                reasons: vec![reason.to_owned()],
                credential: format!("key of {agent}"),
                source: Some(from.to_owned()),
            }),
        });
    }

    fn refused(&mut self, agent: AgentId, when: Timestamp, code: &str, from: &str) {
        self.observations.push(Observation {
            index: 0,
            at: when,
            organization: self.organization,
            agent: Some(agent),
            what: What::Refused {
                code: code.to_owned(),
                fingerprint: Some(format!("key of {agent}")),
                held_back: 0,
                source: Some(from.to_owned()),
            },
        });
    }

    fn drift(&mut self, when: Timestamp, server: &str, change: &str) {
        let facts = json!({"diff": { (change): ["search"] }});
        self.observations.push(Observation {
            index: 0,
            at: when,
            organization: self.organization,
            agent: None,
            what: What::Drift {
                server: server.to_owned(),
                facts: facts.as_object().cloned().unwrap_or_default(),
            },
        });
    }

    /// `count` decisions, so many seconds apart; capabilities by their number.
    fn series(
        &mut self,
        agent: AgentId,
        from: Timestamp,
        (count, seconds): (i64, i64),
        from_where: &str,
        what: impl Fn(i64) -> (String, &'static str, &'static str),
    ) -> Timestamp {
        let mut last = from;
        for number in 0..count {
            last = from + TimeDelta::seconds(seconds * number);
            let (capability, outcome, reason) = what(number);
            self.decided(agent, last, &capability, outcome, reason, from_where);
        }
        last
    }

    /// What looks like an attack and is none.
    fn benign_events(&mut self) {
        let granted = |_: i64| ("orders:read".to_owned(), "approved", "granted");
        // Clients that repeat a request after a time-out, from home.
        for place in 0..4 {
            let (agent, home) = self.agent(Kind::Service, place);
            self.benign.push(("a client that repeats itself", Some(agent)));
            self.refused(agent, at(1, 11, 7), "auth.signature_replayed", &home);
        }
        // A proxy that rewrites a header for an afternoon.
        let (agent, home) = self.agent(Kind::Service, 5);
        self.benign.push(("a proxy that rewrites", Some(agent)));
        self.refused(agent, at(2, 14, 0), "signature.wrong", &home);
        // Instances that have not heard of a rotation.
        for place in 6..9 {
            let (agent, home) = self.agent(Kind::Office, place);
            self.benign
                .push(("an instance that missed a rotation", Some(agent)));
            for minute in 0..3 {
                self.decided(
                    agent,
                    at(3, 10, minute * 10),
                    "orders:read",
                    "denied",
                    "key.grace_ended",
                    &home,
                );
            }
        }
        // Deployments that use two or three capabilities before they are granted.
        for place in 9..12 {
            let (agent, home) = self.agent(Kind::Office, place);
            self.benign
                .push(("a deployment ahead of its grants", Some(agent)));
            self.series(agent, at(1, 13, 5), (12, 20), &home, |number| {
                (
                    format!("new:feature{}", number % 3),
                    "denied",
                    "capability.not_granted",
                )
            });
        }
        // A broken deployment that tries again and again.
        let (agent, home) = self.agent(Kind::Office, 12);
        self.benign.push(("a broken deployment", Some(agent)));
        self.series(agent, at(2, 15, 20), (60, 4), &home, |_| {
            ("orders:export".to_owned(), "denied", "scope.resource")
        });
        // Month-end: two batch agents do three times as much; a campaign: two services do twice as much.
        for place in 0..2 {
            let (agent, home) = self.agent(Kind::Batch, place);
            let (night, rate) = self
                .agents
                .iter()
                .find(|candidate| candidate.id == agent)
                .map_or((1, 1), |agent| (agent.night, agent.rate));
            self.benign.push(("month-end", Some(agent)));
            self.series(agent, at(4, night, 0), (rate * 20, 2), &home, granted);
        }
        for place in 6..8 {
            let (agent, home) = self.agent(Kind::Service, place);
            self.benign.push(("a campaign", Some(agent)));
            for hour in 9..17 {
                self.series(agent, at(3, hour, 0), (60, 60), &home, granted);
            }
        }
        // On call: one office agent on a Saturday, another one at night.
        let (agent, home) = self.agent(Kind::Office, 13);
        self.benign.push(("on call", Some(agent)));
        self.series(agent, at(5, 11, 0), (10, 60), &home, granted);
        let (agent, home) = self.agent(Kind::Office, 14);
        self.benign.push(("on call", Some(agent)));
        self.series(agent, at(2, 23, 0), (10, 60), &home, granted);
        // Two agents move to another data centre; a third one rolls over, with old and new at once.
        for place in 15..17 {
            let (agent, _) = self.agent(Kind::Office, place);
            self.benign.push(("a move to another data centre", Some(agent)));
            self.series(agent, at(3, 9, 0), (40, 30), "10.7.7.10", granted);
        }
        let (agent, home) = self.agent(Kind::Office, 17);
        self.benign
            .push(("a rolling deployment across networks", Some(agent)));
        for minute in 0..10 {
            self.decided(
                agent,
                at(4, 9, minute),
                "orders:read",
                "approved",
                "granted",
                "10.7.8.10",
            );
            let between = at(4, 9, minute) + TimeDelta::seconds(20);
            self.decided(agent, between, "orders:read", "approved", "granted", &home);
        }
        // The quarterly job wakes after six weeks.
        let (agent, home) = self.agent(Kind::Asleep, 0);
        self.benign.push(("a quarterly job", Some(agent)));
        self.series(agent, at(1, 6, 0), (20, 5), &home, granted);
        // A maintainer corrects a description.
        self.benign.push(("a corrected description", None));
        self.drift(at(2, 10, 0), "handbook", "tools_description_changed");
    }

    fn attack(
        &mut self,
        name: &'static str,
        agent: Option<AgentId>,
        expected: Detector,
        from: Timestamp,
        to: Timestamp,
    ) {
        self.attacks.push(Attack {
            name,
            agent,
            expected,
            from,
            to,
        });
    }

    fn attacks(&mut self) {
        self.attacks_on_signatures();
        self.attacks_by_asking();
        self.attacks_by_volume_and_time();
        self.stolen_keys();
        for (place, change) in ["tools_added", "tools_schema_changed", "tools_description_changed"]
            .into_iter()
            .enumerate()
        {
            let server = ["search", "files", "mail"]
                .get(place)
                .copied()
                .unwrap_or_default();
            let when = at(3, 12 + i64::try_from(place).unwrap_or(0), 0);
            self.drift(when, server, change);
            self.attack("rug pull", None, Detector::McpDrift, when, when);
        }
    }

    fn attacks_on_signatures(&mut self) {
        for place in 0..6 {
            let (agent, home) = self.agent(Kind::Batch, place);
            let when = at(5, 3, i64::try_from(place).unwrap_or(0));
            self.refused(agent, when, "signature.wrong", AWAY);
            self.attack(
                "forged signature",
                Some(agent),
                Detector::ForgedSignature,
                when,
                when,
            );
            // The last one sits in the agent's own network.
            let from = if place == 5 { home } else { AWAY.to_owned() };
            let when = when + TimeDelta::hours(2);
            self.refused(agent, when, "auth.signature_replayed", &from);
            self.attack("replay", Some(agent), Detector::ReplayedSignature, when, when);
        }
        for place in 0..4 {
            let (agent, _) = self.agent(Kind::Rare, place);
            let when = at(4, 12, 0);
            self.decided(agent, when, "orders:read", "denied", "key.revoked", AWAY);
            self.attack("revoked key", Some(agent), Detector::EndedKey, when, when);
        }
    }

    fn attacks_by_asking(&mut self) {
        let never = |capability: String| (capability, "denied", "capability.not_granted");
        for place in 0..6 {
            let (agent, home) = self.agent(Kind::Fleet, place);
            let from = at(1, 15, 2);
            // Two are careful: fifteen in five minutes.
            let pace = if place < 4 { (40, 5) } else { (15, 20) };
            let to = self.series(agent, from, pace, &home, |_| never("payments:send".to_owned()));
            let name = if place < 4 {
                "hammering at a refusal"
            } else {
                "careful hammering"
            };
            self.attack(name, Some(agent), Detector::DenialBurst, from, to);
            let from = at(3, 15, 2);
            // Two are slow: one capability every ten minutes.
            let pace = if place < 4 { (10, 20) } else { (20, 600) };
            let to = self.series(agent, from, pace, &home, |number| {
                never(format!("area{number}:read"))
            });
            let name = if place < 4 { "probing" } else { "slow probing" };
            self.attack(name, Some(agent), Detector::CapabilityProbing, from, to);
        }
        for place in 0..3 {
            let (agent, home) = self.agent(Kind::Rare, place);
            let when = at(2, 16, 0);
            self.decided(
                agent,
                when,
                "vault:export",
                "denied",
                "capability.not_granted",
                &home,
            );
            self.attack("honeytoken", Some(agent), Detector::Honeytoken, when, when);
        }
    }

    fn attacks_by_volume_and_time(&mut self) {
        let granted = |_: i64| ("orders:read".to_owned(), "approved", "granted");
        for place in 8..13 {
            let (agent, home) = self.agent(Kind::Service, place);
            let from = at(2, 12, 0);
            // Two stay below the double of what is usual.
            let (count, name) = if place < 11 {
                (1_500, "exfiltration")
            } else {
                (40, "patient exfiltration")
            };
            let to = self.series(agent, from, (count, 2), &home, granted);
            self.attack(name, Some(agent), Detector::UnusualVolume, from, to);
        }
        let (agent, home) = self.agent(Kind::Young, 0);
        let to = self.series(agent, at(2, 12, 0), (1_500, 2), &home, granted);
        self.attack(
            "exfiltration by a new agent",
            Some(agent),
            Detector::UnusualVolume,
            at(2, 12, 0),
            to,
        );
        for place in 18..22 {
            let (agent, home) = self.agent(Kind::Office, place);
            let to = self.series(agent, at(3, 3, 0), (15, 30), &home, granted);
            self.attack("at night", Some(agent), Detector::UnusualHour, at(3, 3, 0), to);
        }
        for place in 1..4 {
            let (agent, home) = self.agent(Kind::Asleep, place);
            let from = at(4, 10, 0);
            let to = self.series(agent, from, (10, 30), &home, granted);
            self.attack("forgotten agent", Some(agent), Detector::DormantAgent, from, to);
        }
    }

    fn stolen_keys(&mut self) {
        let granted = |_: i64| ("orders:read".to_owned(), "approved", "granted");
        for place in 0..5 {
            let (agent, _) = self.agent(Kind::Office, place);
            let from = at(3, 14, 0);
            let to = self.series(agent, from, (5, 60), AWAY, granted);
            self.attack("stolen key", Some(agent), Detector::NewSource, from, to);
        }
        // From the victim's own network, and of an agent that is somewhere else every day.
        let (agent, home) = self.agent(Kind::Office, 5);
        let beside = format!("{}99", home.trim_end_matches("10"));
        let to = self.series(agent, at(3, 14, 0), (5, 60), &beside, granted);
        self.attack(
            "stolen key, same network",
            Some(agent),
            Detector::NewSource,
            at(3, 14, 0),
            to,
        );
        let (agent, _) = self.agent(Kind::Roaming, 0);
        let to = self.series(agent, at(3, 14, 0), (5, 60), AWAY, granted);
        self.attack(
            "stolen key of a laptop",
            Some(agent),
            Detector::NewSource,
            at(3, 14, 0),
            to,
        );
        for place in 9..14 {
            let (agent, home) = self.agent(Kind::Service, place);
            let from = at(4, 11, 0);
            // The last one is patient: once in five minutes.
            let seconds = if place < 13 { 30 } else { 300 };
            let mut to = from;
            for number in 0..10 {
                to = from + TimeDelta::seconds(seconds * number);
                self.decided(agent, to, "orders:read", "approved", "granted", AWAY);
                self.decided(
                    agent,
                    to + TimeDelta::seconds(10),
                    "orders:read",
                    "approved",
                    "granted",
                    &home,
                );
            }
            let name = if place < 13 {
                "key in two hands"
            } else {
                "key in two hands, patient"
            };
            self.attack(name, Some(agent), Detector::SharedKey, from, to);
        }
    }
}
