//! Decisions in the console: an agent's tab "Activity", and the page of one decision with its evidence.

use actix_web::web;
use aim_core::{
    AgentId, Error, Result,
    id::DecisionKind,
    role::permission::{AuditRead, VerificationsRead, VerificationsReview},
};
use aim_decision::DeciderKind;
use aim_platform::{
    PathId,
    console::{
        AgentTab, ConsoleRegistry, Fragment, Frame, Names, PageResult, Panel, TabQuery, Viewed, Viewing, ui,
    },
};
use askama::Template;
use chrono::TimeDelta;
use serde::Deserialize;

use super::{
    DecisionView,
    model::DecisionFilter,
    service::{Evidence, VerificationService},
};

/// How many decisions a page shows.
const PAGE: i64 = 50;
/// The ranges that can be chosen by name, with their length in hours.
const RANGES: [(&str, &str, i64); 4] = [
    ("1h", "1 h", 1),
    ("24h", "24 h", 24),
    ("7d", "7 d", 7 * 24),
    ("30d", "30 d", 30 * 24),
];

/// Registers the pages.
pub(crate) fn register(console: &mut ConsoleRegistry, verifications: &VerificationService) {
    console.page("/decisions/{id}", decision_page);
    let service = verifications.clone();
    console.agent_tab(AgentTab::new::<VerificationsRead, _, _>(
        "activity",
        "Activity",
        20,
        move |viewed, agent, query| {
            let service = service.clone();
            async move { activity(&service, &viewed, agent, &query).await }
        },
    ));
}

/// The parameters of the tab: texts, since a form sends the empty ones too.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ActivityQuery {
    status: String,
    range: String,
    from: String,
    to: String,
    cursor: Option<String>,
}

impl ActivityQuery {
    fn filter(&self, agent: AgentId, viewed: &Viewed) -> Result<DecisionFilter> {
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let from = match self.range.as_str() {
            "" => day(&self.from, "T00:00:00Z"),
            name => {
                let (_, _, hours) = RANGES
                    .iter()
                    .find(|(range, ..)| *range == name)
                    .ok_or_else(|| Error::field("range", "range is 1h, 24h, 7d or 30d"))?;
                Some((viewed.ctx.now - TimeDelta::hours(*hours)).to_text())
            }
        };
        Ok(DecisionFilter {
            agent_id: Some(agent),
            status: text(&self.status),
            from,
            to: if self.range.is_empty() {
                day(&self.to, "T23:59:59.999999Z")
            } else {
                None
            },
            limit: Some(PAGE),
            cursor: self.cursor.clone(),
        })
    }

    fn is_filtered(&self) -> bool {
        [&self.status, &self.range, &self.from, &self.to]
            .iter()
            .any(|text| !text.is_empty())
    }
}

/// A moment of RFC 3339 as it is; a bare day at that time of it, in UTC.
fn day(text: &str, time: &str) -> Option<String> {
    match text {
        "" => None,
        day if day.len() == 10 => Some(format!("{day}{time}")),
        moment => Some(moment.to_owned()),
    }
}

#[derive(Template)]
#[template(path = "decisions/activity.html")]
struct Activity<'a> {
    frame: &'a Frame,
    query: &'a ActivityQuery,
    decisions: Vec<DecisionView>,
    next: Option<String>,
    filtered: bool,
}

impl Activity<'_> {
    fn ranges(&self) -> Vec<(&'static str, &'static str)> {
        RANGES.iter().map(|(name, label, _)| (*name, *label)).collect()
    }
}

async fn activity(
    service: &VerificationService,
    viewed: &Viewed,
    agent: AgentId,
    query: &TabQuery,
) -> Result<Fragment> {
    let query: ActivityQuery = query.parse()?;
    let list = service.list(&viewed.ctx, query.filter(agent, viewed)?).await?;
    Fragment::of(&Activity {
        frame: &viewed.frame,
        filtered: query.is_filtered(),
        query: &query,
        decisions: list.verifications,
        next: list.next_cursor,
    })
}

#[derive(Template)]
#[template(path = "decisions/decision.html")]
struct DecisionPage<'a> {
    frame: &'a Frame,
    decision: DecisionView,
    evidence: Option<Panel<Evidence>>,
    names: Names,
}

impl DecisionPage<'_> {
    fn agent(&self) -> String {
        self.names.plain(&format!("agent:{}", self.decision.agent_id))
    }

    fn decider(&self) -> Option<(&'static str, String)> {
        let decider = self.decision.decided_by?;
        let kind = match decider.kind {
            DeciderKind::Grant => "grant",
            DeciderKind::Policy => "policy",
        };
        Some((kind, decider.id.to_string()))
    }

    fn pretty(&self, json: &str) -> String {
        serde_json::from_str::<serde_json::Value>(json)
            .and_then(|value| serde_json::to_string_pretty(&value))
            .unwrap_or_else(|_| json.to_owned())
    }
}

async fn decision_page(
    viewing: Viewing<VerificationsRead>,
    id: PathId<DecisionKind>,
    service: web::Data<VerificationService>,
) -> PageResult {
    let decision = service.get(&viewing.ctx, id.0).await?;
    let evidence = if viewing.frame.can::<AuditRead>() {
        Some(Panel::load("The evidence", &viewing, service.evidence(&viewing.ctx, id.0)).await)
    } else {
        None
    };
    let agent = format!("agent:{}", decision.agent_id);
    let names = viewing
        .names([Some(agent), decision.approved_by.clone()].into_iter().flatten())
        .await;
    let title = format!("{} · Decision", decision.action);
    let page = DecisionPage {
        frame: &viewing.frame,
        decision,
        evidence,
        names,
    };
    viewing.page(title, &page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_day_begins_and_ends_with_that_day() {
        assert_eq!(day("", "T00:00:00Z"), None);
        assert_eq!(
            day("2026-03-01", "T00:00:00Z").as_deref(),
            Some("2026-03-01T00:00:00Z")
        );
        assert_eq!(
            day("2026-03-01T10:00:00Z", "T00:00:00Z").as_deref(),
            Some("2026-03-01T10:00:00Z")
        );
    }
}
