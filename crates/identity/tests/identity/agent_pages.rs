//! The pages on agents: what a role is shown, that filters live in the URL, and that tenants stay apart.

use std::sync::Arc;

use actix_web::{App, http::header, middleware::from_fn, test};
use aim_core::{Actor, AgentId, Code, Error, Id, OrganizationId, Role, UserId};
use aim_crypto::keys::SigningKey;
use aim_identity::NewAgent;
use aim_platform::{
    Authenticated, Authenticator, EditionInfo, Module, OpenApiDocument, RequestHead, ServiceConfig,
    auth::AuthFuture, configure, shell, shell_state,
};
use aim_store::{
    diesel::{self, ExpressionMethods, RunQueryDsl},
    each,
    schema::agent_activity,
};
use chrono::TimeDelta;

use crate::common::{World, worlds};

/// Lets in whoever names a role in `x-role`, as the administrator's user of the first organisation.
struct ByRole(OrganizationId, UserId);

impl Authenticator for ByRole {
    fn recognises(&self, head: &RequestHead<'_>) -> bool {
        head.header("x-role").is_some()
    }

    fn authenticate<'a>(&'a self, head: &'a RequestHead<'a>, _: &'a [u8]) -> AuthFuture<'a> {
        Box::pin(async move {
            let role = head.header("x-role").and_then(Role::parse);
            let role = role.ok_or_else(|| Error::new(Code::CredentialsInvalid, "no such role"))?;
            Ok(Authenticated {
                actor: Actor::User {
                    id: self.1,
                    role,
                    session: Id::generate(head.now),
                },
                organization: self.0,
                nonce: None,
                scheme: "test",
            })
        })
    }
}

struct Callers(OrganizationId, UserId);

impl Module for Callers {
    fn name(&self) -> &'static str {
        "test_callers"
    }
    fn routes(&self, _: &mut ServiceConfig<'_>) {}
    fn authenticators(&self) -> Vec<Arc<dyn Authenticator>> {
        vec![Arc::new(ByRole(self.0, self.1))]
    }
}

/// The page at `path` for somebody with `role`: status and HTML.
async fn page(world: &World, role: &str, path: &str) -> (u16, String) {
    let modules: Vec<Arc<dyn Module>> = vec![
        Arc::new(Callers(world.first.organization_id, world.first.admin_user_id)),
        Arc::new(world.identity.clone()),
    ];
    let state = shell_state(&world.kernel, &modules);
    let document = OpenApiDocument("{}".into());
    let edition = EditionInfo {
        edition: "test".to_owned(),
        version: "0.0.0".to_owned(),
        features: Vec::new(),
    };
    let app = test::init_service(
        App::new()
            .wrap(from_fn(shell))
            .configure(|config| configure(config, &world.kernel, &modules, &state, &edition, &document)),
    )
    .await;
    let request = test::TestRequest::get()
        .uri(path)
        .insert_header(("x-role", role))
        .insert_header((header::ACCEPT, "text/html"))
        .to_request();
    let response = test::call_service(&app, request).await;
    let status = response.status().as_u16();
    let body = test::read_body(response).await;
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn register(world: &World, name: &str, change: impl FnOnce(&mut NewAgent)) -> AgentId {
    let admin = world.admin();
    let mut new = world
        .new_agent(&admin, name, &SigningKey::generate().unwrap())
        .await;
    change(&mut new);
    world.identity.agents().register(&admin, new).await.unwrap().id
}

#[actix_web::test]
async fn the_list_keeps_its_filters_in_the_url_and_shows_what_fits() {
    for world in worlds().await {
        register(&world, "billing", |new| {
            new.display_name = Some("Billing <script>".to_owned());
            new.tags = vec!["finance".to_owned()];
            new.agent_type = "ai_agent".to_owned();
        })
        .await;
        let reader = register(&world, "reader", |new| new.agent_type = "workflow".to_owned()).await;
        let admin = world.admin();
        world
            .identity
            .agents()
            .suspend(&admin, reader, "odd")
            .await
            .unwrap();

        let (status, html) = page(&world, "viewer", "/agents").await;
        assert_eq!(status, 200);
        assert!(html.contains("Billing &#60;script&#62;"), "a name is text");
        assert!(!html.contains("<script>"));
        assert!(html.contains(&format!("href=\"/agents/{reader}\"")));
        assert!(html.contains(">ada@example.com<") || html.contains("Owner"));

        for (query, billing, reading) in [
            ("q=BILL", true, false),
            ("q=", true, true),
            ("status=suspended", false, true),
            ("agent_type=workflow&status=", false, true),
            ("tag=finance", true, false),
            ("tag=none", false, false),
            ("owner_id=", true, true),
        ] {
            let (status, html) = page(&world, "viewer", &format!("/agents?{query}")).await;
            assert_eq!(status, 200, "{query}");
            assert_eq!(html.contains("Billing &#60;"), billing, "{query}");
            assert_eq!(html.contains(&reader.to_string()), reading, "{query}");
        }
        let (_, html) = page(&world, "viewer", "/agents?q=reader&sort=name").await;
        assert!(
            html.contains("value=\"reader\""),
            "what was searched stays in the field"
        );
        assert!(html.contains("q=reader&amp;sort=-name") || html.contains("sort=-name"));
        let (_, html) = page(&world, "viewer", "/agents?tag=none").await;
        assert!(html.contains("No agent fits these filters"));
        for wrong in ["status=asleep", "owner_id=x", "sort=age", "cursor=x"] {
            let (status, html) = page(&world, "viewer", &format!("/agents?{wrong}")).await;
            assert_eq!(status, 422, "{wrong}");
            assert!(html.contains("<html"), "{wrong}: an error on a page is a page");
        }
    }
}

#[actix_web::test]
async fn a_role_is_offered_what_it_may_do_and_nothing_more() {
    for world in worlds().await {
        let agent = register(&world, "billing", |_| {}).await;
        let (list, own) = ("/agents".to_owned(), format!("/agents/{agent}"));
        for (role, registers, suspends, deletes) in [
            ("viewer", false, false, false),
            ("member", true, false, false),
            ("manager", true, true, true),
        ] {
            let (_, html) = page(&world, role, &list).await;
            assert_eq!(html.contains("data-open=\"register\""), registers, "{role}");
            assert_eq!(html.contains("<table data-select>"), suspends, "{role}");
            let (status, html) = page(&world, role, &own).await;
            assert_eq!(status, 200);
            assert_eq!(html.contains("id=\"suspend-agent\""), suspends, "{role}");
            assert_eq!(html.contains("data-open=\"edit-agent\""), registers, "{role}");
            assert_eq!(
                html.contains(&format!("DELETE /api/v1/agents/{agent}")),
                deletes,
                "{role}"
            );
        }
    }
}

#[actix_web::test]
async fn an_agents_summary_tells_who_it_is_and_what_it_did() {
    for world in worlds().await {
        let agent = register(&world, "billing", |new| {
            new.talks_to = vec!["ledger-mcp".to_owned()];
            new.description = "sends <b>invoices</b>".to_owned();
        })
        .await;
        let (organization, now) = (world.first.organization_id, world.kernel.now());
        let (_, html) = page(&world, "viewer", &format!("/agents/{agent}")).await;
        assert!(html.contains("Nothing asked yet"));
        world
            .kernel
            .store
            .write(organization, move |db| {
                for (back, approved, denied) in [
                    (0, 40, 2),
                    (TimeDelta::days(3).num_hours(), 7, 1),
                    (24 * 40, 900, 9),
                ] {
                    each!(db, c => diesel::insert_into(agent_activity::table)
                        .values((
                            agent_activity::org_id.eq(organization),
                            agent_activity::agent_id.eq(agent),
                            agent_activity::hour.eq(now - TimeDelta::hours(back)),
                            agent_activity::approved.eq(approved),
                            agent_activity::denied.eq(denied),
                            agent_activity::pending.eq(0),
                            agent_activity::refused.eq(0),
                        ))
                        .execute(c))?;
                }
                Ok(())
            })
            .await
            .unwrap();
        let (status, html) = page(&world, "viewer", &format!("/agents/{agent}/summary")).await;
        assert_eq!(status, 200);
        assert!(
            html.contains("47 approved"),
            "what lies before the fourteen days is left out"
        );
        assert!(html.contains("3 denied"));
        assert!(html.contains("ledger-mcp"));
        assert!(html.contains("sends &#60;b&#62;invoices"));
        assert!(html.contains(&agent.to_string()));
    }
}

#[actix_web::test]
async fn another_tenants_agent_has_no_page() {
    for world in worlds().await {
        let (foreign, _) = world.register(&world.stranger(), "foreign").await;
        for path in [
            format!("/agents/{}", foreign.id),
            format!("/agents/{}/summary", foreign.id),
            "/agents/0190f3a0-0000-7000-8000-000000000000".to_owned(),
            "/agents/none".to_owned(),
        ] {
            let (status, html) = page(&world, "admin", &path).await;
            assert_eq!(status, 404, "{path}");
            assert!(html.contains("<html") && !html.contains("foreign"));
        }
        let (_, html) = page(&world, "admin", "/agents").await;
        assert!(!html.contains(&foreign.id.to_string()));
    }
}
