//! The tab "Secrets", and what it does to the key-vault tab.

use std::sync::Arc;

use actix_web::{App, http::header, middleware::from_fn, test};
use aim_core::{Actor, Code, Error, Id, OrganizationId, Role};
use aim_key_vault::KeyVault;
use aim_platform::{
    Authenticated, Authenticator, EditionInfo, Module, OpenApiDocument, RequestHead, ServiceConfig,
    auth::AuthFuture,
    configure,
    console::{AgentHeader, ConsoleRegistry},
    shell, shell_state,
};

use crate::bed::Bed;

/// People by the role in `x-role`, and heads of agents' pages.
struct Surroundings(OrganizationId);

struct ByRole(OrganizationId);

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
                organization: self.0,
                nonce: None,
                scheme: "test",
            })
        })
    }
}

impl Module for Surroundings {
    fn name(&self) -> &'static str {
        "surroundings"
    }

    fn routes(&self, _: &mut ServiceConfig<'_>) {}

    fn authenticators(&self) -> Vec<Arc<dyn Authenticator>> {
        vec![Arc::new(ByRole(self.0))]
    }

    fn console(&self, console: &mut ConsoleRegistry) {
        console.agent_header(|_, _| async { Ok(AgentHeader::default()) });
    }
}

/// A tab of the agent's page for somebody with `role`: status and HTML.
async fn tab(bed: &Bed, role: &str, slug: &str) -> (u16, String) {
    page(bed, role, &format!("/agents/{}/{slug}", bed.agent.id)).await
}

/// A page for somebody with `role`: status and HTML.
async fn page(bed: &Bed, role: &str, target: &str) -> (u16, String) {
    let mut modules: Vec<Arc<dyn Module>> = vec![
        Arc::new(Surroundings(bed.organization)),
        Arc::new(KeyVault::new(&bed.kernel)),
    ];
    modules.extend(aim_premium::modules(
        &bed.kernel,
        aim_violations::VerificationService::new(&bed.kernel),
    ));
    let state = shell_state(&bed.kernel, &modules);
    let document = OpenApiDocument("{}".into());
    let edition = EditionInfo {
        edition: "test".to_owned(),
        version: "0.0.0".to_owned(),
        features: Vec::new(),
    };
    let app = test::init_service(
        App::new()
            .wrap(from_fn(shell))
            .configure(|config| configure(config, &bed.kernel, &modules, &state, &edition, &document)),
    )
    .await;
    let request = test::TestRequest::get()
        .uri(target)
        .insert_header(("x-role", role))
        .insert_header((header::ACCEPT, "text/html"))
        .to_request();
    let response = test::call_service(&app, request).await;
    let status = response.status().as_u16();
    let body = test::read_body(response).await;
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[actix_web::test]
async fn the_tab_lists_keys_without_their_text_and_leads_to_the_secrets() {
    for bed in Bed::all().await {
        let (status, html) = tab(&bed, "manager", "secrets").await;
        assert_eq!(status, 200);
        assert!(html.contains("No keys yet") && html.contains("href=\"/secrets\""));
        bed.grant("db:*").await;
        let key = bed.key(&["db:read"]).await;
        let (_, html) = tab(&bed, "manager", "secrets").await;
        assert!(html.contains("db:read") && html.contains("aim_agent_"));
        assert!(!html.contains(&key), "the key itself was shown once");
        assert!(html.contains("DELETE /api/v1/agents/"));
        let (status, html) = tab(&bed, "member", "secrets").await;
        assert_eq!(status, 200);
        assert!(!html.contains("DELETE /api/v1/agents/") && !html.contains("id=\"new-key\""));
        let (status, _) = tab(&bed, "viewer", "secrets").await;
        assert_eq!(status, 403);
    }
}

#[actix_web::test]
async fn the_key_vault_tab_leads_there_and_offers_nothing_for_sale() {
    for bed in Bed::all().await {
        for (role, linked) in [("manager", true), ("viewer", false)] {
            let (status, html) = tab(&bed, role, "key-vault").await;
            assert_eq!(status, 200, "{role}");
            assert!(html.contains("id=\"premium-secrets\""));
            assert!(!html.contains("premium-banner") && !html.contains("Upgrade to Pro"));
            let link = format!("/agents/{}/secrets\">Manage", bed.agent.id);
            assert_eq!(html.contains(&link), linked, "{role}");
        }
    }
}

#[actix_web::test]
async fn the_page_lists_all_keys_with_their_limits_and_lets_managers_change_them() {
    for bed in Bed::all().await {
        let (status, html) = page(&bed, "manager", "/agent-keys").await;
        assert!(
            status == 200 && html.contains("No keys yet") && html.contains("id=\"new-key\""),
            "{html}"
        );
        bed.grant("db:*").await;
        let mut request = crate::bed::wish(&["db:read"]);
        request.secret_paths = Some(vec!["payments/*".to_owned()]);
        request.addresses = Some(vec!["10.0.0.0/8".to_owned()]);
        let key = bed.key_of(request).await;
        let (_, html) = page(&bed, "manager", "/agent-keys").await;
        for text in [
            "reader",
            "payments/*",
            "10.0.0.0/8",
            "/rotate\"",
            "DELETE /api/v1/agents/",
            "id=\"recognise\"",
        ] {
            assert!(html.contains(text), "{text}: {html}");
        }
        assert!(!html.contains(&key));
        let (status, html) = page(&bed, "member", "/agent-keys?status=active&agent_id=&search=").await;
        assert!(status == 200 && html.contains("payments/*"));
        assert!(
            !html.contains("/rotate\"") && !html.contains("id=\"new-key\"") && !html.contains("recognise")
        );
        let (_, html) = page(&bed, "member", "/agent-keys?status=revoked").await;
        assert!(html.contains("No key fits these filters"));
        assert_eq!(page(&bed, "member", "/agent-keys?status=x").await.0, 422);
        assert_eq!(page(&bed, "viewer", "/agent-keys").await.0, 403);
    }
}
