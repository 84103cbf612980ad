//! The guard rails of an organisation.

use aim_core::{Code, PolicyId, Role};
use aim_decision::PolicyEffect;
use aim_violations::policies::{NewPolicy, model::PolicyFilter, store};
use chrono::TimeDelta;
use serde_json::json;

use crate::house::{on_each, request};

fn policy(name: &str) -> NewPolicy {
    NewPolicy {
        name: name.to_owned(),
        effect: PolicyEffect::Deny,
        capability: "payments:*".to_owned(),
        resources: vec!["accounts/**".to_owned()],
        agent_types: vec!["assistant".to_owned()],
        trust_below: Some(60),
    }
}

#[actix_web::test]
async fn every_change_is_logged_and_seen_by_the_next_decision() {
    on_each(|house| async move {
        let (service, admin) = (house.policies(), house.user(house.home, Role::Admin));
        let view = service.create(&admin, policy("no payments")).await.unwrap();
        assert_eq!(house.policy_epoch(house.home).await, 1);
        let home = house.home;
        let rows = house.read(move |db| store::all(db, home)).await;
        let fact = rows[0].to_policy().unwrap();
        assert_eq!(
            (fact.name.as_str(), fact.effect, fact.trust_below),
            ("no payments", PolicyEffect::Deny, Some(60))
        );
        assert_eq!(
            (fact.resources[0].as_str(), fact.agent_types[0].as_str()),
            ("accounts/**", "assistant")
        );
        service.delete(&admin, view.id).await.unwrap();
        assert_eq!(house.policy_epoch(house.home).await, 2);
        assert!(house.read(move |db| store::all(db, home)).await.is_empty());
        assert_eq!(
            service.delete(&admin, view.id).await.unwrap_err().code,
            Code::NotFound
        );
        assert_eq!(house.policy_epoch(house.home).await, 2);
        assert_eq!(house.logged().await, ["policy.created", "policy.deleted"]);
        assert_eq!(house.policy_epoch(house.elsewhere).await, 0);
    })
    .await;
}

#[actix_web::test]
async fn a_name_is_used_once_in_an_organisation_and_again_in_another() {
    on_each(|house| async move {
        let (service, admin) = (house.policies(), house.user(house.home, Role::Admin));
        service.create(&admin, policy("rule")).await.unwrap();
        let taken = service.create(&admin, policy("rule")).await.unwrap_err();
        assert_eq!(
            (taken.code, taken.field.as_deref()),
            (Code::NameTaken, Some("name"))
        );
        assert_eq!(house.policy_epoch(house.home).await, 1);
        service
            .create(&house.user(house.elsewhere, Role::Admin), policy("rule"))
            .await
            .unwrap();
    })
    .await;
}

#[actix_web::test]
async fn another_tenant_sees_and_removes_nothing() {
    on_each(|house| async move {
        let (service, admin) = (house.policies(), house.user(house.home, Role::Admin));
        let foreign = house.user(house.elsewhere, Role::Admin);
        let view = service.create(&admin, policy("rule")).await.unwrap();
        assert_eq!(
            service
                .list(&foreign, PolicyFilter::default())
                .await
                .unwrap()
                .total,
            0
        );
        assert_eq!(
            service.delete(&foreign, view.id).await.unwrap_err().code,
            Code::NotFound
        );
        assert_eq!(
            service.list(&admin, PolicyFilter::default()).await.unwrap().total,
            1
        );
    })
    .await;
}

#[actix_web::test]
async fn policies_are_listed_newest_first_page_by_page() {
    on_each(|house| async move {
        let service = house.policies();
        for number in 0..5 {
            house.clock.advance(TimeDelta::milliseconds(1));
            let admin = house.user(house.home, Role::Admin);
            service.create(&admin, policy(&number.to_string())).await.unwrap();
        }
        let viewer = house.user(house.home, Role::Viewer);
        let (mut names, mut cursor) = (Vec::new(), None);
        loop {
            let filter = PolicyFilter {
                limit: Some("2".to_owned()),
                offset: None,
                cursor,
            };
            let page = service.list(&viewer, filter).await.unwrap();
            assert_eq!((page.total, page.limit), (5, 2));
            names.extend(page.policies.into_iter().map(|policy| policy.name));
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(names, ["4", "3", "2", "1", "0"]);
    })
    .await;
}

#[actix_web::test]
async fn what_is_not_accepted_is_named() {
    on_each(|house| async move {
        let (service, admin) = (house.policies(), house.user(house.home, Role::Admin));
        let cases = [
            (
                NewPolicy {
                    name: " ".to_owned(),
                    ..policy("x")
                },
                "name",
            ),
            (
                NewPolicy {
                    name: "a\u{7}".to_owned(),
                    ..policy("x")
                },
                "name",
            ),
            (
                NewPolicy {
                    capability: "*:x".to_owned(),
                    ..policy("x")
                },
                "capability",
            ),
            (
                NewPolicy {
                    resources: vec!["a".to_owned(), "***".to_owned()],
                    ..policy("x")
                },
                "resources[1]",
            ),
            (
                NewPolicy {
                    resources: vec!["a".to_owned(); 65],
                    ..policy("x")
                },
                "resources",
            ),
            (
                NewPolicy {
                    agent_types: vec![String::new()],
                    ..policy("x")
                },
                "agent_types[0]",
            ),
            (
                NewPolicy {
                    trust_below: Some(0),
                    ..policy("x")
                },
                "trust_below",
            ),
            (
                NewPolicy {
                    trust_below: Some(101),
                    ..policy("x")
                },
                "trust_below",
            ),
        ];
        for (new, field) in cases {
            let error = service.create(&admin, new).await.unwrap_err();
            assert_eq!(
                (error.code, error.field.as_deref()),
                (Code::FieldInvalid, Some(field))
            );
        }
        assert_eq!(house.policy_epoch(house.home).await, 0);
    })
    .await;
}

#[actix_web::test]
async fn only_admins_change_policies_and_no_agent_reads_them() {
    on_each(|house| async move {
        let agent = house.agent(house.home, "a").await;
        let me = house.acting(house.home, agent);
        let [viewer, manager, admin] =
            [Role::Viewer, Role::Manager, Role::Admin].map(|role| house.user(house.home, role));
        let body = json!({"name": "rule", "effect": "require_approval", "capability": "db:*"});
        let mut statuses = Vec::new();
        for ctx in [&viewer, &manager, &me, &admin, &admin] {
            let call = request(ctx, "POST", "/api/v1/policies").set_json(&body);
            statuses.push(house.send(call).await.status);
        }
        assert_eq!(statuses, [403, 403, 403, 201, 409]);
        let call = request(&viewer, "GET", "/api/v1/policies");
        let answer = house.send(call).await;
        let (status, page) = (answer.status, answer.json());
        assert_eq!((status, &page["policies"][0]["resources"]), (200, &json!([])));
        let call = request(&me, "GET", "/api/v1/policies");
        assert_eq!(house.send(call).await.status, 403);
        let id = page["policies"][0]["id"].as_str().unwrap();
        let mut statuses = Vec::new();
        for (ctx, id) in [
            (&manager, id.to_owned()),
            (&admin, PolicyId::generate(admin.now).to_string()),
            (&admin, "no-id".to_owned()),
            (&admin, id.to_owned()),
            (&admin, id.to_owned()),
        ] {
            let call = request(ctx, "DELETE", &format!("/api/v1/policies/{id}"));
            statuses.push(house.send(call).await.status);
        }
        assert_eq!(statuses, [403, 404, 404, 204, 404]);
    })
    .await;
}
