//! What a finding leads to by itself: the next action of the agent shows it.

use aim_core::{Code, Role};
use aim_threats::{
    jobs::lift_expired,
    model::{PutPolicies, ReviewFinding},
};
use chrono::TimeDelta;

use crate::bed::{AWAY, Bed, HOME};

#[tokio::test(flavor = "multi_thread")]
async fn a_suspension_counts_from_the_next_action_on() {
    for bed in Bed::all().await {
        bed.bait("suspend").await;
        assert_eq!(bed.asks("db:read", HOME).await.status, "approved");
        assert_eq!(bed.asks("vault:open", HOME).await.status, "denied");
        bed.follow().await;
        let decision = bed.asks("db:read", HOME).await;
        assert_eq!(decision.status, "denied");
        assert_eq!(decision.reason_codes, ["agent.suspended"]);
        assert_eq!(bed.audited("agent.suspended").await, 1);
        assert_eq!(bed.findings().await[0].response.as_str(), "suspend");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restriction_makes_a_person_approve_what_was_granted_and_permits_nothing_more() {
    for bed in Bed::all().await {
        bed.bait("require_approval").await;
        assert_eq!(bed.asks("db:read", HOME).await.status, "approved");
        assert_eq!(bed.asks("vault:open", HOME).await.status, "denied");
        bed.follow().await;
        let decision = bed.asks("db:read", HOME).await;
        assert_eq!(decision.status, "pending");
        assert_eq!(decision.reason_codes, ["policy.approval_required"]);
        assert_eq!(bed.asks("vault:read", HOME).await.status, "denied");
        assert_eq!(bed.audited("agent.restricted").await, 1);

        // Repeats prolong it, and make no second one.
        bed.pass(TimeDelta::hours(2));
        assert_eq!(bed.asks("vault:open", HOME).await.status, "denied");
        bed.follow().await;
        assert_eq!(bed.count("agent_restrictions").await, 1);
        assert_eq!(lift_expired(&bed.kernel.store, bed.now()).await.unwrap(), 0);
        bed.pass(TimeDelta::hours(24));
        assert_eq!(lift_expired(&bed.kernel.store, bed.now()).await.unwrap(), 1);
        assert_eq!(bed.asks("db:read", HOME).await.status, "approved");
        assert_eq!(bed.audited("agent.restriction_lifted").await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_review_lifts_the_restriction_at_once() {
    for bed in Bed::all().await {
        bed.bait("require_approval").await;
        assert_eq!(bed.asks("vault:open", HOME).await.status, "denied");
        let finding = bed.findings().await.remove(0);
        assert_eq!(bed.asks("db:read", HOME).await.status, "pending");
        let review = ReviewFinding {
            status: "handled".to_owned(),
            note: "the proxy is mended".to_owned(),
        };
        bed.service()
            .review(&bed.people(Role::Manager), finding.id, review)
            .await
            .unwrap();
        assert_eq!(bed.asks("db:read", HOME).await.status, "approved");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_detector_that_is_off_finds_nothing() {
    for bed in Bed::all().await {
        bed.set("forged_signature", "off").await;
        bed.refused("signature.wrong", AWAY).await;
        assert_eq!(bed.found().await, [""; 0]);
        assert_eq!(bed.count("alerts").await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_counts_up_with_its_finding() {
    for bed in Bed::all().await {
        bed.refused("signature.wrong", AWAY).await;
        bed.follow().await;
        bed.pass(TimeDelta::minutes(2));
        bed.refused("signature.wrong", AWAY).await;
        bed.follow().await;
        assert_eq!(bed.count("alerts").await, 1);
        assert_eq!(bed.database.count("SELECT count FROM alerts").await, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_set_is_refused_by_name() {
    for bed in Bed::all().await {
        for (detector, response, field) in [
            ("nobody", "alert", "responses"),
            ("new_source", "explode", "responses.new_source"),
            ("mcp_drift", "suspend", "responses.mcp_drift"),
            ("forged_signature", "suspend", "responses.forged_signature"),
            ("ended_key", "require_approval", "responses.ended_key"),
        ] {
            let put = PutPolicies {
                responses: [(detector.to_owned(), response.to_owned())].into(),
            };
            let error = bed
                .service()
                .put_policies(&bed.people(Role::Admin), put)
                .await
                .unwrap_err();
            assert_eq!(error.code, Code::FieldInvalid);
            assert_eq!(error.field.as_deref(), Some(field));
        }
    }
}
