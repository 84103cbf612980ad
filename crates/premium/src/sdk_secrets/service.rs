//! The use cases around namespaces. What is kept is kept by the vault.

use std::collections::HashMap;

use aim_audit::Entry;
use aim_core::{Actor, AgentId, Code, Ctx, Error, Json, PageRequest, Result, Timestamp};
use aim_platform::Kernel;
use aim_store::Store;
use chrono::TimeDelta;
use serde_json::json;

use super::{
    model::{
        AuditEntries, AuditEntry, AuditQuery, MOST_NAMESPACES, NamespaceId, NamespaceList, NamespaceQuery,
        NamespaceView, NewCredential, NewNamespace, StoredCredential, path_of,
    },
    store::{self, NamespaceRow},
};
use crate::{
    agent_choice::AgentChoice,
    vault::{VaultService, model::PutSecret},
};

/// How far back the reads are shown when nothing else is asked for.
const DEFAULT_SINCE: TimeDelta = TimeDelta::days(30);

/// The secrets calls of the SDK.
#[derive(Clone)]
pub struct SdkSecretsService {
    pub(super) store: Store,
    pub(super) vault: VaultService,
    /// How far a nonce's time may be from ours.
    pub(super) window: TimeDelta,
}

impl SdkSecretsService {
    pub(super) fn new(kernel: &Kernel, vault: VaultService) -> Self {
        Self {
            store: kernel.store.clone(),
            vault,
            window: TimeDelta::seconds(kernel.config.signature_window_seconds),
        }
    }

    /// Makes a namespace. It holds nothing yet, and grants nothing.
    pub(super) async fn create(&self, ctx: &Ctx, new: NewNamespace) -> Result<NamespaceView> {
        let path = new.check()?;
        let row = NamespaceRow {
            org_id: ctx.organization,
            id: ctx.new_id(),
            agent_id: new.agent_id,
            namespace: new.namespace,
            operations: Json::of(&new.operations),
            url_patterns: Json::of(&new.url_patterns),
            created_by: ctx.actor_text(),
            created_at: ctx.now,
        };
        let ctx = ctx.clone();
        self.store
            .write(ctx.organization, move |db| {
                if !store::has_agent(db, ctx.organization, row.agent_id)? {
                    return Err(Error::field("agentId", "no agent of your organisation has this id").into());
                }
                if store::count(db, ctx.organization, row.agent_id)? >= MOST_NAMESPACES {
                    let detail = format!("an agent has at most {MOST_NAMESPACES} namespaces");
                    return Err(Error::new(Code::StateConflict, detail).at("agentId").into());
                }
                store::insert(db, &row)?;
                let entry = Entry::event(&ctx, "sdk_namespace.created")
                    .agent(row.agent_id)
                    .target("sdk_namespace", row.id)
                    .facts(json!({"operations": row.operations}))
                    .details(json!({"path": path.as_str(), "url_patterns": row.url_patterns}));
                aim_audit::append(db, vec![entry])?;
                Ok(NamespaceView::of(row.clone()))
            })
            .await
    }

    /// Namespaces: an agent sees its own, people see their organisation's.
    pub(super) async fn list(&self, ctx: &Ctx, query: NamespaceQuery) -> Result<NamespaceList> {
        let page = PageRequest::parse(query.limit.or(Some(100)), None, query.cursor.as_deref())?;
        let agent = own_or_named(ctx, query.agent_id)?;
        let organization = ctx.organization;
        let before = page.cursor.map(|cursor| NamespaceId::from_uuid(cursor.0));
        let rows = self
            .store
            .read(organization, move |db| {
                store::page(db, organization, agent, before, page.fetch())
            })
            .await?;
        let (rows, next_cursor) = page.cut(rows, |row| row.id.uuid());
        Ok(NamespaceList {
            namespaces: rows.into_iter().map(NamespaceView::of).collect(),
            next_cursor,
        })
    }

    /// The agents that have namespaces or can be given one.
    pub(super) async fn agents_to_choose(&self, ctx: &Ctx) -> Result<AgentChoice> {
        AgentChoice::load(&self.store, ctx).await
    }

    /// The newest version of the credential at each of these paths; paths without one are left out.
    pub(super) async fn versions(&self, ctx: &Ctx, paths: Vec<String>) -> Result<HashMap<String, i64>> {
        let organization = ctx.organization;
        let found = self
            .store
            .read(organization, move |db| store::versions(db, organization, &paths))
            .await?;
        Ok(found.into_iter().collect())
    }

    /// One namespace.
    pub(super) async fn get(&self, ctx: &Ctx, id: NamespaceId) -> Result<NamespaceView> {
        let row = self.find(ctx, id).await?;
        ctx.acts_for(row.agent_id)?;
        Ok(NamespaceView::of(row))
    }

    /// Deletes the versions of the credential, until they are undeleted in the vault, and removes the namespace.
    pub(super) async fn delete(&self, ctx: &Ctx, id: NamespaceId) -> Result<()> {
        let row = self.find(ctx, id).await?;
        let path = path_of(row.agent_id, &row.namespace)?;
        // First: what fails afterwards leaves a namespace without a credential, and not the other way round.
        match self.vault.delete(ctx, path.clone(), None).await {
            Err(error) if error.code != Code::NotFound => return Err(error),
            _ => {}
        }
        let ctx = ctx.clone();
        self.store
            .write(ctx.organization, move |db| {
                if !store::remove(db, ctx.organization, id)? {
                    return Err(Error::not_found().into());
                }
                let entry = Entry::event(&ctx, "sdk_namespace.deleted")
                    .agent(row.agent_id)
                    .target("sdk_namespace", id)
                    .details(json!({"path": path.as_str()}));
                aim_audit::append(db, vec![entry])?;
                Ok(())
            })
            .await
    }

    /// Writes the credential: a new version of the secret at the namespace's path. To rotate, there must be one.
    pub(super) async fn keep(
        &self,
        ctx: &Ctx,
        id: NamespaceId,
        credential: NewCredential,
        rotate: bool,
    ) -> Result<StoredCredential> {
        let (kind, fields) = credential.into_secret()?;
        let row = self.find(ctx, id).await?;
        let path = path_of(row.agent_id, &row.namespace)?;
        let cas = if rotate {
            let view = self.vault.get(ctx, path.clone()).await;
            let view = view.map_err(|error| match error.code {
                Code::NotFound => Error::new(
                    Code::StateConflict,
                    "the namespace holds no credential to rotate; store one first",
                ),
                _ => error,
            })?;
            Some(view.secret.current_version)
        } else {
            None
        };
        let wish = PutSecret {
            kind,
            fields,
            description: None,
            tags: None,
            owner: None,
            provider: None,
            expires_at: None,
            max_versions: None,
            cas,
        };
        let view = self.vault.put(ctx, path, wish).await?;
        Ok(StoredCredential {
            namespace_id: id,
            path: view.secret.path,
            version: view.secret.current_version,
            status: "stored",
        })
    }

    /// Reads of secrets, the newest first: what was asked and how it was decided.
    pub(super) async fn audit(&self, ctx: &Ctx, query: AuditQuery) -> Result<AuditEntries> {
        let page = PageRequest::parse(query.limit.or(Some(50)), query.offset, None)?;
        let agent = own_or_named(ctx, query.agent_id)?;
        let since = match query.since.as_deref().filter(|text| !text.is_empty()) {
            Some(text) => Timestamp::parse(text)
                .ok_or_else(|| Error::field("since", "a moment such as 2026-11-23T10:00:00Z"))?,
            None => ctx.now - DEFAULT_SINCE,
        };
        let organization = ctx.organization;
        let rows = self
            .store
            .read(organization, move |db| {
                store::reads(db, organization, agent, since, (page.limit, page.offset))
            })
            .await?;
        Ok(AuditEntries {
            entries: rows.into_iter().map(AuditEntry::of).collect(),
        })
    }

    async fn find(&self, ctx: &Ctx, id: NamespaceId) -> Result<NamespaceRow> {
        let organization = ctx.organization;
        self.store
            .read(organization, move |db| store::find(db, organization, id))
            .await?
            .ok_or_else(Error::not_found)
    }
}

/// An agent asks about itself, whatever it names; another's is as unknown as one that is not there.
fn own_or_named(ctx: &Ctx, named: Option<AgentId>) -> Result<Option<AgentId>> {
    match &ctx.actor {
        Actor::Agent { id, .. } => {
            if let Some(named) = named {
                ctx.acts_for(named)?;
            }
            Ok(Some(*id))
        }
        _ => Ok(named),
    }
}
