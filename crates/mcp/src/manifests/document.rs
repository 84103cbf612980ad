//! What a server offers, in one form, and its digest.
//!
//! Tools, resources and prompts are taken as MCP's lists have them, in either spelling (`inputSchema`, `input_schema`).
//! Members that we do not know are kept as they are: a change that hides in a new member is a change. The order of the
//! lists does not matter. The digest is `sha256:` and the SHA-256 in hex of `AIM-MCP-MANIFEST-V1`, a line feed, and the
//! document as JSON without white space whose members are sorted (RFC 8785, for numbers that are integers).

use std::collections::BTreeMap;

use aim_core::{Error, Json, Result};
use aim_crypto::digest::{hex, sha256_parts};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// What stands before the document in what is hashed.
const DOMAIN: &[u8] = b"AIM-MCP-MANIFEST-V1\n";
const MOST_TOOLS: usize = 512;
const MOST_RESOURCES: usize = 1024;
const MOST_PROMPTS: usize = 512;
/// The longest name of a tool or prompt and the longest address of a resource, in characters.
const LONGEST_NAME: usize = 512;

/// What a server offers, as it is sent.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Manifest {
    /// The version of MCP that the server speaks, as its answer to `initialize` says.
    #[serde(alias = "protocolVersion", skip_serializing_if = "Option::is_none")]
    #[schema(example = "2025-06-18")]
    pub protocol_version: Option<String>,
    /// The tools: at most 512.
    pub tools: Vec<Tool>,
    /// The resources: at most 1024.
    pub resources: Vec<Resource>,
    /// The prompts: at most 512.
    pub prompts: Vec<Prompt>,
}

/// A tool.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, ToSchema)]
pub struct Tool {
    /// Its name, once in the manifest.
    #[schema(example = "read_file")]
    pub name: String,
    /// What it says that it does; models read this.
    #[serde(default)]
    pub description: String,
    /// The JSON Schema of its arguments.
    #[serde(default, alias = "inputSchema")]
    #[schema(value_type = Object)]
    pub input_schema: Value,
    /// Everything else that the server says of it.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub more: Map<String, Value>,
}

/// A resource.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, ToSchema)]
pub struct Resource {
    /// Its address, once in the manifest.
    #[schema(example = "file:///reports/2026")]
    pub uri: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// What it says that it is.
    #[serde(default)]
    pub description: String,
    /// Everything else that the server says of it.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub more: Map<String, Value>,
}

/// A prompt.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, ToSchema)]
pub struct Prompt {
    /// Its name, once in the manifest.
    pub name: String,
    /// What it says that it is for.
    #[serde(default)]
    pub description: String,
    /// Its arguments.
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    pub arguments: Value,
    /// Everything else that the server says of it.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub more: Map<String, Value>,
}

/// A manifest in its one form.
#[derive(Debug, Clone, PartialEq)]
pub struct ManifestDocument {
    manifest: Manifest,
    digest: String,
}

impl ManifestDocument {
    /// Checks a manifest and brings it into its one form.
    ///
    /// # Errors
    /// `request.field_invalid` at the list or item that is not accepted.
    pub fn of(mut manifest: Manifest) -> Result<Self> {
        sorted(
            "tools",
            &mut manifest.tools,
            MOST_TOOLS,
            |tool| &tool.name,
            "name",
        )?;
        sorted(
            "resources",
            &mut manifest.resources,
            MOST_RESOURCES,
            |resource| &resource.uri,
            "uri",
        )?;
        sorted(
            "prompts",
            &mut manifest.prompts,
            MOST_PROMPTS,
            |prompt| &prompt.name,
            "name",
        )?;
        if manifest
            .protocol_version
            .as_ref()
            .is_some_and(|version| version.chars().count() > 64)
        {
            return Err(Error::field("protocol_version", "use at most 64 characters"));
        }
        for (index, tool) in manifest.tools.iter().enumerate() {
            if !matches!(tool.input_schema, Value::Object(_) | Value::Null | Value::Bool(_)) {
                let field = format!("tools[{index}].input_schema");
                return Err(Error::field(field, "a JSON Schema is an object"));
            }
        }
        let value = serde_json::to_value(&manifest).map_err(Error::internal)?;
        let bytes = Json::canonical(&value);
        let digest = format!("sha256:{}", hex(&sha256_parts(&[DOMAIN, &bytes])));
        Ok(Self { manifest, digest })
    }

    /// The manifest, with its lists sorted.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Its digest.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

/// Sorts a list by what its items are told apart by, which must be there, and once.
fn sorted<T>(
    field: &str,
    items: &mut [T],
    most: usize,
    key: impl Fn(&T) -> &String,
    member: &str,
) -> Result<()> {
    if items.len() > most {
        return Err(Error::field(field, format!("a manifest has at most {most}")));
    }
    let mut seen = BTreeMap::new();
    for (index, item) in items.iter().enumerate() {
        let text = key(item);
        let length = text.chars().count();
        let place = || format!("{field}[{index}].{member}");
        if !(1..=LONGEST_NAME).contains(&length) || text.chars().any(char::is_control) {
            return Err(Error::field(
                place(),
                format!("it has 1 to {LONGEST_NAME} characters, none of them a control character"),
            ));
        }
        if let Some(first) = seen.insert(text.clone(), index) {
            return Err(Error::field(
                place(),
                format!("{field}[{first}] has the same {member}"),
            ));
        }
    }
    items.sort_by(|left, right| key(left).cmp(key(right)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn digest(manifest: Value) -> String {
        ManifestDocument::of(serde_json::from_value(manifest).unwrap())
            .unwrap()
            .digest()
            .to_owned()
    }

    fn refused(manifest: Value) -> String {
        ManifestDocument::of(serde_json::from_value(manifest).unwrap())
            .unwrap_err()
            .field
            .unwrap()
    }

    #[test]
    fn the_digest_does_not_depend_on_order_white_space_or_spelling() {
        let first = json!({
            "tools": [
                {"name": "read", "description": "Reads", "inputSchema": {"type": "object", "properties": {"path": {}}}},
                {"name": "write"},
            ],
            "resources": [{"uri": "file:///b"}, {"uri": "file:///a"}],
        });
        let second: Value = serde_json::from_str(
            r#"{ "prompts": [], "resources": [{"uri": "file:///a"}, {"uri": "file:///b"}],
                "tools": [{"input_schema": null, "name": "write", "description": ""},
                {"input_schema": {"properties": {"path": {}}, "type": "object"}, "description": "Reads", "name": "read"}] }"#,
        )
        .unwrap();
        assert_eq!(digest(first), digest(second));
    }

    #[test]
    fn the_digest_is_the_one_that_is_documented() {
        let document = r#"{"prompts":[],"resources":[],"tools":[{"description":"Reads","input_schema":{"type":"object"},"name":"read"}]}"#;
        let expected = sha256_parts(&[b"AIM-MCP-MANIFEST-V1\n", document.as_bytes()]);
        let manifest =
            json!({"tools": [{"name": "read", "description": "Reads", "inputSchema": {"type": "object"}}]});
        assert_eq!(digest(manifest), format!("sha256:{}", hex(&expected)));
    }

    #[test]
    fn whatever_the_server_says_counts_even_where_we_do_not_know_the_member() {
        let plain = json!({"tools": [{"name": "read"}]});
        for changed in [
            json!({"tools": [{"name": "read", "title": "Read"}]}),
            json!({"tools": [{"name": "read", "annotations": {"readOnlyHint": true}}]}),
            json!({"tools": [{"name": "read", "description": "x"}]}),
            json!({"tools": [{"name": "read"}], "prompts": [{"name": "read"}]}),
            json!({"tools": [{"name": "read"}], "protocolVersion": "2025-06-18"}),
        ] {
            assert_ne!(digest(plain.clone()), digest(changed.clone()), "{changed}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_manifest_is_named() {
        assert_eq!(refused(json!({"tools": [{"name": ""}]})), "tools[0].name");
        assert_eq!(
            refused(json!({"tools": [{"name": "a"}, {"name": "b"}, {"name": "a"}]})),
            "tools[2].name"
        );
        assert_eq!(
            refused(json!({"resources": [{"uri": "a\nb"}]})),
            "resources[0].uri"
        );
        assert_eq!(
            refused(json!({"tools": [{"name": "a", "inputSchema": 7}]})),
            "tools[0].input_schema"
        );
        let many: Vec<Value> = (0..513).map(|n| json!({"name": format!("p{n}")})).collect();
        assert_eq!(refused(json!({"prompts": many})), "prompts");
        assert!(serde_json::from_value::<Manifest>(json!({"tool": []})).is_err());
    }
}
