//! Reading violations: pages with exact totals, the whole filtered set in pieces, and groups.

use aim_core::{AgentId, Ctx, Error, Id, OrganizationId, PageRequest, Result, ViolationId};
use aim_platform::Kernel;
use aim_store::{Db, Result as StoreResult, Store};

use super::{
    counts, groups,
    model::{Filter, ViolationGroupList, ViolationList, ViolationView},
    store::{self, Slice},
};
use crate::export::CHUNK;

/// What agents tried and were denied. Cloning is cheap.
#[derive(Clone)]
pub struct ViolationService {
    store: Store,
}

impl ViolationService {
    /// The service of this installation.
    #[must_use]
    pub fn new(kernel: &Kernel) -> Self {
        Self {
            store: kernel.store.clone(),
        }
    }

    /// A page of violations, newest first.
    ///
    /// # Errors
    /// 404 for an unknown agent, and for an agent that asks about another one.
    pub async fn list(&self, ctx: &Ctx, filter: Filter, page: PageRequest) -> Result<ViolationList> {
        allowed(ctx, filter.agent)?;
        let organization = ctx.organization;
        self.store
            .read(organization, move |db| {
                known(db, organization, filter.agent)?;
                // What is made in between has a newer id: the page may show it, and the total leaves it out.
                let total = counts::total(db, organization, &filter)?;
                let before = page.cursor.map(|cursor| Id::from_uuid(cursor.0));
                let slice = Slice {
                    before,
                    offset: page.offset,
                    limit: page.fetch(),
                };
                let rows = if total == 0 {
                    Vec::new()
                } else {
                    store::page(db, organization, &filter, slice)?
                };
                let (rows, next_cursor) = page.cut(rows, |row| row.id.uuid());
                Ok(ViolationList {
                    violations: rows.into_iter().map(ViolationView::from).collect(),
                    total,
                    limit: page.limit,
                    offset: page.offset,
                    next_cursor,
                })
            })
            .await
    }

    /// A piece of the filtered set, newest first: the rows older than `before`, and the last of them if
    /// there may be more. Rows made later have newer ids, so a walk sees each row once and ends.
    ///
    /// # Errors
    /// 404 for an unknown agent, and for an agent that asks about another one.
    pub async fn piece(
        &self,
        ctx: &Ctx,
        filter: Filter,
        before: Option<ViolationId>,
    ) -> Result<(Vec<ViolationView>, Option<ViolationId>)> {
        allowed(ctx, filter.agent)?;
        let organization = ctx.organization;
        self.store
            .read(organization, move |db| {
                known(db, organization, filter.agent)?;
                let rows = store::page(
                    db,
                    organization,
                    &filter,
                    Slice {
                        before,
                        offset: 0,
                        limit: CHUNK,
                    },
                )?;
                let full = i64::try_from(rows.len()).is_ok_and(|count| count == CHUNK);
                let last = rows.last().map(|row| row.id).filter(|_| full);
                Ok((rows.into_iter().map(ViolationView::from).collect(), last))
            })
            .await
    }

    /// A page of groups, the one seen last first: of one agent, or of the organisation.
    ///
    /// # Errors
    /// 404 for an unknown agent, and for an agent that asks about another one.
    pub async fn groups(
        &self,
        ctx: &Ctx,
        agent: Option<AgentId>,
        page: PageRequest,
    ) -> Result<ViolationGroupList> {
        allowed(ctx, agent)?;
        let organization = ctx.organization;
        self.store
            .read(organization, move |db| {
                known(db, organization, agent)?;
                let before = page.cursor.map(|cursor| Id::from_uuid(cursor.0));
                let rows = groups::page(db, organization, agent, before, page.fetch(), page.offset)?;
                let total = groups::count(db, organization, agent)?;
                let (rows, next_cursor) = page.cut(rows, |row| row.last_violation_id.uuid());
                Ok(ViolationGroupList {
                    groups: rows.into_iter().map(Into::into).collect(),
                    total,
                    limit: page.limit,
                    offset: page.offset,
                    next_cursor,
                })
            })
            .await
    }
}

/// An agent reads about itself; people read about all.
fn allowed(ctx: &Ctx, agent: Option<AgentId>) -> Result<()> {
    match (agent, &ctx.actor) {
        (Some(agent), _) => ctx.acts_for(agent),
        (None, aim_core::Actor::Agent { .. } | aim_core::Actor::Anonymous) => Err(Error::not_found()),
        (None, _) => Ok(()),
    }
}

fn known(db: &mut Db, organization: OrganizationId, agent: Option<AgentId>) -> StoreResult<()> {
    match agent {
        Some(agent) if !store::had_agent(db, organization, agent)? => Err(Error::not_found().into()),
        _ => Ok(()),
    }
}
