//! What is out of the ordinary becomes a finding, and what is ordinary does not.

use aim_core::{Code, Role};
use aim_decision::Severity;
use aim_premium::access::settings::Thresholds;
use aim_testkit::seed_agent;
use aim_threats::model::PutPolicies;
use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{Audit, pair};
use crate::{
    bed::{Bed, refused},
    wraps,
};

const LIVE: &str = "payments/stripe/live";

/// `days` of work from Monday on: reads at ten and at eleven.
async fn work(audit: &Audit<'_>, path: &str, days: i64) {
    for _ in 0..days {
        audit.read(path).await;
        audit.bed.clock.advance(TimeDelta::hours(1));
        audit.read(path).await;
        audit.bed.clock.advance(TimeDelta::hours(23));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_steady_reader_is_never_found_and_one_at_night_is() {
    for bed in Bed::all().await {
        let audit = Audit::of(&bed).await;
        audit.at("2026-10-05T10:00:00Z");
        bed.put(LIVE, "v").await;
        work(&audit, LIVE, 15).await;
        // An hour late is no wonder.
        bed.clock.advance(TimeDelta::hours(2));
        audit.read(LIVE).await;
        assert_eq!(audit.found().await, []);
        audit.at("2026-10-21T03:10:00Z");
        audit.read(LIVE).await;
        assert_eq!(audit.found().await, [pair("secret_unusual_hour", LIVE)]);
        let finding = &audit.findings().await[0];
        assert_eq!(finding.agent_id, Some(bed.agent.id));
        assert_eq!(finding.title, "Secret read at an unusual hour");
        assert!(
            finding.summary.contains("2026-10-21 03:00 UTC"),
            "{}",
            finding.summary
        );
        assert_eq!(
            finding.evidence.values["why"], "time_of_day",
            "{:?}",
            finding.evidence
        );
        assert!(finding.evidence.values["decision_id"].is_string());
        assert_eq!(finding.evidence.records.len(), 1);
        // Once it was seen at that hour, it is known for it.
        bed.clock.advance(TimeDelta::minutes(5));
        audit.read(LIVE).await;
        assert_eq!(audit.findings().await[0].count, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_reader_is_found_where_others_have_read_for_long() {
    for bed in Bed::all().await {
        let audit = Audit::of(&bed).await;
        audit.at("2026-10-05T10:00:00Z");
        let other = seed_agent(&bed.kernel.store, bed.organization, "other").await;
        bed.grant_to(bed.organization, &other, "allow", "payments/**")
            .await;
        bed.put(LIVE, "v").await;
        bed.put("payments/young", "v").await;
        audit.read(LIVE).await;
        bed.clock.advance(TimeDelta::days(6));
        audit.read_by(&other, LIVE).await;
        assert_eq!(audit.found().await, [], "the secret is still being learnt");
        bed.clock.advance(TimeDelta::days(2));
        audit.read("payments/young").await;
        audit.read_by(&other, "payments/young").await;
        audit.read_by(&other, LIVE).await;
        assert_eq!(audit.found().await, [], "young, or known by now");
        let third = seed_agent(&bed.kernel.store, bed.organization, "third").await;
        bed.grant_to(bed.organization, &third, "allow", "payments/**")
            .await;
        bed.clock.advance(TimeDelta::hours(1));
        audit.read_by(&third, LIVE).await;
        let findings = audit.findings().await;
        assert_eq!(audit.found().await, [pair("secret_first_reader", LIVE)]);
        assert_eq!(findings[0].severity, Severity::Low, "its grant is new");
        assert_eq!(findings[0].agent_id, Some(third.id));
        bed.clock.advance(TimeDelta::days(8));
        audit.read_by(&third, "payments/young").await;
        let findings = audit.findings().await;
        assert_eq!(findings.len(), 2);
        assert_eq!(
            (findings[0].subject.as_str(), findings[0].severity),
            ("payments/young", Severity::Medium)
        );
        assert!(
            findings[0].summary.contains("2 other agents"),
            "{}",
            findings[0].summary
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_after_many_denials_is_found_though_the_follower_was_started_anew_between() {
    for bed in Bed::all().await {
        bed.put(LIVE, "v").await;
        let audit = Audit::of(&bed).await;
        for number in 0..4 {
            audit.read(&format!("hr/{number}")).await;
        }
        audit.read(LIVE).await;
        assert_eq!(audit.found().await, [], "four are not many");
        bed.clock.advance(TimeDelta::minutes(11));
        audit.read("hr/4").await;
        audit.read(LIVE).await;
        assert_eq!(audit.found().await, [], "nor are four of long ago and one");
        for number in 0..4 {
            audit.read(&format!("hr/{number}")).await;
        }
        audit.catch_up().await;
        let audit = Audit::of(&bed).await;
        audit.read(LIVE).await;
        assert_eq!(audit.found().await, [pair("secret_after_denials", LIVE)]);
        let finding = &audit.findings().await[0];
        assert_eq!(finding.severity, Severity::High);
        assert_eq!(finding.evidence.values["denials"], 5);
        assert_eq!(finding.evidence.records.len(), 6, "the denials, and the read");
        // The alert is there, and repeats are the same finding.
        assert_eq!(
            bed.database.count("SELECT count(*) FROM alerts").await,
            1,
            "people are told"
        );
        audit.read(LIVE).await;
        assert_eq!(audit.findings().await[0].count, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn far_more_reads_than_ever_are_found_by_the_thresholds_that_are_set() {
    for bed in Bed::all().await {
        let audit = Audit::of(&bed).await;
        let admin = bed.as_role(Role::Admin);
        let thresholds = Thresholds {
            volume_floor: 10,
            volume_hours: 8,
            ..Thresholds::default()
        };
        audit.service.put_thresholds(&admin, thresholds).await.unwrap();
        audit.at("2026-10-05T10:00:00Z");
        bed.put(LIVE, "v").await;
        bed.put("payments/new", "v").await;
        for _ in 0..9 {
            audit.read(LIVE).await;
            audit.read(LIVE).await;
            bed.clock.advance(TimeDelta::hours(1));
        }
        for _ in 0..10 {
            audit.read(LIVE).await;
        }
        assert_eq!(audit.found().await, [], "ten are the floor");
        audit.read(LIVE).await;
        assert_eq!(audit.found().await, [pair("secret_unusual_volume", LIVE)]);
        for _ in 0..15 {
            audit.read("payments/new").await;
        }
        assert_eq!(
            audit.findings().await.len(),
            1,
            "a secret without a history has nothing to be compared with"
        );
        // The follower is started anew within the hour, and goes on counting; the number doubles once more.
        let audit = Audit::of(&bed).await;
        for _ in 0..9 {
            audit.read(LIVE).await;
        }
        let finding = &audit.findings().await[0];
        assert_eq!(
            (finding.count, &finding.evidence.values["reads"]),
            (2, &serde_json::json!(20))
        );
        let wrong = Thresholds {
            denials: 0,
            ..Thresholds::default()
        };
        let refusal = audit.service.put_thresholds(&admin, wrong).await;
        assert_eq!(refused(refusal).1, "denials");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_detector_that_is_off_finds_nothing_and_a_finding_outlives_its_detector() {
    for bed in Bed::all().await {
        bed.put(LIVE, "v").await;
        let audit = Audit::of(&bed).await;
        audit.set("secret_after_denials", "off").await;
        for number in 0..6 {
            audit.read(&format!("hr/{number}")).await;
        }
        audit.read(LIVE).await;
        assert_eq!(audit.found().await, []);
        audit.set("secret_after_denials", "alert").await;
        audit.read(LIVE).await;
        assert_eq!(audit.found().await.len(), 1);
        // A server without the premium edition still shows it, in its own words.
        let community = aim_threats::ThreatService::new(&bed.kernel);
        let filter = aim_threats::model::FindingQuery::default().parse(&[]).unwrap();
        let list = community.list(&bed.manager(), filter).await.unwrap();
        assert_eq!(list.threats[0].title, "Secret read after denials");
        assert!(list.threats[0].summary.starts_with(LIVE));
        let unknown = aim_threats::model::FindingQuery {
            detector: Some("secret_after_denials".to_owned()),
            ..Default::default()
        };
        assert_eq!(refused(unknown.parse(&[])).1, "detector");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrap_token_that_is_brought_twice_is_a_finding_and_an_alert_and_stops_no_agent() {
    for bed in Bed::all().await {
        let audit = Audit::of(&bed).await;
        bed.put(LIVE, "v").await;
        let wrap = async |body: Value| wraps::made(&bed, body).await;
        let view = wrap(json!({"path": LIVE, "reason": "the first start", "for_agent": bed.agent.id})).await;
        let agent = bed.as_agent();
        wraps::unwrapped(&bed, &agent, &view.token).await.unwrap();
        assert_eq!(audit.found().await, [], "once is what it is for");
        for _ in 0..2 {
            let again = wraps::unwrapped(&bed, &agent, &view.token).await;
            assert_eq!(refused(again).0, Code::WrapUsed);
        }
        assert_eq!(
            audit.found().await,
            [pair(
                "secret_wrap_reused",
                &format!("{LIVE} {}", view.wrap.wrap_id)
            )]
        );
        let finding = &audit.findings().await[0];
        assert_eq!((finding.severity, finding.count), (Severity::High, 2));
        assert!(
            finding.summary.contains(LIVE) && finding.summary.contains("rotate the secret"),
            "{}",
            finding.summary
        );
        assert_eq!(finding.evidence.values["path"], LIVE);
        assert_eq!(finding.evidence.values["wrap_id"], json!(view.wrap.wrap_id));
        assert!(
            finding.evidence.values["used_at"].is_string(),
            "{:?}",
            finding.evidence
        );
        assert_eq!(finding.title, "Wrap token used twice");
        assert_eq!(alerts(&bed, "high").await, 1);

        // Which of the two was meant to have it is not known, so that it cannot be made to stop one.
        let put = PutPolicies {
            responses: [("secret_wrap_reused".to_owned(), "suspend".to_owned())].into(),
        };
        let set = audit.threats.put_policies(&bed.as_role(Role::Admin), put).await;
        assert_eq!(refused(set).1, "responses.secret_wrap_reused");
        // And who does not want to hear of it does not.
        audit.set("secret_wrap_reused", "off").await;
        let view = wrap(json!({"path": LIVE, "reason": "the first start"})).await;
        let nobody = wraps::nobody(&bed);
        wraps::unwrapped(&bed, &nobody, &view.token).await.unwrap();
        let _ = wraps::unwrapped(&bed, &nobody, &view.token).await.unwrap_err();
        assert_eq!((audit.findings().await.len(), alerts(&bed, "high").await), (1, 1));
    }
}

/// How many alerts of this severity there are.
async fn alerts(bed: &Bed, severity: &str) -> i64 {
    let alerts =
        format!("SELECT count(*) FROM alerts WHERE kind = 'threat_finding' AND severity = '{severity}'");
    bed.database.count(&alerts).await
}
