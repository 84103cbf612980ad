//! The tab "Secrets" of an agent's page: its scoped API keys; and what stands on its key-vault tab where the
//! community edition offers this one.

use aim_core::{AgentId, PageRequest, RequiredPermission, Result};
use aim_platform::console::{AgentTab, ConsoleRegistry, Fragment, Frame, Names, Slot, TabQuery, Viewed, ui};
use askama::Template;
use serde::Deserialize;

use super::{
    model::{AgentApiKeyStatus, AgentApiKeyView, DEFAULT_LIFETIME_DAYS, MAX_LIFETIME_DAYS},
    permission::{AgentApiKeysRead, AgentApiKeysWrite},
    service::AgentApiKeyService,
};

/// How many keys a page shows.
const PAGE: i64 = 50;

/// Registers the tab, and fills the slot of the key-vault tab.
pub(super) fn register(console: &mut ConsoleRegistry, service: &AgentApiKeyService) {
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
    keys: Vec<AgentApiKeyView>,
    total: i64,
    next: Option<String>,
    names: Names,
}

impl SecretsTab<'_> {
    fn state(&self, key: &AgentApiKeyView) -> &'static str {
        match key.status {
            AgentApiKeyStatus::Active => "active",
            AgentApiKeyStatus::Expired => "expired",
            AgentApiKeyStatus::Revoked => "revoked",
        }
    }

    fn is_active(&self, key: &AgentApiKeyView) -> bool {
        key.status == AgentApiKeyStatus::Active
    }

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
    Fragment::of(&SecretsTab {
        frame: &viewed.frame,
        agent,
        keys: list.api_keys,
        total: list.total,
        next: list.next_cursor,
        names,
    })
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
