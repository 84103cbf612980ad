//! A fresh database with both editions' tables, an organisation, an agent that may read `payments/*`, and a vault.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use aim_core::{
    Actor, AgentCredential, ApiKeyId, Code, Ctx, DecisionId, Error, GrantId, Id, Json, ManualClock,
    OrganizationId, Role,
};
use aim_crypto::sealing::{RecipientKey, Sealed, SecretInfo, open};
use aim_platform::Kernel;
use aim_premium::{
    PREMIUM_MIGRATIONS,
    vault::{
        VaultService,
        model::{PutSecret, SecretView, VersionState},
        path::SecretPath,
        reads::{ReadReply, ReadRequest},
    },
};
use aim_store::{
    COMMUNITY_MIGRATIONS, Scope,
    diesel::{ExpressionMethods, QueryDsl, RunQueryDsl},
    each,
    schema::{agents, grants, organizations},
};
use aim_testkit::{SeededAgent, TestDatabase, kernel, seed_agent, seed_organization};
use aim_violations::VerificationService;
use serde_json::{Value, json};

pub(crate) struct Bed {
    pub(crate) database: TestDatabase,
    pub(crate) kernel: Kernel,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) vault: VaultService,
    pub(crate) organization: OrganizationId,
    pub(crate) agent: SeededAgent,
}

impl Bed {
    pub(crate) async fn all() -> Vec<Self> {
        let editions = || vec![COMMUNITY_MIGRATIONS, PREMIUM_MIGRATIONS];
        let mut beds = vec![Self::on(TestDatabase::sqlite(editions()).await).await];
        if let Some(database) = TestDatabase::postgres(editions()).await {
            beds.push(Self::on(database).await);
        }
        beds
    }

    async fn on(database: TestDatabase) -> Self {
        let (mut kernel, clock) = kernel(&database.store);
        Arc::make_mut(&mut kernel.config).vault_key_file = Some(database.folder().join("vault.key"));
        let organization = seed_organization(&database.store).await.organization;
        let agent = seed_agent(&database.store, organization, "payer").await;
        let bed = Self {
            vault: VaultService::new(&kernel, VerificationService::new(&kernel)),
            database,
            kernel,
            clock,
            organization,
            agent,
        };
        bed.grant("allow", "payments/**").await;
        bed
    }

    /// The bed of another process, as far as it can be had from there.
    pub(crate) async fn at(url: &str, key_file: &Path, organization: OrganizationId) -> Self {
        let database = TestDatabase::existing(url).await;
        let (mut kernel, clock) = kernel(&database.store);
        Arc::make_mut(&mut kernel.config).vault_key_file = Some(key_file.to_owned());
        Self {
            vault: VaultService::new(&kernel, VerificationService::new(&kernel)),
            database,
            kernel,
            clock,
            organization,
            agent: crate::crash::nobody(),
        }
    }

    /// A vault that knows nothing yet, as after a start.
    pub(crate) fn restarted(&self) -> VaultService {
        VaultService::new(&self.kernel, VerificationService::new(&self.kernel))
    }

    /// An organisation that came later.
    pub(crate) async fn another_organization(&self) -> OrganizationId {
        let other = seed_organization(&self.database.store).await.organization;
        let later = self.kernel.now() + chrono::TimeDelta::seconds(1);
        let store = &self.database.store;
        let moved = store.write(Scope::Installation, move |db| {
            each!(db, c => diesel::update(organizations::table.find(other))
                .set(organizations::created_at.eq(later))
                .execute(c))?;
            Ok(())
        });
        moved.await.unwrap();
        other
    }

    pub(crate) fn key_file(&self) -> PathBuf {
        self.database.folder().join("vault.key")
    }

    pub(crate) fn as_role(&self, role: Role) -> Ctx {
        self.as_role_of(self.organization, role)
    }

    pub(crate) fn as_role_of(&self, organization: OrganizationId, role: Role) -> Ctx {
        let mut ctx = Ctx::system("test", organization, self.kernel.now());
        ctx.actor = Actor::ApiKey {
            id: ApiKeyId::generate(self.kernel.now()),
            role,
        };
        ctx
    }

    pub(crate) fn manager(&self) -> Ctx {
        self.as_role(Role::Manager)
    }

    pub(crate) fn as_agent(&self) -> Ctx {
        self.as_agent_of(self.organization, &self.agent)
    }

    pub(crate) fn as_agent_of(&self, organization: OrganizationId, agent: &SeededAgent) -> Ctx {
        let mut ctx = Ctx::system("test", organization, self.kernel.now());
        let fingerprint = agent.key.public().fingerprint().to_string();
        ctx.actor = Actor::Agent {
            id: agent.id,
            credential: AgentCredential::Key { fingerprint },
        };
        ctx
    }

    /// Lets the agent read what the pattern covers, or not.
    pub(crate) async fn grant(&self, effect: &'static str, resources: &'static str) {
        self.grant_to(self.organization, &self.agent, effect, resources)
            .await;
    }

    pub(crate) async fn grant_to(
        &self,
        organization: OrganizationId,
        agent: &SeededAgent,
        effect: &'static str,
        resources: &'static str,
    ) {
        self.grant_action(organization, agent, "secret:read", effect, &[resources])
            .await;
    }

    /// Lets an agent use a capability on what the patterns cover, or not.
    pub(crate) async fn grant_action(
        &self,
        organization: OrganizationId,
        agent: &SeededAgent,
        capability: &'static str,
        effect: &'static str,
        resources: &[&str],
    ) {
        let scope = match resources {
            [] => json!({}),
            resources => json!({"resources": resources}),
        };
        let (now, agent, id) = (self.kernel.now(), agent.id, GrantId::generate(self.kernel.now()));
        self.kernel
            .store
            .write(organization, move |db| {
                each!(db, c => {
                    diesel::insert_into(grants::table)
                        .values((
                            grants::org_id.eq(organization),
                            grants::id.eq(id),
                            grants::agent_id.eq(agent),
                            grants::capability.eq(capability),
                            grants::effect.eq(effect),
                            grants::scope.eq(Json(scope.clone())),
                            grants::reason.eq(""),
                            grants::granted_by.eq("system:test"),
                            grants::granted_at.eq(now),
                        ))
                        .execute(c)?;
                    diesel::update(agents::table.find((organization, agent)))
                        .set(agents::epoch.eq(agents::epoch + 1))
                        .execute(c)
                })?;
                Ok(())
            })
            .await
            .unwrap();
    }

    /// Writes an API key at `path`.
    pub(crate) async fn put(&self, path: &str, value: &str) -> SecretView {
        self.try_put(path, wish(value)).await.unwrap()
    }

    pub(crate) async fn try_put(&self, path: &str, wish: PutSecret) -> Result<SecretView, Error> {
        self.vault.put(&self.manager(), at(path), wish).await
    }

    pub(crate) async fn destroy(&self, path: &str, version: i64) -> Result<SecretView, Error> {
        self.vault.destroy(&self.manager(), at(path), version).await
    }

    /// Reads as the agent, and opens what comes.
    pub(crate) async fn read(&self, path: &str) -> Result<Read, Error> {
        self.read_version(path, None).await
    }

    pub(crate) async fn read_version(&self, path: &str, version: Option<i64>) -> Result<Read, Error> {
        self.read_by(&self.vault, &self.as_agent(), path, version).await
    }

    pub(crate) async fn read_by(
        &self,
        vault: &VaultService,
        agent: &Ctx,
        path: &str,
        version: Option<i64>,
    ) -> Result<Read, Error> {
        let key = RecipientKey::generate().unwrap();
        let request = ReadRequest {
            path: path.to_owned(),
            version,
            seal_to: key.public_text(),
            context: serde_json::Map::new(),
            decision_id: None,
        };
        let reply = vault.read(agent, None, "rfc9421", request).await?;
        let opened = opened(agent, &reply, &key);
        Ok(Read { reply, opened })
    }

    /// Takes up a read that was approved.
    pub(crate) async fn take_up(
        &self,
        path: &str,
        version: Option<i64>,
        id: DecisionId,
    ) -> Result<Read, Error> {
        let key = RecipientKey::generate().unwrap();
        let request = ReadRequest {
            path: path.to_owned(),
            version,
            seal_to: key.public_text(),
            context: serde_json::Map::new(),
            decision_id: Some(id),
        };
        let agent = self.as_agent();
        let reply = self.vault.read(&agent, None, "rfc9421", request).await?;
        let opened = opened(&agent, &reply, &key);
        Ok(Read { reply, opened })
    }

    /// Answers a pending decision as a manager.
    pub(crate) async fn review(&self, id: DecisionId, approve: bool) {
        let verifications = VerificationService::new(&self.kernel);
        let mut ctx = self.manager();
        ctx.actor = Actor::User {
            id: Id::generate(ctx.now),
            role: Role::Manager,
            session: Id::generate(ctx.now),
        };
        let digest = verifications.get(&ctx, id).await.unwrap().request_digest;
        let review = serde_json::from_value(json!({"digest": digest})).unwrap();
        verifications.review(&ctx, id, approve, review).await.unwrap();
    }

    pub(crate) async fn audited(&self) -> Vec<String> {
        let filter = aim_audit::Filter {
            kind: Some("event".to_owned()),
            ..Default::default()
        };
        let organization = self.organization;
        let records = self
            .kernel
            .store
            .read(Scope::Installation, move |db| {
                aim_audit::page(db, organization, &filter, 100)
            })
            .await
            .unwrap();
        records.into_iter().rev().map(|record| record.action).collect()
    }
}

/// What a read came to.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) reply: ReadReply,
    /// The plaintext, if there was something to open.
    pub(crate) opened: Option<Value>,
}

impl Read {
    pub(crate) fn value(&self) -> &str {
        self.opened.as_ref().unwrap()["fields"]["value"].as_str().unwrap()
    }
}

fn opened(agent: &Ctx, reply: &ReadReply, key: &RecipientKey) -> Option<Value> {
    let (secret, sealed) = (reply.secret.as_ref()?, reply.sealed.as_ref()?);
    let sealed: Sealed = serde_json::from_value(serde_json::to_value(sealed).unwrap()).unwrap();
    let info = SecretInfo {
        organization: &agent.organization.to_string(),
        agent: &reply.decision.agent_id.to_string(),
        decision: &reply.decision.id.to_string(),
        path: &secret.path,
        version: secret.version,
    };
    let plaintext = open(key, &info.bytes(), &sealed).unwrap();
    Some(serde_json::from_slice(&plaintext).unwrap())
}

pub(crate) fn at(path: &str) -> SecretPath {
    SecretPath::parse(path).unwrap()
}

pub(crate) fn wish(value: &str) -> PutSecret {
    wish_of(json!({"kind": "api_key", "fields": {"value": value}}))
}

pub(crate) fn wish_of(body: Value) -> PutSecret {
    serde_json::from_value(body).unwrap()
}

pub(crate) fn states(view: &SecretView) -> Vec<(i64, VersionState)> {
    view.versions
        .iter()
        .map(|version| (version.version, version.state))
        .collect()
}

/// The code and the field of a refusal.
pub(crate) fn refused<T: std::fmt::Debug>(result: Result<T, Error>) -> (Code, String) {
    let error = result.unwrap_err();
    (error.code, error.field.unwrap_or_default())
}
