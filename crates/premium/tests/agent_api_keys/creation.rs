//! Making, listing and revoking keys: who may, for whom, and for what.

use aim_core::{Actor, Code, PageRequest, Role};
use aim_premium::agent_api_keys::model::AgentApiKeyStatus;
use aim_testkit::{seed_agent, seed_organization};
use chrono::TimeDelta;

use crate::bed::{Bed, wish};

#[tokio::test(flavor = "multi_thread")]
async fn a_key_may_use_a_part_of_what_its_agent_is_granted_and_nothing_else() {
    for bed in Bed::all().await {
        bed.grant("db:*").await;
        bed.grant_to(bed.agent.id, "mail:send", "require_approval", None)
            .await;
        bed.grant_to(bed.agent.id, "file:read", "deny", None).await;
        let soon = bed.now() + TimeDelta::minutes(1);
        bed.grant_to(bed.agent.id, "old:thing", "allow", Some(soon)).await;
        let withdrawn = bed.grant("was:there").await;
        bed.withdraw(withdrawn).await;
        let other = seed_agent(&bed.kernel.store, bed.organization, "writer").await;
        bed.grant_to(other.id, "disk:format", "allow", None).await;
        bed.clock.set(soon);

        let manager = bed.as_role(Role::Manager);
        for covered in [&["db:read"][..], &["db:*"], &["db:tables:*", "mail:send"]] {
            bed.keys
                .create(&manager, bed.agent.id, wish(covered))
                .await
                .unwrap();
        }
        for (beyond, field) in [
            (&["*"][..], "capabilities[0]"),
            (&["db:read", "mail:*"], "capabilities[1]"),
            (&["file:read"], "capabilities[0]"),
            (&["old:thing"], "capabilities[0]"),
            (&["db:read", "db:write", "was:there"], "capabilities[2]"),
            (&["disk:format"], "capabilities[0]"),
            (&["db::read"], "capabilities[0]"),
            (&[], "capabilities"),
        ] {
            let error = bed
                .keys
                .create(&manager, bed.agent.id, wish(beyond))
                .await
                .unwrap_err();
            assert_eq!(
                (error.code, error.field.as_deref()),
                (Code::FieldInvalid, Some(field)),
                "{beyond:?}"
            );
        }
        assert_eq!(bed.audited().await, vec!["agent_api_key.created"; 3]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_is_shown_once_and_stored_as_a_hash() {
    for bed in Bed::all().await {
        bed.grant("db:*").await;
        let mut request = wish(&["db:read", "db:write", "db:read"]);
        request.expires_in_days = Some(7);
        let created = bed
            .keys
            .create(&bed.as_role(Role::Manager), bed.agent.id, request)
            .await
            .unwrap();
        assert!(created.api_key.starts_with("aim_agent_") && created.api_key.starts_with(&created.prefix));
        assert_eq!(created.capabilities, ["db:read", "db:write"]);
        assert_eq!(created.expires_at, bed.now() + TimeDelta::days(7));
        assert!(!format!("{created:?}").contains(&created.api_key));

        let list = bed
            .keys
            .list(&bed.as_role(Role::Member), bed.agent.id, PageRequest::default())
            .await
            .unwrap();
        assert_eq!((list.total, list.api_keys.len()), (1, 1));
        let shown = serde_json::to_string(&list).unwrap();
        assert!(!shown.contains(&created.api_key));
        assert_eq!(
            (list.api_keys[0].status, list.api_keys[0].last_used_at),
            (AgentApiKeyStatus::Active, None)
        );
        let text = created.api_key;
        let in_the_clear = bed
            .database
            .count(&format!(
                "SELECT count(*) FROM agent_api_keys WHERE prefix = '{text}' OR name = '{text}'"
            ))
            .await;
        assert_eq!(in_the_clear, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_pages_through_active_expired_and_revoked_keys() {
    for bed in Bed::all().await {
        bed.grant("db:*").await;
        let manager = bed.as_role(Role::Manager);
        let mut ids = Vec::new();
        for days in [1, 90, 90] {
            let mut request = wish(&["db:read"]);
            request.expires_in_days = Some(days);
            bed.clock.advance(TimeDelta::seconds(1));
            ids.push(
                bed.keys
                    .create(&bed.as_role(Role::Manager), bed.agent.id, request)
                    .await
                    .unwrap()
                    .id,
            );
        }
        bed.keys.revoke(&manager, bed.agent.id, ids[1]).await.unwrap();
        bed.clock.advance(TimeDelta::days(1));
        let member = bed.as_role(Role::Member);
        let first = PageRequest::parse(Some(2), None, None).unwrap();
        let first = bed.keys.list(&member, bed.agent.id, first).await.unwrap();
        let rest = PageRequest::parse(Some(2), None, first.next_cursor.as_deref()).unwrap();
        let rest = bed.keys.list(&member, bed.agent.id, rest).await.unwrap();
        let seen: Vec<_> = first
            .api_keys
            .iter()
            .chain(&rest.api_keys)
            .map(|key| (key.id, key.status))
            .collect();
        use AgentApiKeyStatus::{Active, Expired, Revoked};
        assert_eq!(seen, [(ids[2], Active), (ids[1], Revoked), (ids[0], Expired)]);
        assert_eq!((first.total, rest.total, rest.next_cursor), (3, 3, None));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenant_and_another_agent_of_the_same_one_find_no_such_key() {
    for bed in Bed::all().await {
        bed.grant("db:*").await;
        let manager = bed.as_role(Role::Manager);
        let id = bed
            .keys
            .create(&manager, bed.agent.id, wish(&["db:read"]))
            .await
            .unwrap()
            .id;
        let elsewhere = seed_organization(&bed.kernel.store).await.organization;
        let stranger = bed.as_role_of(elsewhere, Role::Admin);
        let other = seed_agent(&bed.kernel.store, bed.organization, "writer").await;
        let refusals = [
            bed.keys
                .create(&stranger, bed.agent.id, wish(&["db:read"]))
                .await
                .err(),
            bed.keys
                .list(&stranger, bed.agent.id, PageRequest::default())
                .await
                .err(),
            bed.keys.revoke(&stranger, bed.agent.id, id).await.err(),
            bed.keys.revoke(&manager, other.id, id).await.err(),
        ];
        for refusal in refusals {
            assert_eq!(refusal.unwrap().code, Code::NotFound);
        }
        let list = bed
            .keys
            .list(&manager, bed.agent.id, PageRequest::default())
            .await
            .unwrap();
        assert_eq!(list.api_keys[0].status, AgentApiKeyStatus::Active);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_make_and_revoke_no_keys_not_even_their_own() {
    for bed in Bed::all().await {
        bed.grant("db:*").await;
        let text = bed.key(&["db:read"]).await;
        let limited = bed.with_key(&text).await.unwrap();
        let Actor::Agent {
            credential: aim_core::AgentCredential::Limited { id, .. },
            ..
        } = &limited.actor
        else {
            panic!("a limited credential")
        };
        let id = aim_core::Id::from_uuid(*id);
        for ctx in [bed.as_agent(), limited] {
            let create = bed
                .keys
                .create(&ctx, bed.agent.id, wish(&["db:read"]))
                .await
                .unwrap_err();
            let revoke = bed.keys.revoke(&ctx, bed.agent.id, id).await.unwrap_err();
            let list = bed
                .keys
                .list(&ctx, bed.agent.id, PageRequest::default())
                .await
                .unwrap_err();
            assert_eq!([create.code, revoke.code, list.code], [Code::Forbidden; 3]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_agent_gets_no_keys() {
    for bed in Bed::all().await {
        bed.grant("db:*").await;
        bed.set_status("revoked").await;
        let error = bed
            .keys
            .create(&bed.as_role(Role::Manager), bed.agent.id, wish(&["db:read"]))
            .await
            .unwrap_err();
        assert_eq!(error.code, Code::StateConflict);
    }
}
