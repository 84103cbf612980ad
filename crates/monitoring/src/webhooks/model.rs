//! Where events are delivered to, and what became of each delivery.

use aim_core::{Code, Error, Id, PageRequest, Result, Timestamp};
use aim_decision::Severity;
use aim_platform::outbound::parse_url;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::store::{DeliveryRow, WebhookRow};
use crate::alerts::model::{parse_severity, severity_of};

/// Marks the ids of webhooks.
#[derive(Debug, Clone, Copy)]
pub enum WebhookMarker {}
/// The id of a webhook.
pub type WebhookId = Id<WebhookMarker>;
/// Marks the ids of deliveries.
#[derive(Debug, Clone, Copy)]
pub enum DeliveryMarker {}
/// The id of a delivery.
pub type DeliveryId = Id<DeliveryMarker>;

/// The longest name, in characters.
const MAX_NAME_LENGTH: usize = 100;
/// The most events that a webhook names.
const MAX_EVENTS: usize = 50;
/// The most webhooks of an organisation.
pub const MAX_WEBHOOKS: i64 = 50;
/// How often a delivery is tried before it is given up.
pub const MAX_ATTEMPTS: i64 = 8;
/// After how many failures in a row people are told.
pub const FAILURES_TO_TELL: i64 = 3;

/// In what form a webhook gets events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Signed JSON.
    #[default]
    Json,
    /// What Slack's incoming webhooks take, and many others with them.
    Slack,
    /// A mail to a `mailto:` address.
    Email,
}

impl Format {
    /// The form on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Slack => "slack",
            Self::Email => "email",
        }
    }

    /// The form that a row names.
    #[must_use]
    pub fn of(name: &str) -> Self {
        match name {
            "slack" => Self::Slack,
            "email" => Self::Email,
            _ => Self::Json,
        }
    }
}

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryStatus {
    /// It is to be tried, perhaps again.
    Pending,
    /// It was taken.
    Delivered,
    /// It was given up.
    Dead,
}

impl DeliveryStatus {
    /// The status on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }
}

/// How long after the failure of attempt `attempt` (from 1) the next one is due; `chance` spreads those that
/// failed together over a fifth of the time. None: it is given up.
#[must_use]
pub fn pause_after(attempt: i64, chance: u8) -> Option<TimeDelta> {
    if attempt >= MAX_ATTEMPTS {
        return None;
    }
    let doublings = u32::try_from(attempt.max(1) - 1).unwrap_or(0);
    let seconds = 10_i64
        .saturating_mul(3_i64.saturating_pow(doublings))
        .min(6 * 3_600);
    let spread = seconds * 200 * i64::from(chance) / 255;
    Some(TimeDelta::milliseconds(seconds * 1_000 + spread))
}

/// Whether one of the patterns means `event`: `alert.raised`, `agent.*`, or `*`.
#[must_use]
pub fn means(patterns: &[String], event: &str) -> bool {
    patterns.iter().any(|pattern| {
        pattern == "*"
            || pattern == event
            || pattern
                .strip_suffix('*')
                .is_some_and(|noun| noun.ends_with('.') && event.starts_with(noun))
    })
}

fn check_events(events: &[String]) -> Result<Vec<String>> {
    let refuse = |problem: &str| Err(Error::field("events", problem));
    if events.is_empty() || events.len() > MAX_EVENTS {
        return refuse("name 1 to 50 events, such as alert.raised, agent.* or *");
    }
    let is_word = |word: &str| {
        !word.is_empty()
            && word
                .chars()
                .all(|letter| letter.is_ascii_lowercase() || letter == '_')
    };
    let is_event = |event: &str| match event.split_once('.') {
        Some((noun, verb)) => is_word(noun) && (verb == "*" || is_word(verb)),
        None => event == "*",
    };
    match events.iter().all(|event| event.len() <= 80 && is_event(event)) {
        true => Ok(events.to_vec()),
        false => refuse("an event is noun.verb, noun.* or *, such as alert.raised"),
    }
}

fn check_name(name: &str) -> Result<String> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > MAX_NAME_LENGTH || name.chars().any(char::is_control) {
        return Err(Error::field("name", "a name has 1 to 100 characters"));
    }
    Ok(name.to_owned())
}

fn check_address(format: Format, text: &str) -> Result<String> {
    let text = text.trim();
    if format != Format::Email {
        return parse_url("url", text).map(Into::into);
    }
    let refusal = || {
        Error::new(
            Code::FieldInvalid,
            "write the address as mailto:somebody@example.com",
        )
        .at("url")
    };
    let address = text.strip_prefix("mailto:").ok_or_else(refusal)?;
    address.parse::<lettre::Address>().map_err(|_| refusal())?;
    Ok(text.to_owned())
}

fn default_events() -> Vec<String> {
    vec!["alert.raised".to_owned()]
}

fn default_severity() -> String {
    Severity::Low.as_str().to_owned()
}

const fn yes() -> bool {
    true
}

/// A webhook as it shall be.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetWebhook {
    /// What it is called; unique in the organisation.
    pub name: String,
    /// `json` (the default), `slack` or `email`. It cannot be changed later.
    #[serde(default)]
    pub format: Format,
    /// Where to: `https://…`, or `mailto:…` for mail.
    #[schema(example = "https://hooks.example.com/aim")]
    pub url: String,
    /// Which events: names as in the audit log (`alert.raised`), `noun.*`, or `*`. If left out, `alert.raised`.
    #[serde(default = "default_events")]
    pub events: Vec<String>,
    /// Of alerts, only those of this severity or worse; `low` if left out.
    #[serde(default = "default_severity")]
    pub minimum_severity: String,
    /// Whether anything is delivered; true if left out.
    #[serde(default = "yes")]
    pub enabled: bool,
}

/// [`SetWebhook`], checked.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields of SetWebhook")]
pub struct Wanted {
    pub name: String,
    pub format: Format,
    pub url: String,
    pub events: Vec<String>,
    pub minimum_severity: Severity,
    pub enabled: bool,
}

impl SetWebhook {
    /// Checks each field.
    ///
    /// # Errors
    /// Names the field that is not accepted.
    pub fn checked(&self) -> Result<Wanted> {
        Ok(Wanted {
            name: check_name(&self.name)?,
            format: self.format,
            url: check_address(self.format, &self.url)?,
            events: check_events(&self.events)?,
            minimum_severity: parse_severity("minimum_severity", &self.minimum_severity)?,
            enabled: self.enabled,
        })
    }
}

/// A webhook, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookView {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: WebhookId,
    /// What it is called.
    pub name: String,
    /// `json`, `slack` or `email`.
    pub format: String,
    /// Where to.
    pub url: String,
    /// Which events.
    pub events: Vec<String>,
    /// Of alerts, only those of this severity or worse.
    pub minimum_severity: String,
    /// Whether anything is delivered.
    pub enabled: bool,
    /// How many attempts failed since the last one that did not.
    pub failures: i64,
    /// When it last took something.
    pub last_success_at: Option<Timestamp>,
    /// When it last failed.
    pub last_failure_at: Option<Timestamp>,
    /// Who made it, as `kind:id`.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

impl From<WebhookRow> for WebhookView {
    fn from(row: WebhookRow) -> Self {
        Self {
            id: row.id,
            events: row.events.strings(),
            name: row.name,
            format: row.format,
            url: row.url,
            minimum_severity: row.minimum_severity,
            enabled: row.enabled,
            failures: row.failures,
            last_success_at: row.last_success_at,
            last_failure_at: row.last_failure_at,
            created_by: row.created_by,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// A webhook that was just made, with its secret: this is the only time that it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NewWebhook {
    /// The webhook.
    #[serde(flatten)]
    pub webhook: WebhookView,
    /// The secret under which deliveries are signed; null for mail, which is not.
    pub secret: Option<String>,
}

/// The organisation's webhooks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookList {
    /// All of them, by name.
    pub webhooks: Vec<WebhookView>,
}

/// One delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeliveryView {
    /// Its id: the header `X-AIM-Delivery`.
    #[schema(value_type = uuid::Uuid)]
    pub id: DeliveryId,
    /// The webhook.
    #[schema(value_type = uuid::Uuid)]
    pub webhook_id: WebhookId,
    /// The event.
    pub event: String,
    /// `pending`, `delivered` or `dead`.
    pub status: String,
    /// How often it was tried.
    pub attempts: i64,
    /// What was answered last.
    pub response_status: Option<i64>,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// When it was tried last.
    pub last_attempt_at: Option<Timestamp>,
    /// When it is tried next, if it is.
    pub next_attempt_at: Option<Timestamp>,
    /// The delivery that it repeats.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub replay_of: Option<DeliveryId>,
    /// When it was queued.
    pub created_at: Timestamp,
    /// What is sent.
    pub body: String,
}

impl From<DeliveryRow> for DeliveryView {
    fn from(row: DeliveryRow) -> Self {
        let is_pending = row.status == DeliveryStatus::Pending.as_str();
        Self {
            id: row.id,
            webhook_id: row.webhook_id,
            event: row.event,
            status: row.status,
            attempts: row.attempts,
            response_status: row.response_status,
            last_error: row.last_error,
            last_attempt_at: row.last_attempt_at,
            next_attempt_at: is_pending.then_some(row.due_at),
            replay_of: row.replay_of,
            created_at: row.created_at,
            body: row.body,
        }
    }
}

/// A page of deliveries, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeliveryList {
    /// The deliveries.
    pub deliveries: Vec<DeliveryView>,
    /// Where the next page starts.
    pub next_cursor: Option<String>,
}

/// Which deliveries are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeliveryQuery {
    /// How many, 1 to 100; 20 if left out.
    pub limit: Option<i64>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl DeliveryQuery {
    /// The page.
    ///
    /// # Errors
    /// Names the parameter that is not accepted.
    pub fn page(&self) -> Result<PageRequest> {
        PageRequest::parse(self.limit, None, self.cursor.as_deref())
    }
}

/// Whether an alert of `severity` is bad enough for a webhook that wants `minimum` or worse.
#[must_use]
pub fn is_bad_enough(severity: &str, minimum: &str) -> bool {
    severity_of(severity) >= severity_of(minimum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        let pauses: Vec<_> = (1..MAX_ATTEMPTS)
            .map(|attempt| pause_after(attempt, 0).unwrap().num_seconds())
            .collect();
        assert_eq!(pauses, [10, 30, 90, 270, 810, 2_430, 7_290]);
        assert_eq!(pause_after(MAX_ATTEMPTS, 0), None);
        assert_eq!(pause_after(1, 255), Some(TimeDelta::seconds(12)));
        assert!((0..=255).all(|chance| {
            let pause = pause_after(3, chance).unwrap();
            (TimeDelta::seconds(90)..=TimeDelta::seconds(108)).contains(&pause)
        }));
    }

    #[test]
    fn a_pattern_means_an_event_a_noun_or_everything() {
        let means = |pattern: &str, event| means(&[pattern.to_owned()], event);
        assert!(means("*", "agent.suspended"));
        assert!(means("agent.*", "agent.suspended"));
        assert!(means("agent.suspended", "agent.suspended"));
        assert!(!means("agent.*", "agent_key.rotated"));
        assert!(!means("agent.suspended", "agent.reactivated"));
        assert!(!means("agent*", "agent.suspended"));
    }

    #[test]
    fn what_is_wrong_with_a_webhook_is_named() {
        let good = || SetWebhook {
            name: "On call".to_owned(),
            format: Format::Json,
            url: "https://hooks.example.com/aim".to_owned(),
            events: default_events(),
            minimum_severity: default_severity(),
            enabled: true,
        };
        assert!(good().checked().is_ok());
        type Spoil = fn(&mut SetWebhook);
        let cases: [(&str, Spoil); 10] = [
            ("name", |webhook| webhook.name = " ".to_owned()),
            ("name", |webhook| webhook.name = "x".repeat(101)),
            ("url", |webhook| webhook.url = "ftp://example.com".to_owned()),
            ("url", |webhook| webhook.url = "mailto:a@example.com".to_owned()),
            ("url", |webhook| webhook.format = Format::Email),
            ("url", |webhook| {
                webhook.format = Format::Email;
                webhook.url = "mailto:a@b\r\nBcc: c@d".to_owned();
            }),
            ("events", |webhook| webhook.events = Vec::new()),
            ("events", |webhook| {
                webhook.events = vec!["Agent.Suspended".to_owned()]
            }),
            ("events", |webhook| webhook.events = vec!["agent".to_owned()]),
            ("minimum_severity", |webhook| {
                webhook.minimum_severity = "bad".to_owned()
            }),
        ];
        for (field, spoil) in cases {
            let mut webhook = good();
            spoil(&mut webhook);
            assert_eq!(
                webhook.checked().unwrap_err().field.as_deref(),
                Some(field),
                "{webhook:?}"
            );
        }
        let mail = SetWebhook {
            format: Format::Email,
            url: "mailto:ops@example.com".to_owned(),
            ..good()
        };
        assert!(mail.checked().is_ok());
    }
}
