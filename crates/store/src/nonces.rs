//! What was signed once and must not be used again: shared by all nodes, kept until it is stale anyway.

use aim_core::{OrganizationId, Timestamp};
use diesel::{ExpressionMethods, QueryDsl, RunQueryDsl};

use crate::{Db, Result, each, schema::nonces};

/// Claims a nonce inside the caller's transaction. `false`: somebody was first.
///
/// # Errors
/// The database's.
pub fn claim(
    db: &mut Db,
    organization: OrganizationId,
    digest: &[u8],
    expires_at: Timestamp,
) -> Result<bool> {
    let count = each!(db, c => diesel::insert_into(nonces::table)
        .values((
            nonces::org_id.eq(organization),
            nonces::digest.eq(digest),
            nonces::expires_at.eq(expires_at),
        ))
        .on_conflict_do_nothing()
        .execute(c))?;
    Ok(count == 1)
}

/// Forgets nonces that are stale anyway.
///
/// # Errors
/// The database's.
pub fn forget(db: &mut Db, before: Timestamp) -> Result<usize> {
    Ok(each!(db, c => diesel::delete(nonces::table.filter(nonces::expires_at.lt(before))).execute(c))?)
}
