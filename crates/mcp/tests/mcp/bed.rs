//! A fresh database with two organisations, a clock that stands, and callers as values.

use std::sync::Arc;

use aim_core::{
    Actor, AgentCredential, AgentId, ApiKeyId, Code, Ctx, Error, ManualClock, OrganizationId, Role,
    SessionId, UserId,
};
use aim_mcp::{
    McpServers,
    connections::ServerIds,
    manifests::Manifest,
    servers::{McpServerId, NewServer, ServerView},
};
use aim_platform::Kernel;
use aim_store::{
    Scope,
    diesel::{ExpressionMethods, QueryDsl, RunQueryDsl},
    each,
    schema::agents,
};
use aim_testkit::{SeededAgent, TestDatabase, databases, kernel, seed_agent, seed_organization};
use serde_json::Value;

/// A database with the capability on it.
pub(crate) struct Bed {
    pub(crate) kernel: Kernel,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) mcp: McpServers,
    pub(crate) organization: OrganizationId,
    pub(crate) other_organization: OrganizationId,
    pub(crate) database: TestDatabase,
}

impl Bed {
    /// One bed a database that is there.
    pub(crate) async fn all() -> Vec<Self> {
        let mut beds = Vec::new();
        for database in databases().await {
            let (kernel, clock) = kernel(&database.store);
            beds.push(Self {
                mcp: McpServers::new(&kernel),
                organization: seed_organization(&database.store).await.organization,
                other_organization: seed_organization(&database.store).await.organization,
                kernel,
                clock,
                database,
            });
        }
        beds
    }

    pub(crate) async fn agent(&self, name: &str) -> SeededAgent {
        seed_agent(&self.database.store, self.organization, name).await
    }

    fn ctx(&self, organization: OrganizationId) -> Ctx {
        Ctx::system("test", organization, self.kernel.now())
    }

    /// A manager of the organisation.
    pub(crate) fn manager(&self) -> Ctx {
        let mut ctx = self.ctx(self.organization);
        ctx.actor = Actor::ApiKey {
            id: ApiKeyId::generate(ctx.now),
            role: Role::Manager,
        };
        ctx
    }

    /// The administrator of the other organisation.
    pub(crate) fn stranger(&self) -> Ctx {
        let mut ctx = self.ctx(self.other_organization);
        ctx.actor = Actor::User {
            id: UserId::generate(ctx.now),
            role: Role::Admin,
            session: SessionId::generate(ctx.now),
        };
        ctx
    }

    /// The agent, with its own key.
    pub(crate) fn signed_by(&self, agent: &SeededAgent) -> Ctx {
        let mut ctx = self.ctx(self.organization);
        ctx.actor = Actor::Agent {
            id: agent.id,
            credential: AgentCredential::Key {
                fingerprint: agent.key.public().fingerprint().to_string(),
            },
        };
        ctx
    }

    pub(crate) async fn server(&self, name: &str) -> ServerView {
        self.mcp
            .servers()
            .register(&self.manager(), new_server(name))
            .await
            .unwrap()
    }

    pub(crate) async fn seen(&self, server: McpServerId) -> ServerView {
        self.mcp.servers().get(&self.manager(), server).await.unwrap()
    }

    pub(crate) async fn connect(&self, agent: AgentId, servers: &[McpServerId]) {
        self.mcp
            .connections()
            .connect(&self.manager(), agent, ids(servers))
            .await
            .unwrap();
    }

    /// Reports a manifest, and answers its digest.
    pub(crate) async fn report(&self, server: McpServerId, value: Value) -> String {
        let recorded = self
            .mcp
            .manifests()
            .record(&self.manager(), server, manifest(value))
            .await;
        recorded.unwrap().digest
    }

    pub(crate) async fn talks_to(&self, agent: AgentId) -> Vec<String> {
        let names: aim_core::Json = self
            .kernel
            .store
            .read(Scope::Installation, move |db| {
                Ok(each!(db, c => agents::table
                    .filter(agents::id.eq(agent))
                    .select(agents::talks_to)
                    .first(c))?)
            })
            .await
            .unwrap();
        names.strings()
    }

    /// The organisation's audit records as `(action, facts)`, oldest first.
    pub(crate) async fn audited(&self) -> Vec<(String, Value)> {
        let organization = self.organization;
        let records = self
            .kernel
            .store
            .read(organization, move |db| {
                aim_audit::page(db, organization, &aim_audit::Filter::default(), 100)
            })
            .await
            .unwrap();
        records
            .into_iter()
            .rev()
            .map(|record| {
                let leaf: Value = serde_json::from_str(&record.leaf).unwrap();
                (record.action, leaf["facts"].clone())
            })
            .collect()
    }

    pub(crate) async fn actions(&self) -> Vec<String> {
        self.audited()
            .await
            .into_iter()
            .map(|(action, _)| action)
            .collect()
    }
}

pub(crate) fn new_server(name: &str) -> NewServer {
    NewServer {
        name: name.to_owned(),
        url: format!("https://{name}.example.com/mcp"),
        ..NewServer::default()
    }
}

pub(crate) fn ids(servers: &[McpServerId]) -> ServerIds {
    ServerIds {
        mcp_server_ids: servers.to_vec(),
    }
}

pub(crate) fn manifest(value: Value) -> Manifest {
    serde_json::from_value(value).unwrap()
}

/// The code and field of a refusal.
pub(crate) fn refusal<T: std::fmt::Debug>(result: Result<T, Error>) -> (Code, Option<String>) {
    let error = result.unwrap_err();
    (error.code, error.field)
}
