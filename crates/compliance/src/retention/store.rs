//! Rows of settings, holds and progress; no rules.

use std::collections::HashMap;

use aim_core::{AgentId, OrganizationId, Timestamp};
use aim_store::{Db, Result, each, schema::agents};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl, SelectableHelper};

use super::model::{HoldId, HoldView, RetentionSettings};
use crate::schema::{legal_holds, retention_progress, retention_settings};

/// The settings of an organisation.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable, diesel::AsChangeset)]
#[diesel(table_name = retention_settings, treat_none_as_null = true, treat_none_as_default_value = false)]
pub(crate) struct SettingsRow {
    org_id: OrganizationId,
    decision_inputs_days: Option<i64>,
    violations_days: Option<i64>,
    audit_details_days: Option<i64>,
    activity_days: Option<i64>,
    deliveries_days: Option<i64>,
    pub(crate) updated_by: String,
    pub(crate) updated_at: Timestamp,
}

impl SettingsRow {
    pub(crate) fn new(
        organization: OrganizationId,
        settings: &RetentionSettings,
        by: String,
        now: Timestamp,
    ) -> Self {
        Self {
            org_id: organization,
            decision_inputs_days: settings.decision_inputs_days,
            violations_days: settings.violations_days,
            audit_details_days: settings.audit_details_days,
            activity_days: settings.activity_days,
            deliveries_days: settings.deliveries_days,
            updated_by: by,
            updated_at: now,
        }
    }

    pub(crate) const fn settings(&self) -> RetentionSettings {
        RetentionSettings {
            decision_inputs_days: self.decision_inputs_days,
            violations_days: self.violations_days,
            audit_details_days: self.audit_details_days,
            activity_days: self.activity_days,
            deliveries_days: self.deliveries_days,
        }
    }
}

pub(crate) fn settings(db: &mut Db, organization: OrganizationId) -> Result<Option<SettingsRow>> {
    Ok(each!(db, c => retention_settings::table
        .find(organization)
        .select(SettingsRow::as_select())
        .get_result(c)
        .optional())?)
}

/// The settings, locked until the transaction ends: a hold that is placed meanwhile waits, or is seen.
pub(crate) fn lock_settings(db: &mut Db, organization: OrganizationId) -> Result<Option<SettingsRow>> {
    match db {
        Db::Pg(c) => Ok(retention_settings::table
            .find(organization)
            .select(SettingsRow::as_select())
            .for_update()
            .get_result(&mut **c)
            .optional()?),
        // One transaction at a time writes.
        Db::Sqlite(_) => settings(db, organization),
    }
}

pub(crate) fn keep_settings(db: &mut Db, row: &SettingsRow) -> Result<()> {
    each!(db, c => diesel::insert_into(retention_settings::table)
        .values(row)
        .on_conflict(retention_settings::org_id)
        .do_update()
        .set(row)
        .execute(c))?;
    Ok(())
}

/// Makes the row if it is not there.
pub(crate) fn ensure_settings(db: &mut Db, row: &SettingsRow) -> Result<()> {
    each!(db, c => diesel::insert_into(retention_settings::table)
        .values(row)
        .on_conflict_do_nothing()
        .execute(c))?;
    Ok(())
}

/// Every organisation that has settings.
pub(crate) fn organizations_with_settings(db: &mut Db) -> Result<Vec<OrganizationId>> {
    Ok(each!(db, c => retention_settings::table
        .order(retention_settings::org_id)
        .select(retention_settings::org_id)
        .load(c))?)
}

pub(crate) fn insert_hold(
    db: &mut Db,
    organization: OrganizationId,
    id: HoldId,
    agent: Option<AgentId>,
    reason: &str,
    by: &str,
    now: Timestamp,
) -> Result<()> {
    each!(db, c => diesel::insert_into(legal_holds::table)
        .values((
            legal_holds::org_id.eq(organization),
            legal_holds::id.eq(id),
            legal_holds::agent_id.eq(agent),
            legal_holds::reason.eq(reason),
            legal_holds::created_by.eq(by),
            legal_holds::created_at.eq(now),
        ))
        .execute(c))?;
    Ok(())
}

/// Releases a hold; none if it is not in force, else the agent it was of.
pub(crate) fn release_hold(
    db: &mut Db,
    organization: OrganizationId,
    id: HoldId,
    by: &str,
    now: Timestamp,
) -> Result<Option<Option<AgentId>>> {
    Ok(each!(db, c => diesel::update(
            legal_holds::table
                .find((organization, id))
                .filter(legal_holds::released_at.is_null()),
        )
        .set((legal_holds::released_by.eq(Some(by)), legal_holds::released_at.eq(Some(now))))
        .returning(legal_holds::agent_id)
        .get_result(c)
        .optional())?)
}

/// The agents under a hold; none means the whole organisation.
pub(crate) fn held(db: &mut Db, organization: OrganizationId) -> Result<Vec<Option<AgentId>>> {
    Ok(each!(db, c => legal_holds::table
        .filter(legal_holds::org_id.eq(organization))
        .filter(legal_holds::released_at.is_null())
        .select(legal_holds::agent_id)
        .load(c))?)
}

/// The holds in force, newest first.
pub(crate) fn holds(db: &mut Db, organization: OrganizationId) -> Result<Vec<HoldView>> {
    type Row = (HoldId, Option<AgentId>, String, String, Timestamp);
    let rows: Vec<Row> = each!(db, c => legal_holds::table
        .filter(legal_holds::org_id.eq(organization))
        .filter(legal_holds::released_at.is_null())
        .order(legal_holds::id.desc())
        .select((
            legal_holds::id,
            legal_holds::agent_id,
            legal_holds::reason,
            legal_holds::created_by,
            legal_holds::created_at,
        ))
        .load(c))?;
    let held: Vec<AgentId> = rows.iter().filter_map(|(_, agent, ..)| *agent).collect();
    let names: Vec<(AgentId, String)> = each!(db, c => agents::table
        .filter(agents::org_id.eq(organization))
        .filter(agents::id.eq_any(&held))
        .select((agents::id, agents::name))
        .load(c))?;
    let names: HashMap<AgentId, String> = names.into_iter().collect();
    Ok(rows
        .into_iter()
        .map(|(id, agent_id, reason, created_by, created_at)| HoldView {
            id,
            agent_id,
            agent_name: agent_id.and_then(|agent| names.get(&agent).cloned()),
            reason,
            created_by,
            created_at,
        })
        .collect())
}

pub(crate) fn agent_exists(db: &mut Db, organization: OrganizationId, agent: AgentId) -> Result<bool> {
    let found = agents::table.find((organization, agent));
    Ok(each!(db, c => diesel::select(diesel::dsl::exists(found)).get_result(c))?)
}

/// How far a table is trimmed.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable, diesel::AsChangeset)]
#[diesel(table_name = retention_progress, treat_none_as_null = true, treat_none_as_default_value = false)]
pub(crate) struct ProgressRow {
    pub(crate) org_id: OrganizationId,
    pub(crate) name: String,
    /// Where the last piece ended.
    pub(crate) reached: Option<String>,
    pub(crate) ran_at: Timestamp,
    /// The moment up to which it is done.
    pub(crate) trimmed_before: Timestamp,
    pub(crate) changed: i64,
}

pub(crate) fn progress(db: &mut Db, organization: OrganizationId) -> Result<Vec<ProgressRow>> {
    Ok(each!(db, c => retention_progress::table
        .filter(retention_progress::org_id.eq(organization))
        .select(ProgressRow::as_select())
        .load(c))?)
}

pub(crate) fn progress_of(
    db: &mut Db,
    organization: OrganizationId,
    name: &str,
) -> Result<Option<ProgressRow>> {
    Ok(each!(db, c => retention_progress::table
        .find((organization, name))
        .select(ProgressRow::as_select())
        .get_result(c)
        .optional())?)
}

pub(crate) fn keep_progress(db: &mut Db, row: &ProgressRow) -> Result<()> {
    each!(db, c => diesel::insert_into(retention_progress::table)
        .values(row)
        .on_conflict((retention_progress::org_id, retention_progress::name))
        .do_update()
        .set(row)
        .execute(c))?;
    Ok(())
}

/// Lets every table be gone through from its beginning: what was held before is due now.
pub(crate) fn begin_anew(db: &mut Db, organization: OrganizationId, epoch: Timestamp) -> Result<()> {
    each!(db, c => diesel::update(
            retention_progress::table.filter(retention_progress::org_id.eq(organization)),
        )
        .set((
            retention_progress::reached.eq(None::<String>),
            retention_progress::trimmed_before.eq(epoch),
        ))
        .execute(c))?;
    Ok(())
}
