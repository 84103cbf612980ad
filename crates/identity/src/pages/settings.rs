//! `/settings`: the organisation, this installation, and the ways to what can be set elsewhere.

use actix_web::web;
use aim_core::role::permission::OrganizationRead;
use aim_platform::{
    EditionInfo,
    console::{Frame, PageResult, Viewing, ui},
};
use askama::Template;

use crate::{OrganizationService, organizations::OrganizationView};

/// Pages that belong to the settings, where this console has them and the viewer may see them.
const ELSEWHERE: [(&str, &str, &str); 5] = [
    (
        "/policies",
        "Policies",
        "What counts for every agent, whatever it was granted",
    ),
    (
        "/users",
        "Users and roles",
        "Who may sign in, and what they may do",
    ),
    (
        "/api-keys",
        "API keys",
        "Keys by which programs call the API for the organisation",
    ),
    (
        "/retention",
        "Retention",
        "How long data is kept, and legal holds",
    ),
    ("/webhooks", "Webhooks", "Where alerts are sent"),
];

struct Place {
    path: &'static str,
    title: &'static str,
    words: &'static str,
}

#[derive(Template)]
#[template(path = "account/settings.html")]
struct SettingsPage<'a> {
    frame: &'a Frame,
    organization: OrganizationView,
    edition: &'a EditionInfo,
    places: Vec<Place>,
}

pub(super) async fn settings(
    viewing: Viewing<OrganizationRead>,
    service: web::Data<OrganizationService>,
    edition: web::Data<EditionInfo>,
) -> PageResult {
    let organization = service.current(&viewing.ctx).await?;
    let places = ELSEWHERE
        .into_iter()
        .filter(|(path, ..)| viewing.may_open(path))
        .map(|(path, title, words)| Place { path, title, words })
        .collect();
    let page = SettingsPage {
        frame: &viewing.frame,
        organization,
        edition: &edition,
        places,
    };
    viewing.page("Settings", &page)
}
