//! What callers send to the vault and what they are answered: never a value.

use std::fmt;

use aim_core::{Error, Id, PageRequest, Result, Timestamp};
use aim_platform::VaultProvider;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    envelope::Purpose,
    kinds::{Fields, SecretKind, SecretValue},
    path::{SecretPath, check_prefix},
    provider::Provider,
    refresh::RefreshView,
    store::{SecretRow, VersionRow, Wanted},
};

/// How many versions are kept when nothing else is asked for.
pub const DEFAULT_MAX_VERSIONS: i64 = 10;
/// The most versions that are kept.
pub const MAX_MAX_VERSIONS: i64 = 100;
/// The longest description, in characters.
pub const MAX_DESCRIPTION: usize = 1_000;
/// The most tags.
pub const MAX_TAGS: usize = 20;
/// The longest tag, in characters.
pub const MAX_TAG: usize = 50;
/// The longest owner, in characters.
pub const MAX_OWNER: usize = 200;

/// Marks the ids of secrets.
#[derive(Debug, Clone, Copy)]
pub enum SecretIdKind {}
/// The id of a secret. Callers know secrets by their paths.
pub type SecretId = Id<SecretIdKind>;

/// How a version stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VersionState {
    /// It can be read.
    Active,
    /// It cannot be read until it is undeleted.
    Deleted,
    /// Its key is gone for good.
    Destroyed,
}

impl VersionState {
    /// Its name on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Deleted => "deleted",
            Self::Destroyed => "destroyed",
        }
    }

    /// The state of that name. What is unknown counts as destroyed: it is not read.
    #[must_use]
    pub fn parse(name: &str) -> Self {
        match name {
            "active" => Self::Active,
            "deleted" => Self::Deleted,
            _ => Self::Destroyed,
        }
    }
}

/// A new version of a secret.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutSecret {
    /// What it is; it decides which fields there are.
    pub kind: SecretKind,
    /// The values by their names. They are encrypted, and never answered to people.
    #[schema(value_type = std::collections::BTreeMap<String, String>, example = json!({"value": "sk_test_0123"}))]
    pub fields: Fields,
    /// What it is for; at most 1,000 characters. Absent: as before.
    #[serde(default)]
    pub description: Option<String>,
    /// Words to find it by: at most 20. Absent: as before.
    #[serde(default)]
    pub tags: Option<Vec<String>>,
    /// Who answers for it. Absent: as before; empty: nobody.
    #[serde(default)]
    pub owner: Option<String>,
    /// When the value ends: from then on it is not handed over. Absent: it does not end.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    /// How many versions are kept, 1 to 100; older ones are destroyed. Absent: as before, and 10 at first.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 100)]
    pub max_versions: Option<i64>,
    /// The current version as the caller saw it; 0: there must be none. Absent: whatever there is.
    #[serde(default)]
    #[schema(minimum = 0)]
    pub cas: Option<i64>,
    /// Whose API key it is; a value that does not look like one of theirs is written all the same, with a warning. Absent:
    /// as before.
    #[serde(default)]
    pub provider: Option<Provider>,
}

/// What of a new version is no value, checked.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    pub(super) kind: SecretKind,
    pub(super) description: Option<String>,
    pub(super) tags: Option<Vec<String>>,
    pub(super) owner: Option<String>,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) max_versions: Option<i64>,
    pub(super) cas: Option<i64>,
    pub(super) provider: Option<Provider>,
}

impl PutSecret {
    /// Checks everything, and takes the values out.
    ///
    /// # Errors
    /// `request.field_invalid` at the field; no value is repeated.
    pub(super) fn check(self, now: Timestamp) -> Result<(Wish, Fields)> {
        self.kind.check(&self.fields)?;
        let too_long = |text: &Option<String>, most: usize| {
            text.as_ref().is_some_and(|text| text.chars().count() > most)
        };
        if too_long(&self.description, MAX_DESCRIPTION) {
            return Err(Error::field(
                "description",
                format!("at most {MAX_DESCRIPTION} characters"),
            ));
        }
        if too_long(&self.owner, MAX_OWNER) {
            return Err(Error::field("owner", format!("at most {MAX_OWNER} characters")));
        }
        if self.expires_at.is_some_and(|end| end <= now) {
            return Err(Error::field("expires_at", "this lies in the past"));
        }
        if self
            .max_versions
            .is_some_and(|most| !(1..=MAX_MAX_VERSIONS).contains(&most))
        {
            return Err(Error::field("max_versions", format!("1 to {MAX_MAX_VERSIONS}")));
        }
        if self.cas.is_some_and(|seen| seen < 0) {
            return Err(Error::field(
                "cas",
                "the current version that you saw, or 0 if there must be none",
            ));
        }
        let wish = Wish {
            kind: self.kind,
            description: self.description,
            tags: self.tags.map(checked_tags).transpose()?,
            owner: self.owner.map(|owner| owner.trim().to_owned()),
            expires_at: self.expires_at,
            max_versions: self.max_versions,
            cas: self.cas,
            provider: self.provider,
        };
        if wish.provider.is_some() && wish.kind != SecretKind::ApiKey {
            return Err(Error::field(
                "provider",
                "only a secret of kind api_key is a provider's",
            ));
        }
        Ok((wish, self.fields))
    }
}

/// Trimmed, sorted, each once.
fn checked_tags(tags: Vec<String>) -> Result<Vec<String>> {
    if tags.len() > MAX_TAGS {
        return Err(Error::field("tags", format!("at most {MAX_TAGS} tags")));
    }
    let mut checked = Vec::with_capacity(tags.len());
    for (place, tag) in tags.iter().enumerate() {
        let tag = tag.trim();
        let fits = (1..=MAX_TAG).contains(&tag.chars().count()) && !tag.chars().any(char::is_control);
        if !fits {
            return Err(Error::field(
                format!("tags[{place}]"),
                format!("a tag has 1 to {MAX_TAG} characters"),
            ));
        }
        checked.push(tag.to_owned());
    }
    checked.sort_unstable();
    checked.dedup();
    Ok(checked)
}

/// A secret without its values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretSummary {
    /// Where it stands.
    #[schema(example = "payments/stripe/live")]
    pub path: String,
    /// The kind of its newest version.
    pub kind: SecretKind,
    /// Whose API key it is, if that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Provider>,
    /// What it is for.
    pub description: String,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Its newest version.
    pub current_version: i64,
    /// Its oldest version that is kept.
    pub oldest_version: i64,
    /// How many versions are kept.
    pub max_versions: i64,
    /// From when on it is not handed over any more.
    pub expires_at: Option<Timestamp>,
    /// Who wrote the first version, as `kind:id`.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// A secret and its versions, without their values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretView {
    /// What is known of it.
    #[serde(flatten)]
    pub secret: SecretSummary,
    /// Its versions, the newest first.
    pub versions: Vec<VersionView>,
    /// How AIM refreshes it, if it does: an OAuth secret with a `token_url` and a `refresh_token`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<RefreshView>,
    /// What looks wrong with what was written; it was written all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A version without its values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VersionView {
    /// Its number; each write has the next one.
    pub version: i64,
    /// How it stands.
    pub state: VersionState,
    /// Its kind.
    pub kind: SecretKind,
    /// The names of its fields.
    pub fields: Vec<String>,
    /// Who wrote it, as `kind:id`.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// When it was deleted.
    pub deleted_at: Option<Timestamp>,
    /// When it was destroyed.
    pub destroyed_at: Option<Timestamp>,
    /// The version whose values it took over, if it was written by a rollback.
    pub rolled_back_from: Option<i64>,
}

impl SecretSummary {
    pub(super) fn of(row: SecretRow) -> Self {
        Self {
            kind: SecretKind::parse(&row.kind).unwrap_or(SecretKind::Map),
            provider: row.provider.as_deref().and_then(Provider::parse),
            tags: row.tags.strings(),
            path: row.path,
            description: row.description,
            owner: row.owner,
            current_version: row.current_version,
            oldest_version: row.oldest_version,
            max_versions: row.max_versions,
            expires_at: row.expires_at,
            created_by: row.created_by,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

impl SecretView {
    pub(super) fn of(row: SecretRow, versions: Vec<VersionRow>) -> Self {
        Self {
            secret: SecretSummary::of(row),
            versions: versions.into_iter().rev().map(VersionView::of).collect(),
            refresh: None,
            warnings: Vec::new(),
        }
    }
}

impl VersionView {
    fn of(row: VersionRow) -> Self {
        Self {
            version: row.version,
            state: VersionState::parse(&row.state),
            kind: SecretKind::parse(&row.kind).unwrap_or(SecretKind::Map),
            fields: row.field_names.strings(),
            created_by: row.created_by,
            created_at: row.created_at,
            deleted_at: row.deleted_at,
            destroyed_at: row.destroyed_at,
            rolled_back_from: row.rolled_back_from,
        }
    }
}

/// A page of secrets, by their paths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretList {
    /// The secrets.
    pub secrets: Vec<SecretSummary>,
    /// The page's size.
    pub limit: i64,
    /// Where to go on; null on the last page.
    pub next_cursor: Option<String>,
}

/// Which secrets are wanted.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SecretQuery {
    /// What their paths begin with, such as `payments/`.
    pub prefix: Option<String>,
    /// A tag that they have.
    pub tag: Option<String>,
    /// What stands anywhere in their paths.
    pub search: Option<String>,
    /// How many, 1 to 100; 20 if absent.
    pub limit: Option<i64>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl SecretQuery {
    pub(super) fn check(self) -> Result<(Wanted, PageRequest)> {
        let page = PageRequest::parse(self.limit, None, self.cursor.as_deref())?;
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        let prefix = filled(self.prefix);
        if let Some(prefix) = &prefix {
            check_prefix(prefix)?;
        }
        let search = filled(self.search);
        if search.as_ref().is_some_and(|text| text.len() > 512) {
            return Err(Error::field("search", "at most 512 bytes"));
        }
        let wanted = Wanted {
            prefix,
            tag: filled(self.tag),
            search,
            after: None,
            limit: page.fetch(),
        };
        Ok((wanted, page))
    }
}

/// Which versions a deletion is about.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeleteQuery {
    /// The version; absent: all of them.
    pub version: Option<i64>,
}

/// One version of a secret.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VersionRequest {
    /// The secret's path.
    #[schema(example = "payments/stripe/live")]
    pub path: String,
    /// The version.
    pub version: i64,
}

impl VersionRequest {
    pub(super) fn check(&self) -> Result<SecretPath> {
        SecretPath::parse(&self.path)
    }
}

/// A value to look for.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FindValue {
    /// The value as it stands in a secret's field, all of it.
    #[schema(value_type = String)]
    pub value: SecretValue,
}

impl fmt::Debug for FindValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("FindValue([redacted])")
    }
}

/// Whether a value is one of ours, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FoundValue {
    /// Whether it stands anywhere.
    pub found: bool,
    /// Where: at most 100 places.
    pub places: Vec<FoundPlace>,
}

/// A place where a value stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FoundPlace {
    /// The secret.
    pub path: String,
    /// The version.
    pub version: i64,
    /// The field.
    pub field: String,
    /// How the version stands.
    pub state: VersionState,
    /// Whether it is the newest version: what is used now.
    pub is_current: bool,
}

/// The vault's passphrase.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Unseal {
    /// The passphrase, where the root key is made of one; the first one that is given is the one that is set.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub passphrase: Option<SecretValue>,
}

impl fmt::Debug for Unseal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Unseal([redacted])")
    }
}

/// How the vault stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VaultStatus {
    /// `open`; `sealed`: nothing can be written or read; `unused`: the root key is made with the first secret.
    #[schema(example = "open")]
    pub state: String,
    /// Why it is sealed.
    pub reason: Option<String>,
    /// Where the root key comes from: `key_file`, `passphrase`, `aws_kms`, `gcp_kms`, `azure_key_vault` or `vault_transit`.
    #[schema(example = "key_file")]
    pub provider: String,
    /// By what the root key is known; it tells nothing of the key.
    pub root_key_id: Option<String>,
    /// How many secrets the organisation has.
    pub secrets: i64,
}

/// Which of the organisation's keys is rotated.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateVaultKey {
    /// `wrap`: the key that wraps the keys of versions, unless something is said. `index`: the key of heads, and of the
    /// digests by which values are found.
    #[serde(default)]
    pub purpose: Purpose,
}

/// With what the root key is replaced.
#[derive(Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rekey {
    /// Where the new one comes from; absent: from where the present one does.
    #[serde(default)]
    pub provider: Option<VaultProvider>,
    /// The new passphrase, for the provider `passphrase`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub passphrase: Option<SecretValue>,
}

impl fmt::Debug for Rekey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Rekey({:?}, [redacted])", self.provider)
    }
}

/// How a key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// New things are put under it.
    Current,
    /// What stands under it is read, and taken over by the current one.
    Retired,
}

/// A key of the organisation; the key itself is shown to nobody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VaultKey {
    /// Its id.
    pub id: Uuid,
    /// `wrap` or `index`.
    #[schema(example = "wrap")]
    pub purpose: String,
    /// Whether it is current.
    pub state: KeyState,
    /// When it was made.
    pub created_at: Timestamp,
    /// When the next one took its place.
    pub retired_at: Option<Timestamp>,
    /// How many versions (`wrap`) or secrets (`index`) stand under it.
    pub covers: i64,
    /// How many of them did not open when they were to be taken over: they were changed outside AIM.
    pub stuck: i64,
}

/// The keys of the organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VaultKeyList {
    /// The keys, the oldest first.
    pub keys: Vec<VaultKey>,
    /// How many versions and secrets are not taken over yet.
    pub remaining: i64,
    /// How much is done, in percent: 100 when no retired key is left.
    pub percent: i64,
}

impl VaultKeyList {
    pub(super) fn of(keys: Vec<VaultKey>) -> Self {
        let sum = |state: KeyState| -> i64 {
            let those = keys.iter().filter(|key| key.state == state);
            those.map(|key| key.covers).sum()
        };
        let (done, remaining) = (sum(KeyState::Current), sum(KeyState::Retired));
        let is_rotating = keys.iter().any(|key| key.state == KeyState::Retired);
        // Not 100 before the last key is gone.
        let percent = match is_rotating {
            true => (done * 100 / (done + remaining).max(1)).min(99),
            false => 100,
        };
        Self {
            keys,
            remaining,
            percent,
        }
    }
}
