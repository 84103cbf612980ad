//! What a record says in words, and how bad it is. Pure; no personal detail comes in, so none gets out.

use serde_json::Value;

/// What happened, for people: a sentence without a full stop. `agent` is the name of the agent it is about.
#[must_use]
pub fn sentence(kind: &str, action: &str, outcome: &str, agent: Option<&str>, facts: &Value) -> String {
    let (known, agent) = (agent, agent.unwrap_or("an agent"));
    let fact = |name: &str| facts.get(name).and_then(Value::as_str).unwrap_or_default();
    if kind == "decision" {
        let capability = fact("capability");
        return match outcome {
            "approved" => format!("{agent} was allowed {capability}"),
            "pending" => format!("{agent} waits for a person to allow {capability}"),
            _ => format!("{agent} was denied {capability}{}", because(facts)),
        };
    }
    match action {
        "agent.registered" => format!("{agent} was registered"),
        "agent.suspended" => format!("{agent} was suspended"),
        "agent.reactivated" => format!("{agent} was reactivated"),
        "agent.revoked" => format!("{agent} was revoked for good"),
        "agent.deleted" => format!("{agent} was deleted"),
        "agent.updated" => format!("The details of {agent} were changed"),
        "agent_key.registered" => format!("{agent} has its first key"),
        "agent_key.rotated" => format!("{agent} rotated its key"),
        "agent_key.replaced" => format!("The key of {agent} was replaced"),
        "agent_key.revoked" => format!("A key of {agent} was revoked"),
        "agent_key.expiry_warning" => {
            let days = facts.get("days_left").and_then(Value::as_i64).unwrap_or_default();
            let days = if days == 1 {
                "a day".to_owned()
            } else {
                format!("{days} days")
            };
            format!("The key of {agent} expires within {days}")
        }
        "authentication.refused" => format!("A request that claimed to be {agent} was refused"),
        "capability.granted" => format!("{agent} was granted {}", fact("capability")),
        "capability.revoked" => format!("{agent} lost {}", fact("capability")),
        "capability_request.created" => format!("{agent} asks for {}", fact("capability")),
        "alert.raised" => match known {
            Some(agent) => format!("Alert: {} ({agent})", alert_words(fact("kind"))),
            None => format!("Alert: {}", alert_words(fact("kind"))),
        },
        "alert.resolved" => format!("Alert resolved: {}", alert_words(fact("kind"))),
        "trust.threshold_crossed" => format!("The trust score of {agent} fell below a threshold"),
        "trust.threshold_recovered" => format!("The trust score of {agent} recovered"),
        "threat.found" => match known {
            Some(agent) => format!("Threat: {} ({agent})", plain(fact("detector"))),
            None => format!("Threat: {}", plain(fact("detector"))),
        },
        "threat.reviewed" => "A threat finding was reviewed".to_owned(),
        "sign_in.succeeded" => "Somebody signed in".to_owned(),
        "mcp_server.registered" => "An MCP server was registered".to_owned(),
        "mcp_server.attested" => format!("{agent} attested the tools of an MCP server"),
        "mcp_server.manifest_recorded" => "The tools of an MCP server were recorded".to_owned(),
        "mcp_connection.added" => format!("{agent} was connected to an MCP server"),
        "mcp_connection.removed" => format!("{agent} was disconnected from an MCP server"),
        "mcp_server.manifest_drift" => "An MCP server changed its tools after it was attested".to_owned(),
        _ => plain(action),
    }
}

fn because(facts: &Value) -> String {
    let first = facts.pointer("/reasons/0").and_then(Value::as_str);
    first.map_or_else(String::new, |reason| {
        format!(" ({})", plain(reason).to_lowercase())
    })
}

fn alert_words(kind: &str) -> String {
    crate::alerts::AlertKind::parse(kind)
        .map_or_else(|| plain(kind), |kind| kind.words().to_owned())
        .to_lowercase()
}

/// `agent_api_key.created` as "Agent API key created".
#[must_use]
pub fn plain(action: &str) -> String {
    let words: Vec<&str> = action
        .split(['.', '_', ':'])
        .map(|word| match word {
            "api" => "API",
            "mcp" => "MCP",
            other => other,
        })
        .collect();
    let words = words.join(" ");
    let mut characters = words.chars();
    match characters.next() {
        Some(first) => first.to_uppercase().chain(characters).collect(),
        None => String::new(),
    }
}

/// How bad a record is, where it is anything to look at.
#[must_use]
pub fn severity(kind: &str, action: &str, outcome: &str, facts: &Value) -> Option<String> {
    if let Some(severity) = facts.get("severity").and_then(Value::as_str) {
        return Some(severity.to_owned());
    }
    let severity = match (kind, action) {
        ("decision", _) if outcome == "denied" => "medium",
        (_, "mcp_server.manifest_drift") => "high",
        (_, "authentication.refused" | "agent.suspended" | "trust.threshold_crossed") => "medium",
        (_, "agent_key.revoked" | "agent_key.expiry_warning") => "low",
        _ => return None,
    };
    Some(severity.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_decision_says_who_what_and_why_not() {
        let facts = json!({"capability": "payments:refund", "reasons": ["capability.not_granted"]});
        let say = |outcome| sentence("decision", "action.decided", outcome, Some("billing-bot"), &facts);
        assert_eq!(say("approved"), "billing-bot was allowed payments:refund");
        assert_eq!(
            say("denied"),
            "billing-bot was denied payments:refund (capability not granted)"
        );
        assert_eq!(
            say("pending"),
            "billing-bot waits for a person to allow payments:refund"
        );
    }

    #[test]
    fn an_action_that_nobody_foresaw_is_told_in_its_own_words() {
        let say = |action| sentence("event", action, "ok", None, &Value::Null);
        assert_eq!(say("agent_api_key.created"), "Agent API key created");
        assert_eq!(say("mcp_server.deleted"), "MCP server deleted");
        assert_eq!(say(""), "");
    }

    #[test]
    fn a_denial_is_as_bad_as_its_violation() {
        let bad = json!({"severity": "critical"});
        assert_eq!(
            severity("decision", "action.decided", "denied", &bad).as_deref(),
            Some("critical")
        );
        let none = json!({"severity": null});
        assert_eq!(severity("decision", "action.decided", "approved", &none), None);
        assert_eq!(severity("event", "agent.updated", "ok", &Value::Null), None);
    }
}
