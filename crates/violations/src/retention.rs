//! What retention trims here: what agents asked for in decisions, the snapshots that nothing is replayed
//! from any more, and violations with their totals. Each decision's row and leaf stay: what was decided,
//! when and why remains evident, and what it was asked with is gone.

use std::collections::BTreeMap;

use aim_core::{AgentId, DecisionId, OrganizationId, Timestamp, ViolationId};
use aim_platform::retention::{Retained, RetentionClass, Trim, Trimmed};
use aim_store::{
    Db, Result, diesel, each,
    schema::{decision_results, decisions, snapshots, violation_counts, violation_groups, violations},
};
use chrono::TimeDelta;
use diesel::{
    BoolExpressionMethods, ExpressionMethods, NullableExpressionMethods, OptionalExtension, QueryDsl,
    RunQueryDsl, SelectableHelper,
};
use uuid::Uuid;

use crate::{
    schema::violation_triage,
    verification::SNAPSHOT_NOTE,
    violations::{
        counts::{self, CountKey},
        groups::{self, GroupChange},
        store::ViolationRow,
    },
};

/// The tables, in the order in which they are trimmed.
pub(crate) fn retained() -> Vec<Retained> {
    vec![
        Retained {
            name: "decisions",
            class: RetentionClass::DecisionInputs,
            trim: trim_decisions,
            oldest: oldest_decision,
        },
        Retained {
            name: "snapshots",
            class: RetentionClass::DecisionInputs,
            trim: trim_snapshots,
            // They hold nothing of people, and go with the decisions.
            oldest: |_, _, _, _| Ok(None),
        },
        Retained {
            name: "violations",
            class: RetentionClass::Violations,
            trim: trim_violations,
            oldest: oldest_violation,
        },
    ]
}

/// The least id of a row made at `moment` (RFC 9562 §5.7): rows made before have lesser ones.
fn first_id(moment: Timestamp) -> Uuid {
    let millisecond = u64::try_from(moment.timestamp_millis()).unwrap_or(0);
    Uuid::from_u128(u128::from(millisecond) << 80)
}

/// Where the piece before ended; before the first id if it was the first.
fn after(trim: &Trim) -> Uuid {
    let after = trim.after.as_deref().and_then(|text| Uuid::parse_str(text).ok());
    after.unwrap_or(Uuid::nil())
}

fn is_full(rows: usize, trim: &Trim) -> bool {
    rows >= usize::try_from(trim.limit).unwrap_or(0)
}

fn trim_decisions(db: &mut Db, trim: &Trim) -> Result<Trimmed> {
    let rows: Vec<(DecisionId, AgentId)> = each!(db, c => decisions::table
        .filter(decisions::org_id.eq(trim.organization))
        .filter(decisions::id.gt(DecisionId::from_uuid(after(trim))))
        .filter(decisions::id.lt(DecisionId::from_uuid(first_id(trim.before))))
        .order(decisions::id)
        .limit(trim.limit)
        .select((decisions::id, decisions::agent_id))
        .load(c))?;
    let due: Vec<DecisionId> = rows
        .iter()
        .filter(|(_, agent)| !trim.held.contains(agent))
        .map(|(id, _)| *id)
        .collect();
    // The salt goes too: without it nobody can try out what the leaf committed to.
    let changed = each!(db, c => diesel::update(
            decisions::table
                .filter(decisions::org_id.eq(trim.organization))
                .filter(decisions::id.eq_any(&due))
                .filter(decisions::inputs.ne("")),
        )
        .set((
            decisions::inputs.eq(""),
            decisions::salt.eq(Vec::<u8>::new()),
            decisions::resource.eq(None::<String>),
            decisions::source_ip.eq(None::<String>),
            decisions::resolution_note.eq(None::<String>),
        ))
        .execute(c))?;
    each!(db, c => diesel::update(
            decision_results::table
                .filter(decision_results::org_id.eq(trim.organization))
                .filter(decision_results::decision_id.eq_any(&due)),
        )
        .set((
            decision_results::summary.eq(None::<String>),
            decision_results::error_message.eq(None::<String>),
        ))
        .execute(c))?;
    Ok(Trimmed {
        changed,
        reached: rows.last().map(|(id, _)| id.to_string()),
        more: is_full(rows.len(), trim),
    })
}

fn oldest_decision(
    db: &mut Db,
    organization: OrganizationId,
    held: &[AgentId],
    reached: Option<&str>,
) -> Result<Option<Timestamp>> {
    // Behind that place all inputs are erased or held: a year of them need not be passed by.
    let after = reached
        .and_then(|id| id.parse().ok())
        .unwrap_or_else(|| DecisionId::from_uuid(uuid::Uuid::nil()));
    Ok(each!(db, c => decisions::table
        .filter(decisions::org_id.eq(organization))
        .filter(decisions::id.gt(after))
        .filter(decisions::inputs.ne(""))
        .filter(decisions::agent_id.ne_all(held))
        .order(decisions::id)
        .select(decisions::created_at)
        .first(c)
        .optional())?)
}

/// A snapshot that was last in use so long ago that every decision on it has lost its inputs. While
/// anything is held, all stay.
fn trim_snapshots(db: &mut Db, trim: &Trim) -> Result<Trimmed> {
    let nothing = Trimmed {
        changed: 0,
        reached: None,
        more: false,
    };
    if !trim.held.is_empty() {
        return Ok(nothing);
    }
    let unused_since = trim.before - SNAPSHOT_NOTE - TimeDelta::days(1);
    let digests: Vec<Vec<u8>> = each!(db, c => snapshots::table
        .filter(snapshots::org_id.eq(trim.organization))
        .filter(
            snapshots::last_used_at
                .lt(unused_since)
                .assume_not_null()
                .or(snapshots::last_used_at.is_null().and(snapshots::created_at.lt(unused_since))),
        )
        .limit(trim.limit)
        .select(snapshots::digest)
        .load(c))?;
    let changed = each!(db, c => diesel::delete(
            snapshots::table
                .filter(snapshots::org_id.eq(trim.organization))
                .filter(snapshots::digest.eq_any(&digests)),
        )
        .execute(c))?;
    Ok(Trimmed {
        changed,
        more: is_full(digests.len(), trim),
        ..nothing
    })
}

fn trim_violations(db: &mut Db, trim: &Trim) -> Result<Trimmed> {
    let rows: Vec<ViolationRow> = each!(db, c => violations::table
        .filter(violations::org_id.eq(trim.organization))
        .filter(violations::id.gt(ViolationId::from_uuid(after(trim))))
        .filter(violations::id.lt(ViolationId::from_uuid(first_id(trim.before))))
        .order(violations::id)
        .limit(trim.limit)
        .select(ViolationRow::as_select())
        .load(c))?;
    let reached = rows.last().map(|row| row.id.to_string());
    let more = is_full(rows.len(), trim);
    let due: Vec<ViolationRow> = rows
        .into_iter()
        .filter(|row| !trim.held.contains(&row.agent_id))
        .collect();
    let ids: Vec<ViolationId> = due.iter().map(|row| row.id).collect();
    let changed = each!(db, c => diesel::delete(
            violations::table
                .filter(violations::org_id.eq(trim.organization))
                .filter(violations::id.eq_any(&ids)),
        )
        .execute(c))?;
    each!(db, c => diesel::delete(
            violation_triage::table
                .filter(violation_triage::org_id.eq(trim.organization))
                .filter(violation_triage::violation_id.eq_any(&ids)),
        )
        .execute(c))?;
    take_from_totals(db, &due)?;
    Ok(Trimmed {
        changed,
        reached,
        more,
    })
}

/// Totals and groups tell of the rows that are there; what they told of only is gone with them.
fn take_from_totals(db: &mut Db, rows: &[ViolationRow]) -> Result<()> {
    let fewer: BTreeMap<CountKey, i64> = CountKey::tally(rows)
        .into_iter()
        .map(|(key, count)| (key, -count))
        .collect();
    counts::add(db, &fewer)?;
    let capabilities: Vec<&str> = {
        let mut names: Vec<&str> = fewer
            .keys()
            .map(|key| key.attempted_capability.as_str())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    };
    let (first, last) = (
        fewer.keys().map(|key| key.bucket).min(),
        fewer.keys().map(|key| key.bucket).max(),
    );
    let (Some(first), Some(last)) = (first, last) else {
        return Ok(());
    };
    let mut changes = GroupChange::tally(rows);
    changes
        .values_mut()
        .for_each(|change| change.count = -change.count);
    groups::upsert(db, &changes)?;
    let mut organizations: Vec<OrganizationId> = rows.iter().map(|row| row.org_id).collect();
    organizations.dedup();
    for organization in organizations {
        let mut agents: Vec<AgentId> = rows.iter().map(|row| row.agent_id).collect();
        agents.push(counts::every_agent());
        agents.sort_unstable();
        agents.dedup();
        each!(db, c => {
            diesel::delete(
                violation_counts::table
                    .filter(violation_counts::org_id.eq(organization))
                    .filter(violation_counts::agent_id.eq_any(&agents))
                    .filter(violation_counts::granularity.eq_any(["h", "d"]))
                    .filter(violation_counts::attempted_capability.eq_any(&capabilities))
                    .filter(violation_counts::bucket.between(first, last))
                    .filter(violation_counts::count.le(0)),
            )
            .execute(c)?;
            diesel::delete(
                violation_groups::table
                    .filter(violation_groups::org_id.eq(organization))
                    .filter(violation_groups::agent_id.eq_any(&agents))
                    .filter(violation_groups::count.le(0)),
            )
            .execute(c)
        })?;
    }
    Ok(())
}

fn oldest_violation(
    db: &mut Db,
    organization: OrganizationId,
    held: &[AgentId],
    _: Option<&str>,
) -> Result<Option<Timestamp>> {
    Ok(each!(db, c => violations::table
        .filter(violations::org_id.eq(organization))
        .filter(violations::agent_id.ne_all(held))
        .order(violations::id)
        .select(violations::created_at)
        .first(c)
        .optional())?)
}
