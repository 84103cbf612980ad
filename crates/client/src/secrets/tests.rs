use aim_crypto::sealing::{parse_public, seal};
use serde_json::json;

use super::*;

const VALUE: &str = "sk_live_canary_0001";
const ORGANIZATION: Uuid = Uuid::from_u128(1);
const AGENT: Uuid = Uuid::from_u128(2);
const DECISION: Uuid = Uuid::from_u128(3);

fn reply(status: u16, body: &Value) -> Reply {
    Reply {
        status,
        request_id: None,
        retry_after: None,
        body: body.to_string().into_bytes(),
    }
}

fn decision(status: &str) -> Value {
    json!({
        "id": DECISION, "status": status, "reason_codes": ["grant.missing"],
        "reasons": [{"code": "grant.missing", "message": "no grant covers it"}],
    })
}

/// An answer as the server makes it.
fn approved(key: &RecipientKey, agent: Uuid, path: &str, version: i64, content: &Value) -> Value {
    let info = SecretInfo {
        organization: &ORGANIZATION.to_string(),
        agent: &agent.to_string(),
        decision: &DECISION.to_string(),
        path,
        version,
    };
    let public = parse_public(&key.public_text()).unwrap();
    let sealed = seal(&public, &info.bytes(), content.to_string().as_bytes()).unwrap();
    json!({
        "decision": decision("approved"),
        "secret": {"organization_id": ORGANIZATION, "path": path, "version": version, "kind": "api_key", "expires_at": null},
        "sealed": sealed,
    })
}

fn content() -> Value {
    json!({"kind": "api_key", "fields": {"value": VALUE}})
}

#[test]
fn an_approved_read_opens_and_never_shows_its_value() {
    let key = RecipientKey::generate().unwrap();
    let answer = reply(201, &approved(&key, AGENT, "a/b", 4, &content()));
    let secret = opened(&answer, &key, AGENT, "a/b", None).unwrap();
    assert_eq!((secret.version, secret.kind.as_str()), (4, "api_key"));
    assert_eq!(secret.main_field().unwrap().0, "value");
    assert_eq!(secret.field("value").unwrap().expose(), VALUE);
    assert!(opened(&answer, &key, AGENT, "a/b", Some(4)).is_ok());
    let shown = format!("{secret:?}");
    assert!(shown.contains("[redacted]") && !shown.contains(VALUE), "{shown}");
}

#[test]
fn what_was_sealed_for_another_occasion_does_not_open() {
    let key = RecipientKey::generate().unwrap();
    let body = approved(&key, AGENT, "a/b", 4, &content());
    let refused = |body: &Value, agent: Uuid, path: &str, version: Option<i64>, key: &RecipientKey| {
        let error = opened(&reply(201, body), key, agent, path, version).unwrap_err();
        assert!(matches!(error, SecretError::Unopened { .. }), "{error}");
        assert!(!error.to_string().contains(VALUE), "{error}");
    };
    refused(&body, AGENT, "a/c", None, &key);
    refused(&body, AGENT, "a/b", Some(3), &key);
    refused(&body, Uuid::from_u128(9), "a/b", None, &key);
    refused(&body, AGENT, "a/b", None, &RecipientKey::generate().unwrap());
    for (pointer, value) in [
        ("/secret/path", json!("a/c")),
        ("/secret/version", json!(5)),
        ("/secret/organization_id", json!(Uuid::from_u128(8))),
        ("/secret/kind", json!("password")),
        ("/decision/id", json!(Uuid::from_u128(8))),
        ("/sealed/aead", json!(3)),
        ("/sealed/ciphertext", json!("AAAA")),
        ("/sealed", Value::Null),
    ] {
        let mut altered = body.clone();
        *altered.pointer_mut(pointer).unwrap() = value;
        refused(&altered, AGENT, "a/b", None, &key);
    }
    // Sealed well, and no secret inside.
    refused(
        &approved(
            &key,
            AGENT,
            "a/b",
            4,
            &json!({"kind": "api_key", "fields": VALUE}),
        ),
        AGENT,
        "a/b",
        None,
        &key,
    );
}

#[test]
fn refusals_are_told_apart_with_reason_and_decision() {
    let key = RecipientKey::generate().unwrap();
    let error =
        |status: u16, body: &Value| opened(&reply(status, body), &key, AGENT, "a/b", Some(2)).unwrap_err();
    let denied = error(403, &json!({"decision": decision("denied")}));
    assert!(matches!(denied, SecretError::Denied { .. }));
    assert_eq!(
        denied.to_string(),
        format!("the agent may not read a/b: no grant covers it (decision {DECISION})")
    );
    let pending = error(202, &json!({"decision": decision("pending")}));
    assert!(matches!(pending, SecretError::Pending { .. }), "{pending}");
    let problem =
        |status: u16, code: &str| json!({"status": status, "code": code, "title": "T", "remedy": "r"});
    assert!(matches!(
        error(404, &problem(404, "resource.not_found")),
        SecretError::NotFound { version: Some(2), .. }
    ));
    assert!(matches!(
        error(503, &problem(503, "vault.sealed")),
        SecretError::Sealed
    ));
    assert!(matches!(
        error(503, &problem(503, "server.unavailable")),
        SecretError::Call(Error::Refused(_))
    ));
    assert!(matches!(
        error(403, &problem(403, "auth.forbidden")),
        SecretError::Call(Error::Refused(_))
    ));
}

#[test]
fn status_and_verdict_must_agree_and_a_denial_hands_nothing_over() {
    let key = RecipientKey::generate().unwrap();
    let mut body = approved(&key, AGENT, "a/b", 4, &content());
    for (status, verdict) in [
        (201, "denied"),
        (201, "pending"),
        (403, "approved"),
        (202, "approved"),
        (200, "approved"),
    ] {
        body["decision"]["status"] = json!(verdict);
        let error = opened(&reply(status, &body), &key, AGENT, "a/b", None).unwrap_err();
        assert!(
            matches!(error, SecretError::Call(Error::UnexpectedAnswer { .. })),
            "{status} {verdict}: {error}"
        );
    }
    body["decision"]["status"] = json!("denied");
    assert!(matches!(
        opened(&reply(403, &body), &key, AGENT, "a/b", None),
        Err(SecretError::Denied { .. })
    ));
}

#[test]
fn the_main_field_is_the_only_one_or_value() {
    let key = RecipientKey::generate().unwrap();
    let read = |fields: Value| {
        let content = json!({"kind": "api_key", "fields": fields});
        opened(
            &reply(201, &approved(&key, AGENT, "a/b", 1, &content)),
            &key,
            AGENT,
            "a/b",
            None,
        )
        .unwrap()
    };
    let main = |fields| read(fields).main_field().map(|(name, _)| name.to_owned());
    assert_eq!(main(json!({"content": "x"})).as_deref(), Some("content"));
    assert_eq!(main(json!({"note": "x", "value": "y"})).as_deref(), Some("value"));
    assert_eq!(main(json!({"username": "x", "password": "y"})), None);
    assert_eq!(main(json!({})), None);
}
