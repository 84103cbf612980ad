//! What retention trims here: changes of scores and scores of days long past. The score as it stands is never
//! touched, nor what it was computed from.

use std::collections::BTreeMap;

use aim_core::{AgentId, Id, OrganizationId, Timestamp};
use aim_platform::retention::{Retained, RetentionClass, Trim, Trimmed};
use aim_store::{Db, Result, each};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl};
use uuid::Uuid;

use crate::{
    schema::{trust_days, trust_history},
    store::HistoryKind,
};

type HistoryId = Id<HistoryKind>;

pub(crate) fn all() -> Vec<Retained> {
    vec![
        Retained {
            name: "trust_history",
            class: RetentionClass::Activity,
            trim: trim_history,
            oldest: oldest_change,
        },
        Retained {
            name: "trust_days",
            class: RetentionClass::Activity,
            trim: trim_days,
            oldest: oldest_day,
        },
    ]
}

/// The least id that a change of this moment could have (RFC 9562 §5.7): ids are in the order of time.
fn first_id_of(moment: Timestamp) -> HistoryId {
    let milliseconds = u128::try_from(moment.timestamp_millis()).unwrap_or(0);
    HistoryId::from_uuid(Uuid::from_u128(milliseconds << 80))
}

fn trim_history(db: &mut Db, trim: &Trim) -> Result<Trimmed> {
    let after = trim.after.as_deref().and_then(|text| text.parse().ok());
    let after: HistoryId = after.unwrap_or(HistoryId::from_uuid(Uuid::nil()));
    let ids: Vec<HistoryId> = each!(db, c => trust_history::table
        .filter(trust_history::org_id.eq(trim.organization))
        .filter(trust_history::id.gt(after))
        .filter(trust_history::id.lt(first_id_of(trim.before)))
        .filter(trust_history::agent_id.ne_all(&trim.held))
        .order(trust_history::id)
        .limit(trim.limit)
        .select(trust_history::id)
        .load(c))?;
    let changed = each!(db, c => diesel::delete(
        trust_history::table
            .filter(trust_history::org_id.eq(trim.organization))
            .filter(trust_history::id.eq_any(&ids)),
    )
    .execute(c))?;
    Ok(piece(
        changed,
        ids.len(),
        trim,
        ids.last().map(ToString::to_string),
    ))
}

fn trim_days(db: &mut Db, trim: &Trim) -> Result<Trimmed> {
    let after = trim.after.as_deref().and_then(Timestamp::parse);
    let rows: Vec<(Timestamp, AgentId)> = each!(db, c => {
        let mut query = trust_days::table
            .filter(trust_days::org_id.eq(trim.organization))
            .filter(trust_days::day.lt(trim.before))
            .filter(trust_days::agent_id.ne_all(&trim.held))
            .into_boxed();
        if let Some(after) = after {
            query = query.filter(trust_days::day.ge(after));
        }
        query
            .order((trust_days::day, trust_days::agent_id))
            .limit(trim.limit)
            .select((trust_days::day, trust_days::agent_id))
            .load(c)
    })?;
    let last = rows.last().map(|(day, _)| day.to_text());
    let found = rows.len();
    let mut days: BTreeMap<Timestamp, Vec<AgentId>> = BTreeMap::new();
    for (day, agent) in rows {
        days.entry(day).or_default().push(agent);
    }
    let mut changed = 0;
    for (day, agents) in days {
        changed += each!(db, c => diesel::delete(
            trust_days::table
                .filter(trust_days::org_id.eq(trim.organization))
                .filter(trust_days::day.eq(day))
                .filter(trust_days::agent_id.eq_any(&agents)),
        )
        .execute(c))?;
    }
    Ok(piece(changed, found, trim, last))
}

/// When all is done, the next round begins at the start: what was held may be free by then.
fn piece(changed: usize, found: usize, trim: &Trim, last: Option<String>) -> Trimmed {
    let more = i64::try_from(found).is_ok_and(|found| found >= trim.limit);
    Trimmed {
        changed,
        reached: last.filter(|_| more).or_else(|| Some(String::new())),
        more,
    }
}

fn oldest_change(
    db: &mut Db,
    organization: OrganizationId,
    held: &[AgentId],
    _: Option<&str>,
) -> Result<Option<Timestamp>> {
    Ok(each!(db, c => trust_history::table
        .filter(trust_history::org_id.eq(organization))
        .filter(trust_history::agent_id.ne_all(held))
        .order(trust_history::id)
        .select(trust_history::created_at)
        .first(c)
        .optional())?)
}

fn oldest_day(
    db: &mut Db,
    organization: OrganizationId,
    held: &[AgentId],
    _: Option<&str>,
) -> Result<Option<Timestamp>> {
    Ok(each!(db, c => trust_days::table
        .filter(trust_days::org_id.eq(organization))
        .filter(trust_days::agent_id.ne_all(held))
        .order(trust_days::day)
        .select(trust_days::day)
        .first(c)
        .optional())?)
}
