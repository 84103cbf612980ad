//! Which key belongs to which agent: what authentication needs at every request.
//!
//! Only facts that never change are remembered (a key belongs to one agent of one tenant for ever), so
//! nodes need not tell each other anything. Absence is never remembered. Whether a key or its agent is
//! still good is decided from fresh rows, elsewhere.

use std::sync::Arc;

use aim_core::{AgentId, Error, OrganizationId, Result};
use aim_crypto::keys::{Fingerprint, PublicKey};
use aim_key_vault::store::KeyRow;
use aim_platform::Kernel;
use aim_store::{Scope, Store, each, schema::agent_keys};
use diesel::{ExpressionMethods, QueryDsl, RunQueryDsl, SelectableHelper};
use moka::sync::Cache;

/// How many keys, and how many agents, are remembered.
const REMEMBERED: u64 = 100_000;

/// A registered key and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownKey {
    /// The tenant.
    pub organization: OrganizationId,
    /// The agent.
    pub agent: AgentId,
    /// The key's name.
    pub fingerprint: Fingerprint,
    /// The key, ready to verify.
    pub public_key: PublicKey,
}

/// An agent with every key that it ever had, the oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownAgent {
    /// The tenant.
    pub organization: OrganizationId,
    /// The agent.
    pub agent: AgentId,
    /// Its keys; later ones may be missing: see [`AgentDirectory::reloaded`].
    pub keys: Vec<Arc<KnownKey>>,
}

impl KnownAgent {
    /// The agent's key with these bytes.
    #[must_use]
    pub fn key(&self, public_key: &PublicKey) -> Option<&Arc<KnownKey>> {
        self.keys.iter().find(|known| known.public_key == *public_key)
    }
}

/// The directory. Cloning shares what it remembers.
#[derive(Clone)]
pub struct AgentDirectory {
    store: Store,
    keys: Cache<String, Arc<KnownKey>>,
    agents: Cache<AgentId, Arc<KnownAgent>>,
}

impl AgentDirectory {
    /// An empty directory on the kernel's store.
    #[must_use]
    pub fn new(kernel: &Kernel) -> Self {
        Self {
            store: kernel.store.clone(),
            keys: Cache::new(REMEMBERED),
            agents: Cache::new(REMEMBERED),
        }
    }

    /// The key with this fingerprint, in whichever organisation; `None` when nobody registered it.
    ///
    /// # Errors
    /// The database's; `server.internal` when the stored key is damaged.
    pub async fn by_fingerprint(&self, fingerprint: &str) -> Result<Option<Arc<KnownKey>>> {
        if let Some(known) = self.keys.get(fingerprint) {
            return Ok(Some(known));
        }
        // What cannot be a fingerprint is not worth a query.
        if Fingerprint::parse(fingerprint).is_err() {
            return Ok(None);
        }
        let name = fingerprint.to_owned();
        let row = self
            .store
            .read(Scope::Installation, move |db| {
                aim_key_vault::store::by_fingerprint(db, &name)
            })
            .await?;
        row.map(|row| self.remember(&row)).transpose()
    }

    /// The agent with this id, in whichever organisation; `None` when it never had a key.
    ///
    /// # Errors
    /// As [`Self::by_fingerprint`].
    pub async fn by_agent(&self, agent: AgentId) -> Result<Option<Arc<KnownAgent>>> {
        match self.agents.get(&agent) {
            Some(known) => Ok(Some(known)),
            None => self.reloaded(agent).await,
        }
    }

    /// As [`Self::by_agent`], read anew: for a key that is not among those remembered, since it may
    /// have been brought meanwhile, through any node.
    ///
    /// # Errors
    /// As [`Self::by_fingerprint`].
    pub async fn reloaded(&self, agent: AgentId) -> Result<Option<Arc<KnownAgent>>> {
        let rows: Vec<KeyRow> = self
            .store
            .read(Scope::Installation, move |db| {
                Ok(each!(db, c => agent_keys::table
                    .filter(agent_keys::agent_id.eq(agent))
                    .order(agent_keys::sequence)
                    .select(KeyRow::as_select())
                    .load(c))?)
            })
            .await?;
        let Some(organization) = rows.first().map(|row| row.org_id) else {
            return Ok(None);
        };
        let keys = rows.iter().map(|row| self.remember(row)).collect::<Result<_>>()?;
        let known = Arc::new(KnownAgent {
            organization,
            agent,
            keys,
        });
        self.agents.insert(agent, Arc::clone(&known));
        Ok(Some(known))
    }

    fn remember(&self, row: &KeyRow) -> Result<Arc<KnownKey>> {
        let public_key = row.public_key().map_err(Error::internal)?;
        let known = Arc::new(KnownKey {
            organization: row.org_id,
            agent: row.agent_id,
            fingerprint: public_key.fingerprint(),
            public_key,
        });
        self.keys.insert(row.fingerprint.clone(), Arc::clone(&known));
        Ok(known)
    }
}
