//! What is recorded of a decision, and its replay.
//!
//! **Canonical bytes** are compact JSON in UTF-8: fields in the order of the types, members of maps in the
//! order of their names' bytes, keys, grants and policies of a snapshot in the order of their ids. They are
//! not RFC 8785: that turns every number into a double, and an integer above 2^53 in a context must
//! survive. Their reader is this crate, in this version of the record and every later one; a field added
//! later is left out while it has its default, so that older records stay canonical.
//!
//! A replay proves that the recorded verdict follows from the recorded inputs. That the inputs are those of
//! the day is proved by the audit log, whose leaf commits to all three byte strings.

use crate::call::Call;
use crate::decide::decide;
use crate::snapshot::{Grant, KeyFact, Policy, SNAPSHOT_VERSION, Snapshot};
use crate::verdict::Verdict;
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

/// The version of [`Inputs`] that this crate writes and reads.
pub const INPUTS_VERSION: u16 = 1;

/// A type with canonical bytes. Implementing it promises that serialising cannot fail (every map has text
/// as keys) and that every map inside is serialised in the order of its keys.
pub trait Record: Serialize {}

impl Record for Snapshot {}
impl Record for KeyFact {}
impl Record for Grant {}
impl Record for Policy {}
impl Record for Call {}
impl Record for Inputs {}
impl Record for Verdict {}

/// The bytes that are recorded, hashed and compared: equal values give equal bytes.
#[must_use]
pub fn canonical_bytes<T: Record>(record: &T) -> Vec<u8> {
    // A record cannot fail to serialise; if one did, no digest would match and no replay would succeed.
    serde_json::to_vec(record).unwrap_or_default()
}

/// SHA-256.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut digest = [0; 32];
    let computed = ring::digest::digest(&ring::digest::SHA256, bytes);
    for (target, source) in digest.iter_mut().zip(computed.as_ref()) {
        *target = *source;
    }
    digest
}

/// A digest in lower-case hexadecimal.
#[must_use]
pub fn hexadecimal(digest: &[u8; 32]) -> String {
    let nibble = |value: u8| {
        char::from(if value < 10 {
            b'0' + value
        } else {
            b'a' + value - 10
        })
    };
    digest
        .iter()
        .flat_map(|byte| [nibble(byte >> 4), nibble(byte & 0x0f)])
        .collect()
}

/// What is recorded beside a verdict: the call, and the digest of the snapshot it was judged by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inputs {
    /// The version of this form: [`INPUTS_VERSION`].
    pub v: u16,
    /// SHA-256 of the snapshot's canonical bytes, in lower-case hexadecimal.
    pub snapshot_sha256: String,
    /// The call.
    pub call: Call,
}

impl Inputs {
    /// The inputs of a decision by the snapshot with this digest ([`Snapshot::digest`]).
    #[must_use]
    pub fn new(snapshot_digest: &[u8; 32], call: Call) -> Self {
        Self {
            v: INPUTS_VERSION,
            snapshot_sha256: hexadecimal(snapshot_digest),
            call,
        }
    }
}

/// Why a recorded decision could not be reproduced.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// A record is not what this crate writes.
    #[error("the recorded {part} cannot be read: {error}")]
    Unreadable {
        /// `snapshot`, `inputs` or `verdict`.
        part: &'static str,
        /// Where and why.
        error: serde_json::Error,
    },
    /// A record of a form that this version does not know.
    #[error("the recorded {part} has version {found}; this program knows version {known}")]
    UnknownVersion {
        /// `snapshot` or `inputs`.
        part: &'static str,
        /// The version in the record.
        found: u16,
        /// The version that this crate reads.
        known: u16,
    },
    /// The inputs mean the same but are not the bytes that were recorded.
    #[error("the recorded inputs are not in canonical form: they have been altered")]
    InputsNotCanonical,
    /// The snapshot is not the one that the inputs name.
    #[error(
        "the snapshot has the digest {found}, and the inputs name {expected}: one of them has been altered"
    )]
    SnapshotDiffers {
        /// The digest in the inputs.
        expected: String,
        /// The digest of the bytes given.
        found: String,
    },
    /// The inputs lead to another verdict.
    #[error("the recorded verdict does not follow from the recorded inputs, which give {recomputed:?}")]
    VerdictDiffers {
        /// What the inputs lead to.
        recomputed: Box<Verdict>,
    },
}

/// Decides again from recorded bytes and compares the verdict byte for byte.
///
/// # Errors
/// If a record cannot be read, is of an unknown version, or has been altered so that the parts no longer
/// belong together; see [`ReplayError`].
pub fn replay(
    snapshot_bytes: &[u8],
    inputs_bytes: &[u8],
    verdict_bytes: &[u8],
) -> Result<Verdict, ReplayError> {
    let inputs: Inputs = read("inputs", inputs_bytes)?;
    known_version("inputs", inputs.v, INPUTS_VERSION)?;
    if canonical_bytes(&inputs) != inputs_bytes {
        return Err(ReplayError::InputsNotCanonical);
    }
    let found = hexadecimal(&sha256(snapshot_bytes));
    if found != inputs.snapshot_sha256 {
        return Err(ReplayError::SnapshotDiffers {
            expected: inputs.snapshot_sha256,
            found,
        });
    }
    let snapshot: Snapshot = read("snapshot", snapshot_bytes)?;
    known_version("snapshot", snapshot.v, SNAPSHOT_VERSION)?;
    let verdict = decide(&snapshot, &inputs.call);
    if canonical_bytes(&verdict) != verdict_bytes {
        return Err(ReplayError::VerdictDiffers {
            recomputed: Box::new(verdict),
        });
    }
    Ok(verdict)
}

fn read<'a, T: Deserialize<'a>>(part: &'static str, bytes: &'a [u8]) -> Result<T, ReplayError> {
    serde_json::from_slice(bytes).map_err(|error| ReplayError::Unreadable { part, error })
}

fn known_version(part: &'static str, found: u16, known: u16) -> Result<(), ReplayError> {
    if found == known {
        Ok(())
    } else {
        Err(ReplayError::UnknownVersion { part, found, known })
    }
}

/// Serialises a JSON object with its members in order at every depth, also where another crate of the
/// build has switched `serde_json` to insertion order.
pub(crate) fn sorted_map<S: Serializer>(map: &Map<String, Value>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut members: Vec<(&String, &Value)> = map.iter().collect();
    members.sort_unstable_by_key(|(name, _)| *name);
    let mut state = serializer.serialize_map(Some(members.len()))?;
    for (name, value) in members {
        state.serialize_entry(name, &Sorted(value))?;
    }
    state.end()
}

struct Sorted<'a>(&'a Value);

impl Serialize for Sorted<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(members) => sorted_map(members, serializer),
            Value::Array(elements) => serializer.collect_seq(elements.iter().map(Sorted)),
            scalar => scalar.serialize(serializer),
        }
    }
}
