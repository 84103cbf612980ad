//! Capabilities in the console: an agent's grants and requests, and the organisation's inbox of what waits
//! for a person.

use std::sync::Arc;

use actix_web::web;
use aim_core::{
    AgentId, Ctx, Result,
    role::permission::{
        CapabilitiesGrant, CapabilitiesRead, CapabilitiesRequest, CapabilitiesReview, VerificationsRead,
        VerificationsReview,
    },
};
use aim_decision::Effect;
use aim_platform::{
    Query,
    console::{
        AgentTab, ConsoleRegistry, Fragment, Frame, Names, NavEntry, NavSection, PageResult, Panel, TabQuery,
        Viewed, Viewing, ui,
    },
};
use askama::Template;
use serde::Deserialize;

use super::{
    model::{CapabilityRequestFilter, CapabilityRequestView, GrantStatus, GrantView, RequestStatus},
    service::CapabilityService,
    words::scope_in_words,
};
use crate::verification::{DecisionView, VerificationService};

/// From how many days on an unused grant is marked.
const UNUSED_DAYS: i64 = 30;
/// How many reviewed requests an agent's tab shows.
const REVIEWED: usize = 10;

/// Registers the pages.
pub(crate) fn register(
    console: &mut ConsoleRegistry,
    capabilities: &CapabilityService,
    verifications: &VerificationService,
) {
    console.page("/requests", requests_page);
    let inbox = Arc::new((capabilities.clone(), verifications.clone()));
    console.navigation(
        NavEntry::new::<CapabilitiesRead>(NavSection::Agents, "Requests", "/requests", "request", 20).badge(
            move |ctx| {
                let inbox = Arc::clone(&inbox);
                async move { Ok(inbox.0.pending_count(&ctx).await? + inbox.1.waiting_count(&ctx).await?) }
            },
        ),
    );
    let service = capabilities.clone();
    console.agent_tab(AgentTab::new::<CapabilitiesRead, _, _>(
        "capabilities",
        "Capabilities",
        30,
        move |viewed, agent, query| {
            let service = service.clone();
            async move { tab(&service, &viewed, agent, &query).await }
        },
    ));
}

/// A request as it is shown: with the grant that an approval would make, in words.
pub(super) struct Asked {
    pub(super) request: CapabilityRequestView,
    pub(super) words: String,
}

impl Asked {
    fn of(request: CapabilityRequestView) -> Self {
        let words = match request.capability.parse() {
            Ok(capability) => scope_in_words(&capability, Effect::Allow, &request.scope, None),
            Err(_) => request.capability.clone(),
        };
        Self { request, words }
    }

    fn agent(&self) -> String {
        format!("agent:{}", self.request.agent_id)
    }

    fn has_metadata(&self) -> bool {
        self.request
            .metadata
            .as_object()
            .is_some_and(|members| !members.is_empty())
    }

    fn metadata(&self) -> String {
        serde_json::to_string_pretty(&self.request.metadata).unwrap_or_default()
    }
}

/// The parameters of the agent's tab.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct GrantsQuery {
    show: String,
}

#[derive(Template)]
#[template(path = "capabilities/tab.html")]
struct CapabilitiesTab<'a> {
    frame: &'a Frame,
    agent: AgentId,
    show: &'a str,
    grants: Vec<GrantView>,
    total: i64,
    unused: usize,
    pending: Vec<Asked>,
    reviewed: Vec<Asked>,
    names: Names,
}

impl CapabilitiesTab<'_> {
    fn is_active(&self, grant: &GrantView) -> bool {
        grant.status == GrantStatus::Active
    }

    fn state(&self, grant: &GrantView) -> &'static str {
        match grant.status {
            GrantStatus::Active => "active",
            GrantStatus::Expired => "expired",
            GrantStatus::Revoked => "revoked",
        }
    }

    fn effect(&self, grant: &GrantView) -> Fragment {
        match grant.effect {
            Effect::Allow => ui::badge("Allow", "good"),
            Effect::RequireApproval => ui::badge("Require approval", "warn"),
            Effect::Deny => ui::badge("Deny", "bad"),
        }
    }

    fn is_unused(&self, grant: &GrantView) -> bool {
        is_unused(grant)
    }
}

fn is_unused(grant: &GrantView) -> bool {
    grant.unused_days.is_some_and(|days| days >= UNUSED_DAYS)
}

async fn tab(
    service: &CapabilityService,
    viewed: &Viewed,
    agent: AgentId,
    query: &TabQuery,
) -> Result<Fragment> {
    let query: GrantsQuery = query.parse()?;
    let ended_too = query.show == "all";
    let mut list = service.grants(&viewed.ctx, agent, ended_too).await?;
    let unused = list.capabilities.iter().filter(|grant| is_unused(grant)).count();
    if query.show == "unused" {
        list.keep_unused(UNUSED_DAYS);
    }
    let (pending, mut reviewed): (Vec<_>, Vec<_>) = service
        .requests(&viewed.ctx, agent)
        .await?
        .into_iter()
        .map(Asked::of)
        .partition(|asked| asked.request.status == RequestStatus::Pending);
    reviewed.truncate(REVIEWED);
    let grantors = list.capabilities.iter().map(|grant| grant.granted_by.clone());
    let names = viewed
        .names(grantors.chain(actors_of(&pending)).chain(actors_of(&reviewed)))
        .await;
    Fragment::of(&CapabilitiesTab {
        frame: &viewed.frame,
        agent,
        show: &query.show,
        grants: list.capabilities,
        total: list.total,
        unused,
        pending,
        reviewed,
        names,
    })
}

/// Everybody that these requests speak of.
fn actors_of(asked: &[Asked]) -> Vec<String> {
    asked
        .iter()
        .flat_map(|asked| {
            [
                Some(asked.agent()),
                Some(asked.request.requested_by.clone()),
                asked.request.reviewed_by.clone(),
            ]
        })
        .flatten()
        .collect()
}

/// The parameters of the inbox.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RequestsQuery {
    status: String,
    cursor: Option<String>,
}

#[derive(Template)]
#[template(path = "capabilities/inbox.html")]
struct Inbox<'a> {
    frame: &'a Frame,
    status: &'a str,
    waiting: Panel<Vec<DecisionView>>,
    requests: Vec<Asked>,
    total: i64,
    next: Option<String>,
    names: Names,
}

impl Inbox<'_> {
    fn agent(&self, decision: &DecisionView) -> String {
        self.names.plain(&format!("agent:{}", decision.agent_id))
    }

    fn requester(&self, asked: &Asked) -> String {
        self.names.plain(&asked.agent())
    }

    /// The states that the list can be narrowed to.
    fn states(&self) -> [(&'static str, &'static str); 4] {
        [
            ("pending", "Pending"),
            ("approved", "Approved"),
            ("rejected", "Rejected"),
            ("all", "All"),
        ]
    }
}

async fn requests_page(
    viewing: Viewing<CapabilitiesRead>,
    query: Query<RequestsQuery>,
    capabilities: web::Data<CapabilityService>,
    verifications: web::Data<VerificationService>,
) -> PageResult {
    let status = match query.0.status.as_str() {
        "" => "pending",
        status => status,
    };
    let filter = CapabilityRequestFilter {
        status: Some(status.to_owned()).filter(|status| status != "all"),
        cursor: query.0.cursor.clone(),
        ..CapabilityRequestFilter::default()
    };
    let list = capabilities.request_page(&viewing.ctx, filter).await?;
    let waiting = if viewing.frame.can::<VerificationsRead>() {
        Panel::load("Actions that wait", &viewing, verifications.waiting(&viewing.ctx)).await
    } else {
        Panel::Ready(Vec::new())
    };
    let requests: Vec<Asked> = list.capability_requests.into_iter().map(Asked::of).collect();
    let acting = match &waiting {
        Panel::Ready(waiting) => waiting
            .iter()
            .map(|decision| format!("agent:{}", decision.agent_id))
            .collect(),
        Panel::Failed(_) => Vec::new(),
    };
    let names = viewing
        .names(actors_of(&requests).into_iter().chain(acting))
        .await;
    let page = Inbox {
        frame: &viewing.frame,
        status,
        waiting,
        requests,
        total: list.total,
        next: list.next_cursor,
        names,
    };
    viewing.page("Requests", &page)
}

impl CapabilityService {
    /// How many requests wait for a reviewer.
    pub(crate) async fn pending_count(&self, ctx: &Ctx) -> Result<u64> {
        let organization = ctx.organization;
        let wanted = super::request_store::Wanted {
            agent: None,
            status: Some(RequestStatus::Pending),
        };
        let count = self
            .store
            .read(organization, move |db| {
                super::request_store::count(db, organization, wanted)
            })
            .await?;
        Ok(u64::try_from(count).unwrap_or(0))
    }
}
