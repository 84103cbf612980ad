//! What the audit log says about agents.

use aim_audit::Entry;
use aim_core::{AgentId, Ctx, PageRequest, Role};
use aim_trust::follower::PACE;
use chrono::TimeDelta;
use serde_json::json;

use crate::bed::Bed;

async fn append(bed: &Bed, entries: Vec<Entry>) {
    bed.kernel
        .store
        .write(bed.organization, move |db| {
            aim_audit::append(db, entries.clone()).map(|_| ())
        })
        .await
        .unwrap();
}

fn decision(bed: &Bed, agent: AgentId) -> Entry {
    let mut entry = Entry::event(&bed.as_role(Role::Member), "action.decided").agent(agent);
    entry.kind = aim_audit::Kind::Decision;
    entry.outcome = "approved";
    entry
}

fn event(bed: &Bed, action: &'static str, agent: AgentId) -> Entry {
    Entry::event(&bed.as_role(Role::Manager), action)
        .agent(agent)
        .target("agent", agent)
        .facts(json!({}))
}

async fn marks(bed: &Bed) -> i64 {
    bed.database
        .count("SELECT CAST(coalesce(sum(marks), 0) AS bigint) FROM trust_scores")
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspension_costs_trust_and_is_a_marker_of_the_history() {
    for bed in Bed::all().await {
        let agent = bed.agent("suspended").await;
        bed.decided(agent, 40, 0).await;
        bed.run().await;
        append(&bed, vec![event(&bed, "agent.suspended", agent)]).await;
        bed.follow().await;
        assert_eq!(bed.run().await, 0, "others who follow the log are given a moment");
        bed.pass(TimeDelta::seconds(5));
        assert_eq!(bed.run().await, 1);
        // Incidents 70 instead of 100, with a weight of 15 of 80.
        assert_eq!(bed.published(agent).await.0, Some(82));
        let history = bed
            .trust
            .history(&bed.as_role(Role::Viewer), agent, PageRequest::default())
            .await
            .unwrap();
        assert_eq!(history.markers[0].action, "agent.suspended");
        let cause = &history.history[0].causes[0];
        assert_eq!(
            (cause.cause.as_str(), cause.before, cause.after),
            ("incidents", Some(100), Some(70))
        );
        assert_eq!(cause.events[0].note, "suspended");
        assert_eq!(history.days.last().unwrap().trust_score, Some(82));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_trust_did_itself_and_what_others_send_in_an_agent_s_name_costs_nothing() {
    for bed in Bed::all().await {
        let agent = bed.agent("framed").await;
        bed.decided(agent, 40, 0).await;
        bed.run().await;
        let ours = Ctx::system("trust.recompute", bed.organization, bed.now());
        append(
            &bed,
            vec![
                Entry::event(&ours, "agent.suspended")
                    .agent(agent)
                    .target("agent", agent),
                event(&bed, "authentication.refused", agent),
                event(&bed, "alert.raised", agent),
            ],
        )
        .await;
        bed.follow().await;
        bed.pass(TimeDelta::seconds(5));
        bed.run().await;
        assert_eq!(bed.published(agent).await.0, Some(88));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_keys_revoked_at_once_are_one_incident() {
    for bed in Bed::all().await {
        let agent = bed.agent("revoked").await;
        bed.decided(agent, 40, 0).await;
        append(&bed, vec![event(&bed, "agent_key.revoked", agent); 3]).await;
        bed.follow().await;
        bed.pass(TimeDelta::seconds(5));
        bed.run().await;
        let breakdown = bed
            .trust
            .breakdown(&bed.as_role(Role::Viewer), agent)
            .await
            .unwrap();
        assert_eq!(breakdown.factors["incidents"], Some(85));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_decisions_mark_an_agent_once_and_compute_it_once_a_minute() {
    for bed in Bed::all().await {
        let agent = bed.agent("busy").await;
        bed.run().await;
        let before = marks(&bed).await;
        for _ in 0..3 {
            append(&bed, (0..1_000).map(|_| decision(&bed, agent)).collect()).await;
        }
        bed.follow().await;
        assert_eq!(marks(&bed).await, before + 1);
        bed.pass(TimeDelta::seconds(30));
        assert_eq!(bed.run().await, 0, "computed half a minute ago");
        bed.pass(PACE);
        assert_eq!(bed.run().await, 1);
        // Whoever acts again is marked again.
        append(&bed, vec![decision(&bed, agent)]).await;
        bed.follow().await;
        bed.pass(PACE);
        assert_eq!(bed.run().await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_registers_has_its_row_and_a_record_without_an_agent_is_passed_over() {
    for bed in Bed::all().await {
        let agent = AgentId::generate(bed.now());
        append(
            &bed,
            vec![
                event(&bed, "agent.registered", agent),
                Entry::event(&bed.as_role(Role::Admin), "user.created"),
            ],
        )
        .await;
        bed.follow().await;
        assert_eq!(bed.database.count("SELECT count(*) FROM trust_scores").await, 1);
        assert_eq!(bed.database.count("SELECT count(*) FROM trust_events").await, 1);
    }
}
