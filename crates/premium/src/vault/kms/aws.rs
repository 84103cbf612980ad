//! AWS KMS, by its own client: `Encrypt` and `Decrypt` with a symmetric key, and an encryption context.

use std::error::Error as _;

use aws_config::{BehaviorVersion, Region, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_kms::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    primitives::Blob,
};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::{
    Failure, Kms, Parameters, from_base64,
    http::{CONNECTING, EXCHANGE, TRIES, address},
};

/// The encryption context: what was encrypted for something else does not decrypt.
const CONTEXT: (&str, &str) = ("aim", "vault-root-key");

impl Kms {
    async fn aws(&self) -> Result<Client, Failure> {
        let endpoint = self.settings.kms_endpoint.clone();
        if !endpoint.is_empty() {
            address(&endpoint)?;
        }
        let region = self.settings.kms_region.clone();
        let made = self
            .aws
            .get_or_try_init(|| on_its_own(async move { Ok(client(region, endpoint).await) }));
        made.await.cloned()
    }

    pub(super) async fn aws_encrypt(&self, plaintext: &[u8]) -> Result<Parameters, Failure> {
        let request = self
            .aws()
            .await?
            .encrypt()
            .key_id(&self.settings.kms_key)
            .encryption_context(CONTEXT.0, CONTEXT.1)
            .plaintext(Blob::new(plaintext));
        let answer = on_its_own(async { request.send().await.map_err(|error| said(&error)) }).await?;
        let ciphertext = answer.ciphertext_blob.ok_or_else(empty)?;
        Ok(Parameters {
            key: answer.key_id.unwrap_or_default(),
            ciphertext: STANDARD.encode(ciphertext),
        })
    }

    pub(super) async fn aws_decrypt(&self, stored: &Parameters) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let ciphertext = from_base64(&stored.ciphertext)?;
        let request = self
            .aws()
            .await?
            .decrypt()
            // With the key named, a ciphertext of somebody else's key is refused by the service.
            .key_id(&self.settings.kms_key)
            .encryption_context(CONTEXT.0, CONTEXT.1)
            .ciphertext_blob(Blob::new(ciphertext.to_vec()));
        let answer = on_its_own(async { request.send().await.map_err(|error| said(&error)) }).await?;
        let plaintext = answer.plaintext.ok_or_else(empty)?;
        Ok(Zeroizing::new(plaintext.into_inner()))
    }
}

async fn client(region: String, endpoint: String) -> Client {
    let http = Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https();
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECTING)
        .operation_attempt_timeout(EXCHANGE)
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .retry_config(RetryConfig::standard().with_max_attempts(TRIES))
        .timeout_config(timeouts);
    if !region.is_empty() {
        loader = loader.region(Region::new(region));
    }
    if !endpoint.is_empty() {
        loader = loader.endpoint_url(endpoint);
    }
    Client::new(&loader.load().await)
}

/// Runs `work` as a task: what the client builds is deep, and would need more of the caller's stack than there may be left.
async fn on_its_own<T: Send + 'static>(
    work: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> Result<T, Failure> {
    let task = tokio::spawn(work);
    task.await
        .map_err(|_| Failure("the call was given up".to_owned()))?
}

fn empty() -> Failure {
    Failure("its answer is empty".to_owned())
}

/// What went wrong, without the service's own words: these name accounts and people.
fn said<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> Failure {
    Failure(match error {
        SdkError::ServiceError(refusal) => {
            format!("it answered {}", refusal.err().code().unwrap_or("an error"))
        }
        SdkError::TimeoutError(_) => "no answer in time".to_owned(),
        SdkError::DispatchFailure(failure) => {
            let is_about_us = !failure.is_io() && !failure.is_timeout();
            match (
                is_about_us,
                failure.as_connector_error().and_then(|error| error.source()),
            ) {
                (true, _) => "the environment has no credentials or no region for it".to_owned(),
                (false, _) => "it cannot be reached".to_owned(),
            }
        }
        SdkError::ConstructionFailure(_) => {
            "the environment has no credentials or no region for it".to_owned()
        }
        _ => "its answer is not the one that was expected".to_owned(),
    })
}
