//! A credential resolved by its agent: signed twice, decided as a read, sealed to the registered key.

use aim_audit::Entry;
use aim_core::{Actor, AgentCredential, AgentId, Code, Ctx, Error, Result, Timestamp};
use aim_crypto::{
    digest,
    keys::{PublicKey, signature_from_base64},
    sealing::{
        SealingError,
        registered::{ALGORITHM, seal_to_registered},
    },
    secret::SecretString,
};
use aim_platform::NonceClaim;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Map, json};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

use super::{
    model::{EPHEMERAL, PASSED_ON, ResolveReply, ResolveRequest, check_name, path_of},
    service::SdkSecretsService,
    store::{self, NamespaceRow},
};
use crate::vault::{Delivery, path::SecretPath};

/// The longest nonce; the SDK's has 67 characters.
const MAX_NONCE: usize = 100;

/// What the agent proved, besides what the request's own signature did.
struct Proven {
    agent: AgentId,
    key: PublicKey,
    namespace: Option<NamespaceRow>,
    claim: NonceClaim,
}

/// A credential that is sealed.
struct Handed {
    blob: String,
    ephemeral: String,
    version: i64,
    url_patterns: Vec<String>,
}

impl SdkSecretsService {
    /// Decides the read and, if it was approved, seals the credential to the registered key that signed.
    pub(super) async fn resolve(
        &self,
        ctx: &Ctx,
        scheme: &'static str,
        request: ResolveRequest,
    ) -> Result<ResolveReply> {
        check_name("operation", &request.operation)?;
        let proven = self.prove(ctx, &request).await?;
        let path = path_of(proven.agent, &request.namespace)?;
        if let Some(namespace) = &proven.namespace
            && !namespace.operations.strings().contains(&request.operation)
        {
            return self.refuse_operation(ctx, &proven, namespace, &request).await;
        }
        let mut context = Map::new();
        context.insert("namespace".to_owned(), json!(request.namespace));
        context.insert("operation".to_owned(), json!(request.operation));
        let delivery = Delivery {
            path: path.clone(),
            context,
            own: json!({
                "version": null,
                "delivery": "sdk",
                "sealed_to_key": proven.key.fingerprint().as_str(),
            }),
        };
        // The nonce stands in the body that both signatures cover: whoever sends the request again sends it again.
        let decided = self
            .vault
            .decide_delivery(ctx, Some(proven.claim), scheme, delivery)
            .await?;
        if decided.status != "approved" {
            return Ok(ResolveReply::without(decided));
        }
        let handed = self
            .hand_over(ctx, &path, &proven.key, proven.namespace.as_ref())
            .await;
        let handed = self.vault.delivered(ctx, &decided, &path, handed).await?;
        Ok(ResolveReply {
            encrypted_blob: Some(handed.blob),
            ephemeral_pub_key: Some(handed.ephemeral),
            encryption_alg: Some(ALGORITHM),
            version: Some(handed.version),
            url_patterns: Some(handed.url_patterns),
            error: None,
            decision: decided,
        })
    }

    /// Opens the credential and seals it to the registered key.
    async fn hand_over(
        &self,
        ctx: &Ctx,
        path: &SecretPath,
        key: &PublicKey,
        namespace: Option<&NamespaceRow>,
    ) -> Result<Handed> {
        let namespace =
            namespace.ok_or_else(|| Error::new(Code::NotFound, "the agent has no namespace of this name"))?;
        let (secret, plaintext) = self.vault.open_allowed(ctx, path.clone(), None).await?;
        let (blob, ephemeral) = sealed(key, &plaintext)?;
        Ok(Handed {
            blob,
            ephemeral,
            version: secret.version,
            url_patterns: namespace.url_patterns.strings(),
        })
    }

    /// Checks the signature inside of the body, over the registered key that signed the request, and that its nonce is fresh.
    async fn prove(&self, ctx: &Ctx, request: &ResolveRequest) -> Result<Proven> {
        let Actor::Agent {
            id: agent,
            credential: AgentCredential::Key { fingerprint },
        } = &ctx.actor
        else {
            return Err(Error::new(
                Code::Forbidden,
                "a credential is sealed to the agent's registered key: sign the request with it",
            ));
        };
        check_name("namespace", &request.namespace)?;
        let signed_at = nonce_time(&request.nonce)?;
        let (organization, agent) = (ctx.organization, *agent);
        let (name, namespace) = (fingerprint.clone(), request.namespace.clone());
        let (key, namespace) = self
            .store
            .read(organization, move |db| {
                let key = store::key(db, organization, agent, &name)?;
                Ok((key, store::named(db, organization, agent, &namespace)?))
            })
            .await?;
        let key = key.ok_or_else(|| {
            Error::new(
                Code::CredentialsInvalid,
                "the key that signed is not the agent's any more",
            )
        })?;
        let named = PublicKey::parse(&request.agent_public_key)
            .map_err(|error| Error::field("agentPublicKey", error.to_string()))?;
        if named != key {
            return Err(Error::new(
                Code::SignatureInvalid,
                "agentPublicKey is not the registered key that signed the request",
            )
            .at("agentPublicKey"));
        }
        let signature = signature_from_base64(&request.signature)
            .map_err(|error| Error::new(Code::SignatureInvalid, error.to_string()).at("signature"))?;
        let message = format!("{}|{}|{}", request.namespace, request.operation, request.nonce);
        key.verify(message.as_bytes(), &signature).map_err(|_| {
            Error::new(
                Code::SignatureInvalid,
                "the signature does not fit; sign namespace|operation|nonce with the registered key",
            )
            .at("signature")
        })?;
        if (ctx.now - signed_at).abs() > self.window {
            let detail = format!(
                "the nonce is of {signed_at}, which is more than {} seconds from now",
                self.window.num_seconds()
            );
            return Err(Error::new(Code::SignatureStale, detail).at("nonce"));
        }
        let once_of = format!("sdk_secrets|{agent}|{}", request.nonce);
        let whole = digest::sha256(once_of.as_bytes());
        let mut once = [0; 16];
        once.copy_from_slice(whole.split_at(16).0);
        let claim = NonceClaim {
            organization,
            digest: once,
            // Two windows: the clock of another node may be behind this one.
            expires_at: signed_at + self.window + self.window,
        };
        Ok(Proven {
            agent,
            key,
            namespace,
            claim,
        })
    }

    /// An operation that the namespace is not for: refused without a decision, and on record.
    async fn refuse_operation(
        &self,
        ctx: &Ctx,
        proven: &Proven,
        namespace: &NamespaceRow,
        request: &ResolveRequest,
    ) -> Result<ResolveReply> {
        let (ctx, claim, id, agent) = (ctx.clone(), proven.claim.clone(), namespace.id, proven.agent);
        let details = json!({"namespace": request.namespace, "operation": request.operation});
        self.store
            .write(ctx.organization, move |db| {
                aim_platform::standing::check(db, ctx.organization, &ctx.actor, ctx.now)?;
                if !aim_store::nonces::claim(db, claim.organization, &claim.digest, claim.expires_at)? {
                    return Err(aim_platform::extract::replayed().into());
                }
                let entry = Entry::event(&ctx, "sdk_namespace.operation_refused")
                    .agent(agent)
                    .target("sdk_namespace", id)
                    .outcome("refused")
                    .details(details.clone());
                aim_audit::append(db, vec![entry])?;
                Ok(())
            })
            .await?;
        Err(Error::new(Code::Forbidden, "the namespace is not for this operation").at("operation"))
    }
}

/// The moment in a nonce: what stands before its last colon.
fn nonce_time(nonce: &str) -> Result<Timestamp> {
    let wrong = || Error::field("nonce", "a moment, a colon, and a random UUID");
    let (moment, unique) = nonce
        .rsplit_once(':')
        .filter(|_| nonce.len() <= MAX_NONCE)
        .ok_or_else(wrong)?;
    if uuid::Uuid::try_parse(unique).is_err() {
        return Err(wrong());
    }
    Timestamp::parse(moment).ok_or_else(wrong)
}

#[derive(Deserialize)]
struct Content {
    fields: BTreeMap<String, SecretString>,
}

/// The credential sealed to the key: blob and ephemeral key in base64. What was sealed before it came is passed on.
fn sealed(key: &PublicKey, plaintext: &[u8]) -> Result<(String, String)> {
    // serde's message may quote what it read.
    let Content { fields } =
        serde_json::from_slice(plaintext).map_err(|_| Error::internal("a version holds no values"))?;
    if let (2, Some(blob), Some(ephemeral)) = (fields.len(), fields.get(PASSED_ON), fields.get(EPHEMERAL)) {
        return Ok((blob.expose().to_owned(), ephemeral.expose().to_owned()));
    }
    let credential = credential(&fields)?;
    let sealed = seal_to_registered(key, &credential).map_err(|error| match error {
        SealingError::Key => Error::new(Code::StateConflict, "nothing can be sealed to the registered key"),
        other => Error::internal(other),
    })?;
    Ok((STANDARD.encode(&sealed.blob), STANDARD.encode(sealed.ephemeral)))
}

/// The bytes that the SDK hands to its caller: the content of a file, the value of a secret that has one, otherwise the
/// fields as a JSON object. So a secret that was written in the vault itself can be resolved too.
fn credential(fields: &BTreeMap<String, SecretString>) -> Result<Zeroizing<Vec<u8>>> {
    if let (1, Some(content)) = (fields.len(), fields.get("content"))
        && let Ok(bytes) = STANDARD.decode(content.expose())
    {
        return Ok(Zeroizing::new(bytes));
    }
    if let (1, Some(value)) = (fields.len(), fields.values().next()) {
        return Ok(Zeroizing::new(value.expose().as_bytes().to_vec()));
    }
    let size: usize = fields
        .iter()
        .map(|(name, value)| name.len() + value.len() * 6 + 8)
        .sum();
    let mut bytes = Zeroizing::new(Vec::with_capacity(size + 64));
    let exposed: BTreeMap<&str, &str> = fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.expose()))
        .collect();
    serde_json::to_writer(&mut *bytes, &exposed).map_err(Error::internal)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_a_moment_and_a_uuid_split_at_the_last_colon() {
        let good = "2026-11-23T10:00:00.000000000Z:0b8f3f0e-7c1e-4b3a-9f0e-5d4c3b2a1908";
        assert_eq!(
            nonce_time(good).unwrap(),
            Timestamp::parse("2026-11-23T10:00:00Z").unwrap()
        );
        for bad in [
            "",
            "2026-11-23T10:00:00Z",
            "2026-11-23T10:00:00Z:x",
            "now:0b8f3f0e-7c1e-4b3a-9f0e-5d4c3b2a1908",
            &format!("{good}{}", "0".repeat(100)),
        ] {
            assert_eq!(
                nonce_time(bad).unwrap_err().field.as_deref(),
                Some("nonce"),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_credential_is_the_content_the_value_or_all_fields() {
        let bytes = |json: &str| {
            let content: Content = serde_json::from_str(json).unwrap();
            String::from_utf8(credential(&content.fields).unwrap().to_vec()).unwrap()
        };
        assert_eq!(bytes(r#"{"fields":{"content":"aGk="}}"#), "hi");
        assert_eq!(bytes(r#"{"fields":{"value":"aGk="}}"#), "aGk=");
        assert_eq!(bytes(r#"{"fields":{"a":"1","b":"\""}}"#), r#"{"a":"1","b":"\""}"#);
    }
}
