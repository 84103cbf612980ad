//! The store on real databases: tenants, savepoints, jobs that run once, and nonces that are used once.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::collections::HashSet;

use aim_core::{Code, Error, OrganizationId, Timestamp};
use aim_store::{
    COMMUNITY_MIGRATIONS, DatabaseConfig, Scope, Store, diesel, each, jobs, nonces, schema::agents,
};
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

/// Claims a nonce, and is refused afterwards if it is told so.
async fn claims(store: &Store, organization: OrganizationId, number: u64, refused: bool) -> Option<bool> {
    let digest = u128::from(number).to_be_bytes();
    store
        .write(organization, move |db| {
            let fresh = nonces::claim(db, organization, &digest, ends_at(number))?;
            if refused {
                return Err(Error::new(Code::Conflict, "this piece is refused").into());
            }
            Ok(fresh)
        })
        .await
        .ok()
}

fn ends_at(number: u64) -> Timestamp {
    start() + TimeDelta::seconds(60 + i64::try_from(number % 60).unwrap())
}

/// A second process on the same database.
async fn another(database: &TestDatabase) -> Store {
    let config = DatabaseConfig {
        url: database.url.clone(),
        connections: 2,
    };
    Store::connect(&config, vec![COMMUNITY_MIGRATIONS]).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_claims_a_nonce_first_is_the_only_one_on_every_process_and_after_a_restart() {
    for database in databases().await {
        let organizations = [
            seed_organization(&database.store).await.organization,
            seed_organization(&database.store).await.organization,
        ];
        let mut stores = [database.store.clone(), another(&database).await];
        let mut used: HashSet<(OrganizationId, u64)> = HashSet::new();
        let mut random = 7_u64;
        let mut next = |below: u64| {
            // Knuth's multiplier: the steps are the same in each run.
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        for step in 0..600 {
            let (organization, number) = (organizations[usize::from(next(3) == 0)], next(60));
            let (store, refused) = (&stores[usize::from(next(2) == 0)], next(4) == 0);
            let answer = claims(store, organization, number, refused).await;
            let expected = (!refused).then(|| used.insert((organization, number)));
            assert_eq!(answer, expected, "{} at step {step}: {number}", database.kind);
            if next(100) == 0 {
                stores[1] = another(&database).await;
            }
        }
        assert!(used.len() > 100, "{}", used.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_in_which_a_piece_is_refused_gives_its_nonces_to_others() {
    for database in databases().await {
        let organization = seed_organization(&database.store).await.organization;
        // Many at once, so that they meet in one transaction: those with odd numbers are refused, whatever they claimed.
        for round in 0..2 {
            let pieces: Vec<_> = (0..60)
                .map(|number| {
                    let store = database.store.clone();
                    tokio::spawn(async move {
                        (
                            number,
                            claims(&store, organization, number, number % 2 == 1 && round == 0).await,
                        )
                    })
                })
                .collect();
            for piece in pieces {
                let (number, answer) = piece.await.unwrap();
                let expected = match (number % 2, round) {
                    (0, _) => Some(round == 0),
                    (_, 0) => None,
                    _ => Some(true),
                };
                assert_eq!(answer, expected, "{} {number} in round {round}", database.kind);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_piece_that_was_the_first_to_look_hides_nothing_of_what_others_wrote() {
    for database in databases().await {
        let organization = seed_organization(&database.store).await.organization;
        for number in 0..20 {
            assert_eq!(
                claims(&database.store, organization, number, false).await,
                Some(true)
            );
        }
        // This one has read nothing yet. Those that come first are refused.
        let other = another(&database).await;
        let pieces: Vec<_> = (0..60)
            .map(|number| {
                let other = other.clone();
                tokio::spawn(async move { claims(&other, organization, 100 + number, number < 30).await })
            })
            .collect();
        for (number, piece) in pieces.into_iter().enumerate() {
            let expected = (number >= 30).then_some(true);
            assert_eq!(piece.await.unwrap(), expected, "{} {number}", database.kind);
        }
        assert_eq!(claims(&other, organization, 7, false).await, Some(false));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stale_nonces_are_forgotten_a_few_at_a_time_and_no_other_is() {
    for database in databases().await {
        let organization = seed_organization(&database.store).await.organization;
        for number in 0..180 {
            assert_eq!(
                claims(&database.store, organization, number, false).await,
                Some(true)
            );
        }
        let before = start() + TimeDelta::seconds(90);
        let mut forgotten = Vec::new();
        while forgotten.last() != Some(&0) {
            forgotten.push(nonces::forget(&database.store, before, 25).await.unwrap());
        }
        assert_eq!(
            forgotten.iter().sum::<usize>(),
            90,
            "{}: {forgotten:?}",
            database.kind
        );
        assert!(forgotten.iter().all(|count| *count <= 25), "{forgotten:?}");
        let other = another(&database).await;
        for (store, number) in [
            (&database.store, 179),
            (&other, 30),
            (&database.store, 90),
            (&other, 31),
        ] {
            assert_eq!(
                claims(store, organization, number, false).await,
                Some(false),
                "{} {number}",
                database.kind
            );
        }
        assert_eq!(claims(&other, organization, 29, false).await, Some(true));
        assert_eq!(
            claims(&database.store, organization, 29, false).await,
            Some(false)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_every_nonce_forgotten_another_process_still_sees_what_is_claimed_next() {
    for database in databases().await {
        let organization = seed_organization(&database.store).await.organization;
        for number in 0..10 {
            assert_eq!(
                claims(&database.store, organization, number, false).await,
                Some(true)
            );
        }
        let later = start() + TimeDelta::hours(1);
        nonces::forget(&database.store, later, 1_000).await.unwrap();
        let other = another(&database).await;
        assert_eq!(claims(&other, organization, 20, false).await, Some(true));
        assert_eq!(
            claims(&database.store, organization, 20, false).await,
            Some(false),
            "{}",
            database.kind
        );
    }
}
