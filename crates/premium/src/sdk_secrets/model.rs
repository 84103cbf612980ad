//! What the SDK sends and what it is answered.

use std::fmt;

use aim_core::{AgentId, DecisionId, Error, Id, Result, Timestamp};
use aim_crypto::sealing::{KEY_LENGTH, registered::ALGORITHM};
use aim_violations::verification::DecisionView;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use zeroize::Zeroizing;

use super::store::{NamespaceRow, ResolveRow};
use crate::vault::{
    kinds::{Fields, SecretKind, SecretValue},
    path::SecretPath,
};

/// Under which prefix the credentials stand.
const PREFIX: &str = "sdk";
/// The field with what was sealed before it came here.
pub(super) const PASSED_ON: &str = "encrypted_blob";
/// The field with the key of the pair that it was sealed with.
pub(super) const EPHEMERAL: &str = "ephemeral_public_key";
/// The longest name of a namespace or an operation.
const MAX_NAME: usize = 100;
/// The most operations or URL patterns of a namespace.
const MAX_ITEMS: usize = 50;
/// The longest URL pattern, in characters.
const MAX_PATTERN: usize = 500;
/// The most namespaces of one agent: what one list of the SDK, which has no pages, shows.
pub(super) const MOST_NAMESPACES: i64 = 100;

/// Marks the ids of namespaces.
#[derive(Debug, Clone, Copy)]
pub enum NamespaceKind {}
/// The id of a namespace.
pub(super) type NamespaceId = Id<NamespaceKind>;

/// Where the credential of an agent's namespace stands: `sdk/{agent}/{namespace}`.
///
/// # Errors
/// `request.field_invalid` at `namespace` for a name that is no segment of a path.
pub fn path_of(agent: AgentId, namespace: &str) -> Result<SecretPath> {
    check_name("namespace", namespace)?;
    SecretPath::parse(&format!("{PREFIX}/{agent}/{namespace}")).map_err(|error| error.at("namespace"))
}

/// The namespace of a credential at `path`, if it is one of `agent`.
pub(super) fn namespace_of(agent: AgentId, path: &str) -> Option<String> {
    let rest = path.strip_prefix(PREFIX)?.strip_prefix('/')?;
    let rest = rest.strip_prefix(&agent.to_string())?.strip_prefix('/')?;
    Some(rest.to_owned())
}

/// The name is a segment of a path; so it has no `|`, which separates the parts of what is signed.
pub(super) fn check_name(field: &'static str, name: &str) -> Result<()> {
    let fits = (1..=MAX_NAME).contains(&name.len())
        && !matches!(name, "." | "..")
        && name
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'));
    if fits {
        return Ok(());
    }
    Err(Error::field(
        field,
        format!("1 to {MAX_NAME} of the characters a to z, 0 to 9, '.', '_' and '-'"),
    ))
}

/// A new namespace.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NewNamespace {
    /// Whose.
    pub(super) agent_id: AgentId,
    /// Its name; a segment of a path.
    #[schema(example = "github-creds")]
    pub(super) namespace: String,
    /// What the agent may resolve it for; at least one.
    #[schema(example = json!(["read"]))]
    pub(super) operations: Vec<String>,
    /// Where the credential is meant to be used. AIM does not see the agent's requests: they are kept, shown, and handed
    /// over with the credential, for the agent's side to hold itself to.
    #[serde(default)]
    pub(super) url_patterns: Vec<String>,
}

impl NewNamespace {
    pub(super) fn check(&self) -> Result<SecretPath> {
        let path = path_of(self.agent_id, &self.namespace)?;
        if self.operations.is_empty() || self.operations.len() > MAX_ITEMS {
            return Err(Error::field(
                "operations",
                format!("1 to {MAX_ITEMS} operations, such as read"),
            ));
        }
        for operation in &self.operations {
            check_name("operations", operation)?;
        }
        let too_long = |pattern: &String| pattern.is_empty() || pattern.chars().count() > MAX_PATTERN;
        if self.url_patterns.len() > MAX_ITEMS || self.url_patterns.iter().any(too_long) {
            return Err(Error::field(
                "urlPatterns",
                format!("at most {MAX_ITEMS} patterns of 1 to {MAX_PATTERN} characters"),
            ));
        }
        Ok(path)
    }
}

/// A namespace.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NamespaceView {
    /// Its id.
    pub(super) id: NamespaceId,
    /// Whose.
    pub(super) agent_id: AgentId,
    /// Its name.
    pub(super) namespace: String,
    /// Where its credential stands in the vault.
    pub(super) path: String,
    /// Always `aim_native`: the vault.
    #[schema(example = "aim_native")]
    backend_type: &'static str,
    /// What it may be resolved for.
    pub(super) operations: Vec<String>,
    /// Where its credential is meant to be used.
    pub(super) url_patterns: Vec<String>,
    /// Always `active`: a namespace that is deleted is not shown.
    #[schema(example = "active")]
    status: &'static str,
    /// Who made it, as `kind:id`.
    pub(super) created_by: String,
    /// When.
    pub(super) created_at: Timestamp,
}

impl NamespaceView {
    pub(super) fn of(row: NamespaceRow) -> Self {
        Self {
            id: row.id,
            agent_id: row.agent_id,
            path: format!("{PREFIX}/{}/{}", row.agent_id, row.namespace),
            namespace: row.namespace,
            backend_type: "aim_native",
            operations: row.operations.strings(),
            url_patterns: row.url_patterns.strings(),
            status: "active",
            created_by: row.created_by,
            created_at: row.created_at,
        }
    }
}

/// Namespaces.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NamespaceList {
    /// The newest first.
    pub(super) namespaces: Vec<NamespaceView>,
    /// Where the next page starts; an agent's namespaces are all on one.
    pub(super) next_cursor: Option<String>,
}

/// Which namespaces are wanted.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
pub(crate) struct NamespaceQuery {
    /// Whose; an agent sees its own in any case.
    pub(super) agent_id: Option<AgentId>,
    /// How many, 1 to 100; 100 if absent.
    pub(super) limit: Option<i64>,
    /// `nextCursor` of the page before.
    pub(super) cursor: Option<String>,
}

/// A namespace that is no more.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeletedNamespace {
    /// Its id.
    pub(super) id: NamespaceId,
    /// Always true.
    pub(super) deleted: bool,
}

/// A credential: as it is, to be sealed whenever it is resolved; or, with `ephemeralPublicKey`, sealed to the agent's key
/// already, to be passed on as it came.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NewCredential {
    /// The bytes, in base64.
    #[schema(value_type = String, example = "Z2hwXzAxMjM=")]
    encrypted_blob: SecretValue,
    /// `X25519-ChaCha20-Poly1305`.
    #[serde(default, alias = "encryptionAlg")]
    encryption_algorithm: Option<String>,
    /// The public half of the pair that it was sealed with, in base64.
    #[serde(default)]
    ephemeral_public_key: Option<String>,
}

impl fmt::Debug for NewCredential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("NewCredential([redacted])")
    }
}

impl NewCredential {
    /// The secret that it becomes: a file, or a map of the two parts.
    pub(super) fn into_secret(self) -> Result<(SecretKind, Fields)> {
        if self.encryption_algorithm.is_some_and(|name| name != ALGORITHM) {
            return Err(Error::field(
                "encryptionAlgorithm",
                format!("this is {ALGORITHM}"),
            ));
        }
        let blob = self.encrypted_blob.0;
        let decoded = STANDARD.decode(blob.expose()).map(Zeroizing::new);
        if decoded.map_or(true, |bytes| bytes.is_empty()) {
            return Err(Error::field(
                "encryptedBlob",
                "the credential is at least one byte in base64, with padding",
            ));
        }
        let Some(ephemeral) = self.ephemeral_public_key else {
            return Ok((SecretKind::File, Fields::of([("content".to_owned(), blob)])));
        };
        if STANDARD
            .decode(&ephemeral)
            .map_or(true, |key| key.len() != KEY_LENGTH)
        {
            return Err(Error::field(
                "ephemeralPublicKey",
                "an X25519 public key of 32 bytes in base64",
            ));
        }
        let fields = [
            (PASSED_ON.to_owned(), blob),
            (EPHEMERAL.to_owned(), ephemeral.into()),
        ];
        Ok((SecretKind::Map, Fields::of(fields)))
    }
}

/// What became of a credential.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StoredCredential {
    /// The namespace.
    pub(super) namespace_id: NamespaceId,
    /// Where it stands in the vault.
    pub(super) path: String,
    /// Its version there.
    pub(super) version: i64,
    /// Always `stored`.
    #[schema(example = "stored")]
    pub(super) status: &'static str,
}

/// A credential that an agent asks for. `signature` is over `namespace|operation|nonce`.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ResolveRequest {
    /// The namespace.
    pub(super) namespace: String,
    /// What it is for; `read` if absent.
    #[serde(default = "read")]
    pub(super) operation: String,
    /// A moment and a random UUID, with a colon between; good once, for 30 seconds.
    #[schema(example = "2026-11-23T10:00:00.000000000Z:0b8f3f0e-7c1e-4b3a-9f0e-5d4c3b2a1908")]
    pub(super) nonce: String,
    /// Base64 of the agent's signature.
    pub(super) signature: String,
    /// Base64 of the agent's registered key, which is the one that signs the request too.
    pub(super) agent_public_key: String,
}

fn read() -> String {
    "read".to_owned()
}

/// A credential, sealed to the agent's registered key; or why there is none.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ResolveReply {
    /// Nonce, ciphertext and tag in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) encrypted_blob: Option<String>,
    /// The public half of the pair that it was sealed with, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ephemeral_pub_key: Option<String>,
    /// `X25519-ChaCha20-Poly1305`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) encryption_alg: Option<&'static str>,
    /// The version that was handed over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<i64>,
    /// Where it is meant to be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) url_patterns: Option<Vec<String>>,
    /// Why there is none, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    /// The decision, as the verified action answers it.
    pub(super) decision: DecisionView,
}

impl ResolveReply {
    pub(super) fn without(decision: DecisionView) -> Self {
        let error = decision
            .denial_reason
            .clone()
            .unwrap_or_else(|| "a person must approve this read first".to_owned());
        Self {
            encrypted_blob: None,
            ephemeral_pub_key: None,
            encryption_alg: None,
            version: None,
            url_patterns: None,
            error: Some(error),
            decision,
        }
    }
}

/// Which reads are wanted.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
pub(crate) struct AuditQuery {
    /// Whose; an agent sees its own in any case.
    pub(super) agent_id: Option<AgentId>,
    /// From when on (RFC 3339); the last 30 days if absent.
    #[param(value_type = Option<Timestamp>)]
    pub(super) since: Option<String>,
    /// How many, 1 to 100; 50 if absent.
    pub(super) limit: Option<i64>,
    /// How many to leave out.
    pub(super) offset: Option<i64>,
}

/// Reads of secrets.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditEntries {
    /// The newest first.
    pub(super) entries: Vec<AuditEntry>,
}

/// A read of a secret, as it was decided.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuditEntry {
    /// The decision's id.
    id: DecisionId,
    /// Who asked.
    agent_id: AgentId,
    /// The namespace; null for a secret that is none's credential.
    namespace: Option<String>,
    /// The secret's path.
    path: Option<String>,
    /// The capability that it took.
    action: String,
    /// `approved`, `denied` or `pending`.
    status: String,
    /// How the agent proved itself.
    scheme: String,
    /// Where its decision stands in the audit log.
    leaf_index: i64,
    /// When.
    timestamp: Timestamp,
}

impl AuditEntry {
    pub(super) fn of(row: ResolveRow) -> Self {
        let namespace = row
            .resource
            .as_deref()
            .and_then(|path| namespace_of(row.agent_id, path));
        Self {
            id: row.id,
            agent_id: row.agent_id,
            namespace,
            path: row.resource,
            action: row.action,
            status: row.status,
            scheme: row.scheme,
            leaf_index: row.leaf_index,
            timestamp: row.created_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_a_segment_of_the_path_of_its_agent() {
        let agent = AgentId::from_uuid(uuid::Uuid::from_u128(7));
        let path = path_of(agent, "github-creds").unwrap();
        assert_eq!(path.as_str(), format!("sdk/{agent}/github-creds"));
        assert_eq!(
            namespace_of(agent, path.as_str()).as_deref(),
            Some("github-creds")
        );
        let other = AgentId::from_uuid(uuid::Uuid::from_u128(8));
        assert_eq!(namespace_of(other, path.as_str()), None);
        for name in ["", "a/b", "..", "a|b", "A", "a b", &"a".repeat(101)] {
            let error = path_of(agent, name).unwrap_err();
            assert_eq!(error.field.as_deref(), Some("namespace"), "{name}");
        }
    }

    #[test]
    fn a_credential_is_kept_as_it_is_or_passed_on() {
        let secret = |json: &str| serde_json::from_str::<NewCredential>(json).unwrap().into_secret();
        let (kind, fields) = secret(r#"{"encryptedBlob":"AAEC"}"#).unwrap();
        assert_eq!((kind, fields.names()), (SecretKind::File, vec!["content"]));
        let key = STANDARD.encode([9; 32]);
        let sealed = format!(
            r#"{{"encryptedBlob":"AAEC","encryptionAlg":"{ALGORITHM}","ephemeralPublicKey":"{key}"}}"#
        );
        let (kind, fields) = secret(&sealed).unwrap();
        assert_eq!(
            (kind, fields.names()),
            (SecretKind::Map, vec![PASSED_ON, EPHEMERAL])
        );
        for (json, field) in [
            (r#"{"encryptedBlob":""}"#, "encryptedBlob"),
            (r#"{"encryptedBlob":"%"}"#, "encryptedBlob"),
            (
                r#"{"encryptedBlob":"AAEC","ephemeralPublicKey":"AAEC"}"#,
                "ephemeralPublicKey",
            ),
            (
                r#"{"encryptedBlob":"AAEC","encryptionAlgorithm":"rot13"}"#,
                "encryptionAlgorithm",
            ),
        ] {
            assert_eq!(secret(json).unwrap_err().field.as_deref(), Some(field), "{json}");
        }
    }
}
