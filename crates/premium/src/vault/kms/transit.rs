//! The transit engine of Vault or OpenBao: `encrypt` and `decrypt`. The token is in `VAULT_TOKEN` or in `~/.vault-token`, as
//! their own clients have it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::{Client, RequestBuilder};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    Failure, Kms, Parameters, from_base64,
    http::{address, answer},
    variable, wiped,
};

#[derive(Deserialize)]
struct Answer<T> {
    data: T,
}

#[derive(Deserialize)]
struct Encrypted {
    ciphertext: String,
}

#[derive(Deserialize)]
struct Decrypted {
    #[serde(deserialize_with = "wiped")]
    plaintext: Zeroizing<String>,
}

impl Kms {
    pub(super) async fn transit_encrypt(&self, plaintext: &[u8]) -> Result<Parameters, Failure> {
        let body = json!({"plaintext": STANDARD.encode(plaintext)});
        let done: Answer<Encrypted> = self.transit("encrypt", &body).await?;
        Ok(Parameters {
            key: self.settings.kms_key.clone(),
            ciphertext: done.data.ciphertext,
        })
    }

    pub(super) async fn transit_decrypt(&self, stored: &Parameters) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let body = json!({"ciphertext": stored.ciphertext});
        let done: Answer<Decrypted> = self.transit("decrypt", &body).await?;
        from_base64(&done.data.plaintext)
    }

    async fn transit<T: DeserializeOwned>(&self, operation: &str, body: &Value) -> Result<T, Failure> {
        let endpoint = match self.settings.kms_endpoint.as_str() {
            "" => variable("VAULT_ADDR").ok_or_else(|| {
                Failure("it has no address: set vault.kms_endpoint or VAULT_ADDR".to_owned())
            })?,
            endpoint => endpoint.to_owned(),
        };
        let is_name = |text: &str| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/'))
        };
        let (mount, key) = match self.settings.kms_key.rsplit_once('/') {
            Some((mount, key)) if is_name(mount) && is_name(key) => (mount, key),
            _ => {
                return Err(Failure(
                    "vault.kms_key is to be MOUNT/KEY, such as transit/aim".to_owned(),
                ));
            }
        };
        let url = address(&format!(
            "{}/v1/{mount}/{operation}/{key}",
            endpoint.trim_end_matches('/')
        ))?;
        let token = token().await?;
        let namespace = variable("VAULT_NAMESPACE");
        let request = |client: &Client| -> RequestBuilder {
            let request = client
                .post(url.clone())
                .header("x-vault-token", token.as_str())
                .json(body);
            match &namespace {
                Some(namespace) => request.header("x-vault-namespace", namespace),
                None => request,
            }
        };
        answer(operation, request).await
    }
}

async fn token() -> Result<Zeroizing<String>, Failure> {
    if let Some(token) = variable("VAULT_TOKEN") {
        return Ok(Zeroizing::new(token));
    }
    let home = variable("HOME").unwrap_or_default();
    let text = tokio::fs::read_to_string(format!("{home}/.vault-token")).await;
    let text = text.map(Zeroizing::new).map_err(|_| {
        Failure("there is no token: set VAULT_TOKEN, or sign in with its own command".to_owned())
    })?;
    Ok(Zeroizing::new(text.trim().to_owned()))
}
