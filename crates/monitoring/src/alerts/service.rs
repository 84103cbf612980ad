//! What people do with alerts: one transaction a use case, and each leaves an audit record.

use std::collections::HashMap;

use aim_audit::Entry;
use aim_core::{Code, Ctx, Error, OrganizationId, PageRequest, Result, UserId};
use aim_platform::Kernel;
use aim_store::Db;
use serde_json::json;

use super::{
    model::{
        Acknowledge, AlertCount, AlertId, AlertKind, AlertList, AlertQuery, AlertStatus, AlertView, Assign,
        Resolve, check_note,
    },
    raising::about,
    rules::{self, RuleList, RuleRow, RuleView, SetRule},
    store::{self, AlertRow},
};

/// The use cases of alerts.
#[derive(Clone)]
pub struct AlertService {
    kernel: Kernel,
}

impl AlertService {
    /// The use cases on this kernel's store.
    #[must_use]
    pub fn new(kernel: &Kernel) -> Self {
        Self {
            kernel: kernel.clone(),
        }
    }

    /// A page of alerts, the newest first.
    ///
    /// # Errors
    /// Names the parameter that is not accepted.
    pub async fn list(&self, ctx: &Ctx, query: &AlertQuery) -> Result<AlertList> {
        let page = PageRequest::parse(query.limit, None, query.cursor.as_deref())?;
        let wanted = query.wanted()?;
        let organization = ctx.organization;
        self.kernel
            .store
            .read(organization, move |db| {
                let rows = store::page(db, organization, &wanted, &page)?;
                let (rows, next_cursor) = page.cut(rows, |row| row.id.uuid());
                Ok(AlertList {
                    alerts: views(db, organization, rows)?,
                    next_cursor,
                })
            })
            .await
    }

    /// One alert.
    ///
    /// # Errors
    /// `resource.not_found`.
    pub async fn get(&self, ctx: &Ctx, id: AlertId) -> Result<AlertView> {
        let organization = ctx.organization;
        self.kernel
            .store
            .read(organization, move |db| {
                let row = store::get(db, organization, id)?.ok_or_else(Error::not_found)?;
                view(db, row)
            })
            .await
    }

    /// Those who can be given an alert, by name.
    ///
    /// # Errors
    /// The database's.
    pub async fn people(&self, ctx: &Ctx) -> Result<Vec<(UserId, String)>> {
        let organization = ctx.organization;
        self.kernel
            .store
            .read(organization, move |db| store::people(db, organization))
            .await
    }

    /// How many alerts wait.
    ///
    /// # Errors
    /// The database's.
    pub async fn count(&self, ctx: &Ctx) -> Result<AlertCount> {
        let organization = ctx.organization;
        let rows = self
            .kernel
            .store
            .read(organization, move |db| store::count_unresolved(db, organization))
            .await?;
        let mut count = AlertCount::default();
        for (status, severity, number) in rows {
            if status == AlertStatus::Open.as_str() {
                count.open += number;
            } else {
                count.acknowledged += number;
            }
            match severity.as_str() {
                "low" => count.low += number,
                "medium" => count.medium += number,
                "high" => count.high += number,
                _ => count.critical += number,
            }
        }
        Ok(count)
    }

    /// Says that somebody is on it.
    ///
    /// # Errors
    /// `resource.not_found`; `resource.state` unless it is open.
    pub async fn acknowledge(&self, ctx: &Ctx, id: AlertId, request: Acknowledge) -> Result<AlertView> {
        let note = request
            .note
            .as_deref()
            .filter(|note| !note.trim().is_empty())
            .map(check_note)
            .transpose()?;
        let ctx = ctx.clone();
        self.kernel
            .store
            .write(ctx.organization, move |db| {
                let row = store::lock(db, ctx.organization, id)?.ok_or_else(Error::not_found)?;
                if row.status != AlertStatus::Open.as_str() {
                    return Err(state("only an open alert can be acknowledged", &row).into());
                }
                store::mark_acknowledged(db, &row, &ctx.actor_text(), ctx.now, note.as_deref())?;
                finished(db, &ctx, &row, "alert.acknowledged", json!({"note": note}))
            })
            .await
    }

    /// Says that it is dealt with.
    ///
    /// # Errors
    /// `resource.not_found`; `request.field_invalid` at `note`; `resource.state` when it is resolved.
    pub async fn resolve(&self, ctx: &Ctx, id: AlertId, request: Resolve) -> Result<AlertView> {
        let note = check_note(&request.note)?;
        let ctx = ctx.clone();
        self.kernel
            .store
            .write(ctx.organization, move |db| {
                let row = store::lock(db, ctx.organization, id)?.ok_or_else(Error::not_found)?;
                if row.status == AlertStatus::Resolved.as_str() {
                    return Err(state("the alert is resolved already", &row).into());
                }
                store::mark_resolved(db, &row, &ctx.actor_text(), ctx.now, &note)?;
                finished(db, &ctx, &row, "alert.resolved", json!({"note": note}))
            })
            .await
    }

    /// Says who takes care of it.
    ///
    /// # Errors
    /// `resource.not_found`; `request.field_invalid` at `user_id` for one who is no active user here.
    pub async fn assign(&self, ctx: &Ctx, id: AlertId, request: Assign) -> Result<AlertView> {
        let ctx = ctx.clone();
        self.kernel
            .store
            .write(ctx.organization, move |db| {
                let row = store::lock(db, ctx.organization, id)?.ok_or_else(Error::not_found)?;
                if row.status == AlertStatus::Resolved.as_str() {
                    return Err(state("a resolved alert needs nobody", &row).into());
                }
                if let Some(user) = request.user_id {
                    store::active_user(db, ctx.organization, user)?.ok_or_else(|| {
                        Error::field("user_id", "no active user of your organisation has this id")
                    })?;
                }
                store::assign(db, &row, request.user_id)?;
                finished(
                    db,
                    &ctx,
                    &row,
                    "alert.assigned",
                    json!({"assigned_to": request.user_id}),
                )
            })
            .await
    }

    /// The rules of the organisation, the defaults where it set none.
    ///
    /// # Errors
    /// The database's.
    pub async fn rules(&self, ctx: &Ctx) -> Result<RuleList> {
        let organization = ctx.organization;
        let rows = self
            .kernel
            .store
            .read(organization, move |db| rules::rows(db, organization))
            .await?;
        let rules = AlertKind::ALL
            .into_iter()
            .map(|kind| RuleView::of(kind, rows.iter().find(|row| row.kind == kind.as_str())))
            .collect();
        Ok(RuleList { rules })
    }

    /// Sets the rule of one kind.
    ///
    /// # Errors
    /// Names the field that is not accepted.
    pub async fn set_rule(&self, ctx: &Ctx, request: SetRule) -> Result<RuleView> {
        let rule = request.checked()?;
        let kind = rule.kind;
        let row = RuleRow {
            org_id: ctx.organization,
            kind: kind.as_str().to_owned(),
            enabled: rule.enabled,
            severity: rule.severity.map(|severity| severity.as_str().to_owned()),
            cooldown_minutes: rule.cooldown_minutes,
            threshold: rule.threshold,
            window_minutes: rule.window_minutes,
            updated_by: ctx.actor_text(),
            updated_at: ctx.now,
        };
        let ctx = ctx.clone();
        self.kernel
            .store
            .write(ctx.organization, move |db| {
                rules::set(db, &row)?;
                let view = RuleView::of(kind, Some(&row));
                let entry = Entry::event(&ctx, "alert_rule.set")
                    .target("alert_rule", kind.as_str())
                    .facts(json!({
                        "enabled": view.enabled,
                        "severity": view.severity,
                        "cooldown_minutes": view.cooldown_minutes,
                        "threshold": view.threshold,
                        "window_minutes": view.window_minutes,
                    }));
                aim_audit::append(db, vec![entry])?;
                Ok(view)
            })
            .await
    }

    /// Lets the defaults hold again for one kind.
    ///
    /// # Errors
    /// The database's.
    pub async fn reset_rule(&self, ctx: &Ctx, kind: AlertKind) -> Result<RuleView> {
        let ctx = ctx.clone();
        self.kernel
            .store
            .write(ctx.organization, move |db| {
                if rules::reset(db, ctx.organization, kind)? {
                    let entry = Entry::event(&ctx, "alert_rule.reset").target("alert_rule", kind.as_str());
                    aim_audit::append(db, vec![entry])?;
                }
                Ok(RuleView::of(kind, None))
            })
            .await
    }
}

fn state(what: &str, row: &AlertRow) -> Error {
    Error::new(Code::StateConflict, format!("{what}; it is {}", row.status))
}

/// Appends the record of a change and answers the alert as it is now.
fn finished(
    db: &mut Db,
    ctx: &Ctx,
    row: &AlertRow,
    action: &'static str,
    details: serde_json::Value,
) -> aim_store::Result<AlertView> {
    let now = store::get(db, row.org_id, row.id)?.ok_or_else(Error::not_found)?;
    let view = view(db, now)?;
    let entry = Entry::event(ctx, action)
        .target("alert", row.id)
        .facts(json!({"kind": row.kind, "severity": row.severity, "from": row.status}))
        .details(details);
    aim_audit::append(db, vec![about(entry, row.agent_id)])?;
    Ok(view)
}

fn view(db: &mut Db, row: AlertRow) -> aim_store::Result<AlertView> {
    let organization = row.org_id;
    views(db, organization, vec![row])?
        .pop()
        .ok_or_else(|| Error::not_found().into())
}

/// The views of rows, with the names of their agents and users.
fn views(
    db: &mut Db,
    organization: OrganizationId,
    rows: Vec<AlertRow>,
) -> aim_store::Result<Vec<AlertView>> {
    let agents: Vec<_> = rows.iter().filter_map(|row| row.agent_id).collect();
    let users: Vec<_> = rows.iter().filter_map(|row| row.assigned_to).collect();
    let agents: HashMap<_, _> = if agents.is_empty() {
        HashMap::new()
    } else {
        store::agent_names(db, organization, &agents)?
            .into_iter()
            .collect()
    };
    let users: HashMap<_, _> = if users.is_empty() {
        HashMap::new()
    } else {
        store::user_names(db, organization, &users)?.into_iter().collect()
    };
    Ok(rows
        .into_iter()
        .map(|row| {
            let agent = row.agent_id.and_then(|id| agents.get(&id).cloned());
            let user = row.assigned_to.and_then(|id| users.get(&id).cloned());
            AlertView::of(row, agent, user)
        })
        .collect())
}
