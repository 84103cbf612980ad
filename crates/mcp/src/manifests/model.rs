//! Versions of manifests, as callers see them.

use aim_core::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{diff::Diff, document::Manifest};

/// A version without its contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ManifestOutline {
    /// From 1, without gaps.
    pub version: i64,
    /// The digest of its contents.
    pub digest: String,
    /// How many tools.
    pub tools: i64,
    /// How many resources.
    pub resources: i64,
    /// How many prompts.
    pub prompts: i64,
    /// How many agents ever attested this version.
    pub attested_by: i64,
    /// Who reported it, as `kind:id`.
    pub recorded_by: String,
    /// When it was recorded.
    pub recorded_at: Timestamp,
}

/// A server's versions, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ManifestList {
    /// The versions.
    pub manifests: Vec<ManifestOutline>,
    /// How many there are in all.
    pub total: i64,
    /// The page's size.
    pub limit: i64,
    /// How many were skipped.
    pub offset: i64,
}

/// A version with its contents, and what changed since another one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ManifestVersion {
    /// The version, in figures.
    #[serde(flatten)]
    pub outline: ManifestOutline,
    /// What the server offered.
    pub manifest: Manifest,
    /// The version that it is compared with; null for the first one.
    pub compared_with: Option<i64>,
    /// What changed since that one.
    pub diff: Option<Diff>,
}

/// What became of a manifest that was reported.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RecordedManifest {
    /// The version that counts now.
    pub version: i64,
    /// The digest of its contents, as an attestation names it.
    pub digest: String,
    /// Whether this made a new version.
    pub changed: bool,
    /// Whether it changed what agents had attested.
    pub drift: bool,
    /// What changed; null for the first version, and where nothing did.
    pub diff: Option<Diff>,
}

/// Which versions are wanted.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ManifestQuery {
    /// How many, 1 to 100; 20 if absent.
    pub limit: Option<i64>,
    /// How many to skip.
    pub offset: Option<i64>,
}

/// What to compare with.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CompareQuery {
    /// The version to compare with; the one before if absent.
    #[param(minimum = 1)]
    pub against: Option<i64>,
}
