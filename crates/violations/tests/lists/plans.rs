//! No list scans a table: the statements that the queries really send, as SQLite plans them.

use std::sync::{Arc, Mutex};

use aim_core::{AgentId, OrganizationId, ViolationId};
use aim_decision::Severity;
use aim_store::{Db, Result};
use aim_violations::{
    audit_log::store as log,
    violations::{
        Filter, GroupFilter, TriageFilter, TriageState, counts, groups,
        store::{Slice, page},
        window::Window,
    },
};
use diesel::{
    QueryableByName, RunQueryDsl, connection::Connection, connection::InstrumentationEvent, sql_types::Text,
};

use crate::house::{House, at, on_each};

#[derive(QueryableByName)]
struct Step {
    #[diesel(sql_type = Text)]
    detail: String,
}

/// The plans of every statement that `work` sends; nothing on PostgreSQL, which plans by its statistics.
fn plans(db: &mut Db, work: impl FnOnce(&mut Db) -> Result<()>) -> Result<Vec<(String, Vec<String>)>> {
    let sent: Arc<Mutex<Vec<String>>> = Arc::default();
    let Db::Sqlite(connection) = db else {
        return Ok(Vec::new());
    };
    let sink = Arc::clone(&sent);
    connection.set_instrumentation(move |event: InstrumentationEvent<'_>| {
        if let InstrumentationEvent::StartQuery { query, .. } = event {
            sink.lock().unwrap().push(query.to_string());
        }
    });
    work(db)?;
    let statements: Vec<String> = std::mem::take(&mut *sent.lock().unwrap());
    let Db::Sqlite(connection) = db else {
        return Ok(Vec::new());
    };
    let mut plans = Vec::new();
    for statement in statements {
        let sql = statement.split(" -- binds").next().unwrap_or_default().to_owned();
        let steps: Vec<Step> =
            diesel::sql_query(format!("EXPLAIN QUERY PLAN {sql}")).load(&mut **connection)?;
        plans.push((sql, steps.into_iter().map(|step| step.detail).collect()));
    }
    connection.set_instrumentation(None::<Box<dyn diesel::connection::Instrumentation>>);
    Ok(plans)
}

fn assert_searches(plans: &[(String, Vec<String>)], allow_sort: bool) {
    for (sql, steps) in plans {
        for step in steps {
            let sort = step.starts_with("USE TEMP B-TREE");
            assert!(
                step.starts_with("SEARCH ") || (allow_sort && sort),
                "{step}\n{sql}"
            );
        }
    }
}

fn filters(agent: AgentId) -> Vec<Filter> {
    let windows = [
        Window::default(),
        Window {
            from: Some(at("2026-03-01T10:20:30.0004Z")),
            to: None,
        },
        Window {
            from: Some(at("2026-03-01T10:20:30Z")),
            to: Some(at("2026-03-05T11:00:00.0001Z")),
        },
    ];
    let mut filters = Vec::new();
    for window in windows {
        for agent in [None, Some(agent)] {
            for capability in [None, Some("db:read".to_owned())] {
                for severities in [vec![], vec![Severity::High], vec![Severity::Low, Severity::High]] {
                    for blocked in [None, Some(true)] {
                        filters.push(Filter {
                            agent,
                            severities: severities.clone(),
                            capability: capability.clone(),
                            blocked,
                            window,
                            triage: None,
                        });
                    }
                }
            }
        }
    }
    filters
}

async fn with_a_violation(house: &House) -> (OrganizationId, AgentId) {
    let agent = house.agent(house.home, "a").await;
    let low = super::violations::violation(house.home, agent, at("2026-03-03T00:00:00Z"));
    let mut high = super::violations::violation(house.home, agent, at("2026-03-04T00:00:00Z"));
    high.severity = "high".to_owned();
    house.record(&[low, high]).await;
    (house.home, agent)
}

#[actix_web::test]
async fn a_page_of_violations_searches_one_index_and_sorts_nothing_for_any_filter() {
    on_each(|house| async move {
        let (home, agent) = with_a_violation(&house).await;
        let before = Some(ViolationId::generate(house.kernel.now()));
        house
            .read(move |db| {
                for filter in filters(agent) {
                    for before in [None, before] {
                        let slice = Slice {
                            before,
                            offset: 3,
                            limit: 21,
                        };
                        let filter = filter.clone();
                        let wanted = filter.clone();
                        let plans = plans(db, move |db| page(db, home, &wanted, slice).map(|_| ()))?;
                        // The rows of a page that was put together from several searches are sorted: at most 101.
                        let merged = filter.severities.len() > 1
                            || (filter.severities.is_empty()
                                && filter.agent.is_none()
                                && filter.capability.is_some());
                        assert_searches(&plans, merged);
                        let index = match (&filter.agent, &filter.capability, filter.severities.is_empty()) {
                            (Some(_), _, true) => "violations_by_agent_id_id (org_id=? AND agent_id=?",
                            (Some(_), _, false) => {
                                "violations_by_agent_id_severity_id (org_id=? AND agent_id=? AND severity=?"
                            }
                            (None, Some(_), _) => {
                                "violations_by_attempted_capability_severity_id \
                                 (org_id=? AND attempted_capability=? AND severity=?"
                            }
                            (None, None, false) => "violations_by_severity_id (org_id=? AND severity=?",
                            (None, None, true) => "sqlite_autoindex_violations_1 (org_id=?",
                        };
                        let uses = |(_, steps): &(String, Vec<String>)| {
                            steps.iter().any(|step| step.contains(index))
                        };
                        assert!(plans.is_empty() || plans.iter().any(uses), "{index}\n{plans:#?}");
                    }
                }
                Ok(())
            })
            .await;
    })
    .await;
}

#[actix_web::test]
async fn a_total_searches_the_key_of_the_counters_and_the_indexes_of_the_rows() {
    on_each(|house| async move {
        let (home, agent) = with_a_violation(&house).await;
        house
            .read(move |db| {
                for filter in filters(agent) {
                    let plans = plans(db, move |db| counts::total(db, home, &filter).map(|_| ()))?;
                    assert_searches(&plans, false);
                    for (sql, steps) in plans.iter().filter(|(sql, _)| sql.contains("violation_counts")) {
                        let key = "PRIMARY KEY (org_id=? AND agent_id=? AND granularity=? AND attempted_capability=?";
                        assert!(steps[0].contains(key), "{steps:?}\n{sql}");
                    }
                }
                Ok(())
            })
            .await;
    })
    .await;
}

#[actix_web::test]
async fn no_filter_by_state_scans_a_table() {
    on_each(|house| async move {
        let (home, agent) = with_a_violation(&house).await;
        let now = house.kernel.now();
        house
            .read(move |db| {
                for state in TriageState::ALL {
                    let triage = TriageFilter::of(&[state], now);
                    for filter in filters(agent) {
                        let triage = triage.clone();
                        let plans = plans(db, move |db| {
                            let filter = Filter { triage, ..filter };
                            let slice = Slice {
                                before: None,
                                offset: 0,
                                limit: 21,
                            };
                            counts::total(db, home, &filter)?;
                            page(db, home, &filter, slice).map(|_| ())
                        })?;
                        for (sql, steps) in plans {
                            assert!(
                                !steps.iter().any(|step| step.starts_with("SCAN")),
                                "{steps:#?}\n{sql}"
                            );
                        }
                    }
                    let plans = plans(db, move |db| {
                        let filter = GroupFilter {
                            triage,
                            ..GroupFilter::default()
                        };
                        groups::page(db, home, &filter, None, 21, 0).map(|_| ())
                    })?;
                    for (sql, steps) in plans {
                        assert!(
                            !steps.iter().any(|step| step.starts_with("SCAN")),
                            "{steps:#?}\n{sql}"
                        );
                    }
                }
                Ok(())
            })
            .await;
    })
    .await;
}

#[actix_web::test]
async fn a_page_of_groups_searches_an_index() {
    on_each(|house| async move {
        let (home, agent) = with_a_violation(&house).await;
        house
            .read(move |db| {
                let all = plans(db, move |db| {
                    groups::page(db, home, &GroupFilter::default(), None, 21, 0).map(|_| ())
                })?;
                assert_searches(&all, false);
                let own = plans(db, move |db| {
                    let filter = GroupFilter {
                        agent: Some(agent),
                        ..GroupFilter::default()
                    };
                    groups::page(db, home, &filter, None, 21, 0).map(|_| ())
                })?;
                assert_searches(&own, false);
                assert!(
                    own.iter()
                        .all(|(_, steps)| steps[0].contains("(org_id=? AND agent_id=?")),
                    "{own:#?}"
                );
                Ok(())
            })
            .await;
    })
    .await;
}

#[actix_web::test]
async fn a_page_of_the_log_searches_one_index_and_sorts_nothing_for_any_filter() {
    on_each(|house| async move {
        let (home, agent) = with_a_violation(&house).await;
        house
            .read(move |db| {
                for number in 0..(1 << 8) {
                    let given = |bit: u32| number & (1 << bit) != 0;
                    let text = |bit: u32, text: &str| given(bit).then(|| text.to_owned());
                    let filter = log::Filter {
                        action: text(0, "agent.suspended"),
                        kind: given(1).then_some(log::Kind::Decision),
                        actor_kind: None,
                        actor_id: text(2, &agent.to_string()),
                        agent_id: given(3).then_some(agent),
                        target_id: text(4, &agent.to_string()),
                        outcome: text(5, "ok"),
                        from: given(6).then(|| at("2026-03-01T00:00:00Z")),
                        to: given(7).then(|| at("2026-03-05T00:00:00Z")),
                    };
                    for before in [None, Some(5)] {
                        let filter = filter.clone();
                        let plans =
                            plans(db, move |db| log::page(db, home, &filter, before, 21).map(|_| ()))?;
                        assert_searches(&plans, false);
                    }
                }
                Ok(())
            })
            .await;
    })
    .await;
}
