//! Who calls, and what is answered.

use aim_crypto::keys::SigningKey;
use reqwest::{Method, header::HeaderMap};
use serde_json::Value;

use super::{app::TestApp, request::Prepared};

/// By what a caller proves who it is.
#[derive(Debug, Clone)]
pub enum Credential {
    /// Nothing.
    None,
    /// An access token, or an API key of any kind.
    Bearer(String),
    /// A signature by this key over every request (RFC 9421).
    Key(SigningKey),
}

/// Somebody who sends requests to one application.
#[derive(Clone)]
pub struct Caller<'a> {
    app: &'a TestApp,
    /// The proof of who it is.
    pub credential: Credential,
}

impl<'a> Caller<'a> {
    pub(crate) fn new(app: &'a TestApp, credential: Credential) -> Self {
        Self { app, credential }
    }

    /// `request` with this caller's credential, made now.
    #[must_use]
    pub fn prove(&self, request: Prepared) -> Prepared {
        match &self.credential {
            Credential::None => request,
            Credential::Bearer(token) => request.header("authorization", &format!("Bearer {token}")),
            Credential::Key(key) => request.signed(key, &self.app.authority(), self.app.now()),
        }
    }

    /// Sends any request.
    pub async fn send(&self, method: Method, target: &str, body: Option<&Value>) -> Answer {
        let request = Prepared::new(method, target);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        self.app.send(&self.prove(request)).await
    }

    /// GET.
    pub async fn get(&self, target: &str) -> Answer {
        self.send(Method::GET, target, None).await
    }

    /// GET with an `Accept` field.
    pub async fn get_as(&self, media_type: &str, target: &str) -> Answer {
        let request = Prepared::new(Method::GET, target).header("accept", media_type);
        self.app.send(&self.prove(request)).await
    }

    /// POST.
    pub async fn post(&self, target: &str, body: &Value) -> Answer {
        self.send(Method::POST, target, Some(body)).await
    }

    /// PUT.
    pub async fn put(&self, target: &str, body: &Value) -> Answer {
        self.send(Method::PUT, target, Some(body)).await
    }

    /// PATCH.
    pub async fn patch(&self, target: &str, body: &Value) -> Answer {
        self.send(Method::PATCH, target, Some(body)).await
    }

    /// DELETE.
    pub async fn delete(&self, target: &str) -> Answer {
        self.send(Method::DELETE, target, None).await
    }
}

/// What was answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body.
    pub text: String,
}

impl Answer {
    /// The body as JSON; null when there is none.
    #[must_use]
    pub fn json(&self) -> Value {
        if self.text.is_empty() {
            return Value::Null;
        }
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The body of an answer that must have this status.
    #[must_use]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.json()
    }

    /// A member of the body, as text.
    #[must_use]
    pub fn member(&self, name: &str) -> String {
        self.json()
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    }

    /// The problem's code.
    #[must_use]
    pub fn code(&self) -> String {
        self.member("code")
    }

    /// The field, or the missing permission, that the problem names.
    #[must_use]
    pub fn field(&self) -> String {
        self.member("field")
    }

    /// A header field.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body without the request's id, which is all that two equal refusals may differ in.
    #[must_use]
    pub fn text_without_request_id(&self) -> String {
        let id = self
            .header("x-request-id")
            .expect("every answer has a request id");
        self.text.replace(id, "…")
    }
}
