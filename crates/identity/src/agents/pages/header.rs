//! The head of an agent's page: who it is, and what can be done about it.

use aim_core::{
    AgentId, Result, UserId,
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
    people: Vec<(UserId, String)>,
}

impl Actions<'_> {
    fn owner_choice(&self) -> ui::Field {
        let chosen = self
            .agent
            .owner_id
            .map(|owner| owner.to_string())
            .unwrap_or_default();
        let choice = ui::select("owner_id", "Owner")
            .within("edit")
            .data_type("null-empty")
            .value(chosen)
            .hint("Who answers for it.")
            .option("", "Nobody");
        self.people
            .iter()
            .fold(choice, |choice, (id, name)| choice.option(id, name))
    }
}

pub(super) async fn header(service: &AgentService, viewed: &Viewed, id: AgentId) -> Result<AgentHeader> {
    let agent = service.get(&viewed.ctx, id).await?;
    let owner = match agent.owner_id {
        Some(owner) => {
            let actor = format!("user:{owner}");
            Some((owner, viewed.names([actor.clone()]).await.plain(&actor)))
        }
        None => None,
    };
    let mut people = Vec::new();
    if viewed.frame.can::<AgentsWrite>() {
        people = service.possible_owners(&viewed.ctx).await?;
        // Whoever owns it now stays a choice, even if they could not be chosen any more.
        if let Some((id, name)) = owner
            .as_ref()
            .filter(|(id, _)| people.iter().all(|(other, _)| other != id))
        {
            people.push((*id, name.clone()));
        }
    }
    let actions = Fragment::of(&Actions {
        people,
        frame: &viewed.frame,
        active: agent.status == AgentStatus::Active,
        suspended: agent.status == AgentStatus::Suspended,
        tags: agent.tags.join(", "),
        talks_to: agent.talks_to.join(", "),
        agent: &agent,
    })?;
    Ok(AgentHeader {
        handle: (agent.name != agent.display_name).then(|| agent.name.clone()),
        status: status_text(agent.status).to_owned(),
        kind: agent.agent_type.clone(),
        owner: owner.map(|(_, name)| name),
        // A score below a hundred has no digits to lose.
        trust: agent
            .trust_score
            .and_then(|score| i32::try_from(score).ok())
            .map(f64::from),
        name: agent.display_name,
        actions,
    })
}
