//! A fresh database with both editions' tables, an organisation, an agent and its grants.

use std::sync::Arc;

use aim_core::{
    Actor, AgentCredential, AgentId, ApiKeyId, Ctx, GrantId, Json, ManualClock, OrganizationId, Role,
    Timestamp,
};
use aim_platform::Kernel;
use aim_premium::{
    PREMIUM_MIGRATIONS,
    agent_api_keys::{AgentApiKeyAuthenticator, AgentApiKeyService, model::NewAgentApiKey},
};
use aim_store::{
    COMMUNITY_MIGRATIONS, Scope,
    diesel::{ExpressionMethods, QueryDsl, RunQueryDsl},
    each,
    schema::{agents, grants},
};
use aim_testkit::{SeededAgent, TestDatabase, kernel, seed_agent, seed_organization};
use serde_json::json;

pub(crate) struct Bed {
    pub(crate) database: TestDatabase,
    pub(crate) kernel: Kernel,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) keys: AgentApiKeyService,
    pub(crate) door: AgentApiKeyAuthenticator,
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
        let (kernel, clock) = kernel(&database.store);
        let organization = seed_organization(&database.store).await.organization;
        let agent = seed_agent(&database.store, organization, "reader").await;
        Self {
            keys: AgentApiKeyService::new(&kernel),
            door: AgentApiKeyAuthenticator::new(&kernel),
            database,
            kernel,
            clock,
            organization,
            agent,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.kernel.now()
    }

    pub(crate) fn as_role(&self, role: Role) -> Ctx {
        self.as_role_of(self.organization, role)
    }

    pub(crate) fn as_role_of(&self, organization: OrganizationId, role: Role) -> Ctx {
        let mut ctx = Ctx::system("test", organization, self.now());
        ctx.actor = Actor::ApiKey {
            id: ApiKeyId::generate(self.now()),
            role,
        };
        ctx
    }

    pub(crate) fn as_agent(&self) -> Ctx {
        let mut ctx = Ctx::system("test", self.organization, self.now());
        let fingerprint = self.agent.key.public().fingerprint().to_string();
        ctx.actor = Actor::Agent {
            id: self.agent.id,
            credential: AgentCredential::Key { fingerprint },
        };
        ctx
    }

    pub(crate) async fn grant(&self, capability: &str) -> GrantId {
        self.grant_to(self.agent.id, capability, "allow", None).await
    }

    pub(crate) async fn grant_to(
        &self,
        agent: AgentId,
        capability: &str,
        effect: &'static str,
        expires_at: Option<Timestamp>,
    ) -> GrantId {
        let (organization, now, id) = (self.organization, self.now(), GrantId::generate(self.now()));
        let capability = capability.to_owned();
        self.kernel
            .store
            .write(organization, move |db| {
                each!(db, c => {
                    diesel::insert_into(grants::table)
                        .values((
                            grants::org_id.eq(organization),
                            grants::id.eq(id),
                            grants::agent_id.eq(agent),
                            grants::capability.eq(&capability),
                            grants::effect.eq(effect),
                            grants::scope.eq(Json(json!({}))),
                            grants::reason.eq(""),
                            grants::granted_by.eq("system:test"),
                            grants::granted_at.eq(now),
                            grants::expires_at.eq(expires_at),
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
        id
    }

    pub(crate) async fn withdraw(&self, grant: GrantId) {
        let (organization, now, agent) = (self.organization, self.now(), self.agent.id);
        self.kernel
            .store
            .write(organization, move |db| {
                each!(db, c => {
                    diesel::update(grants::table.find((organization, grant)))
                        .set(grants::revoked_at.eq(Some(now)))
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

    pub(crate) async fn set_status(&self, status: &'static str) {
        let (organization, agent) = (self.organization, self.agent.id);
        self.kernel
            .store
            .write(organization, move |db| {
                each!(db, c => diesel::update(agents::table.find((organization, agent)))
                    .set((agents::status.eq(status), agents::epoch.eq(agents::epoch + 1)))
                    .execute(c))?;
                Ok(())
            })
            .await
            .unwrap();
    }

    /// Makes a key as a manager would, and answers its text.
    pub(crate) async fn key(&self, capabilities: &[&str]) -> String {
        self.key_of(wish(capabilities)).await
    }

    pub(crate) async fn key_of(&self, request: NewAgentApiKey) -> String {
        self.keys
            .create(&self.as_role(Role::Manager), self.agent.id, request)
            .await
            .unwrap()
            .api_key
    }

    /// The context of a request with this key.
    pub(crate) async fn with_key(&self, text: &str) -> aim_core::Result<Ctx> {
        self.with_key_from(text, None).await
    }

    pub(crate) async fn with_key_from(&self, text: &str, from: Option<&str>) -> aim_core::Result<Ctx> {
        let caller = self.door.authenticate_text(text, self.now(), from).await?;
        assert_eq!((caller.scheme, caller.nonce), ("agent_api_key", None));
        let mut ctx = Ctx::system("test", caller.organization, self.now());
        ctx.actor = caller.actor;
        Ok(ctx)
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

pub(crate) fn wish(capabilities: &[&str]) -> NewAgentApiKey {
    NewAgentApiKey {
        name: "nightly report".to_owned(),
        capabilities: capabilities.iter().map(|text| (*text).to_owned()).collect(),
        secret_paths: None,
        addresses: None,
        expires_at: None,
        expires_in_days: None,
    }
}
