//! What can be done with agent-scoped API keys: one transaction a use case, an audit record for each
//! change.

use aim_audit::Entry;
use aim_core::{Actor, AgentId, Code, Ctx, Error, Json, PageRequest, RequiredPermission, Result};
use aim_crypto::token::IssuedToken;
use aim_decision::CapabilityPattern;
use aim_platform::Kernel;
use serde_json::json;

use super::{
    limits,
    model::{
        AgentApiKeyId, AgentApiKeyList, AgentApiKeyView, CreatedAgentApiKey, NewAgentApiKey, TOKEN_KIND,
        check_name, check_subset, lifetime, parse_capabilities,
    },
    permission::{AgentApiKeysRead, AgentApiKeysWrite},
    store::{self, AgentApiKeyRow},
};

/// The use cases of agent-scoped API keys.
#[derive(Clone)]
pub struct AgentApiKeyService {
    pub(super) kernel: Kernel,
}

impl AgentApiKeyService {
    /// The use cases on this kernel's store and pepper.
    #[must_use]
    pub fn new(kernel: &Kernel) -> Self {
        Self {
            kernel: kernel.clone(),
        }
    }

    /// Makes a key for the agent. Its text is in the answer and nowhere else.
    ///
    /// # Errors
    /// `request.field_invalid` at `name`, `secret_paths`, `addresses`, the expiry, or `capabilities[i]` when no
    /// present grant of the agent covers it; `resource.state` for a revoked agent; `resource.not_found`.
    pub async fn create(
        &self,
        ctx: &Ctx,
        agent: AgentId,
        request: NewAgentApiKey,
    ) -> Result<CreatedAgentApiKey> {
        refuse_agents(ctx, AgentApiKeysWrite::PERMISSION.name)?;
        let name = check_name(&request.name)?;
        let wanted = parse_capabilities(&request.capabilities)?;
        let expires_at = lifetime(request.expires_at, request.expires_in_days, ctx.now)?;
        let secret_paths = limits::secret_paths(request.secret_paths.as_deref())?;
        let addresses = limits::addresses(request.addresses.as_deref())?;
        let token = IssuedToken::generate(TOKEN_KIND).map_err(Error::internal)?;
        let capabilities = distinct(&wanted);
        let row = AgentApiKeyRow {
            org_id: ctx.organization,
            id: ctx.new_id(),
            agent_id: agent,
            name,
            prefix: token.display_prefix().to_owned(),
            token_digest: token.digest(&self.kernel.pepper).to_vec(),
            capabilities: Json::of(&capabilities),
            created_by: ctx.actor_text(),
            created_at: ctx.now,
            expires_at,
            last_used_at: None,
            revoked_at: None,
            secret_paths: secret_paths.as_ref().map(Json::of),
            addresses: addresses.as_ref().map(Json::of),
            last_used_from: None,
            rotated_from: None,
            retires_at: None,
        };
        let created = CreatedAgentApiKey::of(&row, &token);
        let ctx = ctx.clone();
        self.kernel
            .store
            .write(ctx.organization, move |db| {
                let agent_name = refuse_revoked(store::agent(db, ctx.organization, agent)?)?;
                check_subset(&wanted, &store::granted(db, ctx.organization, agent, ctx.now)?)?;
                store::insert(db, &row)?;
                let entry = Entry::event(&ctx, "agent_api_key.created")
                    .agent(agent)
                    .target("agent_api_key", row.id)
                    .facts(json!({"capabilities": row.capabilities, "expires_at": row.expires_at}))
                    .details(json!({
                        "name": row.name,
                        "agent_name": agent_name,
                        "secret_paths": row.secret_paths,
                        "addresses": row.addresses,
                    }));
                aim_audit::append(db, vec![entry])?;
                Ok(())
            })
            .await?;
        Ok(created)
    }

    /// A page of the agent's keys, the newest first; revoked and expired ones included.
    ///
    /// # Errors
    /// `resource.not_found` for an agent that is unknown, deleted or of another tenant.
    pub async fn list(&self, ctx: &Ctx, agent: AgentId, page: PageRequest) -> Result<AgentApiKeyList> {
        refuse_agents(ctx, AgentApiKeysRead::PERMISSION.name)?;
        let (organization, now) = (ctx.organization, ctx.now);
        self.kernel
            .store
            .read(organization, move |db| {
                store::agent(db, organization, agent)?.ok_or_else(Error::not_found)?;
                let total = store::count(db, organization, agent)?;
                let (rows, next_cursor) =
                    page.cut(store::page(db, organization, agent, &page)?, |row| row.id.uuid());
                let api_keys = rows
                    .into_iter()
                    .map(|row| AgentApiKeyView::of(row, now))
                    .collect();
                Ok(AgentApiKeyList {
                    api_keys,
                    total,
                    limit: page.limit,
                    offset: page.offset,
                    next_cursor,
                })
            })
            .await
    }

    /// Revokes a key: from the commit on it is refused. Revoking it again changes nothing.
    ///
    /// # Errors
    /// `resource.not_found` when the agent has no such key.
    pub async fn revoke(&self, ctx: &Ctx, agent: AgentId, id: AgentApiKeyId) -> Result<()> {
        refuse_agents(ctx, AgentApiKeysWrite::PERMISSION.name)?;
        let ctx = ctx.clone();
        self.kernel
            .store
            .write(ctx.organization, move |db| {
                let row = store::find(db, ctx.organization, agent, id)?.ok_or_else(Error::not_found)?;
                if store::revoke(db, ctx.organization, id, ctx.now)? {
                    let entry = Entry::event(&ctx, "agent_api_key.revoked")
                        .agent(agent)
                        .target("agent_api_key", id)
                        .details(json!({"name": row.name}));
                    aim_audit::append(db, vec![entry])?;
                }
                Ok(())
            })
            .await
    }
}

/// The texts of the patterns, each once, in their order.
fn distinct(patterns: &[CapabilityPattern]) -> Vec<String> {
    let mut texts: Vec<String> = Vec::with_capacity(patterns.len());
    for pattern in patterns {
        if !texts.iter().any(|text| text == pattern.as_str()) {
            texts.push(pattern.as_str().to_owned());
        }
    }
    texts
}

/// The name of an agent that may have keys.
pub(super) fn refuse_revoked(agent: Option<(String, String)>) -> Result<String> {
    let (name, status) = agent.ok_or_else(Error::not_found)?;
    if status == "revoked" {
        return Err(Error::new(
            Code::StateConflict,
            "the agent is revoked and gets no keys",
        ));
    }
    Ok(name)
}

/// An agent makes no credentials for itself, neither with its key nor with one of these.
pub(super) fn refuse_agents(ctx: &Ctx, permission: &'static str) -> Result<()> {
    match &ctx.actor {
        Actor::Agent { .. } | Actor::Anonymous => Err(Error::forbidden(permission)),
        Actor::User { .. } | Actor::ApiKey { .. } | Actor::System(_) => Ok(()),
    }
}
