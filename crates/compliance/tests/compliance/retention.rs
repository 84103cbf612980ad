//! What is due goes, what is held stays, totals stay right, and the log proves all of it.

use aim_compliance::retention::{NewHold, RetentionSettings};
use aim_core::{Code, DecisionId};
use aim_violations::violations::{Filter, counts};

use crate::bed::{Bed, PATIENCE};

const ALL_30: RetentionSettings = RetentionSettings {
    decision_inputs_days: Some(30),
    violations_days: Some(30),
    audit_details_days: Some(30),
    activity_days: Some(30),
    deliveries_days: Some(30),
};

async fn total(bed: &Bed) -> i64 {
    let organization = bed.home.organization;
    bed.database
        .store
        .read(organization, move |db| {
            counts::total(db, organization, &Filter::default())
        })
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_goes_and_what_is_younger_or_anothers_stays() {
    for bed in Bed::all().await {
        let agent = bed.agent(bed.home, "reader").await;
        let stranger = bed.agent(bed.elsewhere, "stranger").await;
        // More than a piece.
        bed.denials(bed.home, &agent, 300).await;
        bed.denials(bed.elsewhere, &stranger, 2).await;
        bed.days_later(20);
        bed.denials(bed.home, &agent, 3).await;
        bed.keep(bed.home, ALL_30).await;
        bed.trim().await;
        assert_eq!(total(&bed).await, 303, "nothing is due yet");

        bed.days_later(15);
        bed.trim().await;
        let erased = "AND inputs = '' AND resource IS NULL AND source_ip IS NULL AND length(salt) = 0";
        assert_eq!(bed.rows("decisions", agent.id, erased).await, 300);
        assert_eq!(
            bed.rows("decisions", agent.id, "").await,
            303,
            "a decision itself never goes"
        );
        assert_eq!(bed.rows("violations", agent.id, "").await, 3);
        assert_eq!(total(&bed).await, 3, "the total tells of rows that are gone");
        let counted = "SELECT CAST(COALESCE(SUM(count), 0) AS BIGINT) FROM violation_groups WHERE agent_name = 'reader'";
        assert_eq!(bed.database.count(counted).await, 3);
        assert_eq!(
            bed.database
                .count("SELECT COUNT(*) FROM violation_counts WHERE count <= 0")
                .await,
            0
        );
        assert_eq!(bed.rows("violations", stranger.id, "").await, 2);
        assert_eq!(bed.rows("decisions", stranger.id, "AND inputs <> ''").await, 2);

        let report = bed.verify().await;
        assert!(report.intact, "{:?}", report.findings);
        assert!(report.erased >= 300, "{}", report.erased);
        let records = report.records;
        bed.trim().await;
        assert_eq!(
            bed.verify().await.records,
            records,
            "a second run found something to do"
        );

        bed.days_later(40);
        bed.trim().await;
        assert_eq!(total(&bed).await, 0);
        assert_eq!(bed.rows("violation_groups", agent.id, "").await, 0);
        assert!(bed.verify().await.intact);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_keeps_an_agents_data_until_it_is_released_and_everything_if_it_is_on_everything() {
    for bed in Bed::all().await {
        let (held, free) = (
            bed.agent(bed.home, "held").await,
            bed.agent(bed.home, "free").await,
        );
        bed.denials(bed.home, &held, 4).await;
        bed.denials(bed.home, &free, 4).await;
        bed.keep(bed.home, ALL_30).await;
        let (admin, retention) = (bed.admin(bed.home), bed.compliance.retention());
        let new = |agent_id, reason: &str| NewHold {
            agent_id,
            reason: reason.to_owned(),
        };
        let on_agent = retention
            .hold(&admin, new(Some(held.id), "case 7"))
            .await
            .unwrap();
        assert_eq!(on_agent.agent_name.as_deref(), Some("held"));
        let on_all = retention.hold(&admin, new(None, "case 8")).await.unwrap();

        bed.days_later(60);
        bed.trim().await;
        assert_eq!(bed.rows("violations", free.id, "").await, 4, "all is held");
        let now = bed.admin(bed.home);
        retention.release(&now, on_all.id).await.unwrap();
        bed.trim().await;
        assert_eq!(bed.rows("violations", free.id, "").await, 0);
        assert_eq!(bed.rows("decisions", free.id, "AND inputs <> ''").await, 0);
        assert_eq!(bed.rows("violations", held.id, "").await, 4);
        assert_eq!(bed.rows("decisions", held.id, "AND inputs <> ''").await, 4);
        assert_eq!(total(&bed).await, 4);
        let snapshots = "SELECT COUNT(*) FROM snapshots";
        assert!(
            bed.database.count(snapshots).await > 0,
            "a replay of what is held needs them"
        );

        retention.release(&now, on_agent.id).await.unwrap();
        assert_eq!(
            retention.release(&now, on_agent.id).await.unwrap_err().code,
            Code::NotFound
        );
        bed.trim().await;
        assert_eq!(bed.rows("violations", held.id, "").await, 0);
        assert_eq!(bed.rows("decisions", held.id, "AND inputs <> ''").await, 0);
        assert_eq!(bed.database.count(snapshots).await, 0, "nothing refers to them");
        assert!(retention.holds(&now).await.unwrap().holds.is_empty());
        let report = bed.verify().await;
        assert!(report.intact, "{:?}", report.findings);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_in_use_stays_however_old_it_is() {
    for bed in Bed::all().await {
        let agent = bed.agent(bed.home, "reader").await;
        bed.denials(bed.home, &agent, 1).await;
        bed.keep(bed.home, ALL_30).await;
        // The agent's snapshot never changes, and each decision is made on the one in memory.
        for _ in 0..6 {
            bed.days_later(10);
            bed.denials(bed.home, &agent, 1).await;
            bed.trim().await;
        }
        let orphans = "SELECT COUNT(*) FROM decisions WHERE inputs <> '' AND NOT EXISTS \
             (SELECT 1 FROM snapshots s WHERE s.org_id = decisions.org_id AND s.digest = decisions.snapshot_digest)";
        assert_eq!(bed.database.count(orphans).await, 0);
        assert_eq!(bed.rows("decisions", agent.id, "AND inputs <> ''").await, 4);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_that_the_log_does_not_tell_of_is_found() {
    for bed in Bed::all().await {
        let agent = bed.agent(bed.home, "reader").await;
        bed.denials(bed.home, &agent, 2).await;
        bed.keep(bed.home, ALL_30).await;
        bed.days_later(31);
        bed.denials(bed.home, &agent, 2).await;
        bed.trim().await;
        assert!(bed.verify().await.intact);
        // Somebody with the database erases what is not due.
        let empty = if bed.database.kind == "postgres" {
            "''::bytea"
        } else {
            "X''"
        };
        bed.database
            .sql(&format!("UPDATE decisions SET inputs = '', salt = {empty}"))
            .await;
        let report = bed.verify().await;
        assert!(!report.intact);
        assert!(
            report.findings[0].problem.contains("no record of retention"),
            "{report:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_erased_says_so_and_its_verdict_can_still_be_read() {
    for bed in Bed::all().await {
        let agent = bed.agent(bed.home, "reader").await;
        bed.denials(bed.home, &agent, 1).await;
        let filter = aim_violations::verification::model::DecisionFilter::default();
        let admin = bed.admin(bed.home);
        let verifications = bed.violations.verifications();
        let listed = verifications.list(&admin, filter).await.unwrap();
        let id: DecisionId = listed.verifications[0].id;
        verifications.evidence(&admin, id).await.unwrap();
        bed.keep(bed.home, ALL_30).await;
        bed.days_later(40);
        bed.trim().await;
        let refused = verifications.evidence(&admin, id).await.unwrap_err();
        assert_eq!(refused.code, Code::StateConflict);
        assert!(refused.detail.contains("erased"), "{}", refused.detail);
        let seen = verifications.get(&admin, id).await.unwrap();
        assert_eq!((seen.status.as_str(), seen.resource), ("denied", None));
        assert_eq!(seen.request_digest, "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_and_holds_that_cannot_be_are_refused_by_name() {
    for bed in Bed::all().await {
        let (admin, retention) = (bed.admin(bed.home), bed.compliance.retention());
        for (days, accepted) in [(7, false), (8, true), (3_650, true), (3_651, false), (-1, false)] {
            let settings = RetentionSettings {
                violations_days: Some(days),
                ..RetentionSettings::default()
            };
            let answer = retention.change(&admin, settings).await;
            assert_eq!(answer.is_ok(), accepted, "{days}");
            if let Err(error) = answer {
                assert_eq!(error.field.as_deref(), Some("violations_days"));
            }
        }
        let foreign = bed.agent(bed.elsewhere, "foreign").await;
        let hold = |agent_id, reason: &str| NewHold {
            agent_id,
            reason: reason.to_owned(),
        };
        let refused = retention
            .hold(&admin, hold(Some(foreign.id), "case 1"))
            .await
            .unwrap_err();
        assert_eq!(refused.field.as_deref(), Some("agent_id"));
        let refused = retention.hold(&admin, hold(None, " x ")).await.unwrap_err();
        assert_eq!(refused.field.as_deref(), Some("reason"));

        let placed = retention.hold(&admin, hold(None, "case 2")).await.unwrap();
        let stranger = bed.admin(bed.elsewhere);
        let refused = retention.release(&stranger, placed.id).await.unwrap_err();
        assert_eq!(refused.code, Code::NotFound);
        assert!(retention.holds(&stranger).await.unwrap().holds.is_empty());
        assert_eq!(retention.holds(&admin).await.unwrap().holds, [placed]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_left_out_is_refused_so_that_nothing_changes_by_it() {
    let left_out = r#"{"violations_days": 30}"#;
    let error = serde_json::from_str::<RetentionSettings>(left_out).unwrap_err();
    assert!(error.to_string().contains("missing field"), "{error}");
    let all = serde_json::to_string(&RetentionSettings::default()).unwrap();
    assert!(
        serde_json::from_str::<RetentionSettings>(&all)
            .unwrap()
            .keeps_everything()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_out_of_time_goes_on_with_the_next() {
    for bed in Bed::all().await {
        let agent = bed.agent(bed.home, "reader").await;
        bed.denials(bed.home, &agent, 300).await;
        bed.keep(bed.home, ALL_30).await;
        let now = bed.days_later(60);
        let retention = bed.compliance.retention();
        let mut runs = 0;
        while !retention.trim(now, std::time::Duration::ZERO).await.unwrap() {
            runs += 1;
            assert!(runs < 100, "it does not get on");
        }
        assert!(runs >= 2, "a piece is smaller than that");
        assert_eq!(total(&bed).await, 0);
        assert!(retention.trim(now, PATIENCE).await.unwrap());
        assert!(bed.verify().await.intact);
    }
}
