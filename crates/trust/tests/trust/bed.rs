//! A fresh database with an organisation, a clock that stands, and facts put straight into the tables.

use std::sync::Arc;

use aim_core::{Actor, AgentId, ApiKeyId, Clock, Ctx, Json, ManualClock, OrganizationId, Role, Timestamp};
use aim_platform::{FollowRunner, Kernel, Module};
use aim_store::{
    Scope,
    diesel::{ExpressionMethods, QueryDsl, RunQueryDsl},
    each,
    schema::{agent_activity, agent_keys, agents, violation_counts},
};
use aim_testkit::{TestDatabase, databases, kernel, seed_agent, seed_organization};
use aim_trust::{Trust, TrustService, gather::day_of, recompute, store};
use chrono::{DurationRound, TimeDelta};
use serde_json::json;

/// A database with trust on it.
pub(crate) struct Bed {
    pub(crate) kernel: Kernel,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) trust: TrustService,
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
                trust: TrustService::new(&kernel),
                organization: seed_organization(&database.store).await.organization,
                other_organization: seed_organization(&database.store).await.organization,
                kernel,
                clock,
                database,
            });
        }
        beds
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn pass(&self, time: TimeDelta) {
        self.clock.set(self.now() + time);
    }

    /// An active agent with a key, marked to be computed.
    pub(crate) async fn agent(&self, name: &str) -> AgentId {
        self.agent_of(self.organization, name).await
    }

    pub(crate) async fn agent_of(&self, organization: OrganizationId, name: &str) -> AgentId {
        let agent = seed_agent(&self.database.store, organization, name).await.id;
        self.mark(organization, agent).await;
        agent
    }

    pub(crate) async fn mark(&self, organization: OrganizationId, agent: AgentId) {
        let now = self.now();
        self.kernel
            .store
            .write(organization, move |db| {
                store::mark(db, &[(organization, agent, now)])
            })
            .await
            .unwrap();
    }

    /// Decided actions in this hour, as the follower of the activity counts them.
    pub(crate) async fn decided(&self, agent: AgentId, approved: i64, denied: i64) {
        let organization = self.organization;
        let hour = Timestamp::new(self.now().duration_trunc(TimeDelta::hours(1)).unwrap());
        self.kernel
            .store
            .write(organization, move |db| {
                each!(db, c => diesel::insert_into(agent_activity::table)
                    .values((
                        agent_activity::org_id.eq(organization),
                        agent_activity::agent_id.eq(agent),
                        agent_activity::hour.eq(hour),
                        agent_activity::approved.eq(approved),
                        agent_activity::denied.eq(denied),
                        agent_activity::pending.eq(0),
                        agent_activity::refused.eq(0),
                    ))
                    .on_conflict((agent_activity::org_id, agent_activity::agent_id, agent_activity::hour))
                    .do_update()
                    .set((
                        agent_activity::approved.eq(agent_activity::approved + approved),
                        agent_activity::denied.eq(agent_activity::denied + denied),
                    ))
                    .execute(c))?;
                Ok(())
            })
            .await
            .unwrap();
    }

    /// Violations of today.
    pub(crate) async fn violated(&self, agent: AgentId, severity: &'static str, times: i64) {
        let organization = self.organization;
        let day = day_of(self.now());
        self.kernel
            .store
            .write(organization, move |db| {
                each!(db, c => diesel::insert_into(violation_counts::table)
                    .values((
                        violation_counts::org_id.eq(organization),
                        violation_counts::agent_id.eq(agent),
                        violation_counts::granularity.eq("d"),
                        violation_counts::bucket.eq(day),
                        violation_counts::severity.eq(severity),
                        violation_counts::attempted_capability.eq(""),
                        violation_counts::is_blocked.eq(true),
                        violation_counts::count.eq(times),
                    ))
                    .execute(c))?;
                Ok(())
            })
            .await
            .unwrap();
    }

    pub(crate) async fn set_type_and_tag(&self, agent: AgentId, agent_type: &'static str, tag: &'static str) {
        let organization = self.organization;
        self.kernel
            .store
            .write(organization, move |db| {
                each!(db, c => diesel::update(agents::table.find((organization, agent)))
                    .set((agents::agent_type.eq(agent_type), agents::tags.eq(Json(json!([tag])))))
                    .execute(c))?;
                Ok(())
            })
            .await
            .unwrap();
    }

    pub(crate) async fn key_expires(&self, agent: AgentId, at: Timestamp) {
        self.kernel
            .store
            .write(self.organization, move |db| {
                each!(db, c => diesel::update(agent_keys::table.filter(agent_keys::agent_id.eq(agent)))
                    .set(agent_keys::expires_at.eq(at))
                    .execute(c))?;
                Ok(())
            })
            .await
            .unwrap();
    }

    /// Marks the agent, and computes what is due.
    pub(crate) async fn recompute(&self, agent: AgentId) {
        self.mark(self.organization, agent).await;
        self.run().await;
    }

    /// What the job does at this moment.
    pub(crate) async fn run(&self) -> usize {
        recompute::run(&self.kernel, self.now(), 10_000).await.unwrap()
    }

    /// Reads the log to its end, as a new follower of this node.
    pub(crate) async fn follow(&self) {
        let runner = FollowRunner::new(self.kernel.clone(), Trust::new(&self.kernel).followers());
        runner.prepare().await.unwrap();
        runner.catch_up().await.unwrap();
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

    /// What decide() reads: the score, the epoch and the status.
    pub(crate) async fn published(&self, agent: AgentId) -> (Option<i64>, i64, String) {
        self.kernel
            .store
            .read(Scope::Installation, move |db| {
                Ok(each!(db, c => agents::table
                    .filter(agents::id.eq(agent))
                    .select((agents::trust_score, agents::epoch, agents::status))
                    .first(c))?)
            })
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
}
