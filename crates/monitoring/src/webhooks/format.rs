//! What is sent: an event in each of the forms. Pure.

use aim_audit::Record;
use serde_json::{Value, json};

use super::model::Format;
use crate::{alerts::watch::facts_of, feed::model::FeedItem};

/// What a record becomes in `format`. `console` is the address of the console, if it is known.
pub(super) fn body(format: Format, record: &Record, item: &FeedItem, console: &str) -> String {
    let title = record
        .details
        .as_ref()
        .and_then(|details| details.get("title"))
        .and_then(Value::as_str);
    let title = title.unwrap_or(&item.words);
    let severity = item.severity.as_deref();
    let link = link(item, console);
    match format {
        Format::Json => json!({
            "event": item.action,
            "created_at": item.at,
            "organization_id": record.org_id,
            "index": item.index,
            "title": title,
            "severity": severity,
            "outcome": item.outcome,
            "agent": item.agent_id.map(|id| json!({"id": id, "name": item.agent_name})),
            "target": {"kind": item.target_kind, "id": item.target_id},
            "facts": facts_of(record),
            "url": link,
        })
        .to_string(),
        Format::Slack => slack(title, severity, link.as_deref()),
        Format::Email => mail(title, severity, &item.at.to_text(), link.as_deref()),
    }
}

/// What a test sends.
pub(super) fn test_body(format: Format, name: &str, at: &str) -> String {
    let title = format!("This is a test of the webhook {name}");
    match format {
        Format::Json => json!({"event": "webhook.test", "created_at": at, "title": title}).to_string(),
        Format::Slack => slack(&title, None, None),
        Format::Email => mail(&title, None, at, None),
    }
}

fn link(item: &FeedItem, console: &str) -> Option<String> {
    if console.is_empty() {
        return None;
    }
    match (item.target_kind.as_str(), &item.target_id, item.agent_id) {
        ("alert", Some(id), _) => Some(format!("{console}/alerts?alert={id}")),
        (_, _, Some(agent)) => Some(format!("{console}/agents/{agent}")),
        _ => None,
    }
}

fn headline(title: &str, severity: Option<&str>) -> String {
    match severity {
        Some(severity) => format!("[{}] {title}", severity.to_uppercase()),
        None => title.to_owned(),
    }
}

/// Slack takes three characters for its own: https://api.slack.com/reference/surfaces/formatting#escaping
fn slack(title: &str, severity: Option<&str>, link: Option<&str>) -> String {
    let escaped = headline(title, severity)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let text = match link {
        Some(link) => format!("{escaped}\n<{link}|Open in AIM>"),
        None => escaped,
    };
    json!({"text": text}).to_string()
}

fn mail(title: &str, severity: Option<&str>, at: &str, link: Option<&str>) -> String {
    let headline = headline(title, severity);
    // A line break in a subject would begin another header.
    let subject: String = format!("AIM: {headline}")
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .take(200)
        .collect();
    let text = format!("{headline}\n\nAt {at}.\n{}\n", link.unwrap_or_default());
    json!({"subject": subject, "text": text}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slack_gets_no_markup_of_others() {
        let body = slack(
            "<!channel> & <https://evil.example|click>",
            Some("high"),
            Some("https://aim.example/alerts"),
        );
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            body["text"],
            "[HIGH] &lt;!channel&gt; &amp; &lt;https://evil.example|click&gt;\n<https://aim.example/alerts|Open in AIM>"
        );
    }

    #[test]
    fn a_subject_is_one_line() {
        let body: Value = serde_json::from_str(&mail("a\r\nBcc: b@c", None, "now", None)).unwrap();
        assert_eq!(body["subject"], "AIM: a  Bcc: b@c");
    }
}
