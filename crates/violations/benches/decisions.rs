//! Durable decisions a second without HTTP and signatures: what the database and the batches allow.
//! `cargo bench -p aim-violations --bench decisions -- [callers] [agents] [seconds]`; on PostgreSQL too
//! where AIM_TEST_POSTGRES_URL names a server.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark prints, and fails loudly"
)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use aim_core::{Actor, AgentCredential, Json};
use aim_platform::NonceClaim;
use aim_store::{diesel, each, schema};
use aim_testkit::{databases, kernel, seed_agent, seed_organization, start};
use aim_violations::{VerificationService, verification::ActionRequest};
use diesel::{ExpressionMethods, RunQueryDsl};
use serde_json::json;

fn main() {
    let numbers: Vec<u64> = std::env::args()
        .skip(1)
        .filter_map(|text| text.parse().ok())
        .collect();
    let number = |at: usize, default| numbers.get(at).copied().unwrap_or(default);
    let (callers, agents, seconds) = (number(0, 64), number(1, 100), number(2, 5));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        for database in databases().await {
            let organization = seed_organization(&database.store).await;
            let mut seeded = Vec::new();
            for index in 0..agents {
                let agent = seed_agent(
                    &database.store,
                    organization.organization,
                    &format!("agent-{index}"),
                )
                .await;
                let (org, id) = (organization.organization, agent.id);
                let grant = organization.ctx(start()).new_id::<aim_core::id::GrantKind>();
                database
                    .store
                    .write(org, move |db| {
                        use schema::grants;
                        each!(db, c => diesel::insert_into(grants::table)
                            .values((
                                grants::org_id.eq(org),
                                grants::id.eq(grant),
                                grants::agent_id.eq(id),
                                grants::capability.eq("db:read"),
                                grants::effect.eq("allow"),
                                grants::scope.eq(Json(json!({"resources": ["customers/*"]}))),
                                grants::reason.eq(""),
                                grants::granted_by.eq("system:bench"),
                                grants::granted_at.eq(start()),
                            ))
                            .execute(c))?;
                        Ok(())
                    })
                    .await
                    .unwrap();
                seeded.push((id, agent.key.public().fingerprint().to_string()));
            }
            let service = VerificationService::new(&kernel(&database.store).0);
            let seeded = Arc::new(seeded);
            let done = Arc::new(AtomicU64::new(0));
            let end = Instant::now() + Duration::from_secs(seconds);
            let tasks: Vec<_> = (0..callers)
                .map(|caller| {
                    let (service, seeded, done) = (service.clone(), Arc::clone(&seeded), Arc::clone(&done));
                    tokio::spawn(async move {
                        let mut round = 0_u64;
                        while Instant::now() < end {
                            let (id, fingerprint) =
                                &seeded[usize::try_from((caller + round * callers) % agents).unwrap()];
                            let mut ctx = organization.ctx(start());
                            ctx.actor = Actor::Agent {
                                id: *id,
                                credential: AgentCredential::Key {
                                    fingerprint: fingerprint.clone(),
                                },
                            };
                            let nonce = NonceClaim {
                                organization: organization.organization,
                                digest: *uuid::Uuid::new_v4().as_bytes(),
                                expires_at: start(),
                            };
                            // One in ten is denied, as a busy fleet's are.
                            let name = if round.is_multiple_of(10) {
                                "db:write"
                            } else {
                                "db:read"
                            };
                            let action = ActionRequest {
                                action: name.to_owned(),
                                resource: Some("customers/42".to_owned()),
                                context: serde_json::Map::new(),
                                approval_requested: false,
                            };
                            service.verify(&ctx, Some(nonce), "bench", action).await.unwrap();
                            done.fetch_add(1, Ordering::Relaxed);
                            round += 1;
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            let rate = done.load(Ordering::Relaxed) / seconds;
            println!(
                "{}: {rate} durable decisions/s with {callers} callers and {agents} agents",
                database.kind
            );
        }
    });
}
