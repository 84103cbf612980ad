//! What decide() knows of an agent, kept in memory under two epochs: the agent's and its
//! organisation's. The transaction of each decision reads both; a copy that is older is not used.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
};

use aim_core::{AgentId, GrantId, Json, OrganizationId, Timestamp};
use aim_crypto::digest::sha256;
use aim_decision::{AgentStatus, Effect, RateLimit, Snapshot, canonical_bytes};
use aim_key_vault::store as keys;
use aim_store::{
    Cached, Db, Error, Result,
    diesel::{BoolExpressionMethods, ExpressionMethods, JoinOnDsl, OptionalExtension, QueryDsl, RunQueryDsl},
    each, padded,
    schema::{agents, organizations},
};
use chrono::TimeDelta;
use uuid::Uuid;

use crate::{capabilities::store as grants, policies::store as policies};

/// How many bytes of snapshots stay in memory.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;
/// How exact `last_used_at` of a snapshot is: one that is older by more than this is not in use.
pub(crate) const SNAPSHOT_NOTE: TimeDelta = TimeDelta::days(1);
/// How exact `last_used_at` of a grant is.
const LAST_USE_EXACTNESS: TimeDelta = TimeDelta::seconds(60);

/// The agent's and the organisation's epoch.
pub(super) type Epochs = (i64, i64);

/// A snapshot, and what is derived from it once.
pub(super) struct LiveSnapshot {
    pub(super) epochs: Epochs,
    pub(super) agent_name: String,
    pub(super) snapshot: Snapshot,
    pub(super) digest: [u8; 32],
    /// How many bytes the body has. It is made again for each transaction that notes it, which is about once a day.
    body_length: usize,
    pub(super) rated: Vec<(Uuid, RateLimit)>,
    pub(super) registered: Json,
    noted: AtomicI64,
    last_uses: Mutex<HashMap<Uuid, Timestamp>>,
}

impl LiveSnapshot {
    /// The canonical bytes, which the digest is of.
    ///
    /// # Errors
    /// They are no text, which is a mistake of ours.
    pub(super) fn body(&self) -> Result<String> {
        String::from_utf8(canonical_bytes(&self.snapshot)).map_err(|error| Error::Corrupt(error.to_string()))
    }

    /// Whether the database is known to hold the snapshot's body, and to know that it is in use.
    pub(super) fn is_noted(&self, now: Timestamp) -> bool {
        let noted = self.noted.load(Ordering::Relaxed);
        now.timestamp_micros() < noted.saturating_add(SNAPSHOT_NOTE.num_microseconds().unwrap_or(0))
    }

    pub(super) fn mark_noted(&self, now: Timestamp) {
        self.noted.fetch_max(now.timestamp_micros(), Ordering::Relaxed);
    }

    /// Whether a use of `grant` at `now` is to be written down: once a minute.
    pub(super) fn notes_use(&self, grant: Uuid, now: Timestamp) -> bool {
        let mut uses = self.last_uses.lock().unwrap_or_else(PoisonError::into_inner);
        let due = uses
            .get(&grant)
            .is_none_or(|last| now - *last >= LAST_USE_EXACTNESS);
        if due {
            uses.insert(grant, now);
        }
        due
    }
}

/// Snapshots of the agents that acted lately.
#[derive(Clone)]
pub(super) struct SnapshotCache(moka::sync::Cache<(OrganizationId, AgentId), Arc<LiveSnapshot>>);

impl SnapshotCache {
    pub(super) fn new() -> Self {
        let weigh = |_: &(OrganizationId, AgentId), snapshot: &Arc<LiveSnapshot>| {
            u32::try_from(snapshot.body_length * 2 + 512).unwrap_or(u32::MAX)
        };
        Self(
            moka::sync::Cache::builder()
                .max_capacity(CACHE_BYTES)
                .weigher(weigh)
                .build(),
        )
    }

    /// The snapshot in memory, if there is one; whether it is current, only a transaction can tell.
    pub(super) fn latest(&self, organization: OrganizationId, agent: AgentId) -> Option<Arc<LiveSnapshot>> {
        self.0.get(&(organization, agent))
    }

    /// The snapshot for the epochs that this transaction has read.
    pub(super) fn at(
        &self,
        db: &mut Db,
        organization: OrganizationId,
        agent: AgentId,
        epochs: Epochs,
        now: Timestamp,
    ) -> Result<Arc<LiveSnapshot>> {
        if let Some(snapshot) = self.0.get(&(organization, agent))
            && snapshot.epochs == epochs
        {
            return Ok(snapshot);
        }
        let snapshot = Arc::new(load(db, organization, agent, epochs, now)?);
        self.0.insert((organization, agent), Arc::clone(&snapshot));
        Ok(snapshot)
    }
}

/// The epochs of several agents in one query. An agent that is not there has none.
pub(super) fn epochs(
    db: &mut Db,
    wanted: &[(OrganizationId, AgentId)],
) -> Result<HashMap<(OrganizationId, AgentId), Epochs>> {
    let mut organizations_wanted: Vec<OrganizationId> =
        wanted.iter().map(|(organization, _)| *organization).collect();
    organizations_wanted.sort_unstable();
    organizations_wanted.dedup();
    let organizations_wanted = padded(organizations_wanted);
    let agents_wanted = padded(wanted.iter().map(|(_, agent)| *agent).collect::<Vec<AgentId>>());
    let rows: Vec<(OrganizationId, AgentId, i64, i64)> = each!(db, c => Cached(agents::table
        .inner_join(organizations::table.on(organizations::id.eq(agents::org_id)))
        .filter(agents::org_id.eq_any(&organizations_wanted).and(agents::id.eq_any(&agents_wanted)))
        .select((agents::org_id, agents::id, agents::epoch, organizations::policy_epoch)))
        .load(c))?;
    Ok(rows
        .into_iter()
        .map(|(organization, agent, epoch, policy)| ((organization, agent), (epoch, policy)))
        .collect())
}

fn load(
    db: &mut Db,
    organization: OrganizationId,
    agent: AgentId,
    epochs: Epochs,
    now: Timestamp,
) -> Result<LiveSnapshot> {
    type Row = (String, String, String, Option<i64>);
    let row: Option<Row> = each!(db, c => agents::table
        .find((organization, agent))
        .select((agents::name, agents::status, agents::agent_type, agents::trust_score))
        .get_result(c)
        .optional())?;
    let (agent_name, status, agent_type, trust_score) = row.ok_or_else(aim_core::Error::not_found)?;
    let mut snapshot = Snapshot::new(organization.uuid(), agent.uuid(), agent_type);
    snapshot.agent_status = match status.as_str() {
        "active" => AgentStatus::Active,
        "suspended" => AgentStatus::Suspended,
        _ => AgentStatus::Revoked,
    };
    snapshot.trust_score = trust_score.and_then(|score| u8::try_from(score).ok());
    snapshot.keys = keys::of_agent(db, organization, agent)?
        .iter()
        .map(keys::KeyRow::fact)
        .collect();
    snapshot.grants = grants::live_of_agent(db, organization, agent, now)?
        .iter()
        .map(grants::GrantRow::to_grant)
        .collect::<Result<_>>()?;
    snapshot.policies = policies::all(db, organization)?
        .iter()
        .map(policies::PolicyRow::to_policy)
        .collect::<Result<_>>()?;
    let restrictions = policies::restrictions(db, organization, agent, now)?;
    snapshot.policies.extend(restrictions);
    let snapshot = snapshot.canonical();
    let body = canonical_bytes(&snapshot);
    let registered: Vec<String> = snapshot
        .grants
        .iter()
        .filter(|grant| grant.effect != Effect::Deny)
        .map(|grant| grant.capability.to_string())
        .collect();
    let rated = snapshot
        .grants
        .iter()
        .filter_map(|grant| grant.scope.rate_limit.map(|limit| (grant.id, limit)))
        .collect();
    Ok(LiveSnapshot {
        epochs,
        agent_name,
        digest: sha256(&body),
        body_length: body.len(),
        rated,
        registered: Json::of(&registered),
        snapshot,
        noted: AtomicI64::new(i64::MIN),
        last_uses: Mutex::new(HashMap::new()),
    })
}

/// The snapshot as it is now, past the cache: for reviews.
pub(super) fn fresh(
    db: &mut Db,
    organization: OrganizationId,
    agent: AgentId,
    now: Timestamp,
) -> Result<LiveSnapshot> {
    load(db, organization, agent, (0, 0), now)
}

/// A grant's id from a verdict.
pub(super) fn grant_id(id: Uuid) -> GrantId {
    GrantId::from_uuid(id)
}
