//! The agents in the console: the list with registration and bulk suspension, the head of an agent's page,
//! and its tab "Summary".

mod header;
mod list;
mod summary;

use aim_core::role::permission::AgentsRead;
use aim_platform::console::{AgentTab, ConsoleRegistry, NavEntry, NavSection};

use super::AgentService;

/// Registers the pages.
pub(crate) fn register(console: &mut ConsoleRegistry, agents: &AgentService) {
    console.page("/agents", list::agents_page);
    console.navigation(NavEntry::new::<AgentsRead>(
        NavSection::Agents,
        "Agents",
        "/agents",
        "agent",
        10,
    ));
    let service = agents.clone();
    console.agent_header(move |viewed, agent| {
        let service = service.clone();
        async move { header::header(&service, &viewed, agent).await }
    });
    let service = agents.clone();
    console.names(move |ctx, actors| {
        let service = service.clone();
        async move { service.names(&ctx, actors).await }
    });
    let service = agents.clone();
    console.agent_tab(AgentTab::new::<AgentsRead, _, _>(
        "summary",
        "Summary",
        10,
        move |viewed, agent, _| {
            let service = service.clone();
            async move { summary::summary(&service, &viewed, agent).await }
        },
    ));
}
