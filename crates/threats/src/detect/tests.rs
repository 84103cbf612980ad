//! The detectors on made-up observations: each speaks up at its limit, and not one before.

use aim_core::Id;
use chrono::TimeDelta;
use serde_json::json;

use super::*;

const HOME: &str = "198.51.100.7";
const AWAY: &str = "203.0.113.9";

fn start() -> Timestamp {
    // A Monday.
    Timestamp::parse("2026-11-23T10:00:00Z").unwrap()
}

struct Scene {
    watch: Watch,
    organization: OrganizationId,
    agent: AgentId,
    tokens: Honeytokens,
    now: Timestamp,
    index: i64,
    hits: Hits,
    sources: Vec<SourceUse>,
}

impl Scene {
    /// An agent that is known for long, from one network.
    fn new() -> Self {
        Self::with(Known {
            registered_at: Some(start() - TimeDelta::days(100)),
            last_action: Some(start() - TimeDelta::hours(1)),
            sources: vec![(
                network::network_of(HOME),
                start() - TimeDelta::days(90),
                start() - TimeDelta::hours(1),
            )],
        })
    }

    fn with(known: Known) -> Self {
        let (organization, agent) = (Id::generate(start()), Id::generate(start()));
        let mut watch = Watch::new(ThreatLimits::default());
        watch.learn(organization, agent, known);
        Self {
            watch,
            organization,
            agent,
            tokens: Honeytokens::new(),
            now: start(),
            index: 0,
            hits: Hits::default(),
            sources: Vec::new(),
        }
    }

    fn see(&mut self, what: What) {
        let seen = Observation {
            index: self.index,
            at: self.now,
            organization: self.organization,
            agent: Some(self.agent),
            what,
        };
        self.index += 1;
        self.watch
            .observe(&seen, &self.tokens, &mut self.hits, &mut self.sources);
    }

    fn decided(&mut self, capability: &str, outcome: &str, reason: &str, source: &str) {
        self.see(What::Decision(Decided {
            capability: capability.to_owned(),
            outcome: outcome.to_owned(),
            reasons: vec![reason.to_owned()],
            credential: "key".to_owned(),
            source: Some(source.to_owned()),
        }));
    }

    fn approved(&mut self, source: &str) {
        self.decided("db:read", "approved", "granted", source);
    }

    fn denied(&mut self, capability: &str) {
        self.decided(capability, "denied", "capability.not_granted", HOME);
    }

    fn refused(&mut self, code: &str, held_back: u64, source: &str) {
        self.see(What::Refused {
            code: code.to_owned(),
            fingerprint: Some("key".to_owned()),
            held_back,
            source: Some(source.to_owned()),
        });
    }

    fn pass(&mut self, seconds: i64) {
        self.now = self.now + TimeDelta::seconds(seconds);
    }

    /// What was found since the last look: detector, severity, count.
    fn found(&mut self) -> Vec<(Detector, Severity, i64)> {
        std::mem::take(&mut self.hits)
            .into_map()
            .into_values()
            .map(|merged| (merged.hit.detector, merged.hit.severity, merged.count))
            .collect()
    }

    fn baseline(&mut self, hours: &[(Timestamp, i64)]) {
        let limits = ThreatLimits::default();
        let baseline = baseline::Baseline::of(hours, self.now, &limits);
        self.watch
            .set_baseline(self.organization, self.agent, baseline, self.now, &mut self.hits);
    }
}

/// Four weeks from 8 to 18 o'clock on workdays, 50 an hour.
fn office() -> Vec<(Timestamp, i64)> {
    use chrono::{Datelike, DurationRound};
    let midnight = Timestamp::new(start().duration_trunc(TimeDelta::days(1)).unwrap());
    (1..=28)
        .map(|days| midnight - TimeDelta::days(days))
        .filter(|day| day.weekday().num_days_from_monday() < 5)
        .flat_map(|day| (8..18).map(move |hour| (day + TimeDelta::hours(hour), 50)))
        .collect()
}

#[test]
fn ordinary_work_finds_nothing() {
    let mut scene = Scene::new();
    for round in 0..500 {
        scene.approved(HOME);
        if round % 50 == 0 {
            scene.denied("db:write");
        }
        scene.pass(20);
    }
    assert_eq!(scene.found(), []);
}

#[test]
fn a_forged_signature_is_found_and_many_of_them_are_worse() {
    let mut scene = Scene::new();
    scene.refused("signature.wrong", 0, AWAY);
    assert_eq!(scene.found(), [(Detector::ForgedSignature, Severity::Medium, 1)]);
    scene.refused("signature.wrong", 500, AWAY);
    assert_eq!(scene.found(), [(Detector::ForgedSignature, Severity::High, 1)]);
}

#[test]
fn a_replay_from_home_is_most_likely_a_client_that_repeats_itself() {
    let mut scene = Scene::new();
    scene.refused("auth.signature_replayed", 0, HOME);
    assert_eq!(scene.found(), [(Detector::ReplayedSignature, Severity::Low, 1)]);
    scene.refused("auth.signature_replayed", 0, AWAY);
    assert_eq!(
        scene.found(),
        [(Detector::ReplayedSignature, Severity::Medium, 1)]
    );
}

#[test]
fn the_use_of_an_ended_key_is_as_bad_as_its_end() {
    for (reason, severity) in [
        ("key.revoked", Severity::High),
        ("key.expired", Severity::Medium),
        ("key.grace_ended", Severity::Low),
    ] {
        let mut scene = Scene::new();
        scene.decided("db:read", "denied", reason, AWAY);
        assert_eq!(
            scene.found(),
            [(Detector::EndedKey, severity, 1)],
            "and its network is not learnt, nor is it news"
        );
        assert_eq!(scene.sources, []);
    }
    // Nor can its holder have the agent stopped by what it does with it.
    let mut scene = Scene::new();
    let token = CapabilityPattern::try_from("vault:*").unwrap();
    scene.tokens.insert(scene.organization, vec![token]);
    for number in 0..50 {
        scene.decided(&format!("vault:c{number}"), "denied", "key.revoked", AWAY);
        scene.decided(&format!("vault:c{number}"), "denied", "agent.suspended", HOME);
    }
    let found: Vec<Detector> = scene.found().into_iter().map(|(detector, ..)| detector).collect();
    assert!(
        found
            .iter()
            .all(|detector| matches!(detector, Detector::EndedKey | Detector::Honeytoken)),
        "{found:?}"
    );
    let mut scene = Scene::new();
    scene.refused("key.ended", 0, HOME);
    assert_eq!(scene.found(), [(Detector::EndedKey, Severity::Medium, 1)]);
}

#[test]
fn a_burst_begins_with_the_twentieth_denial_in_five_minutes() {
    let mut scene = Scene::new();
    for _ in 0..19 {
        scene.denied("db:write");
        scene.pass(10);
    }
    assert_eq!(scene.found(), []);
    scene.denied("db:write");
    assert_eq!(scene.found(), [(Detector::DenialBurst, Severity::Medium, 1)]);
    scene.denied("db:write");
    assert_eq!(scene.found(), [], "it is said once a minute");
    for _ in 0..100 {
        scene.denied("db:write");
    }
    scene.pass(60);
    scene.denied("db:write");
    assert_eq!(scene.found(), [(Detector::DenialBurst, Severity::High, 1)]);
}

#[test]
fn slow_denials_and_a_small_share_of_much_work_are_no_burst() {
    let mut slow = Scene::new();
    for _ in 0..200 {
        slow.denied("db:write");
        slow.pass(20);
    }
    assert_eq!(slow.found(), []);
    let mut busy = Scene::new();
    for _ in 0..100 {
        busy.denied("db:write");
        for _ in 0..3 {
            busy.approved(HOME);
        }
    }
    assert_eq!(busy.found(), []);
}

#[test]
fn five_different_capabilities_that_were_never_given_are_probing() {
    let mut scene = Scene::new();
    for name in ["a:x", "b:x", "c:x", "d:x"] {
        scene.denied(name);
        scene.denied(name);
    }
    // Given, but not for this resource: that is no probing.
    scene.decided("e:x", "denied", "scope.resource", HOME);
    assert_eq!(scene.found(), []);
    scene.denied("f:x");
    let found = std::mem::take(&mut scene.hits).into_map();
    let merged = found.values().next().unwrap();
    assert_eq!(merged.hit.detector, Detector::CapabilityProbing);
    assert_eq!(
        merged.hit.values["capabilities"],
        json!(["a:x", "b:x", "c:x", "d:x", "f:x"])
    );
    assert_eq!(merged.hit.records, [0, 2, 4, 6, 9]);
    let mut slow = Scene::new();
    for number in 0..20 {
        slow.denied(&format!("c{number}:x"));
        slow.pass(5 * 60);
    }
    assert_eq!(slow.found(), [], "slower than the window; a known gap");
}

#[test]
fn an_hour_far_above_the_usual_is_found_when_it_passes_the_limit() {
    let mut scene = Scene::new();
    scene.approved(HOME);
    scene.baseline(&office());
    for _ in 0..98 {
        scene.approved(HOME);
    }
    assert_eq!(scene.found(), []);
    scene.approved(HOME);
    scene.approved(HOME);
    assert_eq!(scene.found(), [(Detector::UnusualVolume, Severity::Medium, 1)]);
    for _ in 0..50 {
        scene.approved(HOME);
    }
    assert_eq!(scene.found(), [], "it is said again at twice the count");
    for _ in 0..100 {
        scene.approved(HOME);
    }
    assert_eq!(scene.found().len(), 1);
}

#[test]
fn without_enough_history_no_volume_is_unusual() {
    let mut scene = Scene::new();
    scene.approved(HOME);
    scene.baseline(&office()[..20]);
    for _ in 0..10_000 {
        scene.approved(HOME);
    }
    assert_eq!(scene.found(), []);
}

#[test]
fn the_first_action_of_an_unusual_hour_is_found_once() {
    let mut scene = Scene::new();
    scene.approved(HOME);
    scene.baseline(&office());
    assert_eq!(scene.found(), []);
    scene.pass(16 * 3_600);
    scene.approved(HOME);
    scene.approved(HOME);
    assert_eq!(scene.found(), [(Detector::UnusualHour, Severity::Low, 1)]);
}

#[test]
fn an_hour_that_was_counted_before_its_baseline_was_there_is_judged_when_it_comes() {
    let mut scene = Scene::new();
    scene.pass(16 * 3_600);
    for _ in 0..150 {
        scene.approved(HOME);
    }
    assert_eq!(scene.found(), []);
    assert_eq!(
        scene.watch.wanting_baselines(10),
        [(scene.organization, scene.agent)]
    );
    scene.baseline(&office());
    let found: Vec<Detector> = scene.found().into_iter().map(|(detector, ..)| detector).collect();
    assert_eq!(found, [Detector::UnusualVolume, Detector::UnusualHour]);
    assert_eq!(scene.watch.wanting_baselines(10), [], "once a day");
}

#[test]
fn a_new_network_is_found_once_and_another_host_beside_the_old_one_is_none() {
    let mut scene = Scene::new();
    scene.approved(HOME);
    scene.approved("198.51.100.99");
    assert_eq!(scene.found(), []);
    scene.approved(AWAY);
    scene.approved(AWAY);
    assert_eq!(scene.found(), [(Detector::NewSource, Severity::Medium, 1)]);
    let networks: Vec<&str> = scene.sources.iter().map(|used| used.network.as_str()).collect();
    assert_eq!(networks, ["198.51.100.0/24", "203.0.113.0/24"]);
}

#[test]
fn an_agent_that_settles_or_roams_has_no_new_networks() {
    let mut settling = Scene::with(Known {
        registered_at: Some(start()),
        ..Known::default()
    });
    settling.approved(HOME);
    settling.pass(23 * 3_600);
    settling.approved(AWAY);
    assert_eq!(settling.found(), []);
    settling.pass(2 * 3_600);
    settling.approved("192.0.2.1");
    assert_eq!(
        settling.found().len(),
        1,
        "a day after its first action it is at home"
    );

    let mut roaming = Scene::new();
    for third in 1..=20 {
        roaming.approved(&format!("10.0.{third}.1"));
    }
    let found = roaming.found();
    assert_eq!(found.len(), 7, "from the eighth network on it roams: {found:?}");
}

#[test]
fn a_dormant_agent_is_found_when_it_wakes_and_not_again() {
    let asleep = |days: i64| Known {
        registered_at: Some(start() - TimeDelta::days(200)),
        last_action: Some(start() - TimeDelta::days(days)),
        sources: Vec::new(),
    };
    let mut scene = Scene::with(asleep(29));
    scene.approved(HOME);
    assert_eq!(scene.found(), [], "two weeks of holidays, or four, are no sleep");
    let mut scene = Scene::with(asleep(30));
    scene.approved(HOME);
    scene.approved(HOME);
    assert_eq!(scene.found(), [(Detector::DormantAgent, Severity::Medium, 1)]);
    let mut scene = Scene::with(Known {
        registered_at: Some(start() - TimeDelta::days(31)),
        ..Known::default()
    });
    scene.approved(HOME);
    assert_eq!(scene.found().len(), 1, "registered and never used");
}

#[test]
fn a_key_that_jumps_between_two_networks_is_in_two_hands() {
    let mut scene = Scene::new();
    for _ in 0..3 {
        scene.approved(HOME);
        scene.approved(AWAY);
        scene.pass(30);
    }
    let before: Vec<Detector> = scene.found().into_iter().map(|(detector, ..)| detector).collect();
    assert_eq!(before, [Detector::NewSource], "five changes");
    scene.approved(HOME);
    assert_eq!(scene.found(), [(Detector::SharedKey, Severity::High, 1)]);
}

#[test]
fn a_move_to_another_network_and_two_old_homes_are_no_shared_key() {
    let mut moving = Scene::new();
    for place in [HOME, HOME, AWAY, AWAY, AWAY] {
        moving.approved(place);
    }
    assert_eq!(moving.found().len(), 1, "the new network alone");

    let known = |address: &str| {
        (
            network::network_of(address),
            start() - TimeDelta::days(9),
            start() - TimeDelta::hours(1),
        )
    };
    let mut both = Scene::with(Known {
        registered_at: Some(start() - TimeDelta::days(10)),
        last_action: Some(start() - TimeDelta::hours(1)),
        sources: vec![known(HOME), known(AWAY)],
    });
    for _ in 0..50 {
        both.approved(HOME);
        both.approved(AWAY);
    }
    assert_eq!(both.found(), []);
}

#[test]
fn a_honeytoken_is_found_whether_it_was_denied_or_not() {
    let mut scene = Scene::new();
    let token = CapabilityPattern::try_from("vault:*").unwrap();
    scene.tokens.insert(scene.organization, vec![token]);
    scene.denied("vault:export");
    scene.decided("vault:export", "approved", "granted", HOME);
    scene.approved(HOME);
    assert_eq!(scene.found(), [(Detector::Honeytoken, Severity::Critical, 2)]);
}

#[test]
fn a_drift_is_about_the_server() {
    let mut scene = Scene::new();
    for (facts, severity) in [
        (json!({"diff": {"tools_added": ["shell"]}}), Severity::High),
        (
            json!({"diff": {"tools_removed": ["x"], "tools_added": []}}),
            Severity::Medium,
        ),
    ] {
        let seen = Observation {
            index: 1,
            at: scene.now,
            organization: scene.organization,
            agent: None,
            what: What::Drift {
                server: "server".to_owned(),
                facts: facts.as_object().cloned().unwrap(),
            },
        };
        scene
            .watch
            .observe(&seen, &scene.tokens, &mut scene.hits, &mut scene.sources);
        assert_eq!(scene.found(), [(Detector::McpDrift, severity, 1)]);
    }
}

#[test]
fn what_is_remembered_stays_bounded() {
    let mut scene = Scene::new();
    for round in 0..3_000_u32 {
        let source = format!("10.{}.{}.1", round / 250, round % 250);
        scene.decided(
            &format!("c{round}:x"),
            "denied",
            "capability.not_granted",
            &source,
        );
        scene.refused("signature.wrong", 0, &source);
    }
    let mut hits = std::mem::take(&mut scene.hits).into_map();
    let worst = hits.values_mut().map(|merged| merged.hit.records.len()).max();
    assert_eq!(worst, Some(RECORDS));
    // Only who was quiet longest is forgotten.
    for _ in 0..WATCHED + 10 {
        let known = Known {
            registered_at: Some(start() - TimeDelta::days(5)),
            ..Known::default()
        };
        scene
            .watch
            .learn(scene.organization, Id::generate(start()), known);
    }
    assert!(scene.watch.agents.len() <= WATCHED);
    assert!(scene.watch.knows(scene.organization, scene.agent));
}
