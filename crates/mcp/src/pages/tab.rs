//! An agent's tab: the servers that it is connected to, and what it found by itself.

use aim_core::{AgentId, PageRequest, Result, role::permission::McpWrite};
use aim_platform::console::{Fragment, Frame, Panel, Viewed, ui};
use askama::Template;

use super::words;
use crate::{
    McpServers,
    connections::{AgentServers, model::MOST_SERVERS},
    detections::DetectionStatus,
    servers::{ServerFilter, ServerStatus, ServerView, model::ServerSort},
};

/// How many servers the dialog offers.
const OFFERED: i64 = 100;

#[derive(Template)]
#[template(path = "mcp/tab.html")]
struct Tab<'a> {
    frame: &'a Frame,
    agent: AgentId,
    connected: AgentServers,
    detections: Panel<DetectionStatus>,
    /// Registered servers that the agent is not connected to.
    offered: Panel<Vec<ServerView>>,
}

impl Tab<'_> {
    /// Names in `talks_to` that are no connected server's.
    fn others(&self) -> Vec<&str> {
        let is_server = |name: &&String| {
            self.connected
                .mcp_servers
                .iter()
                .all(|one| one.server.name != **name)
        };
        self.connected
            .talks_to
            .iter()
            .filter(is_server)
            .map(String::as_str)
            .collect()
    }

    fn has_room(&self) -> bool {
        self.connected.mcp_servers.len() < MOST_SERVERS
    }
}

/// The tab.
pub(super) async fn tab(mcp: &McpServers, viewed: &Viewed, agent: AgentId) -> Result<Fragment> {
    let connected = mcp.connections().of_agent(&viewed.ctx, agent).await?;
    let detections = Panel::load(
        "What the agent found",
        viewed,
        mcp.detections().status(&viewed.ctx, agent),
    )
    .await;
    let offered = Panel::load("The registry", viewed, offered(mcp, viewed, &connected)).await;
    Fragment::of(&Tab {
        frame: &viewed.frame,
        agent,
        connected,
        detections,
        offered,
    })
}

async fn offered(mcp: &McpServers, viewed: &Viewed, connected: &AgentServers) -> Result<Vec<ServerView>> {
    if !viewed.frame.can::<McpWrite>() {
        return Ok(Vec::new());
    }
    let filter = ServerFilter {
        statuses: vec![ServerStatus::Verified, ServerStatus::Pending],
        sort: ServerSort::Name,
        page: PageRequest {
            limit: OFFERED,
            ..PageRequest::default()
        },
        ..ServerFilter::default()
    };
    let mut servers = mcp.servers().list(&viewed.ctx, filter).await?.mcp_servers;
    servers.retain(|server| connected.mcp_servers.iter().all(|one| one.server.id != server.id));
    Ok(servers)
}
