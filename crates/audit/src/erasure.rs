//! Erasing personal details beside the leaves, as retention wants it. The leaves stay, and each erasure is
//! told of by a record of its own, in the same transaction: a check of the log takes nothing else for one.

use aim_core::{AgentId, Ctx, Json, OrganizationId, Timestamp};
use aim_store::{Db, Result, each, schema::audit_log};
use diesel::{ExpressionMethods, QueryDsl, RunQueryDsl, dsl::sql, sql_types::Bool};
use serde_json::{Value, json};

use crate::leaf::Entry;

/// The action of the records that tell of an erasure.
pub const APPLIED: &str = "retention.applied";
/// The class of details of events.
pub const DETAILS: &str = "audit_details";
/// The class of inputs of decisions.
pub const DECISION_INPUTS: &str = "decision_inputs";

/// The record that everything of `class` before that moment may have been trimmed, which is what a check of
/// the log goes by.
#[must_use]
pub fn applied(
    ctx: &Ctx,
    class: &'static str,
    name: &'static str,
    before: Timestamp,
    changed: usize,
) -> Entry {
    Entry::event(ctx, APPLIED)
        .target("retention", name)
        .facts(json!({"class": class, "before": before, "changed": changed}))
}

/// What such a record allows.
pub(crate) fn allowance(facts: &Value) -> Option<(String, Timestamp)> {
    let class = facts.get("class")?.as_str()?.to_owned();
    let before = Timestamp::parse(facts.get("before")?.as_str()?)?;
    Some((class, before))
}

/// What was looked at and erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erased {
    /// How many records lost their details.
    pub changed: usize,
    /// The index of the last record that was looked at.
    pub reached: Option<i64>,
    /// Whether there may be more.
    pub more: bool,
}

/// Erases the details of at most `limit` events older than `before`, those after the index `after`, but of
/// no agent in `held`. The caller appends [`applied`] in the same transaction.
///
/// # Errors
/// The database's.
pub fn erase_details(
    db: &mut Db,
    organization: OrganizationId,
    before: Timestamp,
    held: &[AgentId],
    after: Option<i64>,
    limit: i64,
) -> Result<Erased> {
    let rows: Vec<(i64, Timestamp, Option<AgentId>)> = each!(db, c => audit_log::table
        .filter(audit_log::org_id.eq(organization))
        .filter(events())
        .filter(audit_log::leaf_index.gt(after.unwrap_or(-1)))
        .order(audit_log::leaf_index)
        .limit(limit)
        .select((audit_log::leaf_index, audit_log::created_at, audit_log::agent_id))
        .load(c))?;
    let full = rows.len() >= usize::try_from(limit).unwrap_or(0);
    let due: Vec<_> = rows.into_iter().take_while(|(_, at, _)| *at < before).collect();
    let more = full && due.len() >= usize::try_from(limit).unwrap_or(0);
    let erase: Vec<i64> = due
        .iter()
        .filter(|(_, _, agent)| agent.is_none_or(|agent| !held.contains(&agent)))
        .map(|(index, _, _)| *index)
        .collect();
    let changed = each!(db, c => diesel::update(
            audit_log::table
                .filter(audit_log::org_id.eq(organization))
                .filter(audit_log::leaf_index.eq_any(&erase))
                .filter(audit_log::salt.is_not_null()),
        )
        .set((audit_log::details.eq(None::<Json>), audit_log::salt.eq(None::<Vec<u8>>)))
        .execute(c))?;
    Ok(Erased {
        changed,
        reached: due.last().map(|(index, _, _)| *index),
        more,
    })
}

/// When the oldest event after the index `after` happened that still has details and is of no agent in `held`.
///
/// # Errors
/// The database's.
pub fn oldest_details(
    db: &mut Db,
    organization: OrganizationId,
    held: &[AgentId],
    after: Option<i64>,
) -> Result<Option<Timestamp>> {
    use diesel::{BoolExpressionMethods, OptionalExtension};
    Ok(each!(db, c => audit_log::table
        .filter(audit_log::org_id.eq(organization))
        .filter(events())
        .filter(audit_log::leaf_index.gt(after.unwrap_or(-1)))
        .filter(audit_log::salt.is_not_null())
        .filter(audit_log::agent_id.is_null().or(diesel::dsl::not(audit_log::agent_id.eq_any(held))))
        .order(audit_log::leaf_index)
        .select(audit_log::created_at)
        .first(c)
        .optional())?)
}

/// Written out, so that the partial index on events is taken.
fn events() -> diesel::expression::SqlLiteral<Bool> {
    sql::<Bool>("audit_log.kind = 'event'")
}
