//! The ways in: the start, sign-in, and set-up of a new installation.

use actix_web::web;
use aim_platform::{
    Query,
    console::{Html, Page, PageResult, Visiting, ui},
};
use askama::Template;
use serde::Deserialize;

use crate::set_up::SetUpService;

/// The page that whoever is signed in starts at: the first of these that this console has.
const STARTS: [&str; 2] = ["/overview", "/agents"];

fn first_page(visiting: &Visiting) -> &'static str {
    STARTS
        .into_iter()
        .find(|path| visiting.has_page(path))
        .unwrap_or("/profile")
}

/// `/`: the overview, sign-in, or set-up.
pub(super) async fn start(visiting: Visiting, service: web::Data<SetUpService>) -> PageResult {
    if visiting.is_signed_in() {
        return Ok(Html::redirect(first_page(&visiting)));
    }
    Ok(Html::redirect(if service.is_needed().await? {
        "/set-up"
    } else {
        "/sign-in"
    }))
}

/// Where to go after sign-in.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SignInQuery {
    next: String,
}

/// A path of our own, or the start. What could lead elsewhere, or means something to the page's modules, does not pass.
fn own_path(next: &str) -> &str {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~?&=%+:,@".contains(&byte);
    if next.starts_with('/') && !next.starts_with("//") && next.bytes().all(plain) {
        next
    } else {
        "/"
    }
}

#[derive(Template)]
#[template(path = "account/sign_in.html")]
struct SignInPage<'a> {
    next: &'a str,
}

/// `/sign-in`.
pub(super) async fn sign_in(
    visiting: Visiting,
    query: Query<SignInQuery>,
    service: web::Data<SetUpService>,
) -> PageResult {
    let next = own_path(&query.0.next);
    if visiting.is_signed_in() {
        return Ok(Html::redirect(next));
    }
    if service.is_needed().await? {
        return Ok(Html::redirect("/set-up"));
    }
    visiting.page(Page::new("Sign in").script("entrance.js"), &SignInPage { next })
}

#[derive(Template)]
#[template(path = "account/set_up.html")]
struct SetUpPage;

/// `/set-up`, once.
pub(super) async fn set_up(visiting: Visiting, service: web::Data<SetUpService>) -> PageResult {
    if !service.is_needed().await? {
        return Ok(Html::redirect("/sign-in"));
    }
    visiting.page(Page::new("Set up AIM").script("entrance.js"), &SetUpPage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sign_in_leads_to_paths_of_our_own_only() {
        for path in [
            "/agents",
            "/agents?status=active&cursor=a%2Bb",
            "/agents/0190/trust",
        ] {
            assert_eq!(own_path(path), path);
        }
        for path in [
            "",
            "agents",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/a|goto:/b",
            "/{id}",
            "javascript:alert(1)",
            "/\n/evil.example",
        ] {
            assert_eq!(own_path(path), "/", "{path}");
        }
    }
}
