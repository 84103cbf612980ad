//! A database with two organisations, decisions in it, and a clock that stands.

use std::{sync::Arc, time::Duration};

use aim_compliance::{Compliance, retention::RetentionSettings};
use aim_core::{Actor, AgentCredential, AgentId, Clock, Ctx, Id, ManualClock, Role, Timestamp};
use aim_platform::Module;
use aim_store::Scope;
use aim_testkit::{Seeded, SeededAgent, TestDatabase, databases, kernel, seed_agent, seed_organization};
use aim_violations::{Violations, verification::ActionRequest};
use chrono::TimeDelta;
use serde_json::json;

/// A database with the capability on it.
pub(crate) struct Bed {
    pub(crate) database: TestDatabase,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) home: Seeded,
    pub(crate) elsewhere: Seeded,
    pub(crate) violations: Violations,
    pub(crate) compliance: Compliance,
}

/// Long enough for everything that a test leaves to be done.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3600);

impl Bed {
    /// One bed a database that is there.
    pub(crate) async fn all() -> Vec<Self> {
        let mut beds = Vec::new();
        for database in databases().await {
            let (kernel, clock) = kernel(&database.store);
            let violations = Violations::new(&kernel);
            beds.push(Self {
                home: seed_organization(&database.store).await,
                elsewhere: seed_organization(&database.store).await,
                compliance: Compliance::new(&kernel, violations.retained()),
                violations,
                clock,
                database,
            });
        }
        beds
    }

    pub(crate) async fn agent(&self, of: Seeded, name: &str) -> SeededAgent {
        seed_agent(&self.database.store, of.organization, name).await
    }

    /// Lets the agent ask `count` times for what it is not granted: decisions and violations.
    pub(crate) async fn denials(&self, of: Seeded, agent: &SeededAgent, count: usize) {
        for number in 0..count {
            let mut ctx = of.ctx(self.clock.now());
            let fingerprint = agent.key.public().fingerprint().to_string();
            ctx.actor = Actor::Agent {
                id: agent.id,
                credential: AgentCredential::Key { fingerprint },
            };
            ctx.source_ip = Some("192.0.2.7".to_owned());
            let context = json!({"patient": format!("name {number}")});
            let action = ActionRequest {
                action: "records:read".to_owned(),
                resource: Some(format!("patients/{number}")),
                context: context.as_object().unwrap().clone(),
                approval_requested: false,
            };
            let verifications = self.violations.verifications();
            verifications.verify(&ctx, None, "test", action).await.unwrap();
            self.clock.advance(TimeDelta::milliseconds(3));
        }
    }

    pub(crate) fn admin(&self, of: Seeded) -> Ctx {
        let now = self.clock.now();
        let mut ctx = of.ctx(now);
        ctx.actor = Actor::ApiKey {
            id: Id::generate(now),
            role: Role::Admin,
        };
        ctx
    }

    pub(crate) async fn keep(&self, of: Seeded, settings: RetentionSettings) {
        let retention = self.compliance.retention();
        retention.change(&self.admin(of), settings).await.unwrap();
    }

    pub(crate) async fn trim(&self) {
        let retention = self.compliance.retention();
        assert!(retention.trim(self.clock.now(), PATIENCE).await.unwrap());
    }

    pub(crate) async fn verify(&self) -> aim_audit::Report {
        self.database
            .store
            .read(Scope::Installation, |db| aim_audit::verify(db, None))
            .await
            .unwrap()
    }

    /// How many rows of the table there are of this agent.
    pub(crate) async fn rows(&self, table: &str, agent: AgentId, also: &str) -> i64 {
        let id = if self.database.kind == "postgres" {
            format!("'{agent}'")
        } else {
            format!("X'{}'", agent.uuid().simple())
        };
        let query = format!("SELECT COUNT(*) FROM {table} WHERE agent_id = {id} {also}");
        self.database.count(&query).await
    }

    pub(crate) fn days_later(&self, days: i64) -> Timestamp {
        self.clock.advance(TimeDelta::days(days));
        self.clock.now()
    }
}
