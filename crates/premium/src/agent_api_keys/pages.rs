//! The page "Agent keys", the tab "Secrets" of an agent's page with its keys, and what stands on its key-vault tab where
//! the community edition offers this one.

use actix_web::web;
use aim_core::{AgentId, PageRequest, RequiredPermission, Result};
use aim_platform::{
    Query,
    console::{
        AgentTab, ConsoleRegistry, Fragment, Frame, Names, NavEntry, NavSection, PageResult, Slot, TabQuery,
        Viewed, Viewing, ui,
    },
};
use askama::Template;
use serde::Deserialize;

use super::{
    listing::{KeyOfAgent, OrganizationKeysQuery},
    model::{AgentApiKeyStatus, DEFAULT_LIFETIME_DAYS, MAX_LIFETIME_DAYS},
    permission::{AgentApiKeysRead, AgentApiKeysWrite},
    service::AgentApiKeyService,
};
use crate::agent_choice::AgentChoice;

/// How many keys a page shows.
const PAGE: i64 = 50;

/// Registers page and tab, and fills the slot of the key-vault tab.
pub(super) fn register(console: &mut ConsoleRegistry, service: &AgentApiKeyService) {
    console.page("/agent-keys", keys_page);
    console.navigation(NavEntry::new::<AgentApiKeysRead>(
        NavSection::Agents,
        "Agent keys",
        "/agent-keys",
        "key",
        55,
    ));
    let keys = service.clone();
    console.agent_tab(AgentTab::new::<AgentApiKeysRead, _, _>(
        "secrets",
        "Secrets",
        55,
        move |viewed, agent, query| {
            let keys = keys.clone();
            async move { tab(&keys, &viewed, agent, &query).await }
        },
    ));
    let keys = service.clone();
    console.fill(Slot::KeyVault, move |viewed, agent| {
        let keys = keys.clone();
        async move { slot(&keys, &viewed, agent).await }
    });
}

impl KeyOfAgent {
    fn is_accepted(&self) -> bool {
        self.key.status.is_accepted()
    }

    fn is_rotating(&self) -> bool {
        self.key.status == AgentApiKeyStatus::Rotating
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SecretsQuery {
    cursor: Option<String>,
}

#[derive(Template)]
#[template(path = "agent_api_keys/tab.html")]
struct SecretsTab<'a> {
    frame: &'a Frame,
    agent: AgentId,
    rows: Vec<KeyOfAgent>,
    with_agent: bool,
    total: i64,
    next: Option<String>,
    names: Names,
}

impl SecretsTab<'_> {
    fn usual_days(&self) -> i64 {
        DEFAULT_LIFETIME_DAYS
    }

    fn most_days(&self) -> i64 {
        MAX_LIFETIME_DAYS
    }
}

async fn tab(
    service: &AgentApiKeyService,
    viewed: &Viewed,
    agent: AgentId,
    query: &TabQuery,
) -> Result<Fragment> {
    let query: SecretsQuery = query.parse()?;
    let page = PageRequest::parse(Some(PAGE), None, query.cursor.as_deref())?;
    let list = service.list(&viewed.ctx, agent, page).await?;
    let names = viewed
        .names(list.api_keys.iter().map(|key| key.created_by.clone()))
        .await;
    let rows = list.api_keys.into_iter().map(|key| KeyOfAgent {
        agent_id: agent,
        agent_name: None,
        key,
    });
    Fragment::of(&SecretsTab {
        frame: &viewed.frame,
        agent,
        rows: rows.collect(),
        with_agent: false,
        total: list.total,
        next: list.next_cursor,
        names,
    })
}

/// The parameters of the page: texts, since a form sends the empty ones too.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PageQuery {
    status: String,
    agent_id: String,
    search: String,
    cursor: Option<String>,
}

impl PageQuery {
    fn query(&self) -> Result<OrganizationKeysQuery> {
        let status = AgentApiKeyStatus::ALL
            .into_iter()
            .find(|status| status.as_str() == self.status);
        if status.is_none() && !self.status.is_empty() {
            return Err(aim_core::Error::field(
                "status",
                "active, rotating, expired or revoked",
            ));
        }
        let agent_id = match self.agent_id.as_str() {
            "" => None,
            text => Some(
                text.parse()
                    .map_err(|_| aim_core::Error::field("agent_id", "an agent's id"))?,
            ),
        };
        Ok(OrganizationKeysQuery {
            agent_id,
            status,
            search: Some(self.search.clone()),
            limit: Some(PAGE),
            cursor: self.cursor.clone(),
        })
    }

    fn is_filtered(&self) -> bool {
        [&self.status, &self.agent_id, &self.search]
            .iter()
            .any(|text| !text.trim().is_empty())
    }
}

#[derive(Template)]
#[template(path = "agent_api_keys/list.html")]
struct KeysPage<'a> {
    frame: &'a Frame,
    query: &'a PageQuery,
    filtered: bool,
    rows: Vec<KeyOfAgent>,
    with_agent: bool,
    total: i64,
    next: Option<String>,
    names: Names,
    /// The agents that a new key can be made for, by their names.
    agents: AgentChoice,
}

impl KeysPage<'_> {
    fn usual_days(&self) -> i64 {
        DEFAULT_LIFETIME_DAYS
    }

    fn most_days(&self) -> i64 {
        MAX_LIFETIME_DAYS
    }

    fn agent_filter(&self) -> ui::Field {
        self.agents.filter(&self.query.agent_id)
    }

    fn agent_choice(&self) -> ui::Field {
        let field = ui::select("agent_id", "Agent").within("new-key").required();
        let field = self.agents.options(field);
        match self.agents.is_cut() {
            true => field
                .hint("Only a part of your agents stands here: make the others' keys on their own pages."),
            false => field,
        }
    }
}

async fn keys_page(
    viewing: Viewing<AgentApiKeysRead>,
    query: Query<PageQuery>,
    service: web::Data<AgentApiKeyService>,
) -> PageResult {
    let list = service.list_all(&viewing.ctx, query.0.query()?).await?;
    let names = viewing
        .names(list.api_keys.iter().map(|row| row.key.created_by.clone()))
        .await;
    let page = KeysPage {
        frame: &viewing.frame,
        filtered: query.0.is_filtered(),
        query: &query.0,
        rows: list.api_keys,
        with_agent: true,
        total: list.total,
        next: list.next_cursor,
        names,
        agents: service.agents_to_choose(&viewing.ctx).await?,
    };
    viewing.page("Agent keys", &page)
}

#[derive(Template)]
#[template(path = "agent_api_keys/slot.html")]
struct SecretsSlot {
    agent: AgentId,
    /// How many keys were ever made; none where the viewer may not know.
    total: Option<i64>,
}

async fn slot(service: &AgentApiKeyService, viewed: &Viewed, agent: AgentId) -> Result<Fragment> {
    let total = if viewed.frame.allows(AgentApiKeysRead::PERMISSION) {
        let page = PageRequest::parse(Some(1), None, None)?;
        Some(service.list(&viewed.ctx, agent, page).await?.total)
    } else {
        None
    };
    Fragment::of(&SecretsSlot { agent, total })
}
