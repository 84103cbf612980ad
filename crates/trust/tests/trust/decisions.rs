//! What trust changes about decisions, from end to end.

use aim_core::{Actor, AgentCredential, AgentId, Ctx, Json, Role, id::GrantKind};
use aim_store::{
    diesel::{ExpressionMethods, QueryDsl, RunQueryDsl},
    each,
    schema::{agent_keys, agents, grants},
};
use aim_trust::{
    model::NewAdjustment,
    policy::{NewTrustPolicy, Restriction},
};
use aim_violations::{VerificationService, verification::ActionRequest};
use chrono::TimeDelta;
use serde_json::json;

use crate::bed::Bed;

async fn acting(bed: &Bed, agent: AgentId) -> Ctx {
    let organization = bed.organization;
    let fingerprint: String = bed
        .kernel
        .store
        .read(organization, move |db| {
            Ok(each!(db, c => agent_keys::table
                .filter(agent_keys::agent_id.eq(agent))
                .select(agent_keys::fingerprint)
                .first(c))?)
        })
        .await
        .unwrap();
    let mut ctx = Ctx::system("test", organization, bed.now());
    ctx.actor = Actor::Agent {
        id: agent,
        credential: AgentCredential::Key { fingerprint },
    };
    ctx
}

async fn grant(bed: &Bed, agent: AgentId, capability: &'static str) {
    let (organization, now) = (bed.organization, bed.now());
    let id = aim_core::Id::<GrantKind>::generate(now);
    bed.kernel
        .store
        .write(organization, move |db| {
            each!(db, c => {
                diesel::insert_into(grants::table)
                    .values((
                        grants::org_id.eq(organization),
                        grants::id.eq(id),
                        grants::agent_id.eq(agent),
                        grants::capability.eq(capability),
                        grants::effect.eq("allow"),
                        grants::scope.eq(Json(json!({}))),
                        grants::reason.eq(""),
                        grants::granted_by.eq("system:test"),
                        grants::granted_at.eq(now),
                    ))
                    .execute(c)?;
                diesel::update(agents::table.find((organization, agent)))
                    .set(agents::epoch.eq(agents::epoch + 1))
                    .execute(c)
            })?;
            Ok(())
        })
        .await
        .unwrap();
}

async fn asks(bed: &Bed, service: &VerificationService, agent: AgentId) -> String {
    let ctx = acting(bed, agent).await;
    let request = ActionRequest {
        action: "db:read".to_owned(),
        resource: None,
        context: serde_json::Map::new(),
        approval_requested: false,
    };
    service
        .verify(&ctx, None, "rfc9421", request)
        .await
        .unwrap()
        .status
        .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn decide_sees_the_score_on_the_very_next_action() {
    for bed in Bed::all().await {
        let service = VerificationService::new(&bed.kernel);
        let agent = bed.agent("acting").await;
        grant(&bed, agent, "db:read").await;
        bed.decided(agent, 40, 0).await;
        bed.run().await;
        let admin = bed.as_role(Role::Admin);
        let restrict = |effect| NewTrustPolicy {
            restrict_below: Some(60),
            restrict_effect: effect,
            suspend_below: Some(20),
            ..NewTrustPolicy::default()
        };
        bed.trust
            .set_policy(&admin, restrict(Restriction::RequireApproval))
            .await
            .unwrap();
        assert_eq!(
            asks(&bed, &service, agent).await,
            "approved",
            "88 is above the threshold"
        );

        let lower = |delta| NewAdjustment {
            delta,
            reason: "for the test".to_owned(),
            expires_at: bed.now() + TimeDelta::days(1),
        };
        let first = bed.trust.adjust(&admin, agent, lower(-40)).await.unwrap();
        assert_eq!(
            asks(&bed, &service, agent).await,
            "pending",
            "48 needs a person's approval"
        );
        bed.trust
            .set_policy(&admin, restrict(Restriction::Deny))
            .await
            .unwrap();
        assert_eq!(asks(&bed, &service, agent).await, "denied");
        bed.trust.withdraw(&admin, agent, first.id).await.unwrap();
        assert_eq!(
            asks(&bed, &service, agent).await,
            "approved",
            "trust is back at once"
        );
        bed.trust.adjust(&admin, agent, lower(-80)).await.unwrap();
        assert_eq!(bed.published(agent).await.2, "suspended");
        assert_eq!(
            asks(&bed, &service, agent).await,
            "denied",
            "8 is below the lowest threshold"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_without_a_score_is_restricted_where_low_scores_are() {
    for bed in Bed::all().await {
        let service = VerificationService::new(&bed.kernel);
        let agent = bed.agent("new").await;
        grant(&bed, agent, "db:read").await;
        bed.run().await;
        assert_eq!(asks(&bed, &service, agent).await, "approved");
        let restrict = NewTrustPolicy {
            restrict_below: Some(10),
            ..NewTrustPolicy::default()
        };
        bed.trust
            .set_policy(&bed.as_role(Role::Admin), restrict)
            .await
            .unwrap();
        assert_eq!(asks(&bed, &service, agent).await, "pending");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn denied_actions_of_the_agent_itself_lower_its_score() {
    for bed in Bed::all().await {
        let service = VerificationService::new(&bed.kernel);
        let agent = bed.agent("probing").await;
        bed.decided(agent, 40, 0).await;
        bed.run().await;
        for _ in 0..10 {
            assert_eq!(asks(&bed, &service, agent).await, "denied");
        }
        bed.follow().await;
        bed.pass(TimeDelta::seconds(60));
        bed.run().await;
        let breakdown = bed
            .trust
            .breakdown(&bed.as_role(Role::Viewer), agent)
            .await
            .unwrap();
        let inputs = breakdown.inputs.unwrap();
        assert_eq!(inputs.violations.total(), 10);
        assert!(bed.published(agent).await.0.unwrap() < 88);
        // What stands in the violations' rows is what they take from this factor on the day they happen.
        let impact = bed
            .database
            .count("SELECT CAST(coalesce(sum(trust_score_impact), 0) AS bigint) FROM violations")
            .await;
        assert_eq!(breakdown.factors["violations"], Some(100 + impact));
        let cited = inputs
            .citations
            .iter()
            .find(|cited| cited.kind == "violation")
            .unwrap();
        assert!(
            cited.note.starts_with("db:read denied 10 times"),
            "{}",
            cited.note
        );
    }
}
