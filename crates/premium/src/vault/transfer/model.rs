//! What callers send to import and export, and what they are answered.

use std::{collections::BTreeMap, fmt};

use aim_core::{Error, OrganizationId, Result, Timestamp};
use aim_crypto::sealing;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::vault::{
    kinds::{Fields, SecretKind, SecretValue},
    model::PutSecret,
    path::{SecretPath, check_prefix},
    provider::Provider,
    reads::SealedSecret,
};

/// The most secrets of one import.
pub const MOST_IMPORTED: usize = 500;
/// The most secrets of one page of an export.
pub const MOST_EXPORTED: i64 = 200;
/// Once a page of an export has this many bytes, it is full.
pub const FULL_PAGE: usize = 4 * 1024 * 1024;

/// Secrets from elsewhere: either `items`, or the `text` of a file and its `format`.
#[derive(Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportRequest {
    /// The secrets, at most 500.
    #[serde(default)]
    pub items: Vec<ImportItem>,
    /// A file's text.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub text: Option<SecretValue>,
    /// What the text is.
    #[serde(default)]
    pub format: Option<ImportFormat>,
    /// How the names in the file become paths.
    #[serde(default)]
    pub mapping: Mapping,
    /// What becomes of secrets that are there already.
    #[serde(default)]
    pub existing: Existing,
    /// Whether one path may stand there several times: as versions, the oldest first.
    #[serde(default)]
    pub repeated: bool,
    /// Only say what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

impl fmt::Debug for ImportRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ImportRequest([redacted])")
    }
}

/// How the names in a file become paths. Nothing is repaired that is not named here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// What stands before each name, such as `apps/web/`.
    #[serde(default)]
    pub prefix: Option<String>,
    /// Whether capitals become small letters.
    #[serde(default)]
    pub lowercase: bool,
    /// Paths for single names, as they are; the prefix does not count for these.
    #[serde(default)]
    pub path_map: BTreeMap<String, String>,
    /// One path: all names and values become one secret of kind `map`.
    #[serde(default)]
    pub as_map: Option<String>,
}

impl Mapping {
    /// Where the secret of that name goes.
    #[must_use]
    pub fn path(&self, name: &str) -> String {
        if let Some(path) = self.path_map.get(name) {
            return path.clone();
        }
        let prefix = self.prefix.as_deref().unwrap_or_default();
        if self.lowercase {
            format!("{prefix}{}", name.to_ascii_lowercase())
        } else {
            format!("{prefix}{name}")
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        check_prefix(self.prefix.as_deref().unwrap_or_default())?;
        if let Some(path) = &self.as_map {
            SecretPath::parse(path).map_err(|error| error.at("as_map"))?;
        }
        Ok(())
    }
}

/// The form of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ImportFormat {
    /// Lines of `NAME=value`.
    Env,
    /// An object of paths and values, or the list that an export holds.
    Json,
}

/// What becomes of secrets that are there already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Existing {
    /// They get a new version where the values differ.
    #[default]
    Update,
    /// They stay as they are.
    Keep,
    /// Then nothing is imported.
    Refuse,
}

/// A secret from elsewhere.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportItem {
    /// Where it goes.
    #[schema(example = "payments/stripe/live")]
    pub path: String,
    /// What it is.
    pub kind: SecretKind,
    /// The values by their names.
    #[schema(value_type = std::collections::BTreeMap<String, String>, example = json!({"value": "sk_test_0123"}))]
    pub fields: Fields,
    /// What it is for.
    #[serde(default)]
    pub description: Option<String>,
    /// Words to find it by.
    #[serde(default)]
    pub tags: Option<Vec<String>>,
    /// Who answers for it.
    #[serde(default)]
    pub owner: Option<String>,
    /// When the value ends.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    /// How many versions are kept.
    #[serde(default)]
    pub max_versions: Option<i64>,
    /// Whose API key it is.
    #[serde(default)]
    pub provider: Option<Provider>,
    /// The current version as the caller saw it; 0: there must be none.
    #[serde(default)]
    pub cas: Option<i64>,
}

impl ImportItem {
    pub(super) fn into_write(self) -> (String, PutSecret) {
        let write = PutSecret {
            kind: self.kind,
            fields: self.fields,
            description: self.description,
            tags: self.tags,
            owner: self.owner,
            expires_at: self.expires_at,
            max_versions: self.max_versions,
            cas: self.cas,
            provider: self.provider,
        };
        (self.path, write)
    }
}

/// What an import did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImportReply {
    /// Whether nothing was done, and this is what would be.
    pub dry_run: bool,
    /// How many secrets are new.
    pub new: usize,
    /// How many have a new version.
    pub changed: usize,
    /// How many have these values already.
    pub unchanged: usize,
    /// How many were there, and were kept.
    pub kept: usize,
    /// How many are refused. Then nothing is imported.
    pub refused: usize,
    /// Each of them, in the order of the file.
    pub items: Vec<Imported>,
}

/// What became of a secret from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Imported {
    /// Its name in the file.
    pub name: String,
    /// Where it goes.
    pub path: String,
    /// What becomes of it.
    pub action: ImportAction,
    /// The names of its fields.
    pub fields: Vec<String>,
    /// Its newest version before: 0 if there was none.
    pub previous_version: i64,
    /// Its newest version afterwards.
    pub current_version: i64,
    /// Why it is refused.
    pub reason: Option<String>,
}

/// What becomes of a secret from elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ImportAction {
    /// It is a new secret.
    New,
    /// It is a new version.
    Changed,
    /// The newest version has these values.
    Unchanged,
    /// It was there, and is kept as it is.
    Kept,
    /// It cannot be imported.
    Refused,
}

/// Secrets that go elsewhere, sealed.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportRequest {
    /// What their paths begin with, such as `payments/`; empty: all.
    #[schema(example = "payments/")]
    pub prefix: String,
    /// The recipient's X25519 public key: 32 bytes in base64url without padding.
    pub recipient: String,
    /// Why, in 10 to 500 characters. It stands in the log.
    #[schema(min_length = 10, max_length = 500)]
    pub reason: String,
    /// `next_cursor` of the page before.
    #[serde(default)]
    pub cursor: Option<String>,
    /// How many secrets a page has, 1 to 200, which is usual.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 200)]
    pub limit: Option<i64>,
}

impl ExportRequest {
    pub(super) fn check(&self) -> Result<[u8; sealing::KEY_LENGTH]> {
        check_prefix(&self.prefix)?;
        let length = self.reason.trim().chars().count();
        if !(10..=500).contains(&length) || self.reason.chars().any(char::is_control) {
            return Err(Error::field("reason", "say why, in 10 to 500 characters"));
        }
        if self
            .limit
            .is_some_and(|limit| !(1..=MOST_EXPORTED).contains(&limit))
        {
            return Err(Error::field("limit", format!("limit is 1 to {MOST_EXPORTED}")));
        }
        sealing::parse_public(&self.recipient).map_err(|error| {
            Error::field(
                "recipient",
                format!("{error}; send one in base64url without padding"),
            )
        })
    }
}

/// A page of an export: a line of its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExportPage {
    /// What it is sealed for.
    pub export: ExportHeader,
    /// The secrets, sealed.
    pub sealed: SealedSecret,
    /// Secrets that are not in it, because they are deleted, destroyed or expired, or broken.
    #[serde(default)]
    pub left_out: Vec<LeftOut>,
    /// Where to go on; null when the prefix is through.
    #[serde(default)]
    pub next_cursor: Option<String>,
}

/// A secret that is not in an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LeftOut {
    /// Where it stands.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// What a page of an export is sealed for. Whoever opens it checks that page follows upon page, and that the last is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExportHeader {
    /// Whose secrets they are.
    #[schema(value_type = uuid::Uuid)]
    pub organization_id: OrganizationId,
    /// The export; all of its pages have the same.
    pub export_id: uuid::Uuid,
    /// When the page was made.
    pub exported_at: Timestamp,
    /// What the paths begin with.
    pub prefix: String,
    /// Behind which path it begins; empty on the first page.
    pub after: String,
    /// Up to which path it goes.
    pub through: String,
    /// Whether it is the last one.
    pub last: bool,
    /// How many secrets it has.
    pub count: usize,
}

impl ExportHeader {
    /// The `info` of RFC 9180 §5.1: `AIM-EXPORT-V1` and the eight parts, a line each, without one at the end. No part can
    /// contain a line feed.
    #[must_use]
    pub fn info(&self) -> Vec<u8> {
        let Self {
            organization_id,
            export_id,
            exported_at,
            prefix,
            after,
            through,
            last,
            count,
        } = self;
        let end = if *last { "last" } else { "more" };
        format!(
            "AIM-EXPORT-V1\n{organization_id}\n{export_id}\n{exported_at}\n{prefix}\n{after}\n{through}\n{end}\n{count}"
        )
        .into_bytes()
    }
}
