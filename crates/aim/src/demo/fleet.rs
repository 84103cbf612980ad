//! The agents of the play, and what they may do.

use aim_client::NewAgent;
use serde_json::{Value, json};

use super::play::Play;
use crate::cli::Failure;

/// Registers the whole fleet. `window` is a time window that does not hold now.
pub(super) async fn hire_all(play: &mut Play, window: Value) -> Result<(), Failure> {
    let grants = |list: Vec<Value>| list;
    for (name, kind, description, given) in [
        (
            "support-assistant",
            "assistant",
            "Answers customers' tickets in Europe",
            grants(vec![
                json!({"capability": "tickets:read", "reason": "its work"}),
                json!({"capability": "tickets:reply", "scope": {"resources": ["tickets/eu/*"]}}),
            ]),
        ),
        (
            "invoice-reader",
            "data_agent",
            "Reads customers' records for invoices, never those of the protected few",
            grants(vec![
                json!({"capability": "db:read", "scope": {"resources": ["customers/**"]}}),
                json!({"capability": "db:read", "effect": "deny", "scope": {"resources": ["customers/protected/**"]}}),
            ]),
        ),
        (
            "refund-clerk",
            "finance_agent",
            "Refunds up to 100 by itself, up to 5,000 with a person's approval",
            grants(vec![
                json!({"capability": "payments:refund", "scope": {"context": [
                    {"field": "amount", "op": "lte", "value": 100}]}}),
                json!({"capability": "payments:refund", "effect": "require_approval", "scope": {"context": [
                    {"field": "amount", "op": "gt", "value": 100},
                    {"field": "amount", "op": "lte", "value": 5000}]}}),
            ]),
        ),
        (
            "deploy-bot",
            "devops_agent",
            "Deploys services",
            grants(vec![json!({"capability": "deploy:*"})]),
        ),
        (
            "code-reviewer",
            "coding_agent",
            "Reads changes and comments on them",
            grants(vec![
                json!({"capability": "repo:read"}),
                json!({"capability": "repo:comment"}),
            ]),
        ),
        (
            "web-researcher",
            "research_agent",
            "Reads the handbook's site",
            grants(vec![
                json!({"capability": "web:fetch", "scope": {"resources": ["https://handbook.example/**"]}}),
            ]),
        ),
        (
            "night-backup",
            "ops_agent",
            "Backs up at night",
            grants(vec![
                json!({"capability": "backup:run", "scope": {"time_window": window}}),
            ]),
        ),
        (
            "newsletter",
            "marketing_agent",
            "Sends three campaigns a day",
            grants(vec![
                json!({"capability": "mail:send", "scope": {"rate_limit": {"max": 3, "per_seconds": 86_400}}}),
            ]),
        ),
        (
            "dock-robot",
            "robot",
            "Opens the doors of warehouse 4",
            grants(vec![
                json!({"capability": "door:open", "scope": {"resources": ["warehouse-4/*"]}}),
            ]),
        ),
        (
            "payroll",
            "finance_agent",
            "Prepares the payroll",
            grants(vec![json!({"capability": "payroll:prepare"})]),
        ),
        (
            "route-planner",
            "planning_agent",
            "Plans routes with a contractor's software",
            grants(vec![json!({"capability": "routes:plan"})]),
        ),
        (
            "price-watcher",
            "research_agent",
            "Its key was found in a public repository",
            grants(vec![json!({"capability": "prices:read"})]),
        ),
        (
            "intern-bot",
            "ai_agent",
            "New; nobody has given it anything yet",
            grants(Vec::new()),
        ),
    ] {
        let agent = NewAgent {
            name: name.to_owned(),
            agent_type: Some(kind.to_owned()),
            description: Some(description.to_owned()),
            version: Some("1.0.0".to_owned()),
            tags: vec!["demo".to_owned()],
            ..NewAgent::default()
        };
        play.hire(name, agent, &given).await?;
    }
    let freeze = json!({"name": "no deployments to production this week", "effect": "deny", "capability": "deploy:production"});
    let _: Value = play
        .manager
        .call(reqwest::Method::POST, "/api/v1/policies", Some(&freeze))
        .await?;
    Ok(())
}
