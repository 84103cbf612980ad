//! Queries on the agents' keys. No rules here; every query names the tenant, but for the two that
//! look across tenants and say so.

use aim_core::{AgentId, Code, OrganizationId, Timestamp};
use aim_crypto::keys::PublicKey;
use aim_decision::{KeyFact, KeyState};
use aim_store::{
    Db, Error, Result, ResultExt, each,
    schema::{agent_keys, agents, key_expiry_warnings, organizations},
};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, JoinOnDsl, OptionalExtension, QueryDsl, RunQueryDsl,
    SelectableHelper,
};

/// A key of an agent, as its row has it.
#[derive(Debug, Clone, PartialEq, Eq, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(table_name = agent_keys, treat_none_as_default_value = false)]
pub struct KeyRow {
    /// The tenant.
    pub org_id: OrganizationId,
    /// The agent.
    pub agent_id: AgentId,
    /// RFC 7638 thumbprint; unique in the installation.
    pub fingerprint: String,
    /// The 32 raw bytes.
    pub public_key: Vec<u8>,
    /// The place among the agent's keys, from 1.
    pub sequence: i64,
    /// When it was brought.
    pub created_at: Timestamp,
    /// The first instant at which it is refused for its age.
    pub expires_at: Timestamp,
    /// When another key took its place.
    pub replaced_at: Option<Timestamp>,
    /// The first instant at which it is refused for having been replaced.
    pub grace_until: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// Why it ended.
    pub end_reason: Option<String>,
    /// Who brought it, as `kind:id`.
    pub created_by: String,
    /// Why it was brought.
    pub created_reason: String,
    /// Who ended it, as `kind:id`.
    pub ended_by: Option<String>,
    /// Who made the key pair: `client`, or `server` for a pair that was handed out and not kept.
    pub generated_by: String,
}

impl KeyRow {
    /// What a decision may know of the key.
    #[must_use]
    pub fn fact(&self) -> KeyFact {
        KeyFact {
            fingerprint: self.fingerprint.clone(),
            created_at: self.created_at.into(),
            expires_at: self.expires_at.into(),
            grace_until: self.grace_until.map(Into::into),
            revoked_at: self.revoked_at.map(Into::into),
        }
    }

    /// What the key is worth at `now`.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> KeyState {
        self.fact().state(now.into())
    }

    /// Whether it is the agent's key: neither replaced nor revoked. It may have expired.
    #[must_use]
    pub const fn is_current(&self) -> bool {
        self.replaced_at.is_none() && self.revoked_at.is_none()
    }

    /// The key itself.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the stored bytes are no key or do not have this fingerprint.
    pub fn public_key(&self) -> Result<PublicKey> {
        let corrupt = |problem: String| Error::Corrupt(format!("agent key {}: {problem}", self.fingerprint));
        let key = PublicKey::from_bytes(&self.public_key).map_err(|error| corrupt(error.to_string()))?;
        if key.fingerprint().as_str() == self.fingerprint {
            Ok(key)
        } else {
            Err(corrupt("the bytes have another fingerprint".to_owned()))
        }
    }
}

/// A key that is about to become an agent's.
#[derive(Debug, Clone)]
pub struct NewKey<'a> {
    /// The tenant.
    pub organization: OrganizationId,
    /// The agent.
    pub agent: AgentId,
    /// The key; whoever inserts it has checked the proof of possession.
    pub public_key: &'a PublicKey,
    /// When it is brought.
    pub created_at: Timestamp,
    /// The first instant at which it is refused for its age.
    pub expires_at: Timestamp,
    /// Who brings it, as `kind:id`.
    pub created_by: String,
    /// Why.
    pub reason: &'a str,
    /// Who made the pair: `client` or `server`.
    pub generated_by: &'static str,
}

/// Adds a key as the agent's latest. A key has one place in the whole installation, for ever: neither
/// another agent nor the same one can bring it again.
///
/// # Errors
/// `resource.conflict` at `public_key` when the key was registered before, or the database's.
pub fn insert(db: &mut Db, new: &NewKey<'_>) -> Result<KeyRow> {
    let latest: Option<i64> = each!(db, c => agent_keys::table
        .filter(agent_keys::org_id.eq(new.organization))
        .filter(agent_keys::agent_id.eq(new.agent))
        .select(diesel::dsl::max(agent_keys::sequence))
        .get_result(c))?;
    let row = KeyRow {
        org_id: new.organization,
        agent_id: new.agent,
        fingerprint: new.public_key.fingerprint().as_str().to_owned(),
        public_key: new.public_key.as_bytes().to_vec(),
        sequence: latest.unwrap_or(0) + 1,
        created_at: new.created_at,
        expires_at: new.expires_at,
        replaced_at: None,
        grace_until: None,
        revoked_at: None,
        end_reason: None,
        created_by: new.created_by.clone(),
        created_reason: new.reason.to_owned(),
        ended_by: None,
        generated_by: new.generated_by.to_owned(),
    };
    each!(db, c => diesel::insert_into(agent_keys::table).values(&row).execute(c)).on_unique(|| {
        aim_core::Error::new(
            Code::Conflict,
            "this public key was registered before; generate a fresh key pair for each registration and rotation",
        )
        .at("public_key")
    })?;
    Ok(row)
}

/// Every key the agent ever had, the first one first.
///
/// # Errors
/// The database's.
pub fn of_agent(db: &mut Db, organization: OrganizationId, agent: AgentId) -> Result<Vec<KeyRow>> {
    Ok(each!(db, c => agent_keys::table
        .filter(agent_keys::org_id.eq(organization))
        .filter(agent_keys::agent_id.eq(agent))
        .order(agent_keys::sequence)
        .select(KeyRow::as_select())
        .load(c))?)
}

/// The key of that fingerprint in the whole installation: the tenant is what authentication learns
/// from it.
///
/// # Errors
/// The database's.
pub fn by_fingerprint(db: &mut Db, fingerprint: &str) -> Result<Option<KeyRow>> {
    Ok(each!(db, c => agent_keys::table
        .filter(agent_keys::fingerprint.eq(fingerprint))
        .select(KeyRow::as_select())
        .get_result(c)
        .optional())?)
}

/// Tells every node that what they remember of the agent is out of date. Part of every transaction
/// that changes a key.
///
/// # Errors
/// The database's.
pub fn bump_agent_epoch(db: &mut Db, organization: OrganizationId, agent: AgentId) -> Result<()> {
    each!(db, c => diesel::update(
            agents::table.filter(agents::org_id.eq(organization)).filter(agents::id.eq(agent)),
        )
        .set(agents::epoch.eq(agents::epoch + 1))
        .execute(c))?;
    Ok(())
}

/// What the key vault needs to know of an agent.
#[derive(Debug, Clone, PartialEq, Eq, diesel::Queryable, diesel::Selectable)]
#[diesel(table_name = agents)]
pub struct AgentFacts {
    /// Its unique name.
    pub name: String,
    /// `active`, `suspended` or `revoked`.
    pub status: String,
}

/// The agent, unless it was deleted.
///
/// # Errors
/// The database's.
pub fn agent(db: &mut Db, organization: OrganizationId, agent: AgentId) -> Result<Option<AgentFacts>> {
    Ok(each!(db, c => agents::table
        .filter(agents::org_id.eq(organization))
        .filter(agents::id.eq(agent))
        .filter(agents::deleted_at.is_null())
        .select(AgentFacts::as_select())
        .get_result(c)
        .optional())?)
}

/// The agent, unless it was deleted; nobody else changes it or its keys until the transaction ends.
/// SQLite has one writer and needs no lock.
///
/// # Errors
/// The database's.
pub fn lock_agent(db: &mut Db, organization: OrganizationId, agent: AgentId) -> Result<Option<AgentFacts>> {
    match db {
        Db::Pg(c) => Ok(agents::table
            .filter(agents::org_id.eq(organization))
            .filter(agents::id.eq(agent))
            .filter(agents::deleted_at.is_null())
            .select(AgentFacts::as_select())
            .for_update()
            .get_result(&mut **c)
            .optional()?),
        Db::Sqlite(_) => self::agent(db, organization, agent),
    }
}

/// How and by whom a key ends.
#[derive(Debug, Clone)]
pub struct End<'a> {
    /// When.
    pub at: Timestamp,
    /// Who, as `kind:id`.
    pub by: &'a str,
    /// Why.
    pub reason: &'a str,
}

/// Marks a key as replaced; it works until `grace_until`.
///
/// # Errors
/// The database's.
pub fn mark_replaced(db: &mut Db, key: &KeyRow, grace_until: Timestamp, end: &End<'_>) -> Result<()> {
    each!(db, c => diesel::update(agent_keys::table.find((key.org_id, key.agent_id, &key.fingerprint)))
        .set((
            agent_keys::replaced_at.eq(Some(end.at)),
            agent_keys::grace_until.eq(Some(grace_until)),
            agent_keys::ended_by.eq(Some(end.by)),
            agent_keys::end_reason.eq(Some(end.reason)),
        ))
        .execute(c))?;
    Ok(())
}

/// Marks a key as revoked. Who and why of an earlier replacement give way; the audit log keeps them.
///
/// # Errors
/// The database's.
pub fn mark_revoked(db: &mut Db, key: &KeyRow, end: &End<'_>) -> Result<()> {
    each!(db, c => diesel::update(agent_keys::table.find((key.org_id, key.agent_id, &key.fingerprint)))
        .set((
            agent_keys::revoked_at.eq(Some(end.at)),
            agent_keys::ended_by.eq(Some(end.by)),
            agent_keys::end_reason.eq(Some(end.reason)),
        ))
        .execute(c))?;
    Ok(())
}

/// The tenants after `after`, in order of their ids: the job goes through them one by one.
///
/// # Errors
/// The database's.
pub fn organizations_after(
    db: &mut Db,
    after: Option<OrganizationId>,
    limit: i64,
) -> Result<Vec<OrganizationId>> {
    Ok(each!(db, c => {
        let mut query =
            organizations::table.select(organizations::id).order(organizations::id).limit(limit).into_boxed();
        if let Some(after) = after {
            query = query.filter(organizations::id.gt(after));
        }
        query.load(c)
    })?)
}

/// The current keys of living agents that expire after `from` and not after `until`, and whose
/// `days_left` warning was not given yet. The soonest first.
///
/// # Errors
/// The database's.
pub fn keys_to_warn_of(
    db: &mut Db,
    organization: OrganizationId,
    from: Timestamp,
    until: Timestamp,
    days_left: i64,
    limit: i64,
) -> Result<Vec<KeyRow>> {
    let given = key_expiry_warnings::table
        .filter(key_expiry_warnings::org_id.eq(agent_keys::org_id))
        .filter(key_expiry_warnings::agent_id.eq(agent_keys::agent_id))
        .filter(key_expiry_warnings::fingerprint.eq(agent_keys::fingerprint))
        .filter(key_expiry_warnings::days_left.eq(days_left));
    Ok(each!(db, c => agent_keys::table
        .inner_join(agents::table.on(agents::org_id.eq(agent_keys::org_id).and(agents::id.eq(agent_keys::agent_id))))
        .filter(agent_keys::org_id.eq(organization))
        .filter(agent_keys::expires_at.gt(from))
        .filter(agent_keys::expires_at.le(until))
        .filter(agent_keys::replaced_at.is_null())
        .filter(agent_keys::revoked_at.is_null())
        .filter(agents::deleted_at.is_null())
        .filter(agents::status.ne("revoked"))
        .filter(diesel::dsl::not(diesel::dsl::exists(given)))
        .order(agent_keys::expires_at)
        .limit(limit)
        .select(KeyRow::as_select())
        .load(c))?)
}

/// Notes that a warning was given. `false`: it had been before.
///
/// # Errors
/// The database's.
pub fn note_warning(db: &mut Db, key: &KeyRow, days_left: i64, now: Timestamp) -> Result<bool> {
    let count = each!(db, c => diesel::insert_into(key_expiry_warnings::table)
        .values((
            key_expiry_warnings::org_id.eq(key.org_id),
            key_expiry_warnings::agent_id.eq(key.agent_id),
            key_expiry_warnings::fingerprint.eq(&key.fingerprint),
            key_expiry_warnings::days_left.eq(days_left),
            key_expiry_warnings::expires_at.eq(key.expires_at),
            key_expiry_warnings::created_at.eq(now),
        ))
        .on_conflict_do_nothing()
        .execute(c))?;
    Ok(count == 1)
}
