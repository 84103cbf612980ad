//! Extractors. The permission stands in the extractor's type, so that a handler cannot forget it;
//! put the one that authenticates first, so that 401 comes before 404 and 400.

use std::{future::Future, marker::PhantomData, pin::Pin};

use actix_web::{FromRequest, HttpMessage, HttpRequest, dev::Payload, web};
use aim_core::{AgentCredential, Code, Ctx, Error, Id, RequiredPermission, Result};
use aim_store::Scope;
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{ApiError, Authenticated, Kernel, NonceClaim, Refusal, shell::RequestFacts};

/// The largest body, in bytes.
pub const MAX_BODY: usize = 1024 * 1024;
/// The most characters of a parser's message that are passed on.
const LONGEST_MESSAGE: usize = 400;
const ESCAPED_NUL: &[u8] = br"\u0000";
const NUL_REFUSED: &str = "a text must not contain the character U+0000";

type Extracting<T> = Pin<Box<dyn Future<Output = Result<T, ApiError>>>>;

pub(crate) fn authenticated(request: &HttpRequest) -> Result<(Ctx, Authenticated)> {
    let extensions = request.extensions();
    let facts = extensions
        .get::<RequestFacts>()
        .ok_or_else(|| Error::internal("the request did not come through the shell"))?;
    let caller = facts.caller.clone()?.ok_or_else(|| {
        Error::new(
            Code::CredentialsMissing,
            "this path needs credentials, and the request has none",
        )
    })?;
    let mut ctx = facts.ctx.clone();
    ctx.actor = caller.actor.clone();
    ctx.organization = caller.organization;
    Ok((ctx, caller))
}

/// Uses up the nonce of a signed request whose act does not do so itself, and checks in the same
/// transaction that the agent and its key still count.
async fn claim(kernel: &Kernel, ctx: &Ctx, nonce: Option<NonceClaim>) -> Result<()> {
    if !matches!(ctx.actor, aim_core::Actor::Agent { .. }) {
        return Ok(());
    }
    let (organization, now, actor) = (ctx.organization, ctx.now, ctx.actor.clone());
    let Some(nonce) = nonce else {
        let standing = kernel
            .store
            .read(organization, move |db| {
                crate::standing::check(db, organization, &actor, now)
            })
            .await;
        if let Err(error) = &standing {
            note_refusal(kernel, ctx, error.code).await;
        }
        return standing;
    };
    let fresh = kernel
        .store
        .write(Scope::Organization(organization), move |db| {
            crate::standing::check(db, organization, &actor, now)?;
            aim_store::nonces::claim(db, nonce.organization, &nonce.digest, nonce.expires_at)
        })
        .await;
    let outcome = fresh.and_then(|fresh| if fresh { Ok(()) } else { Err(replayed()) });
    if let Err(error) = &outcome {
        note_refusal(kernel, ctx, error.code).await;
    }
    outcome
}

/// Whether a credential was used from where it may not be.
fn is_elsewhere(credential: &AgentCredential) -> bool {
    match credential {
        AgentCredential::Key { .. } => false,
        AgentCredential::Limited { limits, .. } => {
            !crate::standing::is_used_where_it_may(limits).unwrap_or(false)
        }
    }
}

/// A replay, the use of a key that has ended and of a credential where it may not be used leave evidence. For acts that use up
/// a signature in their own transaction; the extractors do it for all others.
pub async fn note_refusal(kernel: &Kernel, ctx: &Ctx, code: Code) {
    let aim_core::Actor::Agent { id, credential } = &ctx.actor else {
        return;
    };
    let code = match code {
        Code::SignatureReplayed => code.slug(),
        Code::CredentialsInvalid => "key.ended",
        Code::Forbidden if is_elsewhere(credential) => "credential.address_not_allowed",
        _ => return,
    };
    let fingerprint = match credential {
        AgentCredential::Key { fingerprint } => Some(fingerprint.as_str()),
        AgentCredential::Limited { .. } => None,
    };
    let refusal = Refusal {
        organization: ctx.organization,
        agent: *id,
        fingerprint,
        code,
        scheme: "signed_request",
        now: ctx.now,
        source_ip: ctx.source_ip.as_deref(),
        asked: "another route than the verified action".to_owned(),
    };
    kernel.refusals.note(&kernel.store, refusal).await;
}

/// The refusal of a signed request that was used before.
#[must_use]
pub fn replayed() -> Error {
    Error::new(
        Code::SignatureReplayed,
        "this very signature or nonce was used before",
    )
}

fn kernel(request: &HttpRequest) -> Result<web::Data<Kernel>> {
    request
        .app_data::<web::Data<Kernel>>()
        .cloned()
        .ok_or_else(|| Error::internal("no kernel"))
}

/// A user or an organisation API key that has the permission `P`. Agents are refused.
#[derive(Debug)]
pub struct Authed<P> {
    /// The context of the call.
    pub ctx: Ctx,
    permission: PhantomData<fn() -> P>,
}

impl<P: RequiredPermission> FromRequest for Authed<P> {
    type Error = ApiError;
    type Future = Extracting<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let found = authenticated(request).and_then(|found| Ok((found, kernel(request)?)));
        Box::pin(async move {
            let ((ctx, caller), kernel) = found?;
            match ctx.actor.role() {
                Some(role) if role >= P::PERMISSION.minimum => {}
                _ => return Err(Error::forbidden(P::PERMISSION.name).into()),
            }
            claim(&kernel, &ctx, caller.nonce).await?;
            Ok(Self {
                ctx,
                permission: PhantomData,
            })
        })
    }
}

/// A caller with the permission `P`, or an agent. The service holds an agent to its own things
/// with [`Ctx::acts_for`].
#[derive(Debug)]
pub struct AuthedOrAgent<P> {
    /// The context of the call.
    pub ctx: Ctx,
    permission: PhantomData<fn() -> P>,
}

impl<P: RequiredPermission> FromRequest for AuthedOrAgent<P> {
    type Error = ApiError;
    type Future = Extracting<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let found = authenticated(request).and_then(|found| Ok((found, kernel(request)?)));
        Box::pin(async move {
            let ((ctx, caller), kernel) = found?;
            match (ctx.actor.role(), &ctx.actor) {
                (Some(role), _) if role >= P::PERMISSION.minimum => {}
                (_, aim_core::Actor::Agent { .. }) => {}
                _ => return Err(Error::forbidden(P::PERMISSION.name).into()),
            }
            claim(&kernel, &ctx, caller.nonce).await?;
            Ok(Self {
                ctx,
                permission: PhantomData,
            })
        })
    }
}

/// An agent about to act. Its nonce is not used up yet: that belongs into the transaction of the act.
#[derive(Debug)]
pub struct SignedAgent {
    /// The context of the call; its actor is the agent.
    pub ctx: Ctx,
    /// What the act must claim; none for credentials that are no signatures.
    pub nonce: Option<NonceClaim>,
    /// How the agent proved itself.
    pub scheme: &'static str,
}

impl FromRequest for SignedAgent {
    type Error = ApiError;
    type Future = std::future::Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let found = authenticated(request).and_then(|(ctx, caller)| match ctx.actor {
            aim_core::Actor::Agent { .. } => Ok(Self {
                ctx,
                nonce: caller.nonce,
                scheme: caller.scheme,
            }),
            _ => Err(Error::new(
                Code::Forbidden,
                "only an agent can ask for its own action; sign the request with its key",
            )),
        });
        std::future::ready(found.map_err(ApiError::from))
    }
}

/// Anybody, with or without credentials.
#[derive(Debug)]
pub struct Anyone {
    /// The context; its actor is anonymous and its organisation nil unless valid credentials came along.
    pub ctx: Ctx,
    /// What an act for the agent that signed must claim; none for all others.
    pub nonce: Option<NonceClaim>,
    /// How the caller proved itself; empty for whoever did not.
    pub scheme: &'static str,
}

impl FromRequest for Anyone {
    type Error = ApiError;
    type Future = std::future::Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let found = match authenticated(request) {
            Ok((ctx, caller)) => Ok(Self {
                ctx,
                nonce: caller.nonce,
                scheme: caller.scheme,
            }),
            Err(_) => crate::shell::context_of(request).map(|ctx| Self {
                ctx,
                nonce: None,
                scheme: "",
            }),
        };
        std::future::ready(found.map_err(ApiError::from))
    }
}

/// An id in the path. What is no id at all gets the same 404 as an unknown one.
#[derive(Debug)]
pub struct PathId<Kind>(pub Id<Kind>);

impl<Kind: 'static> FromRequest for PathId<Kind> {
    type Error = ApiError;
    type Future = std::future::Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let id = request
            .match_info()
            .iter()
            .next()
            .and_then(|(_, text)| text.parse().ok());
        std::future::ready(id.map(Self).ok_or_else(|| Error::not_found().into()))
    }
}

/// Two ids in the path, the outer one first.
#[derive(Debug)]
pub struct PathIds<Outer, Inner>(pub Id<Outer>, pub Id<Inner>);

impl<Outer: 'static, Inner: 'static> FromRequest for PathIds<Outer, Inner> {
    type Error = ApiError;
    type Future = std::future::Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let mut segments = request.match_info().iter().map(|(_, text)| text);
        let outer = segments.next().and_then(|text| text.parse().ok());
        let inner = segments.next().and_then(|text| text.parse().ok());
        std::future::ready(
            outer
                .zip(inner)
                .map(|(outer, inner)| Self(outer, inner))
                .ok_or_else(|| Error::not_found().into()),
        )
    }
}

/// A JSON body. What is wrong with it is told by field.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for Body<T> {
    type Error = ApiError;
    type Future = Extracting<Self>;

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
            Ok(Self(parse_body(&bytes)?))
        })
    }
}

/// Reads a JSON object, naming the field where it goes wrong.
///
/// # Errors
/// `request.invalid` for what is no JSON, `request.field_invalid` with the field's path otherwise.
pub fn parse_body<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    // A derived reader would take a list too, and its items as the fields in their order.
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        return Err(Error::field("body", "the body must be a JSON object, not a list"));
    }
    refuse_nul(bytes)?;
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        let text = without_values(&inner.to_string());
        if inner.classify() == serde_json::error::Category::Data {
            Error::field(shortened(&field_at_fault(&path, &text)), shortened(&text))
        } else {
            Error::new(
                Code::RequestInvalid,
                format!("the body is not valid JSON: {}", shortened(&text)),
            )
        }
    })?;
    json.end()
        .map_err(|error| Error::new(Code::RequestInvalid, format!("after the JSON value: {error}")))?;
    Ok(value)
}

/// serde's message without what the client sent as a value, which may be a secret in the wrong place: what was sent is known
/// to the client, and answers are kept in places where bodies are not. Names of fields stay.
fn without_values(text: &str) -> String {
    let kinds = ["invalid type: ", "invalid value: ", "unknown variant"];
    let Some(rest) = kinds.iter().find_map(|start| text.strip_prefix(start)) else {
        return text.to_owned();
    };
    let start = text.strip_suffix(rest).unwrap_or_default();
    // `string "…", expected …`, and "`…`, expected …"; the last one, because the value may say it too.
    let kind = rest.split(['"', '`']).next().unwrap_or_default().trim_end();
    let kind = kind.split(", ").next().unwrap_or_default();
    let expected = rest.rfind(", expected ").map_or("", |at| rest.split_at(at).1);
    format!("{start}{kind}{expected}")
}

/// The field that serde's message is about: its path, with the member that the message names where the
/// path ends above it.
fn field_at_fault(path: &str, text: &str) -> String {
    let whole = if path == "." { "" } else { path };
    let named = text
        .split('`')
        .nth(1)
        .filter(|name| text.contains("field") && !name.is_empty());
    let ends_there = |name: &str| whole == name || whole.ends_with(&format!(".{name}"));
    match named {
        Some(name) if text.starts_with("missing field") || !ends_there(name) => joined(whole, name),
        _ if whole.is_empty() => "body".to_owned(),
        _ => whole.to_owned(),
    }
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

/// A message may quote what the client sent, which can be as large as a body.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST_MESSAGE) {
        Some((end, _)) => format!("{}…", text.split_at(end).0),
        None => text.to_owned(),
    }
}

/// PostgreSQL's text and JSON cannot hold U+0000, so no text may, whichever database there is.
fn refuse_nul(bytes: &[u8]) -> Result<()> {
    // In JSON it can only stand as an escape; most bodies have none, and are not read twice.
    if !bytes
        .windows(ESCAPED_NUL.len())
        .any(|window| window == ESCAPED_NUL)
    {
        return Ok(());
    }
    let found = serde_json::from_slice(bytes)
        .ok()
        .and_then(|value| path_to_nul(&value, ""));
    found.map_or(Ok(()), |field| Err(Error::field(shortened(&field), NUL_REFUSED)))
}

fn path_to_nul(value: &Value, path: &str) -> Option<String> {
    let here = || {
        if path.is_empty() {
            "body".to_owned()
        } else {
            path.to_owned()
        }
    };
    match value {
        Value::String(text) => text.contains('\0').then(here),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(index, item)| path_to_nul(item, &format!("{path}[{index}]"))),
        Value::Object(members) => members.iter().find_map(|(name, member)| {
            if name.contains('\0') {
                Some(here())
            } else {
                path_to_nul(member, &joined(path, name))
            }
        }),
        _ => None,
    }
}

/// Reads at most [`MAX_BODY`] bytes.
///
/// # Errors
/// `request.too_large`, or `request.invalid` when the client broke off.
pub async fn read_body(payload: &mut Payload) -> Result<web::Bytes> {
    let mut whole: Option<web::BytesMut> = None;
    let mut only: Option<web::Bytes> = None;
    let mut size = 0;
    while let Some(chunk) = payload.next().await {
        let chunk = chunk
            .map_err(|error| Error::new(Code::RequestInvalid, format!("the body broke off: {error}")))?;
        size += chunk.len();
        if size > MAX_BODY {
            return Err(Error::new(Code::BodyTooLarge, "the body is larger than 1 MiB"));
        }
        match (&mut whole, only.take()) {
            (Some(whole), _) => whole.extend_from_slice(&chunk),
            (None, None) => only = Some(chunk),
            (None, Some(first)) => {
                let mut bytes = web::BytesMut::with_capacity(first.len() + chunk.len());
                bytes.extend_from_slice(&first);
                bytes.extend_from_slice(&chunk);
                whole = Some(bytes);
            }
        }
    }
    Ok(only
        .or_else(|| whole.map(web::BytesMut::freeze))
        .unwrap_or_default())
}

/// Query parameters; a key may stand more than once where the field is a list.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for Query<T> {
    type Error = ApiError;
    type Future = std::future::Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        std::future::ready(
            parse_query(request.query_string())
                .map(Self)
                .map_err(ApiError::from),
        )
    }
}

pub(crate) fn parse_query<T: DeserializeOwned>(query: &str) -> Result<T> {
    let refusal = |field: &str, text: &str| {
        Error::new(
            Code::RequestInvalid,
            format!("the query string: {}", shortened(text)),
        )
        .at(shortened(field))
    };
    if query.contains("%00") {
        let pairs: Vec<(String, String)> = serde_html_form::from_str(query).unwrap_or_default();
        if let Some((name, _)) = pairs
            .iter()
            .find(|(name, value)| name.contains('\0') || value.contains('\0'))
        {
            return Err(refusal(
                if name.contains('\0') { "query" } else { name },
                NUL_REFUSED,
            ));
        }
    }
    serde_html_form::from_str(query).map_err(|error| {
        let text = error.to_string();
        let named = text.split('`').nth(1).filter(|name| !name.is_empty());
        refusal(named.unwrap_or("query"), &text)
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only whether it can be read matters")]
    struct Outer {
        name: String,
        #[serde(default)]
        inner: Option<Inner>,
        #[serde(default)]
        more: Value,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only whether it can be read matters")]
    struct Inner {
        name: String,
        #[serde(default)]
        tags: Vec<String>,
    }

    fn refused(body: &str) -> Error {
        parse_body::<Outer>(body.as_bytes()).unwrap_err()
    }

    #[test]
    fn what_is_wrong_with_a_body_is_told_by_the_path_of_the_field() {
        for (body, field) in [
            (r#"{}"#, "name"),
            (r#"{"name":1}"#, "name"),
            (r#"{"name":"a","other":1}"#, "other"),
            (r#"{"name":"a","":1}"#, "body"),
            (r#"{"name":"a","name":"b"}"#, "name"),
            (r#"{"name":"a","inner":{}}"#, "inner.name"),
            (r#"{"name":"a","inner":{"name":{}}}"#, "inner.name"),
            (
                r#"{"name":"a","inner":{"name":"b","tags":["c",1]}}"#,
                "inner.tags[1]",
            ),
            (r#"{"name":"a","inner":{"name":"b","other":1}}"#, "inner.other"),
            (r#"["a"]"#, "body"),
            (r#"null"#, "body"),
        ] {
            let error = refused(body);
            assert_eq!(error.code, Code::FieldInvalid, "{body}");
            assert_eq!(error.field.as_deref(), Some(field), "{body}: {error:?}");
        }
        assert_eq!(refused("{").code, Code::RequestInvalid);
    }

    #[test]
    fn what_was_sent_as_a_value_is_not_quoted() {
        for (body, said) in [
            (r#""canary""#, "invalid type: string, expected struct Outer"),
            (
                r#"{"name":["canary"]}"#,
                "invalid type: sequence, expected a string",
            ),
            (r#"{"name":4711}"#, "invalid type: integer, expected a string"),
            (
                r#"{"name":"a","inner":"canary, expected `canary` field \"canary"}"#,
                "invalid type: string, expected struct Inner",
            ),
            (
                r#"{"name":"a","inner":{"name":"b","tags":"`canary` field"}}"#,
                "invalid type: string, expected a sequence",
            ),
        ] {
            let error = refused(body);
            assert!(error.detail.starts_with(said), "{body}: {error:?}");
            let all = format!("{error:?}");
            assert!(
                !all.contains("canary") && !all.contains("4711"),
                "{body}: {error:?}"
            );
        }
        let variant = "unknown variant `canary`, expected `a` or `b` at line 1 column 9";
        let told = "unknown variant, expected `a` or `b` at line 1 column 9";
        assert_eq!(without_values(variant), told);
        assert_eq!(
            without_values("unknown variant `canary`, there are no variants"),
            "unknown variant"
        );
        let field = "unknown field `under`, expected `items`";
        assert_eq!(without_values(field), field, "a name is told");
    }

    #[test]
    fn a_text_with_the_character_that_postgresql_cannot_hold_is_refused_by_name() {
        for (body, field) in [
            (r#"{"name":"a\u0000b"}"#, "name"),
            (
                r#"{"name":"a","inner":{"name":"b","tags":["c","\u0000"]}}"#,
                "inner.tags[1]",
            ),
            (r#"{"name":"a","more":{"x":[{"y":"\\\u0000"}]}}"#, "more.x[0].y"),
            (r#"{"name":"a","more":{"\u0000":1}}"#, "more"),
        ] {
            let error = refused(body);
            assert_eq!(error.code, Code::FieldInvalid, "{body}");
            assert_eq!(error.field.as_deref(), Some(field), "{body}: {error:?}");
        }
        // A backslash, and then the letters: no escape.
        parse_body::<Outer>(br#"{"name":"a\\u0000b"}"#).unwrap();

        let error = parse_query::<Vec<(String, String)>>("q=x&tag=a%00b").unwrap_err();
        assert_eq!(
            (error.code, error.field.as_deref()),
            (Code::RequestInvalid, Some("tag"))
        );
        let error = parse_query::<Vec<(String, String)>>("%00=x").unwrap_err();
        assert_eq!(error.field.as_deref(), Some("query"));
        parse_query::<Vec<(String, String)>>("q=a%2500b").unwrap();
    }

    #[test]
    fn a_refusal_does_not_repeat_a_whole_body() {
        let error = refused(&format!(r#"{{"name":"a","{}":1}}"#, "x".repeat(100_000)));
        assert!(error.detail.len() < 2_000 && error.field.unwrap_or_default().len() < 2_000);
    }
}
