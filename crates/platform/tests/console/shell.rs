//! A capability that registers pages, a tab and a slot, and whoever looks at them.

use std::sync::Arc;

use actix_web::{
    App,
    body::to_bytes,
    http::{StatusCode, header},
    middleware::from_fn,
    test,
};
use aim_core::{
    Actor, AgentId, Code, Error, Id, Role,
    role::permission::{AgentsRead, AgentsWrite, AuditRead},
};
use aim_platform::{
    Authenticated, Authenticator, EditionInfo, Module, OpenApiDocument, RequestHead, ServiceConfig,
    auth::AuthFuture,
    console::{
        AgentHeader, AgentTab, ConsoleRegistry, Fragment, NavEntry, NavSection, PageResult, Panel, Slot,
        TabQuery, Viewed, Viewer, Viewing, Visiting,
    },
};
use aim_testkit::{TestDatabase, kernel};
use serde::Deserialize;

/// Lets in whoever names a role in `x-role`.
struct ByRole;

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
                    id: Id::generate(head.now),
                    role,
                    session: Id::generate(head.now),
                },
                organization: Id::generate(head.now),
                nonce: None,
                scheme: "test",
            })
        })
    }
}

struct Things;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TabFilter {
    color: Option<String>,
}

async fn things(viewing: Viewing<AgentsRead>) -> PageResult {
    viewing.page_of("Things", &Fragment::text("<these> things"))
}

async fn secret_things(viewing: Viewing<AuditRead>) -> PageResult {
    viewing.page_of("Secret things", &Fragment::text("for managers"))
}

async fn broken_panel(viewing: Viewing<AgentsRead>) -> PageResult {
    let failing = async { Err::<u8, _>(Error::unavailable("the cause, for the log only")) };
    let panel = Panel::load("Top things", &viewing, failing).await;
    let shown = panel.view(|number| Ok(Fragment::text(number)))?;
    viewing.page_of("Panels", &shown)
}

async fn broken(_: Viewing<AgentsRead>) -> PageResult {
    Err(Error::internal("the cause, for the log only").into())
}

async fn welcome(visiting: Visiting) -> PageResult {
    visiting.page("Welcome", &Welcome)
}

#[derive(askama::Template)]
#[template(source = "Come in", ext = "html")]
struct Welcome;

impl Module for Things {
    fn name(&self) -> &'static str {
        "things"
    }

    fn routes(&self, _: &mut ServiceConfig<'_>) {}

    fn authenticators(&self) -> Vec<Arc<dyn Authenticator>> {
        vec![Arc::new(ByRole)]
    }

    fn console(&self, console: &mut ConsoleRegistry) {
        console.page("/gallery", crate::gallery::page);
        console.page("/things", things);
        console.page("/things/secret", secret_things);
        console.page("/things/panels", broken_panel);
        console.page("/things/broken", broken);
        console.public_page("/welcome", welcome);
        console.navigation(
            NavEntry::new::<AgentsRead>(NavSection::Agents, "Things", "/things", "server", 10)
                .badge(|_| async { Ok(7) }),
        );
        console.navigation(NavEntry::new::<AuditRead>(
            NavSection::Govern,
            "Secret things",
            "/things/secret",
            "list",
            10,
        ));
        console.viewer(|_| async {
            Ok(Viewer {
                name: "Ada <Lovelace>".to_owned(),
                ..Viewer::default()
            })
        });
        console.agent_header(|_, agent| async move {
            if agent == unknown() {
                return Err(Error::not_found());
            }
            Ok(AgentHeader {
                name: "Weather agent".to_owned(),
                status: "active".to_owned(),
                kind: "ai_agent".to_owned(),
                ..AgentHeader::default()
            })
        });
        let tab = |viewed: Viewed, agent: AgentId, query: TabQuery| async move {
            let filter: TabFilter = query.parse()?;
            let filled = viewed.slot(Slot::KeyVault, agent).await.unwrap_or_default();
            Ok(Fragment::trusted(format!(
                "<p>Color {}</p>{filled}",
                filter.color.unwrap_or_default()
            )))
        };
        console.agent_tab(AgentTab::new::<AgentsRead, _, _>("colors", "Colors", 20, tab));
        console.agent_tab(AgentTab::new::<AgentsRead, _, _>(
            "summary",
            "Summary",
            10,
            |_, _, _| async { Err(Error::unavailable("down")) },
        ));
        console.agent_tab(AgentTab::new::<AgentsWrite, _, _>(
            "writing",
            "Writing",
            30,
            |_, _, _| async { Ok(Fragment::text("for members")) },
        ));
        console.fill(Slot::KeyVault, |_, agent| async move {
            Ok(Fragment::text(format!("filled for {agent}")))
        });
    }
}

fn unknown() -> AgentId {
    "018f0000-0000-7000-8000-000000000000".parse().unwrap()
}

pub(crate) struct Seen {
    pub(crate) status: StatusCode,
    headers: header::HeaderMap,
    pub(crate) text: String,
}

impl Seen {
    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map(|value| value.to_str().unwrap())
            .unwrap_or_default()
    }
}

/// What a browser sees.
pub(crate) async fn look(path: &str, role: Option<&str>) -> Seen {
    look_with(path, role, &[("accept", "text/html,*/*;q=0.8")]).await
}

async fn look_with(path: &str, role: Option<&str>, headers: &[(&str, &str)]) -> Seen {
    let database = TestDatabase::sqlite(vec![aim_store::COMMUNITY_MIGRATIONS]).await;
    let (kernel, _) = kernel(&database.store);
    let modules: Vec<Arc<dyn Module>> = vec![Arc::new(Things)];
    let edition = EditionInfo {
        edition: "community".to_owned(),
        version: "1".to_owned(),
        features: Vec::new(),
    };
    let shell = aim_platform::shell_state(&kernel, &modules);
    let document = OpenApiDocument("{}".into());
    let service = test::init_service(App::new().wrap(from_fn(aim_platform::shell::shell)).configure(
        |config| {
            aim_platform::configure(config, &kernel, &modules, &shell, &edition, &document);
        },
    ))
    .await;
    let mut request = test::TestRequest::get().uri(path);
    if let Some(role) = role {
        request = request.insert_header(("x-role", role));
    }
    for header in headers {
        request = request.insert_header(*header);
    }
    let response = test::call_service(&service, request.to_request()).await;
    let (status, headers) = (response.status(), response.headers().clone());
    let bytes = to_bytes(response.into_body()).await.unwrap_or_default();
    Seen {
        status,
        headers,
        text: String::from_utf8_lossy(&bytes).into_owned(),
    }
}

#[actix_web::test]
async fn a_page_stands_in_the_frame_of_whoever_looks() {
    let seen = look("/things", Some("viewer")).await;
    assert_eq!(seen.status, 200, "{}", seen.text);
    assert!(seen.text.contains("&lt;these&gt; things"));
    assert!(seen.text.contains("<title>Things · AIM</title>"));
    assert!(seen.text.contains("href=\"/things\" aria-current=\"page\""));
    assert!(
        seen.text.contains("<span class=\"count\">7</span>"),
        "{}",
        seen.text
    );
    assert!(
        !seen.text.contains("/things/secret"),
        "a viewer is shown what it may not see"
    );
    assert!(seen.text.contains("Ada &#60;Lovelace&#62;"));
    assert_eq!(seen.header("cache-control"), "no-store");
    assert_eq!(seen.header("x-content-type-options"), "nosniff");
    let policy = seen.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'self'"));
    assert!(!policy.contains("unsafe"));
    for forbidden in ["style=\"", "<style", "onclick", "javascript:"] {
        assert!(!seen.text.contains(forbidden), "{forbidden}");
    }
}

#[actix_web::test]
async fn whoever_is_not_signed_in_is_sent_to_sign_in_and_back() {
    let seen = look("/things?color=red&x=1", None).await;
    assert_eq!(seen.status, 303);
    assert_eq!(
        seen.header("location"),
        "/sign-in?next=%2Fthings%3Fcolor%3Dred%26x%3D1"
    );
    let seen = look_with("/things", Some("nobody"), &[]).await;
    assert_eq!(seen.status, 303, "a session that is over");
}

#[actix_web::test]
async fn a_link_on_another_site_leads_in_by_way_of_a_page_of_ours() {
    let elsewhere = [("accept", "text/html"), ("sec-fetch-site", "cross-site")];
    let seen = look_with("/things?a=1&b=%22", None, &elsewhere).await;
    assert_eq!(seen.status, 200);
    assert!(
        seen.text.contains("content=\"0;url=/things?a=1&#38;b=%22\""),
        "{}",
        seen.text
    );
    let seen = look_with("//evil.example/x", Some("nobody"), &elsewhere).await;
    assert!(
        seen.text.contains("content=\"0;url=/evil.example/x\""),
        "{}",
        seen.text
    );
    let own = [("accept", "text/html"), ("sec-fetch-site", "same-origin")];
    assert_eq!(look_with("/things", None, &own).await.status, 303);
}

#[actix_web::test]
async fn a_missing_permission_is_a_page_that_names_it() {
    let seen = look("/things/secret", Some("member")).await;
    assert_eq!(seen.status, 403);
    assert!(
        seen.text.contains("audit:read") && seen.text.contains("<nav"),
        "{}",
        seen.text
    );
    assert_eq!(look("/things/secret", Some("manager")).await.status, 200);
}

#[actix_web::test]
async fn a_failure_is_a_page_with_the_request_id_and_no_cause() {
    let seen = look("/things/broken", Some("viewer")).await;
    assert_eq!(seen.status, 500);
    assert!(seen.text.contains(seen.header("x-request-id")));
    assert!(!seen.text.contains("for the log only"));
    assert!(seen.text.contains("href=\"/things/broken\">Try again"));
}

#[actix_web::test]
async fn a_panel_that_fails_says_so_and_the_page_stands() {
    let seen = look("/things/panels", Some("viewer")).await;
    assert_eq!(seen.status, 200);
    assert!(seen.text.contains("Top things could not be loaded."));
    assert!(seen.text.contains(seen.header("x-request-id")));
    assert!(seen.text.contains("href=\"/things/panels\">Retry"));
    assert!(!seen.text.contains("for the log only"));
}

#[actix_web::test]
async fn browsers_get_pages_and_programs_problem_details() {
    let seen = look("/nowhere", Some("viewer")).await;
    assert_eq!(seen.status, 404);
    assert!(seen.header("content-type").starts_with("text/html"));
    let seen = look_with("/nowhere", Some("viewer"), &[]).await;
    assert_eq!(seen.header("content-type"), "application/problem+json");
    let seen = look("/api/v1/nowhere", Some("viewer")).await;
    assert_eq!(seen.status, 404);
    assert_eq!(seen.header("content-type"), "application/problem+json");
    assert_eq!(look("/api/v1/nowhere", None).await.status, 401);
}

#[actix_web::test]
async fn an_agents_page_has_the_tabs_of_all_that_one_may_see() {
    let agent = "/agents/018f0000-0000-7000-8000-00000000000a";
    let seen = look(&format!("{agent}/colors?color=red"), Some("viewer")).await;
    assert_eq!(seen.status, 200, "{}", seen.text);
    assert!(seen.text.contains("Weather agent") && seen.text.contains("Color red"));
    assert!(
        seen.text
            .contains("filled for 018f0000-0000-7000-8000-00000000000a")
    );
    assert!(seen.text.contains("/colors\" aria-current=\"page\""));
    assert!(!seen.text.contains("/writing"));
    // The first tab cannot load: the page stands.
    let seen = look(agent, Some("viewer")).await;
    assert_eq!(seen.status, 200);
    assert!(seen.text.contains("Summary could not be loaded."));
    assert_eq!(
        look(&format!("{agent}/writing"), Some("viewer")).await.status,
        403
    );
    assert_eq!(
        look(&format!("{agent}/writing"), Some("member")).await.status,
        200
    );
    assert_eq!(
        look(&format!("{agent}/colors?shape=round"), Some("viewer"))
            .await
            .status,
        400
    );
    assert_eq!(
        look(&format!("{agent}/nothing"), Some("viewer")).await.status,
        404
    );
    assert_eq!(look("/agents/nonsense", Some("viewer")).await.status, 404);
    assert_eq!(
        look(&format!("/agents/{}", unknown()), Some("viewer"))
            .await
            .status,
        404
    );
}

#[actix_web::test]
async fn a_page_without_sign_in_has_no_navigation() {
    let seen = look("/welcome", None).await;
    assert_eq!(seen.status, 200);
    assert!(seen.text.contains("Come in") && !seen.text.contains("<nav"));
}

#[actix_web::test]
async fn assets_are_packed_and_need_not_be_sent_twice() {
    let page = look("/welcome", None).await.text;
    let start = page.find("/assets/").unwrap();
    let path = page.get(start..).unwrap().split('"').next().unwrap().to_owned();
    let seen = look_with(&path, None, &[("accept-encoding", "gzip")]).await;
    assert_eq!(seen.status, 200);
    assert_eq!(seen.header("content-encoding"), "gzip");
    let tag = seen.header("etag").to_owned();
    let again = look_with(&path, None, &[("if-none-match", &tag)]).await;
    assert_eq!(again.status, 304);
    assert!(again.text.is_empty());
    assert_eq!(look("/assets/0/../../Cargo.toml", None).await.status, 404);
    assert_eq!(look("/assets/0/passwd", None).await.status, 404);
    // Browsers look here by themselves, and tell the console of what they do not find.
    let icon = look("/favicon.ico", None).await;
    assert_eq!(icon.status, 200);
    assert_eq!(icon.header("content-type"), "image/svg+xml");
}
