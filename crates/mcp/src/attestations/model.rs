//! Attestations, as callers send and see them.

use aim_core::{AgentId, Error, Id, Result, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::rules::check_text;

/// Marks the ids of attestations.
#[derive(Debug, Clone, Copy)]
pub enum AttestationKind {}
/// The id of an attestation.
pub type AttestationId = Id<AttestationKind>;

/// What an agent says. The request is signed, and the signature covers this body.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAttestation {
    /// The digest of what the agent sees the server offer; it must be the manifest that counts.
    #[schema(example = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
    pub manifest_digest: String,
    /// What else it has to say; at most 500 characters.
    #[serde(default)]
    pub note: Option<String>,
}

impl NewAttestation {
    /// Checks the fields.
    ///
    /// # Errors
    /// `request.field_invalid` at `manifest_digest` or `note`.
    pub(crate) fn check(&self) -> Result<()> {
        let hash = self.manifest_digest.strip_prefix("sha256:").unwrap_or_default();
        if hash.len() != 64
            || !hash
                .bytes()
                .all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit))
        {
            return Err(Error::field(
                "manifest_digest",
                "write sha256: and 64 lower-case hexadecimal digits, as the manifest's answer has it",
            ));
        }
        check_text("note", self.note.as_deref().unwrap_or_default(), 500)
    }
}

/// What became of an attestation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Attested {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: AttestationId,
    /// The version that was attested.
    pub manifest_version: i64,
    /// Its digest.
    pub manifest_digest: String,
    /// How sure one can be of the server now, 0 to 100.
    pub confidence: Option<i64>,
    /// How many active agents attested this version within 30 days.
    pub attesting_agents: i64,
    /// When this was attested.
    pub attested_at: Timestamp,
    /// When it stops counting.
    pub expires_at: Timestamp,
}

/// An agent's last word on a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AttestationView {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: AttestationId,
    /// The agent.
    #[schema(value_type = uuid::Uuid)]
    pub agent_id: AgentId,
    /// Its name.
    pub agent_name: String,
    /// The version that it attested.
    pub manifest_version: i64,
    /// That version's digest.
    pub manifest_digest: String,
    /// Whether that version still counts.
    pub is_current: bool,
    /// Whether this adds to the confidence now: the version counts, the agent is active, and 30 days are not over.
    pub counts: bool,
    /// How fresh it is, 0 to 100.
    #[schema(minimum = 0, maximum = 100)]
    pub freshness: i64,
    /// The key that signed it.
    pub fingerprint: Option<String>,
    /// How it was signed.
    pub scheme: String,
    /// What else the agent had to say.
    pub note: Option<String>,
    /// When the agent first said so.
    pub first_attested_at: Timestamp,
    /// When it last said so.
    pub attested_at: Timestamp,
    /// When that stops counting.
    pub expires_at: Timestamp,
    /// How often it said so.
    pub times: i64,
}

/// A page of attestations, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AttestationList {
    /// The attestations.
    pub attestations: Vec<AttestationView>,
    /// How many there are in all.
    pub total: i64,
    /// The page's size.
    pub limit: i64,
    /// How many were skipped.
    pub offset: i64,
    /// Where the next page starts; null on the last one.
    pub next_cursor: Option<String>,
    /// How sure one can be of the server, 0 to 100; null where no attestation counts.
    pub confidence: Option<i64>,
    /// When an agent last attested the present manifest.
    pub last_attested_at: Option<Timestamp>,
}

/// Which attestations are wanted.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// How many, 1 to 100; 20 if absent.
    pub limit: Option<i64>,
    /// How many to skip.
    pub offset: Option<i64>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl PageQuery {
    /// The page that is asked for.
    ///
    /// # Errors
    /// `request.field_invalid` naming the parameter.
    pub fn page(&self) -> Result<aim_core::PageRequest> {
        aim_core::PageRequest::parse(self.limit, self.offset, self.cursor.as_deref())
    }
}
