//! The page "Point in time": secrets as they stood at a moment, and the way back.

use actix_web::web;
use aim_core::Timestamp;
use aim_platform::{
    Query,
    console::{ConsoleRegistry, Frame, Names, PageResult, Viewing, ui},
};
use askama::Template;
use serde::Deserialize;

use super::model::{AtList, AtQuery, MOST_RESTORED, SecretAt};
use crate::vault::{
    permission::{SecretsRead, SecretsWrite},
    sections,
    service::VaultService,
};

/// How many secrets the page shows.
const PAGE: i64 = 50;

pub(in crate::vault) fn register(console: &mut ConsoleRegistry) {
    console.page("/secrets/at", at_page);
}

/// The parameters of the page: texts, since a form sends the empty ones too.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PageQuery {
    prefix: String,
    /// As a form's field has it: without a zone, in UTC; or as RFC 3339.
    at: String,
    cursor: Option<String>,
}

impl PageQuery {
    fn moment(&self) -> Option<Timestamp> {
        let text = self.at.trim();
        let (with_seconds, with_zone) = (format!("{text}:00Z"), format!("{text}Z"));
        [text, &with_zone, &with_seconds]
            .into_iter()
            .find_map(Timestamp::parse)
    }
}

#[derive(Template)]
#[template(path = "vault/at.html")]
struct AtPage<'a> {
    frame: &'a Frame,
    query: &'a PageQuery,
    /// What the form's field shows.
    moment: String,
    /// What the API is told.
    exact: String,
    is_past: bool,
    /// Whether what was typed is no moment, or one that has not come yet.
    is_wrong: bool,
    list: AtList,
    names: Names,
}

impl AtPage<'_> {
    fn state(&self, secret: &SecretAt) -> &'static str {
        match (secret.state, secret.expired) {
            (None, _) => "unknown",
            (Some(_), true) => "expired",
            (Some(state), false) => state.as_str(),
        }
    }

    fn now(&self, secret: &SecretAt) -> &'static str {
        secret.state_now.map_or("unknown", |state| state.as_str())
    }

    fn author(&self, secret: &SecretAt) -> Option<String> {
        secret.changed_by.clone()
    }

    fn differing(&self) -> usize {
        self.list
            .secrets
            .iter()
            .filter(|secret| !secret.same_as_now)
            .count()
    }

    /// How many secrets a preview lists: one call's.
    fn most_listed(&self) -> i64 {
        MOST_RESTORED
    }

    /// The body of a restore of all that is shown here. The page sends it again with each cursor that it is answered.
    fn body(&self, dry_run: bool) -> String {
        serde_json::json!({"prefix": self.query.prefix.trim(), "at": self.exact, "dry_run": dry_run})
            .to_string()
    }
}

async fn at_page(
    viewing: Viewing<SecretsRead>,
    query: Query<PageQuery>,
    service: web::Data<VaultService>,
) -> PageResult {
    let now = viewing.ctx.now;
    let asked = query.0.moment();
    let is_wrong = !query.0.at.trim().is_empty() && asked.is_none_or(|moment| moment > now);
    let moment = asked.filter(|moment| *moment <= now).unwrap_or(now);
    let wanted = AtQuery {
        prefix: Some(query.0.prefix.trim().to_owned()),
        at: Some(moment),
        limit: Some(PAGE),
        cursor: query.0.cursor.clone(),
    };
    let list = service.at(&viewing.ctx, wanted).await?;
    let authors = list.secrets.iter().filter_map(|secret| secret.changed_by.clone());
    let names = viewing.names(authors.collect::<Vec<_>>()).await;
    let page = AtPage {
        frame: &viewing.frame,
        moment: moment.format("%Y-%m-%dT%H:%M:%S").to_string(),
        exact: moment.to_text(),
        is_past: asked.is_some() && !is_wrong,
        is_wrong,
        list,
        names,
        query: &query.0,
    };
    viewing.page("Point in time", &page)
}
