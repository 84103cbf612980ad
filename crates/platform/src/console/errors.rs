//! Errors as pages: what is wrong, the request's id, and a way on; never a stack trace.

use actix_web::{
    HttpResponse,
    http::{StatusCode, Uri, header},
};
use aim_core::{Actor, Code, Ctx, Error};
use askama::Template;

use super::{
    Console, Fragment, Frame, Links, Page, Theme,
    frame::{document, frame},
    page::{html_response, see_other},
    ui,
};
use crate::{Authenticated, EditionInfo, Kernel};

/// The paths that programs use: what goes wrong there is problem details.
const FOR_PROGRAMS: [&str; 3] = ["/api", "/health", "/metrics"];

/// What a request says about the page that it asks for.
#[derive(Debug, Clone)]
pub(crate) struct About {
    pub(super) path: String,
    pub(super) target: String,
    pub(super) theme: Theme,
    pub(super) utc: bool,
    pub(super) links: Links,
    pub(super) edition: EditionInfo,
    /// Whether a browser is navigating.
    pub(crate) wants_html: bool,
    /// Whether a link on another site led here.
    from_elsewhere: bool,
}

impl About {
    pub(super) fn of(headers: &header::HeaderMap, uri: &Uri, kernel: &Kernel, edition: &EditionInfo) -> Self {
        let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let target = uri.path_and_query().map_or(uri.path(), |both| both.as_str());
        Self {
            path: uri.path().to_owned(),
            // Two slashes would lead to another host.
            target: format!("/{}", target.trim_start_matches('/')),
            theme: Theme::parse(cookie(headers, "aim_theme")),
            utc: cookie(headers, "aim_time") == "utc",
            links: Links {
                learn_more: kernel.config.learn_more_url.clone(),
                upgrade: kernel.config.upgrade_url.clone(),
            },
            edition: edition.clone(),
            from_elsewhere: headers
                .get("sec-fetch-site")
                .is_some_and(|site| matches!(site.as_bytes(), b"cross-site" | b"same-site")),
            wants_html: text(header::ACCEPT).is_some_and(|accept| accept.contains("text/html")),
        }
    }

    /// The same, unless the path is for programs.
    pub(crate) fn of_page(
        headers: &header::HeaderMap,
        uri: &Uri,
        kernel: &Kernel,
        edition: &EditionInfo,
    ) -> Option<Self> {
        let path = uri.path();
        let is_under = |top: &&str| {
            path.strip_prefix(*top)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        (!FOR_PROGRAMS.iter().any(is_under)).then(|| Self::of(headers, uri, kernel, edition))
    }
}

fn cookie<'a>(headers: &'a header::HeaderMap, name: &str) -> &'a str {
    headers
        .get_all(header::COOKIE)
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(known, _)| *known == name)
        .map_or("", |(_, value)| value)
}

/// An error in plain words, for whoever sees a page.
pub(super) fn in_words(error: &Error) -> String {
    if error.code == Code::Unavailable {
        "The database did not answer.".to_owned()
    } else if error.code.status() >= 500 || error.detail.is_empty() {
        format!("{}.", error.code.title())
    } else {
        let mut text: String = error
            .detail
            .chars()
            .take(1)
            .flat_map(char::to_uppercase)
            .collect();
        text.extend(error.detail.chars().skip(1));
        if !text.ends_with(['.', '?', '!']) {
            text.push('.');
        }
        text
    }
}

#[derive(Template)]
#[template(path = "come_in.html")]
struct ComeIn<'a> {
    target: &'a str,
}

/// The session's cookie does not come along when a link on another site leads here (`SameSite=Strict`). From
/// a page of ours it does: this one goes on to where the link led.
fn come_in(about: &About) -> HttpResponse {
    let page = ComeIn {
        target: &about.target,
    };
    html_response(StatusCode::OK, page.render().unwrap_or_default())
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    frame: &'a Frame,
    status: u16,
    title: &'a str,
    why: String,
    permission: Option<&'a str>,
    remedy: &'a str,
    can_retry: bool,
}

/// The answer to `error` on a page.
pub(crate) async fn error_page(
    console: &Console,
    ctx: &Ctx,
    caller: Option<&Authenticated>,
    about: &About,
    error: &Error,
) -> HttpResponse {
    if error.code.status() == 401 && about.from_elsewhere {
        return come_in(about);
    }
    if error.code.status() == 401 && !about.path.starts_with("/sign-in") {
        let next = serde_html_form::to_string([("next", &about.target)]).unwrap_or_default();
        return see_other(&format!("/sign-in?{next}"));
    }
    let mut ctx = ctx.clone();
    if let Some(caller) = caller.filter(|caller| matches!(caller.actor, Actor::User { .. })) {
        ctx.actor = caller.actor.clone();
        ctx.organization = caller.organization;
    }
    let frame = frame(console, &ctx, about).await;
    let status = StatusCode::from_u16(error.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let (title, remedy) = match error.code {
        Code::NotFound => (
            "Page not found",
            "It may have been deleted, or belong to another organisation.",
        ),
        Code::Forbidden => (
            "You may not see this page",
            "Ask an administrator for a role that has it.",
        ),
        Code::MethodNotAllowed => (
            "This page can only be read",
            "Go back and use the buttons on the page.",
        ),
        Code::Unavailable => ("AIM cannot reach its database", "Try again in a moment."),
        Code::Internal => (
            "Something went wrong here",
            "Try again. If it stays so, give the request id to whoever runs AIM.",
        ),
        code => (code.title(), code.remedy()),
    };
    let content = ErrorPage {
        frame: &frame,
        status: status.as_u16(),
        title,
        why: in_words(error),
        permission: error.field.as_deref().filter(|_| error.code == Code::Forbidden),
        remedy,
        can_retry: status.is_server_error() || error.code == Code::RateLimited,
    };
    let text = Fragment::of(&content).and_then(|content| document(&frame, &Page::new(title), &content));
    let mut response = html_response(status, text.unwrap_or_else(|_| title.to_owned()));
    if let Some(seconds) = error.retry_after {
        let value = header::HeaderValue::from(seconds);
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
    response
}
