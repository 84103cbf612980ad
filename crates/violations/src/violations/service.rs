//! Reading violations: pages with exact totals, the whole filtered set in pieces, and groups.

use std::collections::{BTreeSet, HashMap};

use aim_core::{AgentId, Ctx, Error, Id, OrganizationId, PageRequest, Result, Timestamp, ViolationId};
use aim_platform::Kernel;
use aim_store::{Db, Result as StoreResult, Store};

use super::{
    counts,
    groups::{self, GroupKey, GroupRow},
    model::{Filter, GroupFilter, ViolationGroupList, ViolationGroupView, ViolationList, ViolationView},
    store::{self, Slice, ViolationRow},
    triage::{self, TriageView, store::GroupTriageRow},
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
        let (organization, now) = (ctx.organization, ctx.now);
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
                    violations: views(db, organization, rows, now)?,
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
        let (organization, now) = (ctx.organization, ctx.now);
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
                Ok((views(db, organization, rows, now)?, last))
            })
            .await
    }

    /// One violation.
    ///
    /// # Errors
    /// 404 for an unknown one.
    pub async fn get(&self, ctx: &Ctx, id: ViolationId) -> Result<ViolationView> {
        let (organization, now) = (ctx.organization, ctx.now);
        self.store
            .read(organization, move |db| view(db, organization, id, now))
            .await
    }

    /// One violation, its repeats, and how the agent proved itself when it tried.
    ///
    /// # Errors
    /// 404 for an unknown one.
    pub async fn with_repeats(&self, ctx: &Ctx, id: ViolationId) -> Result<WithRepeats> {
        let (organization, now) = (ctx.organization, ctx.now);
        self.store
            .read(organization, move |db| {
                let row = store::find(db, organization, id)?.ok_or_else(Error::not_found)?;
                let group = groups::find(db, &GroupKey::of(&row))?;
                let groups = group_views(db, organization, group.into_iter().collect(), now)?;
                let proof = store::proof_of(db, organization, row.decision_id)?;
                let violation = views(db, organization, vec![row], now)?.pop();
                Ok(WithRepeats {
                    violation: violation.ok_or_else(Error::not_found)?,
                    repeats: groups.into_iter().next(),
                    proof,
                })
            })
            .await
    }

    /// The agent of this name or id; nothing if the organisation has none.
    ///
    /// # Errors
    /// The database's.
    pub async fn agent_called(&self, ctx: &Ctx, name: &str) -> Result<Option<AgentId>> {
        let (organization, name) = (ctx.organization, name.to_owned());
        self.store
            .read(organization, move |db| match name.parse() {
                Ok(id) => Ok(store::had_agent(db, organization, id)?.then_some(id)),
                Err(_) => store::agent_named(db, organization, &name),
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
        filter: GroupFilter,
        page: PageRequest,
    ) -> Result<ViolationGroupList> {
        allowed(ctx, filter.agent)?;
        let (organization, now) = (ctx.organization, ctx.now);
        self.store
            .read(organization, move |db| {
                known(db, organization, filter.agent)?;
                let before = page.cursor.map(|cursor| Id::from_uuid(cursor.0));
                let rows = groups::page(db, organization, &filter, before, page.fetch(), page.offset)?;
                let total = groups::count(db, organization, &filter)?;
                let (rows, next_cursor) = page.cut(rows, |row| row.last_violation_id.uuid());
                Ok(ViolationGroupList {
                    groups: group_views(db, organization, rows, now)?,
                    total,
                    limit: page.limit,
                    offset: page.offset,
                    next_cursor,
                })
            })
            .await
    }
}

/// A violation with what surrounds it.
#[derive(Debug, Clone)]
pub struct WithRepeats {
    /// The violation.
    pub violation: ViolationView,
    /// All repeats of it, itself included.
    pub repeats: Option<ViolationGroupView>,
    /// By which scheme and with which credential the agent proved itself, if that is still known.
    pub proof: Option<(String, String)>,
}

/// One violation with what people made of it.
pub(super) fn view(
    db: &mut Db,
    organization: OrganizationId,
    id: ViolationId,
    now: Timestamp,
) -> StoreResult<ViolationView> {
    let row = store::find(db, organization, id)?.ok_or_else(Error::not_found)?;
    let view = views(db, organization, vec![row], now)?.pop();
    Ok(view.ok_or_else(Error::not_found)?)
}

/// Violations with what people made of them.
fn views(
    db: &mut Db,
    organization: OrganizationId,
    rows: Vec<ViolationRow>,
    now: Timestamp,
) -> StoreResult<Vec<ViolationView>> {
    let ids: Vec<ViolationId> = rows.iter().map(|row| row.id).collect();
    let singles = triage::store::of_violations(db, organization, &ids)?;
    let said: HashMap<ViolationId, TriageView> = singles
        .iter()
        .filter_map(|single| Some((single.violation_id, TriageView::of_one(single, now)?)))
        .collect();
    let keys: Vec<GroupKey> = rows.iter().map(GroupKey::of).collect();
    let repeats = repeats(db, organization, &keys)?;
    let views = rows.into_iter().zip(keys).map(|(row, key)| {
        let triage = said.get(&row.id).cloned().or_else(|| {
            repeats
                .get(&key)
                .filter(|repeats| covers(repeats, row.id))
                .and_then(|repeats| TriageView::of_repeats(repeats, now))
        });
        ViolationView::of(row, triage)
    });
    Ok(views.collect())
}

/// Groups with what people made of them.
pub(super) fn group_views(
    db: &mut Db,
    organization: OrganizationId,
    rows: Vec<GroupRow>,
    now: Timestamp,
) -> StoreResult<Vec<ViolationGroupView>> {
    let keys: Vec<GroupKey> = rows.iter().map(GroupRow::key).collect();
    let repeats = repeats(db, organization, &keys)?;
    let views = rows.into_iter().zip(keys).map(|(row, key)| {
        let said = repeats.get(&key);
        let covered = said.is_some_and(|said| covers(said, row.last_violation_id));
        let triage = said.and_then(|said| TriageView::of_repeats(said, now));
        ViolationGroupView::of(row, triage, covered)
    });
    Ok(views.collect())
}

/// What was said of these repeats, whether it still counts or not.
fn repeats(
    db: &mut Db,
    organization: OrganizationId,
    keys: &[GroupKey],
) -> StoreResult<HashMap<GroupKey, GroupTriageRow>> {
    let agents: BTreeSet<AgentId> = keys.iter().map(|key| key.agent).collect();
    let capabilities: BTreeSet<&str> = keys.iter().map(|key| key.attempted_capability.as_str()).collect();
    let (agents, capabilities): (Vec<_>, Vec<_>) =
        (agents.into_iter().collect(), capabilities.into_iter().collect());
    let rows = triage::store::of_repeats(db, organization, &agents, &capabilities)?;
    Ok(rows.into_iter().map(|row| (row.key(), row)).collect())
}

/// Whether what was said of repeats covers this one.
fn covers(said: &GroupTriageRow, violation: ViolationId) -> bool {
    said.through_id.is_none_or(|through| violation <= through)
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
