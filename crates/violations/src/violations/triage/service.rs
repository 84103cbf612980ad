//! Setting the state of a violation, and of all repeats of one.

use aim_audit::Entry;
use aim_core::{Code, Ctx, Error, Result, ViolationId};
use aim_platform::Kernel;
use aim_store::{Result as StoreResult, Store};
use serde_json::json;

use super::{
    model::{Act, TriageState},
    store::{self, GroupTriageRow, TriageRow},
};
use crate::violations::{
    ViolationView,
    groups::{self, GroupKey},
    model::ViolationGroupView,
    service::{group_views, view},
    store as rows,
};

/// What people make of violations. Cloning is cheap.
#[derive(Clone)]
pub struct TriageService {
    store: Store,
}

impl TriageService {
    /// The service of this installation.
    #[must_use]
    pub fn new(kernel: &Kernel) -> Self {
        Self {
            store: kernel.store.clone(),
        }
    }

    /// Does it to one violation, and answers the violation as it is then.
    ///
    /// # Errors
    /// 404 for an unknown one, 409 when one that is open is to be reopened.
    pub async fn act(&self, ctx: &Ctx, id: ViolationId, act: Act) -> Result<ViolationView> {
        let ctx = ctx.clone();
        self.store
            .write(ctx.organization, move |db| {
                let row = rows::find(db, ctx.organization, id)?.ok_or_else(Error::not_found)?;
                let key = GroupKey::of(&row);
                // Whoever says something of these repeats does so one after the other.
                groups::hold(db, &key)?;
                let before = view(db, ctx.organization, id, ctx.now)?;
                reopenable(&act, before.state)?;
                let said = TriageRow {
                    org_id: ctx.organization,
                    violation_id: id,
                    agent_id: row.agent_id,
                    attempted_capability: key.attempted_capability,
                    reason_code: key.reason_code,
                    state: act.state.as_str().to_owned(),
                    note: act.note.clone(),
                    until: act.until,
                    changed_by: ctx.actor_text(),
                    changed_at: ctx.now,
                };
                store::put(db, &said)?;
                let after = view(db, ctx.organization, id, ctx.now)?;
                let entry = Entry::event(&ctx, act.event())
                    .agent(row.agent_id)
                    .target("violation", id)
                    .facts(json!({
                        "capability": row.attempted_capability,
                        "severity": row.severity,
                        "state_before": before.state,
                        "until": act.until,
                    }))
                    .details(json!({"reason": act.note}));
                aim_audit::append(db, vec![entry])?;
                Ok(after)
            })
            .await
    }

    /// Does it to all repeats up to `through`, or to the latest there is; a suppression covers those to come
    /// as well. What was said of single ones among them is over. Answers the group as it is then.
    ///
    /// # Errors
    /// 404 for unknown repeats, 409 when some that nobody has dealt with are to be reopened.
    pub async fn act_on_group(
        &self,
        ctx: &Ctx,
        key: GroupKey,
        act: Act,
        through: Option<ViolationId>,
    ) -> Result<ViolationGroupView> {
        let ctx = ctx.clone();
        self.store
            .write(ctx.organization, move |db| {
                let group = groups::hold(db, &key)?.ok_or_else(Error::not_found)?;
                let through = match act.state {
                    TriageState::Acknowledged | TriageState::Resolved => {
                        // Nobody can have looked at those to come.
                        Some(
                            through.map_or(group.last_violation_id, |seen| seen.min(group.last_violation_id)),
                        )
                    }
                    TriageState::Open | TriageState::Suppressed => None,
                };
                let said_of_singles = store::remove_singles(db, &key, through)?;
                if act.state == TriageState::Open {
                    let said = store::remove_group(db, &key)?;
                    if said + said_of_singles == 0 {
                        return Err(already_open().into());
                    }
                } else {
                    store::put_group(db, &said(&ctx, &key, &act, through))?;
                }
                let facts = json!({
                    "capability": key.attempted_capability,
                    "reason_code": key.reason_code,
                    "severity": group.severity,
                    "count": group.count,
                    "through": through,
                    "until": act.until,
                });
                let view = group_views(db, ctx.organization, vec![group], ctx.now)?.pop();
                let entry = Entry::event(&ctx, act.group_event())
                    .agent(key.agent)
                    .target("agent", key.agent)
                    .facts(facts)
                    .details(json!({"reason": act.note}));
                aim_audit::append(db, vec![entry])?;
                Ok(view.ok_or_else(Error::not_found)?)
            })
            .await
    }
}

fn said(ctx: &Ctx, key: &GroupKey, act: &Act, through: Option<ViolationId>) -> GroupTriageRow {
    GroupTriageRow {
        org_id: key.organization,
        agent_id: key.agent,
        attempted_capability: key.attempted_capability.clone(),
        reason_code: key.reason_code.clone(),
        state: act.state.as_str().to_owned(),
        note: act.note.clone(),
        until: act.until,
        through_id: through,
        changed_by: ctx.actor_text(),
        changed_at: ctx.now,
    }
}

fn reopenable(act: &Act, before: TriageState) -> StoreResult<()> {
    if act.state == TriageState::Open && before == TriageState::Open {
        return Err(already_open().into());
    }
    Ok(())
}

fn already_open() -> Error {
    Error::new(
        Code::StateConflict,
        "it is open already; there is nothing to reopen",
    )
}
