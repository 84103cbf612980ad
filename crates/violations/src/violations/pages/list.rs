//! The list: repeats put together or one by one, filters in the URL, the evidence of one in a drawer, and
//! the file of exactly what is filtered.

use actix_web::web;
use aim_core::{AgentId, Result, Timestamp, ViolationId, role::permission::ViolationsRead};
use aim_platform::{
    Query,
    console::{Fragment, Frame, Names, PageResult, Viewed, Viewing, ui},
};
use askama::Template;

use super::{
    evidence::{self, Evidence},
    query::{RANGES, ViolationsQuery},
    rendered,
};
use crate::{
    VerificationService,
    violations::{
        Filter, ViolationGroupList, ViolationList, ViolationService,
        model::SEVERITIES,
        triage::{TriageState, TriageView},
    },
};

/// What a page shows.
enum Lines {
    Groups(ViolationGroupList),
    Singles(ViolationList),
}

#[derive(Template)]
#[template(path = "violations/list.html")]
struct ListPart<'a> {
    frame: &'a Frame,
    query: &'a ViolationsQuery,
    lines: Lines,
    names: Names,
    export: String,
    drawer: Option<Fragment>,
    of_agent: bool,
    unknown_agent: bool,
}

#[derive(Template)]
#[template(path = "violations/page.html")]
struct ViolationsPage {
    export: String,
    list: Fragment,
}

impl ListPart<'_> {
    fn total(&self) -> i64 {
        match &self.lines {
            Lines::Groups(list) => list.total,
            Lines::Singles(list) => list.total,
        }
    }

    fn next(&self) -> Option<&str> {
        match &self.lines {
            Lines::Groups(list) => list.next_cursor.as_deref(),
            Lines::Singles(list) => list.next_cursor.as_deref(),
        }
    }

    fn range_choice(&self) -> ui::Field {
        let choice = ui::select("range", "When").value(self.query.range());
        RANGES
            .iter()
            .fold(choice, |choice, (name, label, _)| choice.option(name, label))
    }

    fn state_choice(&self) -> ui::Field {
        let choice = ui::select("state", "State")
            .value(&self.query.state)
            .option("", "Any");
        TriageState::ALL.into_iter().fold(choice, |choice, state| {
            choice.option(state.as_str(), ui::in_words(state.as_str()))
        })
    }

    /// The severities, worst first, and whether each was chosen.
    fn severities(&self) -> Vec<(&'static str, bool)> {
        SEVERITIES
            .iter()
            .rev()
            .map(|severity| (severity.as_str(), self.query.has_severity(*severity)))
            .collect()
    }

    /// This very page with the evidence of one beside it.
    fn opening(&self, id: &ViolationId) -> String {
        let query = self.frame.target.split_once('?').map_or("", |(_, query)| query);
        let mut pairs: Vec<(String, String)> = serde_html_form::from_str(query).unwrap_or_default();
        pairs.retain(|(name, _)| name != "open");
        pairs.push(("open".to_owned(), id.to_string()));
        let query = serde_html_form::to_string(pairs).unwrap_or_default();
        format!("{}?{query}", self.frame.path)
    }

    fn custom(&self) -> bool {
        self.query.range() == "custom"
    }

    /// The state, and whose word it is.
    fn who(&self, triage: Option<&TriageView>) -> String {
        triage
            .map(|triage| format!("{}: {}", self.names.plain(&triage.by), triage.reason))
            .unwrap_or_default()
    }
}

/// `/violations`.
pub(super) async fn violations_page(
    viewing: Viewing<ViolationsRead>,
    query: Query<ViolationsQuery>,
    violations: web::Data<ViolationService>,
    verifications: web::Data<VerificationService>,
) -> PageResult {
    let viewed = viewing.into_viewed();
    let (query, now) = (query.0, viewed.ctx.now);
    let wanted = query.agent.trim();
    let agent = match wanted {
        "" => None,
        wanted => violations.agent_called(&viewed.ctx, wanted).await?,
    };
    let unknown = !wanted.is_empty() && agent.is_none();
    let list = part(
        &viewed,
        agent,
        false,
        unknown,
        &query,
        &violations,
        &verifications,
    )
    .await?;
    let export = export_address(agent, &query.filter(agent, now)?, &query);
    let page = ViolationsPage { export, list };
    viewed.page("Violations", &page)
}

/// The tab of an agent.
pub(super) async fn tab(
    viewed: &Viewed,
    agent: AgentId,
    query: &ViolationsQuery,
    violations: &ViolationService,
    verifications: &VerificationService,
) -> Result<Fragment> {
    part(viewed, Some(agent), true, false, query, violations, verifications).await
}

async fn part(
    viewed: &Viewed,
    agent: Option<AgentId>,
    of_agent: bool,
    unknown_agent: bool,
    query: &ViolationsQuery,
    violations: &ViolationService,
    verifications: &VerificationService,
) -> Result<Fragment> {
    let (ctx, now) = (&viewed.ctx, viewed.ctx.now);
    // An agent that is not there has done nothing: the id of zeros selects nothing.
    let agent = if unknown_agent { None } else { agent };
    let filter = query.filter(agent, now)?;
    let page = query.page()?;
    let lines = match (unknown_agent, query.is_single()) {
        (true, _) => Lines::Singles(ViolationList {
            violations: Vec::new(),
            total: 0,
            limit: page.limit,
            offset: 0,
            next_cursor: None,
        }),
        (false, true) => Lines::Singles(violations.list(ctx, filter.clone(), page).await?),
        (false, false) => Lines::Groups(
            violations
                .groups(ctx, query.group_filter(agent, now)?, page)
                .await?,
        ),
    };
    let drawer = match query.open() {
        Some(id) => {
            let of_group = !query.is_single();
            let loaded = evidence::load(viewed, id, of_group, violations, verifications).await;
            // A violation that is gone, or another organisation's, is no reason not to show the list.
            match loaded {
                Ok(evidence) => Some(drawer(&viewed.frame, &evidence)?),
                Err(_) => None,
            }
        }
        None => None,
    };
    let said: Vec<String> = match &lines {
        Lines::Groups(list) => said_by(list.groups.iter().map(|group| group.triage.as_ref())),
        Lines::Singles(list) => said_by(list.violations.iter().map(|one| one.triage.as_ref())),
    };
    rendered(&ListPart {
        frame: &viewed.frame,
        query,
        names: viewed.names(said).await,
        export: export_address(agent, &filter, query),
        lines,
        drawer,
        of_agent,
        unknown_agent,
    })
}

fn said_by<'a>(triage: impl Iterator<Item = Option<&'a TriageView>>) -> Vec<String> {
    triage.flatten().map(|triage| triage.by.clone()).collect()
}

#[derive(Template)]
#[template(path = "violations/drawer.html")]
struct Drawer<'a> {
    evidence: &'a Evidence,
    content: Fragment,
}

fn drawer(frame: &Frame, evidence: &Evidence) -> Result<Fragment> {
    let content = evidence.part(frame)?;
    rendered(&Drawer { evidence, content })
}

/// The address of the file of what is filtered. Moments are exact, so that the file is the page's.
fn export_address(agent: Option<AgentId>, filter: &Filter, query: &ViolationsQuery) -> String {
    let path = match agent {
        Some(agent) => format!("/api/v1/agents/{agent}/violations"),
        None => "/api/v1/violations".to_owned(),
    };
    let mut pairs = vec![("format", "csv".to_owned())];
    pairs.extend(
        filter
            .severity_names()
            .into_iter()
            .map(|name| ("severity", name.to_owned())),
    );
    let moment = |name, moment: Option<Timestamp>| moment.map(|moment| (name, moment.to_text()));
    pairs.extend(moment("from", filter.window.from));
    pairs.extend(moment("to", filter.window.to));
    pairs.extend(
        filter
            .capability
            .clone()
            .map(|capability| ("capability", capability)),
    );
    let state = query.state.trim();
    pairs.extend((!state.is_empty()).then(|| ("state", state.to_owned())));
    format!("{path}?{}", serde_html_form::to_string(pairs).unwrap_or_default())
}
