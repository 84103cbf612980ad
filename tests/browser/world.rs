//! What the pages show: agents, decisions, violations, keys.

use aim_core::Role;
use aim_tests::{TestAgent, TestApp};
use chrono::TimeDelta;

/// An application with this machine's clock, on SQLite.
pub async fn app() -> TestApp {
    TestApp::builder().real_time().start_on_sqlite().await
}

/// An agent that was denied something several times, in different ways.
pub async fn denied_agent<'a>(app: &'a TestApp, name: &str) -> TestAgent<'a> {
    let agent = app.agent(name, &["db:read"]).await;
    for action in [
        "db:read",
        "db:drop",
        "db:drop",
        "db:drop",
        "mail:send",
        "payments:charge",
    ] {
        let _ = agent.act(action, Some("orders/2026")).await;
    }
    agent
}

/// Some days in which an agent acts enough for a score, each with its jobs; on an application whose clock the
/// test moves.
pub async fn days(app: &TestApp, agent: &TestAgent<'_>, count: usize) {
    for day in 0..count {
        for turn in 0..8 {
            let action = if turn <= day { "db:drop" } else { "db:read" };
            let _ = agent.act(action, None).await;
        }
        app.catch_up().await;
        app.advance(TimeDelta::days(1));
        let _ = app.run_jobs().await;
        app.catch_up().await;
    }
    // Sessions did not live that long.
    for role in Role::ALL {
        app.tenant().forget(role).await;
    }
}
