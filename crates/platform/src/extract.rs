//! Extractors. The permission stands in the extractor's type, so that a handler cannot forget it;
//! put the one that authenticates first, so that 401 comes before 404 and 400.

use std::{future::Future, marker::PhantomData, pin::Pin};

use actix_web::{FromRequest, HttpMessage, HttpRequest, dev::Payload, web};
use aim_core::{Code, Ctx, Error, Id, RequiredPermission, Result};
use aim_store::Scope;
use futures_util::StreamExt;
use serde::de::DeserializeOwned;

use crate::{ApiError, Authenticated, Kernel, NonceClaim, shell::RequestFacts};

/// The largest body, in bytes.
pub const MAX_BODY: usize = 1024 * 1024;

type Extracting<T> = Pin<Box<dyn Future<Output = Result<T, ApiError>>>>;

fn authenticated(request: &HttpRequest) -> Result<(Ctx, Authenticated)> {
    let extensions = request.extensions();
    let facts = extensions
        .get::<RequestFacts>()
        .ok_or_else(|| Error::internal("the request did not come through the shell"))?;
    let caller = facts.caller.clone()?.ok_or_else(|| {
        Error::new(Code::CredentialsMissing, "this path needs credentials, and the request has none")
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
        return kernel
            .store
            .read(organization, move |db| crate::standing::check(db, organization, &actor, now))
            .await;
    };
    let fresh = kernel
        .store
        .write(Scope::Organization(organization), move |db| {
            crate::standing::check(db, organization, &actor, now)?;
            aim_store::nonces::claim(db, nonce.organization, &nonce.digest, nonce.expires_at)
        })
        .await?;
    if fresh { Ok(()) } else { Err(replayed()) }
}

/// The refusal of a signed request that was used before.
#[must_use]
pub fn replayed() -> Error {
    Error::new(Code::SignatureReplayed, "this very signature or nonce was used before")
}

fn kernel(request: &HttpRequest) -> Result<web::Data<Kernel>> {
    request.app_data::<web::Data<Kernel>>().cloned().ok_or_else(|| Error::internal("no kernel"))
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
            Ok(Self { ctx, permission: PhantomData })
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
            Ok(Self { ctx, permission: PhantomData })
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
            aim_core::Actor::Agent { .. } => {
                Ok(Self { ctx, nonce: caller.nonce, scheme: caller.scheme })
            }
            _ => Err(Error::new(Code::Forbidden, "only an agent can ask for its own action; sign the request with its key")),
        });
        std::future::ready(found.map_err(ApiError::from))
    }
}

/// Anybody, with or without credentials.
#[derive(Debug)]
pub struct Anyone {
    /// The context; its actor is anonymous and its organisation nil unless valid credentials came along.
    pub ctx: Ctx,
}

impl FromRequest for Anyone {
    type Error = ApiError;
    type Future = std::future::Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let found = match authenticated(request) {
            Ok((ctx, _)) => Ok(Self { ctx }),
            Err(_) => crate::shell::context_of(request).map(|ctx| Self { ctx }),
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
        let id = request.match_info().iter().next().and_then(|(_, text)| text.parse().ok());
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
            outer.zip(inner).map(|(outer, inner)| Self(outer, inner)).ok_or_else(|| Error::not_found().into()),
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
                return Err(Error::new(Code::MediaType, format!("{media_type} is not application/json")).into());
            }
            let bytes = read_body(&mut payload).await?;
            Ok(Self(parse_body(&bytes)?))
        })
    }
}

/// Reads a JSON body, naming the field where it goes wrong.
///
/// # Errors
/// `request.invalid` for what is no JSON, `request.field_invalid` with the field's path otherwise.
pub fn parse_body<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        let text = inner.to_string();
        let named = text.split('`').nth(1).filter(|_| text.contains("field"));
        let field = match (path.as_str(), named) {
            ("." | "", Some(name)) => name.to_owned(),
            (path, Some(name)) => format!("{path}.{name}"),
            (path, None) => path.to_owned(),
        };
        if inner.classify() == serde_json::error::Category::Data {
            Error::field(field, text)
        } else {
            Error::new(Code::RequestInvalid, format!("the body is not valid JSON: {text}"))
        }
    })?;
    json.end().map_err(|error| Error::new(Code::RequestInvalid, format!("after the JSON value: {error}")))?;
    Ok(value)
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
        let chunk = chunk.map_err(|error| Error::new(Code::RequestInvalid, format!("the body broke off: {error}")))?;
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
    Ok(only.or_else(|| whole.map(web::BytesMut::freeze)).unwrap_or_default())
}

/// Query parameters; a key may stand more than once where the field is a list.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for Query<T> {
    type Error = ApiError;
    type Future = std::future::Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let parsed = serde_html_form::from_str(request.query_string());
        std::future::ready(parsed.map(Self).map_err(|error| {
            let text = error.to_string();
            let field = text.split('`').nth(1).unwrap_or("query").to_owned();
            Error::new(Code::RequestInvalid, format!("the query string: {text}")).at(field).into()
        }))
    }
}
