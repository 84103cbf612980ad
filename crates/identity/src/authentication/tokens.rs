//! Tokens that AIM issued: sessions and organisation API keys, as a bearer, a header or a cookie.

use actix_web::{cookie::Cookie, http::header};
use aim_core::{Code, Error, Result};
use aim_crypto::token::{ParsedToken, TokenKind};
use aim_platform::{Authenticated, Authenticator, RequestHead, auth::AuthFuture};

use super::csrf;
use crate::{ApiKeyService, Identity, SessionService};

/// The cookie that holds a browser's session.
pub(crate) const SESSION_COOKIE: &str = "aim_session";

/// Headers in which clients send an organisation API key.
const KEY_HEADERS: [&str; 2] = ["x-api-key", "x-aim-api-key"];

/// `Authorization: Bearer` with a session or an organisation API key, `X-API-Key`, `X-AIM-API-Key`.
/// Bearers with other prefixes are not ours.
pub(super) struct BearerAuthenticator {
    sessions: SessionService,
    api_keys: ApiKeyService,
}

impl BearerAuthenticator {
    pub(super) fn new(identity: &Identity) -> Self {
        Self {
            sessions: identity.sessions(),
            api_keys: identity.api_keys(),
        }
    }

    /// The token of ours in the request: the bearer first.
    fn token<'a>(head: &RequestHead<'a>) -> Option<&'a str> {
        let has = |text: &str, kind: TokenKind| text.starts_with(kind.prefix());
        head.bearer()
            .filter(|text| has(text, TokenKind::Session) || has(text, TokenKind::OrganizationKey))
            .or_else(|| {
                KEY_HEADERS
                    .iter()
                    .filter_map(|name| head.header(name))
                    .map(str::trim)
                    .find(|text| has(text, TokenKind::OrganizationKey))
            })
    }

    async fn check(&self, head: &RequestHead<'_>) -> Result<Authenticated> {
        let token = parse(Self::token(head).unwrap_or_default())?;
        match token.kind() {
            TokenKind::Session => self.sessions.authenticate(&token, head.now).await,
            TokenKind::OrganizationKey => self.api_keys.authenticate(&token, head.now).await,
            _ => Err(Error::new(
                Code::CredentialsInvalid,
                "this kind of token opens nothing here",
            )),
        }
    }
}

impl Authenticator for BearerAuthenticator {
    fn recognises(&self, head: &RequestHead<'_>) -> bool {
        Self::token(head).is_some()
    }

    fn authenticate<'a>(&'a self, head: &'a RequestHead<'a>, _body: &'a [u8]) -> AuthFuture<'a> {
        Box::pin(self.check(head))
    }
}

/// The session cookie of a browser, which other sites must not make use of.
pub(super) struct CookieAuthenticator {
    sessions: SessionService,
}

impl CookieAuthenticator {
    pub(super) fn new(identity: &Identity) -> Self {
        Self {
            sessions: identity.sessions(),
        }
    }

    fn token(head: &RequestHead<'_>) -> Option<String> {
        head.headers
            .get_all(header::COOKIE)
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| Cookie::parse(pair.trim()).ok())
            .find(|cookie| cookie.name() == SESSION_COOKIE && !cookie.value().is_empty())
            .map(|cookie| cookie.value().to_owned())
    }

    async fn check(&self, head: &RequestHead<'_>) -> Result<Authenticated> {
        let token = parse(&Self::token(head).unwrap_or_default())?;
        if token.kind() != TokenKind::Session {
            return Err(Error::new(
                Code::CredentialsInvalid,
                "the cookie holds no session; sign in again",
            ));
        }
        csrf::check(head)?;
        self.sessions.authenticate(&token, head.now).await
    }
}

impl Authenticator for CookieAuthenticator {
    fn recognises(&self, head: &RequestHead<'_>) -> bool {
        Self::token(head).is_some()
    }

    fn authenticate<'a>(&'a self, head: &'a RequestHead<'a>, _body: &'a [u8]) -> AuthFuture<'a> {
        Box::pin(self.check(head))
    }
}

fn parse(text: &str) -> Result<ParsedToken> {
    ParsedToken::parse(text).map_err(|error| Error::new(Code::CredentialsInvalid, error.to_string()))
}
