//! The use cases of retention: settings, holds, and trimming what is due.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use aim_audit::{Entry, erasure};
use aim_core::{AgentId, Ctx, Error, OrganizationId, Result, Timestamp};
use aim_platform::{
    Kernel, Retained, RetentionClass,
    retention::{Trim, Trimmed},
};
use aim_store::{Db, Scope, Store};
use chrono::{DurationRound, TimeDelta};
use serde_json::json;

use super::{
    model::{ClassView, HoldId, HoldList, HoldView, NewHold, RetentionSettings, RetentionView},
    store::{self, ProgressRow, SettingsRow},
};

/// The rows of one piece: a transaction that other writers wait for only a moment.
const PIECE: i64 = 250;

/// Settings and holds, and who carries them out. Cloning is cheap.
#[derive(Clone)]
pub struct RetentionService {
    store: Store,
    retained: Arc<[Retained]>,
}

/// Before everything.
fn epoch() -> Timestamp {
    Timestamp::from(chrono::DateTime::UNIX_EPOCH)
}

/// The moment before which a class is due: whole days of UTC, so that there is work once a day.
pub(crate) fn due_before(now: Timestamp, days: i64) -> Timestamp {
    let day = now.duration_trunc(TimeDelta::days(1)).unwrap_or(*now);
    Timestamp::from(day) - TimeDelta::days(days)
}

/// What is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Held {
    /// Everything of the organisation.
    All,
    /// What is of these agents.
    Agents(Vec<AgentId>),
}

pub(crate) fn held(db: &mut Db, organization: OrganizationId) -> aim_store::Result<Held> {
    let holds = store::held(db, organization)?;
    let agents: Option<Vec<AgentId>> = holds.into_iter().collect();
    Ok(agents.map_or(Held::All, Held::Agents))
}

impl RetentionService {
    /// The service over everything that is `retained` in this installation.
    #[must_use]
    pub fn new(kernel: &Kernel, retained: Vec<Retained>) -> Self {
        let mut all = vec![own_details()];
        all.extend(retained);
        Self {
            store: kernel.store.clone(),
            retained: all.into(),
        }
    }

    pub(crate) fn retained(&self) -> Arc<[Retained]> {
        Arc::clone(&self.retained)
    }

    /// The settings, and how far they are carried out.
    ///
    /// # Errors
    /// The database's.
    pub async fn view(&self, ctx: &Ctx) -> Result<RetentionView> {
        let (organization, now, retained) = (ctx.organization, ctx.now, Arc::clone(&self.retained));
        self.store
            .read(organization, move |db| view(db, organization, now, &retained))
            .await
    }

    /// Changes the settings.
    ///
    /// # Errors
    /// Names the class whose days are out of range.
    pub async fn change(&self, ctx: &Ctx, settings: RetentionSettings) -> Result<RetentionView> {
        settings.check()?;
        let changed = ctx.clone();
        self.store
            .write(ctx.organization, move |db| {
                let ctx = &changed;
                let before = store::lock_settings(db, ctx.organization)?;
                let row = SettingsRow::new(ctx.organization, &settings, ctx.actor_text(), ctx.now);
                store::keep_settings(db, &row)?;
                let entry = Entry::event(ctx, "retention.changed")
                    .target("retention", "settings")
                    .facts(json!({"from": before.map(|row| row.settings()), "to": settings}));
                aim_audit::append(db, vec![entry]).map(|_| ())
            })
            .await?;
        self.view(ctx).await
    }

    /// The holds in force.
    ///
    /// # Errors
    /// The database's.
    pub async fn holds(&self, ctx: &Ctx) -> Result<HoldList> {
        let organization = ctx.organization;
        let holds = self
            .store
            .read(organization, move |db| store::holds(db, organization))
            .await?;
        Ok(HoldList { holds })
    }

    /// Places a hold: from the commit on, nothing of it is trimmed.
    ///
    /// # Errors
    /// Names `reason`, or `agent_id` when there is no such agent.
    pub async fn hold(&self, ctx: &Ctx, new: NewHold) -> Result<HoldView> {
        new.check()?;
        let ctx = ctx.clone();
        self.store
            .write(ctx.organization, move |db| {
                if let Some(agent) = new.agent_id
                    && !store::agent_exists(db, ctx.organization, agent)?
                {
                    let detail = "there is no such agent in your organisation";
                    return Err(Error::field("agent_id", detail).into());
                }
                let none = RetentionSettings::default();
                let row = SettingsRow::new(ctx.organization, &none, ctx.actor_text(), ctx.now);
                store::ensure_settings(db, &row)?;
                store::lock_settings(db, ctx.organization)?;
                let (id, reason, by) = (ctx.new_id(), new.reason.trim(), ctx.actor_text());
                store::insert_hold(db, ctx.organization, id, new.agent_id, reason, &by, ctx.now)?;
                let mut entry = Entry::event(&ctx, "legal_hold.placed")
                    .target("legal_hold", id)
                    .details(json!({"reason": reason}));
                entry.agent = new.agent_id;
                aim_audit::append(db, vec![entry])?;
                let holds = store::holds(db, ctx.organization)?;
                let placed = holds.into_iter().find(|hold| hold.id == id);
                placed.ok_or_else(|| aim_store::Error::Corrupt("the hold is not there".to_owned()))
            })
            .await
    }

    /// Releases a hold. What it held becomes due as if it had never been held.
    ///
    /// # Errors
    /// 404 for one that is not in force.
    pub async fn release(&self, ctx: &Ctx, id: HoldId) -> Result<()> {
        let ctx = ctx.clone();
        self.store
            .write(ctx.organization, move |db| {
                store::lock_settings(db, ctx.organization)?;
                let released = store::release_hold(db, ctx.organization, id, &ctx.actor_text(), ctx.now)?;
                let agent = released.ok_or_else(Error::not_found)?;
                store::begin_anew(db, ctx.organization, epoch())?;
                let mut entry = Entry::event(&ctx, "legal_hold.released").target("legal_hold", id);
                entry.agent = agent;
                aim_audit::append(db, vec![entry]).map(|_| ())
            })
            .await
    }

    /// Trims what is due, for about as long as `budget`. Answers whether everything due is done.
    ///
    /// # Errors
    /// The database's; pieces that were committed stay so, and the rest goes on from there.
    pub async fn trim(&self, now: Timestamp, budget: Duration) -> Result<bool> {
        let begun = Instant::now();
        let organizations = self
            .store
            .read(Scope::Installation, store::organizations_with_settings)
            .await?;
        for organization in organizations {
            for retained in self.retained.iter() {
                loop {
                    let retained = *retained;
                    let more = self
                        .store
                        .write_behind(organization, move |db| piece(db, organization, retained, now))
                        .await?;
                    if !more {
                        break;
                    }
                    if begun.elapsed() >= budget {
                        return Ok(false);
                    }
                    // Others take their turn at the writer.
                    tokio::task::yield_now().await;
                }
            }
        }
        Ok(true)
    }
}

/// Trims one piece of one table, in the caller's transaction. Answers whether there may be more.
fn piece(
    db: &mut Db,
    organization: OrganizationId,
    retained: Retained,
    now: Timestamp,
) -> aim_store::Result<bool> {
    let Some(settings) = store::lock_settings(db, organization)? else {
        return Ok(false);
    };
    let Some(days) = settings.settings().days(retained.class) else {
        return Ok(false);
    };
    let Held::Agents(held) = held(db, organization)? else {
        return Ok(false);
    };
    let before = due_before(now, days);
    let progress = store::progress_of(db, organization, retained.name)?;
    if progress.as_ref().is_some_and(|row| row.trimmed_before >= before) {
        return Ok(false);
    }
    let trim = Trim {
        organization,
        before,
        held,
        after: progress.as_ref().and_then(|row| row.reached.clone()),
        limit: PIECE,
    };
    let Trimmed {
        changed,
        reached,
        more,
    } = (retained.trim)(db, &trim)?;
    let known = progress.as_ref();
    let row = ProgressRow {
        org_id: organization,
        name: retained.name.to_owned(),
        reached: reached.or_else(|| known.and_then(|row| row.reached.clone())),
        ran_at: now,
        trimmed_before: if more {
            known.map_or_else(epoch, |row| row.trimmed_before)
        } else {
            before
        },
        changed: known.map_or(0, |row| row.changed) + i64::try_from(changed).unwrap_or(0),
    };
    store::keep_progress(db, &row)?;
    if changed > 0 {
        let ctx = Ctx::system("compliance.retention", organization, now);
        let entry = erasure::applied(&ctx, retained.class.as_str(), retained.name, before, changed);
        aim_audit::append(db, vec![entry])?;
    }
    Ok(more)
}

pub(crate) fn view(
    db: &mut Db,
    organization: OrganizationId,
    now: Timestamp,
    retained: &[Retained],
) -> aim_store::Result<RetentionView> {
    let row = store::settings(db, organization)?;
    let settings = row.as_ref().map(SettingsRow::settings).unwrap_or_default();
    let progress: BTreeMap<String, ProgressRow> = store::progress(db, organization)?
        .into_iter()
        .map(|row| (row.name.clone(), row))
        .collect();
    let holds = store::held(db, organization)?;
    let held_agents: Vec<AgentId> = holds.iter().copied().flatten().collect();
    let mut classes = Vec::with_capacity(RetentionClass::ALL.len());
    for class in RetentionClass::ALL {
        let days = settings.days(class);
        let tables = retained.iter().filter(|retained| retained.class == class);
        let mut view = ClassView {
            class: class.to_string(),
            days,
            due_before: days.map(|days| due_before(now, days)),
            oldest_at: None,
            last_run_at: None,
            trimmed: 0,
        };
        for table in tables {
            let row = progress.get(table.name);
            let reached = row.and_then(|row| row.reached.as_deref());
            let oldest = (table.oldest)(db, organization, &held_agents, reached)?;
            view.oldest_at = view.oldest_at.into_iter().chain(oldest).min();
            if let Some(row) = row {
                view.last_run_at = view.last_run_at.max(Some(row.ran_at));
                view.trimmed += row.changed;
            }
        }
        classes.push(view);
    }
    Ok(RetentionView {
        settings,
        updated_by: row.as_ref().map(|row| row.updated_by.clone()),
        updated_at: row.as_ref().map(|row| row.updated_at),
        classes,
        holds: i64::try_from(holds.len()).unwrap_or(i64::MAX),
    })
}

/// The details beside the log's leaves.
fn own_details() -> Retained {
    Retained {
        name: "audit_details",
        class: RetentionClass::AuditDetails,
        trim: |db, trim| {
            let after = trim.after.as_deref().and_then(|index| index.parse().ok());
            let erased =
                erasure::erase_details(db, trim.organization, trim.before, &trim.held, after, trim.limit)?;
            Ok(Trimmed {
                changed: erased.changed,
                reached: erased.reached.map(|index| index.to_string()),
                more: erased.more,
            })
        },
        oldest: |db, organization, held, reached| {
            let after = reached.and_then(|index| index.parse().ok());
            erasure::oldest_details(db, organization, held, after)
        },
    }
}
