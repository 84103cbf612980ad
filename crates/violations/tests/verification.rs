//! The verified action on real databases: evidence, replays, and changes that take effect at once.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::{sync::Arc, time::Duration};

use aim_core::{Actor, AgentCredential, Code, Ctx, Json, Timestamp};
use aim_decision::replay;
use aim_platform::NonceClaim;
use aim_store::{Scope, diesel, each, schema};
use aim_testkit::{
    Seeded, SeededAgent, TestDatabase, databases, kernel, seed_agent, seed_organization, start,
};
use aim_violations::{
    VerificationService,
    verification::{ActionRequest, ResultReport, ReviewRequest, model::DecisionFilter},
};
use chrono::TimeDelta;
use diesel::{ExpressionMethods, QueryDsl, RunQueryDsl};
use serde_json::{Value, json};

/// For what never comes if the code is wrong.
const PATIENCE: Duration = Duration::from_secs(60);

struct World {
    database: TestDatabase,
    organization: Seeded,
    agent: SeededAgent,
    service: VerificationService,
}

impl World {
    async fn on(database: TestDatabase) -> Self {
        let organization = seed_organization(&database.store).await;
        let agent = seed_agent(&database.store, organization.organization, "billing").await;
        let (kernel, _) = kernel(&database.store);
        let service = VerificationService::new(&kernel);
        Self {
            database,
            organization,
            agent,
            service,
        }
    }

    fn ctx(&self, now: Timestamp) -> Ctx {
        let fingerprint = self.agent.key.public().fingerprint().to_string();
        let mut ctx = self.organization.ctx(now);
        ctx.actor = Actor::Agent {
            id: self.agent.id,
            credential: AgentCredential::Key { fingerprint },
        };
        ctx.source_ip = Some("192.0.2.7".to_owned());
        ctx
    }

    fn manager(&self, now: Timestamp) -> Ctx {
        let mut ctx = self.organization.ctx(now);
        ctx.actor = Actor::ApiKey {
            id: ctx.new_id(),
            role: aim_core::Role::Manager,
        };
        ctx
    }

    fn nonce(&self, byte: u8) -> Option<NonceClaim> {
        let expires_at = start() + TimeDelta::seconds(90);
        Some(NonceClaim {
            organization: self.organization.organization,
            digest: [byte; 16],
            expires_at,
        })
    }

    async fn grant(&self, capability: &str, effect: &str, scope: Value) {
        let (organization, agent) = (self.organization.organization, self.agent.id);
        let (capability, effect) = (capability.to_owned(), effect.to_owned());
        let id = self.organization.ctx(start()).new_id::<aim_core::id::GrantKind>();
        let insert = move |db: &mut aim_store::Db| {
            use schema::{agents, grants};
            each!(db, c => {
                diesel::insert_into(grants::table)
                    .values((
                        grants::org_id.eq(organization),
                        grants::id.eq(id),
                        grants::agent_id.eq(agent),
                        grants::capability.eq(&capability),
                        grants::effect.eq(&effect),
                        grants::scope.eq(Json(scope.clone())),
                        grants::reason.eq(""),
                        grants::granted_by.eq("system:test"),
                        grants::granted_at.eq(start()),
                    ))
                    .execute(c)?;
                diesel::update(agents::table.find((organization, agent)))
                    .set(agents::epoch.eq(agents::epoch + 1))
                    .execute(c)
            })?;
            Ok(())
        };
        self.database.store.write(organization, insert).await.unwrap();
    }

    async fn suspend(&self) {
        let (organization, agent) = (self.organization.organization, self.agent.id);
        let update = move |db: &mut aim_store::Db| {
            use schema::agents;
            each!(db, c => diesel::update(agents::table.find((organization, agent)))
                .set((agents::status.eq("suspended"), agents::epoch.eq(agents::epoch + 1)))
                .execute(c))?;
            Ok(())
        };
        self.database.store.write(organization, update).await.unwrap();
    }

    async fn audit(&self) -> aim_audit::Report {
        self.database
            .store
            .read(Scope::Installation, |db| aim_audit::verify(db, None))
            .await
            .unwrap()
    }

    /// Five denied actions.
    async fn deny_five(&self) {
        for byte in 1..=5 {
            let ctx = self.ctx(start());
            self.service
                .verify(&ctx, self.nonce(byte), "rfc9421", action("db:delete", None))
                .await
                .unwrap();
        }
    }
}

fn action(name: &str, resource: Option<&str>) -> ActionRequest {
    ActionRequest {
        action: name.to_owned(),
        resource: resource.map(str::to_owned),
        context: serde_json::Map::new(),
        approval_requested: false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_action_leaves_evidence_that_replays() {
    for database in databases().await {
        let world = World::on(database).await;
        world
            .grant("db:read", "allow", json!({"resources": ["customers/*"]}))
            .await;
        let ctx = world.ctx(start());
        let ask = action("db:read", Some("customers/7"));
        let decision = world
            .service
            .verify(&ctx, world.nonce(1), "rfc9421", ask)
            .await
            .unwrap();
        assert_eq!(decision.status, "approved");
        assert_eq!(decision.reason_codes, ["granted"]);
        let evidence = world
            .service
            .evidence(&world.manager(start()), decision.id)
            .await
            .unwrap();
        let verdict = replay(
            evidence.snapshot.as_bytes(),
            evidence.inputs.as_bytes(),
            evidence.verdict.as_bytes(),
        );
        assert_eq!(verdict.unwrap().outcome.as_str(), "approved");
        let report = world.audit().await;
        assert!(report.intact, "{report:?}");
        assert_eq!(report.records, 1);
    }
}

/// So the workers of the HTTP server end when it stops: one of them before the others.
#[tokio::test(flavor = "multi_thread")]
async fn a_runtime_that_ends_takes_nobody_elses_decision_with_it() {
    for database in databases().await {
        let world = World::on(database).await;
        world.grant("db:read", "allow", json!({})).await;
        // As many as there may be batches at once.
        for byte in 1..=2 {
            let (service, ctx, nonce) = (world.service.clone(), world.ctx(start()), world.nonce(byte));
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(async {
                    let asked = service.verify(&ctx, nonce, "rfc9421", action("db:read", None));
                    // It does not stay for the answer.
                    tokio::select! { biased; _ = asked => {}, () = std::future::ready(()) => {} }
                });
            })
            .join()
            .unwrap();
        }
        let ctx = world.ctx(start());
        let other = world
            .service
            .verify(&ctx, world.nonce(3), "rfc9421", action("db:read", None));
        let decision = tokio::time::timeout(PATIENCE, other).await.unwrap().unwrap();
        assert_eq!(decision.status, "approved");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_action_is_a_violation_with_counts_and_a_group() {
    for database in databases().await {
        let world = World::on(database).await;
        world.grant("db:read", "allow", json!({})).await;
        for byte in 1..=3 {
            let ctx = world.ctx(start());
            let ask = action("db:delete", None);
            let decision = world
                .service
                .verify(&ctx, world.nonce(byte), "rfc9421", ask)
                .await
                .unwrap();
            assert_eq!(decision.status, "denied");
            assert_eq!(decision.reason_codes, ["capability.not_granted"]);
        }
        let count = async |query| world.database.count(query).await;
        assert_eq!(
            count("SELECT count(*) FROM violations WHERE severity = 'high'").await,
            3
        );
        assert_eq!(count("SELECT count FROM violation_groups").await, 3);
        assert!(count("SELECT count(*) FROM violation_counts WHERE count = 3").await > 0);
        assert_eq!(
            count("SELECT count(*) FROM violation_counts WHERE count <> 3").await,
            0
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_equal_requests_at_one_instant_on_two_nodes_exactly_one_passes() {
    for database in databases().await {
        let second = database.another_node().await;
        let world = World::on(database).await;
        world.grant("db:read", "allow", json!({})).await;
        let (other_kernel, _) = kernel(&second);
        let nodes = [
            Arc::new(world.service.clone()),
            Arc::new(VerificationService::new(&other_kernel)),
        ];
        let attempts = (0..64).map(|number| {
            let (service, ctx, nonce) = (Arc::clone(&nodes[number % 2]), world.ctx(start()), world.nonce(9));
            tokio::spawn(async move {
                service
                    .verify(&ctx, nonce, "rfc9421", action("db:read", None))
                    .await
            })
        });
        let mut passed = 0;
        for attempt in attempts.collect::<Vec<_>>() {
            match attempt.await.unwrap() {
                Ok(_) => passed += 1,
                Err(error) => assert_eq!(error.code, Code::SignatureReplayed),
            }
        }
        assert_eq!(passed, 1);
        assert_eq!(world.database.count("SELECT count(*) FROM decisions").await, 1);
        assert!(world.audit().await.intact);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspension_on_one_node_is_seen_by_the_next_request_on_another() {
    for database in databases().await {
        let second = database.another_node().await;
        let world = World::on(database).await;
        world.grant("db:read", "allow", json!({})).await;
        let other = VerificationService::new(&kernel(&second).0);
        let ctx = world.ctx(start());
        // Both nodes hold the agent in memory.
        for (byte, service) in [(1, &world.service), (2, &other)] {
            let ask = action("db:read", None);
            let decision = service
                .verify(&ctx, world.nonce(byte), "rfc9421", ask)
                .await
                .unwrap();
            assert_eq!(decision.status, "approved");
        }
        world.suspend().await;
        let ask = action("db:read", None);
        let decision = other.verify(&ctx, world.nonce(3), "rfc9421", ask).await.unwrap();
        assert_eq!(
            (decision.status.as_str(), decision.reason_codes[0].as_str()),
            ("denied", "agent.suspended")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_holds_across_nodes_and_within_a_batch() {
    for database in databases().await {
        let second = database.another_node().await;
        let world = World::on(database).await;
        world
            .grant(
                "mail:send",
                "allow",
                json!({"rate_limit": {"max": 5, "per_seconds": 3600}}),
            )
            .await;
        let (other_kernel, _) = kernel(&second);
        let nodes = [
            Arc::new(world.service.clone()),
            Arc::new(VerificationService::new(&other_kernel)),
        ];
        let attempts = (0..40_u8).map(|number| {
            let service = Arc::clone(&nodes[usize::from(number) % 2]);
            let (ctx, nonce) = (world.ctx(start()), world.nonce(number));
            tokio::spawn(async move {
                service
                    .verify(&ctx, nonce, "rfc9421", action("mail:send", None))
                    .await
            })
        });
        let mut approved = 0;
        for attempt in attempts.collect::<Vec<_>>() {
            let decision = attempt.await.unwrap().unwrap();
            if decision.status == "approved" {
                approved += 1;
            } else {
                assert_eq!(decision.reason_codes, ["scope.rate_limit"]);
            }
        }
        assert_eq!(approved, 5);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_action_is_approved_once_by_its_digest_and_only_if_still_permitted() {
    for database in databases().await {
        let world = World::on(database).await;
        world
            .grant("payments:transfer", "require_approval", json!({}))
            .await;
        let (agent, manager) = (world.ctx(start()), world.manager(start()));
        let ask = |byte| {
            let transfer = action("payments:transfer", Some("acct/1"));
            world
                .service
                .verify(&agent, world.nonce(byte), "rfc9421", transfer)
        };
        let pending = ask(1).await.unwrap();
        assert_eq!(pending.status, "pending");
        let review = |digest: &str| ReviewRequest {
            digest: Some(digest.to_owned()),
            note: None,
        };
        let wrong = world
            .service
            .review(&manager, pending.id, true, review("00"))
            .await
            .unwrap_err();
        assert_eq!(
            (wrong.code, wrong.field.as_deref()),
            (Code::StateConflict, Some("digest"))
        );
        let seen = || review(&pending.request_digest);
        let own = world
            .service
            .review(&agent, pending.id, true, seen())
            .await
            .unwrap_err();
        assert_eq!(own.code, Code::Forbidden);
        let approved = world
            .service
            .review(&manager, pending.id, true, seen())
            .await
            .unwrap();
        assert_eq!(approved.status, "approved");
        assert!(approved.approved_by.unwrap().starts_with("api_key:"));
        let twice = world.service.review(&manager, pending.id, false, seen()).await;
        assert_eq!(twice.unwrap_err().code, Code::StateConflict);
        assert_eq!(
            world.service.get(&agent, pending.id).await.unwrap().status,
            "approved"
        );

        let report = ResultReport {
            outcome: "success".to_owned(),
            summary: None,
            error_message: None,
        };
        world
            .service
            .report_result(&agent, pending.id, report.clone())
            .await
            .unwrap();
        let again = world
            .service
            .report_result(&agent, pending.id, report)
            .await
            .unwrap_err();
        assert_eq!(again.code, Code::StateConflict);

        let late = ask(2).await.unwrap();
        let later = world.manager(start() + TimeDelta::minutes(16));
        let expired = world
            .service
            .review(&later, late.id, true, review(&late.request_digest))
            .await;
        assert_eq!(expired.unwrap_err().code, Code::StateConflict);
        assert_eq!(world.service.get(&later, late.id).await.unwrap().status, "denied");

        let doomed = ask(3).await.unwrap();
        world.suspend().await;
        let refused = world
            .service
            .review(&manager, doomed.id, true, review(&doomed.request_digest))
            .await;
        assert!(refused.unwrap_err().detail.contains("suspended"));
        assert!(world.audit().await.intact);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_decision_looks_like_an_unknown_one() {
    for database in databases().await {
        let world = World::on(database).await;
        let ctx = world.ctx(start());
        let decision = world
            .service
            .verify(&ctx, world.nonce(1), "rfc9421", action("a:b", None))
            .await
            .unwrap();
        let other = seed_organization(&world.database.store).await;
        let mut stranger = other.ctx(start());
        stranger.actor = Actor::ApiKey {
            id: stranger.new_id(),
            role: aim_core::Role::Admin,
        };
        let foreign = world.service.get(&stranger, decision.id).await.unwrap_err();
        let unknown = world.service.get(&stranger, stranger.new_id()).await.unwrap_err();
        assert_eq!((foreign.code, foreign.detail), (unknown.code, unknown.detail));
    }
}

/// Takes away what keeps the log append-only, as somebody with the database's password could.
async fn unlock(world: &World) {
    let table = if world.database.kind == "sqlite" {
        ""
    } else {
        " ON audit_log"
    };
    for trigger in ["audit_log_is_never_changed", "audit_log_is_never_removed"] {
        world
            .database
            .sql(&format!("DROP TRIGGER {trigger}{table}"))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_is_append_only_while_its_triggers_stand() {
    for database in databases().await {
        let world = World::on(database).await;
        world.deny_five().await;
        for change in [
            "UPDATE audit_log SET outcome = 'approved'",
            "DELETE FROM audit_log",
        ] {
            let refused = world
                .database
                .store
                .write(Scope::Installation, |db| db.execute(change))
                .await;
            assert!(refused.is_err(), "{change}");
        }
        assert!(world.audit().await.intact);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_shows_what_was_altered_removed_or_moved() {
    let attacks = [
        (
            "UPDATE audit_log SET outcome = 'approved' WHERE leaf_index = 2",
            "a column says something else",
        ),
        (
            "UPDATE audit_log SET leaf = replace(leaf, 'denied', 'approved') WHERE leaf_index = 2",
            "the leaf was altered",
        ),
        (
            "DELETE FROM audit_log WHERE leaf_index = 2",
            "records are missing",
        ),
        (
            "DELETE FROM audit_log WHERE leaf_index >= 3",
            "the log ends at another place",
        ),
        (
            "UPDATE audit_log SET leaf_index = 100 WHERE leaf_index = 1; \
             UPDATE audit_log SET leaf_index = 1 WHERE leaf_index = 2; \
             UPDATE audit_log SET leaf_index = 2 WHERE leaf_index = 100",
            "does not link",
        ),
        (
            "UPDATE decisions SET inputs = replace(inputs, 'db:delete', 'db:read')",
            "the decision was altered",
        ),
        (
            "UPDATE decisions SET outcome = 'approved'",
            "the decision was altered",
        ),
        ("DELETE FROM decisions", "is gone"),
    ];
    for (attack, expected) in attacks {
        for database in databases().await {
            let world = World::on(database).await;
            world.deny_five().await;
            assert!(world.audit().await.intact);
            unlock(&world).await;
            world.database.sql(attack).await;
            let report = world.audit().await;
            assert!(!report.intact, "{attack}");
            let told = report
                .findings
                .iter()
                .any(|finding| finding.problem.contains(expected));
            assert!(told, "{attack}: {report:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_cut_at_its_end_with_its_head_is_told_by_a_head_noted_earlier() {
    for database in databases().await {
        let world = World::on(database).await;
        world.deny_five().await;
        let noted = world.audit().await;
        unlock(&world).await;
        world
            .database
            .sql("DELETE FROM audit_log WHERE leaf_index = 4")
            .await;
        let cut = "UPDATE audit_head SET size = 4, link = (SELECT link FROM audit_log WHERE leaf_index = 3)";
        world.database.sql(cut).await;
        assert!(world.audit().await.intact, "alone the shortened log looks whole");
        let expected = Some((noted.records, noted.head));
        let report = world
            .database
            .store
            .read(Scope::Installation, move |db| {
                aim_audit::verify(db, expected.clone())
            })
            .await
            .unwrap();
        assert!(report.findings[0].problem.contains("cut off"), "{report:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agents_decisions_are_listed_newest_first_by_pages_and_by_status() {
    for database in databases().await {
        let world = World::on(database).await;
        world.grant("db:read", "allow", json!({})).await;
        let other = seed_agent(&world.database.store, world.organization.organization, "other").await;
        let mut stranger = world.ctx(start());
        let fingerprint = other.key.public().fingerprint().to_string();
        stranger.actor = Actor::Agent {
            id: other.id,
            credential: AgentCredential::Key { fingerprint },
        };
        let mut made = Vec::new();
        for byte in 1..=9 {
            let name = if byte % 3 == 0 { "db:delete" } else { "db:read" };
            let ctx = world.ctx(start() + TimeDelta::seconds(i64::from(byte)));
            let decision = world
                .service
                .verify(&ctx, world.nonce(byte), "rfc9421", action(name, None))
                .await;
            made.push(decision.unwrap());
            let noise = action("db:read", None);
            world
                .service
                .verify(&stranger, world.nonce(100 + byte), "rfc9421", noise)
                .await
                .unwrap();
        }
        made.reverse();
        let manager = world.manager(start());
        let mut seen = Vec::new();
        let mut cursor = None;
        loop {
            let filter = DecisionFilter {
                agent_id: Some(world.agent.id),
                limit: Some(4),
                cursor,
                ..DecisionFilter::default()
            };
            let page = world.service.list(&manager, filter).await.unwrap();
            seen.extend(page.verifications.into_iter().map(|decision| decision.id));
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, made.iter().map(|decision| decision.id).collect::<Vec<_>>());
        let denied = DecisionFilter {
            agent_id: Some(world.agent.id),
            status: Some("denied".to_owned()),
            limit: Some(2),
            ..DecisionFilter::default()
        };
        let page = world.service.list(&manager, denied).await.unwrap();
        let expected: Vec<_> = made
            .iter()
            .filter(|decision| decision.status == "denied")
            .map(|d| d.id)
            .collect();
        assert_eq!(
            page.verifications
                .iter()
                .map(|decision| decision.id)
                .collect::<Vec<_>>(),
            expected[..2]
        );
        // Decisions 3 to 6 of the nine; of one agent, and of the whole organisation.
        let moment = |second: i64| Some((start() + TimeDelta::seconds(second)).to_text());
        for agent_id in [Some(world.agent.id), None] {
            for (status, count) in [(None, 4), (Some("denied"), 2), (Some("pending"), 0)] {
                let filter = DecisionFilter {
                    agent_id,
                    status: status.map(str::to_owned),
                    from: moment(3),
                    to: moment(7),
                    ..DecisionFilter::default()
                };
                let page = world.service.list(&manager, filter).await.unwrap();
                let within: Vec<_> = page
                    .verifications
                    .iter()
                    .filter(|decision| decision.agent_id == world.agent.id)
                    .map(|decision| decision.id)
                    .collect();
                let expected: Vec<_> = made
                    .iter()
                    .rev()
                    .skip(2)
                    .take(4)
                    .rev()
                    .filter(|decision| status.is_none_or(|status| decision.status == status))
                    .map(|decision| decision.id)
                    .collect();
                assert_eq!(
                    (within.len(), &within),
                    (count, &expected),
                    "{agent_id:?} {status:?}"
                );
            }
        }
        for (from, to, field) in [
            (Some("yesterday".to_owned()), None, "from"),
            (None, Some("7".to_owned()), "to"),
            (moment(7), moment(3), "from"),
        ] {
            let filter = DecisionFilter {
                from,
                to,
                ..DecisionFilter::default()
            };
            let refused = world.service.list(&manager, filter).await.unwrap_err();
            assert_eq!(refused.field.as_deref(), Some(field));
        }
    }
}
