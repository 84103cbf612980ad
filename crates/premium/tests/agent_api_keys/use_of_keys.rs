//! What a key is worth when it is presented.

use aim_core::{Actor, AgentCredential, Code, PageRequest, Role};
use aim_violations::{VerificationService, verification::ActionRequest};
use chrono::TimeDelta;

use crate::bed::{Bed, wish};

fn action(name: &str) -> ActionRequest {
    ActionRequest {
        action: name.to_owned(),
        resource: None,
        context: serde_json::Map::new(),
        approval_requested: false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_acts_for_its_agent_within_its_list_and_within_the_grants() {
    for bed in Bed::all().await {
        let granted = bed.grant("db:*").await;
        let service = VerificationService::new(&bed.kernel);
        let text = bed.key(&["db:read"]).await;
        let ctx = bed.with_key(&text).await.unwrap();
        assert!(matches!(&ctx.actor, Actor::Agent { id, .. } if *id == bed.agent.id));

        let read = service
            .verify(&ctx, None, "agent_api_key", action("db:read"))
            .await
            .unwrap();
        assert_eq!(read.status, "approved");
        let write = service
            .verify(&ctx, None, "agent_api_key", action("db:write"))
            .await
            .unwrap();
        assert_eq!(
            (write.status.as_str(), write.reason_codes),
            ("denied", vec!["credential.capability_not_included".to_owned()])
        );
        let by_signature = service
            .verify(&bed.as_agent(), None, "rfc9421", action("db:write"))
            .await
            .unwrap();
        assert_eq!(by_signature.status, "approved", "the agent itself may");

        bed.withdraw(granted).await;
        let late = service
            .verify(&ctx, None, "agent_api_key", action("db:read"))
            .await
            .unwrap();
        assert_eq!(
            (late.status.as_str(), late.reason_codes),
            ("denied", vec!["capability.not_granted".to_owned()])
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_is_refused_on_the_next_request() {
    for bed in Bed::all().await {
        bed.grant("db:*").await;
        let manager = bed.as_role(Role::Manager);
        let created = bed
            .keys
            .create(&manager, bed.agent.id, wish(&["db:read"]))
            .await
            .unwrap();
        let spared = bed.key(&["db:read"]).await;
        assert!(bed.with_key(&created.api_key).await.is_ok());
        bed.keys.revoke(&manager, bed.agent.id, created.id).await.unwrap();
        bed.keys.revoke(&manager, bed.agent.id, created.id).await.unwrap();
        assert_eq!(
            bed.with_key(&created.api_key).await.unwrap_err().code,
            Code::CredentialsInvalid
        );
        assert!(bed.with_key(&spared).await.is_ok(), "the other key lives on");
        let events = bed.audited().await;
        assert_eq!(
            events,
            [
                "agent_api_key.created",
                "agent_api_key.created",
                "agent_api_key.revoked"
            ]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_refused_from_the_instant_of_its_expiry() {
    for bed in Bed::all().await {
        bed.grant("db:*").await;
        let mut request = wish(&["db:read"]);
        let end = bed.now() + TimeDelta::hours(1);
        request.expires_at = Some(end);
        let text = bed
            .keys
            .create(&bed.as_role(Role::Manager), bed.agent.id, request)
            .await
            .unwrap()
            .api_key;
        bed.clock.set(end - TimeDelta::microseconds(1));
        assert!(bed.with_key(&text).await.is_ok());
        bed.clock.set(end);
        assert_eq!(
            bed.with_key(&text).await.unwrap_err().code,
            Code::CredentialsInvalid
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keys_of_a_suspended_or_revoked_agent_are_refused() {
    for bed in Bed::all().await {
        bed.grant("db:*").await;
        let text = bed.key(&["db:read"]).await;
        for status in ["suspended", "revoked"] {
            bed.set_status(status).await;
            assert_eq!(
                bed.with_key(&text).await.unwrap_err().code,
                Code::CredentialsInvalid,
                "{status}"
            );
        }
        bed.set_status("active").await;
        assert!(bed.with_key(&text).await.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_key_of_ours_gets_the_same_refusal_as_an_unknown_one() {
    for bed in Bed::all().await {
        bed.grant("db:*").await;
        let text = bed.key(&["db:read"]).await;
        let cut = &text[..text.len() - 1];
        let foreign =
            aim_crypto::token::IssuedToken::generate(aim_premium::agent_api_keys::model::TOKEN_KIND).unwrap();
        let organization_key =
            aim_crypto::token::IssuedToken::generate(aim_crypto::token::TokenKind::OrganizationKey).unwrap();
        let mut details = Vec::new();
        for wrong in [
            cut,
            "aim_agent_",
            "",
            foreign.text().expose(),
            organization_key.text().expose(),
        ] {
            let error = bed.with_key(wrong).await.unwrap_err();
            assert_eq!(error.code, Code::CredentialsInvalid);
            details.push(error.detail);
        }
        details.dedup();
        assert_eq!(details.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_use_is_noted_to_the_minute() {
    for bed in Bed::all().await {
        bed.grant("db:*").await;
        let text = bed.key(&["db:read"]).await;
        let start = bed.now();
        let member = bed.as_role(Role::Member);
        for (after, noted) in [(0, 0), (59, 0), (60, 60), (119, 60), (600, 600)] {
            bed.clock.set(start + TimeDelta::seconds(after));
            bed.with_key(&text).await.unwrap();
            let list = bed
                .keys
                .list(&member, bed.agent.id, PageRequest::default())
                .await
                .unwrap();
            assert_eq!(
                list.api_keys[0].last_used_at,
                Some(start + TimeDelta::seconds(noted)),
                "after {after} s"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_does_not_touch_the_agents_identity() {
    for bed in Bed::all().await {
        bed.grant("*").await;
        let text = bed.key(&["*"]).await;
        let ctx = bed.with_key(&text).await.unwrap();
        assert!(matches!(
            &ctx.actor,
            Actor::Agent {
                credential: AgentCredential::Limited { .. },
                ..
            }
        ));
        let vault = aim_key_vault::KeyVaultService::new(&bed.kernel);
        assert_eq!(
            vault.challenge(&ctx, bed.agent.id).await.unwrap_err().code,
            Code::Forbidden
        );
    }
}
