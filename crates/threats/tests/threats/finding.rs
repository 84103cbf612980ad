//! What is found, once, with its evidence; and what a restart and a second organisation change about that.

use aim_core::Role;
use aim_decision::Severity;
use aim_testkit::seed_agent;
use aim_threats::model::{FindingStatus, NewHoneytoken, PutHoneytokens, ReviewFinding};
use chrono::TimeDelta;

use crate::bed::{AWAY, Bed, HOME};

#[tokio::test(flavor = "multi_thread")]
async fn ordinary_work_finds_nothing() {
    for bed in Bed::all().await {
        for _ in 0..5 {
            assert_eq!(bed.asks("db:read", HOME).await.status, "approved");
            bed.pass(TimeDelta::minutes(1));
        }
        assert_eq!(bed.found().await, [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_and_probing_are_found_with_the_records_that_show_them() {
    for bed in Bed::all().await {
        for round in 0..20 {
            bed.asks(&format!("vault:read{}", round % 5), HOME).await;
        }
        let findings = bed.findings().await;
        let mut names: Vec<_> = findings.iter().map(|finding| finding.detector.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["capability_probing", "denial_burst"]);
        for finding in &findings {
            assert_eq!(finding.agent_id, Some(bed.agent.id));
            assert_eq!(finding.agent_name.as_deref(), Some("reader"));
            assert_eq!(finding.status, FindingStatus::Open);
            for record in &finding.evidence.records {
                let shown = format!(
                    "SELECT count(*) FROM audit_log WHERE leaf_index = {record} AND outcome = 'denied'"
                );
                assert_eq!(bed.database.count(&shown).await, 1, "{finding:?}");
            }
        }
        assert_eq!(bed.audited("threat.found").await, 2);
        assert_eq!(bed.count("alerts").await, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn repeats_are_counted_with_the_open_finding() {
    for bed in Bed::all().await {
        for _ in 0..3 {
            bed.refused("signature.wrong", AWAY).await;
            bed.pass(TimeDelta::minutes(2));
            bed.follow().await;
        }
        let findings = bed.findings().await;
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].count, 3);
        assert!(findings[0].last_seen_at > findings[0].first_seen_at);
        assert_eq!(bed.audited("threat.found").await, 1);
        bed.pass(TimeDelta::hours(25));
        bed.refused("signature.wrong", AWAY).await;
        assert_eq!(bed.findings().await.len(), 2, "a day later it is another one");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_replayed_and_ended_are_three_things() {
    for bed in Bed::all().await {
        bed.refused("signature.wrong", AWAY).await;
        bed.refused("auth.signature_replayed", AWAY).await;
        bed.refused("key.ended", AWAY).await;
        assert_eq!(
            bed.found().await,
            ["ended_key", "forged_signature", "replayed_signature"]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_network_and_a_key_in_two_hands_are_found_after_a_restart_too() {
    for mut bed in Bed::all().await {
        bed.asks("db:read", HOME).await;
        bed.pass(TimeDelta::hours(30));
        bed.asks("db:read", HOME).await;
        assert_eq!(bed.found().await, [""; 0]);
        bed.restart().await;
        bed.asks("db:read", AWAY).await;
        let findings = bed.findings().await;
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].detector.as_str(), "new_source");
        assert_eq!(findings[0].subject, "203.0.113.0/24");
        assert!(findings[0].summary.contains(AWAY), "{}", findings[0].summary);
        for _ in 0..2 {
            bed.asks("db:read", HOME).await;
            bed.asks("db:read", AWAY).await;
        }
        bed.follow().await;
        bed.restart().await;
        // The sixth change: five were seen by the node before.
        bed.asks("db:read", HOME).await;
        assert_eq!(bed.found().await, ["new_source", "shared_key"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dormant_agent_is_found_by_what_the_log_says_of_it() {
    for bed in Bed::all().await {
        bed.asks("db:read", HOME).await;
        bed.follow().await;
        bed.pass(TimeDelta::days(31));
        let fresh = seed_agent(&bed.database.store, bed.organization, "younger").await;
        bed.asks("db:read", HOME).await;
        bed.agent_asks(&fresh, "db:read", HOME).await;
        let findings = bed.findings().await;
        let dormant: Vec<_> = findings
            .iter()
            .filter(|finding| finding.detector.as_str() == "dormant_agent")
            .collect();
        // The clock of the seeds stands still, so both are old enough; only one had acted.
        assert_eq!(dormant.len(), 2, "{dormant:?}");
        let reader = dormant
            .iter()
            .find(|finding| finding.agent_id == Some(bed.agent.id))
            .unwrap();
        assert_eq!(reader.evidence.values["days"], 31);
        assert_eq!(reader.evidence.values["had_acted"], true);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn volume_and_hour_are_compared_with_the_agents_own_history() {
    for bed in Bed::all().await {
        let midnight = bed.now() - TimeDelta::hours(10);
        let hours = (1..=28)
            .flat_map(|day| {
                (8..18).map(move |hour| (midnight - TimeDelta::days(day) + TimeDelta::hours(hour), 5))
            })
            .collect();
        bed.history(bed.agent.id, hours).await;
        for _ in 0..101 {
            bed.asks("db:read", HOME).await;
        }
        let findings = bed.findings().await;
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].detector.as_str(), "unusual_volume");
        assert_eq!(findings[0].evidence.values["limit"], 100);
        bed.pass(TimeDelta::hours(15));
        bed.asks("db:read", HOME).await;
        assert_eq!(bed.found().await, ["unusual_hour", "unusual_volume"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_honeytoken_is_found_in_its_own_organisation_only() {
    for bed in Bed::all().await {
        let put = PutHoneytokens {
            honeytokens: vec![NewHoneytoken::Name("vault:*".to_owned())],
        };
        bed.service()
            .put_honeytokens(&bed.foreigner(), put.clone())
            .await
            .unwrap();
        bed.asks("vault:open", HOME).await;
        assert_eq!(bed.found().await, [""; 0]);
        bed.service()
            .put_honeytokens(&bed.people(Role::Admin), put)
            .await
            .unwrap();
        bed.asks("vault:open", HOME).await;
        let findings = bed.findings().await;
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].severity, Severity::Critical);
        let foreign = bed
            .service()
            .get(&bed.foreigner(), findings[0].id)
            .await
            .unwrap_err();
        assert_eq!(foreign.code, aim_core::Code::NotFound);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_false_finding_keeps_its_subject_quiet_for_a_while_and_a_handled_one_does_not() {
    for bed in Bed::all().await {
        let review = |status: &str| ReviewFinding {
            status: status.to_owned(),
            note: "a proxy that repeats".to_owned(),
        };
        bed.refused("signature.wrong", AWAY).await;
        let first = bed.findings().await.remove(0);
        let manager = bed.people(Role::Manager);
        let reviewed = bed
            .service()
            .review(&manager, first.id, review("false_positive"))
            .await
            .unwrap();
        assert_eq!(reviewed.status, FindingStatus::FalsePositive);
        bed.pass(TimeDelta::days(2));
        bed.refused("signature.wrong", AWAY).await;
        let findings = bed.findings().await;
        assert_eq!(
            (findings.len(), findings[0].count),
            (1, 2),
            "counted, and nobody is told"
        );
        bed.pass(TimeDelta::days(13));
        bed.refused("signature.wrong", AWAY).await;
        let findings = bed.findings().await;
        assert_eq!(findings.len(), 2, "its time is over");
        bed.service()
            .review(&bed.people(Role::Manager), findings[0].id, review("handled"))
            .await
            .unwrap();
        bed.pass(TimeDelta::minutes(5));
        bed.refused("signature.wrong", AWAY).await;
        assert_eq!(bed.findings().await.len(), 3);
        assert_eq!(bed.audited("threat.reviewed").await, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_before_threat_detection_came_is_not_judged() {
    for bed in Bed::all().await {
        for round in 0..20 {
            bed.asks(&format!("vault:read{round}"), HOME).await;
        }
        // The follower has read them; a node that takes over builds its memory from them and says nothing again.
        assert_eq!(bed.found().await, ["capability_probing", "denial_burst"]);
        let mut bed = bed;
        bed.restart().await;
        bed.asks("db:read", HOME).await;
        let findings = bed.findings().await;
        assert!(findings.iter().all(|finding| finding.count == 1), "{findings:?}");
    }
}
