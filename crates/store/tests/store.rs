//! The store on real databases: tenants, savepoints, and jobs that run once.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use aim_core::{Code, Error, OrganizationId};
use aim_store::{COMMUNITY_MIGRATIONS, DatabaseConfig, Scope, Store, diesel, each, jobs, schema::agents};
use aim_testkit::{TestDatabase, databases, seed_agent, seed_organization, start};
use chrono::TimeDelta;
use diesel::{QueryDsl, RunQueryDsl};

async fn agents_seen(store: &Store, scope: Scope) -> i64 {
    store
        .read(scope, |db| {
            Ok(each!(db, c => agents::table.count().get_result(c))?)
        })
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn row_level_security_hides_other_tenants_even_from_a_query_that_forgets_to_ask() {
    let Some(database) = TestDatabase::postgres(vec![COMMUNITY_MIGRATIONS]).await else {
        return;
    };
    let (mine, other) = (
        seed_organization(&database.store).await,
        seed_organization(&database.store).await,
    );
    seed_agent(&database.store, mine.organization, "mine").await;
    seed_agent(&database.store, other.organization, "other").await;
    let superuser = "SELECT count(*) FROM pg_roles WHERE rolname = current_user AND rolsuper";
    let store = if database.count(superuser).await == 0 {
        database.store.clone()
    } else {
        // A superuser is exempt: connect as somebody who is not.
        let role = format!("aim_role_{}", uuid_text());
        database.sql(&format!("CREATE ROLE {role} LOGIN")).await;
        database
            .sql(&format!("GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}"))
            .await;
        let (_, rest) = database.url.split_once('@').unwrap();
        let url = format!("postgres://{role}@{rest}");
        Store::connect(&DatabaseConfig { url, connections: 2 }, Vec::new())
            .await
            .unwrap()
    };
    assert_eq!(agents_seen(&store, Scope::Installation).await, 2);
    assert_eq!(
        agents_seen(&store, Scope::Organization(mine.organization)).await,
        1
    );
    let nobody = OrganizationId::generate(start());
    assert_eq!(agents_seen(&store, Scope::Organization(nobody)).await, 0);
}

fn uuid_text() -> String {
    OrganizationId::generate(start()).to_string().replace('-', "")
}

#[tokio::test(flavor = "multi_thread")]
async fn one_refused_piece_of_a_batch_leaves_the_others_in_place() {
    for database in databases().await {
        let writes: Vec<_> = (0..40)
            .map(|number| {
                let store = database.store.clone();
                tokio::spawn(async move {
                    store
                        .write(Scope::Installation, move |db| {
                            jobs::ensure(db, &format!("piece-{number}"), start())?;
                            if number % 2 == 0 {
                                return Err(Error::new(Code::Conflict, "this piece is refused").into());
                            }
                            Ok(())
                        })
                        .await
                })
            })
            .collect();
        for (number, write) in writes.into_iter().enumerate() {
            assert_eq!(write.await.unwrap().is_ok(), number % 2 == 1);
        }
        assert_eq!(
            database
                .count("SELECT count(*) FROM jobs WHERE name LIKE 'piece-%'")
                .await,
            20
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_nodes_one_claims_a_due_job_and_a_lost_lease_cannot_finish_it() {
    for database in databases().await {
        let second = database.another_node().await;
        database
            .store
            .write(Scope::Installation, |db| jobs::ensure(db, "sweep", start()))
            .await
            .unwrap();
        let claims: Vec<_> = (0..20)
            .map(|number| {
                let store = if number % 2 == 0 {
                    database.store.clone()
                } else {
                    second.clone()
                };
                tokio::spawn(async move {
                    let owner = format!("node-{number}");
                    let claim = move |db: &mut aim_store::Db| {
                        jobs::claim(db, "sweep", &owner, start(), TimeDelta::seconds(60))
                    };
                    store.write(Scope::Installation, claim).await.unwrap()
                })
            })
            .collect();
        let mut winners = Vec::new();
        for claim in claims {
            winners.extend(claim.await.unwrap());
        }
        assert_eq!(winners.len(), 1);
        // The lease ends; another node takes over; the first one's result no longer counts.
        let late = start() + TimeDelta::seconds(61);
        let taken = second
            .write(Scope::Installation, move |db| {
                jobs::claim(db, "sweep", "heir", late, TimeDelta::seconds(60))
            })
            .await
            .unwrap()
            .expect("the lease has ended");
        let stale = winners.remove(0);
        let finished = |claim: jobs::Claim| {
            database.store.write(Scope::Installation, move |db| {
                jobs::finish(db, &claim, late, late + TimeDelta::seconds(60), None)
            })
        };
        assert!(!finished(stale).await.unwrap());
        assert!(finished(taken).await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_of_an_unknown_scheme_makes_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stray.db");
    for url in [
        path.display().to_string(),
        format!("mysql://{}", path.display()),
        "sqlite:".to_owned(),
    ] {
        let refused = Store::connect(
            &DatabaseConfig { url, connections: 1 },
            vec![COMMUNITY_MIGRATIONS],
        )
        .await;
        assert!(refused.is_err());
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
