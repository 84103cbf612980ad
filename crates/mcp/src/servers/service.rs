//! What can be done with the registry: one transaction a use case, an audit record for each change.

use aim_audit::Entry;
use aim_core::{Actor, Code, Ctx, Error, Json, Result};
use aim_crypto::keys::PublicKey;
use aim_platform::Kernel;
use aim_store::Db;
use serde_json::{Value, json};

use super::{
    model::{McpServerId, Move, NewServer, ServerFilter, ServerList, ServerStatus, ServerView, UpdateServer},
    store::{self, ServerRow},
    view::{view, views},
};
use crate::{connections::store as connections, rules::check_reason};

/// Registers, shows and changes MCP servers.
#[derive(Clone)]
pub struct ServerService {
    pub(super) kernel: Kernel,
}

impl ServerService {
    /// The use cases on this kernel's store.
    #[must_use]
    pub fn new(kernel: &Kernel) -> Self {
        Self {
            kernel: kernel.clone(),
        }
    }

    /// Registers a server. It is pending until it answers a challenge.
    ///
    /// # Errors
    /// `request.field_invalid` by field; `resource.conflict` at `url` when the address is registered already.
    pub async fn register(&self, ctx: &Ctx, new: NewServer) -> Result<ServerView> {
        let (new, key) = new.checked()?;
        let row = new_row(ctx, &new, key.as_ref());
        let named_owner = new.owner_id;
        let ctx = ctx.clone();
        self.kernel
            .store
            .write(ctx.organization, move |db| {
                check_owner(db, &ctx, named_owner)?;
                store::insert(db, &row)?;
                let registered = view(db, row.clone(), ctx.now)?;
                aim_audit::append(db, vec![registration(&ctx, &row)])?;
                Ok(registered)
            })
            .await
    }

    /// One server. An agent sees those only that it is connected to.
    ///
    /// # Errors
    /// `resource.not_found`.
    pub async fn get(&self, ctx: &Ctx, server: McpServerId) -> Result<ServerView> {
        let ctx = ctx.clone();
        self.kernel
            .store
            .read(ctx.organization, move |db| {
                visible_to(db, &ctx, server)?;
                let row = store::find(db, ctx.organization, server, false)?;
                view(db, row, ctx.now)
            })
            .await
    }

    /// The server at this address, if there is one.
    ///
    /// # Errors
    /// `request.field_invalid` at `url`, or the database's.
    pub async fn at_address(&self, ctx: &Ctx, url: &str) -> Result<Option<ServerView>> {
        let url = super::address::normalised(url)?;
        let (organization, now) = (ctx.organization, ctx.now);
        self.kernel
            .store
            .read(organization, move |db| {
                let row = store::find_by_url(db, organization, &url)?;
                row.map(|row| view(db, row, now)).transpose()
            })
            .await
    }

    /// A page of the organisation's servers.
    ///
    /// # Errors
    /// `request.field_invalid` at `cursor`, or the database's.
    pub async fn list(&self, ctx: &Ctx, filter: ServerFilter) -> Result<ServerList> {
        let (organization, now) = (ctx.organization, ctx.now);
        self.kernel
            .store
            .read(organization, move |db| {
                let page = filter.page;
                let (rows, total) = store::page(db, organization, &filter)?;
                let (rows, next_cursor) = page.cut(rows, |row| row.id.uuid());
                Ok(ServerList {
                    mcp_servers: views(db, organization, rows, now)?,
                    total,
                    limit: page.limit,
                    offset: page.offset,
                    next_cursor,
                })
            })
            .await
    }

    /// Changes what is kept about a server. Another address or key takes its verification away.
    ///
    /// # Errors
    /// `resource.not_found`, `resource.state` when it is revoked, `resource.conflict` at `url`, `request.field_invalid`.
    pub async fn update(&self, ctx: &Ctx, server: McpServerId, update: UpdateServer) -> Result<ServerView> {
        let (update, key) = update.checked()?;
        let ctx = ctx.clone();
        self.kernel
            .store
            .write(ctx.organization, move |db| {
                let mut row = store::find(db, ctx.organization, server, true)?;
                check_owner(db, &ctx, update.owner_id.flatten())?;
                let before = row.clone();
                let changed = apply(&mut row, &update, key.as_ref());
                if row.url != before.url || row.public_key != before.public_key {
                    row.status = moved(&row, Move::Change)?.as_str().to_owned();
                    row.verified_at = None;
                } else if row.status()? == ServerStatus::Revoked {
                    return Err(Error::new(
                        Code::StateConflict,
                        "the server is revoked; delete the entry instead",
                    )
                    .into());
                }
                row.updated_at = ctx.now;
                store::save(db, &row)?;
                if row.name != before.name {
                    connections::rename_server(db, &ctx, server, &before.name)?;
                }
                let updated = view(db, row.clone(), ctx.now)?;
                let entry = event(&ctx, "mcp_server.updated", &row)
                    .facts(json!({ "changed": changed, "status": row.status }))
                    .details(json!({ "name": row.name, "url": row.url }));
                aim_audit::append(db, vec![entry])?;
                Ok(updated)
            })
            .await
    }

    /// Stops a server: it is neither attested nor verified until somebody reactivates it.
    ///
    /// # Errors
    /// `resource.not_found`, `resource.state`, `request.field_invalid` at `reason`.
    pub async fn suspend(&self, ctx: &Ctx, server: McpServerId, reason: &str) -> Result<ServerView> {
        let reason = check_reason(reason)?;
        self.turn(ctx, server, Move::Suspend, "mcp_server.suspended", Some(reason))
            .await
    }

    /// Lets a suspended server go on. It has to be verified anew.
    ///
    /// # Errors
    /// `resource.not_found`, `resource.state` unless it is suspended.
    pub async fn reactivate(&self, ctx: &Ctx, server: McpServerId) -> Result<ServerView> {
        self.turn(ctx, server, Move::Reactivate, "mcp_server.reactivated", None)
            .await
    }

    /// Gives a server up for good. Its address stays taken until the entry is deleted.
    ///
    /// # Errors
    /// `resource.not_found`, `resource.state` when it is revoked already, `request.field_invalid` at `reason`.
    pub async fn revoke(&self, ctx: &Ctx, server: McpServerId, reason: &str) -> Result<ServerView> {
        let reason = check_reason(reason)?;
        self.turn(ctx, server, Move::Revoke, "mcp_server.revoked", Some(reason))
            .await
    }

    /// Deletes the entry: its address is free again, and no agent is connected to it any more.
    /// Its manifests and attestations stay on record.
    ///
    /// # Errors
    /// `resource.not_found`.
    pub async fn delete(&self, ctx: &Ctx, server: McpServerId) -> Result<()> {
        let ctx = ctx.clone();
        self.kernel
            .store
            .write(ctx.organization, move |db| {
                let mut row = store::find(db, ctx.organization, server, true)?;
                row.deleted_at = Some(ctx.now);
                row.updated_at = ctx.now;
                store::save(db, &row)?;
                let agents = connections::remove_server(db, &ctx, server, &row.name)?;
                let entry = event(&ctx, "mcp_server.deleted", &row)
                    .facts(json!({ "connections_removed": agents }))
                    .details(json!({ "name": row.name, "url": row.url }));
                aim_audit::append(db, vec![entry])?;
                Ok(())
            })
            .await
    }

    async fn turn(
        &self,
        ctx: &Ctx,
        server: McpServerId,
        step: Move,
        action: &'static str,
        reason: Option<String>,
    ) -> Result<ServerView> {
        let ctx = ctx.clone();
        self.kernel
            .store
            .write(ctx.organization, move |db| {
                let mut row = store::find(db, ctx.organization, server, true)?;
                let from = row.status.clone();
                row.status = moved(&row, step)?.as_str().to_owned();
                row.status_reason.clone_from(&reason);
                row.verified_at = None;
                row.updated_at = ctx.now;
                store::save(db, &row)?;
                let turned = view(db, row.clone(), ctx.now)?;
                let entry = event(&ctx, action, &row)
                    .facts(json!({ "from": from, "to": row.status }))
                    .details(json!({ "name": row.name, "reason": reason }));
                aim_audit::append(db, vec![entry])?;
                Ok(turned)
            })
            .await
    }
}

/// An audit record about a server.
pub(crate) fn event(ctx: &Ctx, action: &'static str, row: &ServerRow) -> Entry {
    Entry::event(ctx, action).target("mcp_server", row.id)
}

/// The row of a server to be registered.
pub(crate) fn new_row(ctx: &Ctx, new: &NewServer, key: Option<&PublicKey>) -> ServerRow {
    let own_id = match &ctx.actor {
        Actor::User { id, .. } => Some(*id),
        _ => None,
    };
    ServerRow {
        org_id: ctx.organization,
        id: ctx.new_id(),
        name: new.name.clone(),
        url: new.url.clone(),
        description: new.description.clone(),
        version: new.version.clone(),
        owner_id: new.owner_id.or(own_id),
        tags: Json::of(&new.tags),
        status: ServerStatus::Pending.as_str().to_owned(),
        status_reason: None,
        public_key: key.map(|key| key.as_bytes().to_vec()),
        verified_at: None,
        last_check_at: None,
        last_check_problem: None,
        manifest_version: 0,
        manifest_digest: None,
        manifest_at: None,
        tool_count: 0,
        resource_count: 0,
        prompt_count: 0,
        created_by: ctx.actor_text(),
        created_at: ctx.now,
        updated_at: ctx.now,
        deleted_at: None,
    }
}

/// The audit record of a registration.
pub(crate) fn registration(ctx: &Ctx, row: &ServerRow) -> Entry {
    event(ctx, "mcp_server.registered", row)
        .facts(json!({ "has_key": row.public_key.is_some() }))
        .details(json!({ "name": row.name, "url": row.url, "owner_id": row.owner_id }))
}

/// Holds an agent to the servers that it is connected to; people see all.
pub(crate) fn visible_to(db: &mut Db, ctx: &Ctx, server: McpServerId) -> aim_store::Result<()> {
    match &ctx.actor {
        Actor::Agent { id, .. } if !connections::is_connected(db, ctx.organization, *id, server)? => {
            Err(Error::not_found().into())
        }
        Actor::Anonymous => Err(Error::not_found().into()),
        _ => Ok(()),
    }
}

/// Where `step` leads from where the server stands.
pub(crate) fn moved(row: &ServerRow, step: Move) -> aim_store::Result<ServerStatus> {
    let status = row.status()?;
    status.after(step).ok_or_else(|| {
        let does = match step {
            Move::Verify | Move::Fail => "verified",
            Move::Change => "changed",
            Move::Suspend => "suspended",
            Move::Reactivate => "reactivated",
            Move::Revoke => "revoked",
        };
        Error::new(
            Code::StateConflict,
            format!("the server is {}; it cannot be {does}", status.as_str()),
        )
        .into()
    })
}

fn check_owner(db: &mut Db, ctx: &Ctx, owner: Option<aim_core::UserId>) -> aim_store::Result<()> {
    match owner {
        Some(owner) if !store::has_user(db, ctx.organization, owner)? => {
            Err(Error::field("owner_id", "no active user of your organisation has this id").into())
        }
        _ => Ok(()),
    }
}

/// Applies an update; answers the names of the fields that it carries, for the audit log.
fn apply(row: &mut ServerRow, update: &UpdateServer, key: Option<&Option<PublicKey>>) -> Value {
    let mut changed = Vec::new();
    let mut text = |field: &'static str, place: &mut String, value: &Option<String>| {
        if let Some(value) = value {
            place.clone_from(value);
            changed.push(field);
        }
    };
    text("name", &mut row.name, &update.name);
    text("url", &mut row.url, &update.url);
    text("description", &mut row.description, &update.description);
    text("version", &mut row.version, &update.version);
    if let Some(owner) = update.owner_id {
        row.owner_id = owner;
        changed.push("owner_id");
    }
    if let Some(tags) = &update.tags {
        row.tags = Json::of(tags);
        changed.push("tags");
    }
    if let Some(key) = key {
        row.public_key = key.as_ref().map(|key| key.as_bytes().to_vec());
        changed.push("public_key");
    }
    json!(changed)
}
