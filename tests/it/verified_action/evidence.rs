//! What is shown is what happened: decisions, violations, files and the audit log tell one story.

use std::collections::BTreeSet;

use aim_core::Role;
use aim_tests::TestApp;
use chrono::TimeDelta;
use serde_json::{Value, json};

/// What the agents of these tests try: action, resource, and whether it is allowed.
const ATTEMPTS: &[(&str, &str, bool)] = &[
    ("db:read", "customers/1", true),
    ("db:drop", "customers", false),
    ("db:read", "customers/2", true),
    ("db:drop", "customers", false),
    ("mail:send", "=HYPERLINK(\"http://evil.example\")", false),
    ("db:write", "a,b \"c\"\nd", false),
];

async fn play(app: &TestApp) -> (aim_tests::TestAgent<'_>, Vec<Value>) {
    let agent = app.agent("reader", &["db:read"]).await;
    let mut denied = Vec::new();
    for (action, resource, allowed) in ATTEMPTS {
        app.advance(TimeDelta::milliseconds(10));
        let answer = agent.act(action, Some(resource)).await;
        assert_eq!(answer.status, if *allowed { 201 } else { 403 }, "{}", answer.text);
        if !allowed {
            denied.push(answer.json());
        }
    }
    (agent, denied)
}

#[tokio::test(flavor = "multi_thread")]
async fn violations_are_exactly_what_was_denied_newest_first() {
    for app in TestApp::on_each().await {
        let (agent, denied) = play(&app).await;
        let viewer = app.user(Role::Viewer).await;
        for path in [agent.path("/violations"), "/api/v1/violations".to_owned()] {
            let list = viewer.get(&path).await.expect(200);
            assert_eq!(list["total"], denied.len());
            let shown: Vec<&Value> = list["violations"]
                .as_array()
                .unwrap()
                .iter()
                .map(|row| &row["decision_id"])
                .collect();
            let expected: Vec<&Value> = denied.iter().rev().map(|decision| &decision["id"]).collect();
            assert_eq!(shown, expected);

            let only = viewer
                .get(&format!("{path}?capability=db:drop"))
                .await
                .expect(200);
            assert_eq!(only["total"], 2);
            let first = viewer.get(&format!("{path}?limit=1")).await.expect(200);
            let cursor = first["next_cursor"].as_str().unwrap();
            let second = viewer
                .get(&format!("{path}?limit=1&cursor={cursor}"))
                .await
                .expect(200);
            assert_eq!(
                second["violations"][0]["decision_id"],
                denied[denied.len() - 2]["id"]
            );
        }
        let groups = viewer.get(&agent.path("/violations/groups")).await.expect(200);
        let drops = groups["groups"]
            .as_array()
            .unwrap()
            .iter()
            .find(|group| group["attempted_capability"] == "db:drop");
        assert_eq!(drops.unwrap()["count"], 2);
        assert_eq!(groups["total"], 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_csv_file_holds_the_same_rows_and_no_formula() {
    for app in TestApp::on_each().await {
        let (agent, denied) = play(&app).await;
        let viewer = app.user(Role::Viewer).await;
        let by_accept = viewer.get_as("text/csv", &agent.path("/violations")).await;
        let by_parameter = viewer.get(&agent.path("/violations?format=csv")).await;
        assert_eq!(by_accept.text, by_parameter.text);
        assert!(by_accept.header("content-type").unwrap().starts_with("text/csv"));
        assert!(
            by_accept
                .header("content-disposition")
                .unwrap()
                .starts_with("attachment")
        );
        let mut reader = csv::Reader::from_reader(by_accept.text.as_bytes());
        let header = reader.headers().unwrap().clone();
        let column = |name: &str| header.iter().position(|column| column == name).unwrap();
        let rows: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().unwrap();
        let shown: Vec<&str> = rows.iter().map(|row| &row[column("decision_id")]).collect();
        let expected: Vec<&str> = denied
            .iter()
            .rev()
            .map(|decision| decision["id"].as_str().unwrap())
            .collect();
        assert_eq!(shown, expected);
        let resources: Vec<&str> = rows.iter().map(|row| &row[column("resource")]).collect();
        assert!(
            resources.contains(&"a,b \"c\"\nd"),
            "what stands in quotes is whole again: {resources:?}"
        );
        // A negative number is no formula.
        let dangerous =
            |cell: &str| cell.starts_with(['=', '+', '-', '@', '\t', '\r']) && cell.parse::<i64>().is_err();
        assert!(rows.iter().flatten().all(|cell| !dangerous(cell)), "{rows:?}");
        assert!(
            resources
                .iter()
                .any(|resource| resource.starts_with("'=HYPERLINK"))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_decision_has_its_leaf_and_the_log_can_be_checked_by_whoever_has_the_file() {
    for app in TestApp::on_each().await {
        let (_, denied) = play(&app).await;
        let manager = app.user(Role::Manager).await;
        let file = manager.get("/api/v1/audit-logs?format=ndjson").await;
        assert!(
            file.header("content-type")
                .unwrap()
                .starts_with("application/x-ndjson")
        );
        let lines: Vec<Value> = file
            .text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        for line in &lines {
            let hash = aim_audit::leaf_hash(line["leaf"].as_str().unwrap().as_bytes());
            assert_eq!(line["leaf_hash"].as_str().unwrap(), hexadecimal(&hash));
        }
        let hashes: BTreeSet<&str> = lines
            .iter()
            .filter_map(|line| line["leaf_hash"].as_str())
            .collect();
        for decision in &denied {
            assert!(hashes.contains(decision["audit"]["leaf_hash"].as_str().unwrap()));
        }
        let decided = manager
            .get("/api/v1/audit-logs?kind=decision&limit=100")
            .await
            .expect(200);
        assert_eq!(decided["entries"].as_array().unwrap().len(), ATTEMPTS.len());
        let report = app.audit().await;
        assert!(report.intact, "{report:?}");
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_recorded_evidence_of_a_decision_decides_the_same_again() {
    for app in TestApp::on_each().await {
        let agent = app.agent("reader", &["db:read"]).await;
        for (action, status) in [("db:read", 201), ("db:drop", 403)] {
            let decision = agent.act(action, Some("customers/1")).await.expect(status);
            let path = format!(
                "/api/v1/verifications/{}/evidence",
                decision["id"].as_str().unwrap()
            );
            let evidence = app.user(Role::Manager).await.get(&path).await.expect(200);
            let recorded = |name: &str| evidence[name].as_str().unwrap().as_bytes().to_vec();
            let (snapshot, inputs, verdict) = (recorded("snapshot"), recorded("inputs"), recorded("verdict"));
            let again = aim_decision::record::replay(&snapshot, &inputs, &verdict).unwrap();
            assert_eq!(
                again.outcome.as_str(),
                if status == 201 { "approved" } else { "denied" }
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_was_issued_stands_in_no_answer_file_or_log_afterwards() {
    for app in TestApp::on_each().await {
        let administrator = app.user(Role::Admin).await;
        let issued = administrator
            .post("/api/v1/api-keys", &json!({"name": "k", "role": "viewer"}))
            .await
            .expect(201);
        let made = administrator
            .post("/api/v1/public/agents/register", &json!({"name": "made-here"}))
            .await
            .expect(201);
        let secrets = [
            issued["api_key"].as_str().unwrap(),
            made["privateKey"].as_str().unwrap(),
            aim_tests::PASSWORD,
        ];
        let session = app.tenant().token(Role::Admin).await;
        let mut places = Vec::new();
        for target in [
            "/api/v1/audit-logs?format=ndjson",
            "/api/v1/api-keys",
            "/api/v1/agents",
            "/api/v1/auth/sessions",
        ] {
            places.push(administrator.get(target).await.text);
        }
        places.push(app.anonymous().get("/metrics").await.text);
        for place in places {
            for secret in secrets.iter().copied().chain([session.as_str()]) {
                assert!(!place.contains(secret), "{place}");
            }
        }
    }
}
