//! Rotation of a key: a new token with the same limits, and an overlap in which both are accepted.

use aim_audit::Entry;
use aim_core::{AgentId, Code, Ctx, Error, RequiredPermission, Result, Timestamp};
use aim_crypto::token::IssuedToken;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::{
    model::{AgentApiKeyId, AgentApiKeyStatus, CreatedAgentApiKey, MAX_LIFETIME_DAYS, TOKEN_KIND, lifetime},
    permission::AgentApiKeysWrite,
    service::{AgentApiKeyService, refuse_agents, refuse_revoked},
    store::{self, AgentApiKeyRow},
};

/// How long the old token is accepted when nothing else is asked for, in seconds.
pub const DEFAULT_OVERLAP_SECONDS: i64 = 3_600;
/// The longest overlap, in seconds: 30 days.
pub const MAX_OVERLAP_SECONDS: i64 = 30 * 24 * 3_600;

/// How a key shall be rotated.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateAgentApiKey {
    /// How long the old token is still accepted, 0 to 2,592,000 (30 days); 3,600 if absent. 0: it ends at once.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 2_592_000)]
    pub overlap_seconds: Option<i64>,
    /// The first instant at which the new key is refused; at most 365 days ahead. Instead of `expires_in_days`.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    /// How long the new key lives, 1 to 365 days; if neither is given, as long as the old one was made for.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 365)]
    pub expires_in_days: Option<i64>,
}

/// The new key of a rotation, and until when the old one is accepted.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RotatedAgentApiKey {
    /// The new key.
    #[serde(flatten)]
    pub key: CreatedAgentApiKey,
    /// The key that it replaces.
    #[schema(value_type = uuid::Uuid)]
    pub rotated_from: AgentApiKeyId,
    /// The first instant at which the old one is refused.
    pub old_accepted_until: Timestamp,
}

impl RotateAgentApiKey {
    fn overlap(&self) -> Result<TimeDelta> {
        let seconds = self.overlap_seconds.unwrap_or(DEFAULT_OVERLAP_SECONDS);
        if !(0..=MAX_OVERLAP_SECONDS).contains(&seconds) {
            return Err(Error::field(
                "overlap_seconds",
                format!("0 to {MAX_OVERLAP_SECONDS} seconds"),
            ));
        }
        Ok(TimeDelta::seconds(seconds))
    }

    fn expires_at(&self, old: &AgentApiKeyRow, now: Timestamp) -> Result<Timestamp> {
        if self.expires_at.is_some() || self.expires_in_days.is_some() {
            return lifetime(self.expires_at, self.expires_in_days, now);
        }
        let as_before = (old.expires_at - old.created_at).min(TimeDelta::days(MAX_LIFETIME_DAYS));
        Ok(now + as_before)
    }
}

impl AgentApiKeyService {
    /// Makes a new key with the limits of an old one, which is accepted until the end of the overlap. Evidence tells the two
    /// apart, since each has an id of its own.
    ///
    /// # Errors
    /// `request.field_invalid` at `overlap_seconds` or the expiry; `resource.state` for a key that is revoked, expired or
    /// replaced already, and for a revoked agent; `resource.not_found`.
    pub async fn rotate(
        &self,
        ctx: &Ctx,
        agent: AgentId,
        id: AgentApiKeyId,
        request: RotateAgentApiKey,
    ) -> Result<RotatedAgentApiKey> {
        refuse_agents(ctx, AgentApiKeysWrite::PERMISSION.name)?;
        let overlap = request.overlap()?;
        let token = IssuedToken::generate(TOKEN_KIND).map_err(Error::internal)?;
        let (prefix, digest) = (
            token.display_prefix().to_owned(),
            token.digest(&self.kernel.pepper).to_vec(),
        );
        let (ctx, new_id) = (ctx.clone(), ctx.new_id());
        let (row, old_accepted_until) = self
            .kernel
            .store
            .write(ctx.organization, move |db| {
                let agent_name = refuse_revoked(store::agent(db, ctx.organization, agent)?)?;
                let old = store::lock(db, ctx.organization, agent, id)?.ok_or_else(Error::not_found)?;
                refuse_ended(&old, ctx.now)?;
                let until = (ctx.now + overlap).min(old.expires_at);
                let row = AgentApiKeyRow {
                    id: new_id,
                    prefix: prefix.clone(),
                    token_digest: digest.clone(),
                    created_by: ctx.actor_text(),
                    created_at: ctx.now,
                    expires_at: request.expires_at(&old, ctx.now)?,
                    last_used_at: None,
                    last_used_from: None,
                    rotated_from: Some(id),
                    ..old.clone()
                };
                store::insert(db, &row)?;
                store::retire(db, ctx.organization, id, until)?;
                let entry = Entry::event(&ctx, "agent_api_key.rotated")
                    .agent(agent)
                    .target("agent_api_key", row.id)
                    .facts(json!({"rotated_from": id, "old_accepted_until": until, "expires_at": row.expires_at}))
                    .details(json!({"name": row.name, "agent_name": agent_name}));
                aim_audit::append(db, vec![entry])?;
                Ok((row, until))
            })
            .await?;
        Ok(RotatedAgentApiKey {
            key: CreatedAgentApiKey::of(&row, &token),
            rotated_from: id,
            old_accepted_until,
        })
    }
}

fn refuse_ended(old: &AgentApiKeyRow, now: Timestamp) -> Result<()> {
    let why = match old.status(now) {
        AgentApiKeyStatus::Active => return Ok(()),
        AgentApiKeyStatus::Rotating => "the key was replaced already; rotate the one that replaced it",
        AgentApiKeyStatus::Expired => "the key has expired; make a new one",
        AgentApiKeyStatus::Revoked => "the key is revoked; make a new one",
    };
    Err(Error::new(Code::StateConflict, why))
}
