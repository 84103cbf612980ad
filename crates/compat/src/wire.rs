//! The two spellings of the SDKs' JSON. aim-sdk 2.x writes `camelCase`; the generation before it writes
//! `snake_case`, and reads answers in it. Requests are read in either; an answer has the spelling of its
//! request. Members that we do not know are passed over: a newer SDK may send more than this one.

use std::{future::Future, pin::Pin};

use actix_web::{FromRequest, HttpMessage, HttpRequest, HttpResponse, dev::Payload, http::StatusCode};
use aim_core::{Code, Error, Result};
use aim_platform::{
    ApiError,
    extract::{parse_body, read_body},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::python_json;

/// What every answer about a verification says: without a decision, nothing may run.
pub const ENFORCEMENT_MODE: &str = "strict";

/// How the members of a request are spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelling {
    /// `agentId`: aim-sdk 2.x.
    Camel,
    /// `agent_id`: the generation before.
    Snake,
}

impl Spelling {
    /// The spelling of a body: the older one as soon as one of its own members has an underscore.
    #[must_use]
    pub fn of(body: &[u8]) -> Self {
        match python_json::members(body) {
            Ok(members) if members.iter().any(|(name, _)| name.contains('_')) => Self::Snake,
            _ => Self::Camel,
        }
    }

    /// `value`, whose members are in camelCase, in this spelling. Nested members are respelled too, so
    /// nothing that the caller named may stand in `value` as a name.
    #[must_use]
    pub fn spell(self, value: &impl Serialize) -> Value {
        let value = serde_json::to_value(value).unwrap_or_default();
        match self {
            Self::Camel => value,
            Self::Snake => snake_members(value),
        }
    }

    /// An answer in this spelling.
    #[must_use]
    pub fn answer(self, status: StatusCode, value: &impl Serialize) -> HttpResponse {
        HttpResponse::build(status).json(self.spell(value))
    }

    /// Names the field of an error, which services spell in snake_case, as the caller spelled it.
    #[must_use]
    pub fn error(self, mut error: Error) -> Error {
        // Of a missing permission the field is its name.
        if error.code != Code::Forbidden {
            error.field = error.field.map(|field| match (self, field.as_str()) {
                (Self::Camel, "action") => "capability".to_owned(),
                (Self::Snake, "action") => "action_type".to_owned(),
                (Self::Camel, "tags") => "tagIds".to_owned(),
                (Self::Camel, field) => camel_case(&field.replacen("tags[", "tag_ids[", 1)),
                (Self::Snake, field) => field.to_owned(),
            });
        }
        error
    }
}

fn snake_members(value: Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .map(|(name, value)| (snake_case(&name), snake_members(value)))
                .collect::<Map<_, _>>(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(snake_members).collect()),
        other => other,
    }
}

fn snake_case(name: &str) -> String {
    name.chars()
        .fold(String::with_capacity(name.len() + 4), |mut snake, letter| {
            if letter.is_ascii_uppercase() {
                snake.push('_');
            }
            snake.push(letter.to_ascii_lowercase());
            snake
        })
}

fn camel_case(name: &str) -> String {
    let mut parts = name.split('_');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |mut camel, part| {
        let mut letters = part.chars();
        camel.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
        camel
    })
}

/// A JSON body in either spelling.
#[derive(Debug)]
pub struct Spelled<T> {
    /// The body.
    pub body: T,
    /// How it was spelled.
    pub spelling: Spelling,
}

impl<T: DeserializeOwned + 'static> FromRequest for Spelled<T> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = std::result::Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let media_type = request.content_type().to_owned();
        let mut payload = payload.take();
        Box::pin(async move {
            if !media_type.is_empty() && !media_type.ends_with("json") {
                return Err(
                    Error::new(Code::MediaType, format!("{media_type} is not application/json")).into(),
                );
            }
            let bytes = read_body(&mut payload).await?;
            let body: Result<T> = parse_body(&bytes);
            Ok(Self {
                body: body?,
                spelling: Spelling::of(&bytes),
            })
        })
    }
}

/// At most `longest` characters of `text`: the SDKs do not limit what they report, and drop it when it is refused.
#[must_use]
pub fn cut(text: Option<String>, longest: usize) -> Option<String> {
    text.map(|text| text.chars().take(longest).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_body_is_in_the_older_spelling_as_soon_as_a_member_of_its_own_has_an_underscore() {
        for (body, spelling) in [
            (
                json!({"agentId": "x", "context": {"risk_level": "low"}}),
                Spelling::Camel,
            ),
            (json!({"name": "x"}), Spelling::Camel),
            (json!({"name": "x", "agent_type": "ai_agent"}), Spelling::Snake),
            (json!([]), Spelling::Camel),
        ] {
            assert_eq!(Spelling::of(body.to_string().as_bytes()), spelling, "{body}");
        }
    }

    #[test]
    fn an_answer_has_the_spelling_of_its_request() {
        let answer = json!({"agentId": "a", "requests": [{"capabilityType": "db:read"}], "status": "fooBar"});
        assert_eq!(Spelling::Camel.spell(&answer), answer);
        let older =
            json!({"agent_id": "a", "requests": [{"capability_type": "db:read"}], "status": "fooBar"});
        assert_eq!(Spelling::Snake.spell(&answer), older);
    }

    #[test]
    fn a_field_at_fault_is_named_as_the_caller_spelled_it() {
        let field = |spelling: Spelling, field: &str| spelling.error(Error::field(field, "")).field.unwrap();
        assert_eq!(field(Spelling::Camel, "talks_to[3]"), "talksTo[3]");
        assert_eq!(field(Spelling::Camel, "tags[3]"), "tagIds[3]");
        assert_eq!(field(Spelling::Camel, "name"), "name");
        assert_eq!(field(Spelling::Snake, "talks_to[3]"), "talks_to[3]");
        let forbidden = Spelling::Camel.error(Error::forbidden("api_keys:read"));
        assert_eq!(forbidden.field.as_deref(), Some("api_keys:read"));
    }

    #[test]
    fn a_long_report_is_cut_between_characters() {
        assert_eq!(cut(Some("añb".to_owned()), 2).as_deref(), Some("añ"));
        assert_eq!(cut(Some("a".to_owned()), 2).as_deref(), Some("a"));
        assert_eq!(cut(None, 2), None);
    }
}
