//! Whatever is written, trimmed and started anew, and in whatever order ids come: the lists of a secret and of an agent are what
//! the whole table has of them.

use std::collections::BTreeSet;

use aim_core::{DecisionId, Id, Json, Timestamp};
use aim_platform::retention::Trim;
use aim_store::COMMUNITY_MIGRATIONS;
use aim_testkit::TestDatabase;
use chrono::TimeDelta;
use proptest::{collection::vec, prelude::*, test_runner::TestRunner};

use super::*;
use crate::{
    PREMIUM_MIGRATIONS,
    access::{lists, model::AccessQuery, retention::retained},
};

const PATHS: [&str; 4] = ["payments/a", "payments/b", "payments/b/c", "hr/a"];
const AGENTS: u8 = 3;
const ORGANIZATIONS: u8 = 2;

/// An access: at which second, of which organisation, secret and agent, and which of several of the same moment.
#[derive(Debug, Clone, Copy)]
struct Access {
    second: u16,
    organization: u8,
    path: usize,
    agent: Option<u8>,
    number: u8,
    is_denied: bool,
}

#[derive(Debug, Clone)]
enum Step {
    /// With whether the batch takes effect: else it comes again to one that knows nothing.
    Write(Vec<Access>, bool),
    /// What is older than that second goes, but for what an agent under a hold did.
    Trim(u16, Option<u8>),
    /// The follower starts anew.
    Restart,
}

fn access() -> impl Strategy<Value = Access> {
    let agent = proptest::option::of(0..AGENTS);
    (
        0..300_u16,
        0..ORGANIZATIONS,
        0..PATHS.len(),
        agent,
        any::<u8>(),
        any::<bool>(),
    )
        .prop_map(|(second, organization, path, agent, number, is_denied)| Access {
            second,
            organization,
            path,
            agent,
            number,
            is_denied,
        })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (vec(access(), 1..8), prop::bool::weighted(0.9)).prop_map(|(accesses, takes_effect)| Step::Write(accesses, takes_effect)),
        2 => (0..300_u16, proptest::option::of(0..AGENTS)).prop_map(|(second, held)| Step::Trim(second, held)),
        1 => Just(Step::Restart),
    ]
}

/// A case has organisations and agents of its own in the one database.
struct Case {
    number: u64,
    database: TestDatabase,
    runtime: tokio::runtime::Runtime,
}

fn moment(second: u16) -> Timestamp {
    Timestamp::parse("2026-11-23T10:00:00Z").unwrap() + TimeDelta::seconds(i64::from(second))
}

impl Case {
    fn organization(&self, number: u8) -> OrganizationId {
        Id::from_uuid(Uuid::from_u64_pair(self.number, u64::from(number) + 1))
    }

    fn agent(&self, number: u8) -> AgentId {
        Id::from_uuid(Uuid::from_u64_pair(self.number, u64::from(number) + 1_000))
    }

    fn row(&self, access: &Access) -> AccessRow {
        let at = moment(access.second);
        let millisecond = u128::try_from(at.timestamp_millis()).unwrap() << 80;
        let rest = u128::from(access.number) << 16 | u128::from(access.agent.map_or(0, |agent| agent + 1));
        let id = Uuid::from_u128(millisecond | rest << 8 | access.path as u128);
        AccessRow {
            org_id: self.organization(access.organization),
            id: Id::from_uuid(id),
            // Some are deliveries, under an id of their own.
            decision_id: Some(Id::from_uuid(if access.number.is_multiple_of(4) {
                Uuid::nil()
            } else {
                id
            })),
            path: PATHS[access.path].to_owned(),
            agent_id: access.agent.map(|agent| self.agent(agent)),
            actor: "somebody".to_owned(),
            at,
            outcome: if access.is_denied { "denied" } else { "approved" }.to_owned(),
            version: None,
            delivery: None,
            decided_by: None,
            reasons: Json::of(&Vec::<String>::new()),
            source_ip: None,
            leaf_index: 0,
        }
    }

    fn run(&self, steps: &[Step]) {
        self.runtime.block_on(async {
            // Two entries a batch: a merge takes several, and is still at work when the next step comes.
            let pace = Pace {
                behind: 3,
                rows: 2,
                entries: 1,
                pieces: 2,
            };
            let mut indexer = Indexer::new(pace);
            for step in steps {
                match step {
                    Step::Write(accesses, takes_effect) => {
                        let rows: Vec<AccessRow> = accesses.iter().map(|access| self.row(access)).collect();
                        let merged = indexer.write(&self.database.store, &rows).await.unwrap();
                        // Retention may come between the last entries and the effect.
                        if let (Some(_), Some(access)) = (&merged, accesses.first()) {
                            self.trim(access.second, access.agent).await;
                        }
                        if *takes_effect {
                            let effect =
                                move |db: &mut Db| merged.map_or(Ok(()), |merged| merged.take_effect(db));
                            self.database
                                .store
                                .write(Scope::Installation, effect)
                                .await
                                .unwrap();
                        } else {
                            indexer.forget();
                        }
                    }
                    Step::Trim(second, held) => self.trim(*second, *held).await,
                    Step::Restart => indexer.forget(),
                }
                for organization in 0..ORGANIZATIONS {
                    self.assert_lists(self.organization(organization)).await;
                }
            }
        });
    }

    async fn trim(&self, second: u16, held: Option<u8>) {
        let trim_of = retained()
            .into_iter()
            .find(|table| table.name == "vault_accesses")
            .unwrap()
            .trim;
        let held: Vec<AgentId> = held.map(|agent| self.agent(agent)).into_iter().collect();
        for organization in 0..ORGANIZATIONS {
            let trim = Trim {
                organization: self.organization(organization),
                before: moment(second),
                held: held.clone(),
                after: None,
                limit: 1_000,
            };
            let trimming = self
                .database
                .store
                .write(Scope::Installation, move |db| trim_of(db, &trim));
            trimming.await.unwrap();
        }
    }

    async fn assert_lists(&self, organization: OrganizationId) {
        let agents: Vec<AgentId> = (0..AGENTS).map(|agent| self.agent(agent)).collect();
        let lists = self.database.store.read(Scope::Installation, move |db| {
            let list = |db: &mut Db, query: AccessQuery| {
                let filter = query.parse().unwrap();
                // Pages of two, to the end.
                let (mut all, mut before) = (Vec::new(), None);
                loop {
                    let page = lists::accesses(db, organization, &filter, before, 2)?;
                    before = page.last().map(|row| row.id);
                    let is_last = page.len() < 2;
                    all.extend(page);
                    if is_last {
                        return Ok::<_, aim_store::Error>(all);
                    }
                }
            };
            let all = list(db, AccessQuery::default())?;
            let assert_same = |found: &[AccessRow], is_meant: &dyn Fn(&AccessRow) -> bool| {
                let expected: Vec<AccessId> =
                    all.iter().filter(|row| is_meant(row)).map(|row| row.id).collect();
                let found: Vec<AccessId> = found.iter().map(|row| row.id).collect();
                assert_eq!(found, expected);
            };
            for path in PATHS {
                let query = AccessQuery {
                    path: Some(path.to_owned()),
                    ..AccessQuery::default()
                };
                assert_same(&list(db, query)?, &|row| row.path == path);
            }
            let query = AccessQuery {
                prefix: Some("payments/b".to_owned()),
                ..AccessQuery::default()
            };
            assert_same(&list(db, query)?, &|row| row.path.starts_with("payments/b"));
            for agent in agents {
                let since = moment(100);
                let query = AccessQuery {
                    agent_id: Some(agent.to_string()),
                    outcome: Some("denied".to_owned()),
                    since: Some(since.to_text()),
                    ..AccessQuery::default()
                };
                assert_same(&list(db, query)?, &|row| {
                    row.agent_id == Some(agent) && row.outcome == "denied" && row.at >= since
                });
                let span = (since, Some(moment(250)));
                let of_agent = |row: &&AccessRow| {
                    let is_delivery = row
                        .decision_id
                        .is_some_and(|decision| decision.uuid() != row.id.uuid());
                    row.agent_id == Some(agent) && row.at >= since && row.at < moment(250) && !is_delivery
                };
                let expected: Vec<DecisionId> = all
                    .iter()
                    .filter(of_agent)
                    .filter_map(|row| row.decision_id)
                    .collect();
                for offset in 0..=expected.len() {
                    let page = lists::decisions(
                        db,
                        organization,
                        Some(agent),
                        span,
                        (2, i64::try_from(offset).unwrap()),
                    )?;
                    let end = expected.len().min(offset + 2);
                    assert_eq!(page, expected[offset..end]);
                }
            }
            let Db::Sqlite(c) = db else { unreachable!() };
            let through = place(c, organization)?.through;
            let entries: Vec<(i64, Vec<u8>, AccessId)> = vault_access_index::table
                .filter(vault_access_index::org_id.eq(organization))
                .select((
                    vault_access_index::kind,
                    vault_access_index::key,
                    vault_access_index::id,
                ))
                .load(&mut **c)?;
            let of_row = |row: &AccessRow| {
                let row = Indexed {
                    id: row.id,
                    path: row.path.clone(),
                    agent_id: row.agent_id,
                };
                entries_of(row)
                    .map(|entry| (entry.key.kind(), entry.key.bytes().to_vec(), entry.id))
                    .collect::<Vec<_>>()
            };
            let entries: BTreeSet<_> = entries.into_iter().collect();
            let possible: BTreeSet<_> = all.iter().flat_map(of_row).collect();
            let needed: BTreeSet<_> = all
                .iter()
                .filter(|row| row.id <= through)
                .flat_map(of_row)
                .collect();
            assert!(entries.is_subset(&possible), "an entry leads nowhere");
            assert!(needed.is_subset(&entries), "a row is not found");
            Ok(through)
        });
        lists.await.unwrap();
    }
}

#[test]
fn lists_of_a_secret_and_of_an_agent_are_what_the_table_has_of_them() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let database = runtime.block_on(TestDatabase::sqlite(vec![
        COMMUNITY_MIGRATIONS,
        PREMIUM_MIGRATIONS,
    ]));
    let case = std::cell::RefCell::new(Case {
        number: 0,
        database,
        runtime,
    });
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let ran = runner.run(&vec(step(), 1..24), |steps| {
        let mut case = case.borrow_mut();
        case.number += 1;
        case.run(&steps);
        Ok(())
    });
    ran.unwrap();
    let case = case.into_inner();
    let moved = case.runtime.block_on(
        case.database
            .count("SELECT count(*) FROM vault_access_indexed WHERE through > zeroblob(16)"),
    );
    assert!(moved > 0, "the index was never used");
}

/// As an installation has them that is brought up to date.
#[tokio::test(flavor = "multi_thread")]
async fn accesses_that_were_there_before_are_in_the_index() {
    let database = TestDatabase::sqlite(vec![COMMUNITY_MIGRATIONS, PREMIUM_MIGRATIONS]).await;
    database
        .sql(include_str!(
            "../../../../../migrations/premium/sqlite/00000000000112_vault_access_index/down.sql"
        ))
        .await;
    let insert =
        "INSERT INTO vault_accesses (org_id, id, path, agent_id, actor, at, outcome, reasons, leaf_index)
         WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 300)
         SELECT CAST(printf('%016d', n % 2) AS BLOB), CAST(printf('%016d', n) AS BLOB), 'payments/' || (n % 7),
           iif(n % 5 = 0, NULL, CAST(printf('%016d', n % 3) AS BLOB)), 'somebody', n, 'approved', '[]', n FROM numbers";
    database.sql(insert).await;
    database
        .sql(include_str!(
            "../../../../../migrations/premium/sqlite/00000000000112_vault_access_index/up.sql"
        ))
        .await;
    for (count, expected) in [
        ("SELECT count(*) FROM vault_access_index WHERE kind = 0", 300),
        ("SELECT count(*) FROM vault_access_index WHERE kind = 1", 240),
        ("SELECT count(*) FROM vault_access_index i JOIN vault_accesses a ON a.org_id = i.org_id AND a.id = i.id
          AND i.key = iif(i.kind = 0, CAST(a.path AS BLOB), a.agent_id)", 540),
        ("SELECT count(*) FROM vault_access_indexed d WHERE through =
          (SELECT max(id) FROM vault_accesses a WHERE a.org_id = d.org_id)", 2),
    ] {
        assert_eq!(database.count(count).await, expected, "{count}");
    }
}

#[test]
fn entries_are_sorted_as_the_table_is() {
    let agent = |number| Key::Agent(Uuid::from_u128(number));
    let path = |path: &str| Key::Path(path.into());
    let mut entries = [
        (agent(1 << 120), 1),
        (agent(2), 9),
        (path("b"), 1),
        (path("b"), 0),
        (path("a/b"), 5),
        (path("a"), 7),
    ]
    .map(|(key, number)| Entry {
        key,
        id: AccessId::from_uuid(Uuid::from_u128(number)),
    });
    let of_table = |entry: &Entry| (entry.key.kind(), entry.key.bytes().to_vec(), entry.id);
    let mut expected: Vec<_> = entries.iter().map(of_table).collect();
    expected.sort();
    entries.sort();
    assert_eq!(entries.iter().map(of_table).collect::<Vec<_>>(), expected);
}
