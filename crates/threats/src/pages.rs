//! The console's part: findings with their evidence, and what the detectors lead to.

use actix_web::web;
use aim_core::{
    id::Id,
    role::permission::{ThreatPoliciesWrite, ThreatsRead, ThreatsReview},
};
use aim_decision::Severity;
use aim_platform::{
    PathId, Query,
    console::{ConsoleRegistry, Frame, Names, NavEntry, NavSection, PageResult, Panel, Viewing, ui},
};
use askama::Template;
use serde_json::Value;

use crate::{
    detector::{AnyDetector, Detector, Response},
    model::{DetectorPolicy, FindingKind, FindingQuery, FindingStatus, FindingView, HoneytokenView},
    service::ThreatService,
};

/// Registers the pages.
pub(crate) fn register(console: &mut ConsoleRegistry) {
    console.page("/threats", findings_page);
    // Before the one with an id, which would take its name for one.
    console.page("/threats/detectors", detectors_page);
    console.page("/threats/{id}", finding_page);
    console.navigation(NavEntry::new::<ThreatsRead>(
        NavSection::Monitor,
        "Threats",
        "/threats",
        "threat",
        40,
    ));
}

/// What the templates say of a finding.
trait Told {
    /// What was done by itself, in words.
    fn done(&self) -> &'static str;
    /// The values of the evidence by their names in words.
    fn shown(&self) -> Vec<(String, String)>;
    /// The records that show it.
    fn records(&self) -> String;
    /// The name of its review's form.
    fn form(&self) -> String;
}

impl Told for FindingView {
    fn done(&self) -> &'static str {
        match (self.response, self.agent_id.is_some()) {
            (Response::Suspend, true) => "People were alerted, and the agent was suspended.",
            (Response::RequireApproval, true) => {
                "People were alerted, and for a time a person approves whatever the agent does."
            }
            _ => "People were alerted.",
        }
    }

    fn shown(&self) -> Vec<(String, String)> {
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            Value::Array(items) => {
                let items: Vec<String> = items
                    .iter()
                    .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
                    .collect();
                items.join(", ")
            }
            other => other.to_string(),
        };
        self.evidence
            .values
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (ui::in_words(name), text(value)))
            .filter(|(_, text)| !text.is_empty())
            .collect()
    }

    fn records(&self) -> String {
        let records: Vec<String> = self.evidence.records.iter().map(i64::to_string).collect();
        records.join(", ")
    }

    fn form(&self) -> String {
        format!("review-{}", self.id)
    }
}

#[derive(Template)]
#[template(path = "threats/list.html")]
struct FindingsPage<'a> {
    frame: &'a Frame,
    query: FindingQuery,
    findings: Vec<FindingView>,
    names: Names,
    next: Option<String>,
    filtered: bool,
    detectors: Vec<AnyDetector>,
}

impl FindingsPage<'_> {
    fn statuses(&self) -> [(&'static str, &'static str); 3] {
        FindingStatus::ALL.map(|status| {
            let label = match status {
                FindingStatus::Open => "Open",
                FindingStatus::FalsePositive => "False positive",
                FindingStatus::Handled => "Handled",
            };
            (status.as_str(), label)
        })
    }

    fn severities(&self) -> [&'static str; 4] {
        [
            Severity::Critical,
            Severity::High,
            Severity::Medium,
            Severity::Low,
        ]
        .map(Severity::as_str)
    }

    /// The filters, with what is chosen.
    fn filters(&self) -> [ui::Field; 3] {
        let chosen = |text: &Option<String>| text.clone().unwrap_or_default();
        let status = self.statuses().into_iter().fold(
            ui::select("status", "Status")
                .value(chosen(&self.query.status))
                .option("", "Any"),
            |field, (value, label)| field.option(value, label),
        );
        let severity = self.severities().into_iter().fold(
            ui::select("severity", "Severity")
                .value(chosen(&self.query.severity))
                .option("", "Any"),
            |field, value| field.option(value, ui::in_words(value)),
        );
        let detector = self.detectors.iter().fold(
            ui::select("detector", "Detector")
                .value(chosen(&self.query.detector))
                .option("", "Any"),
            |field, detector| field.option(detector.as_str(), detector.title()),
        );
        [status, severity, detector]
    }
}

/// A form sends its empty fields too; an empty filter is none.
fn without_empty(query: FindingQuery) -> FindingQuery {
    let kept = |text: Option<String>| text.filter(|text| !text.is_empty());
    FindingQuery {
        status: kept(query.status),
        severity: kept(query.severity),
        detector: kept(query.detector),
        agent_id: kept(query.agent_id),
        from: kept(query.from),
        to: kept(query.to),
        limit: kept(query.limit),
        cursor: kept(query.cursor),
    }
}

async fn findings_page(
    viewing: Viewing<ThreatsRead>,
    query: Query<FindingQuery>,
    service: web::Data<ThreatService>,
) -> PageResult {
    let query = without_empty(query.0);
    let list = service.list(&viewing.ctx, query.parse(service.added())?).await?;
    let names = viewing
        .names(
            list.threats
                .iter()
                .filter_map(|finding| finding.reviewed_by.clone()),
        )
        .await;
    let filtered = [
        &query.status,
        &query.severity,
        &query.detector,
        &query.agent_id,
        &query.from,
        &query.to,
    ]
    .into_iter()
    .any(Option::is_some);
    let page = FindingsPage {
        frame: &viewing.frame,
        filtered,
        query,
        findings: list.threats,
        names,
        next: list.next_cursor,
        detectors: AnyDetector::all(service.added()).collect(),
    };
    viewing.page("Threats", &page)
}

#[derive(Template)]
#[template(path = "threats/one.html")]
struct FindingPage<'a> {
    frame: &'a Frame,
    finding: FindingView,
    names: Names,
}

async fn finding_page(
    viewing: Viewing<ThreatsRead>,
    id: PathId<FindingKind>,
    service: web::Data<ThreatService>,
) -> PageResult {
    let finding = service.get(&viewing.ctx, Id::from_uuid(id.0.uuid())).await?;
    let names = viewing.names(finding.reviewed_by.clone()).await;
    let title = finding.title.clone();
    let page = FindingPage {
        frame: &viewing.frame,
        finding,
        names,
    };
    viewing.page(title, &page)
}

#[derive(Template)]
#[template(path = "threats/detectors.html")]
struct DetectorsPage<'a> {
    frame: &'a Frame,
    policies: Vec<DetectorPolicy>,
    honeytokens: Option<Panel<Vec<HoneytokenView>>>,
    names: Names,
}

impl DetectorsPage<'_> {
    /// What the detector may lead to, and what it leads to now.
    fn choices(&self, policy: &DetectorPolicy) -> Vec<(&'static str, String, bool)> {
        Response::ALL
            .into_iter()
            .filter(|response| *response <= policy.strongest)
            .map(|response| {
                let words = ui::in_words(response.as_str());
                (response.as_str(), words, response == policy.response)
            })
            .collect()
    }

    /// Whether it is kept from more than an alert because anybody could set it off.
    fn is_bounded(&self, policy: &DetectorPolicy) -> bool {
        policy.strongest == Response::Alert && policy.detector != Detector::McpDrift.as_str()
    }

    fn response(&self, policy: &DetectorPolicy) -> String {
        ui::in_words(policy.response.as_str())
    }

    /// The names of the honeytokens, a line each.
    fn lines(&self, honeytokens: &[HoneytokenView]) -> String {
        let names: Vec<&str> = honeytokens
            .iter()
            .map(|token| token.capability.as_str())
            .collect();
        names.join("\n")
    }
}

async fn detectors_page(viewing: Viewing<ThreatsRead>, service: web::Data<ThreatService>) -> PageResult {
    let policies = service.policies(&viewing.ctx).await?.policies;
    let honeytokens = if viewing.frame.can::<ThreatPoliciesWrite>() {
        let load = async { Ok(service.honeytokens(&viewing.ctx).await?.honeytokens) };
        Some(Panel::load("Honeytokens", &viewing, load).await)
    } else {
        None
    };
    let mut actors: Vec<String> = policies
        .iter()
        .filter_map(|policy| policy.updated_by.clone())
        .collect();
    if let Some(Panel::Ready(tokens)) = &honeytokens {
        actors.extend(tokens.iter().map(|token| token.created_by.clone()));
    }
    let page = DetectorsPage {
        frame: &viewing.frame,
        names: viewing.names(actors).await,
        policies,
        honeytokens,
    };
    viewing.page("Detectors", &page)
}
