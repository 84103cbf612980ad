//! The console's part of MCP servers: the registry, a server's page, and the tab of an agent.

mod lines;
mod list;
mod server;
mod tab;
mod words;

use aim_core::role::permission::McpRead;
use aim_platform::console::{AgentTab, ConsoleRegistry, NavEntry, NavSection};

use crate::McpServers;

/// Registers the pages and the tab.
pub(crate) fn register(console: &mut ConsoleRegistry, mcp: &McpServers) {
    console.page("/mcp-servers", list::servers_page);
    console.page("/mcp-servers/{id}", server::server_page);
    console.navigation(NavEntry::new::<McpRead>(
        NavSection::Agents,
        "MCP servers",
        "/mcp-servers",
        "server",
        30,
    ));
    let mcp = mcp.clone();
    console.agent_tab(AgentTab::new::<McpRead, _, _>(
        "mcp-servers",
        "MCP servers",
        70,
        move |viewed, agent, _| {
            let mcp = mcp.clone();
            async move { tab::tab(&mcp, &viewed, agent).await }
        },
    ));
}
