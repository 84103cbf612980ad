//! Alerts and their rules.

use actix_web::web;
use aim_core::{
    Ctx, Result, UserId,
    role::permission::{AlertRulesWrite, AlertsHandle, AlertsRead},
};
use aim_platform::{
    PathId, Query,
    console::{Frame, Names, PageResult, Viewing, ui},
};
use askama::Template;
use serde::Deserialize;
use serde_json::Value;

use crate::alerts::{
    AlertService,
    model::{AlertCount, AlertKind, AlertMarker, AlertQuery, AlertStatus, AlertView, SEVERITIES},
    rules::RuleView,
};

/// The filters, as a form sends them: empty ones are none.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    status: Option<String>,
    severity: Option<String>,
    kind: Option<String>,
    agent_id: Option<String>,
    mine: Option<String>,
    /// The alert whose drawer is open from the start.
    alert: Option<String>,
    cursor: Option<String>,
    limit: Option<i64>,
}

/// What the templates say of an alert.
trait Told {
    fn is_open(&self) -> bool;
    fn is_resolved(&self) -> bool;
    fn what(&self) -> String;
    fn shown(&self) -> Vec<(String, String)>;
    fn links(&self) -> Vec<(String, &'static str)>;
    fn form(&self, verb: &str) -> String;
    fn choice(&self, people: &[(UserId, String)]) -> ui::Field;
}

impl Told for AlertView {
    fn is_open(&self) -> bool {
        self.status == AlertStatus::Open.as_str()
    }

    fn is_resolved(&self) -> bool {
        self.status == AlertStatus::Resolved.as_str()
    }

    fn what(&self) -> String {
        AlertKind::parse(&self.kind).map_or_else(|| ui::in_words(&self.kind), |kind| kind.words().to_owned())
    }

    /// The evidence by its names in words.
    fn shown(&self) -> Vec<(String, String)> {
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            Value::Array(items) => items
                .iter()
                .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
                .collect::<Vec<_>>()
                .join(", "),
            other => other.to_string(),
        };
        let Some(members) = self.detail.as_object() else {
            return Vec::new();
        };
        members
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (ui::in_words(name), text(value)))
            .collect()
    }

    /// Where to look further.
    fn links(&self) -> Vec<(String, &'static str)> {
        let mut links = Vec::new();
        let detail = |name: &str| self.detail.get(name).and_then(Value::as_str);
        if let Some(id) = detail("finding_id") {
            links.push((format!("/threats/{id}"), "The finding"));
        }
        if let Some(id) = detail("webhook_id") {
            links.push((format!("/webhooks/{id}"), "The webhook"));
        }
        let Some(agent) = self.agent_id else { return links };
        match AlertKind::parse(&self.kind) {
            Some(AlertKind::DenialsBurst | AlertKind::CriticalViolation) => {
                links.push((format!("/agents/{agent}/violations"), "The agent's violations"));
            }
            Some(AlertKind::KeyExpired | AlertKind::KeyExpiring) => {
                links.push((format!("/agents/{agent}/key-vault"), "The agent's keys"));
            }
            Some(AlertKind::TrustLow) => {
                links.push((format!("/agents/{agent}/trust"), "The agent's trust"));
            }
            _ => links.push((format!("/agents/{agent}"), "The agent")),
        }
        links
    }

    fn form(&self, verb: &str) -> String {
        format!("{verb}-{}", self.id)
    }

    /// Who can be given it. The values are JSON, so that nobody is null.
    fn choice(&self, people: &[(UserId, String)]) -> ui::Field {
        let chosen = self
            .assigned_to
            .map_or_else(|| "null".to_owned(), |user| format!("\"{user}\""));
        people.iter().fold(
            ui::select("user_id", "Who takes care of it")
                .within(self.form("assign"))
                .data_type("json")
                .value(chosen)
                .option("null", "Nobody"),
            |field, (id, name)| field.option(format!("\"{id}\""), name),
        )
    }
}

#[derive(Template)]
#[template(path = "monitoring/alerts.html")]
struct AlertsPage<'a> {
    frame: &'a Frame,
    query: ListQuery,
    alerts: Vec<AlertView>,
    count: AlertCount,
    opened: Option<AlertView>,
    people: Vec<(UserId, String)>,
    names: Names,
    next: Option<String>,
    filtered: bool,
}

impl AlertsPage<'_> {
    fn filters(&self) -> [ui::Field; 4] {
        let chosen = |text: &Option<String>| text.clone().unwrap_or_default();
        let status = AlertStatus::ALL.into_iter().fold(
            ui::select("status", "Status")
                .value(self.query.status.as_deref().unwrap_or("unresolved"))
                .option("unresolved", "Not resolved")
                .option("all", "All"),
            |field, status| field.option(status.as_str(), ui::in_words(status.as_str())),
        );
        let severity = SEVERITIES.into_iter().rev().fold(
            ui::select("severity", "Severity")
                .value(chosen(&self.query.severity))
                .option("", "Any"),
            |field, severity| field.option(severity.as_str(), ui::in_words(severity.as_str())),
        );
        let kind = AlertKind::ALL.into_iter().fold(
            ui::select("kind", "Kind")
                .value(chosen(&self.query.kind))
                .option("", "Any"),
            |field, kind| field.option(kind.as_str(), kind.words()),
        );
        let mine = ui::select("mine", "Assigned")
            .value(chosen(&self.query.mine))
            .option("", "Anybody")
            .option("true", "Me");
        [status, severity, kind, mine]
    }

    /// The drawers of the page: of each row, and of the one that was asked for.
    fn drawers(&self) -> Vec<(&AlertView, bool)> {
        let opened = self.opened.as_ref();
        let is_opened = |alert: &AlertView| opened.is_some_and(|opened| opened.id == alert.id);
        let mut drawers: Vec<_> = self
            .alerts
            .iter()
            .map(|alert| (alert, is_opened(alert)))
            .collect();
        if let Some(opened) = opened
            && !self.alerts.iter().any(|alert| alert.id == opened.id)
        {
            drawers.push((opened, true));
        }
        drawers
    }
}

async fn people(service: &AlertService, frame: &Frame, ctx: &Ctx) -> Result<Vec<(UserId, String)>> {
    if frame.can::<AlertsHandle>() {
        service.people(ctx).await
    } else {
        Ok(Vec::new())
    }
}

pub(super) async fn alerts_page(
    viewing: Viewing<AlertsRead>,
    query: Query<ListQuery>,
    service: web::Data<AlertService>,
) -> PageResult {
    let kept = |text: Option<String>| text.filter(|text| !text.is_empty());
    let query = ListQuery {
        status: kept(query.0.status),
        severity: kept(query.0.severity),
        kind: kept(query.0.kind),
        agent_id: kept(query.0.agent_id),
        mine: kept(query.0.mine),
        alert: kept(query.0.alert),
        cursor: kept(query.0.cursor),
        limit: query.0.limit,
    };
    let id_of = |name: &'static str| move |_| aim_core::Error::field(name, format!("{name} is a UUID"));
    let unresolved = || {
        vec![
            AlertStatus::Open.as_str().to_owned(),
            AlertStatus::Acknowledged.as_str().to_owned(),
        ]
    };
    let status = match query.status.as_deref() {
        None | Some("unresolved") => unresolved(),
        Some("all") => Vec::new(),
        Some(other) => vec![other.to_owned()],
    };
    let agent_id = query
        .agent_id
        .as_deref()
        .map(|text| text.parse().map_err(id_of("agent_id")));
    let me = match (&viewing.ctx.actor, &query.mine) {
        (aim_core::Actor::User { id, .. }, Some(_)) => Some(*id),
        _ => None,
    };
    let wanted = AlertQuery {
        status,
        severity: query.severity.iter().cloned().collect(),
        kind: query.kind.iter().cloned().collect(),
        agent_id: agent_id.transpose()?,
        assigned_to: me,
        limit: query.limit.or(Some(25)),
        cursor: query.cursor.clone(),
    };
    let list = service.list(&viewing.ctx, &wanted).await?;
    let opened = match query.alert.as_deref() {
        Some(text) => match text.parse() {
            // A link to an alert that is gone leads to the list.
            Ok(id) => service.get(&viewing.ctx, id).await.ok(),
            Err(_) => None,
        },
        None => None,
    };
    let actors = list.alerts.iter().chain(&opened).flat_map(|alert| {
        [alert.acknowledged_by.clone(), alert.resolved_by.clone()]
            .into_iter()
            .flatten()
    });
    let page = AlertsPage {
        frame: &viewing.frame,
        names: viewing.names(actors.collect::<Vec<_>>()).await,
        filtered: query.severity.is_some()
            || query.kind.is_some()
            || query.agent_id.is_some()
            || query.mine.is_some()
            || query.status.is_some(),
        count: service.count(&viewing.ctx).await?,
        people: people(&service, &viewing.frame, &viewing.ctx).await?,
        opened,
        query,
        alerts: list.alerts,
        next: list.next_cursor,
    };
    viewing.page("Alerts", &page)
}

#[derive(Template)]
#[template(path = "monitoring/alert.html")]
struct AlertPage<'a> {
    frame: &'a Frame,
    alert: &'a AlertView,
    people: Vec<(UserId, String)>,
    names: Names,
}

pub(super) async fn alert_page(
    viewing: Viewing<AlertsRead>,
    id: PathId<AlertMarker>,
    service: web::Data<AlertService>,
) -> PageResult {
    let alert = service.get(&viewing.ctx, id.0).await?;
    let actors = [alert.acknowledged_by.clone(), alert.resolved_by.clone()];
    let page = AlertPage {
        frame: &viewing.frame,
        names: viewing.names(actors.into_iter().flatten()).await,
        people: people(&service, &viewing.frame, &viewing.ctx).await?,
        alert: &alert,
    };
    viewing.page(alert.title.clone(), &page)
}

#[derive(Template)]
#[template(path = "monitoring/rules.html")]
struct RulesPage<'a> {
    frame: &'a Frame,
    rules: Vec<RuleView>,
    names: Names,
}

/// What a rule means, for people.
trait Meaning {
    fn when(&self) -> String;
    fn cooldown(&self) -> String;
    fn severity_words(&self) -> String;
    fn severity_field(&self) -> ui::Field;
    fn threshold_label(&self) -> &'static str;
}

impl Meaning for RuleView {
    fn when(&self) -> String {
        let threshold = self.threshold.unwrap_or(1);
        match self.kind {
            AlertKind::DenialsBurst => format!(
                "An agent is denied {threshold} times within {}",
                minutes(self.window_minutes.unwrap_or(1))
            ),
            AlertKind::CriticalViolation => "A denied attempt is of critical severity".to_owned(),
            AlertKind::KeyExpiring => "A current key expires within 30, 14, 7 or 1 days".to_owned(),
            AlertKind::KeyExpired => "A current key of an active agent has expired".to_owned(),
            AlertKind::TrustLow => "A trust score falls below the threshold of the trust policy".to_owned(),
            AlertKind::ThreatFinding => "Threat detection finds something".to_owned(),
            AlertKind::AgentSuspended => "An agent is suspended, by a person or by AIM itself".to_owned(),
            AlertKind::WebhookFailing => "A webhook fails three times in a row".to_owned(),
            AlertKind::AuditUnverified => {
                format!("The audit log was not verified for {threshold} days, or did not pass")
            }
        }
    }

    fn cooldown(&self) -> String {
        match self.cooldown_minutes {
            0 => "Each time".to_owned(),
            cooldown => format!("After {}", minutes(cooldown)),
        }
    }

    fn severity_words(&self) -> String {
        self.severity
            .as_deref()
            .map_or_else(|| "As bad as the cause".to_owned(), ui::in_words)
    }

    /// The values are JSON, so that "as bad as the cause" is null.
    fn severity_field(&self) -> ui::Field {
        let json = |name: &str| format!("\"{name}\"");
        SEVERITIES.into_iter().rev().fold(
            ui::select("severity", "Severity")
                .within(self.kind.as_str())
                .data_type("json")
                .value(self.severity.as_deref().map_or_else(|| "null".to_owned(), json))
                .option("null", "As bad as the cause"),
            |field, severity| field.option(json(severity.as_str()), ui::in_words(severity.as_str())),
        )
    }

    fn threshold_label(&self) -> &'static str {
        match self.window_minutes {
            Some(_) => "How many denials",
            None => "After how many days",
        }
    }
}

fn minutes(minutes: i64) -> String {
    let of = |number: i64, unit: &str| {
        if number == 1 {
            format!("1 {unit}")
        } else {
            format!("{number} {unit}s")
        }
    };
    match minutes {
        whole if whole % 1_440 == 0 => of(whole / 1_440, "day"),
        whole if whole % 60 == 0 => of(whole / 60, "hour"),
        other => of(other, "minute"),
    }
}

pub(super) async fn rules_page(viewing: Viewing<AlertsRead>, service: web::Data<AlertService>) -> PageResult {
    let rules = service.rules(&viewing.ctx).await?.rules;
    let actors: Vec<String> = rules.iter().filter_map(|rule| rule.updated_by.clone()).collect();
    let page = RulesPage {
        frame: &viewing.frame,
        names: viewing.names(actors).await,
        rules,
    };
    viewing.page("Alert rules", &page)
}
