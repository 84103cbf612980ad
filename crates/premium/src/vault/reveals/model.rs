//! What people ask for when they want to see a value, and what they are answered.

use std::fmt;

use aim_core::{Error, Id, Result, Timestamp, UserId};
use serde::{Deserialize, Serialize, ser::SerializeMap};
use utoipa::{IntoParams, ToSchema};

use super::store::RevealRow;
use crate::vault::{
    kinds::{Fields, SecretKind},
    reads::{ReadSecret, SealedSecret},
};

/// The shortest reason, in characters.
pub const MIN_REASON: usize = 10;
/// The longest reason, in characters.
pub const MAX_REASON: usize = 500;
/// The longest note of an answer, in characters.
pub const MAX_NOTE: usize = 500;
/// How long a request waits for a second person, in hours.
pub const WAITS_HOURS: i64 = 24;
/// How long an approved value can be taken, in minutes.
pub const TAKEN_WITHIN_MINUTES: i64 = 15;
/// How old the sign-in of somebody who takes part may be, in minutes.
pub const SIGNED_IN_WITHIN_MINUTES: i64 = 60;
/// How often one person may ask in an hour.
pub const ASKS_AN_HOUR: i64 = 20;

/// Marks the ids of reveals.
#[derive(Debug, Clone, Copy)]
pub enum RevealKind {}
/// The id of a value shown to a person, or asked for.
pub type RevealId = Id<RevealKind>;

/// Whether people may see values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RevealMode {
    /// Nobody may. So it is until somebody changes it.
    Off,
    /// Whoever has the permission may, with a reason.
    Reason,
    /// Whoever has the permission may, with a reason, once somebody else who has it approved.
    SecondPerson,
}

impl RevealMode {
    /// Its name on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Reason => "reason",
            Self::SecondPerson => "second_person",
        }
    }

    /// The mode of that name. What is unknown shows nothing.
    #[must_use]
    pub fn parse(name: &str) -> Self {
        match name {
            "reason" => Self::Reason,
            "second_person" => Self::SecondPerson,
            _ => Self::Off,
        }
    }
}

/// What an organisation's people may see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RevealSettings {
    /// Whether people may see values.
    pub mode: RevealMode,
    /// Who set it, as `kind:id`; null if nobody did.
    pub changed_by: Option<String>,
    /// When.
    pub changed_at: Option<Timestamp>,
}

/// Whether people shall see values.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetRevealMode {
    /// `off`, `reason` or `second_person`.
    pub mode: RevealMode,
}

/// What a person wants to see, and why.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AskReveal {
    /// The secret's path.
    #[schema(example = "payments/stripe/live")]
    pub path: String,
    /// The version; absent: the newest.
    #[serde(default)]
    #[schema(minimum = 1)]
    pub version: Option<i64>,
    /// Why, in 10 to 500 characters. It stands in the log.
    #[schema(example = "The provider wants it read to them on the phone, ticket 4711")]
    pub reason: String,
    /// A fresh X25519 public key, 32 bytes in base64url without padding: then the value comes sealed to it.
    #[serde(default)]
    pub seal_to: Option<String>,
}

impl AskReveal {
    /// The reason, checked.
    ///
    /// # Errors
    /// `request.field_invalid` at `reason` or `version`.
    pub(super) fn check(&self) -> Result<String> {
        let reason = self.reason.trim();
        if !(MIN_REASON..=MAX_REASON).contains(&reason.chars().count()) {
            return Err(Error::field(
                "reason",
                format!("say in {MIN_REASON} to {MAX_REASON} characters what you need the value for"),
            ));
        }
        if self.version.is_some_and(|version| version < 1) {
            return Err(Error::field("version", "versions are counted from 1"));
        }
        Ok(reason.to_owned())
    }
}

/// A second person's answer.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AnswerReveal {
    /// Why; at most 500 characters.
    #[serde(default)]
    pub note: Option<String>,
}

impl AnswerReveal {
    /// # Errors
    /// `request.field_invalid` at `note`.
    pub(super) fn check(&self) -> Result<Option<String>> {
        let note = self
            .note
            .as_deref()
            .map(str::trim)
            .filter(|note| !note.is_empty());
        if note.is_some_and(|note| note.chars().count() > MAX_NOTE) {
            return Err(Error::field("note", format!("at most {MAX_NOTE} characters")));
        }
        Ok(note.map(str::to_owned))
    }
}

/// Takes an approved value.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TakeReveal {
    /// As in the request that asks.
    #[serde(default)]
    pub seal_to: Option<String>,
}

/// How a reveal stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RevealState {
    /// It waits for a second person.
    Pending,
    /// Approved: whoever asked can take it, once.
    Approved,
    /// A second person refused it.
    Rejected,
    /// The value was shown.
    Taken,
    /// Nobody answered, or nobody took it, in time.
    Expired,
}

impl RevealState {
    /// Its name on the wire and, but for the last, in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Taken => "taken",
            Self::Expired => "expired",
        }
    }
}

/// A value shown to a person, or asked for, without the value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RevealView {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: RevealId,
    /// The secret.
    pub path: String,
    /// The version.
    pub version: i64,
    /// Why.
    pub reason: String,
    /// How it stands.
    pub state: RevealState,
    /// Who asked, as `user:id`.
    pub asked_by: String,
    /// When.
    pub asked_at: Timestamp,
    /// Until when it can be answered or, once approved, taken.
    pub expires_at: Timestamp,
    /// Who approved or rejected it, as `user:id`.
    pub answered_by: Option<String>,
    /// When.
    pub answered_at: Option<Timestamp>,
    /// What that person said.
    pub note: Option<String>,
    /// When the value was shown.
    pub taken_at: Option<Timestamp>,
}

fn user(id: UserId) -> String {
    format!("user:{id}")
}

impl RevealView {
    pub(super) fn of(row: RevealRow, now: Timestamp) -> Self {
        Self {
            state: row.state_at(now),
            id: row.id,
            path: row.path,
            version: row.version,
            reason: row.reason,
            asked_by: user(row.asked_by),
            asked_at: row.asked_at,
            expires_at: row.expires_at,
            answered_by: row.answered_by.map(user),
            answered_at: row.answered_at,
            note: row.note,
            taken_at: row.taken_at,
        }
    }
}

/// A page of reveals, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RevealList {
    /// The reveals.
    pub reveals: Vec<RevealView>,
    /// The page's size.
    pub limit: i64,
    /// Where to go on; null on the last page.
    pub next_cursor: Option<String>,
}

/// Which reveals are wanted.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RevealQuery {
    /// Only those in this state.
    pub state: Option<RevealState>,
    /// Only those of this secret.
    pub path: Option<String>,
    /// How many, 1 to 100; 20 if absent.
    pub limit: Option<i64>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// The values of a secret on their way to the one person who may see them. Wiped when dropped; `Debug` prints the names.
pub struct RevealedFields(pub(super) Fields);

impl RevealedFields {
    /// The value of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.expose())
    }
}

impl fmt::Debug for RevealedFields {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Into the one answer that shows them.
impl Serialize for RevealedFields {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.0.iter() {
            map.serialize_entry(name, value.expose())?;
        }
        map.end()
    }
}

/// The plaintext of a version, read.
#[derive(Deserialize)]
pub(super) struct Plaintext {
    #[serde(rename = "kind")]
    _kind: SecretKind,
    pub(super) fields: Fields,
}

/// A reveal and, if it happened, the values.
#[derive(Debug, Serialize, ToSchema)]
pub struct RevealReply {
    /// What was asked and how it stands.
    pub reveal: RevealView,
    /// What is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<ReadSecret>,
    /// The values by their names, unless they were to be sealed. This is the one time that they are shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<std::collections::BTreeMap<String, String>>)]
    pub fields: Option<RevealedFields>,
    /// `{"kind":…,"fields":{…}}`, sealed as for agents, with the ids of the person and of the reveal in the places of agent and
    /// decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sealed: Option<SealedSecret>,
}
