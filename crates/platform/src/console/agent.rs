//! An agent's page: its head, the tabs of all capabilities, and the tab that is looked at.

use actix_web::{HttpRequest, web};
use aim_core::{AgentId, Code, Error, role::permission::AgentsRead};
use askama::Template;

use super::{AgentHeader, ConsoleRegistry, Fragment, PageResult, TabQuery, Viewing, fragment::failure, ui};

/// Registers the page, where a capability knows agents.
pub(super) fn register(registry: &mut ConsoleRegistry) {
    if registry.find_agent.is_some() {
        registry.page("/agents/{id}", first_tab);
        registry.page("/agents/{id}/{tab}", named_tab);
    }
}

struct TabLink {
    label: &'static str,
    path: String,
    current: bool,
}

#[derive(Template)]
#[template(path = "agent.html")]
struct AgentPage<'a> {
    id: AgentId,
    header: &'a AgentHeader,
    tabs: Vec<TabLink>,
    content: &'a Fragment,
}

async fn first_tab(viewing: Viewing<AgentsRead>, id: web::Path<String>, request: HttpRequest) -> PageResult {
    render(&viewing, &id, None, request.query_string()).await
}

async fn named_tab(
    viewing: Viewing<AgentsRead>,
    path: web::Path<(String, String)>,
    request: HttpRequest,
) -> PageResult {
    render(&viewing, &path.0, Some(&path.1), request.query_string()).await
}

async fn render(viewing: &Viewing<AgentsRead>, id: &str, slug: Option<&str>, query: &str) -> PageResult {
    let registry = &viewing.console.0;
    let (Ok(agent), Some(find_agent)) = (id.parse::<AgentId>(), &registry.find_agent) else {
        return Err(Error::not_found().into());
    };
    let header = find_agent((**viewing).clone(), agent).await?;
    let mut tabs = registry.tabs.iter();
    let wanted = match slug {
        Some(slug) => tabs.find(|tab| tab.slug == slug),
        None => tabs.find(|tab| viewing.frame.allows(tab.permission)),
    };
    let tab = wanted.ok_or_else(Error::not_found)?;
    if !viewing.frame.allows(tab.permission) {
        return Err(Error::forbidden(tab.permission.name).into());
    }
    let rendered = (tab.render)((**viewing).clone(), agent, TabQuery(query.to_owned())).await;
    let content = match rendered {
        Ok(content) => content,
        // What the viewer asked for is at fault, not the tab.
        Err(error) if error.code.status() < 500 && error.code != Code::RateLimited => {
            return Err(error.into());
        }
        Err(error) => failure(tab.label, viewing, &error),
    };
    let links = registry
        .tabs
        .iter()
        .filter(|other| viewing.frame.allows(other.permission))
        .map(|other| TabLink {
            label: other.label,
            path: format!("/agents/{agent}/{}", other.slug),
            current: other.slug == tab.slug,
        })
        .collect();
    let page = AgentPage {
        id: agent,
        header: &header,
        tabs: links,
        content: &content,
    };
    viewing.page(format!("{} · {}", header.name, tab.label), &page)
}
