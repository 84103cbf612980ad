use aim_crypto::keys::SigningKey;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};

use super::*;

/// Requests that the published SDK made and signed: `tests/vectors/make_aim_sdk.py`.
#[derive(Deserialize)]
struct SdkVectors {
    agent: String,
    seed: String,
    verifications: Vec<Noted>,
    header_signed: Vec<Noted>,
    poll: Noted,
}

#[derive(Deserialize)]
struct Noted {
    #[serde(default)]
    name: String,
    method: String,
    target: String,
    headers: std::collections::BTreeMap<String, String>,
    body: String,
}

fn vectors() -> SdkVectors {
    serde_json::from_str(include_str!("../tests/vectors/aim_sdk.json")).unwrap()
}

fn key() -> SigningKey {
    let seed: [u8; 32] = STANDARD.decode(vectors().seed).unwrap().try_into().unwrap();
    SigningKey::from_seed(&seed)
}

/// A body as the SDK sends it, signed over `signed`.
fn body_signed_over(signed: &str, fields: Value) -> Vec<u8> {
    let mut body = fields;
    body["signature"] = json!(STANDARD.encode(key().sign(signed.as_bytes())));
    body["publicKey"] = json!(key().public().raw_base64());
    body.to_string().into_bytes()
}

const AGENT: &str = "0198d5a0-5f2c-7c1e-9b3a-6f0e5d4c3b2a";
const TIME: &str = "2026-11-23T10:00:00.25Z";

#[test]
fn what_the_published_sdk_signed_in_the_body_is_accepted() {
    for noted in vectors().verifications {
        let action = SignedAction::parse(noted.body.as_bytes()).unwrap();
        assert_eq!(action.verify(), Ok(()), "{}", noted.name);
        assert_eq!(action.agent.to_string(), vectors().agent);
        assert_eq!(action.public_key, key().public());
        assert!(!action.older);
    }
}

#[test]
fn a_change_of_any_signed_part_is_refused() {
    for noted in vectors().verifications {
        let body: Value = serde_json::from_str(&noted.body).unwrap();
        let changes = [
            ("capability", json!("db:write")),
            ("resource", json!("customers/43")),
            ("context", json!({"purpose": "billing", "rows": 10.0})),
            ("timestamp", json!("2026-11-23T10:00:01Z")),
            ("agentId", json!("0198d5a0-5f2c-7c1e-9b3a-6f0e5d4c3b2b")),
        ];
        for (part, value) in changes {
            let mut changed = body.clone();
            changed[part] = value;
            let text = changed.to_string();
            let action = SignedAction::parse(text.as_bytes()).unwrap();
            assert_eq!(
                action.verify(),
                Err(SignatureProblem::Wrong),
                "{} {part}",
                noted.name
            );
        }
    }
}

#[test]
fn a_number_in_another_spelling_is_another_context() {
    let noted = vectors()
        .verifications
        .into_iter()
        .find(|noted| noted.name == "floats")
        .unwrap();
    for (token, other) in [
        ("1.0", "1"),
        ("1e+16", "1e16"),
        ("-0.0", "0.0"),
        ("1e-07", "1e-7"),
    ] {
        let changed = noted.body.replacen(token, other, 1);
        assert_ne!(changed, noted.body);
        assert_eq!(
            SignedAction::parse(changed.as_bytes()).unwrap().verify(),
            Err(SignatureProblem::Wrong),
            "{token}"
        );
    }
}

#[test]
fn a_signature_by_another_key_does_not_fit_the_key_that_is_named() {
    let signed = format!(
        r#"{{"action_type": "db:read", "agent_id": "{AGENT}", "context": {{}}, "resource": null, "timestamp": "{TIME}"}}"#
    );
    let fields = json!({"agentId": AGENT, "capability": "db:read", "timestamp": TIME});
    let mut body: Value = serde_json::from_slice(&body_signed_over(&signed, fields)).unwrap();
    assert_eq!(
        SignedAction::parse(body.to_string().as_bytes()).unwrap().verify(),
        Ok(())
    );
    body["publicKey"] = json!(SigningKey::from_seed(&[9; 32]).public().raw_base64());
    assert_eq!(
        SignedAction::parse(body.to_string().as_bytes()).unwrap().verify(),
        Err(SignatureProblem::Wrong)
    );
}

#[test]
fn members_that_are_not_signed_do_not_count() {
    let noted = vectors().verifications.into_iter().next().unwrap();
    let mut body: Value = serde_json::from_str(&noted.body).unwrap();
    body["risk_level"] = json!("low");
    body["approval_requested"] = json!(false);
    assert_eq!(
        SignedAction::parse(body.to_string().as_bytes()).unwrap().verify(),
        Ok(())
    );
}

#[test]
fn the_older_spelling_is_recognised_and_signed_alike() {
    let noted = vectors().verifications.into_iter().next().unwrap();
    let newer: Value = serde_json::from_str(&noted.body).unwrap();
    let older = json!({
        "agent_id": newer["agentId"], "action_type": newer["capability"], "resource": null, "context": {},
        "timestamp": newer["timestamp"], "signature": newer["signature"], "public_key": newer["publicKey"],
    });
    let text = older.to_string();
    let action = SignedAction::parse(text.as_bytes()).unwrap();
    assert!(action.older);
    assert_eq!(action.verify(), Ok(()));
}

#[test]
fn the_same_thing_in_both_spellings_is_refused() {
    let noted = vectors().verifications.into_iter().next().unwrap();
    for (older, newer) in [
        ("action_type", "capability"),
        ("agent_id", "agentId"),
        ("public_key", "publicKey"),
    ] {
        let mut body: Value = serde_json::from_str(&noted.body).unwrap();
        body[older] = body[newer].clone();
        assert_eq!(
            SignedAction::parse(body.to_string().as_bytes()).unwrap_err(),
            SignatureProblem::TwoSpellings(newer, older)
        );
    }
}

#[test]
fn what_is_missing_or_malformed_is_named() {
    let noted = vectors().verifications.into_iter().next().unwrap();
    let body: Value = serde_json::from_str(&noted.body).unwrap();
    for field in ["agentId", "timestamp", "signature", "publicKey"] {
        let mut without = body.clone();
        without.as_object_mut().unwrap().remove(field);
        let problem = SignedAction::parse(without.to_string().as_bytes()).unwrap_err();
        assert_eq!(problem, SignatureProblem::Missing(field));
        for bad in [json!(7), json!("nonsense"), json!(null)] {
            let mut wrong = body.clone();
            wrong[field] = bad;
            let problem = SignedAction::parse(wrong.to_string().as_bytes()).unwrap_err();
            assert_eq!(problem.field(), Some(field), "{problem}");
        }
    }
    for garbage in [&b""[..], b"[]", b"nonsense", b"{\"agentId\": 1", b"\xff\xfe"] {
        assert!(matches!(
            SignedAction::parse(garbage),
            Err(SignatureProblem::Body(_))
        ));
    }
}

#[test]
fn what_the_published_sdk_signed_in_the_header_is_accepted_and_bound_to_every_part() {
    for noted in vectors().header_signed {
        let signature = signature_from_base64(&noted.headers["X-Signature"]).unwrap();
        let time = &noted.headers["X-Timestamp"];
        let check = |method: &str, target: &str, time: &str, body: &str| {
            verify_header(
                &key().public(),
                (method, target),
                time,
                body.as_bytes(),
                &signature,
            )
        };
        assert_eq!(
            check(&noted.method, &noted.target, time, &noted.body),
            Ok(()),
            "{}",
            noted.name
        );
        let other_target = format!("{}x", noted.target);
        for refused in [
            check("PUT", &noted.target, time, &noted.body),
            check(&noted.method, &other_target, time, &noted.body),
            check(&noted.method, &noted.target, "1795448203", &noted.body),
            check(&noted.method, &noted.target, time, &format!("{} ", noted.body)),
        ] {
            assert_eq!(refused, Err(SignatureProblem::Wrong), "{}", noted.name);
        }
    }
}

#[test]
fn an_encoded_separator_does_not_stand_for_the_separator() {
    assert_eq!(
        target_before_encoding("/a?name=my%20server"),
        Some("/a?name=my server".to_owned())
    );
    for target in [
        "/a?x=1%26y=2",
        "/a%2Fb",
        "/a%3Fx=1",
        "/a?x=%250A",
        "/a?x=%41",
        "/a?x=%0A1795448202",
        "/a?x=%FF",
        "/a?x=1",
    ] {
        assert_eq!(target_before_encoding(target), None, "{target}");
    }
}

#[test]
fn a_poll_is_signed_over_path_agent_and_time() {
    let SdkVectors { agent, poll, .. } = vectors();
    let signature = signature_from_base64(&poll.headers["X-AIM-Signature"]).unwrap();
    let time = &poll.headers["X-AIM-Timestamp"];
    let verify = |message: Vec<u8>| key().public().verify(&message, &signature).is_ok();
    assert!(verify(poll_message(&poll.target, &agent, time)));
    assert!(!verify(poll_message(
        &format!("{}/result", poll.target),
        &agent,
        time
    )));
    assert!(!verify(poll_message(&poll.target, AGENT, "1")));
}

#[test]
fn a_time_has_one_spelling() {
    assert_eq!(
        unix_seconds("t", "1795448202").unwrap().timestamp(),
        1_795_448_202
    );
    for text in [
        "",
        "-1",
        "+1",
        " 1",
        "1.0",
        "1e3",
        "99999999999999999999",
        "9223372036854775807",
        "１",
    ] {
        assert_eq!(unix_seconds("t", text).unwrap_err().field(), Some("t"), "{text}");
    }
}

#[test]
fn the_digest_tells_schemes_agents_and_signatures_apart() {
    let agent: AgentId = AGENT.parse().unwrap();
    let other: AgentId = "0198d5a0-5f2c-7c1e-9b3a-6f0e5d4c3b2b".parse().unwrap();
    let digests = [
        once_digest("sdk_body", agent, &[1; 64]),
        once_digest("sdk_header", agent, &[1; 64]),
        once_digest("sdk_body", other, &[1; 64]),
        once_digest("sdk_body", agent, &[2; 64]),
    ];
    assert_eq!(digests.iter().collect::<std::collections::HashSet<_>>().len(), 4);
    assert_eq!(digests[0], once_digest("sdk_body", agent, &[1; 64]));
}
