//! What is withdrawn is refused on the very next request; what ends at a moment ends at that moment.

use aim_core::Role;
use aim_tests::{TestAgent, TestApp};
use chrono::TimeDelta;
use serde_json::json;

use super::reasons;

/// The agent may neither act nor read: a denial with this reason, and a refusal with this status.
async fn assert_stopped(agent: &TestAgent<'_>, reason: &str, status: u16) {
    let decision = agent.act("db:read", None).await.expect(403);
    assert_eq!(
        (decision["status"].as_str(), reasons(&decision)),
        (Some("denied"), vec![reason])
    );
    let refused = agent.get(&agent.path("")).await;
    assert_eq!(refused.status, status, "{}", refused.text);
    let refused = agent.get(&agent.path("/capabilities")).await;
    assert_eq!(refused.status, status, "{}", refused.text);
}

async fn assert_working(agent: &TestAgent<'_>) {
    let _ = agent.act("db:read", None).await.expect(201);
    let _ = agent.get(&agent.path("")).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_is_refused_on_the_next_request() {
    for app in TestApp::on_each().await {
        let agent = app.agent("reader", &["db:read"]).await;
        assert_working(&agent).await;
        let manager = app.user(Role::Manager).await;
        let _ = manager
            .post(
                &agent.path("/key-vault/revoke"),
                &json!({"reason": "stolen laptop"}),
            )
            .await
            .expect(200);
        assert_stopped(&agent, "key.revoked", 401).await;
        let vault = manager.get(&agent.path("/key-vault")).await.expect(200);
        assert_eq!(vault["public_key"], json!(null));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_agent_is_refused_on_the_next_request_until_it_is_reactivated() {
    for app in TestApp::on_each().await {
        let agent = app.agent("reader", &["db:read"]).await;
        assert_working(&agent).await;
        let manager = app.user(Role::Manager).await;
        let _ = manager
            .post(&agent.path("/suspend"), &json!({"reason": "strange calls"}))
            .await
            .expect(200);
        assert_stopped(&agent, "agent.suspended", 403).await;
        let _ = manager
            .post(&agent.path("/reactivate"), &json!({}))
            .await
            .expect(200);
        assert_working(&agent).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_agent_is_refused_on_the_next_request_for_ever() {
    for app in TestApp::on_each().await {
        let agent = app.agent("reader", &["db:read"]).await;
        assert_working(&agent).await;
        let manager = app.user(Role::Manager).await;
        assert_eq!(manager.delete(&agent.path("")).await.status, 204);
        let decision = agent.act("db:read", None).await;
        assert!([401, 403].contains(&decision.status), "{}", decision.text);
        assert_eq!(agent.get(&agent.path("")).await.status, 401);
        // Its name is free; its key is not.
        let heir = app.agent("reader", &["db:read"]).await;
        assert_working(&heir).await;
        let body = TestAgent::registration(&manager, "another", &agent.key).await;
        assert_eq!(manager.post("/api/v1/agents", &body).await.status, 409);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_grant_counts_no_more_on_the_next_request() {
    for app in TestApp::on_each().await {
        let agent = app.agent("reader", &[]).await;
        let grant = agent.grant(json!({"capability": "db:*"})).await;
        assert_working(&agent).await;
        let manager = app.user(Role::Manager).await;
        assert_eq!(
            manager
                .delete(&agent.path(&format!("/capabilities/{grant}")))
                .await
                .status,
            204
        );
        let decision = agent.act("db:read", None).await.expect(403);
        assert_eq!(reasons(&decision), ["capability.not_granted"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_counts_for_every_agent_from_the_next_request_until_it_is_removed() {
    for app in TestApp::on_each().await {
        let agents = [
            app.agent("one", &["db:read"]).await,
            app.agent("two", &["db:*"]).await,
        ];
        let administrator = app.user(Role::Admin).await;
        let new = json!({"name": "no reading today", "effect": "deny", "capability": "db:*"});
        let policy = administrator.post("/api/v1/policies", &new).await.expect(201);
        for agent in &agents {
            assert_eq!(
                reasons(&agent.act("db:read", None).await.expect(403)),
                ["policy.denied"]
            );
        }
        let path = format!("/api/v1/policies/{}", policy["id"].as_str().unwrap());
        assert_eq!(administrator.delete(&path).await.status, 204);
        for agent in &agents {
            assert_working(agent).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_key_works_until_its_grace_period_ends_and_not_one_request_longer() {
    for app in TestApp::on_each().await {
        let old = app.agent("reader", &["db:read"]).await;
        let new = old.rotate(1).await;
        assert_working(&old).await;
        assert_working(&new).await;
        let vault = new.get(&new.path("/key-vault")).await.expect(200);
        assert_eq!(vault["rotation_count"], 1);
        assert_eq!(vault["has_previous_public_key"], true);
        let end = aim_core::Timestamp::parse(vault["key_rotation_grace_until"].as_str().unwrap()).unwrap();

        app.clock.set(end - TimeDelta::microseconds(1));
        assert_working(&old).await;
        app.clock.set(end);
        assert_stopped(&old, "key.grace_ended", 401).await;
        assert_working(&new).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_grace_period_the_old_key_ends_with_the_rotation() {
    for app in TestApp::on_each().await {
        let old = app.agent("reader", &["db:read"]).await;
        let new = old.rotate(0).await;
        assert_stopped(&old, "key.grace_ended", 401).await;
        assert_working(&new).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_ends_with_its_year() {
    for app in TestApp::on_each().await {
        let agent = app.agent("reader", &["db:read"]).await;
        let vault = agent.get(&agent.path("/key-vault")).await.expect(200);
        let end = aim_core::Timestamp::parse(vault["key_expires_at"].as_str().unwrap()).unwrap();
        assert_eq!(end - app.now(), TimeDelta::days(365));
        app.clock.set(end - TimeDelta::microseconds(1));
        assert_working(&agent).await;
        app.clock.set(end);
        assert_stopped(&agent, "key.expired", 401).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_ends_at_its_moment() {
    for app in TestApp::on_each().await {
        let agent = app.agent("reader", &[]).await;
        let end = app.now() + TimeDelta::hours(1);
        let _ = agent
            .grant(json!({"capability": "db:read", "expires_at": end}))
            .await;
        app.clock.set(end - TimeDelta::microseconds(1));
        assert_working(&agent).await;
        app.clock.set(end);
        assert_eq!(
            reasons(&agent.act("db:read", None).await.expect(403)),
            ["grant.expired"]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn people_and_keys_are_refused_on_the_next_request_too() {
    for app in TestApp::on_each().await {
        let administrator = app.user(Role::Admin).await;
        let viewer = app.user(Role::Viewer).await;
        let me = viewer.get("/api/v1/auth/me").await.expect(200);
        let user = format!("/api/v1/users/{}", me["id"].as_str().unwrap());

        let _ = administrator
            .patch(&user, &json!({"role": "manager"}))
            .await
            .expect(200);
        let _ = viewer.get("/api/v1/audit-logs").await.expect(200);
        let _ = administrator
            .patch(&user, &json!({"role": "viewer"}))
            .await
            .expect(200);
        assert_eq!(viewer.get("/api/v1/audit-logs").await.status, 403);
        let _ = administrator
            .patch(&user, &json!({"status": "deactivated"}))
            .await
            .expect(200);
        assert_eq!(
            viewer.get("/api/v1/auth/me").await.code(),
            "auth.credentials_invalid"
        );

        let issued = administrator
            .post("/api/v1/api-keys", &json!({"name": "k", "role": "viewer"}))
            .await
            .expect(201);
        let key = app.bearer(issued["api_key"].as_str().unwrap());
        let _ = key.get("/api/v1/agents").await.expect(200);
        let path = format!("/api/v1/api-keys/{}", issued["id"].as_str().unwrap());
        assert_eq!(administrator.delete(&path).await.status, 204);
        assert_eq!(key.get("/api/v1/agents").await.code(), "auth.credentials_invalid");
    }
}
