//! Approved, denied, pending: what the answer says, and what is kept.

use aim_core::Role;
use aim_tests::TestApp;
use serde_json::json;

use super::reasons;

#[tokio::test(flavor = "multi_thread")]
async fn a_granted_action_is_approved_with_201_and_can_be_read_again() {
    for app in TestApp::on_each().await {
        let agent = app.agent("reader", &["db:read"]).await;
        let decision = agent.act("db:read", Some("customers/42")).await.expect(201);
        assert_eq!(decision["status"], "approved");
        assert_eq!(decision["agent_id"], agent.id.to_string());
        assert_eq!(decision["resource"], "customers/42");
        assert_eq!(reasons(&decision), ["granted"]);
        assert_eq!(decision["decided_by"]["kind"], "grant");
        assert_eq!(decision["audit"]["leaf_hash"].as_str().unwrap().len(), 64);

        let path = format!("/api/v1/verifications/{}", decision["id"].as_str().unwrap());
        let own = agent.get(&path).await.expect(200);
        let persons = app.user(Role::Viewer).await.get(&path).await.expect(200);
        assert_eq!(own, persons);
        assert_eq!(own["request_digest"], decision["request_digest"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_grant_covers_is_denied_with_403_and_becomes_a_violation() {
    for app in TestApp::on_each().await {
        let agent = app.agent("reader", &["db:read"]).await;
        let decision = agent.act("db:drop", Some("customers")).await.expect(403);
        assert_eq!(
            (decision["status"].as_str(), reasons(&decision)),
            (Some("denied"), vec!["capability.not_granted"])
        );
        assert!(
            decision["denial_reason"]
                .as_str()
                .is_some_and(|text| !text.is_empty())
        );
        let list = app
            .user(Role::Viewer)
            .await
            .get(&agent.path("/violations"))
            .await
            .expect(200);
        assert_eq!(list["total"], 1);
        let violation = &list["violations"][0];
        assert_eq!(violation["decision_id"], decision["id"]);
        assert_eq!(violation["attempted_capability"], "db:drop");
        assert_eq!(violation["registered_capabilities"], json!(["db:read"]));
        assert_eq!(violation["severity"], decision["severity"]);
        assert_eq!(violation["is_blocked"], true);
        assert_eq!(violation["source_ip"], "127.0.0.1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scopes_are_evaluated_and_not_only_stored() {
    for app in TestApp::on_each().await {
        let agent = app.agent("reader", &[]).await;
        let scope =
            json!({"resources": ["customers/*"], "context": [{"field": "limit", "op": "lte", "value": 100}]});
        let answer = app
            .user(Role::Manager)
            .await
            .post(
                &agent.path("/capabilities"),
                &json!({"capability": "db:read", "scope": scope}),
            )
            .await;
        let _ = answer.expect(201);
        let ask = async |resource: &str, limit: i64| {
            agent
                .ask(&json!({"action": "db:read", "resource": resource, "context": {"limit": limit}}))
                .await
        };
        let _ = ask("customers/42", 100).await.expect(201);
        assert_eq!(reasons(&ask("orders/1", 1).await.expect(403)), ["scope.resource"]);
        assert_eq!(
            reasons(&ask("customers/42", 101).await.expect(403)),
            ["scope.context"]
        );
        // A path that climbs out is refused for what it is, whatever the patterns say.
        assert_eq!(
            reasons(&ask("customers/../orders/1", 1).await.expect(403)),
            ["resource.not_canonical"]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_action_waits_for_a_person_who_saw_exactly_it() {
    for app in TestApp::on_each().await {
        let agent = app.agent("reader", &["db:read"]).await;
        let decision = agent
            .ask(&json!({"action": "db:read", "approval_requested": true}))
            .await
            .expect(202);
        assert_eq!(decision["status"], "pending");
        let path = format!("/api/v1/verifications/{}", decision["id"].as_str().unwrap());
        let manager = app.user(Role::Manager).await;

        let wrong = manager
            .post(&format!("{path}/approve"), &json!({"digest": "0".repeat(64)}))
            .await;
        assert_eq!(wrong.status, 409, "{}", wrong.text);
        assert_eq!(agent.get(&path).await.expect(200)["status"], "pending");

        let approval = json!({"digest": decision["request_digest"], "note": "seen"});
        let approved = manager
            .post(&format!("{path}/approve"), &approval)
            .await
            .expect(200);
        assert_eq!(approved["status"], "approved");
        assert!(approved["approved_by"].as_str().unwrap().starts_with("user:"));
        assert_eq!(agent.get(&path).await.expect(200)["status"], "approved");
        let twice = manager.post(&format!("{path}/reject"), &json!({})).await;
        assert_eq!(twice.status, 409);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_action_that_nobody_reviewed_in_time_is_never_approved() {
    for app in TestApp::on_each().await {
        let agent = app.agent("reader", &["db:read"]).await;
        let decision = agent
            .ask(&json!({"action": "db:read", "approval_requested": true}))
            .await
            .expect(202);
        let path = format!("/api/v1/verifications/{}", decision["id"].as_str().unwrap());
        app.advance(chrono::TimeDelta::minutes(
            app.parts.kernel.config.approval_minutes,
        ));
        let approval = json!({"digest": decision["request_digest"]});
        let late = app
            .user(Role::Manager)
            .await
            .post(&format!("{path}/approve"), &approval)
            .await;
        assert_eq!(late.status, 409, "{}", late.text);
        assert_ne!(agent.get(&path).await.expect(200)["status"], "approved");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_report_of_a_result_stays() {
    for app in TestApp::on_each().await {
        let agent = app.agent("reader", &["db:read"]).await;
        let decision = agent.act("db:read", None).await.expect(201);
        let path = format!(
            "/api/v1/verifications/{}/result",
            decision["id"].as_str().unwrap()
        );
        let kept = agent
            .post(
                &path,
                &json!({"outcome": "failure", "error_message": "no such table"}),
            )
            .await
            .expect(201);
        assert_eq!(kept["authenticated"], true);
        let again = agent.post(&path, &json!({"outcome": "success"})).await;
        assert_eq!(
            (again.status, again.code().as_str()),
            (409, "resource.state"),
            "{}",
            again.text
        );

        let denied = agent.act("db:drop", None).await.expect(403);
        let path = format!("/api/v1/verifications/{}/result", denied["id"].as_str().unwrap());
        let reported = agent.post(&path, &json!({"outcome": "success"})).await;
        assert_eq!(
            reported.status, 409,
            "what was not approved was not done: {}",
            reported.text
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_of_a_grant_is_kept_and_comes_back() {
    for app in TestApp::on_each().await {
        let agent = app.agent("reader", &[]).await;
        let grant = json!({"capability": "db:read", "scope": {"rate_limit": {"max": 2, "per_seconds": 60}}});
        let answer = app
            .user(Role::Manager)
            .await
            .post(&agent.path("/capabilities"), &grant)
            .await;
        let _ = answer.expect(201);
        for expected in [201, 201, 403] {
            assert_eq!(agent.act("db:read", None).await.status, expected);
        }
        assert_eq!(
            reasons(&agent.act("db:read", None).await.expect(403)),
            ["scope.rate_limit"]
        );
        app.advance(chrono::TimeDelta::seconds(120));
        let _ = agent.act("db:read", None).await.expect(201);
    }
}
