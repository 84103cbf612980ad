//! `aim agent`: an agent's side of AIM. Keys are made here and stay in the folder of this user.

use std::{process::ExitCode, time::Duration};

use aim_client::{
    Action, Agent, AgentIdentity, AgentQuery, Client, Decision, KeyFolder, KeyVault, NewAgent, Rotation,
    SigningKey, Status,
};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::{Failure, Outcome, credentials::ServerArguments};
use crate::terminal;

/// Exit codes of `act`.
const DENIED: u8 = 3;
const PENDING: u8 = 4;
/// How often a pending decision is asked for.
const POLL: Duration = Duration::from_secs(1);

#[derive(Debug, Subcommand)]
pub(crate) enum AgentCommand {
    /// Register an agent. Its key pair is made here; the private half stays in ~/.config/aim/agents.
    Create(CreateArguments),
    /// List the organisation's agents.
    List(ListArguments),
    /// Show an agent and the state of its key.
    Show(NameArguments),
    /// Exchange an agent's key for a new one, signed in by the old one.
    Rotate(RotateArguments),
    /// Ask, as the agent, whether it may do something. Exits 0 approved, 3 denied, 4 pending.
    Act(ActArguments),
}

#[derive(Debug, Args)]
pub(crate) struct CreateArguments {
    /// The agent's name, unique in the organisation.
    name: String,
    /// What it is for.
    #[arg(long)]
    description: Option<String>,
    /// Its kind, such as ai_agent.
    #[arg(long = "type", value_name = "TYPE")]
    agent_type: Option<String>,
    /// The version of its software.
    #[arg(long = "agent-version", value_name = "VERSION")]
    agent_version: Option<String>,
    /// A word to find it by; may be given more than once.
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// What it talks to; may be given more than once.
    #[arg(long, value_name = "NAME")]
    talks_to: Vec<String>,
    #[command(flatten)]
    server: ServerArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    /// Part of a name or description.
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Only agents in this state: active, suspended or revoked.
    #[arg(long, value_name = "STATE")]
    status: Option<String>,
    /// The most that are listed.
    #[arg(long, value_name = "NUMBER", default_value_t = 1000)]
    limit: usize,
    #[command(flatten)]
    server: ServerArguments,
}

#[derive(Debug, Args)]
pub(crate) struct NameArguments {
    /// The agent's name.
    name: String,
    #[command(flatten)]
    server: ServerArguments,
}

#[derive(Debug, Args)]
pub(crate) struct RotateArguments {
    /// The agent's name.
    name: String,
    /// Why, for those who read the key's history.
    #[arg(long)]
    reason: Option<String>,
    /// How many hours the old key still works, 0 to 168; the server's setting unless given.
    #[arg(long, value_name = "HOURS")]
    grace_hours: Option<u32>,
    #[command(flatten)]
    server: ServerArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ActArguments {
    /// The agent's name.
    name: String,
    /// The capability that the action takes, such as db:read.
    action: String,
    /// What the action is done to.
    #[arg(long)]
    resource: Option<String>,
    /// An argument of the action; may be given more than once. A value that is JSON is taken as that,
    /// any other as text.
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_pair)]
    context: Vec<(String, Value)>,
    /// Ask that a person approves the action first.
    #[arg(long)]
    approval: bool,
    /// Wait this many seconds for a person to decide a pending action.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    wait: u64,
    #[command(flatten)]
    server: ServerArguments,
}

fn parse_pair(text: &str) -> Result<(String, Value), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => {
            let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
            Ok((key.to_owned(), value))
        }
        _ => Err("write it as KEY=VALUE".to_owned()),
    }
}

impl AgentCommand {
    pub(crate) async fn run(self, json: bool) -> Outcome {
        match self {
            Self::Create(arguments) => create(arguments, json).await,
            Self::List(arguments) => list(arguments, json).await,
            Self::Show(arguments) => show(arguments, json).await,
            Self::Rotate(arguments) => rotate(arguments, json).await,
            Self::Act(arguments) => act(arguments, json).await,
        }
    }
}

async fn create(arguments: CreateArguments, json: bool) -> Outcome {
    let folder = KeyFolder::standard()?;
    let path = folder.path_of(&arguments.name);
    if path.exists() {
        return Err(Failure::new(format!(
            "{} exists: an agent of that name has its key here",
            path.display()
        )));
    }
    let client = arguments.server.management()?;
    let key = SigningKey::generate().map_err(aim_client::Error::from)?;
    let agent = NewAgent {
        name: arguments.name,
        description: arguments.description,
        agent_type: arguments.agent_type,
        version: arguments.agent_version,
        tags: arguments.tag,
        talks_to: arguments.talks_to,
        ..NewAgent::default()
    };
    let registered = client.register_with_key(&agent, &key).await?;
    let identity = AgentIdentity::new(registered.name.clone(), registered.id, client.server(), key);
    folder.save(&identity)?;
    if json {
        terminal::json(
            &json!({ "agent": registered, "fingerprint": identity.fingerprint(), "key_file": path }),
        );
    } else {
        terminal::line(format!("agent        {} ({})", identity.name, identity.agent_id));
        terminal::line(format!("fingerprint  {}", identity.fingerprint()));
        terminal::line(format!("key file     {}", path.display()));
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(arguments: ListArguments, json: bool) -> Outcome {
    let client = arguments.server.management()?;
    let mut agents: Vec<Agent> = Vec::new();
    let mut query = AgentQuery {
        search: arguments.search,
        status: arguments.status,
        limit: u32::try_from(arguments.limit.clamp(1, 100)).ok(),
        cursor: None,
    };
    let total = loop {
        let page = client.agents(&query).await?;
        agents.extend(page.agents);
        query.cursor = page.next_cursor;
        if query.cursor.is_none() || agents.len() >= arguments.limit {
            break page.total;
        }
    };
    agents.truncate(arguments.limit);
    if json {
        terminal::json(&json!({ "agents": agents, "total": total }));
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = vec![["NAME", "TYPE", "STATUS", "ID"].map(str::to_owned).to_vec()];
    rows.extend(agents.iter().map(|agent| {
        let kind = agent.text("agent_type").unwrap_or_default();
        vec![
            agent.name.clone(),
            kind.to_owned(),
            agent.status.clone(),
            agent.id.to_string(),
        ]
    }));
    terminal::raw(&terminal::table(&rows));
    if i64::try_from(agents.len()).is_ok_and(|shown| shown < total) {
        terminal::line(format!("{} of {total}; see more with --limit", agents.len()));
    }
    Ok(ExitCode::SUCCESS)
}

/// Whoever may see the agent: the management's credentials, else the agent's own key.
async fn reader(server: &ServerArguments, name: &str) -> Result<(Client, uuid::Uuid), Failure> {
    let identity = KeyFolder::standard()?.load(name);
    match (server.try_management()?, identity) {
        (Some(client), Ok(identity)) => Ok((client, identity.agent_id)),
        (Some(client), Err(_)) => {
            let agent = client.agent_named(name).await?;
            let agent = agent
                .ok_or_else(|| Failure::new(format!("there is no agent {name:?} in this organisation")))?;
            Ok((client, agent.id))
        }
        (None, Ok(identity)) => {
            let id = identity.agent_id;
            Ok((agent_client(server, identity)?, id))
        }
        (None, Err(error)) => Err(error.into()),
    }
}

async fn show(arguments: NameArguments, json: bool) -> Outcome {
    let (client, id) = reader(&arguments.server, &arguments.name).await?;
    let agent = client.agent(id).await?;
    let vault: KeyVault = client.key_vault(id).await?;
    if json {
        terminal::json(&json!({ "agent": agent, "key_vault": vault }));
        return Ok(ExitCode::SUCCESS);
    }
    let day = |moment: Option<chrono::DateTime<chrono::Utc>>| {
        moment.map_or_else(
            || "-".to_owned(),
            |moment| moment.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
        )
    };
    for (label, value) in [
        ("name", agent.name.clone()),
        ("id", agent.id.to_string()),
        ("type", agent.text("agent_type").unwrap_or("-").to_owned()),
        ("status", agent.status.clone()),
        (
            "description",
            agent
                .text("description")
                .filter(|text| !text.is_empty())
                .unwrap_or("-")
                .to_owned(),
        ),
        (
            "fingerprint",
            vault
                .fingerprint
                .clone()
                .unwrap_or_else(|| "- (every key was revoked)".to_owned()),
        ),
        ("key since", day(vault.key_created_at)),
        ("key expires", day(vault.key_expires_at)),
        ("grace until", day(vault.key_rotation_grace_until)),
        ("rotations", vault.rotation_count.to_string()),
    ] {
        terminal::line(format!("{label:<12} {value}"));
    }
    Ok(ExitCode::SUCCESS)
}

fn agent_client(server: &ServerArguments, identity: AgentIdentity) -> Result<Client, Failure> {
    let mut builder = Client::builder().agent(identity);
    if let Some(named) = server.named() {
        builder = builder.server(named);
    }
    Ok(builder.build()?)
}

async fn rotate(arguments: RotateArguments, json: bool) -> Outcome {
    let folder = KeyFolder::standard()?;
    let identity = folder.load(&arguments.name)?;
    if let Some(next) = folder.load_next(&arguments.name)? {
        return finish_rotation(&arguments, &folder, identity, next, json).await;
    }
    let client = agent_client(&arguments.server, identity.clone())?;
    let next = SigningKey::generate().map_err(aim_client::Error::from)?;
    // Kept before the server is asked: if its answer gets lost, this may be the key that counts.
    folder.save_next(&identity.with_key(next.clone()))?;
    let rotation = Rotation {
        reason: arguments.reason,
        grace_hours: arguments.grace_hours,
    };
    match client.rotate(next, &rotation).await {
        Ok(rotated) => {
            folder.promote_next(&rotated)?;
            told_rotation(&identity, &rotated, json);
            Ok(ExitCode::SUCCESS)
        }
        Err(error) if error.is_uncertain() => Err(Failure::new(format!(
            "{error}\nwhether the key was exchanged is unknown; run the same command again to find out"
        ))),
        Err(error) => {
            folder.discard_next(&identity.name)?;
            Err(error.into())
        }
    }
}

/// Finds out what became of a rotation whose answer was lost. A key is only thrown away when the server
/// says that another one is current.
async fn finish_rotation(
    arguments: &RotateArguments,
    folder: &KeyFolder,
    identity: AgentIdentity,
    next: AgentIdentity,
    json: bool,
) -> Outcome {
    let current = match agent_client(&arguments.server, next.clone())?
        .key_vault(next.agent_id)
        .await
    {
        Ok(vault) => vault.fingerprint,
        Err(_) => {
            agent_client(&arguments.server, identity.clone())?
                .key_vault(identity.agent_id)
                .await?
                .fingerprint
        }
    };
    if current.as_deref() == Some(next.fingerprint().as_str()) {
        folder.promote_next(&next)?;
        told_rotation(&identity, &next, json);
        return Ok(ExitCode::SUCCESS);
    }
    folder.discard_next(&identity.name)?;
    Err(Failure::new(
        "the rotation before this one did not happen; the key is the old one, run the command again",
    ))
}

fn told_rotation(old: &AgentIdentity, new: &AgentIdentity, json: bool) {
    if json {
        terminal::json(&json!({
            "agent_id": new.agent_id,
            "fingerprint": new.fingerprint(),
            "previous_fingerprint": old.fingerprint(),
        }));
    } else {
        terminal::line(format!("new key  {}", new.fingerprint()));
        terminal::line(format!("old key  {}", old.fingerprint()));
    }
}

async fn act(arguments: ActArguments, json: bool) -> Outcome {
    let identity = KeyFolder::standard()?.load(&arguments.name)?;
    let client = agent_client(&arguments.server, identity)?;
    let context: Map<String, Value> = arguments.context.into_iter().collect();
    let action = Action {
        action: arguments.action,
        resource: arguments.resource,
        context,
        approval_requested: arguments.approval,
    };
    let mut decision = client.act(&action).await?;
    let mut left = arguments.wait;
    while decision.status == Status::Pending && left > 0 {
        tokio::time::sleep(POLL).await;
        left -= 1;
        decision = client.poll(decision.id).await?;
    }
    if json {
        terminal::json(&decision);
    } else {
        terminal::raw(&told(&action, &decision));
    }
    Ok(match decision.status {
        Status::Approved => ExitCode::SUCCESS,
        Status::Denied => ExitCode::from(DENIED),
        Status::Pending => ExitCode::from(PENDING),
    })
}

fn told(action: &Action, decision: &Decision) -> String {
    let on = action
        .resource
        .as_ref()
        .map(|resource| format!(" on {resource}"))
        .unwrap_or_default();
    let mut text = format!("{}: {}{on}\n", decision.status, action.action);
    for reason in decision
        .more
        .get("reasons")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let part = |name: &str| reason.get(name).and_then(Value::as_str).unwrap_or_default();
        text.push_str(&format!("  {}: {}\n", part("code"), part("message")));
    }
    text.push_str(&format!("decision {}\n", decision.id));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn context_values_are_json_where_they_can_be() {
        assert_eq!(parse_pair("rows=5"), Ok(("rows".to_owned(), json!(5))));
        assert_eq!(parse_pair("region=eu"), Ok(("region".to_owned(), json!("eu"))));
        assert_eq!(parse_pair("query=a=b"), Ok(("query".to_owned(), json!("a=b"))));
        assert_eq!(parse_pair("empty="), Ok(("empty".to_owned(), json!(""))));
        assert!(parse_pair("=5").is_err());
        assert!(parse_pair("rows").is_err());
    }
}
