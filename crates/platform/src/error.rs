//! The one place where an error becomes an HTTP answer: RFC 9457 problem details.

use std::fmt;

use actix_web::{HttpResponse, ResponseError, http::StatusCode, http::header};
use aim_core::{Code, Error};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

/// What a handler answers.
pub type ApiResult<T> = Result<T, ApiError>;

/// An error on its way out of a handler.
#[derive(Clone)]
pub struct ApiError(pub Error);

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl fmt::Debug for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.0.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        problem_response(&self.0, None)
    }
}

/// RFC 9457 problem details, with a stable code.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// A URI that names the kind of problem.
    #[serde(rename = "type")]
    pub kind: String,
    /// A short title, the same for each occurrence of the code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong with this very request; absent from a 5xx.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The stable code for programs.
    pub code: String,
    /// The field at fault, or the permission that is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What can be done about it.
    pub remedy: String,
    /// The id of the request, as the log knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<Uuid>,
}

impl Problem {
    /// The problem that `error` is.
    #[must_use]
    pub fn of(error: &Error, request_id: Option<Uuid>) -> Self {
        let code = error.code;
        let says_more = code.status() < 500 || code == Code::Unavailable;
        Self {
            kind: format!("urn:aim:problem:{}", code.slug()),
            title: code.title().to_owned(),
            status: code.status(),
            detail: (says_more && !error.detail.is_empty()).then(|| error.detail.clone()),
            code: code.slug().to_owned(),
            field: error.field.clone(),
            remedy: code.remedy().to_owned(),
            request_id,
        }
    }
}

/// A problem with extension members.
#[derive(Serialize)]
struct ExtendedProblem {
    #[serde(flatten)]
    problem: Problem,
    #[serde(flatten)]
    more: Map<String, Value>,
}

/// The answer to `error`.
#[must_use]
pub fn problem_response(error: &Error, request_id: Option<Uuid>) -> HttpResponse {
    extended_problem_response(error, request_id, |_| {})
}

/// The answer to `error`, with members that `extend` adds (RFC 9457 §3.2).
pub(crate) fn extended_problem_response(
    error: &Error,
    request_id: Option<Uuid>,
    extend: impl FnOnce(&mut Map<String, Value>),
) -> HttpResponse {
    let status = StatusCode::from_u16(error.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    if let Some(seconds) = error.retry_after {
        response.insert_header((header::RETRY_AFTER, seconds.to_string()));
    }
    if status == StatusCode::UNAUTHORIZED {
        response.insert_header((header::WWW_AUTHENTICATE, "Bearer realm=\"aim\""));
    }
    let mut more = Map::new();
    extend(&mut more);
    let extended = ExtendedProblem {
        problem: Problem::of(error, request_id),
        more,
    };
    let body = serde_json::to_string(&extended).unwrap_or_default();
    response.content_type("application/problem+json").body(body)
}
