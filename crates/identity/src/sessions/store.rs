//! Queries on sessions. Only the look-up by a token's digest goes without the tenant.

use aim_core::{OrganizationId, PageRequest, SessionId, Timestamp, UserId};
use aim_store::{
    Db, Result, each,
    schema::{sessions, users},
};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, JoinOnDsl, OptionalExtension, QueryDsl, RunQueryDsl,
    SelectableHelper,
};

use crate::users::store::UserRow;

/// A session, as its row has it.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(table_name = sessions, treat_none_as_default_value = false)]
pub(crate) struct SessionRow {
    pub(crate) org_id: OrganizationId,
    pub(crate) id: SessionId,
    pub(crate) user_id: UserId,
    pub(crate) token_digest: Vec<u8>,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) last_seen_at: Timestamp,
    pub(crate) revoked_at: Option<Timestamp>,
    pub(crate) source_ip: Option<String>,
    pub(crate) user_agent: Option<String>,
}

/// Adds a session.
pub(crate) fn insert(db: &mut Db, row: &SessionRow) -> Result<()> {
    each!(db, c => diesel::insert_into(sessions::table).values(row).execute(c))?;
    Ok(())
}

/// The session of that token and its user, in whichever organisation.
pub(crate) fn by_digest(db: &mut Db, digest: &[u8]) -> Result<Option<(SessionRow, UserRow)>> {
    Ok(each!(db, c => sessions::table
        .inner_join(users::table.on(users::org_id.eq(sessions::org_id).and(users::id.eq(sessions::user_id))))
        .filter(sessions::token_digest.eq(digest))
        .select((SessionRow::as_select(), UserRow::as_select()))
        .get_result(c)
        .optional())?)
}

/// Notes that the session was used.
pub(crate) fn touch(
    db: &mut Db,
    organization: OrganizationId,
    session: SessionId,
    now: Timestamp,
) -> Result<()> {
    let mine = sessions::table
        .filter(sessions::org_id.eq(organization))
        .filter(sessions::id.eq(session));
    each!(db, c => diesel::update(mine).set(sessions::last_seen_at.eq(now)).execute(c))?;
    Ok(())
}

/// Ends one live session of the user; answers whether there was one.
pub(crate) fn revoke(
    db: &mut Db,
    organization: OrganizationId,
    user: UserId,
    session: SessionId,
    now: Timestamp,
) -> Result<bool> {
    let live = sessions::table
        .filter(sessions::org_id.eq(organization))
        .filter(sessions::user_id.eq(user))
        .filter(sessions::id.eq(session))
        .filter(sessions::revoked_at.is_null())
        .filter(sessions::expires_at.gt(now));
    Ok(each!(db, c => diesel::update(live).set(sessions::revoked_at.eq(Some(now))).execute(c))? == 1)
}

/// Ends every session of the user but `kept`; answers how many.
pub(crate) fn revoke_all(
    db: &mut Db,
    organization: OrganizationId,
    user: UserId,
    kept: Option<SessionId>,
    now: Timestamp,
) -> Result<usize> {
    let others = sessions::table
        .filter(sessions::org_id.eq(organization))
        .filter(sessions::user_id.eq(user))
        .filter(sessions::revoked_at.is_null());
    let revoked = sessions::revoked_at.eq(Some(now));
    Ok(each!(db, c => match kept {
        Some(kept) => diesel::update(others.filter(sessions::id.ne(kept))).set(revoked).execute(c),
        None => diesel::update(others).set(revoked).execute(c),
    })?)
}

/// A page of the user's live sessions, newest first, one more than the page holds; and how many there are.
pub(crate) fn page(
    db: &mut Db,
    organization: OrganizationId,
    user: UserId,
    page: &PageRequest,
    now: Timestamp,
) -> Result<(Vec<SessionRow>, i64)> {
    let live = sessions::table
        .filter(sessions::org_id.eq(organization))
        .filter(sessions::user_id.eq(user))
        .filter(sessions::revoked_at.is_null())
        .filter(sessions::expires_at.gt(now));
    let total = each!(db, c => live.count().get_result(c))?;
    let rows = each!(db, c => {
        let mut query = live
            .order(sessions::id.desc())
            .limit(page.fetch())
            .offset(page.offset)
            .select(SessionRow::as_select())
            .into_boxed();
        if let Some(cursor) = page.cursor { query = query.filter(sessions::id.lt(SessionId::from_uuid(cursor.0))); }
        query.load(c)
    })?;
    Ok((rows, total))
}

/// Forgets sessions that expired before `before`.
pub(crate) fn forget(db: &mut Db, before: Timestamp) -> Result<usize> {
    Ok(each!(db, c => diesel::delete(sessions::table.filter(sessions::expires_at.lt(before))).execute(c))?)
}
