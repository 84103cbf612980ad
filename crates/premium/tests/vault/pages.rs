//! The page "Secrets": what it shows to whom, and that no value is on it.

use std::sync::Arc;

use actix_web::{App, http::header, middleware::from_fn, test};
use aim_core::{Actor, Code, Error, Id, OrganizationId, Role};
use aim_platform::{
    Authenticated, Authenticator, EditionInfo, Module, OpenApiDocument, RequestHead, ServiceConfig,
    auth::AuthFuture, configure, shell, shell_state,
};
use aim_violations::VerificationService;
use serde_json::json;

use crate::bed::{Bed, at, wish_of};

/// People by the role in `x-role`.
struct People(OrganizationId);

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

impl Module for People {
    fn name(&self) -> &'static str {
        "people"
    }

    fn routes(&self, _: &mut ServiceConfig<'_>) {}

    fn authenticators(&self) -> Vec<Arc<dyn Authenticator>> {
        vec![Arc::new(ByRole(self.0))]
    }
}

/// A page for somebody with `role`: status and HTML.
pub(crate) async fn page_of(
    bed: &Bed,
    organization: OrganizationId,
    role: &str,
    target: &str,
) -> (u16, String) {
    let mut modules: Vec<Arc<dyn Module>> = vec![Arc::new(People(organization))];
    modules.extend(aim_premium::modules(
        &bed.kernel,
        VerificationService::new(&bed.kernel),
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
async fn the_list_shows_paths_and_never_a_value() {
    for bed in Bed::all().await {
        let page = async |role: &'static str, target: &'static str| {
            page_of(&bed, bed.organization, role, target).await
        };
        let (status, html) = page("manager", "/secrets").await;
        assert_eq!(status, 200, "{html}");
        assert!(
            html.contains("No secrets yet") && html.contains("The root key is made with the first secret")
        );
        bed.try_put(
            "payments/stripe/live",
            wish_of(json!({"kind": "password", "fields": {"password": "canary-77"}, "tags": ["stripe"]})),
        )
        .await
        .unwrap();
        bed.put("hr/payroll", "canary-77").await;
        let (_, html) = page("manager", "/secrets").await;
        assert!(
            html.contains("/secrets?prefix=payments/") && html.contains("/secrets?prefix=hr/"),
            "{html}"
        );
        assert!(
            !html.contains("/secrets?path=payments/stripe/live"),
            "that lies deeper"
        );
        let (_, deeper) = page("manager", "/secrets?prefix=payments/stripe/").await;
        assert!(deeper.contains("/secrets?path=payments/stripe/live") && !deeper.contains("payroll"));
        let (_, whole) = page("manager", "/secrets?view=all").await;
        assert!(whole.contains("/secrets?path=payments/stripe/live") && whole.contains("hr/payroll"));
        assert!(html.contains("the vault is open"));
        for kind in [
            "api_key",
            "aws",
            "password",
            "database",
            "oauth",
            "certificate",
            "file",
            "map",
        ] {
            assert!(html.contains(&format!("id=\"write-{kind}\"")), "{kind}");
        }
        for filter in ["prefix=pay", "tag=stripe", "search=LIVE"] {
            let target = format!("/secrets?{filter}&cursor=");
            let (status, html) = page_of(
                &bed,
                bed.organization,
                "member",
                target.trim_end_matches("&cursor="),
            )
            .await;
            assert_eq!(status, 200);
            assert!(
                html.contains("payments/stripe/live") && !html.contains("hr/payroll"),
                "{filter}"
            );
            assert!(
                !html.contains("canary-77") && !html.contains("write-api_key"),
                "{filter}"
            );
        }
        let (_, html) = page("member", "/secrets?search=nothing").await;
        assert!(html.contains("No secret fits these filters"));
        let (status, html) = page("viewer", "/secrets").await;
        assert!(status == 403 && html.contains("secrets:read"));
    }
}

#[actix_web::test]
async fn a_secret_shows_its_versions_and_what_can_be_done_with_each() {
    for bed in Bed::all().await {
        for value in ["canary-1", "canary-2", "canary-3", "canary-4"] {
            bed.put("payments/stripe/live", value).await;
        }
        bed.destroy("payments/stripe/live", 1).await.unwrap();
        bed.vault
            .delete(&bed.manager(), at("payments/stripe/live"), Some(2))
            .await
            .unwrap();
        let target = "/secrets?path=payments/stripe/live";
        let (status, html) = page_of(&bed, bed.organization, "manager", target).await;
        assert_eq!(status, 200, "{html}");
        assert!(!html.contains("canary"));
        assert!(html.contains("/secrets?prefix=payments/stripe/"), "{html}");
        let count = |text: &str| html.matches(text).count();
        assert_eq!(
            count("POST /api/v1/vault/rollback"),
            1,
            "neither the newest nor one that is not active"
        );
        assert_eq!(count("POST /api/v1/vault/undelete"), 1);
        assert_eq!(count("POST /api/v1/vault/destroy"), 3);
        assert_eq!(
            count("DELETE /api/v1/vault/secrets/payments/stripe/live?version="),
            2
        );
        assert!(html.contains("name=\"cas\" value=\"4\""));
        let (status, html) = page_of(&bed, bed.organization, "member", target).await;
        assert!(status == 200 && !html.contains("/api/v1/vault/"));

        let other = aim_testkit::seed_organization(&bed.kernel.store)
            .await
            .organization;
        let (theirs, _) = page_of(&bed, other, "admin", target).await;
        let (unknown, _) = page_of(&bed, other, "admin", "/secrets?path=payments/unknown").await;
        let (wrong, _) = page_of(&bed, other, "admin", "/secrets?path=../x").await;
        assert_eq!((theirs, unknown, wrong), (404, 404, 404));
    }
}

#[actix_web::test]
async fn a_sealed_vault_says_why_on_its_page() {
    for bed in Bed::all().await {
        bed.put("a", "v").await;
        std::fs::remove_file(bed.key_file()).unwrap();
        let (status, html) = page_of(&bed, bed.organization, "member", "/secrets").await;
        assert!(
            status == 200 && html.contains("The vault is sealed") && html.contains("put it back"),
            "{html}"
        );
        let (status, _) = page_of(&bed, bed.organization, "member", "/secrets?path=a").await;
        assert_eq!(status, 503);
    }
}

#[actix_web::test]
async fn the_page_of_the_vault_shows_its_keys_and_to_administrators_what_can_be_done() {
    for bed in Bed::all().await {
        let page = async |role: &'static str| {
            let (status, html) = page_of(&bed, bed.organization, role, "/secrets/vault").await;
            assert_eq!(status, 200, "{html}");
            html
        };
        assert!(page("member").await.contains("No keys yet"));
        bed.put("payments/one", "v").await;
        let member = page("member").await;
        for shown in [
            "Wraps the keys of versions",
            "a key file",
            "1 version",
            "1 secret",
        ] {
            assert!(member.contains(shown), "{shown}: {member}");
        }
        let administrator = page("admin").await;
        for action in ["/vault/seal", "/vault/rekey", "/vault/keys/rotate"] {
            assert!(administrator.contains(action), "{action}");
            assert!(!member.contains(action), "{action}");
        }
        bed.vault.seal(&bed.as_role(Role::Admin)).await.unwrap();
        let sealed = page("admin").await;
        assert!(
            sealed.contains("somebody sealed it") && sealed.contains("/vault/unseal"),
            "{sealed}"
        );
        assert!(!sealed.contains("/vault/rekey") && !sealed.contains("/vault/keys/rotate"));
        assert!(!page("member").await.contains("/vault/unseal"));
        let (status, _) = page_of(&bed, bed.organization, "viewer", "/secrets/vault").await;
        assert_eq!(status, 403);
    }
}

#[actix_web::test]
async fn versions_are_compared_and_a_moment_is_shown_without_values() {
    for bed in Bed::all().await {
        bed.put("payments/stripe/live", "canary-1").await;
        let then = bed.kernel.now();
        bed.clock.advance(chrono::TimeDelta::minutes(1));
        bed.put("payments/stripe/live", "canary-2").await;
        let page =
            async |role: &'static str, target: String| page_of(&bed, bed.organization, role, &target).await;
        let (status, html) = page(
            "member",
            "/secrets?path=payments/stripe/live&from=1&to=2".to_owned(),
        )
        .await;
        assert_eq!(status, 200, "{html}");
        assert!(
            html.contains("Version 1 and version 2") && html.contains("changed") && !html.contains("canary")
        );
        let (status, _) = page(
            "member",
            "/secrets?path=payments/stripe/live&from=7&to=2".to_owned(),
        )
        .await;
        assert_eq!(status, 404);
        let target = format!(
            "/secrets/at?prefix=payments/&at={}",
            then.format("%Y-%m-%dT%H:%M:%S")
        );
        let (status, html) = page("manager", target.clone()).await;
        assert_eq!(status, 200, "{html}");
        assert!(
            html.contains("different now") && html.contains("POST /api/v1/vault/restore"),
            "{html}"
        );
        let (_, html) = page("member", target).await;
        assert!(!html.contains("/api/v1/vault/restore"));
        let (_, html) = page("member", "/secrets/at?at=tomorrow".to_owned()).await;
        assert!(html.contains("no moment of the past"));
        let (status, html) = page("manager", "/secrets/import".to_owned()).await;
        assert!(
            status == 200 && html.contains("POST /api/v1/vault/import"),
            "{html}"
        );
        let (status, _) = page("member", "/secrets/import".to_owned()).await;
        assert_eq!(status, 403);
    }
}

#[actix_web::test]
async fn an_administrator_finds_reveals_on_the_secrets_page_and_others_do_not() {
    for bed in Bed::all().await {
        bed.put("payments/key", "canary-77").await;
        let page = async |role: &'static str, target: &'static str| {
            page_of(&bed, bed.organization, role, target).await
        };
        let secret = "/secrets?path=payments/key";
        let (_, html) = page("admin", secret).await;
        assert!(
            html.contains("id=\"reveal\"") && html.contains("shows values to nobody"),
            "{html}"
        );
        assert!(!html.contains("id=\"reveal-value\""));
        bed.database
            .sql(match bed.database.kind {
                "sqlite" => "INSERT INTO vault_reveal_settings SELECT id, 'second_person', 'user:x', 0 FROM organizations",
                _ => "INSERT INTO vault_reveal_settings SELECT id, 'second_person', 'user:x', now() FROM organizations",
            })
            .await;
        let (_, html) = page("admin", secret).await;
        assert!(
            html.contains("id=\"reveal-value\"")
                && html.contains("Ask for it")
                && html.contains("shown-once.js")
        );
        let (_, html) = page("manager", secret).await;
        assert!(!html.contains("id=\"reveal\"") && !html.contains("/api/v1/vault/reveal"));
        let (status, html) = page("admin", "/secrets/reveals").await;
        assert!(
            status == 200 && html.contains("Nobody saw a value") && html.contains("id=\"reveal-mode\""),
            "{html}"
        );
        assert_eq!(page("manager", "/secrets/reveals").await.0, 403);
        assert_eq!(page("admin", "/secrets/reveals?state=x").await.0, 422);
        let (status, html) = page("admin", "/secrets/reveals?state=pending&path=payments/key").await;
        assert!(status == 200 && html.contains("Nothing fits these filters"));
        assert!(!html.contains("canary-77"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tree_passes_over_folders_however_much_lies_in_them() {
    use aim_premium::vault::tree::Entry;
    for bed in Bed::all().await {
        for number in 0..120 {
            bed.put(&format!("big/{number:03}"), "v").await;
        }
        for path in ["a", "big-2", "big.x/y", "small/deep/er", "z"] {
            bed.put(path, "v").await;
        }
        let ctx = bed.manager();
        let shown = async |prefix: &str, after: Option<String>| {
            let tree = bed.vault.tree(&ctx, prefix.to_owned(), after).await.unwrap();
            let of = |entry: Entry| match entry {
                Entry::Folder(folder) => format!(
                    "{} {}{}",
                    folder.prefix,
                    folder.secrets,
                    if folder.more { "+" } else { "" }
                ),
                Entry::Secret(secret) => secret.path,
            };
            (tree.entries.into_iter().map(of).collect::<Vec<_>>(), tree.next)
        };
        assert_eq!(
            shown("", None).await,
            (
                ["a", "big-2", "big.x/ 1", "big/ 100+", "small/ 1", "z"]
                    .map(str::to_owned)
                    .to_vec(),
                None
            )
        );
        assert_eq!(shown("small/", None).await.0, ["small/deep/ 1"]);
        let (first, next) = shown("big/", None).await;
        assert_eq!((first.len(), next.as_deref()), (100, Some("big/099")));
        assert_eq!(shown("big/", next).await.0.len(), 20);
        let other = aim_testkit::seed_organization(&bed.kernel.store)
            .await
            .organization;
        let theirs = bed.as_role_of(other, Role::Admin);
        assert_eq!(
            bed.vault
                .tree(&theirs, String::new(), None)
                .await
                .unwrap()
                .entries,
            []
        );
    }
}
