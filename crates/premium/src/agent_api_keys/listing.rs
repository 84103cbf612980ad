//! The keys of all agents of an organisation, with filters.

use aim_core::{AgentId, Ctx, Error, PageRequest, RequiredPermission, Result};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    model::{AgentApiKeyStatus, AgentApiKeyView},
    permission::AgentApiKeysRead,
    service::{AgentApiKeyService, refuse_agents},
    store::{self, Wanted},
};
use crate::agent_choice::AgentChoice;

/// The longest search, in characters.
const LONGEST_SEARCH: usize = 100;

/// Which keys of the organisation are wanted.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OrganizationKeysQuery {
    /// Only this agent's.
    #[param(value_type = Option<uuid::Uuid>)]
    pub agent_id: Option<AgentId>,
    /// Only those worth this now.
    pub status: Option<AgentApiKeyStatus>,
    /// What stands anywhere in their names, or what they begin with.
    pub search: Option<String>,
    /// How many, 1 to 100; 20 if absent.
    pub limit: Option<i64>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// A key and its agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyOfAgent {
    /// The agent for which it acts.
    #[schema(value_type = uuid::Uuid)]
    pub agent_id: AgentId,
    /// The agent's name; null once it is deleted.
    pub agent_name: Option<String>,
    /// The key.
    #[serde(flatten)]
    pub key: AgentApiKeyView,
}

/// Keys of an organisation, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrganizationKeyList {
    /// The keys.
    pub api_keys: Vec<KeyOfAgent>,
    /// How many fit the filters in all.
    pub total: i64,
    /// The page's size.
    pub limit: i64,
    /// Where to go on; null on the last page.
    pub next_cursor: Option<String>,
}

impl AgentApiKeyService {
    /// The agents that keys can be made for.
    pub(super) async fn agents_to_choose(&self, ctx: &Ctx) -> Result<AgentChoice> {
        refuse_agents(ctx, AgentApiKeysRead::PERMISSION.name)?;
        AgentChoice::load(&self.kernel.store, ctx).await
    }

    /// A page of the organisation's keys, the newest first; revoked and expired ones included.
    ///
    /// # Errors
    /// `request.field_invalid` at a parameter.
    pub async fn list_all(&self, ctx: &Ctx, query: OrganizationKeysQuery) -> Result<OrganizationKeyList> {
        refuse_agents(ctx, AgentApiKeysRead::PERMISSION.name)?;
        let page = PageRequest::parse(query.limit, None, query.cursor.as_deref())?;
        let search = query.search.map(|text| text.trim().to_owned());
        let search = search.filter(|text| !text.is_empty());
        if search
            .as_ref()
            .is_some_and(|text| text.chars().count() > LONGEST_SEARCH)
        {
            return Err(Error::field(
                "search",
                format!("at most {LONGEST_SEARCH} characters"),
            ));
        }
        let wanted = Wanted {
            agent: query.agent_id,
            status: query.status,
            search,
        };
        let (organization, now) = (ctx.organization, ctx.now);
        self.kernel
            .store
            .read(organization, move |db| {
                let total = store::count_all(db, organization, &wanted, now)?;
                let rows = store::page_of_all(db, organization, &wanted, now, &page)?;
                let (rows, next_cursor) = page.cut(rows, |row| row.id.uuid());
                let agents: Vec<AgentId> = rows.iter().map(|row| row.agent_id).collect();
                let names = store::agent_names(db, organization, &agents)?;
                let api_keys = rows
                    .into_iter()
                    .map(|row| KeyOfAgent {
                        agent_id: row.agent_id,
                        agent_name: names.get(&row.agent_id).cloned(),
                        key: AgentApiKeyView::of(row, now),
                    })
                    .collect();
                Ok(OrganizationKeyList {
                    api_keys,
                    total,
                    limit: page.limit,
                    next_cursor,
                })
            })
            .await
    }
}
