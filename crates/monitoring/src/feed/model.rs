//! What the feed tells of a record.

use aim_audit::Record;
use aim_core::{AgentId, Cursor, Error, PageRequest, Result, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::words;
use crate::alerts::watch::facts_of;

/// A record of the log as the feed shows it: no personal detail, so that everybody who may follow may see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FeedItem {
    /// The index of its leaf in the log; also the id of the event.
    pub index: i64,
    /// When it happened.
    pub at: Timestamp,
    /// `decision` or `event`.
    pub kind: String,
    /// What happened, as `noun.verb`; for a decision `action.decided`.
    pub action: String,
    /// The capability that was asked for, granted or lost.
    pub capability: Option<String>,
    /// The agent it is about.
    pub agent_id: Option<AgentId>,
    /// The agent's name.
    pub agent_name: Option<String>,
    /// `ok`, `approved`, `denied`, `pending` or `refused`.
    pub outcome: String,
    /// `low`, `medium`, `high` or `critical`, where it is something to look at.
    pub severity: Option<String>,
    /// What happened, in words.
    pub words: String,
    /// Who did it: `user`, `api_key`, `agent`, `system` or `anonymous`.
    pub actor_kind: String,
    /// What it was done to.
    pub target_kind: String,
    /// The id of that.
    pub target_id: Option<String>,
}

impl FeedItem {
    /// What the feed tells of `record`, whose agent is called `agent_name`.
    #[must_use]
    pub fn of(record: &Record, agent_name: Option<String>) -> Self {
        let facts = facts_of(record);
        let (kind, action, outcome) = (&record.kind, &record.action, &record.outcome);
        Self {
            index: record.leaf_index,
            at: record.created_at,
            words: words::sentence(kind, action, outcome, agent_name.as_deref(), &facts),
            severity: words::severity(kind, action, outcome, &facts),
            capability: facts.get("capability").and_then(Value::as_str).map(str::to_owned),
            kind: record.kind.clone(),
            action: record.action.clone(),
            agent_id: record.agent_id,
            agent_name,
            outcome: record.outcome.clone(),
            actor_kind: record.actor_kind.clone(),
            target_kind: record.target_kind.clone(),
            target_id: record.target_id.clone(),
        }
    }
}

/// A page of the feed, the newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FeedPage {
    /// The items.
    pub events: Vec<FeedItem>,
    /// Where the next page starts.
    pub next_cursor: Option<String>,
}

/// Which part of the feed is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FeedQuery {
    /// `event` or `decision`.
    pub kind: Option<String>,
    /// Only about this agent.
    pub agent_id: Option<AgentId>,
    /// How many, 1 to 100; 20 if left out.
    pub limit: Option<i64>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl FeedQuery {
    /// The page, and the index that it starts below.
    ///
    /// # Errors
    /// Names the parameter that is not accepted.
    pub fn page(&self) -> Result<(PageRequest, Option<i64>)> {
        let page = PageRequest::parse(self.limit, None, self.cursor.as_deref())?;
        let before = page.cursor.map(index_of).transpose()?;
        Ok((page, before))
    }

    /// The kind, if it is one.
    ///
    /// # Errors
    /// Names `kind`.
    pub fn kind(&self) -> Result<Option<String>> {
        match self.kind.as_deref() {
            None => Ok(None),
            Some("event" | "decision") => Ok(self.kind.clone()),
            Some(_) => Err(Error::field("kind", "kind is event or decision")),
        }
    }
}

/// A cursor holds the index of the last item of the page before.
#[must_use]
pub const fn cursor_of(index: i64) -> Uuid {
    Uuid::from_u64_pair(0, index.unsigned_abs())
}

fn index_of(cursor: Cursor) -> Result<i64> {
    let index = match cursor.0.as_u64_pair() {
        (0, index) => i64::try_from(index).ok(),
        _ => None,
    };
    index.ok_or_else(|| {
        Error::field(
            "cursor",
            "not a cursor of this list; leave it out to start at the top",
        )
    })
}

/// Which part of the live feed is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StreamQuery {
    /// Only about this agent.
    pub agent_id: Option<AgentId>,
    /// The id of the last event that was seen, for clients that cannot send the header `Last-Event-ID`,
    /// which goes before it.
    pub last_event_id: Option<i64>,
}
