//! What a low score leads to.

use aim_core::{AgentId, Code, Role};
use aim_trust::{
    model::NewAdjustment,
    policy::{Level, NewTrustPolicy, RESTRICTION, Restriction},
};
use chrono::TimeDelta;

use crate::bed::Bed;

fn policy() -> NewTrustPolicy {
    NewTrustPolicy {
        alert_below: Some(70),
        restrict_below: Some(50),
        restrict_effect: Restriction::RequireApproval,
        suspend_below: Some(30),
    }
}

/// An agent with a score of 88.
async fn trusted(bed: &Bed) -> AgentId {
    let agent = bed.agent("watched").await;
    bed.decided(agent, 40, 0).await;
    bed.run().await;
    agent
}

async fn adjust(bed: &Bed, agent: AgentId, delta: i64) -> aim_trust::score::AdjustmentId {
    let new = NewAdjustment {
        delta,
        reason: "for the test".to_owned(),
        expires_at: bed.now() + TimeDelta::days(10),
    };
    bed.trust
        .adjust(&bed.as_role(Role::Admin), agent, new)
        .await
        .unwrap()
        .id
}

fn of_trust(actions: &[String]) -> Vec<&str> {
    actions
        .iter()
        .map(String::as_str)
        .filter(|action| !action.starts_with("trust.adjust") && *action != "trust_policy.updated")
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_read_back_as_it_was_set_and_its_restriction_is_a_policy_of_the_organisation() {
    for bed in Bed::all().await {
        let viewer = bed.as_role(Role::Viewer);
        let nothing = bed.trust.policy(&viewer).await.unwrap();
        assert_eq!(
            (nothing.alert_below, nothing.restrict_below, nothing.suspend_below),
            (None, None, None)
        );
        let admin = bed.as_role(Role::Admin);
        let set = bed.trust.set_policy(&admin, policy()).await.unwrap();
        assert_eq!(bed.trust.policy(&viewer).await.unwrap(), set);
        assert_eq!(
            (set.alert_below, set.restrict_below, set.suspend_below),
            (Some(70), Some(50), Some(30))
        );
        let stored =
            format!("SELECT count(*) FROM policies WHERE name = '{RESTRICTION}' AND trust_below = 50");
        assert_eq!(bed.database.count(&stored).await, 1);
        let denying = NewTrustPolicy {
            restrict_effect: Restriction::Deny,
            ..policy()
        };
        let set = bed.trust.set_policy(&admin, denying).await.unwrap();
        assert_eq!(set.restrict_effect, Restriction::Deny);
        assert_eq!(
            bed.database.count(&stored).await,
            1,
            "it took the place of the one before"
        );
        // What is not enforced any more is not shown either.
        bed.database.sql("DELETE FROM policies").await;
        assert_eq!(bed.trust.policy(&viewer).await.unwrap().restrict_below, None);
        let off = bed
            .trust
            .set_policy(&admin, NewTrustPolicy::default())
            .await
            .unwrap();
        assert_eq!((off.alert_below, off.restrict_policy_id), (None, None));
        let epochs = bed
            .database
            .count("SELECT max(policy_epoch) FROM organizations")
            .await;
        assert_eq!(epochs, 3, "every node is told each time");
        let strange = bed
            .trust
            .policy(&bed.as_role_of(bed.other_organization, Role::Admin))
            .await
            .unwrap();
        assert_eq!(strange.updated_by, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_of_the_same_name_is_not_overwritten() {
    for bed in Bed::all().await {
        let admin = bed.as_role(Role::Admin);
        bed.trust.set_policy(&admin, policy()).await.unwrap();
        // Somebody else's: trust no longer knows it as its own.
        bed.database
            .sql("UPDATE trust_policies SET restrict_policy_id = NULL")
            .await;
        let refused = bed.trust.set_policy(&admin, policy()).await.unwrap_err();
        assert_eq!(
            (refused.code, refused.field.as_deref()),
            (Code::NameTaken, Some("restrict_below"))
        );
        assert_eq!(bed.database.count("SELECT count(*) FROM policies").await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn crossing_a_threshold_is_recorded_once_each_way() {
    for bed in Bed::all().await {
        let agent = trusted(&bed).await;
        bed.trust
            .set_policy(&bed.as_role(Role::Admin), policy())
            .await
            .unwrap();
        bed.pass(TimeDelta::seconds(2));
        bed.run().await;
        assert!(
            of_trust(&bed.audited().await).is_empty(),
            "88 is above all of them"
        );
        let id = adjust(&bed, agent, -20).await;
        assert_eq!(of_trust(&bed.audited().await), ["trust.threshold_crossed"]);
        bed.recompute(agent).await;
        assert_eq!(
            of_trust(&bed.audited().await),
            ["trust.threshold_crossed"],
            "once"
        );
        let view = bed.trust.score(&bed.as_role(Role::Viewer), agent).await.unwrap();
        assert_eq!((view.trust_score, view.level), (Some(68), Level::Alert));
        bed.trust
            .withdraw(&bed.as_role(Role::Admin), agent, id)
            .await
            .unwrap();
        assert_eq!(
            of_trust(&bed.audited().await),
            ["trust.threshold_crossed", "trust.threshold_recovered"]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn below_the_lowest_threshold_the_agent_is_suspended_once() {
    for bed in Bed::all().await {
        let agent = trusted(&bed).await;
        bed.trust
            .set_policy(&bed.as_role(Role::Admin), policy())
            .await
            .unwrap();
        adjust(&bed, agent, -60).await;
        let (score, _, status) = bed.published(agent).await;
        assert_eq!((score, status.as_str()), (Some(28), "suspended"));
        assert_eq!(
            of_trust(&bed.audited().await),
            ["trust.threshold_crossed", "agent.suspended"]
        );
        // Somebody looks, and decides that it may go on: the score alone does not overrule them.
        bed.database.sql("UPDATE agents SET status = 'active'").await;
        bed.pass(TimeDelta::days(1));
        bed.recompute(agent).await;
        assert_eq!(bed.published(agent).await.2, "active");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_policy_measures_the_agents_that_are_there() {
    for bed in Bed::all().await {
        let agent = trusted(&bed).await;
        assert_eq!(bed.run().await, 0);
        let strict = NewTrustPolicy {
            alert_below: Some(95),
            ..NewTrustPolicy::default()
        };
        bed.trust
            .set_policy(&bed.as_role(Role::Admin), strict)
            .await
            .unwrap();
        bed.pass(TimeDelta::seconds(2));
        assert_eq!(bed.run().await, 1);
        let view = bed.trust.score(&bed.as_role(Role::Viewer), agent).await.unwrap();
        assert_eq!(view.level, Level::Alert);
    }
}
