//! What happens in the play, and what was expected to.

use std::collections::BTreeMap;

use aim_client::{Action, AgentIdentity, Client, Decision, Error, NewAgent, PreparedRequest, Status};
use reqwest::Method;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::cli::Failure;

/// What an event came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A decision: go ahead.
    Approved,
    /// A decision: do not.
    Denied,
    /// A decision: a person first.
    Pending,
    /// The request itself was refused.
    Refused,
    /// No action of an agent: a rotation, an approval.
    Other,
}

/// One thing that happened.
pub(super) struct Event {
    pub(super) agent: String,
    pub(super) what: String,
    pub(super) expected: String,
    pub(super) got: String,
    pub(super) kind: Kind,
}

impl Event {
    pub(super) fn is_as_expected(&self) -> bool {
        self.expected == self.got
    }
}

/// The play so far.
pub(super) struct Play {
    /// The administrator.
    pub(super) manager: Client,
    fleet: BTreeMap<&'static str, AgentIdentity>,
    pub(super) events: Vec<Event>,
    /// Every decision that was made.
    pub(super) decisions: Vec<Uuid>,
}

impl Play {
    pub(super) fn new(manager: Client) -> Self {
        Self {
            manager,
            fleet: BTreeMap::new(),
            events: Vec::new(),
            decisions: Vec::new(),
        }
    }

    pub(super) fn agents(&self) -> usize {
        self.fleet.len()
    }

    /// Registers an agent and gives it what it may do.
    pub(super) async fn hire(
        &mut self,
        name: &'static str,
        agent: NewAgent,
        grants: &[Value],
    ) -> Result<(), Failure> {
        let identity = self.manager.create_agent(&agent).await?;
        let path = format!("/api/v1/agents/{}/capabilities", identity.agent_id);
        for grant in grants {
            let _: Value = self.manager.call(Method::POST, &path, Some(grant)).await?;
        }
        self.fleet.insert(name, identity);
        Ok(())
    }

    pub(super) fn identity(&self, name: &str) -> Result<AgentIdentity, Failure> {
        self.fleet
            .get(name)
            .cloned()
            .ok_or_else(|| Failure::new(format!("nobody is called {name}")))
    }

    /// A client that speaks for the agent.
    pub(super) fn agent(&self, name: &str) -> Result<Client, Failure> {
        Ok(self.manager.as_agent(self.identity(name)?))
    }

    /// From now on the agent signs with another key.
    pub(super) fn take_key(&mut self, name: &'static str, identity: AgentIdentity) {
        self.fleet.insert(name, identity);
    }

    /// The agent asks for an action.
    pub(super) async fn asks(
        &mut self,
        name: &str,
        action: Action,
        expected: &str,
    ) -> Result<Option<Decision>, Failure> {
        let client = self.agent(name)?;
        let what = told(&action);
        Ok(self.asks_through(&client, name, &what, action, expected).await)
    }

    /// As [`Self::asks`], through a client of another key or clock.
    pub(super) async fn asks_through(
        &mut self,
        client: &Client,
        name: &str,
        what: &str,
        action: Action,
        expected: &str,
    ) -> Option<Decision> {
        let result = client.act(&action).await;
        self.note_decision(name, what, expected, result)
    }

    /// Notes what became of an action.
    pub(super) fn note_decision(
        &mut self,
        name: &str,
        what: &str,
        expected: &str,
        result: Result<Decision, Error>,
    ) -> Option<Decision> {
        let (kind, got) = match &result {
            Ok(decision) => {
                self.decisions.push(decision.id);
                verdict(decision)
            }
            Err(error) => (Kind::Refused, refusal(error)),
        };
        self.note(name, what, expected, kind, got);
        result.ok()
    }

    /// Sends a request as it is, however it was tampered with.
    pub(super) async fn sends(
        &mut self,
        name: &str,
        what: &str,
        request: PreparedRequest,
        expected: &str,
    ) -> Result<(), Failure> {
        let reply = self.manager.send(request).await?;
        match reply.json::<Decision>() {
            Ok(decision) => {
                self.decisions.push(decision.id);
                let (kind, got) = verdict(&decision);
                self.note(name, what, expected, kind, got);
            }
            Err(error) => self.note(name, what, expected, Kind::Refused, refusal(&error)),
        }
        Ok(())
    }

    /// Somebody does something that is no action of an agent.
    pub(super) fn happened<T>(
        &mut self,
        name: &str,
        what: &str,
        expected: &str,
        result: Result<T, Error>,
    ) -> Option<T> {
        let got = match &result {
            Ok(_) => "done".to_owned(),
            Err(error) => refusal(error),
        };
        self.note(name, what, expected, Kind::Other, got);
        result.ok()
    }

    pub(super) fn note(&mut self, agent: &str, what: &str, expected: &str, kind: Kind, got: String) {
        let (agent, what, expected) = (agent.to_owned(), what.to_owned(), expected.to_owned());
        self.events.push(Event {
            agent,
            what,
            expected,
            got,
            kind,
        });
    }
}

/// An action on a resource.
pub(super) fn action(action: &str, resource: Option<&str>) -> Action {
    Action {
        action: action.to_owned(),
        resource: resource.map(str::to_owned),
        ..Action::default()
    }
}

/// An action with an argument.
pub(super) fn action_with(action: &str, resource: Option<&str>, key: &str, value: Value) -> Action {
    Action {
        context: Map::from_iter([(key.to_owned(), value)]),
        ..self::action(action, resource)
    }
}

fn told(action: &Action) -> String {
    let mut text = action.action.clone();
    text.extend(action.resource.iter().map(|resource| format!(" {resource}")));
    text.extend(
        action
            .context
            .iter()
            .map(|(key, value)| format!(" {key}={value}")),
    );
    if action.approval_requested {
        text.push_str(", asks a person first");
    }
    text
}

fn verdict(decision: &Decision) -> (Kind, String) {
    let code = decision
        .reason_codes
        .first()
        .map(String::as_str)
        .unwrap_or_default();
    match decision.status {
        Status::Approved => (Kind::Approved, "approved".to_owned()),
        Status::Denied => (Kind::Denied, format!("denied: {code}")),
        Status::Pending => (Kind::Pending, format!("pending: {code}")),
    }
}

fn refusal(error: &Error) -> String {
    error
        .code()
        .map_or_else(|| error.to_string(), |code| format!("refused: {code}"))
}
