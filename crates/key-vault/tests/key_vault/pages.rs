//! The tab "Key vault" of an agent's page.

use std::{collections::BTreeMap, sync::Arc};

use actix_web::{App, http::header, middleware::from_fn, test};
use aim_core::{Actor, Code, Error, Id, OrganizationId, Role, Timestamp};
use aim_crypto::keys::PublicKey;
use aim_key_vault::KeyVault;
use aim_platform::{
    Authenticated, Authenticator, EditionInfo, Module, OpenApiDocument, RequestHead, ServiceConfig,
    auth::AuthFuture,
    configure,
    console::{AgentHeader, ConsoleRegistry, Fragment, Slot, Viewer},
    shell, shell_state,
};
use chrono::TimeDelta;
use serde_json::json;

use crate::bed::{Agent, Bed, fingerprint, revoke_all};

/// People by the role in `x-role`, agents' heads, and what the edition and the user's preferences are.
struct Surroundings {
    organization: OrganizationId,
    is_filled: bool,
    away_until: Option<Timestamp>,
}

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
        vec![Arc::new(ByRole(self.organization))]
    }

    fn console(&self, console: &mut ConsoleRegistry) {
        console.agent_header(|_, _| async { Ok(AgentHeader::default()) });
        let away_until = self.away_until;
        console.viewer(move |_| async move {
            let preferences: BTreeMap<_, _> = away_until
                .map(|moment| ("secrets_banner".to_owned(), json!(moment.to_text())))
                .into_iter()
                .collect();
            Ok(Viewer {
                preferences,
                ..Viewer::default()
            })
        });
        if self.is_filled {
            console.fill(Slot::KeyVault, |_, _| async {
                Ok(Fragment::text("what premium shows"))
            });
        }
    }
}

/// The agent's tab for somebody with `role`: status and HTML.
async fn tab(bed: &Bed, role: &str, agent: &Agent, surroundings: Surroundings) -> (u16, String) {
    let modules: Vec<Arc<dyn Module>> = vec![Arc::new(surroundings), Arc::new(KeyVault::new(&bed.kernel))];
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
        .uri(&format!("/agents/{}/key-vault", agent.id))
        .insert_header(("x-role", role))
        .insert_header((header::ACCEPT, "text/html"))
        .to_request();
    let response = test::call_service(&app, request).await;
    let status = response.status().as_u16();
    let body = test::read_body(response).await;
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn community(bed: &Bed) -> Surroundings {
    Surroundings {
        organization: bed.organization,
        is_filled: false,
        away_until: None,
    }
}

/// The key as it stands in the page, where quotes are written as entities.
fn shown(text: &str) -> String {
    text.replace('"', "&quot;")
}

#[actix_web::test]
async fn the_current_key_stands_there_in_every_form_with_its_history() {
    for bed in Bed::all().await {
        let agent = bed.agent("the reader").await;
        let (renewed, _) = bed.rotate(&agent, Some(24)).await;
        let (status, html) = tab(&bed, "manager", &agent, community(&bed)).await;
        assert_eq!(status, 200);
        let key: PublicKey = renewed.key.public();
        let jwk = serde_json::to_string_pretty(&key.jwk()).unwrap();
        for form in [key.spki_base64(), key.pem(), jwk, key.multibase()] {
            assert!(html.contains(&shown(&form)), "{form}");
        }
        assert!(html.contains("An earlier key still works for"));
        assert!(html.contains("1 d 00:00:00"), "the grace period counts down");
        assert!(html.contains("365 d 00:00:00"), "and so does the key's life");
        for key in [&agent.key, &renewed.key] {
            assert!(html.contains(&fingerprint(key)));
        }
        assert!(html.contains("aim agent rotate &#39;the reader&#39;"));

        bed.clock.advance(TimeDelta::hours(24));
        let (_, html) = tab(&bed, "manager", &agent, community(&bed)).await;
        assert!(!html.contains("An earlier key still works for"));
        assert!(html.contains("Retired"));

        let manager = bed.as_role(Role::Manager);
        bed.vault
            .revoke(&manager, agent.id, revoke_all("<leaked>"))
            .await
            .unwrap();
        let (status, html) = tab(&bed, "manager", &agent, community(&bed)).await;
        assert_eq!(status, 200);
        assert!(html.contains("This agent has no current key."));
        assert!(html.contains("&#60;leaked&#62;") && !html.contains("<leaked>"));
    }
}

#[actix_web::test]
async fn only_those_who_may_are_offered_to_rotate_and_to_revoke() {
    for bed in Bed::all().await {
        let agent = bed.agent("reader").await;
        for (role, rotates, revokes) in [
            ("viewer", false, false),
            ("member", true, false),
            ("manager", true, true),
        ] {
            let (status, html) = tab(&bed, role, &agent, community(&bed)).await;
            assert_eq!(status, 200, "{role}");
            assert_eq!(html.contains("id=\"rotate\""), rotates, "{role}");
            assert_eq!(html.contains("id=\"revoke-all\""), revokes, "{role}");
            assert_eq!(html.contains("id=\"replace\""), revokes, "{role}");
        }
    }
}

#[actix_web::test]
async fn the_offer_of_premium_stands_where_nobody_fills_its_place_and_stays_away_when_sent_away() {
    for bed in Bed::all().await {
        let agent = bed.agent("reader").await;
        let now = bed.as_role(Role::Viewer).now;
        let day = TimeDelta::days(1);
        for (is_filled, away_until, offered) in [
            (false, None, true),
            (false, Some(now + day), false),
            (false, Some(now - day), true),
            (true, None, false),
        ] {
            let surroundings = Surroundings {
                organization: bed.organization,
                is_filled,
                away_until,
            };
            let (_, html) = tab(&bed, "viewer", &agent, surroundings).await;
            assert_eq!(
                html.contains("id=\"premium-banner\""),
                offered,
                "{is_filled} {away_until:?}"
            );
            assert_eq!(html.contains("what premium shows"), is_filled);
        }
    }
}
