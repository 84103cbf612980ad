//! A grant in plain English: one sentence that says what it permits or forbids, and within which limits.

use aim_core::Timestamp;
use aim_decision::{CapabilityPattern, Constraint, Effect, Operator, Scope, TimeWindow, Weekday};
use serde_json::Value;

/// The sentence.
#[must_use]
pub fn scope_in_words(
    capability: &CapabilityPattern,
    effect: Effect,
    scope: &Scope,
    expires_at: Option<Timestamp>,
) -> String {
    let actions = actions(capability);
    let mut parts = vec![match effect {
        Effect::Allow => format!("Allows {actions}"),
        Effect::RequireApproval => format!("Allows {actions} once a person has approved it"),
        Effect::Deny => format!("Forbids {actions}"),
    }];
    if !scope.resources.is_empty() {
        let patterns: Vec<String> = scope
            .resources
            .iter()
            .map(|pattern| pattern.to_string())
            .collect();
        parts.push(format!("on resources that match {}", joined(&patterns, "or")));
    }
    if !scope.context.is_empty() {
        let conditions: Vec<String> = scope.context.iter().map(condition).collect();
        parts.push(format!("when {}", joined(&conditions, "and")));
    }
    if let Some(window) = &scope.time_window {
        parts.push(hours(window));
    }
    if let Some(limit) = scope.rate_limit {
        parts.push(format!(
            "at most {} in {}",
            times(limit.max()),
            seconds(limit.per_seconds())
        ));
    }
    if let Some(end) = expires_at {
        parts.push(format!("until {}", end.format("%Y-%m-%d %H:%M:%S UTC")));
    }
    if parts.len() == 1 {
        parts.push("without restriction".to_owned());
    }
    format!("{}.", parts.join(", "))
}

fn actions(capability: &CapabilityPattern) -> String {
    match capability.as_str() {
        "*" => "every action".to_owned(),
        text => match text.strip_suffix('*') {
            Some(prefix) => format!("every action that starts with {prefix}"),
            None => text.to_owned(),
        },
    }
}

/// `a`, `a or b`, `a, b or c`.
fn joined(items: &[String], last: &str) -> String {
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [others @ .., end] => format!("{} {last} {end}", others.join(", ")),
    }
}

fn condition(constraint: &Constraint) -> String {
    let field = constraint.field().as_str();
    let value = constraint.value().map(listed).unwrap_or_default();
    match constraint.op() {
        Operator::Eq => format!("{field} is {value}"),
        Operator::Ne => format!("{field} is not {value}"),
        Operator::Lt => format!("{field} is below {value}"),
        Operator::Lte => format!("{field} is at most {value}"),
        Operator::Gt => format!("{field} is above {value}"),
        Operator::Gte => format!("{field} is at least {value}"),
        Operator::In => format!("{field} is one of {value}"),
        Operator::NotIn => format!("{field} is none of {value}"),
        Operator::Prefix => format!("{field} starts with {value}"),
        Operator::Exists => format!("{field} is given"),
    }
}

fn listed(value: &Value) -> String {
    match value {
        Value::Array(elements) => elements
            .iter()
            .map(Value::to_string)
            .collect::<Vec<_>>()
            .join(", "),
        scalar => scalar.to_string(),
    }
}

fn hours(window: &TimeWindow) -> String {
    let days: Vec<String> = window
        .days()
        .iter()
        .map(|day| day_name(*day).to_owned())
        .collect();
    let days = if days.is_empty() {
        "every day".to_owned()
    } else {
        format!("on {}", joined(&days, "and"))
    };
    let offset = window.utc_offset_minutes();
    let zone = match offset {
        0 => "UTC".to_owned(),
        _ => {
            let sign = if offset < 0 { '-' } else { '+' };
            format!(
                "UTC{sign}{:02}:{:02}",
                offset.unsigned_abs() / 60,
                offset.unsigned_abs() % 60
            )
        }
    };
    let next_day = if window.end() <= window.start() {
        " of the next day"
    } else {
        ""
    };
    format!(
        "{days} from {} to {}{next_day} ({zone})",
        window.start(),
        window.end()
    )
}

const fn day_name(day: Weekday) -> &'static str {
    match day {
        Weekday::Mon => "Mondays",
        Weekday::Tue => "Tuesdays",
        Weekday::Wed => "Wednesdays",
        Weekday::Thu => "Thursdays",
        Weekday::Fri => "Fridays",
        Weekday::Sat => "Saturdays",
        Weekday::Sun => "Sundays",
    }
}

fn times(count: u32) -> String {
    if count == 1 {
        "once".to_owned()
    } else {
        format!("{count} times")
    }
}

fn seconds(length: u32) -> String {
    match length {
        1 => "a second".to_owned(),
        60 => "a minute".to_owned(),
        3_600 => "an hour".to_owned(),
        86_400 => "a day".to_owned(),
        other => format!("{other} seconds"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn words(capability: &str, effect: Effect, scope: Value, expires_at: Option<&str>) -> String {
        scope_in_words(
            &CapabilityPattern::try_from(capability).unwrap(),
            effect,
            &Scope::from_json(&scope).unwrap(),
            expires_at.map(|text| Timestamp::parse(text).unwrap()),
        )
    }

    #[test]
    fn a_grant_reads_as_one_sentence_with_every_part_of_its_scope() {
        let scope = json!({
            "resources": ["customers/*", "orders/**", "invoices"],
            "context": [
                {"field": "order.amount", "op": "lte", "value": 100},
                {"field": "currency", "op": "in", "value": ["EUR", "CHF"]},
                {"field": "ticket", "op": "exists"},
            ],
            "time_window": {"days": ["fri", "mon"], "start": "22:00", "end": "06:00", "utc_offset_minutes": -90},
            "rate_limit": {"max": 5, "per_seconds": 60},
        });
        assert_eq!(
            words("db:*", Effect::Allow, scope, Some("2026-11-23T10:00:00Z")),
            "Allows every action that starts with db:, on resources that match customers/*, orders/** or invoices, \
             when order.amount is at most 100, currency is one of \"EUR\", \"CHF\" and ticket is given, \
             on Mondays and Fridays from 22:00 to 06:00 of the next day (UTC-01:30), at most 5 times in a minute, \
             until 2026-11-23 10:00:00 UTC."
        );
    }

    #[test]
    fn a_grant_without_limits_says_so() {
        assert_eq!(
            words("db:read", Effect::Allow, json!({}), None),
            "Allows db:read, without restriction."
        );
        assert_eq!(
            words("*", Effect::Deny, json!({}), None),
            "Forbids every action, without restriction."
        );
        assert_eq!(
            words(
                "pay",
                Effect::RequireApproval,
                json!({"rate_limit": {"max": 1, "per_seconds": 90}}),
                None
            ),
            "Allows pay once a person has approved it, at most once in 90 seconds."
        );
    }
}
