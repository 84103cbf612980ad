//! `/agents`: search, filters in the URL, sort, pages; registration and bulk suspension in dialogs.

use actix_web::web;
use aim_core::{
    Error, PageRequest, Result,
    role::permission::{AgentsRead, AgentsSuspend, AgentsWrite},
};
use aim_platform::{
    Query,
    console::{Frame, Names, Page, PageResult, Viewing, ui, ui::Field},
};
use askama::Template;
use serde::Deserialize;

use crate::agents::{
    AgentFilter, AgentService, AgentSort, AgentView,
    facts::Facets,
    model::{parse_status, status_text},
};

/// How many agents a page shows.
const PAGE: i64 = 50;

/// The parameters of the page: texts, since a form sends the empty ones too.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AgentsQuery {
    q: String,
    status: String,
    agent_type: String,
    tag: String,
    owner_id: String,
    sort: String,
    cursor: Option<String>,
}

impl AgentsQuery {
    fn filter(&self) -> Result<AgentFilter> {
        let text = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let status = match self.status.as_str() {
            "" => None,
            name => Some(
                parse_status(name)
                    .ok_or_else(|| Error::field("status", "status is active, suspended or revoked"))?,
            ),
        };
        let owner = match self.owner_id.as_str() {
            "" => None,
            id => Some(
                id.parse()
                    .map_err(|_| Error::field("owner_id", "owner_id is a UUID"))?,
            ),
        };
        Ok(AgentFilter {
            text: text(&self.q),
            statuses: status.into_iter().collect(),
            agent_type: text(&self.agent_type),
            tag: text(&self.tag),
            owner,
            sort: match self.sort.as_str() {
                "" => AgentSort::default(),
                sort => AgentSort::parse(sort)?,
            },
            page: PageRequest::parse(Some(PAGE), None, self.cursor.as_deref())?,
        })
    }

    fn is_filtered(&self) -> bool {
        [&self.q, &self.status, &self.agent_type, &self.tag, &self.owner_id]
            .iter()
            .any(|text| !text.trim().is_empty())
    }
}

#[derive(Template)]
#[template(path = "agents/list.html")]
struct AgentsPage<'a> {
    frame: &'a Frame,
    query: &'a AgentsQuery,
    agents: Vec<AgentView>,
    total: i64,
    next: Option<String>,
    facets: Facets,
    names: Names,
    filtered: bool,
}

impl AgentsPage<'_> {
    fn owner(&self, agent: &AgentView) -> Option<String> {
        Some(self.names.plain(&format!("user:{}", agent.owner_id?)))
    }

    fn type_choice(&self) -> Field {
        let any = ui::select("agent_type", "Type")
            .value(&self.query.agent_type)
            .option("", "Any");
        self.facets
            .types
            .iter()
            .fold(any, |choice, kind| choice.option(kind, ui::in_words(kind)))
    }

    fn owner_choice(&self) -> Field {
        let any = ui::select("owner_id", "Owner")
            .value(&self.query.owner_id)
            .option("", "Anybody");
        self.facets.owners.iter().fold(any, |choice, owner| {
            choice.option(owner, self.names.plain(&format!("user:{owner}")))
        })
    }

    fn status(&self, agent: &AgentView) -> &'static str {
        status_text(agent.status)
    }
}

/// The page.
pub(super) async fn agents_page(
    viewing: Viewing<AgentsRead>,
    query: Query<AgentsQuery>,
    service: web::Data<AgentService>,
) -> PageResult {
    let list = service.list(&viewing.ctx, query.0.filter()?).await?;
    let facets = service.facets(&viewing.ctx).await?;
    let owners = list.agents.iter().filter_map(|agent| agent.owner_id);
    let names = viewing
        .names(
            owners
                .chain(facets.owners.iter().copied())
                .map(|owner| format!("user:{owner}")),
        )
        .await;
    let page = AgentsPage {
        frame: &viewing.frame,
        agents: list.agents,
        total: list.total,
        next: list.next_cursor,
        filtered: query.0.is_filtered(),
        query: &query.0,
        facets,
        names,
    };
    viewing.page(Page::new("Agents").script("agent-keys.js"), &page)
}
