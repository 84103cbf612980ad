//! Azure Key Vault: `wrapkey` and `unwrapkey` with an RSA key. Credentials as Azure's own clients find them: a client secret or
//! a federated token in the environment, or the machine's managed identity.

use base64::{
    Engine as _,
    engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD},
};
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::{
    Failure, Kms, Parameters,
    http::{address, answer},
    variable, wiped,
};

const VERSION: &str = "api-version=7.4";
const ALGORITHM: &str = "RSA-OAEP-256";
const RESOURCE: &str = "https://vault.azure.net";
const AUTHORITY: &str = "https://login.microsoftonline.com";
/// Where a virtual machine asks for its own identity.
const MACHINE: &str = "http://169.254.169.254/metadata/identity/oauth2/token";
/// How a workload tells that it is one (RFC 7523 §2.2).
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

#[derive(Deserialize)]
struct Token {
    #[serde(deserialize_with = "wiped")]
    access_token: Zeroizing<String>,
}

#[derive(Deserialize)]
struct Operated {
    /// The version of the key, as an address.
    kid: String,
    #[serde(deserialize_with = "wiped")]
    value: Zeroizing<String>,
}

impl Kms {
    /// The key's address, without the version.
    fn azure_key(&self) -> Result<String, Failure> {
        let key = self.settings.kms_key.trim_end_matches('/');
        let url = address(key)?;
        let parts: Vec<&str> = url.path_segments().map(Iterator::collect).unwrap_or_default();
        match parts.as_slice() {
            ["keys", _] | ["keys", _, _] if url.query().is_none() => Ok(key.to_owned()),
            _ => Err(Failure(
                "vault.kms_key is to be https://NAME.vault.azure.net/keys/KEY".to_owned(),
            )),
        }
    }

    pub(super) async fn azure_encrypt(&self, plaintext: &[u8]) -> Result<Parameters, Failure> {
        let key = self.azure_key()?;
        // Without a version in the settings an empty one stands there: the newest.
        let has_version = address(&key)?
            .path_segments()
            .is_some_and(|parts| parts.count() == 3);
        let gap = if has_version { "" } else { "/" };
        let url = format!("{key}{gap}/wrapkey?{VERSION}");
        let token = token().await?;
        let body = json!({"alg": ALGORITHM, "value": URL_SAFE_NO_PAD.encode(plaintext)});
        let done: Operated = answer("wrapkey", |client| {
            client.post(&url).bearer_auth(token.as_str()).json(&body)
        })
        .await?;
        Ok(Parameters {
            key: done.kid,
            ciphertext: done.value.to_string(),
        })
    }

    pub(super) async fn azure_decrypt(&self, stored: &Parameters) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let key = self.azure_key()?;
        // The database says which version; whose key it is, the settings say.
        let is_of_it = stored.key == key || stored.key.starts_with(&format!("{key}/"));
        if !is_of_it {
            return Err(Failure(
                "the root key was encrypted by another key than vault.kms_key names".to_owned(),
            ));
        }
        let url = format!("{}/unwrapkey?{VERSION}", stored.key);
        let token = token().await?;
        let body = json!({"alg": ALGORITHM, "value": stored.ciphertext});
        let done: Operated = answer("unwrapkey", |client| {
            client.post(&url).bearer_auth(token.as_str()).json(&body)
        })
        .await?;
        let text = done.value.trim_end_matches('=');
        URL_SAFE_NO_PAD
            .decode(text)
            .or_else(|_| URL_SAFE.decode(text))
            .map(Zeroizing::new)
            .map_err(|_| Failure("its answer is no base64".to_owned()))
    }
}

/// An access token for the vault.
async fn token() -> Result<Zeroizing<String>, Failure> {
    let (tenant, client) = (variable("AZURE_TENANT_ID"), variable("AZURE_CLIENT_ID"));
    let secret = variable("AZURE_CLIENT_SECRET").map(Zeroizing::new);
    let federated = variable("AZURE_FEDERATED_TOKEN_FILE");
    let token: Token = match (tenant, &client, secret, federated) {
        (Some(tenant), Some(client), secret, federated) if secret.is_some() || federated.is_some() => {
            let authority = variable("AZURE_AUTHORITY_HOST").unwrap_or_else(|| AUTHORITY.to_owned());
            let url = format!("{}/{tenant}/oauth2/v2.0/token", authority.trim_end_matches('/'));
            let url = address(&url)?;
            let proof = match (secret, federated) {
                (Some(secret), _) => vec![("client_secret", secret)],
                (None, Some(file)) => {
                    let token = tokio::fs::read_to_string(&file)
                        .await
                        .map(Zeroizing::new)
                        .map_err(|_| {
                            Failure("the file of AZURE_FEDERATED_TOKEN_FILE cannot be read".to_owned())
                        })?;
                    vec![
                        ("client_assertion_type", Zeroizing::new(ASSERTION.to_owned())),
                        ("client_assertion", token),
                    ]
                }
                (None, None) => Vec::new(),
            };
            let scope = format!("{RESOURCE}/.default");
            let mut form = vec![
                ("grant_type", "client_credentials"),
                ("client_id", client.as_str()),
                ("scope", scope.as_str()),
            ];
            form.extend(proof.iter().map(|(name, value)| (*name, value.as_str())));
            let form = encoded(&form);
            answer("signing in", |client| {
                let request = client.post(url.clone());
                request
                    .header("content-type", "application/x-www-form-urlencoded")
                    .body(form.to_string())
            })
            .await?
        }
        _ => machine_token(client.as_deref()).await?,
    };
    Ok(token.access_token)
}

/// The token of the managed identity of the machine or of the application.
async fn machine_token(client: Option<&str>) -> Result<Token, Failure> {
    let (endpoint, header) = (variable("IDENTITY_ENDPOINT"), variable("IDENTITY_HEADER"));
    let mut query = vec![("resource", RESOURCE)];
    query.extend(client.map(|client| ("client_id", client)));
    let (endpoint, name, value) = match (endpoint, header) {
        (Some(endpoint), Some(header)) => {
            query.push(("api-version", "2019-08-01"));
            (endpoint, "x-identity-header", header)
        }
        _ => {
            query.push(("api-version", "2018-02-01"));
            (MACHINE.to_owned(), "metadata", "true".to_owned())
        }
    };
    let url = format!("{endpoint}?{}", encoded(&query).as_str());
    answer("the managed identity", |client| {
        client.get(&url).header(name, &value)
    })
    .await
}

/// A form, or a query.
fn encoded(pairs: &[(&str, &str)]) -> Zeroizing<String> {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    /// All but what RFC 3986 §2.3 leaves as it is.
    const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');
    let mut text = Zeroizing::new(String::new());
    for (name, value) in pairs {
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(name);
        text.push('=');
        text.extend(utf8_percent_encode(value, RESERVED));
    }
    text
}
