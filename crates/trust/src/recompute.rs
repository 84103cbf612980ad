//! Computing scores and publishing them: where decide() reads them, into the history, and to those whom a
//! policy names. The reading is done beside the writer; a transaction only writes what came out.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use aim_audit::Entry;
use aim_core::{AgentId, Ctx, Json, OrganizationId, Result, Timestamp};
use aim_platform::{Kernel, TrustRules};
use aim_store::{Db, Scope};
use chrono::TimeDelta;
use serde_json::json;

use crate::{
    causes::explain,
    follower::PACE,
    gather::{Gathered, day_of, gather},
    jobs::RECOMPUTE,
    policy::{self, Level, Thresholds},
    score::{Inputs, compute},
    store::{self, HistoryRow, ScoreRow},
};

/// How many agents are read together.
const TOGETHER: i64 = 100;
/// How many are written in one transaction: on SQLite decisions wait for it.
const WRITTEN: usize = 20;

/// Computes every score that is due at `now`, until nothing is left or `until` says stop. Answers how many
/// agents were computed. It does no harm to run it twice at once: an older result never replaces a newer one.
///
/// # Errors
/// The database's; what was computed before stays so.
pub async fn run(kernel: &Kernel, now: Timestamp, most: usize) -> Result<usize> {
    let mut computed = 0;
    while computed < most {
        let due = kernel
            .store
            .read(Scope::Installation, move |db| store::due(db, now, TOGETHER))
            .await?;
        if due.is_empty() {
            break;
        }
        computed += due.len();
        let mut tenants: BTreeMap<OrganizationId, HashMap<AgentId, i64>> = BTreeMap::new();
        for (organization, agent, marks) in due {
            tenants.entry(organization).or_default().insert(agent, marks);
        }
        for (organization, agents) in tenants {
            tenant(kernel, organization, agents, now).await?;
        }
    }
    Ok(computed)
}

async fn tenant(
    kernel: &Kernel,
    organization: OrganizationId,
    agents: HashMap<AgentId, i64>,
    now: Timestamp,
) -> Result<()> {
    let rules = kernel.config.trust;
    let ids: Vec<AgentId> = agents.keys().copied().collect();
    let asked = ids.clone();
    let gathered = kernel
        .store
        .read(organization, move |db| {
            gather(db, organization, &asked, &rules, now)
        })
        .await?;
    let ctx = Ctx::system(RECOMPUTE, organization, now);
    let (gathered, agents) = (Arc::new(gathered), Arc::new(agents));
    for part in ids.chunks(WRITTEN) {
        let (ctx, part) = (ctx.clone(), part.to_vec());
        let (gathered, agents) = (Arc::clone(&gathered), Arc::clone(&agents));
        kernel
            .store
            .write_behind(organization, move |db| {
                publish(db, &ctx, &part, &gathered, Some(&agents))
            })
            .await?;
    }
    Ok(())
}

/// Computes these agents within the transaction that changed something about them, without waiting for the
/// job. Answers the audit records that are to be appended.
///
/// # Errors
/// The database's.
pub fn at_once(
    db: &mut Db,
    ctx: &Ctx,
    agents: &[AgentId],
    rules: &TrustRules,
) -> aim_store::Result<Vec<Entry>> {
    let gathered = gather(db, ctx.organization, agents, rules, ctx.now)?;
    let system = Ctx::system(RECOMPUTE, ctx.organization, ctx.now);
    entries(db, &system, agents, &gathered, None)
}

fn publish(
    db: &mut Db,
    ctx: &Ctx,
    ids: &[AgentId],
    gathered: &[Gathered],
    marks: Option<&HashMap<AgentId, i64>>,
) -> aim_store::Result<()> {
    let entries = entries(db, ctx, ids, gathered, marks)?;
    aim_audit::append(db, entries)?;
    Ok(())
}

fn entries(
    db: &mut Db,
    ctx: &Ctx,
    ids: &[AgentId],
    gathered: &[Gathered],
    marks: Option<&HashMap<AgentId, i64>>,
) -> aim_store::Result<Vec<Entry>> {
    let organization = ctx.organization;
    let thresholds = policy::thresholds(db, organization)?;
    let rows: HashMap<AgentId, ScoreRow> = store::lock_scores(db, organization, ids)?
        .into_iter()
        .map(|row| (row.agent_id, row))
        .collect();
    let mut sorted: Vec<AgentId> = ids.to_vec();
    sorted.sort_unstable();
    let mut entries = Vec::new();
    for agent in sorted {
        let row = rows.get(&agent).cloned();
        let Some(found) = gathered.iter().find(|found| found.agent == agent) else {
            // Deleted: its past stays, nothing new is computed.
            if let Some(mut row) = row {
                row.next_at = None;
                store::save_score(db, &row)?;
            }
            continue;
        };
        let row = row.unwrap_or_else(|| never_computed(organization, agent));
        if row.computed_at.is_some_and(|computed| computed > ctx.now) {
            continue;
        }
        let more_happened = marks.is_some_and(|marks| marks.get(&agent) != Some(&row.marks));
        entries.extend(one(db, ctx, row, found, &thresholds, more_happened)?);
    }
    Ok(entries)
}

fn never_computed(organization: OrganizationId, agent: AgentId) -> ScoreRow {
    ScoreRow {
        org_id: organization,
        agent_id: agent,
        score: None,
        level: Level::None.as_str().to_owned(),
        inputs: None,
        computed_at: None,
        changed_at: None,
        next_at: None,
        marks: 0,
    }
}

fn one(
    db: &mut Db,
    ctx: &Ctx,
    mut row: ScoreRow,
    found: &Gathered,
    thresholds: &Thresholds,
    more_happened: bool,
) -> aim_store::Result<Vec<Entry>> {
    let inputs = &found.inputs;
    let score = compute(inputs).score;
    let changed = row.score != score;
    if changed {
        let previous = last_explained(db, &row)?;
        store::add_history(
            db,
            &HistoryRow {
                org_id: row.org_id,
                id: ctx.new_id(),
                agent_id: row.agent_id,
                score,
                previous_score: row.score,
                causes: Json::of(&explain(previous.as_ref(), inputs)),
                inputs: Json::of(inputs),
                created_at: ctx.now,
            },
        )?;
        store::publish(db, row.org_id, row.agent_id, score)?;
        row.changed_at = Some(ctx.now);
    }
    let today = day_of(ctx.now);
    // The day's last score, once a day for those that stand still.
    if changed || row.computed_at.is_none_or(|computed| day_of(computed) < today) {
        store::save_day(db, row.org_id, row.agent_id, today, score)?;
    }
    let before = Level::parse(&row.level);
    let level = thresholds.level(score);
    let entries = crossing(db, ctx, &row, score, (before, level), thresholds)?;
    // Once a day in any case: events lose weight with time.
    let natural = found
        .next_at
        .unwrap_or(today + TimeDelta::days(1))
        .min(today + TimeDelta::days(1));
    row.next_at = Some(match (more_happened, row.next_at) {
        (true, _) => natural.min(ctx.now + PACE),
        // A mark for later stays: what it is for may not be counted yet.
        (false, Some(marked)) if marked > ctx.now => natural.min(marked),
        (false, _) => natural,
    });
    row.score = score;
    level.as_str().clone_into(&mut row.level);
    row.inputs = Some(Json::of(inputs));
    row.computed_at = Some(ctx.now);
    store::save_score(db, &row)?;
    Ok(entries)
}

/// What the score was computed from when it last changed, or else at the last computation.
fn last_explained(db: &mut Db, row: &ScoreRow) -> aim_store::Result<Option<Inputs>> {
    let changes = store::history(db, row.org_id, row.agent_id, None, 1, 0)?;
    let stored = changes
        .into_iter()
        .next()
        .map(|change| change.inputs)
        .or_else(|| row.inputs.clone());
    Ok(stored.and_then(|inputs| serde_json::from_value(inputs.0).ok()))
}

/// What follows when a score crosses a threshold: an audit record that alerts are made of, and below the
/// lowest one the suspension. It follows once: whoever reactivates the agent is not overruled until the score
/// has recovered and fallen again.
fn crossing(
    db: &mut Db,
    ctx: &Ctx,
    row: &ScoreRow,
    score: Option<i64>,
    (before, level): (Level, Level),
    thresholds: &Thresholds,
) -> aim_store::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    if level == before || level == Level::None {
        return Ok(entries);
    }
    let facts = json!({
        "score": score,
        "previous_score": row.score,
        "level": level.as_str(),
        "previous_level": before.as_str(),
        "threshold": thresholds.of(level.max(before)),
    });
    let record = |action: &'static str, facts| {
        Entry::event(ctx, action)
            .agent(row.agent_id)
            .target("agent", row.agent_id)
            .facts(facts)
    };
    if level < before {
        if before > Level::Ok {
            entries.push(record("trust.threshold_recovered", facts));
        }
        return Ok(entries);
    }
    if level > Level::Ok {
        entries.push(record("trust.threshold_crossed", facts));
    }
    if level == Level::Suspend && store::suspend(db, row.org_id, row.agent_id, ctx.now)? {
        let reason = json!({
            "reason": format!("the trust score fell to {}", score.unwrap_or(0)),
        });
        let facts = json!({"score": score, "threshold": thresholds.of(Level::Suspend)});
        entries.push(record("agent.suspended", facts).details(reason));
    }
    Ok(entries)
}
