//! The page "Wrap tokens": which there are, and the form that makes one. A token is shown once, by the answer of the API.

use actix_web::web;
use aim_core::{Error, Result};
use aim_platform::{
    Query,
    console::{ConsoleRegistry, Fragment, Frame, Names, PageResult, Viewing, ui},
};
use askama::Template;
use serde::Deserialize;

use super::{
    model::{REASON, WrapListed, WrapQuery, WrapState},
    permission::SecretsWrap,
    service::SecretWrapsService,
};
use crate::{agent_choice::AgentChoice, vault::sections};

/// How many wraps a page shows.
const PAGE: i64 = 50;

pub(super) fn register(console: &mut ConsoleRegistry) {
    console.page("/secrets/wraps", wraps_page);
}

/// The parameters of the page: texts, since a form sends the empty ones too.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PageQuery {
    state: String,
    path: String,
    cursor: Option<String>,
}

impl PageQuery {
    fn state(&self) -> Result<Option<WrapState>> {
        let found = WrapState::ALL
            .into_iter()
            .find(|state| state.as_str() == self.state);
        if found.is_none() && !self.state.is_empty() {
            return Err(Error::field("state", "active, used, revoked or expired"));
        }
        Ok(found)
    }

    fn is_filtered(&self) -> bool {
        !self.state.is_empty() || !self.path.trim().is_empty()
    }
}

#[derive(Template)]
#[template(path = "secret_wraps/list.html")]
struct WrapsPage<'a> {
    frame: &'a Frame,
    query: &'a PageQuery,
    wraps: Vec<WrapListed>,
    next: Option<String>,
    names: Names,
    agents: AgentChoice,
}

impl WrapsPage<'_> {
    fn state_filter(&self) -> ui::Field {
        WrapState::ALL.into_iter().fold(
            ui::select("state", "State")
                .value(&self.query.state)
                .option("", "Any"),
            |field, state| field.option(state.as_str(), ui::in_words(state.as_str())),
        )
    }

    fn agent_choice(&self) -> ui::Field {
        let field = ui::select("for_agent", "For")
            .within("new-wrap")
            .data_type("omit-empty")
            .option("", "Whoever brings it")
            .hint("For an agent is safer: only that agent can use it, by its own signature.");
        self.agents.options(field)
    }

    fn for_whom(&self, wrap: &WrapListed) -> Fragment {
        match wrap.wrap.for_agent {
            Some(agent) => self.names.show(&format!("agent:{agent}")),
            None => Fragment::text("whoever brings it"),
        }
    }

    fn is_active(&self, wrap: &WrapListed) -> bool {
        wrap.state == WrapState::Active
    }

    /// When it ended before its time, or none.
    fn ended(&self, wrap: &WrapListed) -> Option<aim_core::Timestamp> {
        wrap.used_at.or(wrap.revoked_at)
    }

    fn shortest(&self) -> usize {
        *REASON.start()
    }

    fn longest(&self) -> usize {
        *REASON.end()
    }
}

async fn wraps_page(
    viewing: Viewing<SecretsWrap>,
    query: Query<PageQuery>,
    service: web::Data<SecretWrapsService>,
) -> PageResult {
    let wanted = WrapQuery {
        state: query.0.state()?,
        path: Some(query.0.path.trim().to_owned()),
        limit: Some(PAGE),
        cursor: query.0.cursor.clone(),
    };
    let list = service.list(&viewing.ctx, wanted).await?;
    let mut actors = Vec::new();
    for wrap in &list.wraps {
        actors.push(wrap.wrap.created_by.clone());
        actors.extend(wrap.revoked_by.clone());
        actors.extend(wrap.wrap.for_agent.map(|agent| format!("agent:{agent}")));
    }
    let page = WrapsPage {
        frame: &viewing.frame,
        names: viewing.names(actors).await,
        agents: service.agents_to_choose(&viewing.ctx).await?,
        wraps: list.wraps,
        next: list.next_cursor,
        query: &query.0,
    };
    viewing.page("Wrap tokens", &page)
}
