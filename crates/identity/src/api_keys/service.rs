//! Use cases of organisation API keys, one transaction each.

use aim_audit::Entry;
use aim_core::{Actor, ApiKeyId, Code, Ctx, Error, PageRequest, Result, Role, Timestamp};
use aim_crypto::token::{IssuedToken, ParsedToken, TokenKind};
use aim_platform::{Authenticated, Kernel};
use aim_store::{Db, Scope};
use chrono::TimeDelta;
use serde_json::json;

use super::{
    model::{ApiKeyDisabled, ApiKeyList, IssuedApiKey, NewApiKey},
    store::{self, ApiKeyRow},
};
use crate::{gate::Gate, users::check_user_name};

/// How exactly the last use of a key is kept.
const USED_EVERY: TimeDelta = TimeDelta::minutes(1);

/// Makes, shows, checks and ends organisation API keys.
#[derive(Clone)]
pub struct ApiKeyService {
    kernel: Kernel,
    used: Gate<ApiKeyId>,
}

impl ApiKeyService {
    pub(crate) fn new(kernel: &Kernel) -> Self {
        Self {
            kernel: kernel.clone(),
            used: Gate::new(),
        }
    }

    /// Makes a key. Its text is in the answer and nowhere else.
    ///
    /// # Errors
    /// `request.field_invalid` by field; `auth.forbidden` at `role` when it is above the caller's own.
    pub async fn create(&self, ctx: &Ctx, new: NewApiKey) -> Result<IssuedApiKey> {
        let name = check_user_name("name", &new.name)?;
        let expires_at = new.expiry(ctx.now)?;
        let role = new.role.unwrap_or(Role::Member);
        hold_to_own_role(ctx, role)?;
        let token = IssuedToken::generate(TokenKind::OrganizationKey).map_err(Error::internal)?;
        let row = new_row(ctx, &self.kernel, &token, name, role, expires_at);
        let ctx = ctx.clone();
        let view = self
            .kernel
            .store
            .write(ctx.organization, move |db| {
                store::insert(db, &row)?;
                aim_audit::append(db, vec![created(&ctx, &row)])?;
                row.clone().view()
            })
            .await?;
        Ok(IssuedApiKey {
            api_key: token.text().clone(),
            view,
        })
    }

    /// A page of the organisation's keys, newest first. Never their text or its hash.
    ///
    /// # Errors
    /// The database's.
    pub async fn list(&self, ctx: &Ctx, page: PageRequest) -> Result<ApiKeyList> {
        let organization = ctx.organization;
        self.kernel
            .store
            .read(organization, move |db| {
                let (rows, total) = store::page(db, organization, &page)?;
                let (rows, next_cursor) = page.cut(rows, |row| row.id.uuid());
                let api_keys = rows
                    .into_iter()
                    .map(ApiKeyRow::view)
                    .collect::<aim_store::Result<_>>()?;
                Ok(ApiKeyList {
                    api_keys,
                    total,
                    limit: page.limit,
                    offset: page.offset,
                    next_cursor,
                })
            })
            .await
    }

    /// Disables a key for good: it is refused from the next request on. Once more changes nothing.
    ///
    /// # Errors
    /// `resource.not_found`; `auth.forbidden` for a key above the caller's own role.
    pub async fn disable(&self, ctx: &Ctx, key: ApiKeyId) -> Result<ApiKeyDisabled> {
        let ctx = ctx.clone();
        self.kernel
            .store
            .write(ctx.organization, move |db| {
                let row = find_within_role(db, &ctx, key)?;
                let disabled_at = row.disabled_at.unwrap_or(ctx.now);
                if row.disabled_at.is_none() {
                    store::disable(db, ctx.organization, key, ctx.now)?;
                    aim_audit::append(db, vec![ended(&ctx, "api_key.disabled", &row)])?;
                }
                Ok(ApiKeyDisabled {
                    message: "the API key is disabled".to_owned(),
                    id: key,
                    disabled_at,
                })
            })
            .await
    }

    /// Removes a key, in whatever state: it is refused from the next request on.
    ///
    /// # Errors
    /// `resource.not_found`; `auth.forbidden` for a key above the caller's own role.
    pub async fn delete(&self, ctx: &Ctx, key: ApiKeyId) -> Result<()> {
        let ctx = ctx.clone();
        self.kernel
            .store
            .write(ctx.organization, move |db| {
                let row = find_within_role(db, &ctx, key)?;
                store::delete(db, ctx.organization, key)?;
                aim_audit::append(db, vec![ended(&ctx, "api_key.deleted", &row)])?;
                Ok(())
            })
            .await
    }

    /// Whoever presents `token`.
    ///
    /// # Errors
    /// `auth.credentials_invalid` unless the key is known, enabled and not expired.
    pub async fn authenticate(&self, token: &ParsedToken, now: Timestamp) -> Result<Authenticated> {
        let digest = token.digest(&self.kernel.pepper);
        let found = self
            .kernel
            .store
            .read(Scope::Installation, move |db| {
                let Some(row) = store::by_digest(db, &digest)? else {
                    return Ok(None);
                };
                let role = row.role()?;
                Ok(Some((row, role)))
            })
            .await?;
        let (row, role) = found.filter(|(row, _)| row.is_good(now)).ok_or_else(|| {
            Error::new(
                Code::CredentialsInvalid,
                "this API key is unknown, disabled, deleted or expired",
            )
        })?;
        self.note_use(&row, now).await;
        Ok(Authenticated {
            actor: Actor::ApiKey { id: row.id, role },
            organization: row.org_id,
            nonce: None,
            scheme: "api_key",
        })
    }

    /// Keeps the time of the last use, to the minute. That it cannot is no reason to refuse the request.
    async fn note_use(&self, row: &ApiKeyRow, now: Timestamp) {
        let is_recent = row.last_used_at.is_some_and(|used| now - used < USED_EVERY);
        if is_recent || !self.used.passes(row.id, now) {
            return;
        }
        let (organization, id) = (row.org_id, row.id);
        let noted = self
            .kernel
            .store
            .write(organization, move |db| store::touch(db, organization, id, now))
            .await;
        if let Err(error) = noted {
            tracing::warn!(?error, "the last use of an API key could not be noted");
        }
    }
}

/// The row of a key that is about to be made.
pub(crate) fn new_row(
    ctx: &Ctx,
    kernel: &Kernel,
    token: &IssuedToken,
    name: String,
    role: Role,
    expires_at: Option<Timestamp>,
) -> ApiKeyRow {
    ApiKeyRow {
        org_id: ctx.organization,
        id: ctx.new_id(),
        name,
        role: role.as_str().to_owned(),
        prefix: token.display_prefix().to_owned(),
        token_digest: token.digest(&kernel.pepper).to_vec(),
        created_by: ctx.actor_text(),
        created_at: ctx.now,
        expires_at,
        disabled_at: None,
        last_used_at: None,
    }
}

/// What the audit log says of a new key.
pub(crate) fn created(ctx: &Ctx, row: &ApiKeyRow) -> Entry {
    Entry::event(ctx, "api_key.created")
        .target("api_key", row.id)
        .facts(json!({ "role": row.role, "prefix": row.prefix, "expires_at": row.expires_at }))
        .details(json!({ "name": row.name }))
}

fn ended(ctx: &Ctx, action: &'static str, row: &ApiKeyRow) -> Entry {
    Entry::event(ctx, action)
        .target("api_key", row.id)
        .facts(json!({ "role": row.role, "prefix": row.prefix }))
        .details(json!({ "name": row.name }))
}

fn find_within_role(db: &mut Db, ctx: &Ctx, key: ApiKeyId) -> aim_store::Result<ApiKeyRow> {
    let row = store::find(db, ctx.organization, key)?;
    hold_to_own_role(ctx, row.role()?)?;
    Ok(row)
}

/// Nobody makes or ends a key that may do more than they. AIM itself is bound by nothing.
fn hold_to_own_role(ctx: &Ctx, role: Role) -> Result<()> {
    let own = match &ctx.actor {
        Actor::System(_) => return Ok(()),
        actor => actor.role(),
    };
    if own.is_some_and(|own| own >= role) {
        Ok(())
    } else {
        let text = format!(
            "an API key with the role {} is above your own role",
            role.as_str()
        );
        Err(Error::new(Code::Forbidden, text).at("role"))
    }
}
