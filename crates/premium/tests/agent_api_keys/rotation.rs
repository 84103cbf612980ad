//! Rotation with an overlap, the list of all keys, and recognition of a key that was found.

use aim_core::{Code, Role};
use aim_crypto::token::IssuedToken;
use aim_premium::agent_api_keys::{
    listing::OrganizationKeysQuery,
    model::{AgentApiKeyStatus, TOKEN_KIND},
    recognition::{RecogniseToken, Recognition},
    rotation::RotateAgentApiKey,
};
use aim_testkit::{seed_agent, seed_organization};
use chrono::TimeDelta;
use serde_json::json;

use crate::bed::{Bed, wish};

fn overlap(seconds: i64) -> RotateAgentApiKey {
    RotateAgentApiKey {
        overlap_seconds: Some(seconds),
        ..Default::default()
    }
}

async fn recognised(bed: &Bed, text: &str) -> Recognition {
    let wanted: RecogniseToken = serde_json::from_value(json!({"token": text})).unwrap();
    bed.keys
        .recognise(&bed.as_role(Role::Manager), wanted)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_tokens_are_accepted_until_the_overlap_ends_and_then_the_new_one_alone() {
    for bed in Bed::all().await {
        bed.grant("db:*").await;
        let manager = bed.as_role(Role::Manager);
        let mut request = wish(&["db:read"]);
        request.addresses = Some(vec!["10.0.0.0/8".to_owned()]);
        request.secret_paths = Some(vec!["payments/*".to_owned()]);
        request.expires_in_days = Some(10);
        let old = bed.keys.create(&manager, bed.agent.id, request).await.unwrap();
        bed.clock.advance(TimeDelta::days(4));
        let new = bed
            .keys
            .rotate(&bed.as_role(Role::Manager), bed.agent.id, old.id, overlap(60))
            .await
            .unwrap();
        assert_eq!(new.old_accepted_until, bed.now() + TimeDelta::seconds(60));
        assert_eq!(
            new.key.expires_at,
            bed.now() + TimeDelta::days(10),
            "as long as the old one was made for"
        );
        assert_eq!(
            (
                &new.key.name,
                &new.key.capabilities,
                &new.key.addresses,
                &new.key.secret_paths
            ),
            (&old.name, &old.capabilities, &old.addresses, &old.secret_paths)
        );
        assert_ne!(new.key.api_key, old.api_key);
        assert!(bed.with_key(&old.api_key).await.is_ok() && bed.with_key(&new.key.api_key).await.is_ok());
        let state = async |text: &str| recognised(&bed, text).await.key.unwrap().status;
        assert_eq!(state(&old.api_key).await, AgentApiKeyStatus::Rotating);
        bed.clock.set(new.old_accepted_until - TimeDelta::microseconds(1));
        assert!(bed.with_key(&old.api_key).await.is_ok());
        bed.clock.set(new.old_accepted_until);
        assert_eq!(
            bed.with_key(&old.api_key).await.unwrap_err().code,
            Code::CredentialsInvalid
        );
        assert!(bed.with_key(&new.key.api_key).await.is_ok());
        assert_eq!(state(&old.api_key).await, AgentApiKeyStatus::Revoked);
        assert!(bed.audited().await.contains(&"agent_api_key.rotated".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaked_key_ends_at_once_and_what_has_ended_is_not_rotated() {
    for bed in Bed::all().await {
        bed.grant("db:*").await;
        let manager = || bed.as_role(Role::Manager);
        let made = async || {
            bed.keys
                .create(&manager(), bed.agent.id, wish(&["db:read"]))
                .await
                .unwrap()
        };
        let leaked = made().await;
        bed.keys
            .rotate(&manager(), bed.agent.id, leaked.id, overlap(0))
            .await
            .unwrap();
        assert!(bed.with_key(&leaked.api_key).await.is_err());
        let refused = async |id, request| {
            let result = bed.keys.rotate(&manager(), bed.agent.id, id, request).await;
            let error = result.unwrap_err();
            (error.code, error.field.unwrap_or_default())
        };
        assert_eq!(refused(leaked.id, overlap(0)).await.0, Code::StateConflict);

        let twice = made().await;
        bed.keys
            .rotate(&manager(), bed.agent.id, twice.id, overlap(600))
            .await
            .unwrap();
        assert_eq!(refused(twice.id, overlap(600)).await.0, Code::StateConflict);
        // Revoked in its overlap, it ends then.
        bed.keys.revoke(&manager(), bed.agent.id, twice.id).await.unwrap();
        assert!(bed.with_key(&twice.api_key).await.is_err());

        let live = made().await;
        for (request, field) in [
            (overlap(-1), "overlap_seconds"),
            (overlap(30 * 24 * 3_600 + 1), "overlap_seconds"),
            (
                RotateAgentApiKey {
                    expires_in_days: Some(0),
                    ..Default::default()
                },
                "expires_in_days",
            ),
        ] {
            assert_eq!(
                refused(live.id, request).await,
                (Code::FieldInvalid, field.to_owned())
            );
        }
        // The overlap does not outlive the key itself.
        bed.clock.advance(TimeDelta::days(89));
        let rotated = bed
            .keys
            .rotate(&manager(), bed.agent.id, live.id, overlap(7 * 86_400))
            .await
            .unwrap();
        assert_eq!(rotated.old_accepted_until, live.expires_at);

        // An agent that is another's, or of another tenant, has no such key.
        let other = seed_agent(&bed.kernel.store, bed.organization, "other").await;
        let stranger = seed_organization(&bed.kernel.store).await.organization;
        let last = made().await;
        for (ctx, agent) in [
            (manager(), other.id),
            (bed.as_role_of(stranger, Role::Admin), bed.agent.id),
        ] {
            let result = bed.keys.rotate(&ctx, agent, last.id, overlap(0)).await;
            assert_eq!(result.unwrap_err().code, Code::NotFound);
        }
        assert!(bed.with_key(&last.api_key).await.is_ok());
        for ctx in [bed.as_agent(), bed.with_key(&last.api_key).await.unwrap()] {
            let result = bed.keys.rotate(&ctx, bed.agent.id, last.id, overlap(0)).await;
            assert_eq!(result.unwrap_err().code, Code::Forbidden);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_rotations_at_once_one_is_refused() {
    for bed in Bed::all().await {
        bed.grant("db:*").await;
        let manager = bed.as_role(Role::Manager);
        let key = bed
            .keys
            .create(&manager, bed.agent.id, wish(&["db:read"]))
            .await
            .unwrap();
        let one = bed.keys.rotate(&manager, bed.agent.id, key.id, overlap(60));
        let other = bed.keys.rotate(&manager, bed.agent.id, key.id, overlap(60));
        let (one, other) = tokio::join!(one, other);
        assert_eq!(
            [one.is_ok(), other.is_ok()].iter().filter(|done| **done).count(),
            1
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_found_is_recognised_by_its_owner_alone() {
    for bed in Bed::all().await {
        bed.grant("db:*").await;
        let key = bed.key(&["db:read"]).await;
        let found = recognised(&bed, &format!(" {key}\n")).await;
        let known = found.key.clone().unwrap();
        assert!(found.well_formed && found.known && found.kind.as_deref() == Some("agent_api_key"));
        assert_eq!(
            (known.agent_id, known.agent_name.as_deref(), known.status),
            (bed.agent.id, Some("reader"), AgentApiKeyStatus::Active)
        );
        // One that nobody made here; one that was mistyped; a key of another kind; no key at all.
        let unknown = IssuedToken::generate(TOKEN_KIND).unwrap();
        let unknown = recognised(&bed, unknown.text().expose()).await;
        assert!(unknown.well_formed && !unknown.known && unknown.key.is_none());
        assert!(unknown.verdict.contains("no such key"), "{}", unknown.verdict);
        let mut mistyped = key.clone();
        let last = mistyped.pop().unwrap();
        mistyped.push(if last == '0' { '1' } else { '0' });
        let mistyped = recognised(&bed, &mistyped).await;
        assert!(!mistyped.well_formed && mistyped.kind.is_none() && mistyped.verdict.contains("checksum"));
        let session = IssuedToken::generate(aim_crypto::token::TokenKind::Session).unwrap();
        let session = recognised(&bed, session.text().expose()).await;
        assert_eq!(
            (session.well_formed, session.known, session.kind.as_deref()),
            (true, false, Some("session"))
        );
        assert!(!recognised(&bed, "sk_live_1234").await.well_formed);

        // Another tenant is told what it is told of an unknown one.
        let stranger = seed_organization(&bed.kernel.store).await.organization;
        let wanted: RecogniseToken = serde_json::from_value(json!({"token": key})).unwrap();
        let theirs = bed
            .keys
            .recognise(&bed.as_role_of(stranger, Role::Admin), wanted.clone())
            .await;
        assert_eq!(theirs.unwrap(), unknown);
        let refused = bed.keys.recognise(&bed.as_agent(), wanted).await.unwrap_err();
        assert_eq!(refused.code, Code::Forbidden);
        let asked = bed.audited().await;
        assert_eq!(
            asked
                .iter()
                .filter(|action| *action == "agent_api_key.recognised")
                .count(),
            5
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_keys_of_an_organisation_are_listed_and_filtered() {
    for bed in Bed::all().await {
        bed.grant("db:*").await;
        let manager = || bed.as_role(Role::Manager);
        let make = async |name: &str, days| {
            // Ids of one moment have no order.
            bed.clock.advance(TimeDelta::milliseconds(2));
            let mut request = wish(&["db:read"]);
            request.name = name.to_owned();
            request.expires_in_days = Some(days);
            bed.keys.create(&manager(), bed.agent.id, request).await.unwrap()
        };
        let short = make("short lived", 1).await;
        let revoked = make("Gone_100%", 30).await;
        let rotated = make("turning", 30).await;
        let plain = make("plain", 30).await;
        bed.keys
            .revoke(&manager(), bed.agent.id, revoked.id)
            .await
            .unwrap();
        bed.clock.advance(TimeDelta::days(2));
        let new = bed
            .keys
            .rotate(&manager(), bed.agent.id, rotated.id, overlap(600))
            .await
            .unwrap();
        let list = async |query: OrganizationKeysQuery| {
            let list = bed
                .keys
                .list_all(&bed.as_role(Role::Member), query)
                .await
                .unwrap();
            assert_eq!(usize::try_from(list.total).unwrap(), list.api_keys.len());
            assert!(
                list.api_keys
                    .iter()
                    .all(|row| row.agent_name.as_deref() == Some("reader"))
            );
            list.api_keys
                .into_iter()
                .map(|row| row.key.id)
                .collect::<Vec<_>>()
        };
        assert_eq!(list(OrganizationKeysQuery::default()).await.len(), 5);
        for (status, expected) in [
            (AgentApiKeyStatus::Active, vec![new.key.id, plain.id]),
            (AgentApiKeyStatus::Rotating, vec![rotated.id]),
            (AgentApiKeyStatus::Expired, vec![short.id]),
            (AgentApiKeyStatus::Revoked, vec![revoked.id]),
        ] {
            let query = OrganizationKeysQuery {
                status: Some(status),
                ..Default::default()
            };
            assert_eq!(list(query).await, expected, "{status:?}");
        }
        for (search, expected) in [
            ("E_100%", vec![revoked.id]),
            ("PLAI", vec![plain.id]),
            ("e%l", vec![]),
            (plain.prefix.as_str(), vec![plain.id]),
        ] {
            let query = OrganizationKeysQuery {
                search: Some(search.to_owned()),
                ..Default::default()
            };
            assert_eq!(list(query).await, expected, "{search}");
        }
        bed.clock.advance(TimeDelta::seconds(600));
        let query = OrganizationKeysQuery {
            status: Some(AgentApiKeyStatus::Revoked),
            ..Default::default()
        };
        assert_eq!(list(query).await, [rotated.id, revoked.id]);

        // Pages, and another tenant.
        let first = OrganizationKeysQuery {
            limit: Some(3),
            ..Default::default()
        };
        let page = bed.keys.list_all(&manager(), first).await.unwrap();
        assert_eq!((page.api_keys.len(), page.total), (3, 5));
        let rest = OrganizationKeysQuery {
            cursor: page.next_cursor,
            ..Default::default()
        };
        let page = bed.keys.list_all(&manager(), rest).await.unwrap();
        assert_eq!((page.api_keys.len(), page.total, page.next_cursor), (2, 5, None));
        let stranger = seed_organization(&bed.kernel.store).await.organization;
        let ctx = bed.as_role_of(stranger, Role::Admin);
        let of_agent = OrganizationKeysQuery {
            agent_id: Some(bed.agent.id),
            ..Default::default()
        };
        for query in [OrganizationKeysQuery::default(), of_agent] {
            let list = bed.keys.list_all(&ctx, query).await.unwrap();
            assert_eq!((list.api_keys.len(), list.total), (0, 0));
        }
        assert_eq!(
            bed.keys
                .list_all(&bed.as_agent(), OrganizationKeysQuery::default())
                .await
                .unwrap_err()
                .code,
            Code::Forbidden
        );
    }
}
