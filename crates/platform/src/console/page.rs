//! What a page's handler answers.

use std::fmt;

use actix_web::{
    HttpRequest, HttpResponse, Responder, ResponseError,
    body::BoxBody,
    http::{StatusCode, header},
};
use aim_core::Error;

use crate::error::problem_response;

/// What may run in a page, and whom it may talk to: ourselves, and nobody else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
     form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// What a page's handler answers.
pub type PageResult = Result<Html, PageError>;

/// A page, or the way to another one.
#[derive(Debug, Clone)]
pub struct Html(Answer);

#[derive(Debug, Clone)]
enum Answer {
    Page(String),
    Elsewhere(String),
}

impl Html {
    pub(super) fn document(text: String) -> Self {
        Self(Answer::Page(text))
    }

    /// The way to another page of ours.
    #[must_use]
    pub fn redirect(path: impl Into<String>) -> Self {
        Self(Answer::Elsewhere(path.into()))
    }
}

impl Responder for Html {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        match self.0 {
            Answer::Page(text) => html_response(StatusCode::OK, text),
            Answer::Elsewhere(path) => see_other(&path),
        }
    }
}

/// HTML with the headers that every page has.
pub(super) fn html_response(status: StatusCode, text: String) -> HttpResponse {
    HttpResponse::build(status)
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::REFERRER_POLICY, "same-origin"))
        .insert_header(("cross-origin-opener-policy", "same-origin"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(text)
}

/// 303 to another page.
pub(super) fn see_other(path: &str) -> HttpResponse {
    HttpResponse::SeeOther()
        .insert_header((header::LOCATION, path))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .finish()
}

/// An error on its way out of a page's handler; the shell makes a page of it.
#[derive(Clone)]
pub struct PageError(pub Error);

impl From<Error> for PageError {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl fmt::Debug for PageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for PageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl ResponseError for PageError {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.0.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        problem_response(&self.0, None)
    }
}

/// What the frame is told about a page. A title alone will do: `viewing.page("Agents", &template)`.
#[derive(Debug, Clone)]
pub struct Page {
    pub(super) title: String,
    pub(super) scripts: Vec<&'static str>,
}

impl Page {
    /// A page of that title.
    #[must_use]
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            scripts: Vec::new(),
        }
    }

    /// With a module of `assets/` beyond the common one.
    #[must_use]
    pub fn script(mut self, name: &'static str) -> Self {
        self.scripts.push(name);
        self
    }
}

impl From<&str> for Page {
    fn from(title: &str) -> Self {
        Self::new(title)
    }
}

impl From<String> for Page {
    fn from(title: String) -> Self {
        Self::new(title)
    }
}
