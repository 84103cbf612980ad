//! `aim replay` tells three things apart: a decision that comes out the same again, one whose record was altered,
//! and one whose inputs retention has erased.

use serde_json::{Value, json};

use crate::process::{Installation, Said};

async fn replays(installation: Installation) {
    let node = installation.start().await;
    let (signer, _) = node.agent("reader", json!({})).await;
    let answer = node.send(&signer.wants("db:read")).await.unwrap();
    let Said::Decided(id, _) = Said::by(&answer) else {
        panic!("not decided: {answer:?}");
    };
    let replay = || {
        let output = installation.run(&["replay", &id.to_string(), "--json"], "");
        let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (output.status.code(), told)
    };

    let (code, told) = replay();
    assert_eq!(
        (code, &told["matches"], &told["erased"]),
        (Some(0), &json!(true), &json!(false)),
        "{told}"
    );
    assert_eq!(told["verdict"]["outcome"], "approved", "{told}");

    installation
        .sql("UPDATE decisions SET verdict = replace(verdict, 'approved', 'denied')")
        .await;
    let (code, told) = replay();
    assert_eq!((code, &told["matches"]), (Some(2), &json!(false)), "{told}");

    let nothing = if installation.url.starts_with("sqlite") {
        "x''"
    } else {
        "''"
    };
    installation
        .sql(&format!("UPDATE decisions SET inputs = '', salt = {nothing}"))
        .await;
    let (code, told) = replay();
    assert_eq!(
        (code, &told["matches"], &told["erased"]),
        (Some(3), &Value::Null, &json!(true)),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_is_the_same_or_altered_or_erased_on_sqlite() {
    replays(Installation::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_is_the_same_or_altered_or_erased_on_postgres() {
    if let Some(installation) = Installation::postgres().await {
        replays(installation).await;
    }
}
