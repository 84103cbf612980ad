//! Manifests: what a server was seen to offer, a version whenever that changed, and what changed between two.

pub mod diff;
pub mod document;
pub mod model;
pub(crate) mod routes;
mod service;
pub(crate) mod store;

pub use diff::{Change, Diff, ItemKind};
pub use document::{Manifest, ManifestDocument};
pub use model::{ManifestList, ManifestOutline, ManifestVersion, RecordedManifest};
pub use service::ManifestService;
