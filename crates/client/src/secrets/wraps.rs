//! Using a wrap token: look at what it is for, then use it, once.

use std::collections::BTreeMap;

use aim_crypto::{
    sealing::{RecipientKey, Sealed, WrapInfo, open},
    secret::SecretString,
};
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::{Content, SecretError};
use crate::{client::Client, error::Error};

const LOOKUP: &str = "/api/v1/vault/wrap/lookup";
const UNWRAP: &str = "/api/v1/vault/wrap/unwrap";

/// What a wrap token is for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Wrap {
    /// Its id.
    pub wrap_id: Uuid,
    /// The organisation whose secret it hands over.
    pub organization_id: Uuid,
    /// The path that it was made for. Compare it with the one that you expect before you use the token.
    pub creation_path: String,
    /// The version that it hands over.
    pub version: i64,
}

/// A secret that a token handed over. `Debug` shows the names of its fields and `[redacted]`.
#[derive(Debug, Clone)]
pub struct UnwrappedSecret {
    /// Where it lies in the vault.
    pub path: String,
    /// The version.
    pub version: i64,
    /// What it is.
    pub kind: String,
    fields: BTreeMap<String, SecretString>,
}

impl UnwrappedSecret {
    /// A field's value.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&SecretString> {
        self.fields.get(name)
    }

    /// All fields, by name.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &SecretString)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value))
    }
}

#[derive(Deserialize)]
struct Answer {
    wrap: Wrap,
    sealed: Sealed,
}

impl Client {
    /// What the token is for. It is not used by this. No credentials are needed, unless it is for one agent.
    ///
    /// # Errors
    /// `resource.not_found`; `secret.wrap_used`: somebody has used it.
    pub async fn look_up_wrap(&self, token: &SecretString) -> Result<Wrap, SecretError> {
        let body = json!({"token": token.expose()});
        Ok(self.call(Method::POST, LOOKUP, Some(&body)).await?)
    }

    /// Uses the token. `expected` is what [`Self::look_up_wrap`] said, after its path was compared.
    ///
    /// # Errors
    /// As [`Self::look_up_wrap`]; [`SecretError::Unopened`] for an answer that is about something else.
    pub async fn unwrap_secret(
        &self,
        token: &SecretString,
        expected: &Wrap,
    ) -> Result<UnwrappedSecret, SecretError> {
        let key = RecipientKey::generate().map_err(Error::from)?;
        let body = json!({"token": token.expose(), "seal_to": key.public_text()});
        let answer: Answer = self.call(Method::POST, UNWRAP, Some(&body)).await?;
        opened(&answer, &key, expected)
    }
}

fn opened(answer: &Answer, key: &RecipientKey, expected: &Wrap) -> Result<UnwrappedSecret, SecretError> {
    let unopened = |reason: &str| SecretError::Unopened {
        path: expected.creation_path.clone(),
        reason: reason.to_owned(),
    };
    if answer.wrap != *expected {
        return Err(unopened("it speaks of another token"));
    }
    let info = WrapInfo {
        organization: &expected.organization_id.to_string(),
        wrap: &expected.wrap_id.to_string(),
        path: &expected.creation_path,
        version: expected.version,
    };
    let plain = open(key, &info.bytes(), &answer.sealed).map_err(|error| unopened(&error.to_string()))?;
    // serde's message may quote what it read.
    let content: Content =
        serde_json::from_slice(&plain).map_err(|_| unopened("what was sealed is no secret"))?;
    Ok(UnwrappedSecret {
        path: expected.creation_path.clone(),
        version: expected.version,
        kind: content.kind,
        fields: content.fields,
    })
}

#[cfg(test)]
mod tests {
    use aim_crypto::sealing::{parse_public, seal};

    use super::*;

    fn wrap(path: &str) -> Wrap {
        Wrap {
            wrap_id: Uuid::from_u128(1),
            organization_id: Uuid::from_u128(2),
            creation_path: path.to_owned(),
            version: 3,
        }
    }

    #[test]
    fn what_a_token_hands_over_opens_for_what_was_expected_alone() {
        let key = RecipientKey::generate().unwrap();
        let info = b"AIM-WRAP-V1\n00000000-0000-0000-0000-000000000002\n00000000-0000-0000-0000-000000000001\na/b\n3";
        let public = parse_public(&key.public_text()).unwrap();
        let plain = br#"{"kind":"api_key","fields":{"value":"canary"}}"#;
        let answer = |path: &str| Answer {
            wrap: wrap(path),
            sealed: seal(&public, info, plain).unwrap(),
        };
        let secret = opened(&answer("a/b"), &key, &wrap("a/b")).unwrap();
        assert_eq!(secret.field("value").unwrap().expose(), "canary");
        assert!(!format!("{secret:?}").contains("canary"));
        assert!(opened(&answer("a/c"), &key, &wrap("a/b")).is_err());
        assert!(
            opened(&answer("a/c"), &key, &wrap("a/c")).is_err(),
            "sealed for another path"
        );
    }
}
