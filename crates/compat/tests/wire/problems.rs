//! What the SDKs read in a refusal, and what the document says of the routes.

use aim_platform::{EditionInfo, PlatformConfig, openapi_of};
use serde_json::json;

use crate::bed::{Bed, Node, Raw, VERIFICATIONS, app, send, verification};

fn bare(method: &'static str, target: &str) -> Raw {
    Raw {
        method,
        target: target.to_owned(),
        headers: Vec::new(),
        body: String::new(),
    }
}

#[actix_web::test]
async fn every_refusal_of_a_verification_carries_an_error_text_and_the_strict_mode() {
    for bed in Bed::all().await {
        let app = app!(&bed.here);
        let mut wrong = bed.action();
        wrong["resource"] = json!("another");
        let mut large = verification(&bed.action());
        large.body = " ".repeat(1024 * 1024 + 1);
        let refused = [
            (bare("POST", VERIFICATIONS), 401),
            (verification(&wrong), 401),
            (bare("DELETE", VERIFICATIONS), 401),
            (bare("GET", &format!("{VERIFICATIONS}/None")), 401),
            (large, 413),
        ];
        for (request, expected) in refused {
            let (status, answer) = send!(app, &request);
            assert_eq!(status, expected, "{} {answer}", request.target);
            assert_eq!(answer["enforcementMode"], json!("strict"), "{answer}");
            assert!(
                answer["error"].as_str().is_some_and(|text| !text.is_empty()),
                "{answer}"
            );
        }
    }
}

#[actix_web::test]
async fn a_refusal_by_the_limiter_says_so_too_and_uses_nothing_up() {
    for bed in Bed::all().await {
        let config = PlatformConfig {
            requests_per_second: 1,
            ..PlatformConfig::default()
        };
        let limited = Node::new(&bed.database.store, config);
        let app = app!(&limited);
        let mut turned_away = None;
        for count in 0..100 {
            let signed = crate::bed::action(
                bed.agent.id,
                &bed.agent.key,
                limited.now(),
                json!({"count": count}),
            );
            let request = verification(&signed);
            let (status, answer) = send!(app, &request);
            if status == 429 {
                assert_eq!(answer["enforcementMode"], json!("strict"));
                assert!(answer["error"].is_string());
                turned_away = Some(request);
                break;
            }
            assert_eq!(status, 201);
        }
        let turned_away = turned_away.expect("the limit is one a second");
        let elsewhere = app!(&bed.there);
        assert_eq!(
            send!(elsewhere, &turned_away).0,
            201,
            "the same bytes are good for another try"
        );
        assert_eq!(send!(elsewhere, &turned_away).0, 401, "and for one only");
    }
}

#[actix_web::test]
async fn refusals_elsewhere_are_left_alone() {
    for bed in Bed::all().await {
        let app = app!(&bed.here);
        let (status, answer) = send!(app, &bare("GET", "/api/v1/agents"));
        assert_eq!(status, 401);
        assert!(
            answer.get("error").is_none() && answer.get("enforcementMode").is_none(),
            "{answer}"
        );
    }
}

#[actix_web::test]
async fn every_route_of_the_sdks_is_in_the_document() {
    let bed = Bed::all().await.remove(0);
    let edition = EditionInfo {
        edition: "test".to_owned(),
        version: "0".to_owned(),
        features: Vec::new(),
    };
    let document = serde_json::to_value(openapi_of(&bed.here.modules, &edition)).unwrap();
    let mut found: Vec<String> = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if operation["tags"] == json!(["compat"]) {
                found.push(format!("{method} {path}"));
            }
        }
    }
    found.sort_unstable();
    let expected = [
        "get /api/v1/detection/agents/{id}/status",
        "get /api/v1/sdk-api/agents/{identifier}",
        "get /api/v1/sdk-api/agents/{id}/capability-requests",
        "get /api/v1/sdk-api/agents/{id}/mcp-servers",
        "get /api/v1/sdk-api/agents/{id}/mcp-servers/by-name",
        "get /api/v1/sdk-api/verifications/{id}",
        "post /api/v1/detection/agents/{id}/report",
        "post /api/v1/public/agents/register",
        "post /api/v1/sdk-api/agents/{id}/capabilities/register",
        "post /api/v1/sdk-api/agents/{id}/capability-requests",
        "post /api/v1/sdk-api/agents/{id}/detection/report",
        "post /api/v1/sdk-api/agents/{id}/mcp-servers",
        "post /api/v1/sdk-api/verifications",
        "post /api/v1/sdk-api/verifications/{id}/execution-status",
        "post /api/v1/sdk-api/verifications/{id}/result",
    ];
    assert_eq!(found, expected);
}
