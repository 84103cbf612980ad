//! Rows that a test needs before it begins.

use std::sync::Arc;

use aim_core::{AgentId, Ctx, Id, Json, ManualClock, OrganizationId, Timestamp};
use aim_crypto::{keys::SigningKey, token::TokenPepper};
use aim_platform::{Kernel, PlatformConfig};
use aim_store::{
    Scope, Store, diesel, each,
    schema::{agent_keys, agents, organizations},
};
use diesel::{ExpressionMethods, RunQueryDsl};
use serde_json::json;

/// The moment at which [`kernel`]'s clock stands.
#[must_use]
pub fn start() -> Timestamp {
    crate::database::first_moment()
}

/// A kernel on `store` whose clock stands still.
#[must_use]
pub fn kernel(store: &Store) -> (Kernel, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(start()));
    let kernel = Kernel {
        store: store.clone(),
        clock: Arc::clone(&clock) as Arc<dyn aim_core::Clock>,
        config: Arc::new(PlatformConfig::default()),
        pepper: Arc::new(TokenPepper::from_bytes([7; 32])),
        node: "test-node".into(),
        stopping: aim_platform::Stopping::default(),
        refusals: aim_platform::Refusals::default(),
    };
    (kernel, clock)
}

/// An organisation.
#[derive(Debug, Clone, Copy)]
pub struct Seeded {
    /// Its id.
    pub organization: OrganizationId,
}

impl Seeded {
    /// A context of the operator in this organisation.
    #[must_use]
    pub fn ctx(&self, now: Timestamp) -> Ctx {
        Ctx::system("test", self.organization, now)
    }
}

/// An agent with its private key.
#[derive(Debug)]
pub struct SeededAgent {
    /// Its id.
    pub id: AgentId,
    /// Its key.
    pub key: SigningKey,
}

/// Puts an organisation into the tables.
pub async fn seed_organization(store: &Store) -> Seeded {
    let organization: OrganizationId = Id::generate(start());
    store
        .write(Scope::Installation, move |db| {
            each!(db, c => diesel::insert_into(organizations::table)
                .values((
                    organizations::id.eq(organization),
                    organizations::name.eq("Test organisation"),
                    organizations::created_at.eq(start()),
                ))
                .execute(c))?;
            Ok(())
        })
        .await
        .expect("an organisation");
    Seeded { organization }
}

/// Puts an active agent with one key, valid for a year, into the tables.
pub async fn seed_agent(store: &Store, organization: OrganizationId, name: &str) -> SeededAgent {
    let key = SigningKey::generate().expect("randomness");
    let public = key.public();
    let id: AgentId = Id::generate(start());
    let name = name.to_owned();
    store
        .write(Scope::Installation, move |db| {
            each!(db, c => {
                diesel::insert_into(agents::table)
                    .values((
                        agents::org_id.eq(organization),
                        agents::id.eq(id),
                        agents::name.eq(&name),
                        agents::display_name.eq(&name),
                        agents::description.eq(""),
                        agents::agent_type.eq("ai_agent"),
                        agents::version.eq("1"),
                        agents::status.eq("active"),
                        agents::tags.eq(Json(json!([]))),
                        agents::talks_to.eq(Json(json!([]))),
                        agents::created_by.eq("system:test"),
                        agents::created_at.eq(start()),
                        agents::updated_at.eq(start()),
                    ))
                    .execute(c)?;
                diesel::insert_into(agent_keys::table)
                    .values((
                        agent_keys::org_id.eq(organization),
                        agent_keys::agent_id.eq(id),
                        agent_keys::fingerprint.eq(public.fingerprint().to_string()),
                        agent_keys::public_key.eq(public.as_bytes().as_slice()),
                        agent_keys::sequence.eq(1),
                        agent_keys::created_at.eq(start()),
                        agent_keys::expires_at.eq(start() + chrono_days(365)),
                        agent_keys::created_by.eq("system:test"),
                        agent_keys::created_reason.eq("registered"),
                        agent_keys::generated_by.eq("client"),
                    ))
                    .execute(c)
            })?;
            Ok(())
        })
        .await
        .expect("an agent");
    SeededAgent { id, key }
}

fn chrono_days(days: i64) -> chrono::TimeDelta {
    chrono::TimeDelta::days(days)
}
