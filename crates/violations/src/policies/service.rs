//! Making and removing policies. Every change bumps the organisation's policy epoch in its own
//! transaction, so that the very next decision of any agent, on whichever node, sees it.

use aim_audit::Entry;
use aim_core::{Code, Ctx, Error, Id, PolicyId, Result, id::PolicyKind};
use aim_platform::Kernel;
use aim_store::{Result as StoreResult, ResultExt, Store};
use serde_json::json;

use super::{
    model::{NewPolicy, POLICIES_MAX, PolicyFilter, PolicyList, PolicyView},
    store,
};
use crate::parameters;

/// The organisation's guard rails. Cloning is cheap.
#[derive(Clone)]
pub struct PolicyService {
    store: Store,
}

impl PolicyService {
    /// The service of this installation.
    #[must_use]
    pub fn new(kernel: &Kernel) -> Self {
        Self {
            store: kernel.store.clone(),
        }
    }

    /// A page of policies.
    ///
    /// # Errors
    /// 422 naming a parameter.
    pub async fn list(&self, ctx: &Ctx, filter: PolicyFilter) -> Result<PolicyList> {
        let page = parameters::page(
            filter.limit.as_deref(),
            filter.offset.as_deref(),
            filter.cursor.as_deref(),
        )?;
        let organization = ctx.organization;
        self.store
            .read(organization, move |db| {
                let before = page.cursor.map(|cursor| Id::from_uuid(cursor.0));
                let rows = store::page(db, organization, before, page.fetch(), page.offset)?;
                let total = store::count(db, organization)?;
                let (rows, next_cursor) = page.cut(rows, |row| row.id.uuid());
                let policies = rows
                    .into_iter()
                    .map(PolicyView::of)
                    .collect::<StoreResult<Vec<_>>>()?;
                Ok(PolicyList {
                    policies,
                    total,
                    limit: page.limit,
                    offset: page.offset,
                    next_cursor,
                })
            })
            .await
    }

    /// Makes a policy.
    ///
    /// # Errors
    /// 409 when the name is taken or there are too many, 422 naming a field.
    pub async fn create(&self, ctx: &Ctx, new: NewPolicy) -> Result<PolicyView> {
        let row = new.row(ctx, ctx.new_id::<PolicyKind>())?;
        let ctx = ctx.clone();
        self.store
            .write(ctx.organization, move |db| {
                if !store::bump_epoch(db, ctx.organization)? {
                    return Err(Error::not_found().into());
                }
                if store::count(db, ctx.organization)? >= POLICIES_MAX {
                    let detail =
                        format!("an organisation has at most {POLICIES_MAX} policies; remove some first");
                    return Err(Error::new(Code::StateConflict, detail).into());
                }
                store::insert(db, &row).on_unique(|| {
                    Error::new(
                        Code::NameTaken,
                        "another policy of the organisation has this name",
                    )
                    .at("name")
                })?;
                let entry = Entry::event(&ctx, "policy.created")
                    .target("policy", row.id)
                    .facts(json!({
                        "effect": row.effect,
                        "capability": row.capability,
                        "agent_types": row.agent_types,
                        "trust_below": row.trust_below,
                    }))
                    .details(json!({"name": row.name, "resources": row.resources}));
                aim_audit::append(db, vec![entry])?;
                PolicyView::of(row.clone())
            })
            .await
    }

    /// Removes a policy. The next action is decided without it.
    ///
    /// # Errors
    /// 404 for an unknown one.
    pub async fn delete(&self, ctx: &Ctx, id: PolicyId) -> Result<()> {
        let ctx = ctx.clone();
        self.store
            .write(ctx.organization, move |db| {
                // First the epoch, which holds the organisation's row: of two callers one removes it.
                store::bump_epoch(db, ctx.organization)?;
                let row = store::remove(db, ctx.organization, id)?.ok_or_else(Error::not_found)?;
                let entry = Entry::event(&ctx, "policy.deleted")
                    .target("policy", id)
                    .facts(json!({"effect": row.effect, "capability": row.capability}))
                    .details(json!({"name": row.name, "resources": row.resources}));
                aim_audit::append(db, vec![entry])?;
                Ok(())
            })
            .await
    }
}
