//! The exchange of a refresh token for an access token, as RFC 6749 §6 has it: what is sent, and what an answer means.
//!
//! Ours on the guarded way out, and no crate's: the guard against private addresses is in how a connection is made, and what is
//! left is one form and five members of an answer.

use std::net::IpAddr;

use aim_core::{Error, Result};
use aim_crypto::secret::SecretString;
use aim_platform::outbound::{Answer, Call, OutboundError, is_public, parse_url};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::vault::kinds::{Fields, SecretValue};

/// The most bytes of an answer.
const ANSWER_LIMIT: usize = 64 * 1024;
/// The longest life of an access token that is believed: ten years, in seconds.
const LONGEST_LIFE: i64 = 315_360_000;

/// Refusals of a token endpoint (RFC 6749 §5.2), and what providers add to them. Others are not repeated.
const KNOWN: [&str; 8] = [
    "invalid_grant",
    "invalid_client",
    "invalid_request",
    "invalid_scope",
    "unauthorized_client",
    "unsupported_grant_type",
    "bad_refresh_token",
    "incorrect_client_credentials",
];

/// Checks the fields of an OAuth secret that a refresh needs.
///
/// # Errors
/// `request.field_invalid` at the field.
pub(in crate::vault) fn check_fields(fields: &Fields) -> Result<()> {
    if let Some(method) = fields.0.get("client_auth")
        && !matches!(method.expose(), "basic" | "body")
    {
        return Err(Error::field("fields.client_auth", "this is basic or body"));
    }
    if let Some(text) = fields.0.get("token_url") {
        token_url(text.expose())?;
    }
    Ok(())
}

/// The endpoint's address: TLS (RFC 6749 §3.2), but for hosts that are not of the public internet, which the operator must
/// allow in any case.
fn token_url(text: &str) -> Result<Url> {
    let url = parse_url("fields.token_url", text)?;
    let host = url.host_str().unwrap_or_default();
    let literal = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>();
    let is_private = host == "localhost" || literal.is_ok_and(|address| !is_public(address));
    if url.scheme() != "https" && !is_private {
        return Err(Error::field(
            "fields.token_url",
            "tokens are sent there: the address must start with https://",
        ));
    }
    Ok(url)
}

fn field<'a>(fields: &'a Fields, name: &str) -> Option<&'a SecretString> {
    fields.0.get(name)
}

/// The request (RFC 6749 §6, §2.3.1).
///
/// # Errors
/// `request.field_invalid` at what is missing.
pub(super) fn call(fields: &Fields) -> Result<Call> {
    let needed = |name: &'static str| {
        field(fields, name)
            .ok_or_else(|| Error::field(format!("fields.{name}"), "a refresh needs this field"))
    };
    let url = token_url(needed("token_url")?.expose())?;
    let (client, token) = (needed("client_id")?, needed("refresh_token")?);
    let in_body = field(fields, "client_auth").is_some_and(|method| method.expose() == "body");
    let secret = field(fields, "client_secret");
    let mut form = form_urlencoded::Serializer::new(String::with_capacity(token.len() * 3 + 1024));
    form.append_pair("grant_type", "refresh_token");
    form.append_pair("refresh_token", token.expose());
    if let Some(scopes) = field(fields, "scopes") {
        form.append_pair("scope", scopes.expose());
    }
    if secret.is_none() || in_body {
        form.append_pair("client_id", client.expose());
    }
    if let Some(secret) = secret.filter(|_| in_body) {
        form.append_pair("client_secret", secret.expose());
    }
    let mut call = Call {
        method: Method::POST,
        url,
        headers: std::collections::BTreeMap::new(),
        body: form.finish().into_bytes(),
        limit: ANSWER_LIMIT,
    }
    .header("content-type", "application/x-www-form-urlencoded")
    .header("accept", "application/json");
    if let Some(secret) = secret.filter(|_| !in_body) {
        let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let pair = Zeroizing::new(format!(
            "{}:{}",
            encoded(client.expose()),
            encoded(secret.expose())
        ));
        call = call.header(
            "authorization",
            format!("Basic {}", STANDARD.encode(pair.as_bytes())),
        );
    }
    Ok(call)
}

/// What the endpoint gave.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) access_token: SecretString,
    /// A new refresh token: the one before may be used up.
    pub(super) refresh_token: Option<SecretString>,
    /// For how many seconds the access token counts.
    pub(super) expires_in: Option<i64>,
}

/// Why there is no access token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// In words that hold no token.
    pub(super) reason: String,
    /// Whether trying again can help.
    pub(super) is_passing: bool,
    /// Whether the endpoint may have exchanged the refresh token all the same.
    pub(super) is_uncertain: bool,
}

impl Failure {
    fn for_good(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            is_passing: false,
            is_uncertain: false,
        }
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: Option<SecretValue>,
    refresh_token: Option<SecretValue>,
    expires_in: Option<Value>,
    error: Option<Value>,
}

/// What an exchange came to.
pub(super) fn outcome(
    answer: std::result::Result<Answer, OutboundError>,
) -> std::result::Result<Granted, Failure> {
    let answer = answer.map_err(|error| Failure {
        // A name that has no address was never asked; of the rest nobody knows.
        is_uncertain: matches!(error, OutboundError::TimedOut | OutboundError::Connection(_)),
        is_passing: error.is_passing(),
        reason: error.to_string(),
    })?;
    let status = answer.status;
    let body = Zeroizing::new(answer.body);
    let parsed: Option<TokenAnswer> = serde_json::from_slice(&body).ok();
    if let Some(code) = parsed.as_ref().and_then(|parsed| parsed.error.as_ref()) {
        let known = code
            .as_str()
            .and_then(|code| KNOWN.into_iter().find(|known| *known == code));
        return Err(Failure {
            reason: match known {
                Some(code) => format!("the token endpoint answered {code}"),
                None => format!("the token endpoint answered {status} with an error of its own"),
            },
            is_passing: known.is_none() && is_passing(status),
            is_uncertain: false,
        });
    }
    if !(200..300).contains(&status) {
        return Err(match status {
            300..400 => {
                Failure::for_good("the token endpoint answered with a redirection, which is not followed")
            }
            _ => Failure {
                reason: format!("the token endpoint answered {status}"),
                is_passing: is_passing(status),
                is_uncertain: status >= 500,
            },
        });
    }
    let granted = parsed.and_then(|parsed| {
        let access_token = parsed.access_token.filter(|token| !token.0.is_empty())?.0;
        let seconds = parsed.expires_in.as_ref().and_then(|value| match value {
            Value::String(text) => text.parse().ok(),
            other => other.as_i64(),
        });
        Some(Granted {
            access_token,
            refresh_token: parsed
                .refresh_token
                .map(|token| token.0)
                .filter(|token| !token.is_empty()),
            expires_in: seconds.filter(|seconds| (1..=LONGEST_LIFE).contains(seconds)),
        })
    });
    granted.ok_or_else(|| Failure {
        reason: "the token endpoint answered without an access token".to_owned(),
        is_passing: true,
        is_uncertain: true,
    })
}

const fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 425 | 429) || status >= 500
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(json: &str) -> Fields {
        serde_json::from_str(json).unwrap()
    }

    fn answered(status: u16, body: &str) -> std::result::Result<Granted, Failure> {
        outcome(Ok(Answer {
            status,
            content_type: None,
            body: body.as_bytes().to_vec(),
            cut: false,
        }))
    }

    #[test]
    fn a_request_names_the_client_as_it_is_told_to() {
        let text = |call: &Call| String::from_utf8(call.body.clone()).unwrap();
        let common = r#""token_url": "https://id.example/token", "client_id": "a b", "refresh_token": "r+1""#;
        let basic = call(&fields(&format!(
            "{{{common}, \"client_secret\": \"s:t\", \"scopes\": \"x y\"}}"
        )))
        .unwrap();
        assert_eq!(
            text(&basic),
            "grant_type=refresh_token&refresh_token=r%2B1&scope=x+y"
        );
        assert_eq!(
            basic.headers["authorization"],
            format!("Basic {}", STANDARD.encode("a+b:s%3At"))
        );
        let body = call(&fields(&format!(
            "{{{common}, \"client_secret\": \"s\", \"client_auth\": \"body\"}}"
        )))
        .unwrap();
        assert!(
            text(&body).ends_with("&client_id=a+b&client_secret=s")
                && !body.headers.contains_key("authorization")
        );
        let public = call(&fields(&format!("{{{common}}}"))).unwrap();
        assert!(text(&public).ends_with("&client_id=a+b"));
    }

    #[test]
    fn tokens_go_nowhere_without_tls_but_to_private_hosts() {
        for (url, fits) in [
            ("https://id.example/token", true),
            ("http://id.example/token", false),
            ("http://127.0.0.1:8000/token", true),
            ("http://[::1]/token", true),
            ("http://localhost/token", true),
            ("http://8.8.8.8/token", false),
            ("https://user:canary@id.example/", false),
            ("ftp://id.example", false),
            ("canary", false),
        ] {
            let json = serde_json::json!({ "client_id": "c", "token_url": url }).to_string();
            let checked = check_fields(&fields(&json));
            assert_eq!(checked.is_ok(), fits, "{url}");
            if let Err(error) = checked {
                assert_eq!(error.field.as_deref(), Some("fields.token_url"));
                assert!(!error.to_string().contains("canary"));
            }
        }
    }

    #[test]
    fn an_answer_is_taken_at_its_word_and_a_refusal_repeats_nothing() {
        let good = answered(
            200,
            r#"{"access_token":"a","token_type":"bearer","expires_in":"60","refresh_token":"r"}"#,
        );
        let good = good.unwrap();
        assert_eq!(
            (good.expires_in, good.refresh_token.unwrap().expose()),
            (Some(60), "r")
        );
        assert_eq!(
            answered(200, r#"{"access_token":"a","expires_in":-5}"#)
                .unwrap()
                .expires_in,
            None
        );
        for (status, body, is_passing, is_uncertain) in [
            (
                400,
                r#"{"error":"invalid_grant","error_description":"canary"}"#,
                false,
                false,
            ),
            (200, r#"{"error":"bad_refresh_token"}"#, false, false),
            (400, r#"{"error":"canary"}"#, false, false),
            (503, r#"{"error":"canary"}"#, true, false),
            (401, "canary", false, false),
            (429, "canary", true, false),
            (502, "<html>canary", true, true),
            (302, "canary", false, false),
            (200, "canary", true, true),
            (200, r#"{"access_token":""}"#, true, true),
            (200, r#"{"access_token":4711}"#, true, true),
        ] {
            let failure = answered(status, body).unwrap_err();
            assert_eq!(
                (failure.is_passing, failure.is_uncertain),
                (is_passing, is_uncertain),
                "{status} {body}"
            );
            assert!(!failure.reason.contains("canary") && !failure.reason.contains("4711"));
        }
    }
}
