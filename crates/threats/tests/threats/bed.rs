//! A database with an organisation and an agent, whose actions are decided for real, and the follower.

use std::sync::Arc;

use aim_core::{
    Actor, AgentCredential, AgentId, ApiKeyId, Clock, Ctx, ManualClock, OrganizationId, Role, Timestamp,
};
use aim_platform::{FollowRunner, Kernel, Module, NonceClaim, Refusal};
use aim_store::{Scope, diesel, each, schema::agent_activity};
use aim_testkit::{SeededAgent, TestDatabase, databases, kernel, seed_agent, seed_organization};
use aim_threats::{
    ThreatService, Threats,
    model::{FindingQuery, FindingView, NewHoneytoken, PutHoneytokens, PutPolicies},
};
use aim_violations::{
    Violations,
    capabilities::NewGrant,
    verification::{ActionRequest, DecisionView},
};
use chrono::TimeDelta;
use diesel::{ExpressionMethods, RunQueryDsl};

pub(crate) const HOME: &str = "198.51.100.7";
pub(crate) const AWAY: &str = "203.0.113.9";

pub(crate) struct Bed {
    pub(crate) database: TestDatabase,
    pub(crate) kernel: Kernel,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) organization: OrganizationId,
    pub(crate) other_organization: OrganizationId,
    pub(crate) agent: SeededAgent,
    pub(crate) threats: Threats,
    violations: Violations,
    runner: FollowRunner,
}

impl Bed {
    /// One bed a database that is there; the agent may do `db:read`.
    pub(crate) async fn all() -> Vec<Self> {
        let mut beds = Vec::new();
        for database in databases().await {
            let (kernel, clock) = kernel(&database.store);
            let organization = seed_organization(&database.store).await.organization;
            let agent = seed_agent(&database.store, organization, "reader").await;
            let threats = Threats::new(&kernel);
            let runner = FollowRunner::new(kernel.clone(), threats.followers());
            runner.prepare().await.unwrap();
            let bed = Self {
                organization,
                other_organization: seed_organization(&database.store).await.organization,
                agent,
                violations: Violations::new(&kernel),
                threats,
                runner,
                kernel,
                clock,
                database,
            };
            bed.grant("db:read").await;
            beds.push(bed);
        }
        beds
    }

    pub(crate) fn service(&self) -> ThreatService {
        self.threats.service()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn people(&self, role: Role) -> Ctx {
        let mut ctx = Ctx::system("test", self.organization, self.now());
        ctx.actor = Actor::ApiKey {
            id: ApiKeyId::generate(ctx.now),
            role,
        };
        ctx
    }

    pub(crate) fn foreigner(&self) -> Ctx {
        Ctx {
            organization: self.other_organization,
            ..self.people(Role::Admin)
        }
    }

    pub(crate) async fn grant(&self, capability: &str) {
        let new = NewGrant {
            capability: capability.to_owned(),
            ..NewGrant::default()
        };
        let ctx = self.people(Role::Manager);
        self.violations
            .capabilities()
            .grant(&ctx, self.agent.id, new)
            .await
            .unwrap();
    }

    /// The agent asks for a capability from an address; it is decided for real.
    pub(crate) async fn asks(&self, capability: &str, source: &str) -> DecisionView {
        self.agent_asks(&self.agent, capability, source).await
    }

    pub(crate) async fn agent_asks(
        &self,
        agent: &SeededAgent,
        capability: &str,
        source: &str,
    ) -> DecisionView {
        let mut ctx = Ctx::system("test", self.organization, self.now());
        ctx.actor = Actor::Agent {
            id: agent.id,
            credential: AgentCredential::Key {
                fingerprint: agent.key.public().fingerprint().to_string(),
            },
        };
        ctx.source_ip = Some(source.to_owned());
        let mut digest = [0; 16];
        digest.copy_from_slice(uuid::Uuid::new_v4().as_bytes());
        let nonce = NonceClaim {
            organization: self.organization,
            digest,
            expires_at: ctx.now + TimeDelta::minutes(2),
        };
        let ask = ActionRequest {
            action: capability.to_owned(),
            resource: None,
            context: serde_json::Map::new(),
            approval_requested: false,
        };
        self.violations
            .verifications()
            .verify(&ctx, Some(nonce), "rfc9421", ask)
            .await
            .unwrap()
    }

    /// Somebody sends what is refused in the agent's name.
    pub(crate) async fn refused(&self, code: &'static str, source: &str) {
        let fingerprint = self.agent.key.public().fingerprint().to_string();
        let refusal = Refusal {
            organization: self.organization,
            agent: self.agent.id,
            fingerprint: Some(&fingerprint),
            code,
            scheme: "rfc9421",
            now: self.now(),
            source_ip: Some(source),
            asked: "POST /api/v1/verifications".to_owned(),
        };
        self.kernel.refusals.note(&self.kernel.store, refusal).await;
    }

    /// Hours of activity, as the monitoring of past weeks has counted them.
    pub(crate) async fn history(&self, agent: AgentId, hours: Vec<(Timestamp, i64)>) {
        let organization = self.organization;
        self.kernel
            .store
            .write(Scope::Installation, move |db| {
                for (hour, count) in &hours {
                    each!(db, c => diesel::insert_into(agent_activity::table)
                        .values((
                            agent_activity::org_id.eq(organization),
                            agent_activity::agent_id.eq(agent),
                            agent_activity::hour.eq(*hour),
                            agent_activity::approved.eq(*count),
                            agent_activity::denied.eq(0),
                            agent_activity::pending.eq(0),
                            agent_activity::refused.eq(0),
                        ))
                        .execute(c))?;
                }
                Ok(())
            })
            .await
            .unwrap();
    }

    pub(crate) fn pass(&self, delta: TimeDelta) {
        self.clock.advance(delta);
    }

    /// Lets the follower read to the end of the log.
    pub(crate) async fn follow(&self) {
        self.runner.catch_up().await.unwrap();
    }

    /// As after a restart: nothing is left in memory.
    pub(crate) async fn restart(&mut self) {
        self.threats = Threats::new(&self.kernel);
        self.runner = FollowRunner::new(self.kernel.clone(), self.threats.followers());
    }

    /// All findings after following, the newest first.
    pub(crate) async fn findings(&self) -> Vec<FindingView> {
        self.follow().await;
        let query = FindingQuery {
            limit: Some("100".to_owned()),
            ..FindingQuery::default()
        };
        let list = self
            .service()
            .list(&self.people(Role::Viewer), query.parse(&[]).unwrap())
            .await
            .unwrap();
        list.threats
    }

    /// The detectors of all findings, sorted.
    pub(crate) async fn found(&self) -> Vec<String> {
        let mut names: Vec<_> = self
            .findings()
            .await
            .into_iter()
            .map(|finding| finding.detector)
            .collect();
        names.sort_unstable();
        names
    }

    pub(crate) async fn set(&self, detector: &str, response: &str) {
        let put = PutPolicies {
            responses: [(detector.to_owned(), response.to_owned())].into(),
        };
        self.service()
            .put_policies(&self.people(Role::Admin), put)
            .await
            .unwrap();
    }

    /// Makes `vault:open` a honeytoken with this response.
    pub(crate) async fn bait(&self, response: &str) {
        let put = PutHoneytokens {
            honeytokens: vec![NewHoneytoken::Name("vault:open".to_owned())],
        };
        let admin = self.people(Role::Admin);
        self.service().put_honeytokens(&admin, put).await.unwrap();
        self.set("honeytoken", response).await;
    }

    pub(crate) async fn audited(&self, action: &str) -> i64 {
        self.database
            .count(&format!(
                "SELECT count(*) FROM audit_log WHERE action = '{action}'"
            ))
            .await
    }

    pub(crate) async fn count(&self, table: &str) -> i64 {
        self.database
            .count(&format!("SELECT count(*) FROM {table}"))
            .await
    }
}
