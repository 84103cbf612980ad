//! Reading as an agent: decided first, sealed after.

use aim_core::{Actor, AgentCredential, Code};
use aim_crypto::sealing::RecipientKey;
use aim_premium::vault::reads::ReadRequest;
use aim_testkit::seed_agent;
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::bed::{Bed, at, refused, wish_of};

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_may_read_gets_the_secret_sealed_to_its_key() {
    for bed in Bed::all().await {
        bed.put("payments/stripe/live", "sk_test_1").await;
        let read = bed.read("payments/stripe/live").await.unwrap();
        assert_eq!(
            read.opened,
            Some(json!({"kind": "api_key", "fields": {"value": "sk_test_1"}}))
        );
        let decision = &read.reply.decision;
        assert_eq!(
            (
                decision.status.as_str(),
                decision.action.as_str(),
                decision.resource.as_deref()
            ),
            ("approved", "secret:read", Some("payments/stripe/live"))
        );
        bed.put("payments/stripe/live", "sk_test_2").await;
        assert_eq!(
            bed.read("payments/stripe/live").await.unwrap().value(),
            "sk_test_2"
        );
        assert_eq!(
            bed.read_version("payments/stripe/live", Some(1))
                .await
                .unwrap()
                .value(),
            "sk_test_1"
        );
        // The evidence names the key that it was sealed to, and the version that was asked for.
        let (ctx, id) = (bed.manager(), read.reply.decision.id);
        let verifications = aim_violations::VerificationService::new(&bed.kernel);
        let evidence = verifications.evidence(&ctx, id).await.unwrap();
        let inputs: Value = serde_json::from_str(&evidence.inputs).unwrap();
        let own = &inputs["call"]["context"]["secret"];
        assert_eq!(
            (own["version"].clone(), own["seal_to"].as_str().unwrap().len()),
            (Value::Null, 43)
        );
    }
}

/// What a read found is kept for the next one: each kind of change must be seen by it at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_seen_by_the_next_read() {
    const PATH: &str = "payments/stripe/live";
    for bed in Bed::all().await {
        let (newest, first) = (|| bed.read(PATH), || bed.read_version(PATH, Some(1)));
        bed.put(PATH, "first").await;
        for _ in 0..2 {
            assert_eq!(newest().await.unwrap().value(), "first");
            assert_eq!(first().await.unwrap().value(), "first");
        }
        bed.put(PATH, "second").await;
        assert_eq!(newest().await.unwrap().value(), "second");
        assert_eq!(first().await.unwrap().value(), "first");

        let ctx = bed.manager();
        bed.vault.delete(&ctx, at(PATH), Some(1)).await.unwrap();
        assert_eq!(refused(first().await).0, Code::NotFound);
        assert_eq!(newest().await.unwrap().value(), "second");
        bed.vault.undelete(&ctx, at(PATH), 1).await.unwrap();
        assert_eq!(first().await.unwrap().value(), "first");
        bed.vault.rollback(&ctx, at(PATH), 1).await.unwrap();
        assert_eq!(newest().await.unwrap().value(), "first");
        bed.destroy(PATH, 1).await.unwrap();
        assert_eq!(refused(first().await).0, Code::NotFound);
        assert_eq!(newest().await.unwrap().value(), "first");
        bed.destroy(PATH, 3).await.unwrap();
        assert_eq!(refused(newest().await).0, Code::NotFound);
        let second = bed.read_version(PATH, Some(2)).await;
        assert_eq!(second.unwrap().value(), "second");
    }
}

/// What of an answer tells one occasion from another, and nothing of the secret.
fn stripped(reply: &aim_premium::vault::reads::ReadReply) -> String {
    let mut value = serde_json::to_value(reply).unwrap();
    let decision = value["decision"].as_object_mut().unwrap();
    for member in ["id", "created_at", "request_digest", "audit", "resource"] {
        assert!(decision.remove(member).is_some(), "{member}");
    }
    value.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_read_is_denied_alike_whether_it_is_there_or_not() {
    for bed in Bed::all().await {
        bed.put("hr/salaries", "v").await;
        let there = bed.read("hr/salaries").await.unwrap();
        let unknown = bed.read("hr/nothing").await.unwrap();
        let version = bed.read_version("hr/salaries", Some(77)).await.unwrap();
        assert_eq!(there.reply.decision.status, "denied");
        assert_eq!(stripped(&there.reply), stripped(&unknown.reply));
        assert_eq!(stripped(&there.reply), stripped(&version.reply));
        assert!(there.reply.secret.is_none() && there.reply.sealed.is_none());
        let answer = serde_json::to_string(&there.reply).unwrap();
        assert!(
            !answer.contains("sealed") && !answer.contains("\"secret\""),
            "{answer}"
        );
        // A path that may be read, and is not there.
        assert_eq!(refused(bed.read("payments/nothing").await).0, Code::NotFound);
        assert_eq!(
            bed.database.count("SELECT count(*) FROM violations").await,
            3,
            "a denied read is a violation as any other"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_needs_approval_waits_and_hands_over_nothing() {
    for bed in Bed::all().await {
        bed.put("payments/payout", "v").await;
        bed.grant("require_approval", "payments/payout").await;
        let read = bed.read("payments/payout").await.unwrap();
        assert_eq!(read.reply.decision.status, "pending");
        assert!(read.reply.sealed.is_none() && read.reply.secret.is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_read_is_taken_up_once_by_its_agent_for_what_was_approved() {
    for bed in Bed::all().await {
        for value in ["one", "two"] {
            bed.put("payments/payout", value).await;
            bed.put("payments/other", value).await;
        }
        bed.grant("require_approval", "payments/**").await;
        let id = bed.read("payments/payout").await.unwrap().reply.decision.id;
        let pending = bed.take_up("payments/payout", None, id).await.unwrap();
        assert!(pending.reply.decision.status == "pending" && pending.opened.is_none());
        bed.review(id, true).await;
        for (path, version) in [("payments/other", None), ("payments/payout", Some(1))] {
            let refusal = bed.take_up(path, version, id).await;
            assert_eq!(refused(refusal), (Code::FieldInvalid, "decision_id".to_owned()));
        }
        let read = bed.take_up("payments/payout", None, id).await.unwrap();
        assert_eq!((read.value(), read.reply.decision.id), ("two", id));
        let again = bed.take_up("payments/payout", None, id).await;
        assert_eq!(refused(again), (Code::StateConflict, "decision_id".to_owned()));
        assert_eq!(
            bed.audited()
                .await
                .iter()
                .filter(|action| *action == "secret.approval_used")
                .count(),
            1
        );

        let rejected = bed.read("payments/payout").await.unwrap().reply.decision.id;
        bed.review(rejected, false).await;
        let read = bed.take_up("payments/payout", None, rejected).await.unwrap();
        assert!(read.reply.decision.status == "denied" && read.opened.is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_ends_with_its_time_and_with_what_it_stood_on() {
    for bed in Bed::all().await {
        bed.put("payments/payout", "v").await;
        bed.grant("require_approval", "payments/**").await;
        let approved = async || {
            let id = bed.read("payments/payout").await.unwrap().reply.decision.id;
            bed.review(id, true).await;
            id
        };
        let late = approved().await;
        bed.clock.advance(TimeDelta::minutes(15));
        let refusal = bed.take_up("payments/payout", None, late).await.unwrap_err();
        assert!(
            refusal.code == Code::StateConflict && refusal.detail.contains("too old"),
            "{refusal}"
        );

        // Another agent's, and one that nobody had to approve.
        let id = approved().await;
        let other = seed_agent(&bed.kernel.store, bed.organization, "other").await;
        bed.grant_to(bed.organization, &other, "allow", "payments/**")
            .await;
        let theirs = bed
            .read_by(
                &bed.vault,
                &bed.as_agent_of(bed.organization, &other),
                "payments/payout",
                None,
            )
            .await
            .unwrap();
        let theirs = theirs.reply.decision.id;
        assert_eq!(
            refused(bed.take_up("payments/payout", None, theirs).await).0,
            Code::NotFound
        );

        // The grants are withdrawn meanwhile.
        bed.database
            .sql("UPDATE grants SET revoked_at = granted_at; UPDATE agents SET epoch = epoch + 1")
            .await;
        let refusal = bed.take_up("payments/payout", None, id).await.unwrap_err();
        assert!(
            refusal.code == Code::StateConflict && refusal.detail.contains("denied"),
            "{refusal}"
        );
        bed.database
            .sql("UPDATE agents SET status = 'suspended', epoch = epoch + 1")
            .await;
        assert_eq!(
            refused(bed.take_up("payments/payout", None, id).await).0,
            Code::Forbidden
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_nobody_had_to_approve_cannot_be_taken_up_again() {
    for bed in Bed::all().await {
        bed.put("payments/key", "v").await;
        let id = bed.read("payments/key").await.unwrap().reply.decision.id;
        assert_eq!(
            refused(bed.take_up("payments/key", None, id).await).0,
            Code::StateConflict
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_wants_a_signature_that_covers_the_key() {
    for bed in Bed::all().await {
        bed.put("payments/key", "v").await;
        let request = || ReadRequest {
            path: "payments/key".to_owned(),
            version: None,
            seal_to: RecipientKey::generate().unwrap().public_text(),
            context: serde_json::Map::new(),
            decision_id: None,
        };
        for scheme in ["sdk", "agent_api_key", "session"] {
            let refusal = bed.vault.read(&bed.as_agent(), None, scheme, request()).await;
            assert_eq!(refused(refusal).0, Code::Forbidden, "{scheme}");
        }
        let mut limited = bed.as_agent();
        limited.actor = Actor::Agent {
            id: bed.agent.id,
            credential: AgentCredential::Limited {
                id: uuid::Uuid::from_u128(1),
                capabilities: vec!["*".to_owned()],
                limits: aim_core::ctx::CredentialLimits::default(),
            },
        };
        assert_eq!(
            refused(bed.vault.read(&limited, None, "rfc9421", request()).await).0,
            Code::Forbidden
        );
        assert_eq!(
            refused(bed.vault.read(&bed.manager(), None, "rfc9421", request()).await).0,
            Code::Forbidden
        );

        let with = |change: fn(&mut ReadRequest)| {
            let mut request = request();
            change(&mut request);
            request
        };
        for (request, field) in [
            (with(|request| request.path = "payments//key".to_owned()), "path"),
            (
                with(|request| request.path = "payments/../key".to_owned()),
                "path",
            ),
            (with(|request| request.version = Some(0)), "version"),
            (with(|request| request.seal_to = String::new()), "seal_to"),
            (with(|request| request.seal_to.push('A')), "seal_to"),
            (with(|request| request.seal_to = "A".repeat(43)), "seal_to"),
            (
                with(|request| drop(request.context.insert("secret".to_owned(), json!(1)))),
                "context.secret",
            ),
        ] {
            let refusal = bed.vault.read(&bed.as_agent(), None, "rfc9421", request).await;
            assert_eq!(refused(refusal), (Code::FieldInvalid, field.to_owned()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_secret_is_not_handed_over() {
    for bed in Bed::all().await {
        let end = bed.kernel.now() + TimeDelta::minutes(5);
        let body = json!({"kind": "api_key", "fields": {"value": "v"}, "expires_at": end});
        bed.try_put("payments/key", wish_of(body)).await.unwrap();
        // On SQLite it is known from the second read on.
        for _ in 0..2 {
            let read = bed.read("payments/key").await.unwrap();
            assert_eq!(read.reply.secret.unwrap().expires_at, Some(end));
        }
        bed.clock.advance(TimeDelta::minutes(5));
        let error = bed.read("payments/key").await.unwrap_err();
        assert!(
            error.code == Code::NotFound && error.detail.contains("expired"),
            "{error}"
        );
        bed.put("payments/key", "next").await;
        assert_eq!(bed.read("payments/key").await.unwrap().value(), "next");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_of_another_tenant_reads_its_own_tenants_secret_at_the_same_path() {
    for bed in Bed::all().await {
        bed.put("payments/key", "ours").await;
        let other = aim_testkit::seed_organization(&bed.kernel.store)
            .await
            .organization;
        let stranger = seed_agent(&bed.kernel.store, other, "payer").await;
        let ctx = bed.as_agent_of(other, &stranger);
        bed.grant_to(other, &stranger, "allow", "payments/**").await;
        let nothing = bed.read_by(&bed.vault, &ctx, "payments/key", None).await;
        let unknown = bed.read_by(&bed.vault, &ctx, "payments/unknown", None).await;
        assert_eq!(nothing.unwrap_err().detail, unknown.unwrap_err().detail);
    }
}
