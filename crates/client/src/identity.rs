//! An agent as the client holds it: who it is, and the key by which it proves that.

use std::fmt;

use aim_crypto::keys::{Fingerprint, PublicKey, SigningKey};
use aim_crypto::secret::SecretString;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::Result;

/// An agent's name, id, server and private key. `Debug` shows all but the key.
#[derive(Clone)]
pub struct AgentIdentity {
    /// The agent's name inside its organisation.
    pub name: String,
    /// Its id.
    pub agent_id: Uuid,
    /// The server that knows it.
    pub server: String,
    key: SigningKey,
}

/// The form in a key file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    name: String,
    agent_id: Uuid,
    server: String,
    /// For people who look for the file of a key; the key itself decides.
    fingerprint: String,
    /// PKCS#8 PEM.
    private_key: String,
}

impl AgentIdentity {
    /// An agent that holds `key`.
    #[must_use]
    pub fn new(name: impl Into<String>, agent_id: Uuid, server: impl Into<String>, key: SigningKey) -> Self {
        Self {
            name: name.into(),
            agent_id,
            server: server.into(),
            key,
        }
    }

    /// The private key, for signing.
    #[must_use]
    pub fn key(&self) -> &SigningKey {
        &self.key
    }

    /// The public half.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.key.public()
    }

    /// The name of the key: its RFC 7638 thumbprint.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.key.public().fingerprint()
    }

    /// The same agent with another key.
    #[must_use]
    pub fn with_key(&self, key: SigningKey) -> Self {
        Self { key, ..self.clone() }
    }

    /// The text of a key file. It holds the private key.
    #[must_use]
    pub fn to_file_text(&self) -> SecretString {
        let pem = self.key.to_pkcs8_pem();
        let stored = Stored {
            name: self.name.clone(),
            agent_id: self.agent_id,
            server: self.server.clone(),
            fingerprint: self.fingerprint().to_string(),
            private_key: pem.expose().to_owned(),
        };
        SecretString::new(serde_json::to_string_pretty(&stored).unwrap_or_default() + "\n")
    }

    /// Reads the text of a key file.
    ///
    /// # Errors
    /// What is wrong with the text, without quoting it.
    pub fn from_file_text(text: &str) -> Result<Self, String> {
        // serde's message may quote what it read: the place is enough.
        let stored: Stored = serde_json::from_str(text).map_err(|error| {
            format!(
                "this is not an agent's key file (line {}, column {})",
                error.line(),
                error.column()
            )
        })?;
        let key = SigningKey::from_pkcs8_pem(SecretString::new(stored.private_key).expose())
            .map_err(|error| error.to_string())?;
        if key.public().fingerprint().as_str() != stored.fingerprint {
            return Err(
                "the fingerprint in the file is not that of its key; the file was altered".to_owned(),
            );
        }
        Ok(Self {
            name: stored.name,
            agent_id: stored.agent_id,
            server: stored.server,
            key,
        })
    }
}

impl fmt::Debug for AgentIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentIdentity")
            .field("name", &self.name)
            .field("agent_id", &self.agent_id)
            .field("server", &self.server)
            .field("fingerprint", &self.fingerprint())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> AgentIdentity {
        AgentIdentity::new(
            "reader",
            Uuid::from_u128(7),
            "http://127.0.0.1:8700",
            SigningKey::from_seed(&[7; 32]),
        )
    }

    #[test]
    fn a_key_file_gives_the_identity_back() {
        let before = identity();
        let after = AgentIdentity::from_file_text(before.to_file_text().expose()).unwrap();
        assert_eq!(after.fingerprint(), before.fingerprint());
        assert_eq!(
            (after.name, after.agent_id, after.server),
            (before.name, before.agent_id, before.server)
        );
    }

    #[test]
    fn debug_shows_no_private_key() {
        let identity = identity();
        let pem = identity.key().to_pkcs8_pem();
        let secret = pem.expose().lines().nth(1).unwrap();
        assert!(!format!("{identity:?}").contains(secret));
    }

    #[test]
    fn an_altered_file_is_refused_without_quoting_it() {
        let text = identity().to_file_text();
        let other = SigningKey::from_seed(&[8; 32]).public().fingerprint();
        let altered = text
            .expose()
            .replace(identity().fingerprint().as_str(), other.as_str());
        assert!(
            AgentIdentity::from_file_text(&altered)
                .unwrap_err()
                .contains("altered")
        );
        let cut = &text.expose()[..text.len() - 20];
        assert!(
            !AgentIdentity::from_file_text(cut)
                .unwrap_err()
                .contains("PRIVATE")
        );
    }
}
