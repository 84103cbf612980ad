//! A database of its own for each test, with two organisations that know nothing of each other.

use std::sync::Arc;

use aim_audit::{Details, Entry, Kind};
use aim_core::{
    Actor, AgentId, ApiKeyId, Ctx, Id, ManualClock, OrganizationId, Role, Timestamp, UserId, ctx::ActorRef,
};
use aim_monitoring::Monitoring;
use aim_platform::{FollowRunner, Kernel, Module};
use aim_store::{
    Scope, each,
    schema::{api_keys, users},
};
use aim_testkit::{TestDatabase, databases, kernel, seed_agent, seed_organization};
use diesel::{ExpressionMethods, RunQueryDsl};
use serde_json::{Value, json};

pub(crate) struct Bed {
    pub(crate) database: TestDatabase,
    pub(crate) kernel: Kernel,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) monitoring: Monitoring,
    pub(crate) home: OrganizationId,
    pub(crate) elsewhere: OrganizationId,
    pub(crate) agent: AgentId,
    pub(crate) stranger: AgentId,
    followers: FollowRunner,
}

/// Runs a test on each database there is.
pub(crate) async fn on_each<F: Future<Output = ()>>(test: impl Fn(Bed) -> F) {
    for database in databases().await {
        test(Bed::new(database).await).await;
    }
}

impl Bed {
    async fn new(database: TestDatabase) -> Self {
        let (kernel, clock) = kernel(&database.store);
        Self::on(database, kernel, clock).await
    }

    pub(crate) async fn on(database: TestDatabase, kernel: Kernel, clock: Arc<ManualClock>) -> Self {
        let home = seed_organization(&database.store).await.organization;
        let elsewhere = seed_organization(&database.store).await.organization;
        let agent = seed_agent(&database.store, home, "billing-bot").await.id;
        let stranger = seed_agent(&database.store, elsewhere, "stranger").await.id;
        let monitoring = Monitoring::new(&kernel);
        let followers = FollowRunner::new(kernel.clone(), monitoring.followers());
        followers.prepare().await.unwrap();
        Self {
            database,
            kernel,
            clock,
            monitoring,
            home,
            elsewhere,
            agent,
            stranger,
            followers,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.kernel.now()
    }

    /// A manager of the home organisation.
    pub(crate) fn manager(&self) -> Ctx {
        self.caller(self.home)
    }

    pub(crate) fn caller(&self, organization: OrganizationId) -> Ctx {
        let mut ctx = Ctx::system("test", organization, self.now());
        ctx.actor = Actor::ApiKey {
            id: Id::generate(self.now()),
            role: Role::Admin,
        };
        ctx
    }

    /// A caller with an organisation API key that is in the database.
    pub(crate) async fn key_holder(&self, organization: OrganizationId) -> Ctx {
        let id: ApiKeyId = Id::generate(self.now());
        let now = self.now();
        self.database
            .store
            .write(Scope::Installation, move |db| {
                each!(db, c => diesel::insert_into(api_keys::table)
                    .values((
                        api_keys::org_id.eq(organization),
                        api_keys::id.eq(id),
                        api_keys::name.eq(id.to_string()),
                        api_keys::role.eq("viewer"),
                        api_keys::prefix.eq("aim_live_x"),
                        api_keys::token_digest.eq(id.uuid().as_bytes().to_vec()),
                        api_keys::created_by.eq("system:test"),
                        api_keys::created_at.eq(now),
                    ))
                    .execute(c))?;
                Ok(())
            })
            .await
            .unwrap();
        let mut ctx = self.caller(organization);
        ctx.actor = Actor::ApiKey {
            id,
            role: Role::Viewer,
        };
        ctx
    }

    pub(crate) async fn user(&self, organization: OrganizationId, name: &str) -> UserId {
        let id: UserId = Id::generate(self.now());
        let (now, name) = (self.now(), name.to_owned());
        self.database
            .store
            .write(Scope::Installation, move |db| {
                each!(db, c => diesel::insert_into(users::table)
                    .values((
                        users::org_id.eq(organization),
                        users::id.eq(id),
                        users::email.eq(format!("{id}@example.com")),
                        users::name.eq(&name),
                        users::role.eq("manager"),
                        users::password_hash.eq("none"),
                        users::status.eq("active"),
                        users::created_at.eq(now),
                        users::updated_at.eq(now),
                    ))
                    .execute(c))?;
                Ok(())
            })
            .await
            .unwrap();
        id
    }

    /// Writes records into the log, in one transaction.
    pub(crate) async fn log(&self, entries: Vec<Entry>) {
        self.database
            .store
            .write(Scope::Installation, move |db| {
                aim_audit::append(db, entries.clone()).map(|_| ())
            })
            .await
            .unwrap();
    }

    /// A decision about an agent's request.
    pub(crate) fn decision(
        &self,
        organization: OrganizationId,
        agent: AgentId,
        outcome: &'static str,
    ) -> Entry {
        self.decision_with(organization, agent, outcome, json!({"capability": "db:read"}))
    }

    pub(crate) fn decision_with(
        &self,
        organization: OrganizationId,
        agent: AgentId,
        outcome: &'static str,
        facts: Value,
    ) -> Entry {
        Entry {
            organization,
            at: self.now(),
            kind: Kind::Decision,
            action: "action.decided",
            actor: ActorRef {
                kind: "agent".to_owned(),
                id: Some(agent.to_string()),
            },
            agent: Some(agent),
            target_kind: "decision",
            target_id: Some(Id::<()>::generate(self.now()).to_string()),
            outcome,
            facts,
            details: Details::None,
        }
    }

    /// An event about the home agent.
    pub(crate) fn event(&self, action: &'static str, facts: Value) -> Entry {
        Entry::event(&Ctx::system("test", self.home, self.now()), action)
            .agent(self.agent)
            .facts(facts)
    }

    /// Lets the followers read to the end of the log.
    pub(crate) async fn follow(&self) {
        self.followers.catch_up().await.unwrap();
    }
}
