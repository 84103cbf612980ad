//! The audit log in the console: the organisation's page and an agent's tab, with the leaf and its hash of
//! the record that is open beside the list.

use actix_web::web;
use aim_core::{AgentId, Result, Timestamp, role::permission::AuditRead};
use aim_platform::{
    Query,
    console::{
        AgentTab, ConsoleRegistry, Fragment, Frame, Names, NavEntry, NavSection, PageResult, TabQuery,
        Viewed, Viewing, ui,
    },
};
use askama::Template;
use chrono::{NaiveDateTime, TimeDelta};
use serde::Deserialize;

use super::{
    model::{AuditEntry, AuditLine, AuditList, AuditQuery},
    service::AuditLogService,
};

/// How many records a page shows.
const PAGE: &str = "50";
/// The ranges that can be chosen by name, with their length in hours.
const RANGES: [(&str, &str, i64); 4] = [
    ("1h", "Last hour", 1),
    ("24h", "Last 24 hours", 24),
    ("7d", "Last 7 days", 7 * 24),
    ("30d", "Last 30 days", 30 * 24),
];

/// Registers page, navigation and tab.
pub(crate) fn register(console: &mut ConsoleRegistry, service: &AuditLogService) {
    console.page("/audit", audit_page);
    console.navigation(NavEntry::new::<AuditRead>(
        NavSection::Govern,
        "Audit log",
        "/audit",
        "list",
        10,
    ));
    let service = service.clone();
    console.agent_tab(AgentTab::new::<AuditRead, _, _>(
        "audit",
        "Audit",
        80,
        move |viewed: Viewed, agent, query: TabQuery| {
            let service = service.clone();
            async move { part(&viewed, Some(agent), &query.parse()?, &service).await }
        },
    ));
}

/// The parameters of the page: texts, since a form sends the empty ones too.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PageQuery {
    range: String,
    from: String,
    to: String,
    kind: String,
    action: String,
    actor_kind: String,
    actor_id: String,
    agent_id: String,
    outcome: String,
    cursor: Option<String>,
    open: String,
}

fn text(text: &str) -> Option<String> {
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// A moment in RFC 3339; or as a browser without scripts sends it, which then is UTC.
fn moment(value: &str) -> Option<String> {
    let value = text(value)?;
    let plain = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(&value, form).ok());
    Some(plain.map_or(value, |plain| Timestamp::new(plain.and_utc()).to_text()))
}

impl PageQuery {
    fn range(&self) -> &str {
        let known = RANGES.iter().any(|(name, ..)| *name == self.range);
        match () {
            () if known => &self.range,
            () if text(&self.from).is_some() || text(&self.to).is_some() || self.range == "custom" => {
                "custom"
            }
            () => "all",
        }
    }

    /// The same question to the API: what the page shows is what the files hold.
    fn asked(&self, agent: Option<AgentId>, now: Timestamp) -> AuditQuery {
        let hours = RANGES
            .iter()
            .find(|(name, ..)| *name == self.range())
            .map(|(_, _, hours)| *hours);
        let (from, to) = match (self.range(), hours) {
            (_, Some(hours)) => (Some((now - TimeDelta::hours(hours)).to_text()), None),
            ("custom", _) => (moment(&self.from), moment(&self.to)),
            _ => (None, None),
        };
        AuditQuery {
            action: text(&self.action),
            kind: text(&self.kind),
            actor_kind: text(&self.actor_kind),
            actor_id: text(&self.actor_id),
            agent_id: agent
                .map(|agent| agent.to_string())
                .or_else(|| text(&self.agent_id)),
            target_id: None,
            outcome: text(&self.outcome),
            from,
            to,
            limit: Some(PAGE.to_owned()),
            cursor: self.cursor.clone(),
            format: None,
        }
    }

    fn is_filtered(&self) -> bool {
        self.range() != "all"
            || [
                &self.kind,
                &self.action,
                &self.actor_kind,
                &self.actor_id,
                &self.agent_id,
                &self.outcome,
            ]
            .iter()
            .any(|value| text(value).is_some())
    }
}

/// The address of the file of what is filtered.
fn export(asked: &AuditQuery, format: &str) -> String {
    let pairs = [
        ("action", &asked.action),
        ("kind", &asked.kind),
        ("actor_kind", &asked.actor_kind),
        ("actor_id", &asked.actor_id),
        ("agent_id", &asked.agent_id),
        ("outcome", &asked.outcome),
        ("from", &asked.from),
        ("to", &asked.to),
    ];
    let mut pairs: Vec<(&str, &str)> = pairs
        .iter()
        .filter_map(|(name, value)| Some((*name, value.as_deref()?)))
        .collect();
    pairs.push(("format", format));
    let query = serde_html_form::to_string(pairs).unwrap_or_default();
    format!("/api/v1/audit-logs?{query}")
}

/// A record with its leaf, byte for byte.
struct Opened {
    entry: AuditEntry,
    line: AuditLine,
}

impl Opened {
    fn pretty(&self) -> String {
        serde_json::from_str::<serde_json::Value>(&self.line.leaf)
            .and_then(|leaf| serde_json::to_string_pretty(&leaf))
            .unwrap_or_else(|_| self.line.leaf.clone())
    }

    fn details(&self) -> Option<String> {
        let details = self.entry.details.as_ref()?;
        serde_json::to_string_pretty(details).ok()
    }

    /// Whether the leaf commits to details that are not there any more.
    fn is_erased(&self) -> bool {
        let leaf = serde_json::from_str::<serde_json::Value>(&self.line.leaf).unwrap_or_default();
        let committed = leaf
            .get("commitment")
            .is_some_and(|commitment| !commitment.is_null());
        committed && self.entry.kind == "event" && self.entry.details.is_none()
    }

    /// How anybody can work the hash out again.
    fn recipe(&self) -> String {
        let leaf = self.line.leaf.replace('\'', r"'\''");
        format!("{{ printf '\\000'; printf '%s' '{leaf}'; }} | sha256sum")
    }

    /// Where the thing is shown that it was done to.
    fn target_href(&self) -> Option<String> {
        let id = self.entry.target.id.as_deref()?;
        match self.entry.target.kind.as_str() {
            "agent" => Some(format!("/agents/{id}")),
            "decision" => Some(format!("/decisions/{id}")),
            "violation" => Some(format!("/violations/{id}")),
            _ => None,
        }
    }
}

#[derive(Template)]
#[template(path = "audit/list.html")]
struct ListPart<'a> {
    frame: &'a Frame,
    query: &'a PageQuery,
    list: AuditList,
    names: Names,
    opened: Option<Opened>,
    csv: String,
    ndjson: String,
    of_agent: bool,
}

#[derive(Template)]
#[template(path = "audit/page.html")]
struct AuditPage {
    list: Fragment,
}

fn actor_text(entry: &AuditEntry) -> String {
    match &entry.actor.id {
        Some(id) => format!("{}:{id}", entry.actor.kind),
        None => entry.actor.kind.clone(),
    }
}

impl ListPart<'_> {
    fn actor(&self, entry: &AuditEntry) -> Fragment {
        self.names.show(&actor_text(entry))
    }

    fn agent(&self, agent: &AgentId) -> String {
        self.names.plain(&format!("agent:{agent}"))
    }

    /// What was done: an event's action, or the capability that was decided on.
    fn action(&self, entry: &AuditEntry) -> String {
        let capability = entry.facts.get("capability").and_then(serde_json::Value::as_str);
        match capability.filter(|_| entry.kind == "decision") {
            Some(capability) => capability.to_owned(),
            None => entry.action.clone(),
        }
    }

    fn opening(&self, entry: &AuditEntry) -> String {
        let query = self.frame.target.split_once('?').map_or("", |(_, query)| query);
        let mut pairs: Vec<(String, String)> = serde_html_form::from_str(query).unwrap_or_default();
        pairs.retain(|(name, _)| name != "open");
        pairs.push(("open".to_owned(), entry.leaf_index.to_string()));
        let query = serde_html_form::to_string(pairs).unwrap_or_default();
        format!("{}?{query}", self.frame.path)
    }

    fn range_choice(&self) -> ui::Field {
        let choice = ui::select("range", "When")
            .value(self.query.range())
            .option("all", "All time");
        RANGES
            .iter()
            .fold(choice, |choice, (name, label, _)| choice.option(name, label))
            .option("custom", "Between two moments")
    }

    fn kind_choice(&self) -> ui::Field {
        ui::select("kind", "Records")
            .value(&self.query.kind)
            .option("", "All")
            .option("event", "Changes")
            .option("decision", "Decisions")
    }

    fn actor_choice(&self) -> ui::Field {
        let choice = ui::select("actor_kind", "By").value(&self.query.actor_kind);
        [
            ("", "Anybody"),
            ("user", "People"),
            ("api_key", "API keys"),
            ("agent", "Agents"),
            ("system", "AIM itself"),
            ("anonymous", "Nobody signed in"),
        ]
        .iter()
        .fold(choice, |choice, (kind, label)| choice.option(kind, label))
    }

    fn outcome_choice(&self) -> ui::Field {
        let choice = ui::select("outcome", "Verdict")
            .value(&self.query.outcome)
            .option("", "Any");
        ["ok", "approved", "denied", "pending", "refused"]
            .iter()
            .fold(choice, |choice, outcome| {
                choice.option(outcome, ui::in_words(outcome))
            })
    }

    fn custom(&self) -> bool {
        self.query.range() == "custom"
    }
}

async fn audit_page(
    viewing: Viewing<AuditRead>,
    query: Query<PageQuery>,
    service: web::Data<AuditLogService>,
) -> PageResult {
    let viewed = viewing.into_viewed();
    let list = part(&viewed, None, &query.0, &service).await?;
    viewed.page("Audit log", &AuditPage { list })
}

async fn part(
    viewed: &Viewed,
    agent: Option<AgentId>,
    query: &PageQuery,
    service: &AuditLogService,
) -> Result<Fragment> {
    let asked = query.asked(agent, viewed.ctx.now);
    let list = service.list(&viewed.ctx, asked.filter()?, asked.page()?).await?;
    let opened = match query.open.parse::<i64>() {
        // A record that is not the organisation's is no reason not to show the list.
        Ok(index) => service.record(&viewed.ctx, index).await?.map(|record| Opened {
            entry: record.clone().into(),
            line: record.into(),
        }),
        Err(_) => None,
    };
    let mut actors: Vec<String> = list.entries.iter().map(actor_text).collect();
    actors.extend(
        list.entries
            .iter()
            .filter_map(|entry| Some(format!("agent:{}", entry.agent_id?))),
    );
    actors.extend(opened.iter().map(|opened| actor_text(&opened.entry)));
    Fragment::of(&ListPart {
        frame: &viewed.frame,
        query,
        names: viewed.names(actors).await,
        csv: export(&asked, "csv"),
        ndjson: export(&asked, "ndjson"),
        list,
        opened,
        of_agent: agent.is_some(),
    })
}
