//! Queries on reveals and their settings. No rules here; every one names the tenant.

use aim_core::{OrganizationId, PageRequest, SessionId, Timestamp, UserId};
use aim_store::{Db, Result, each, schema::sessions};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl, SelectableHelper,
};

use super::model::{RevealId, RevealState};
use crate::{
    schema::{vault_reveal_settings, vault_reveals},
    vault::model::SecretId,
};

/// A reveal, as its row has it.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(table_name = vault_reveals, treat_none_as_default_value = false)]
pub(crate) struct RevealRow {
    pub(crate) org_id: OrganizationId,
    pub(crate) id: RevealId,
    pub(crate) secret_id: SecretId,
    pub(crate) path: String,
    pub(crate) version: i64,
    pub(crate) reason: String,
    pub(crate) state: String,
    pub(crate) asked_by: UserId,
    pub(crate) asked_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) answered_by: Option<UserId>,
    pub(crate) answered_at: Option<Timestamp>,
    pub(crate) note: Option<String>,
    pub(crate) taken_at: Option<Timestamp>,
}

impl RevealRow {
    /// How it stands at `now`. What is unknown is over.
    pub(crate) fn state_at(&self, now: Timestamp) -> RevealState {
        let open = now < self.expires_at;
        match self.state.as_str() {
            "taken" => RevealState::Taken,
            "rejected" => RevealState::Rejected,
            "pending" if open => RevealState::Pending,
            "approved" if open => RevealState::Approved,
            _ => RevealState::Expired,
        }
    }
}

/// The settings: mode, who set it, when.
pub(crate) fn settings(
    db: &mut Db,
    organization: OrganizationId,
) -> Result<Option<(String, String, Timestamp)>> {
    Ok(each!(db, c => vault_reveal_settings::table
        .find(organization)
        .select((
            vault_reveal_settings::mode,
            vault_reveal_settings::changed_by,
            vault_reveal_settings::changed_at,
        ))
        .get_result(c)
        .optional())?)
}

/// The mode, with its row held until the transaction ends, so that of two who ask one is counted after the other.
pub(crate) fn lock_mode(db: &mut Db, organization: OrganizationId) -> Result<Option<String>> {
    macro_rules! row {
        () => {
            vault_reveal_settings::table
                .find(organization)
                .select(vault_reveal_settings::mode)
        };
    }
    Ok(match db {
        Db::Pg(c) => row!().for_update().get_result(&mut **c).optional()?,
        Db::Sqlite(c) => row!().get_result(&mut **c).optional()?,
    })
}

/// Sets the mode.
pub(crate) fn set_mode(
    db: &mut Db,
    organization: OrganizationId,
    mode: &str,
    by: &str,
    now: Timestamp,
) -> Result<()> {
    let values = (
        vault_reveal_settings::mode.eq(mode),
        vault_reveal_settings::changed_by.eq(by),
        vault_reveal_settings::changed_at.eq(now),
    );
    each!(db, c => diesel::insert_into(vault_reveal_settings::table)
        .values((vault_reveal_settings::org_id.eq(organization), values))
        .on_conflict(vault_reveal_settings::org_id)
        .do_update()
        .set(values)
        .execute(c))?;
    Ok(())
}

/// When the person signed in to this session.
pub(crate) fn signed_in_at(
    db: &mut Db,
    organization: OrganizationId,
    session: SessionId,
    user: UserId,
) -> Result<Option<Timestamp>> {
    Ok(each!(db, c => sessions::table
        .find((organization, session))
        .filter(sessions::user_id.eq(user))
        .filter(sessions::revoked_at.is_null())
        .select(sessions::created_at)
        .get_result(c)
        .optional())?)
}

/// When the person asked since `since`, the oldest first; at most `most`.
pub(crate) fn asked_since(
    db: &mut Db,
    organization: OrganizationId,
    user: UserId,
    since: Timestamp,
    most: i64,
) -> Result<Vec<Timestamp>> {
    Ok(each!(db, c => vault_reveals::table
        .filter(vault_reveals::org_id.eq(organization))
        .filter(vault_reveals::asked_by.eq(user))
        .filter(vault_reveals::asked_at.gt(since))
        .order(vault_reveals::asked_at)
        .limit(most)
        .select(vault_reveals::asked_at)
        .load(c))?)
}

/// Adds a reveal.
pub(crate) fn insert(db: &mut Db, row: &RevealRow) -> Result<()> {
    each!(db, c => diesel::insert_into(vault_reveals::table).values(row).execute(c))?;
    Ok(())
}

/// The reveal of that id, held until the transaction ends.
pub(crate) fn lock(db: &mut Db, organization: OrganizationId, id: RevealId) -> Result<Option<RevealRow>> {
    macro_rules! row {
        () => {
            vault_reveals::table
                .find((organization, id))
                .select(RevealRow::as_select())
        };
    }
    Ok(match db {
        Db::Pg(c) => row!().for_update().get_result(&mut **c).optional()?,
        Db::Sqlite(c) => row!().get_result(&mut **c).optional()?,
    })
}

/// Writes an answer.
pub(crate) fn answer(db: &mut Db, row: &RevealRow) -> Result<()> {
    each!(db, c => diesel::update(vault_reveals::table.find((row.org_id, row.id)))
        .set((
            vault_reveals::state.eq(&row.state),
            vault_reveals::expires_at.eq(row.expires_at),
            vault_reveals::answered_by.eq(row.answered_by),
            vault_reveals::answered_at.eq(row.answered_at),
            vault_reveals::note.eq(&row.note),
        ))
        .execute(c))?;
    Ok(())
}

/// Marks a reveal as taken. `false`: it was not approved any more.
pub(crate) fn take(db: &mut Db, organization: OrganizationId, id: RevealId, now: Timestamp) -> Result<bool> {
    let count = each!(db, c => diesel::update(
            vault_reveals::table
                .find((organization, id))
                .filter(vault_reveals::state.eq(RevealState::Approved.as_str())),
        )
        .set((
            vault_reveals::state.eq(RevealState::Taken.as_str()),
            vault_reveals::taken_at.eq(Some(now)),
        ))
        .execute(c))?;
    Ok(count == 1)
}

/// The reveal of that id.
pub(crate) fn find(db: &mut Db, organization: OrganizationId, id: RevealId) -> Result<Option<RevealRow>> {
    Ok(each!(db, c => vault_reveals::table
        .find((organization, id))
        .select(RevealRow::as_select())
        .get_result(c)
        .optional())?)
}

/// How many pending reveals somebody else asked for.
pub(crate) fn count_waiting_for(
    db: &mut Db,
    organization: OrganizationId,
    user: UserId,
    now: Timestamp,
) -> Result<i64> {
    Ok(each!(db, c => vault_reveals::table
        .filter(vault_reveals::org_id.eq(organization))
        .filter(vault_reveals::state.eq(RevealState::Pending.as_str()))
        .filter(vault_reveals::expires_at.gt(now))
        .filter(vault_reveals::asked_by.ne(user))
        .count()
        .get_result(c))?)
}

/// A page of reveals with one more, the newest first.
pub(crate) fn page(
    db: &mut Db,
    organization: OrganizationId,
    state: Option<RevealState>,
    path: Option<&str>,
    now: Timestamp,
    page: &PageRequest,
) -> Result<Vec<RevealRow>> {
    Ok(each!(db, c => {
        let mut query = vault_reveals::table
            .filter(vault_reveals::org_id.eq(organization))
            .order(vault_reveals::id.desc())
            .limit(page.fetch())
            .select(RevealRow::as_select())
            .into_boxed();
        if let Some(path) = path {
            query = query.filter(vault_reveals::path.eq(path.to_owned()));
        }
        query = match state {
            None => query,
            Some(open @ (RevealState::Pending | RevealState::Approved)) => query
                .filter(vault_reveals::state.eq(open.as_str()))
                .filter(vault_reveals::expires_at.gt(now)),
            Some(RevealState::Expired) => query
                .filter(
                    vault_reveals::state
                        .eq(RevealState::Pending.as_str())
                        .or(vault_reveals::state.eq(RevealState::Approved.as_str())),
                )
                .filter(vault_reveals::expires_at.le(now)),
            Some(over) => query.filter(vault_reveals::state.eq(over.as_str())),
        };
        if let Some(cursor) = page.cursor {
            query = query.filter(vault_reveals::id.lt(RevealId::from_uuid(cursor.0)));
        }
        query.load(c)
    })?)
}
