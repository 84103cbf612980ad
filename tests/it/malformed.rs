//! Malformed input on every route of the served OpenAPI document, as an administrator and as an agent:
//! never a 5xx, and every refusal is a problem with a code and the request's id that names the field.
//!
//! Nothing is random: the corpus is fixed and the generator's seed is too.

mod corpus;
mod heads;
mod judge;
mod schema;
mod world;

use reqwest::Method;
use serde_json::Value;

use crate::{crash::assert_audit_intact, process::Installation};
use judge::Findings;
use world::World;

#[tokio::test(flavor = "multi_thread")]
async fn malformed_input_is_never_the_servers_failure_on_sqlite() {
    send_everything(Installation::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_input_is_never_the_servers_failure_on_postgres() {
    if let Some(installation) = Installation::postgres().await {
        send_everything(installation).await;
    }
}

async fn send_everything(installation: Installation) {
    let node = installation.start().await;
    let world = World::on(node.door()).await;
    let mut findings = Findings::default();
    let document: Value = node
        .admin
        .call(Method::GET, "/api/v1/openapi.json", None::<&()>)
        .await
        .expect("the document");
    let operations = schema::operations(&document);
    assert!(
        operations.len() > 40,
        "the document has {} operations",
        operations.len()
    );
    assert!(operations.iter().filter(|operation| operation.is_closed).count() > 10);
    for operation in &operations {
        findings.of(world.try_operation(operation).await);
    }
    findings.of(world.try_broken_signatures().await);
    findings.of(world.try_sdk_signatures().await);
    findings.of(world.try_authorizations().await);
    findings.of(world.try_wire().await);

    // Nobody sees all log lines of a test; the server's own account must agree.
    assert_eq!(node.status("/health/ready").await, Some(200));
    let request = node
        .admin
        .prepare(Method::GET, "/metrics", None::<&()>)
        .expect("a request");
    let metrics = String::from_utf8(node.admin.send(request).await.expect("metrics").body).expect("text");
    for line in metrics.lines().filter(|line| line.contains("status=\"5")) {
        findings.note("metrics", line.to_owned());
    }
    for line in node.log().lines().filter(|line| line.contains("panicked")) {
        findings.note("log", line.to_owned());
    }
    findings.report();
    node.kill();
    assert_audit_intact(&installation);
}
