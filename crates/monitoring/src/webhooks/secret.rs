//! Secrets of webhooks: made here, shown once, and kept so that deliveries can be signed.
//!
//! A secret is stored under AES-256-GCM, with a key that HKDF-SHA256 derives from the installation's pepper
//! under a label of its own; organisation and webhook are bound to it as associated data, so a sealed secret
//! moved to another row opens nothing. Who has the database but not the pepper has no secret, unless the
//! pepper is in the database too, as it is unless `security.token_key_file` is set.

use aim_core::{Error, OrganizationId, Result};
use aim_crypto::{
    digest::{hex, hmac_sha256, random_bytes},
    secret::SecretString,
    token::TokenPepper,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{aead, hkdf};
use zeroize::Zeroizing;

use super::model::WebhookId;

/// The label of the key: nothing else is derived under it.
const LABEL: &[u8] = b"aim webhook secrets v1";
/// The format of a sealed secret, before its nonce.
const FORMAT: u8 = 1;
const NONCE: usize = aead::NONCE_LEN;

/// A new secret.
///
/// # Errors
/// When there is no randomness.
pub fn generate() -> Result<SecretString> {
    let bytes = Zeroizing::new(random_bytes::<32>().map_err(Error::internal)?);
    Ok(SecretString::new(format!(
        "whsec_{}",
        URL_SAFE_NO_PAD.encode(bytes.as_slice())
    )))
}

/// The value of `X-AIM-Signature`: `t=<seconds since 1970>,v1=<HMAC-SHA256 over "<t>.<body>" in hex>`.
#[must_use]
pub fn signature(secret: &SecretString, seconds: i64, body: &[u8]) -> String {
    let mut message = format!("{seconds}.").into_bytes();
    message.extend_from_slice(body);
    let mac = hmac_sha256(secret.expose().as_bytes(), &message);
    format!("t={seconds},v1={}", hex(&mac))
}

/// Seals the secret of a webhook.
///
/// # Errors
/// When there is no randomness.
pub fn seal(
    pepper: &TokenPepper,
    organization: OrganizationId,
    webhook: WebhookId,
    secret: &SecretString,
) -> Result<Vec<u8>> {
    let nonce: [u8; NONCE] = random_bytes().map_err(Error::internal)?;
    let mut bytes = secret.expose().as_bytes().to_vec();
    key(pepper)?
        .seal_in_place_append_tag(
            aead::Nonce::assume_unique_for_key(nonce),
            aead::Aad::from(binding(organization, webhook)),
            &mut bytes,
        )
        .map_err(|_| Error::internal("a webhook's secret could not be sealed"))?;
    let mut sealed = vec![FORMAT];
    sealed.extend_from_slice(&nonce);
    sealed.append(&mut bytes);
    Ok(sealed)
}

/// Opens what [`seal`] sealed.
///
/// # Errors
/// `server.internal` when it was sealed for another webhook or under another pepper, or was changed.
pub fn open(
    pepper: &TokenPepper,
    organization: OrganizationId,
    webhook: WebhookId,
    sealed: &[u8],
) -> Result<SecretString> {
    let refusal = || Error::internal("a webhook's secret cannot be opened: it was sealed under another key");
    let (format, rest) = sealed.split_first().ok_or_else(refusal)?;
    let (nonce, bytes) = rest.split_at_checked(NONCE).ok_or_else(refusal)?;
    if *format != FORMAT {
        return Err(refusal());
    }
    let nonce = aead::Nonce::try_assume_unique_for_key(nonce).map_err(|_| refusal())?;
    let mut bytes = Zeroizing::new(bytes.to_vec());
    let opened = key(pepper)?
        .open_in_place(nonce, aead::Aad::from(binding(organization, webhook)), &mut bytes)
        .map_err(|_| refusal())?;
    let text = std::str::from_utf8(opened).map_err(|_| refusal())?;
    Ok(SecretString::from(text))
}

fn key(pepper: &TokenPepper) -> Result<aead::LessSafeKey> {
    let unusable = |_| Error::internal("the key of webhooks' secrets cannot be derived");
    let derived = hkdf::Salt::new(hkdf::HKDF_SHA256, LABEL).extract(pepper.expose());
    let key = derived.expand(&[LABEL], &aead::AES_256_GCM).map_err(unusable)?;
    Ok(aead::LessSafeKey::new(aead::UnboundKey::from(key)))
}

fn binding(organization: OrganizationId, webhook: WebhookId) -> [u8; 32] {
    let mut bound = [0; 32];
    let ids = organization
        .uuid()
        .into_bytes()
        .into_iter()
        .chain(webhook.uuid().into_bytes());
    for (place, byte) in bound.iter_mut().zip(ids) {
        *place = byte;
    }
    bound
}

#[cfg(test)]
mod tests {
    use aim_core::{Id, Timestamp};

    use super::*;

    fn ids() -> (OrganizationId, WebhookId) {
        let now = Timestamp::parse("2026-11-23T10:00:00Z").unwrap();
        (Id::generate(now), Id::generate(now))
    }

    #[test]
    fn a_secret_opens_for_its_own_webhook_under_its_own_pepper_only() {
        let (organization, webhook) = ids();
        let pepper = TokenPepper::from_bytes([7; 32]);
        let secret = generate().unwrap();
        let sealed = seal(&pepper, organization, webhook, &secret).unwrap();
        assert!(!sealed.windows(6).any(|part| part == b"whsec_"));
        let opened = open(&pepper, organization, webhook, &sealed).unwrap();
        assert_eq!(opened.expose(), secret.expose());

        let (other_organization, other_webhook) = ids();
        assert!(open(&pepper, organization, other_webhook, &sealed).is_err());
        assert!(open(&pepper, other_organization, webhook, &sealed).is_err());
        assert!(open(&TokenPepper::from_bytes([8; 32]), organization, webhook, &sealed).is_err());
        for place in [0, 1, 13, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            assert!(
                open(&pepper, organization, webhook, &changed).is_err(),
                "byte {place}"
            );
        }
        assert!(open(&pepper, organization, webhook, &[]).is_err());
    }

    #[test]
    fn a_signature_is_what_anybody_else_computes() {
        // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac whsec_test
        let signature = signature(&SecretString::from("whsec_test"), 1_700_000_000, br#"{"a":1}"#);
        assert_eq!(signature, EXPECTED);
    }

    const EXPECTED: &str = "t=1700000000,v1=38877139021993b830af32feea6e18a8da83eb2f6e49ee50bd9e4cf4ca4d3789";
}
