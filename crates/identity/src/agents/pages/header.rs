//! The head of an agent's page: who it is, and what can be done about it.

use aim_core::{
    AgentId, Result,
    role::permission::{AgentsDelete, AgentsSuspend, AgentsWrite},
};
use aim_decision::AgentStatus;
use aim_platform::console::{AgentHeader, Fragment, Frame, Viewed, ui};
use askama::Template;

use crate::agents::{AgentService, AgentView, model::status_text};

#[derive(Template)]
#[template(path = "agents/actions.html")]
struct Actions<'a> {
    frame: &'a Frame,
    agent: &'a AgentView,
    active: bool,
    suspended: bool,
    tags: String,
    talks_to: String,
}

pub(super) async fn header(service: &AgentService, viewed: &Viewed, id: AgentId) -> Result<AgentHeader> {
    let agent = service.get(&viewed.ctx, id).await?;
    let actions = Fragment::of(&Actions {
        frame: &viewed.frame,
        active: agent.status == AgentStatus::Active,
        suspended: agent.status == AgentStatus::Suspended,
        tags: agent.tags.join(", "),
        talks_to: agent.talks_to.join(", "),
        agent: &agent,
    })?;
    let owner = match agent.owner_id.map(|owner| format!("user:{owner}")) {
        Some(owner) => Some(viewed.names([owner.clone()]).await.plain(&owner)),
        None => None,
    };
    Ok(AgentHeader {
        handle: (agent.name != agent.display_name).then(|| agent.name.clone()),
        status: status_text(agent.status).to_owned(),
        kind: agent.agent_type.clone(),
        owner,
        // A score below a hundred has no digits to lose.
        trust: agent
            .trust_score
            .and_then(|score| i32::try_from(score).ok())
            .map(f64::from),
        name: agent.display_name,
        actions,
    })
}
