//! Google Cloud KMS: `encrypt` and `decrypt` of a symmetric key. Credentials by Google's own rules: the file of
//! `GOOGLE_APPLICATION_CREDENTIALS`, those of gcloud, or the machine's own.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::{
    Failure, Kms, Parameters, from_base64,
    http::{address, answer},
    wiped,
};

const ENDPOINT: &str = "https://cloudkms.googleapis.com";
const SCOPE: &str = "https://www.googleapis.com/auth/cloudkms";
/// Bound to the ciphertext: what was encrypted for something else does not decrypt.
const ASSOCIATED: &[u8] = b"aim vault-root-key";

#[derive(Deserialize)]
struct Encrypted {
    /// The version of the key.
    name: String,
    ciphertext: String,
}

#[derive(Deserialize)]
struct Decrypted {
    #[serde(deserialize_with = "wiped")]
    plaintext: Zeroizing<String>,
}

impl Kms {
    async fn gcp_token(&self) -> Result<Zeroizing<String>, Failure> {
        let none = |_| Failure("the environment has no credentials for it, or they were refused".to_owned());
        let provider = self.gcp.get_or_try_init(gcp_auth::provider).await.map_err(none)?;
        let token = provider.token(&[SCOPE]).await.map_err(none)?;
        Ok(Zeroizing::new(token.as_str().to_owned()))
    }

    /// The address of an operation on the key.
    fn gcp_address(&self, operation: &str) -> Result<String, Failure> {
        let endpoint = match self.settings.kms_endpoint.as_str() {
            "" => ENDPOINT,
            endpoint => endpoint.trim_end_matches('/'),
        };
        let key = &self.settings.kms_key;
        let is_name =
            key.starts_with("projects/") && key.contains("/cryptoKeys/") && !key.contains(['?', '#', ':']);
        if !is_name {
            return Err(Failure(
                "vault.kms_key is to be projects/P/locations/L/keyRings/R/cryptoKeys/K".to_owned(),
            ));
        }
        Ok(address(&format!("{endpoint}/v1/{key}:{operation}"))?.to_string())
    }

    pub(super) async fn gcp_encrypt(&self, plaintext: &[u8]) -> Result<Parameters, Failure> {
        let (url, token) = (self.gcp_address("encrypt")?, self.gcp_token().await?);
        let body = json!({
            "plaintext": STANDARD.encode(plaintext),
            "additionalAuthenticatedData": STANDARD.encode(ASSOCIATED),
        });
        let done: Encrypted = answer("encrypt", |client| {
            client.post(&url).bearer_auth(token.as_str()).json(&body)
        })
        .await?;
        Ok(Parameters {
            key: done.name,
            ciphertext: done.ciphertext,
        })
    }

    pub(super) async fn gcp_decrypt(&self, stored: &Parameters) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let (url, token) = (self.gcp_address("decrypt")?, self.gcp_token().await?);
        let body = json!({
            "ciphertext": stored.ciphertext,
            "additionalAuthenticatedData": STANDARD.encode(ASSOCIATED),
        });
        let done: Decrypted = answer("decrypt", |client| {
            client.post(&url).bearer_auth(token.as_str()).json(&body)
        })
        .await?;
        from_base64(&done.plaintext)
    }
}
