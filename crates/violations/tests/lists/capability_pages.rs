//! The pages of grants, requests and decisions.

use aim_core::Role;
use aim_decision::Effect;
use aim_violations::capabilities::{NewCapabilityRequest, NewGrant, Rejection};
use chrono::TimeDelta;
use serde_json::json;

use crate::house::{House, on_each};

fn grant(capability: &str) -> NewGrant {
    NewGrant {
        capability: capability.to_owned(),
        ..NewGrant::default()
    }
}

fn ask(capability: &str) -> NewCapabilityRequest {
    NewCapabilityRequest {
        capability: capability.to_owned(),
        reason: "to answer <b>customers</b>".to_owned(),
        scope: Some(json!({"resources": ["invoices/*"]})),
        ..NewCapabilityRequest::default()
    }
}

async fn html(house: &House, role: Role, path: &str) -> String {
    let answer = house.look(&house.user(house.home, role), path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.text()
}

#[actix_web::test]
async fn an_agents_grants_stand_in_words_with_what_nobody_uses() {
    on_each(|house| async move {
        let agent = house.agent(house.home, "a").await;
        let service = house.capabilities();
        let path = format!("/agents/{agent}/capabilities");
        assert!(
            html(&house, Role::Viewer, &path)
                .await
                .contains("Nothing is granted")
        );
        let kept = service
            .grant(&house.manager(), agent, grant("db:read"))
            .await
            .unwrap();
        let deny = NewGrant {
            effect: Some(Effect::Deny),
            ..grant("db:drop")
        };
        service.grant(&house.manager(), agent, deny).await.unwrap();
        let gone = service
            .grant(&house.manager(), agent, grant("mail:send"))
            .await
            .unwrap();
        service.revoke(&house.manager(), agent, gone.id).await.unwrap();

        let page = html(&house, Role::Manager, &path).await;
        assert!(page.contains("Allows db:read, without restriction."));
        assert!(page.contains("Forbids db:drop, without restriction."));
        assert!(!page.contains("mail:send") && !page.contains("unused for"));
        assert!(page.contains(&format!("DELETE /api/v1/agents/{agent}/capabilities/{}", kept.id)));
        assert!(!html(&house, Role::Member, &path).await.contains("DELETE /api/v1"));
        assert!(
            html(&house, Role::Manager, &format!("{path}?show=all"))
                .await
                .contains("mail:send")
        );

        house.clock.advance(TimeDelta::days(30));
        let page = html(&house, Role::Viewer, &format!("{path}?show=unused")).await;
        assert!(page.contains("unused for 30 days"));
        assert!(!page.contains("db:drop"), "a denial is not there to be used");

        let stranger = house.user(house.elsewhere, Role::Admin);
        assert_eq!(house.look(&stranger, &path).await.status, 404);
    })
    .await;
}

#[actix_web::test]
async fn the_inbox_shows_what_waits_with_the_digest_that_an_approval_repeats() {
    on_each(|house| async move {
        let agent = house.agent(house.home, "a").await;
        let service = house.capabilities();
        let asker = house.acting(house.home, agent);
        let asked = service.request(&asker, agent, ask("db:write")).await.unwrap();
        let other = service.request(&asker, agent, ask("db:drop")).await.unwrap();
        let note = "never".to_owned();
        service
            .reject(&house.manager(), other.id, Rejection { note })
            .await
            .unwrap();

        let page = html(&house, Role::Manager, "/requests").await;
        assert!(page.contains("Allows db:write, on resources that match invoices/*."));
        assert!(page.contains(&format!("POST /api/v1/capability-requests/{}/approve", asked.id)));
        assert!(page.contains(&asked.digest));
        assert!(page.contains("to answer &#60;b&#62;customers"));
        assert!(!page.contains("db:drop"), "what was reviewed no longer waits");
        assert!(
            page.contains("<span class=\"count\">1</span>"),
            "the navigation counts what waits"
        );
        let page = html(&house, Role::Viewer, "/requests?status=all").await;
        assert!(page.contains("db:drop") && page.contains("never"));
        assert!(!page.contains("/approve"), "a viewer reviews nothing");
        let page = html(&house, Role::Manager, &format!("/agents/{agent}/capabilities")).await;
        assert!(page.contains(&asked.digest));
        for wrong in ["/requests?status=lost", "/requests?cursor=x"] {
            let answer = house.look(&house.manager(), wrong).await;
            assert_eq!(answer.status, 422, "{wrong}");
        }
        let stranger = house.user(house.elsewhere, Role::Admin);
        let answer = house.look(&stranger, "/requests?status=all").await;
        assert!(answer.status == 200 && !answer.text().contains("db:write"));
    })
    .await;
}

#[actix_web::test]
async fn activity_takes_its_filters_and_names_a_wrong_one() {
    on_each(|house| async move {
        let agent = house.agent(house.home, "a").await;
        let path = format!("/agents/{agent}/activity");
        assert!(
            html(&house, Role::Viewer, &path)
                .await
                .contains("No decisions yet")
        );
        for query in [
            "status=denied&from=&to=",
            "range=7d",
            "from=2026-03-01&to=2026-03-09",
        ] {
            let page = html(&house, Role::Viewer, &format!("{path}?{query}")).await;
            assert!(page.contains("No decision fits these filters"), "{query}");
        }
        for wrong in [
            "status=maybe",
            "range=1y",
            "from=yesterday",
            "cursor=x",
            "colour=red",
        ] {
            let answer = house.look(&house.manager(), &format!("{path}?{wrong}")).await;
            assert!([400, 422].contains(&answer.status), "{wrong}: {}", answer.status);
        }
        let unknown = "/decisions/0190f3a0-0000-7000-8000-000000000000";
        assert_eq!(house.look(&house.manager(), unknown).await.status, 404);
    })
    .await;
}
