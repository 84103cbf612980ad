//! What callers send and are answered about the audit log.

use aim_audit::Record;
use aim_core::{AgentId, Code, Cursor, Error, Id, PageRequest, Result, Timestamp, ctx::ActorRef};
use aim_crypto::digest::hex;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::store::{Filter, Kind};
use crate::{export, parameters};

/// The filters of the audit log, as they are sent.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// Only this action, such as `agent.suspended`.
    #[serde(default)]
    pub action: Option<String>,
    /// `event` (something changed) or `decision` (a verified action was decided).
    #[serde(default)]
    pub kind: Option<String>,
    /// Only by this kind of actor: `user`, `api_key`, `agent`, `system` or `anonymous`.
    #[serde(default)]
    pub actor_kind: Option<String>,
    /// Only by this actor.
    #[serde(default)]
    pub actor_id: Option<String>,
    /// Only about this agent.
    #[serde(default)]
    #[param(value_type = Option<Uuid>)]
    pub agent_id: Option<String>,
    /// Only what was done to the thing with this id.
    #[serde(default)]
    pub target_id: Option<String>,
    /// Only with this outcome: `ok`, `approved`, `denied`, `pending` or `refused`.
    #[serde(default)]
    pub outcome: Option<String>,
    /// Only since this moment (RFC 3339), inclusive.
    #[serde(default)]
    #[param(value_type = Option<Timestamp>)]
    pub from: Option<String>,
    /// Only before this moment (RFC 3339), exclusive.
    #[serde(default)]
    #[param(value_type = Option<Timestamp>)]
    pub to: Option<String>,
    /// The size of the page, 1 to 100; 20 if left out. A file has no pages.
    #[serde(default)]
    #[param(value_type = Option<i64>, minimum = 1, maximum = 100)]
    pub limit: Option<String>,
    /// The `next_cursor` of the page before, with the same filters.
    #[serde(default)]
    pub cursor: Option<String>,
    /// `json` for a page; `csv` or `ndjson` for the whole filtered set. It goes before `Accept`.
    #[serde(default)]
    pub format: Option<String>,
}

impl AuditQuery {
    /// The filter that is asked for.
    ///
    /// # Errors
    /// Names the parameter that is not accepted.
    pub fn filter(&self) -> Result<Filter> {
        let (from, to) = parameters::range(self.from.as_deref(), self.to.as_deref())?;
        let kind = match self.kind.as_deref() {
            None => None,
            Some("event") => Some(Kind::Event),
            Some("decision") => Some(Kind::Decision),
            Some(_) => return Err(Error::field("kind", "kind is event or decision")),
        };
        Ok(Filter {
            action: parameters::word("action", self.action.as_deref())?,
            kind,
            actor_kind: parameters::word("actor_kind", self.actor_kind.as_deref())?,
            actor_id: parameters::word("actor_id", self.actor_id.as_deref())?,
            agent_id: parameters::id("agent_id", self.agent_id.as_deref())?,
            target_id: parameters::word("target_id", self.target_id.as_deref())?,
            outcome: parameters::word("outcome", self.outcome.as_deref())?,
            from,
            to,
        })
    }

    /// The page that is asked for.
    ///
    /// # Errors
    /// Names the parameter that is not accepted.
    pub fn page(&self) -> Result<AuditPage> {
        let page = parameters::page(self.limit.as_deref(), None, self.cursor.as_deref())?;
        let before = page.cursor.map(|cursor| index_of(cursor.0)).transpose()?;
        Ok(AuditPage { page, before })
    }
}

/// A page of the log: the size, and the index of the record to go on after.
#[derive(Debug, Clone, Copy)]
pub struct AuditPage {
    pub(super) page: PageRequest,
    pub(super) before: Option<i64>,
}

/// A cursor holds the index of the last record of the page before.
pub(super) const fn cursor_of(index: i64) -> Uuid {
    Uuid::from_u64_pair(0, index.unsigned_abs())
}

fn index_of(cursor: Uuid) -> Result<i64> {
    match cursor.as_u64_pair() {
        (0, index) => i64::try_from(index).ok(),
        _ => None,
    }
    .ok_or_else(|| {
        let detail = format!(
            "{} is not a cursor of this list; leave it out to start at the top",
            Cursor(cursor).encode()
        );
        Error::new(Code::FieldInvalid, detail).at("cursor")
    })
}

/// What was done, or decided.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AuditTarget {
    /// What sort of thing.
    pub kind: String,
    /// Which one.
    pub id: Option<String>,
}

/// A record of the log.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// Its place in the log of the installation, from 0; an organisation sees its own records only.
    pub leaf_index: i64,
    /// The record.
    #[schema(value_type = Uuid)]
    pub id: Id<()>,
    /// When.
    pub created_at: Timestamp,
    /// `event` or `decision`.
    pub kind: String,
    /// What happened, as `noun.verb`.
    pub action: String,
    /// Who did it.
    pub actor: ActorRef,
    /// The agent it is about.
    pub agent_id: Option<AgentId>,
    /// What it was done to.
    pub target: AuditTarget,
    /// How it ended: `ok`, `approved`, `denied`, `pending` or `refused`.
    pub outcome: String,
    /// Facts that stay in the leaf for good.
    #[schema(value_type = Option<Object>)]
    pub facts: Value,
    /// Details beside the leaf, unless they were erased or stand elsewhere.
    #[schema(value_type = Option<Object>)]
    pub details: Option<Value>,
    /// SHA-256 of the leaf as RFC 6962 §2.1 takes it, in lower-case hex.
    pub leaf_hash: String,
    /// The link of the record, in lower-case hex: SHA-256 of `AIM-LINK-V1`, the link of the record before
    /// it and its leaf hash.
    pub link: String,
}

impl From<Record> for AuditEntry {
    fn from(row: Record) -> Self {
        // A leaf that was tampered with may be no JSON; that is for the verification to find.
        let leaf: Value = serde_json::from_str(&row.leaf).unwrap_or_default();
        Self {
            leaf_index: row.leaf_index,
            id: Id::from_uuid(row.id.uuid()),
            created_at: row.created_at,
            kind: row.kind,
            action: row.action,
            actor: ActorRef {
                kind: row.actor_kind,
                id: row.actor_id,
            },
            agent_id: row.agent_id,
            target: AuditTarget {
                kind: row.target_kind,
                id: row.target_id,
            },
            outcome: row.outcome,
            facts: leaf.get("facts").cloned().unwrap_or_default(),
            details: row.details.map(|details| details.0),
            leaf_hash: hex(&row.leaf_hash),
            link: hex(&row.link),
        }
    }
}

impl AuditEntry {
    /// The first line of a CSV file.
    pub const CSV_HEADER: [&'static str; 15] = [
        "leaf_index",
        "id",
        "created_at",
        "kind",
        "action",
        "actor_kind",
        "actor_id",
        "agent_id",
        "target_kind",
        "target_id",
        "outcome",
        "facts",
        "details",
        "leaf_hash",
        "link",
    ];

    /// The record as a line of a CSV file, in the order of [`Self::CSV_HEADER`]; facts and details as JSON.
    #[must_use]
    pub fn csv_record(&self) -> [String; 15] {
        let text = |text: &str| export::defused(text).into_owned();
        let json = |value: Option<&Value>| match value {
            None | Some(Value::Null) => String::new(),
            Some(value) => text(&value.to_string()),
        };
        [
            self.leaf_index.to_string(),
            self.id.to_string(),
            self.created_at.to_text(),
            text(&self.kind),
            text(&self.action),
            text(&self.actor.kind),
            text(self.actor.id.as_deref().unwrap_or_default()),
            self.agent_id.map(|id| id.to_string()).unwrap_or_default(),
            text(&self.target.kind),
            text(self.target.id.as_deref().unwrap_or_default()),
            text(&self.outcome),
            json(Some(&self.facts)),
            json(self.details.as_ref()),
            self.leaf_hash.clone(),
            self.link.clone(),
        ]
    }
}

/// A page of the log, newest first. It has no `total`: the log only grows, and counting what a filter
/// selects would cost more the longer it is. Go on with the cursor until there is none.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AuditList {
    /// The records.
    pub entries: Vec<AuditEntry>,
    /// The size of the page.
    pub limit: i64,
    /// Where the next page starts; absent on the last one.
    pub next_cursor: Option<String>,
}

/// A record as a line of NDJSON: all that is needed to verify it offline.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AuditLine {
    /// Its place in the log of the installation, from 0.
    pub leaf_index: i64,
    /// The leaf, byte for byte: `leaf_hash` is SHA-256 of a zero byte and these.
    pub leaf: String,
    /// SHA-256 of the leaf as RFC 6962 §2.1 takes it, in lower-case hex.
    pub leaf_hash: String,
    /// The link of the record, in lower-case hex.
    pub link: String,
    /// Details beside the leaf, unless they were erased or stand elsewhere.
    #[schema(value_type = Option<Object>)]
    pub details: Option<Value>,
    /// The salt of the leaf's commitment to the details, in lower-case hex.
    pub salt: Option<String>,
}

impl From<Record> for AuditLine {
    fn from(row: Record) -> Self {
        Self {
            leaf_index: row.leaf_index,
            leaf: row.leaf,
            leaf_hash: hex(&row.leaf_hash),
            link: hex(&row.link),
            details: row.details.map(|details| details.0),
            salt: row.salt.as_deref().map(hex),
        }
    }
}
