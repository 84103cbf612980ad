//! What proves who calls, and everything that does not.

use actix_web::http::Method;
use aim_core::{Actor, AgentCredential, Code, Role};
use aim_crypto::{
    keys::SigningKey,
    token::{IssuedToken, TokenKind},
};
use aim_platform::Module;
use chrono::TimeDelta;

use crate::common::{EMAIL, Request, World, agent_of, password, worlds};

const BODY: &[u8] = br#"{"action":"db:read"}"#;

fn seconds(world: &World) -> i64 {
    world.kernel.now().timestamp()
}

async fn session_token(world: &World) -> String {
    let ctx = world.anonymous("192.0.2.9");
    let signed_in = world
        .identity
        .sessions()
        .sign_in(&ctx, EMAIL, &password())
        .await
        .unwrap();
    signed_in.access_token.expose().to_owned()
}

async fn rows(world: &World, table: &str) -> i64 {
    world
        .database
        .count(&format!("SELECT count(*) FROM {table}"))
        .await
}

#[tokio::test]
async fn a_signature_proves_the_agent_and_carries_what_must_be_claimed_once() {
    for world in worlds().await {
        let (agent, key) = world.register(&world.admin(), "a").await;
        let created = seconds(&world);
        let caller = world
            .recognised(&Request::signed(&key, BODY, created, "n-1"))
            .await
            .unwrap();
        assert_eq!(caller.scheme, "rfc9421");
        assert_eq!(caller.organization, world.first.organization_id);
        let fingerprint = key.public().fingerprint().to_string();
        assert_eq!(
            caller.actor,
            Actor::Agent {
                id: agent.id,
                credential: AgentCredential::Key { fingerprint }
            }
        );
        let claim = caller.nonce.expect("a signed request is good once");
        assert_eq!(claim.organization, world.first.organization_id);
        assert_eq!(claim.expires_at.timestamp(), created + 65);

        let again = world
            .recognised(&Request::signed(&key, b"{}", created + 1, "n-1"))
            .await
            .unwrap();
        assert_eq!(
            again.nonce.unwrap().digest,
            claim.digest,
            "one nonce, one claim, whatever else is signed"
        );
        let other = world
            .recognised(&Request::signed(&key, BODY, created, "n-2"))
            .await
            .unwrap();
        assert_ne!(other.nonce.unwrap().digest, claim.digest);
        let (_, other_key) = world.register(&world.admin(), "b").await;
        let other = world
            .recognised(&Request::signed(&other_key, BODY, created, "n-1"))
            .await
            .unwrap();
        assert_ne!(
            other.nonce.unwrap().digest,
            claim.digest,
            "agents do not use up each other's nonces"
        );
    }
}

#[tokio::test]
async fn an_agent_is_known_under_its_own_tenant() {
    for world in worlds().await {
        let (foreign, key) = world.register(&world.stranger(), "foreign").await;
        let caller = world
            .recognised(&Request::signed(&key, BODY, seconds(&world), "n"))
            .await
            .unwrap();
        assert_eq!(
            (agent_of(&caller), caller.organization),
            (foreign.id, world.second.organization_id)
        );
    }
}

#[tokio::test]
async fn an_unknown_key_and_a_bad_signature_get_the_same_answer() {
    for world in worlds().await {
        let (_, key) = world.register(&world.admin(), "a").await;
        let unknown = Request::signed(&SigningKey::generate().unwrap(), BODY, seconds(&world), "n");
        let forged = {
            let thief = Request::signed(&SigningKey::generate().unwrap(), BODY, seconds(&world), "n");
            let honest = Request::signed(&key, BODY, seconds(&world), "n");
            let signature = thief
                .headers
                .get("signature")
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            honest.header("signature", &signature)
        };
        let unknown = world.recognised(&unknown).await.unwrap_err();
        let forged = world.recognised(&forged).await.unwrap_err();
        assert_eq!(unknown.code, Code::SignatureInvalid);
        assert_eq!(format!("{unknown:?}"), format!("{forged:?}"));
    }
}

#[tokio::test]
async fn whatever_was_changed_after_signing_is_noticed() {
    for world in worlds().await {
        let (_, key) = world.register(&world.admin(), "a").await;
        let signed = || Request::signed(&key, BODY, seconds(&world), "n");
        assert!(world.recognised(&signed()).await.is_ok());
        let mut body = signed();
        body.body = br#"{"action":"db:drop"}"#.to_vec();
        let mut no_body = signed();
        no_body.body.clear();
        let mut path = signed();
        path.uri = "/api/v1/agents?trace=1".parse().unwrap();
        let mut query = signed();
        query.uri = "/api/v1/verifications?trace=2".parse().unwrap();
        let mut method = signed();
        method.method = Method::PUT;
        let mut unsigned = signed();
        unsigned.headers.remove("signature");
        let mut digest = signed();
        digest.headers.remove("content-digest");
        let input = signed()
            .headers
            .get("signature-input")
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        let nonce = signed().header("signature-input", &input.replace("\"n\"", "\"m\""));
        let no_nonce = signed().header("signature-input", &input.replace(";nonce=\"n\"", ""));
        let uncovered = signed().header("signature-input", &input.replace(" \"content-digest\"", ""));
        let garbage = signed().header("signature-input", "((((");
        for (name, request) in [
            ("body", body),
            ("no body", no_body),
            ("path", path),
            ("query", query),
            ("method", method),
            ("no signature", unsigned),
            ("no digest", digest),
            ("nonce", nonce),
            ("no nonce", no_nonce),
            ("digest not covered", uncovered),
            ("garbage", garbage),
        ] {
            let error = world.recognised(&request).await.unwrap_err();
            assert_eq!(error.code, Code::SignatureInvalid, "{name}");
        }
    }
}

#[tokio::test]
async fn a_signature_counts_within_its_window_only() {
    for world in worlds().await {
        let (_, key) = world.register(&world.admin(), "a").await;
        let now = seconds(&world);
        for (created, accepted) in [(-31, false), (-30, true), (30, true), (31, false)] {
            let outcome = world
                .recognised(&Request::signed(&key, BODY, now + created, "n"))
                .await;
            match outcome {
                Ok(_) => assert!(accepted, "{created}"),
                Err(error) => {
                    assert!(!accepted, "{created}");
                    assert_eq!(error.code, Code::SignatureStale);
                }
            }
        }
    }
}

#[tokio::test]
async fn forged_signatures_leave_one_record_a_minute_for_each_key() {
    for world in worlds().await {
        let (_, key) = world.register(&world.admin(), "a").await;
        let (_, other) = world.register(&world.admin(), "b").await;
        let forge = |key: &SigningKey| {
            let mut request = Request::signed(key, BODY, seconds(&world), "n");
            request.method = Method::PUT;
            request
        };
        for _ in 0..5 {
            world.recognised(&forge(&key)).await.unwrap_err();
        }
        assert_eq!(world.audited("authentication.refused").await, 1);
        world.recognised(&forge(&other)).await.unwrap_err();
        assert_eq!(world.audited("authentication.refused").await, 2);
        world.clock.advance(TimeDelta::minutes(1));
        world.recognised(&forge(&key)).await.unwrap_err();
        assert_eq!(world.audited("authentication.refused").await, 3);
        let unknown = forge(&SigningKey::generate().unwrap());
        world.recognised(&unknown).await.unwrap_err();
        assert_eq!(
            world.audited("authentication.refused").await,
            3,
            "an unknown key has no tenant"
        );
    }
}

#[tokio::test]
async fn api_keys_are_accepted_in_three_places() {
    for world in worlds().await {
        let key = world.first.api_key.expose();
        let plain = || Request::new(Method::GET, "/api/v1/agents");
        for request in [
            Request::bearer(key),
            plain().header("authorization", &format!("bearer {key}")),
            plain().header("x-api-key", key),
            plain().header("x-aim-api-key", key),
        ] {
            let caller = world.recognised(&request).await.unwrap();
            assert_eq!(
                (caller.actor.role(), caller.scheme),
                (Some(Role::Admin), "api_key")
            );
            assert!(caller.nonce.is_none());
        }
    }
}

#[tokio::test]
async fn foreign_credentials_are_left_to_others_and_bad_ones_of_ours_refused() {
    for world in worlds().await {
        let plain = || Request::new(Method::GET, "/api/v1/agents");
        for request in [
            plain(),
            Request::bearer("aim_agent_something"),
            Request::bearer("eyJhbGciOi"),
            plain().header("authorization", "Basic YWltX2xpdmVf"),
            plain().header("x-api-key", "sk_live_1"),
            plain().header("cookie", "other=aim_session_1; aim_session="),
        ] {
            assert!(
                world.authenticate(&request).await.is_none(),
                "{:?}",
                request.headers
            );
        }
        let unknown = |kind| IssuedToken::generate(kind).unwrap().text().expose().to_owned();
        for request in [
            Request::bearer(&unknown(TokenKind::OrganizationKey)),
            Request::bearer(&unknown(TokenKind::Session)),
            Request::bearer("aim_live_short"),
            Request::bearer("aim_session_"),
            plain().header("x-api-key", "aim_live_short"),
            plain().header("cookie", "aim_session=nonsense"),
            plain().header("cookie", &format!("aim_session={}", world.first.api_key.expose())),
        ] {
            let error = world.recognised(&request).await.unwrap_err();
            assert_eq!(error.code, Code::CredentialsInvalid, "{:?}", request.headers);
        }
    }
}

#[tokio::test]
async fn a_signature_counts_before_a_token_and_a_token_before_a_cookie() {
    for world in worlds().await {
        let (_, key) = world.register(&world.admin(), "a").await;
        let token = session_token(&world).await;
        let cookie = format!("aim_session={token}");
        let mut forged = Request::signed(&key, BODY, seconds(&world), "n")
            .header("authorization", &format!("Bearer {token}"))
            .header("cookie", &cookie);
        forged.method = Method::PUT;
        let error = world.recognised(&forged).await.unwrap_err();
        assert_eq!(error.code, Code::SignatureInvalid, "there is no falling back");
        let both = Request::bearer(world.first.api_key.expose()).header("cookie", &cookie);
        assert_eq!(world.recognised(&both).await.unwrap().scheme, "api_key");
    }
}

#[tokio::test]
async fn a_cookie_changes_nothing_for_another_site() {
    for world in worlds().await {
        let cookie = format!("theme=dark; aim_session={}", session_token(&world).await);
        let with = |method, headers: &[(&str, &str)]| {
            headers.iter().fold(
                Request::new(method, "/api/v1/agents").header("cookie", &cookie),
                |request, (name, value)| request.header(name, value),
            )
        };
        assert!(world.recognised(&with(Method::GET, &[])).await.is_ok());
        assert!(
            world
                .recognised(&with(Method::POST, &[("sec-fetch-site", "same-origin")]))
                .await
                .is_ok()
        );
        assert!(
            world
                .recognised(&with(Method::DELETE, &[("origin", "https://aim.example")]))
                .await
                .is_ok()
        );
        for headers in [
            &[][..],
            &[("sec-fetch-site", "cross-site")],
            &[("origin", "https://evil.example")],
        ] {
            let error = world.recognised(&with(Method::POST, headers)).await.unwrap_err();
            assert_eq!(error.code, Code::CrossSite, "{headers:?}");
        }
    }
}

#[tokio::test]
async fn the_jobs_forget_what_is_stale_and_nothing_else() {
    for world in worlds().await {
        let token = session_token(&world).await;
        let _ = world.identity.agents().challenge(&world.admin()).await.unwrap();
        let ctx = world.anonymous("192.0.2.7");
        let wrong = aim_crypto::secret::SecretString::from("not the password at all");
        world
            .identity
            .sessions()
            .sign_in(&ctx, EMAIL, &wrong)
            .await
            .unwrap_err();
        let (organization, now) = (world.first.organization_id, world.kernel.now());
        let count = 2_500_u32;
        world
            .kernel
            .store
            .write(organization, move |db| {
                for number in 0..count {
                    let expires_at = if number == 0 {
                        now + TimeDelta::hours(1)
                    } else {
                        now
                    };
                    aim_store::nonces::claim(db, organization, &number.to_be_bytes(), expires_at)?;
                }
                Ok(())
            })
            .await
            .unwrap();
        let run = || async {
            for job in world.identity.jobs() {
                (job.run)(world.kernel.now()).await.unwrap();
            }
        };
        run().await;
        assert_eq!(
            rows(&world, "nonces").await,
            2_500,
            "what expires now is still remembered"
        );
        assert_eq!(
            (
                rows(&world, "sessions").await,
                rows(&world, "challenges").await,
                rows(&world, "sign_in_attempts").await
            ),
            (1, 1, 2)
        );
        world.clock.advance(TimeDelta::minutes(16));
        run().await;
        // SQLite's log keeps its newest row, by which other processes see what is new.
        let left = if world.database.kind == "sqlite" { 2 } else { 1 };
        assert_eq!(rows(&world, "nonces").await, left, "{}", world.database.kind);
        assert_eq!(
            (
                rows(&world, "sessions").await,
                rows(&world, "challenges").await,
                rows(&world, "sign_in_attempts").await
            ),
            (1, 0, 0)
        );
        assert!(world.recognised(&Request::bearer(&token)).await.is_ok());
        world.clock.advance(TimeDelta::hours(12));
        run().await;
        assert_eq!(rows(&world, "sessions").await, 0);
    }
}
