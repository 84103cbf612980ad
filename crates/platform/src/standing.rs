//! Whether an agent that proved a key may call at all: looked up in the transaction that uses up the
//! signature, so that a suspended agent and a revoked key are refused on the very next request.
//! A verified action does not come here: its refusal is a decision, and leaves evidence.

use aim_core::{
    Actor, AgentCredential, AgentId, Code, Error, OrganizationId, Timestamp, ctx::CredentialLimits,
};
use aim_decision::{AddressLimit, KeyFact};
use aim_store::{
    Db, Result, each,
    schema::{agent_keys, agents},
};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl};

type KeyRow = (Timestamp, Timestamp, Option<Timestamp>, Option<Timestamp>);

/// Refuses an agent that is not active, or whose key does not count any more. For acts that use up a signature
/// in their own transaction; the extractors do it for all others.
///
/// # Errors
/// `auth.forbidden` for a suspended agent and for a credential that may not be used from where it was,
/// `auth.credentials_invalid` for an agent that is gone or a key that ended.
pub fn check(db: &mut Db, organization: OrganizationId, actor: &Actor, now: Timestamp) -> Result<()> {
    let Actor::Agent { id, credential } = actor else {
        return Ok(());
    };
    check_status(db, organization, *id)?;
    let fingerprint = match credential {
        AgentCredential::Key { fingerprint } => fingerprint,
        AgentCredential::Limited { limits, .. } => {
            return if is_used_where_it_may(limits)? {
                Ok(())
            } else {
                let detail = "this credential may not be used from this address";
                Err(Error::new(Code::Forbidden, detail).into())
            };
        }
    };
    let row: Option<KeyRow> = each!(db, c => agent_keys::table
        .find((organization, *id, fingerprint))
        .select((agent_keys::created_at, agent_keys::expires_at, agent_keys::grace_until, agent_keys::revoked_at))
        .get_result(c)
        .optional())?;
    let usable = row.is_some_and(|(created_at, expires_at, grace_until, revoked_at)| {
        let fact = KeyFact {
            fingerprint: fingerprint.clone(),
            created_at: created_at.into(),
            expires_at: expires_at.into(),
            grace_until: grace_until.map(Into::into),
            revoked_at: revoked_at.map(Into::into),
        };
        fact.state(now.into()).is_usable()
    });
    if usable {
        Ok(())
    } else {
        Err(Error::new(
            Code::CredentialsInvalid,
            "the signing key is expired, replaced or revoked",
        )
        .into())
    }
}

/// From where a credential may be used and from where it was, as a decision records it.
///
/// # Errors
/// When a network in its row cannot be read.
pub fn address_limit(limits: &CredentialLimits) -> Result<Option<AddressLimit>> {
    let Some(addresses) = &limits.addresses else {
        return Ok(None);
    };
    let allowed = addresses
        .iter()
        .map(|text| text.as_str().try_into())
        .collect::<std::result::Result<_, aim_decision::Invalid>>()
        .map_err(|invalid| aim_store::Error::Corrupt(format!("a credential's network {invalid}")))?;
    Ok(Some(AddressLimit {
        allowed,
        presented: limits.presented_from.clone(),
    }))
}

/// Whether the credential was used from where it may be.
///
/// # Errors
/// When a network in its row cannot be read.
pub fn is_used_where_it_may(limits: &CredentialLimits) -> Result<bool> {
    Ok(address_limit(limits)?.is_none_or(|limit| limit.is_kept()))
}

fn check_status(db: &mut Db, organization: OrganizationId, agent: AgentId) -> Result<()> {
    let status: Option<String> = each!(db, c => agents::table
        .find((organization, agent))
        .filter(agents::deleted_at.is_null())
        .select(agents::status)
        .get_result(c)
        .optional())?;
    match status.as_deref() {
        Some("active") => Ok(()),
        Some("suspended") => {
            let detail = "the agent is suspended; somebody must reactivate it first";
            Err(Error::new(Code::Forbidden, detail).into())
        }
        _ => Err(Error::new(Code::CredentialsInvalid, "the agent is not there any more").into()),
    }
}
