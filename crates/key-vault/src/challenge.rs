//! Challenges: what a new key signs to show that somebody holds its private half.
//!
//! A challenge is 32 random bytes in base64url, good for one use within five minutes, for one
//! purpose, tenant and agent. The database holds only a digest of it (the row's id), so a copy of the
//! database helps nobody to answer one.

use aim_core::{AgentId, ChallengeId, Code, Ctx, Error, Timestamp};
use aim_crypto::{digest, possession::Purpose};
use aim_store::{Db, Store, each, schema::challenges};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use diesel::{ExpressionMethods, QueryDsl, RunQueryDsl};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// How long a challenge can be answered, in minutes.
pub const LIFETIME_MINUTES: i64 = 5;

/// A challenge to be signed: see [`aim_crypto::possession::possession_message`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChallengeView {
    /// The text that goes into the signed message as it stands.
    #[schema(example = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA")]
    pub challenge: String,
    /// The first instant at which it is refused.
    pub expires_at: Timestamp,
}

/// Makes a challenge for `purpose`, bound to the caller's organisation and to `agent` (none for the
/// registration of an agent that does not exist yet).
///
/// # Errors
/// `server.unavailable` when it cannot be stored, `server.internal` when there is no randomness.
pub async fn issue(
    ctx: &Ctx,
    store: &Store,
    purpose: Purpose,
    agent: Option<AgentId>,
) -> aim_core::Result<ChallengeView> {
    let secret: [u8; 32] = digest::random_bytes().map_err(Error::internal)?;
    let (organization, created_at) = (ctx.organization, ctx.now);
    let expires_at = created_at + TimeDelta::minutes(LIFETIME_MINUTES);
    let id = id_of(&secret);
    store
        .write(organization, move |db| {
            each!(db, c => diesel::insert_into(challenges::table)
                .values((
                    challenges::org_id.eq(organization),
                    challenges::id.eq(id),
                    challenges::purpose.eq(purpose.as_str()),
                    challenges::agent_id.eq(agent),
                    challenges::created_at.eq(created_at),
                    challenges::expires_at.eq(expires_at),
                ))
                .execute(c))?;
            Ok(())
        })
        .await?;
    Ok(ChallengeView {
        challenge: URL_SAFE_NO_PAD.encode(secret),
        expires_at,
    })
}

/// Uses a challenge up inside the caller's transaction, so that it is spent exactly if the change it
/// was answered for happens. Of two uses at once, one wins.
///
/// # Errors
/// `auth.challenge_invalid` at `challenge` when it is none of ours, for another purpose or agent,
/// used or expired: one answer for all, so that nobody learns which.
pub fn consume(
    db: &mut Db,
    ctx: &Ctx,
    purpose: Purpose,
    agent: Option<AgentId>,
    challenge: &str,
) -> aim_store::Result<()> {
    let secret = URL_SAFE_NO_PAD.decode(challenge).map_err(|_| refusal())?;
    let secret: [u8; 32] = secret.try_into().map_err(|_| refusal())?;
    let count = each!(db, c => {
        let mine = challenges::table
            .filter(challenges::org_id.eq(ctx.organization))
            .filter(challenges::id.eq(id_of(&secret)))
            .filter(challenges::purpose.eq(purpose.as_str()))
            .filter(challenges::used_at.is_null())
            .filter(challenges::expires_at.gt(ctx.now));
        let used = challenges::used_at.eq(Some(ctx.now));
        match agent {
            Some(agent) => {
                diesel::update(mine.filter(challenges::agent_id.eq(Some(agent)))).set(used).execute(c)
            }
            None => diesel::update(mine.filter(challenges::agent_id.is_null())).set(used).execute(c),
        }
    })?;
    if count == 1 { Ok(()) } else { Err(refusal().into()) }
}

/// Forgets challenges that expired before `before`.
///
/// # Errors
/// The database's.
pub fn forget(db: &mut Db, before: Timestamp) -> aim_store::Result<usize> {
    Ok(
        each!(db, c => diesel::delete(challenges::table.filter(challenges::expires_at.lt(before))).execute(c))?,
    )
}

/// The row's id: the first half of the challenge's digest. It is no UUIDv7, so that it says nothing
/// about the challenge.
fn id_of(secret: &[u8; 32]) -> ChallengeId {
    let mut half = [0; 16];
    for (target, source) in half.iter_mut().zip(digest::sha256(secret)) {
        *target = source;
    }
    ChallengeId::from_uuid(Uuid::from_bytes(half))
}

fn refusal() -> Error {
    Error::new(
        Code::ChallengeInvalid,
        "this challenge is unknown, made for something else, used before, or older than five minutes",
    )
    .at("challenge")
}
