//! What narrows a key: the secrets that it reaches, and the addresses from which it may be used.

use aim_core::{Code, PageRequest, Role};
use aim_violations::{VerificationService, verification::ActionRequest};
use serde_json::Map;

use crate::bed::{Bed, wish};

fn action(name: &str, resource: &str) -> ActionRequest {
    ActionRequest {
        action: name.to_owned(),
        resource: Some(resource.to_owned()),
        context: Map::new(),
        approval_requested: false,
    }
}

/// Decides as the bearer of this key at this address; status and first reason.
async fn decide(bed: &Bed, key: &str, from: Option<&str>, name: &str, resource: &str) -> (String, String) {
    let service = VerificationService::new(&bed.kernel);
    let ctx = bed.with_key_from(key, from).await.unwrap();
    let view = service
        .verify(&ctx, None, "agent_api_key", action(name, resource))
        .await
        .unwrap();
    // What was decided on can be decided on again, with the same end.
    let manager = bed.as_role(Role::Manager);
    let evidence = service.evidence(&manager, view.id).await.unwrap();
    let again = aim_decision::replay(
        evidence.snapshot.as_bytes(),
        evidence.inputs.as_bytes(),
        evidence.verdict.as_bytes(),
    );
    assert_eq!(again.unwrap().outcome.as_str(), view.status);
    (
        view.status,
        view.reason_codes.into_iter().next().unwrap_or_default(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_reaches_only_the_secrets_that_it_names_and_the_agent_may() {
    for bed in Bed::all().await {
        bed.grant("secret:*").await;
        bed.grant("db:read").await;
        let mut request = wish(&["secret:read", "db:read"]);
        request.secret_paths = Some(vec!["payments/*".to_owned()]);
        let key = bed.key_of(request).await;
        let within = decide(&bed, &key, None, "secret:read", "payments/stripe").await;
        assert_eq!(within.0, "approved");
        let beyond = decide(&bed, &key, None, "secret:read", "hr/salaries").await;
        assert_eq!(beyond, ("denied".into(), "credential.secret_not_included".into()));
        let other = decide(&bed, &key, None, "db:read", "hr/salaries").await;
        assert_eq!(other.0, "approved", "the paths are about secrets alone");
        assert_eq!(bed.database.count("SELECT count(*) FROM violations").await, 1);
        // It cannot widen: what the agent itself may not stays denied.
        bed.database
            .sql("UPDATE grants SET revoked_at = granted_at; UPDATE agents SET epoch = epoch + 1")
            .await;
        let late = decide(&bed, &key, None, "secret:read", "payments/stripe").await;
        assert_eq!(late, ("denied".into(), "capability.not_granted".into()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_used_from_elsewhere_is_denied_as_a_violation_and_leaves_the_address() {
    for bed in Bed::all().await {
        bed.grant("db:*").await;
        let mut request = wish(&["db:read"]);
        request.addresses = Some(vec!["10.0.0.0/8".to_owned(), "2001:db8::/32".to_owned()]);
        let key = bed.key_of(request).await;
        for inside in ["10.1.2.3", "2001:db8::7"] {
            assert_eq!(
                decide(&bed, &key, Some(inside), "db:read", "t").await.0,
                "approved"
            );
        }
        for outside in [Some("192.0.2.1"), None] {
            let (status, reason) = decide(&bed, &key, outside, "db:read", "t").await;
            assert_eq!(
                (status.as_str(), reason.as_str()),
                ("denied", "credential.address_not_allowed")
            );
        }
        let high = "SELECT count(*) FROM violations WHERE severity = 'high'";
        assert_eq!(bed.database.count(high).await, 2);
        // Other routes than the verified action ask before they do anything.
        for (from, refused) in [(Some("10.1.2.3"), false), (Some("192.0.2.1"), true)] {
            let ctx = bed.with_key_from(&key, from).await.unwrap();
            let (organization, now, actor) = (bed.organization, bed.now(), ctx.actor);
            let standing = bed
                .kernel
                .store
                .read(organization, move |db| {
                    aim_platform::standing::check(db, organization, &actor, now)
                })
                .await;
            assert_eq!(
                standing.err().map(|error| error.code),
                refused.then_some(Code::Forbidden)
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_use_is_kept_with_its_address_to_the_minute() {
    for bed in Bed::all().await {
        bed.grant("db:*").await;
        let key = bed.key(&["db:read"]).await;
        let member = bed.as_role(Role::Member);
        let used = async |from: &'static str| {
            bed.with_key_from(&key, Some(from)).await.unwrap();
            let list = bed.keys.list(&member, bed.agent.id, PageRequest::default());
            let key = list.await.unwrap().api_keys.remove(0);
            (key.last_used_at, key.last_used_from)
        };
        let first = bed.now();
        assert_eq!(
            used("192.0.2.1").await,
            (Some(first), Some("192.0.2.1".to_owned()))
        );
        bed.clock.advance(chrono::TimeDelta::seconds(59));
        assert_eq!(used("192.0.2.2").await.1.as_deref(), Some("192.0.2.1"));
        bed.clock.advance(chrono::TimeDelta::seconds(1));
        let later = bed.now();
        assert_eq!(
            used("192.0.2.2").await,
            (Some(later), Some("192.0.2.2".to_owned()))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_that_mean_nothing_are_refused_by_name() {
    for bed in Bed::all().await {
        bed.grant("db:*").await;
        let manager = bed.as_role(Role::Manager);
        for (paths, addresses, field) in [
            (Some(vec![]), None, "secret_paths"),
            (Some(vec!["a/../b"]), None, "secret_paths[0]"),
            (None, Some(vec![]), "addresses"),
            (None, Some(vec!["10.0.0.0/8", "10.0.0.1/8"]), "addresses[1]"),
            (None, Some(vec!["example.com"]), "addresses[0]"),
        ] {
            let mut request = wish(&["db:read"]);
            let owned = |list: Vec<&str>| list.into_iter().map(str::to_owned).collect();
            request.secret_paths = paths.map(owned);
            request.addresses = addresses.map(owned);
            let made = bed.keys.create(&manager, bed.agent.id, request);
            let error = made.await.unwrap_err();
            assert_eq!(
                (error.code, error.field.as_deref()),
                (Code::FieldInvalid, Some(field))
            );
        }
        assert!(bed.audited().await.is_empty());
    }
}
