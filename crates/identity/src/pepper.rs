//! The pepper: the secret under which issued tokens are hashed, the same on every node.

use aim_core::{Error, Result, Timestamp};
use aim_crypto::token::TokenPepper;
use aim_store::{Scope, Store, each, schema::installation};
use diesel::{ExpressionMethods, QueryDsl, RunQueryDsl};

/// The row of the `installation` table that holds it when the operator configures none.
const ROW: &str = "token_pepper";

/// The pepper of this installation: the `configured` one, or one that is made at the first start and
/// kept in the database. Of several nodes that start at once, all get the one that was stored first.
///
/// # Errors
/// The database's; `server.internal` when there is no randomness or the row is damaged.
pub async fn load_or_create(
    store: &Store,
    now: Timestamp,
    configured: Option<[u8; 32]>,
) -> Result<TokenPepper> {
    if let Some(bytes) = configured {
        return Ok(TokenPepper::from_bytes(bytes));
    }
    let fresh = TokenPepper::generate().map_err(Error::internal)?;
    let stored: Vec<u8> = store
        .write(Scope::Installation, move |db| {
            each!(db, c => diesel::insert_into(installation::table)
                .values((
                    installation::name.eq(ROW),
                    installation::value.eq(fresh.expose().as_slice()),
                    installation::created_at.eq(now),
                ))
                .on_conflict_do_nothing()
                .execute(c))?;
            Ok(each!(db, c => installation::table.find(ROW).select(installation::value).get_result(c))?)
        })
        .await?;
    let bytes: [u8; 32] = stored
        .try_into()
        .map_err(|_| Error::internal("the row token_pepper does not hold 32 bytes"))?;
    Ok(TokenPepper::from_bytes(bytes))
}
