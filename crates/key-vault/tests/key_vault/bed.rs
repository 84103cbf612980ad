//! A fresh database with two organisations, a clock that stands, and callers as values.

use std::sync::Arc;

use aim_core::{
    Actor, AgentCredential, AgentId, ApiKeyId, Clock, Ctx, Json, ManualClock, OrganizationId, Role,
};
use aim_crypto::{
    keys::{PublicKey, SigningKey},
    possession::{Purpose, possession_message, rotation_message},
};
use aim_key_vault::{
    KeyVaultService,
    model::{KeyVaultView, ReplaceKey, RevokeKeys, RotateKey},
    store::{self, KeyRow, NewKey},
};
use aim_platform::Kernel;
use aim_store::{
    Scope,
    diesel::{ExpressionMethods, QueryDsl, RunQueryDsl},
    each,
    schema::agents,
};
use aim_testkit::{TestDatabase, databases, kernel, seed_organization};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::TimeDelta;

/// A database with the key vault on it.
pub(crate) struct Bed {
    pub(crate) kernel: Kernel,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) vault: KeyVaultService,
    pub(crate) organization: OrganizationId,
    pub(crate) other_organization: OrganizationId,
    _database: TestDatabase,
}

/// An agent whose private key the test has.
#[derive(Clone)]
pub(crate) struct Agent {
    pub(crate) id: AgentId,
    pub(crate) key: SigningKey,
}

impl Bed {
    /// One bed a database that is there.
    pub(crate) async fn all() -> Vec<Self> {
        let mut beds = Vec::new();
        for database in databases().await {
            let (kernel, clock) = kernel(&database.store);
            beds.push(Self {
                vault: KeyVaultService::new(&kernel),
                organization: seed_organization(&database.store).await.organization,
                other_organization: seed_organization(&database.store).await.organization,
                kernel,
                clock,
                _database: database,
            });
        }
        beds
    }

    /// An active agent with a first key, in the first organisation.
    pub(crate) async fn agent(&self, name: &str) -> Agent {
        self.agent_of(self.organization, name, TimeDelta::days(365)).await
    }

    pub(crate) async fn agent_of(
        &self,
        organization: OrganizationId,
        name: &str,
        key_lifetime: TimeDelta,
    ) -> Agent {
        let now = self.clock.now();
        let agent = Agent {
            id: AgentId::generate(now),
            key: fresh_key(),
        };
        let (id, name, key) = (agent.id, name.to_owned(), agent.key.public());
        self.kernel
            .store
            .write(organization, move |db| {
                each!(db, c => diesel::insert_into(agents::table)
                    .values((
                        agents::org_id.eq(organization),
                        agents::id.eq(id),
                        agents::name.eq(&name),
                        agents::display_name.eq(&name),
                        agents::description.eq(""),
                        agents::agent_type.eq("assistant"),
                        agents::version.eq("1"),
                        agents::status.eq("active"),
                        agents::tags.eq(Json::default()),
                        agents::talks_to.eq(Json::default()),
                        agents::created_by.eq("test"),
                        agents::created_at.eq(now),
                        agents::updated_at.eq(now),
                    ))
                    .execute(c))?;
                let new = NewKey {
                    organization,
                    agent: id,
                    public_key: &key,
                    created_at: now,
                    expires_at: now + key_lifetime,
                    created_by: "user:registrar".to_owned(),
                    reason: "registration",
                    generated_by: "client",
                };
                store::insert(db, &new).map(|_| ())
            })
            .await
            .unwrap();
        agent
    }

    pub(crate) async fn set_status(&self, agent: AgentId, status: &'static str) {
        self.kernel
            .store
            .write(Scope::Installation, move |db| {
                each!(db, c => diesel::update(agents::table.filter(agents::id.eq(agent)))
                    .set(agents::status.eq(status))
                    .execute(c))?;
                Ok(())
            })
            .await
            .unwrap();
    }

    pub(crate) async fn epoch(&self, agent: AgentId) -> i64 {
        self.kernel
            .store
            .read(Scope::Installation, move |db| {
                Ok(each!(db, c => agents::table.filter(agents::id.eq(agent)).select(agents::epoch).first(c))?)
            })
            .await
            .unwrap()
    }

    pub(crate) async fn keys(&self, agent: AgentId) -> Vec<KeyRow> {
        let organization = self.organization;
        self.kernel
            .store
            .read(organization, move |db| store::of_agent(db, organization, agent))
            .await
            .unwrap()
    }

    /// The actions of the organisation's audit log, oldest first.
    pub(crate) async fn audited(&self) -> Vec<String> {
        let organization = self.organization;
        let records = self
            .kernel
            .store
            .read(organization, move |db| {
                aim_audit::page(db, organization, &aim_audit::Filter::default(), 100)
            })
            .await
            .unwrap();
        records.into_iter().rev().map(|record| record.action).collect()
    }

    pub(crate) fn as_role(&self, role: Role) -> Ctx {
        let now = self.clock.now();
        let mut ctx = Ctx::system("test", self.organization, now);
        ctx.actor = Actor::ApiKey {
            id: ApiKeyId::generate(now),
            role,
        };
        ctx
    }

    pub(crate) fn as_agent(&self, agent: &Agent) -> Ctx {
        let mut ctx = Ctx::system("test", self.organization, self.clock.now());
        let fingerprint = agent.key.public().fingerprint().as_str().to_owned();
        ctx.actor = Actor::Agent {
            id: agent.id,
            credential: AgentCredential::Key { fingerprint },
        };
        ctx
    }

    /// A rotation of the agent's key to `new`, signed as it should be.
    pub(crate) async fn rotation_to(
        &self,
        agent: &Agent,
        new: &SigningKey,
        grace_hours: Option<i64>,
    ) -> RotateKey {
        let challenge = self
            .vault
            .challenge(&self.as_agent(agent), agent.id)
            .await
            .unwrap()
            .challenge;
        RotateKey {
            public_key: new.public().spki_base64(),
            proof: proof(new, &challenge),
            previous_signature: consent(&agent.key, agent.id, &challenge, &new.public()),
            challenge,
            reason: None,
            grace_hours,
        }
    }

    /// Rotates the agent's key and hands out the agent with its new one.
    pub(crate) async fn rotate(&self, agent: &Agent, grace_hours: Option<i64>) -> (Agent, KeyVaultView) {
        let key = fresh_key();
        let request = self.rotation_to(agent, &key, grace_hours).await;
        let view = self
            .vault
            .rotate(&self.as_agent(agent), agent.id, request)
            .await
            .unwrap();
        (Agent { id: agent.id, key }, view)
    }

    /// A replacement of the agent's key by `new`.
    pub(crate) async fn replacement_by(&self, agent: &Agent, new: &SigningKey) -> ReplaceKey {
        let challenge = self
            .vault
            .challenge(&self.as_role(Role::Manager), agent.id)
            .await
            .unwrap()
            .challenge;
        ReplaceKey {
            public_key: new.public().spki_base64(),
            proof: proof(new, &challenge),
            challenge,
            reason: "laptop stolen".to_owned(),
        }
    }
}

pub(crate) fn fresh_key() -> SigningKey {
    SigningKey::generate().unwrap()
}

pub(crate) fn proof(key: &SigningKey, challenge: &str) -> String {
    STANDARD.encode(key.sign(&possession_message(Purpose::Rotate, challenge, &key.public())))
}

pub(crate) fn consent(old: &SigningKey, agent: AgentId, challenge: &str, new: &PublicKey) -> String {
    STANDARD.encode(old.sign(&rotation_message(&agent.to_string(), challenge, new)))
}

pub(crate) fn revoke_all(reason: &str) -> RevokeKeys {
    RevokeKeys {
        fingerprint: None,
        reason: reason.to_owned(),
    }
}

pub(crate) fn fingerprint(key: &SigningKey) -> String {
    key.public().fingerprint().as_str().to_owned()
}
