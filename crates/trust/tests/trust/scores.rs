//! Scores from recorded facts, and what becomes of them.

use aim_core::{Code, Id, PageRequest, Role};
use aim_trust::{
    model::{HistoryEntry, NewAdjustment},
    score::{Factor, Inputs, compute},
};
use chrono::TimeDelta;

use crate::bed::Bed;

fn adjustment(bed: &Bed, delta: i64, days: i64) -> NewAdjustment {
    NewAdjustment {
        delta,
        reason: "known from an audit".to_owned(),
        expires_at: bed.now() + TimeDelta::days(days),
    }
}

async fn changes(bed: &Bed, agent: aim_core::AgentId) -> Vec<HistoryEntry> {
    let viewer = bed.as_role(Role::Viewer);
    bed.trust
        .history(&viewer, agent, PageRequest::default())
        .await
        .unwrap()
        .history
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_of_whom_little_is_recorded_is_unscored_and_says_why() {
    for bed in Bed::all().await {
        let agent = bed.agent("quiet").await;
        let viewer = bed.as_role(Role::Viewer);
        let before = bed.trust.score(&viewer, agent).await.unwrap();
        assert_eq!((before.status.as_str(), before.calculated_at), ("unscored", None));
        assert_eq!(bed.trust.breakdown(&viewer, agent).await.unwrap().inputs, None);

        bed.decided(agent, 19, 0).await;
        assert_eq!(bed.run().await, 1);
        let view = bed.trust.score(&viewer, agent).await.unwrap();
        assert_eq!(
            (view.trust_score, view.events, view.minimum_events),
            (None, 19, 20)
        );
        assert!(view.reason.unwrap().contains("19 of 20"));
        assert_eq!(bed.published(agent).await, (None, 0, "active".to_owned()));
        assert!(changes(&bed, agent).await.is_empty());

        bed.decided(agent, 1, 0).await;
        bed.recompute(agent).await;
        let view = bed.trust.score(&viewer, agent).await.unwrap();
        // Key 100 (weight 15), verifications 100 (15), violations 100 (25), incidents 100 (15), owner 0 (5), age 0 (5).
        assert_eq!((view.trust_score, view.status.as_str()), (Some(88), "scored"));
        assert_eq!(bed.published(agent).await, (Some(88), 1, "active".to_owned()));
        let changes = changes(&bed, agent).await;
        assert_eq!(changes.len(), 1);
        assert_eq!(
            (changes[0].previous_score, changes[0].trust_score),
            (None, Some(88))
        );
        assert!(
            changes[0].reason.contains("enough for a score"),
            "{}",
            changes[0].reason
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stored_inputs_give_the_stored_score_again() {
    for bed in Bed::all().await {
        let agent = bed.agent("busy").await;
        bed.decided(agent, 30, 10).await;
        bed.violated(agent, "critical", 2).await;
        bed.run().await;
        let breakdown = bed
            .trust
            .breakdown(&bed.as_role(Role::Viewer), agent)
            .await
            .unwrap();
        let inputs: Inputs = breakdown.inputs.clone().unwrap();
        assert_eq!(compute(&inputs).score, breakdown.overall);
        assert_eq!(breakdown.overall, Some(73));
        assert_eq!(breakdown.factors["verification_success"], Some(75));
        assert_eq!(breakdown.factors["violations"], Some(70));
        assert_eq!(breakdown.factors["mcp_attestation"], None);
        assert_eq!(breakdown.contributions["capability_use"], None);
        assert_eq!(breakdown.weights["violations"], 25);
        // Grants and MCP servers are unknown: 80 of 100.
        assert!((breakdown.confidence - 0.8).abs() < 1e-9);
        let sum: f64 = breakdown.contributions.values().flatten().sum();
        assert!((sum - 73.0).abs() < 1.0, "{sum}");
        let key = breakdown
            .details
            .iter()
            .find(|factor| factor.factor == Factor::KeyHygiene)
            .unwrap();
        assert_eq!(key.events.len(), 1);
        for change in changes(&bed, agent).await {
            assert!(change.trust_score.is_some());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn violations_lose_weight_with_every_day_and_nothing_else_has_to_happen() {
    for bed in Bed::all().await {
        let agent = bed.agent("sorry").await;
        bed.decided(agent, 30, 10).await;
        bed.violated(agent, "critical", 2).await;
        bed.run().await;
        assert_eq!(bed.published(agent).await.0, Some(73));
        assert_eq!(bed.run().await, 0, "nothing is due");
        bed.pass(TimeDelta::days(14));
        assert_eq!(bed.run().await, 1, "it is due once a day");
        // Half of the points are left, and the agent is 14 days old.
        assert_eq!(bed.published(agent).await, (Some(79), 2, "active".to_owned()));
        let latest = changes(&bed, agent).await.remove(0);
        assert_eq!((latest.previous_score, latest.trust_score), (Some(73), Some(79)));
        let violations = latest
            .causes
            .iter()
            .find(|cause| cause.cause == "violations")
            .unwrap();
        assert_eq!((violations.before, violations.after), (Some(70), Some(85)));
        bed.pass(TimeDelta::days(60));
        bed.run().await;
        assert_eq!(bed.published(agent).await.0, None, "all of it is too long ago");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_score_that_stands_still_tells_no_node_anything() {
    for bed in Bed::all().await {
        let agent = bed.agent("steady").await;
        bed.decided(agent, 1_000, 0).await;
        bed.run().await;
        let published = bed.published(agent).await;
        for _ in 0..3 {
            bed.pass(TimeDelta::minutes(1));
            bed.decided(agent, 1_000, 0).await;
            bed.recompute(agent).await;
        }
        assert_eq!(bed.published(agent).await, published);
        assert_eq!(changes(&bed, agent).await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_key_is_noticed_when_it_expires() {
    for bed in Bed::all().await {
        let agent = bed.agent("expiring").await;
        let end = bed.now() + TimeDelta::hours(6);
        bed.key_expires(agent, end).await;
        bed.decided(agent, 40, 0).await;
        bed.run().await;
        bed.pass(TimeDelta::hours(6) - TimeDelta::seconds(1));
        assert_eq!(bed.run().await, 0);
        bed.pass(TimeDelta::seconds(1));
        assert_eq!(bed.run().await, 1);
        let viewer = bed.as_role(Role::Viewer);
        let breakdown = bed.trust.breakdown(&viewer, agent).await.unwrap();
        assert_eq!(breakdown.factors["key_hygiene"], Some(0));
        let key = &breakdown.details[0];
        assert!(key.explanation.contains("expired"), "{}", key.explanation);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adjustment_counts_at_once_and_ends_by_itself() {
    for bed in Bed::all().await {
        let agent = bed.agent("adjusted").await;
        bed.decided(agent, 40, 0).await;
        bed.run().await;
        assert_eq!(bed.published(agent).await.0, Some(88));
        // Changes of one moment have no order.
        bed.pass(TimeDelta::seconds(1));
        let admin = bed.as_role(Role::Admin);
        let made = bed
            .trust
            .adjust(&admin, agent, adjustment(&bed, -30, 2))
            .await
            .unwrap();
        assert_eq!((made.status.as_str(), made.delta), ("in_force", -30));
        assert_eq!(bed.published(agent).await, (Some(58), 2, "active".to_owned()));
        let view = bed.trust.score(&admin, agent).await.unwrap();
        assert_eq!((view.computed_score, view.adjustment), (Some(88), -30));
        let latest = changes(&bed, agent).await.remove(0);
        assert_eq!(latest.causes[0].cause, "adjustment");

        bed.pass(TimeDelta::days(2));
        assert_eq!(bed.run().await, 1, "its end is due");
        assert_eq!(bed.published(agent).await.0, Some(88));
        let list = bed
            .trust
            .adjustments(&bed.as_role(Role::Viewer), agent, PageRequest::default())
            .await
            .unwrap();
        assert_eq!((list.total, list.adjustments[0].status.as_str()), (1, "expired"));
        let ended = bed
            .trust
            .withdraw(&bed.as_role(Role::Admin), agent, made.id)
            .await
            .unwrap_err();
        assert_eq!(ended.code, Code::StateConflict);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_adjustment_counts_no_more_and_both_are_on_record() {
    for bed in Bed::all().await {
        let agent = bed.agent("adjusted").await;
        bed.decided(agent, 40, 0).await;
        bed.run().await;
        let admin = bed.as_role(Role::Admin);
        let up = bed
            .trust
            .adjust(&admin, agent, adjustment(&bed, 50, 30))
            .await
            .unwrap();
        assert_eq!(bed.published(agent).await.0, Some(100), "never above 100");
        bed.trust.withdraw(&admin, agent, up.id).await.unwrap();
        assert_eq!(bed.published(agent).await.0, Some(88));
        assert_eq!(
            bed.audited().await,
            ["trust.adjusted", "trust.adjustment_withdrawn"]
        );
        let twice = bed.trust.withdraw(&admin, agent, up.id).await.unwrap_err();
        assert_eq!(twice.code, Code::StateConflict);
        let other = bed.agent("other").await;
        for (agent, id) in [(other, up.id), (agent, Id::generate(bed.now()))] {
            assert_eq!(
                bed.trust.withdraw(&admin, agent, id).await.unwrap_err().code,
                Code::NotFound
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adjustment_makes_no_score_where_there_is_none_and_there_is_an_end_to_them() {
    for bed in Bed::all().await {
        let agent = bed.agent("unknown").await;
        let admin = bed.as_role(Role::Admin);
        for _ in 0..20 {
            bed.trust
                .adjust(&admin, agent, adjustment(&bed, 5, 30))
                .await
                .unwrap();
        }
        assert_eq!(bed.published(agent).await.0, None);
        let refused = bed
            .trust
            .adjust(&admin, agent, adjustment(&bed, 5, 30))
            .await
            .unwrap_err();
        assert_eq!(refused.code, Code::StateConflict);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenant_s_agent_is_unknown_in_every_question() {
    for bed in Bed::all().await {
        let agent = bed.agent("ours").await;
        bed.decided(agent, 40, 0).await;
        bed.run().await;
        let stranger = bed.as_role_of(bed.other_organization, Role::Admin);
        let page = PageRequest::default;
        assert_eq!(
            bed.trust.score(&stranger, agent).await.unwrap_err().code,
            Code::NotFound
        );
        assert_eq!(
            bed.trust.breakdown(&stranger, agent).await.unwrap_err().code,
            Code::NotFound
        );
        assert_eq!(
            bed.trust
                .history(&stranger, agent, page())
                .await
                .unwrap_err()
                .code,
            Code::NotFound
        );
        assert_eq!(
            bed.trust
                .adjustments(&stranger, agent, page())
                .await
                .unwrap_err()
                .code,
            Code::NotFound
        );
        assert_eq!(
            bed.trust
                .adjust(&stranger, agent, adjustment(&bed, 5, 1))
                .await
                .unwrap_err()
                .code,
            Code::NotFound
        );
        assert_eq!(bed.published(agent).await.0, Some(88));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_agent_is_computed_no_more() {
    for bed in Bed::all().await {
        let agent = bed.agent("gone").await;
        bed.database
            .sql("UPDATE agents SET deleted_at = created_at")
            .await;
        assert_eq!(bed.run().await, 1);
        assert_eq!(bed.run().await, 0);
        bed.pass(TimeDelta::days(3));
        assert_eq!(bed.run().await, 0);
        let gone = bed.trust.score(&bed.as_role(Role::Viewer), agent).await;
        assert_eq!(gone.unwrap_err().code, Code::NotFound);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_due_agents_are_computed_in_one_run() {
    for bed in Bed::all().await {
        let statement = if bed.database.kind == "sqlite" {
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500) \
             INSERT INTO agents (org_id, id, name, display_name, description, agent_type, version, status, tags, talks_to, created_by, created_at, updated_at) \
             SELECT (SELECT min(id) FROM organizations), randomblob(16), 'a' || i, '', '', 'ai_agent', '1', 'active', '[]', '[]', 'test', created_at, created_at \
             FROM n, (SELECT min(created_at) AS created_at FROM organizations)"
        } else {
            "INSERT INTO agents (org_id, id, name, display_name, description, agent_type, version, status, tags, talks_to, created_by, created_at, updated_at) \
             SELECT (SELECT id FROM organizations ORDER BY id LIMIT 1), gen_random_uuid(), 'a' || i, '', '', 'ai_agent', '1', 'active', '[]', '[]', 'test', now(), now() \
             FROM generate_series(1, 1500) AS i"
        };
        bed.database.sql(statement).await;
        let past = if bed.database.kind == "sqlite" {
            "0"
        } else {
            "TIMESTAMPTZ 'epoch'"
        };
        bed.database
            .sql(&format!(
                "INSERT INTO trust_scores (org_id, agent_id, level, next_at, marks) SELECT org_id, id, 'none', {past}, 0 FROM agents"
            ))
            .await;
        assert_eq!(bed.run().await, 1500);
        assert_eq!(bed.run().await, 0);
        assert_eq!(bed.database.count("SELECT count(*) FROM trust_days").await, 1500);
    }
}
