//! The pages "Secret access", "Unused and broad" and "Honeytokens"; the part "Access" of a secret's page, and an agent's tab.

use actix_web::web;
use aim_core::{AgentId, Result};
use aim_monitoring::activity::model::Granularity;
use aim_platform::{
    Query,
    console::{
        AgentTab, ConsoleRegistry, Fragment, Frame, Names, NavEntry, NavSection, PageResult, Panel, TabQuery,
        Viewed, Viewing,
        chart::{self, Series},
        ui,
    },
};
use aim_threats::model::FindingView;
use askama::Template;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::{
    honeytokens::{HoneytokenSecret, Shape},
    model::{
        AccessList, AccessQuery, AccessSummary, AccessView, BroadList, BroadQuery, SummaryQuery, UnusedList,
        UnusedQuery,
    },
    permission::{HoneytokensWrite, SecretsAudit},
    service::AccessService,
    settings::{Thresholds, ThresholdsView},
};
use crate::{
    agent_choice::AgentChoice,
    vault::{path::SecretPath, permission::SecretsRead, sections},
};

/// How many accesses a page shows.
const PAGE: &str = "50";
/// How many findings stand beside them.
const FINDINGS: i64 = 5;

pub(super) fn register(console: &mut ConsoleRegistry, service: &AccessService) {
    console.page("/secrets/access", access_page);
    console.page("/secrets/access/review", review_page);
    console.page("/secrets/honeytokens", honeytokens_page);
    console.navigation(NavEntry::new::<SecretsAudit>(
        NavSection::Agents,
        "Secret access",
        "/secrets/access",
        "search",
        52,
    ));
    let accesses = service.clone();
    console.agent_tab(AgentTab::new::<SecretsAudit, _, _>(
        "secret-access",
        "Secret access",
        56,
        move |viewed, agent, query| {
            let accesses = accesses.clone();
            async move { tab(&accesses, &viewed, agent, &query).await }
        },
    ));
}

/// What the templates say of an access.
trait Told {
    /// How it was handed over, in words.
    fn handed_over(&self) -> String;
    /// The kind and the id of what decided.
    fn decider(&self) -> Option<(String, &str)>;
}

impl Told for AccessView {
    fn handed_over(&self) -> String {
        match self.delivery.as_deref() {
            None => "–".to_owned(),
            Some("nothing") => "Nothing was there".to_owned(),
            Some(word) => ui::in_words(word),
        }
    }

    fn decider(&self) -> Option<(String, &str)> {
        let (kind, id) = self.decided_by.as_deref()?.split_once(':')?;
        Some((ui::in_words(kind), id))
    }
}

/// The parameters of the page: texts, since a form sends the empty ones too.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PageQuery {
    /// A path, or the beginning of paths if it ends in a slash.
    path: String,
    agent_id: String,
    outcome: String,
    since: String,
    until: String,
    cursor: Option<String>,
}

impl PageQuery {
    fn filters(&self) -> Vec<(&'static str, String)> {
        let path = if self.path.trim().ends_with('/') {
            "prefix"
        } else {
            "path"
        };
        [
            (path, &self.path),
            ("agent_id", &self.agent_id),
            ("outcome", &self.outcome),
            ("since", &self.since),
            ("until", &self.until),
        ]
        .into_iter()
        .map(|(name, text)| (name, text.trim().to_owned()))
        .filter(|(_, text)| !text.is_empty())
        .collect()
    }

    fn of(&self, name: &str) -> Option<String> {
        let found = self.filters().into_iter().find(|(known, _)| *known == name);
        found.map(|(_, text)| text)
    }

    fn query(&self) -> AccessQuery {
        AccessQuery {
            path: self.of("path"),
            prefix: self.of("prefix"),
            agent_id: self.of("agent_id"),
            outcome: self.of("outcome"),
            since: self.of("since"),
            until: self.of("until"),
            limit: Some(PAGE.to_owned()),
            cursor: self.cursor.clone(),
            ..AccessQuery::default()
        }
    }

    fn is_of_a_prefix(&self) -> bool {
        self.of("prefix").is_some() && self.of("agent_id").is_none()
    }

    /// The same as a file.
    fn export(&self) -> String {
        let mut address = "/api/v1/vault/access?format=csv".to_owned();
        for (name, text) in self.filters() {
            address.push_str(&format!(
                "&{name}={}",
                utf8_percent_encode(&text, NON_ALPHANUMERIC)
            ));
        }
        address
    }

    fn outcomes(&self) -> ui::Field {
        ["approved", "denied", "pending"].into_iter().fold(
            ui::select("outcome", "Outcome")
                .value(&self.outcome)
                .option("", "Any"),
            |field, outcome| field.option(outcome, ui::in_words(outcome)),
        )
    }
}

/// Numbers with their chart.
struct Numbers {
    summary: AccessSummary,
}

impl Numbers {
    async fn of(service: &AccessService, viewed: &Viewed, query: SummaryQuery) -> Panel<Self> {
        let load = async {
            let summary = service.summary(&viewed.ctx, &query).await?;
            Ok(Self { summary })
        };
        Panel::load("The numbers", viewed, load).await
    }

    fn chart(&self) -> Fragment {
        let form = match self.summary.granularity {
            Granularity::Hour => "%H:%M",
            Granularity::Day => "%-d %b",
        };
        let labels: Vec<String> = self
            .summary
            .series
            .iter()
            .map(|point| point.at.format(form).to_string())
            .collect();
        let values = |part: fn(&super::model::AccessCounts) -> i64| -> Vec<f64> {
            let points = self.summary.series.iter();
            points.map(|point| part(&point.counts) as f64).collect()
        };
        let series = [
            Series::new("Approved", "good", values(|counts| counts.approved)),
            Series::new("Pending", "warn", values(|counts| counts.pending)),
            Series::new("Denied", "bad", values(|counts| counts.denied)),
        ];
        chart::stacked_bars("Reads by day", &labels, &series)
    }

    fn is_empty(&self) -> bool {
        let totals = &self.summary.totals;
        totals.approved + totals.denied + totals.pending == 0
    }

    /// The agents of the pairs, to be named.
    fn actors(panel: &Panel<Self>) -> Vec<String> {
        match panel {
            Panel::Ready(numbers) => {
                let pairs = numbers.summary.pairs.iter();
                pairs
                    .filter_map(|pair| pair.agent_id.map(|agent| format!("agent:{agent}")))
                    .collect()
            }
            Panel::Failed(_) => Vec::new(),
        }
    }
}

fn agent_name(names: &Names, agent: &AgentId) -> Fragment {
    names.show(&format!("agent:{agent}"))
}

#[derive(Template)]
#[template(path = "access/list.html")]
struct AccessPage<'a> {
    frame: &'a Frame,
    query: &'a PageQuery,
    list: AccessList,
    numbers: Panel<Numbers>,
    findings: Panel<Vec<FindingView>>,
    names: Names,
    /// The agents to filter by.
    agents: AgentChoice,
    csv: String,
    filtered: bool,
}

impl AccessPage<'_> {
    fn agent_filter(&self) -> ui::Field {
        self.agents.filter(&self.query.agent_id)
    }

    fn agent(&self, agent: &AgentId) -> Fragment {
        agent_name(&self.names, agent)
    }
}

async fn access_page(
    viewing: Viewing<SecretsAudit>,
    query: Query<PageQuery>,
    service: web::Data<AccessService>,
) -> PageResult {
    let query = query.0;
    let list = service.list(&viewing.ctx, &query.query()).await?;
    let (path, agent_id) = (query.of("path"), query.of("agent_id"));
    let of_them = SummaryQuery {
        path,
        agent_id,
        granularity: Granularity::Day,
        ..SummaryQuery::default()
    };
    let numbers = Numbers::of(&service, &viewing, of_them).await;
    let findings = Panel::load(
        "Findings",
        &viewing,
        service.findings(&viewing.ctx, None, None, FINDINGS),
    )
    .await;
    let mut actors: Vec<String> = list.accesses.iter().map(|access| access.actor.clone()).collect();
    actors.extend(
        list.accesses
            .iter()
            .filter_map(|access| access.agent_id.map(|agent| format!("agent:{agent}"))),
    );
    let page = AccessPage {
        frame: &viewing.frame,
        csv: query.export(),
        filtered: !query.filters().is_empty(),
        names: viewing.names(actors).await,
        agents: service.agents_to_choose(&viewing.ctx).await?,
        query: &query,
        list,
        numbers,
        findings,
    };
    viewing.page("Secret access", &page)
}

/// The parameters of the review: texts, since a form sends the empty ones too.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ReviewQuery {
    unused_days: String,
    grant_days: String,
    unused_after: Option<String>,
    grants_after: Option<String>,
}

#[derive(Template)]
#[template(path = "access/review.html")]
struct ReviewPage<'a> {
    frame: &'a Frame,
    unused: UnusedList,
    broad: BroadList,
    thresholds: ThresholdsView,
    names: Names,
}

impl ReviewPage<'_> {
    fn agent(&self, agent: &AgentId) -> Fragment {
        agent_name(&self.names, agent)
    }

    /// The thresholds in words, for their form.
    fn fields(&self) -> Vec<ui::Field> {
        let words = |name: &str| match name {
            "learning_days" => "Days until a new reader is worth a word",
            "denials" => "Denied reads before one that is approved",
            "denial_minutes" => "within so many minutes",
            "volume_floor" => "Reads in an hour that are never unusual",
            "volume_deviations" => "Deviations above the median hour",
            "volume_hours" => "Hours with reads until a number can be unusual",
            "hour_days" => "Days until an hour can be unusual",
            "hour_reads" => "Reads until an hour can be unusual",
            "unused_days" => "Days without a read: unused",
            "broad_secrets" => "Secrets that a broad grant covers at least",
            _ => "and times what was read by it",
        };
        let bounds = self.thresholds.thresholds.bounds();
        bounds
            .into_iter()
            .map(|(name, value, least, most)| {
                ui::input(name, words(name))
                    .within("thresholds")
                    .kind("number")
                    .data_type("int omit-empty")
                    .value(value)
                    .attribute("min", least)
                    .attribute("max", most)
            })
            .collect()
    }

    fn is_usual(&self) -> bool {
        self.thresholds.thresholds == Thresholds::default()
    }
}

async fn review_page(
    viewing: Viewing<SecretsAudit>,
    query: Query<ReviewQuery>,
    service: web::Data<AccessService>,
) -> PageResult {
    let text = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let unused = UnusedQuery {
        days: text(&query.0.unused_days),
        limit: Some(PAGE.to_owned()),
        cursor: query.0.unused_after.clone(),
    };
    let broad = BroadQuery {
        days: text(&query.0.grant_days),
        limit: Some(PAGE.to_owned()),
        cursor: query.0.grants_after.clone(),
        agent_id: None,
    };
    let broad = service.broad(&viewing.ctx, &broad).await?;
    let thresholds = service.thresholds(&viewing.ctx).await?;
    let mut actors: Vec<String> = broad
        .grants
        .iter()
        .map(|grant| format!("agent:{}", grant.agent_id))
        .collect();
    actors.extend(thresholds.updated_by.clone());
    let page = ReviewPage {
        frame: &viewing.frame,
        unused: service.unused(&viewing.ctx, &unused).await?,
        names: viewing.names(actors).await,
        broad,
        thresholds,
    };
    viewing.page("Unused and broad", &page)
}

#[derive(Template)]
#[template(path = "access/honeytokens.html")]
struct HoneytokensPage<'a> {
    frame: &'a Frame,
    honeytokens: Vec<HoneytokenSecret>,
    names: Names,
}

impl HoneytokensPage<'_> {
    fn shapes(&self) -> ui::Field {
        [
            (Shape::Stripe, "A live key of Stripe"),
            (Shape::Aws, "An access key of AWS"),
            (Shape::Openai, "A key of OpenAI"),
            (Shape::Anthropic, "A key of Anthropic"),
            (Shape::Github, "A token of GitHub"),
            (Shape::Database, "A database login"),
            (Shape::Generic, "A token of no special form"),
            (Shape::Existing, "The secret that is there already"),
        ]
        .into_iter()
        .fold(
            ui::select("shape", "Looks like").within("new-honeytoken"),
            |field, (shape, words)| field.option(shape.as_str(), words),
        )
    }
}

async fn honeytokens_page(
    viewing: Viewing<HoneytokensWrite>,
    service: web::Data<AccessService>,
) -> PageResult {
    let honeytokens = service.honeytokens(&viewing.ctx).await?.honeytokens;
    let names = viewing
        .names(honeytokens.iter().map(|token| token.created_by.clone()))
        .await;
    let page = HoneytokensPage {
        frame: &viewing.frame,
        honeytokens,
        names,
    };
    viewing.page("Honeytokens", &page)
}

#[derive(Template)]
#[template(path = "access/section.html")]
struct Section<'a> {
    frame: &'a Frame,
    path: &'a str,
    numbers: Panel<Numbers>,
    findings: Panel<Vec<FindingView>>,
    honeytoken: bool,
    names: Names,
}

impl Section<'_> {
    fn agent(&self, agent: &AgentId) -> Fragment {
        agent_name(&self.names, agent)
    }
}

/// The part "Access" of a secret's page; none for those who may not see it.
///
/// # Errors
/// The database's.
pub(crate) async fn section(
    service: &AccessService,
    viewing: &Viewing<SecretsRead>,
    path: &SecretPath,
) -> Result<Option<Fragment>> {
    if !viewing.frame.can::<SecretsAudit>() {
        return Ok(None);
    }
    let query = SummaryQuery {
        path: Some(path.as_str().to_owned()),
        granularity: Granularity::Day,
        ..SummaryQuery::default()
    };
    let numbers = Numbers::of(service, viewing, query).await;
    let findings = service.findings(&viewing.ctx, Some(path.as_str()), None, FINDINGS);
    let findings = Panel::load("Findings", viewing, findings).await;
    let honeytoken =
        viewing.frame.can::<HoneytokensWrite>() && service.is_honeytoken(&viewing.ctx, path.as_str()).await?;
    let names = viewing.names(Numbers::actors(&numbers)).await;
    Fragment::of(&Section {
        frame: &viewing.frame,
        path: path.as_str(),
        numbers,
        findings,
        honeytoken,
        names,
    })
    .map(Some)
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct NoQuery {}

#[derive(Template)]
#[template(path = "access/tab.html")]
struct AccessTab<'a> {
    frame: &'a Frame,
    agent: AgentId,
    numbers: Panel<Numbers>,
    findings: Panel<Vec<FindingView>>,
    broad: Panel<BroadList>,
}

async fn tab(service: &AccessService, viewed: &Viewed, agent: AgentId, query: &TabQuery) -> Result<Fragment> {
    let NoQuery {} = query.parse()?;
    let of_agent = SummaryQuery {
        agent_id: Some(agent.to_string()),
        granularity: Granularity::Day,
        ..SummaryQuery::default()
    };
    let broad = BroadQuery {
        agent_id: Some(agent.to_string()),
        ..BroadQuery::default()
    };
    let findings = service.findings(&viewed.ctx, None, Some(agent), FINDINGS);
    Fragment::of(&AccessTab {
        frame: &viewed.frame,
        agent,
        numbers: Numbers::of(service, viewed, of_agent).await,
        findings: Panel::load("Findings", viewed, findings).await,
        broad: Panel::load("Broad grants", viewed, service.broad(&viewed.ctx, &broad)).await,
    })
}
