//! The main job over real HTTP, on both databases: an agent signs an action, and gets a decision with evidence
//! or a refusal that leaves nothing behind.

mod bad_input;
mod decisions;
mod evidence;
mod forgeries;
mod next_request;

use aim_tests::TestApp;

/// How many decisions and nonces there are: what a refused request must not change.
async fn traces(app: &TestApp) -> (i64, i64) {
    let decisions = app.database.count("SELECT count(*) FROM decisions").await;
    (decisions, app.database.count("SELECT count(*) FROM nonces").await)
}

/// The codes of a decision's reasons.
fn reasons(decision: &serde_json::Value) -> Vec<&str> {
    decision["reason_codes"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(serde_json::Value::as_str)
        .collect()
}
