//! Raising an alert inside the transaction of what was noticed.

use aim_audit::Entry;
use aim_core::{AgentId, Ctx, Id, Json, OrganizationId};
use aim_decision::Severity;
use aim_store::{Db, Result};
use chrono::TimeDelta;
use serde_json::json;

use super::{
    model::{AlertStatus, NewAlert, Raised, severity_of},
    rules,
    store::{self, AlertRow},
};

/// The longest title, in characters.
const LONGEST_TITLE: usize = 300;

/// Raises `new` in the caller's transaction, unless the organisation's rule for its kind is off. While an
/// alert with the same `dedupe_key` is not resolved, that one counts up, and people are told again only when
/// it got worse or the rule's cooldown is over.
///
/// The caller appends [`Raised::entries`] last, with its own.
///
/// # Errors
/// The database's.
pub fn raise(db: &mut Db, new: &NewAlert) -> Result<Raised> {
    let rule = rules::of(db, new.organization, new.kind)?;
    if !rule.enabled {
        return Ok(Raised {
            alert: None,
            is_news: false,
            entries: Vec::new(),
        });
    }
    let severity = rule.severity.unwrap_or(new.severity);
    let title: String = new.title.chars().take(LONGEST_TITLE).collect();
    loop {
        if let Some(row) = store::lock_open(db, new.organization, &new.dedupe_key)? {
            let worse = severity > severity_of(&row.severity);
            let is_news = worse || new.at - row.notified_at >= TimeDelta::minutes(rule.cooldown_minutes);
            let worst = severity.max(severity_of(&row.severity));
            let seen = store::Seen {
                severity: worst.as_str(),
                title: &title,
                detail: &Json(new.detail.clone()),
                at: new.at.max(row.last_seen_at),
                notified_at: if is_news { new.at } else { row.notified_at },
            };
            store::count_up(db, &row, &seen)?;
            let entries = is_news.then(|| entry(new, &row, worst, &title, row.count + 1));
            return Ok(Raised {
                alert: Some(row.id),
                is_news,
                entries: entries.into_iter().collect(),
            });
        }
        let row = AlertRow {
            org_id: new.organization,
            id: Id::generate(new.at),
            agent_id: new.agent,
            kind: new.kind.as_str().to_owned(),
            severity: severity.as_str().to_owned(),
            title: title.clone(),
            detail: Json(new.detail.clone()),
            dedupe_key: new.dedupe_key.clone(),
            open_key: Some(new.dedupe_key.clone()),
            status: AlertStatus::Open.as_str().to_owned(),
            count: 1,
            first_seen_at: new.at,
            last_seen_at: new.at,
            notified_at: new.at,
            assigned_to: None,
            acknowledged_by: None,
            acknowledged_at: None,
            resolved_by: None,
            resolved_at: None,
            note: None,
        };
        // Another node may have raised it since: then that one counts up.
        if store::insert(db, &row)? {
            return Ok(Raised {
                alert: Some(row.id),
                is_news: true,
                entries: vec![entry(new, &row, severity, &title, 1)],
            });
        }
    }
}

fn entry(new: &NewAlert, row: &AlertRow, severity: Severity, title: &str, count: i64) -> Entry {
    let ctx = Ctx::system("monitoring.alerts", new.organization, new.at);
    let entry = Entry::event(&ctx, "alert.raised").target("alert", row.id);
    about(entry, new.agent)
        .facts(json!({"kind": new.kind.as_str(), "severity": severity.as_str(), "count": count}))
        .details(json!({"title": title}))
}

/// Names the agent, if there is one.
pub(super) fn about(entry: Entry, agent: Option<AgentId>) -> Entry {
    match agent {
        Some(agent) => entry.agent(agent),
        None => entry,
    }
}

/// Resolves what is open under `dedupe_key` because its cause is gone. Answers the audit records that the
/// caller appends.
///
/// # Errors
/// The database's.
pub fn resolve_by_itself(
    db: &mut Db,
    ctx: &Ctx,
    organization: OrganizationId,
    dedupe_key: &str,
    note: &str,
) -> Result<Vec<Entry>> {
    let Some(row) = store::lock_open(db, organization, dedupe_key)? else {
        return Ok(Vec::new());
    };
    store::mark_resolved(db, &row, &ctx.actor_text(), ctx.now, note)?;
    let entry = Entry::event(ctx, "alert.resolved").target("alert", row.id);
    Ok(vec![
        about(entry, row.agent_id)
            .facts(json!({"kind": row.kind, "severity": row.severity}))
            .details(json!({"title": row.title, "note": note})),
    ])
}
