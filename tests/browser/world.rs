//! What the pages show: agents, decisions, violations, keys.

use aim_tests::{TestAgent, TestApp};

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
