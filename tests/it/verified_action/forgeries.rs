//! Signed requests (RFC 9421) that somebody altered, kept, or made up. None of them does anything.

use aim_core::Role;
use aim_crypto::http_signature::content_digest;
use aim_tests::{Prepared, TestAgent, TestApp, fresh_key};
use chrono::TimeDelta;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

use super::traces;

/// How many connections send the same bytes at the same instant.
const CONNECTIONS: usize = 32;

type Forgery = (
    &'static str,
    fn(&TestApp, &TestAgent<'_>, &TestAgent<'_>) -> Prepared,
);

fn header_of(request: &Prepared, name: &str) -> String {
    request
        .headers
        .iter()
        .find(|(known, _)| known == name)
        .map(|(_, value)| value.clone())
        .expect("a header field")
}

fn edited(request: Prepared, header: &str, edit: impl FnOnce(&str) -> String) -> Prepared {
    let value = edit(&header_of(&request, header));
    request.header(header, &value)
}

fn without(mut request: Prepared, header: &str) -> Prepared {
    request.headers.retain(|(name, _)| name != header);
    request
}

const FORGERIES: &[Forgery] = &[
    ("the body is replaced", |_, agent, _| Prepared {
        body: other_body(),
        ..agent.action("db:read")
    }),
    ("the body and its digest are replaced", |_, agent, _| {
        let request = Prepared {
            body: other_body(),
            ..agent.action("db:read")
        };
        edited(request, "content-digest", |_| content_digest(&other_body()))
    }),
    ("the body is cut off", |_, agent, _| {
        without(
            Prepared {
                body: Vec::new(),
                ..agent.action("db:read")
            },
            "content-digest",
        )
    }),
    ("the digest is left out of the signature", |app, agent, _| {
        let bare = Prepared::new(Method::POST, "/api/v1/verifications").signed(
            &agent.key,
            &app.authority(),
            app.now(),
        );
        bare.json(&json!({"action": "db:read"}))
    }),
    ("the digest's field is taken away", |_, agent, _| {
        without(agent.action("db:read"), "content-digest")
    }),
    ("a query is added", |_, agent, _| Prepared {
        target: "/api/v1/verifications?x=1".to_owned(),
        ..agent.action("db:read")
    }),
    ("it was signed for another path", |app, agent, _| {
        let elsewhere = Prepared::new(Method::POST, "/api/v1/agents").json(&json!({"action": "db:read"}));
        let signed = elsewhere.signed(&agent.key, &app.authority(), app.now());
        Prepared {
            target: "/api/v1/verifications".to_owned(),
            ..signed
        }
    }),
    ("it was signed for another method", |app, agent, _| {
        let put = Prepared {
            method: Method::PUT,
            ..TestAgent::unsigned_action("db:read")
        };
        Prepared {
            method: Method::POST,
            ..put.signed(&agent.key, &app.authority(), app.now())
        }
    }),
    ("it was signed for another host", |app, agent, _| {
        TestAgent::unsigned_action("db:read").signed(&agent.key, "aim.example", app.now())
    }),
    ("the method is not covered", |_, agent, _| {
        edited(agent.action("db:read"), "signature-input", |input| {
            input.replace("\"@method\" ", "")
        })
    }),
    ("a component is covered twice", |_, agent, _| {
        edited(agent.action("db:read"), "signature-input", |input| {
            input.replace("\"@path\"", "\"@path\" \"@path\"")
        })
    }),
    ("there is no nonce", |_, agent, _| {
        edited(agent.action("db:read"), "signature-input", |input| {
            let (before, rest) = input.split_once(";nonce=\"").unwrap();
            format!("{before}{}", rest.split_once('"').unwrap().1)
        })
    }),
    ("the nonce is another", |_, agent, _| {
        edited(agent.action("db:read"), "signature-input", |input| {
            input.replace(";nonce=\"", ";nonce=\"x")
        })
    }),
    ("the time is another", |app, agent, _| {
        let now = app.now().timestamp();
        edited(agent.action("db:read"), "signature-input", |input| {
            input.replace(&format!("created={now}"), &format!("created={}", now - 1))
        })
    }),
    ("a key that nobody registered", |app, _, _| {
        TestAgent::unsigned_action("db:read").signed(&fresh_key(), &app.authority(), app.now())
    }),
    ("another key in the agent's name", |app, agent, _| {
        in_the_name_of(app, agent, &fresh_key())
    }),
    ("another agent's key in the agent's name", |app, agent, peer| {
        in_the_name_of(app, agent, &peer.key)
    }),
    ("the signature is missing", |_, agent, _| {
        without(agent.action("db:read"), "signature")
    }),
    ("the signature is of another request", |_, agent, _| {
        let other = header_of(&agent.action("db:read"), "signature");
        agent.action("db:read").header("signature", &other)
    }),
    ("the signature is no structured field", |_, agent, _| {
        agent.action("db:read").header("signature", "aim=:")
    }),
    ("the parameters are no structured field", |_, agent, _| {
        agent
            .action("db:read")
            .header("signature-input", "aim=(\"@method\"")
    }),
    ("the algorithm is another", |_, agent, _| {
        edited(agent.action("db:read"), "signature-input", |input| {
            input.replace("ed25519", "hmac-sha256")
        })
    }),
];

fn other_body() -> Vec<u8> {
    json!({"action": "db:drop"}).to_string().into_bytes()
}

fn in_the_name_of(app: &TestApp, agent: &TestAgent<'_>, key: &aim_crypto::keys::SigningKey) -> Prepared {
    let forged = TestAgent::unsigned_action("db:read").signed(key, &app.authority(), app.now());
    let (own, named) = (
        key.public().fingerprint().to_string(),
        agent.key.public().fingerprint().to_string(),
    );
    edited(forged, "signature-input", |input| input.replace(&own, &named))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_not_as_it_was_signed_is_refused_and_leaves_no_decision() {
    for app in TestApp::on_each().await {
        let agent = app.agent("reader", &["db:read", "db:drop"]).await;
        let peer = app.agent("peer", &["db:read"]).await;
        let before = traces(&app).await;
        for (what, forge) in FORGERIES {
            let answer = app.send(&forge(&app, &agent, &peer)).await;
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (401, "auth.signature_invalid"),
                "{what}: {}",
                answer.text
            );
        }
        assert_eq!(traces(&app).await, before);
        let unchanged = app.send(&agent.action("db:read")).await;
        assert_eq!(unchanged.status, 201, "the control: {}", unchanged.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_nobody_has_reads_like_a_signature_that_does_not_fit() {
    let app = TestApp::builder().start_on_sqlite().await;
    let agent = app.agent("reader", &["db:read"]).await;
    let unknown = TestAgent::unsigned_action("db:read").signed(&fresh_key(), &app.authority(), app.now());
    let (unknown, forged) = (
        app.send(&unknown).await,
        app.send(&in_the_name_of(&app, &agent, &fresh_key())).await,
    );
    assert_eq!(
        unknown.text_without_request_id(),
        forged.text_without_request_id()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_is_fresh_for_thirty_seconds_either_way_and_not_one_longer() {
    for app in TestApp::on_each().await {
        let agent = app.agent("reader", &["db:read"]).await;
        for (offset, status) in [(-31, 401), (-30, 201), (30, 201), (31, 401)] {
            let created = app.now() + TimeDelta::seconds(offset);
            let request = TestAgent::unsigned_action("db:read").signed(&agent.key, &app.authority(), created);
            let answer = app.send(&request).await;
            assert_eq!(answer.status, status, "{offset} s: {}", answer.text);
            assert!(
                status == 201 || answer.code() == "auth.signature_stale",
                "{}",
                answer.text
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_one_request_sent_over_many_connections_at_once_exactly_one_passes() {
    for app in TestApp::on_each().await {
        let agent = app.agent("reader", &["db:read"]).await;
        let request = agent.action("db:read");
        let answers = join_all((0..CONNECTIONS).map(|_| app.send_alone(&request))).await;
        let approved = answers.iter().filter(|answer| answer.status == 201).count();
        let replayed = answers
            .iter()
            .filter(|answer| answer.code() == "auth.signature_replayed")
            .count();
        assert_eq!((approved, replayed), (1, CONNECTIONS - 1), "{}", app.kind());
        assert_eq!(traces(&app).await, (1, 1));

        app.advance(TimeDelta::seconds(30));
        assert_eq!(
            app.send(&request).await.code(),
            "auth.signature_replayed",
            "as long as it is fresh"
        );
        app.advance(TimeDelta::seconds(1));
        assert_eq!(app.send(&request).await.code(), "auth.signature_stale");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_nonce_is_forgotten_while_its_signature_is_fresh() {
    for app in TestApp::on_each().await {
        let agent = app.agent("reader", &["db:read"]).await;
        // As late as it can be and still be fresh for the longest time.
        let request = TestAgent::unsigned_action("db:read").signed(
            &agent.key,
            &app.authority(),
            app.now() + TimeDelta::seconds(30),
        );
        assert_eq!(app.send(&request).await.status, 201);
        for _ in 0..6 {
            app.advance(TimeDelta::seconds(10));
            let _ = app.run_jobs().await;
            assert_eq!(app.send(&request).await.code(), "auth.signature_replayed");
        }
        app.advance(TimeDelta::hours(2));
        let _ = app.run_jobs().await;
        // SQLite's log keeps its newest row, by which other processes see what is new.
        let newest = i64::from(app.database.kind == "sqlite");
        assert_eq!(traces(&app).await, (1, newest), "and none is kept for ever");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_request_for_anything_else_is_used_up_as_well() {
    for app in TestApp::on_each().await {
        let agent = app.agent("reader", &[]).await;
        let request = agent.prove(Prepared::new(Method::GET, agent.path("")));
        let answers = join_all((0..8).map(|_| app.send_alone(&request))).await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
        assert_eq!(
            answers
                .iter()
                .filter(|answer| answer.code() == "auth.signature_replayed")
                .count(),
            7
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_requests_with_one_nonce_are_one_too_many() {
    for app in TestApp::on_each().await {
        let agent = app.agent("reader", &["db:read"]).await;
        let peer = app.agent("peer", &["db:read"]).await;
        let sign = |key, body| {
            let request = Prepared::new(Method::POST, "/api/v1/verifications").json(&body);
            request.signed_with_nonce(key, &app.authority(), app.now(), "the-same-nonce")
        };
        assert_eq!(
            app.send(&sign(&agent.key, json!({"action": "db:read"})))
                .await
                .status,
            201
        );
        let other = app
            .send(&sign(
                &agent.key,
                json!({"action": "db:read", "resource": "other"}),
            ))
            .await;
        assert_eq!(other.code(), "auth.signature_replayed");
        let of_peer = app.send(&sign(&peer.key, json!({"action": "db:read"}))).await;
        assert_eq!(
            of_peer.status, 201,
            "each key has its own nonces: {}",
            of_peer.text
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forgeries_in_an_agents_name_are_on_record_but_cannot_fill_the_log() {
    for app in TestApp::on_each().await {
        let agent = app.agent("reader", &["db:read"]).await;
        for _ in 0..10 {
            let answer = app.send(&in_the_name_of(&app, &agent, &fresh_key())).await;
            assert_eq!(answer.status, 401);
        }
        let path = format!(
            "/api/v1/audit-logs?action=authentication.refused&agent_id={}",
            agent.id
        );
        let list = app.user(Role::Manager).await.get(&path).await.expect(200);
        assert_eq!(list["entries"].as_array().unwrap().len(), 1, "{list}");
    }
}
