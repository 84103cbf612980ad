//! A signed request that has been read but not believed yet.

use sfv::{BareItem, Dictionary, InnerList, ListEntry};

use super::base::SignatureBase;
use super::content_digest::check_content_digest;
use super::fields::{combined, dictionary};
use super::{Coverage, HttpSignatureError, RequestView};
use crate::keys::{PublicKey, SignatureError};

const INPUT: &str = "Signature-Input";
const SIGNATURE: &str = "Signature";
/// Longest `nonce`, in characters.
pub(super) const LONGEST_NONCE: usize = 128;
/// Longest `keyid` and `tag`, in characters.
const LONGEST_TEXT: usize = 256;

/// A signature taken from a request, with the base it must fit. Its body digest and coverage are checked; its
/// signature, freshness and nonce are not.
#[derive(Debug)]
pub struct Candidate {
    label: String,
    parameters: Parameters,
    base: SignatureBase,
    signature: [u8; 64],
}

/// The signature parameters (RFC 9421 §2.3).
#[derive(Debug)]
struct Parameters {
    keyid: String,
    created: i64,
    expires: Option<i64>,
    nonce: String,
    tag: Option<String>,
}

impl Candidate {
    /// Reads the signature of a request by the acceptance rule of this module, and checks coverage and body.
    ///
    /// # Errors
    /// Any [`HttpSignatureError`] but `Stale`, `Future`, `Expired` and `Invalid`.
    pub fn parse(view: &RequestView<'_>, body: &[u8], policy: &Coverage) -> Result<Self, HttpSignatureError> {
        let input_text = combined(view.headers, "signature-input")?
            .ok_or(HttpSignatureError::Missing { header: INPUT })?;
        let signature_text =
            combined(view.headers, "signature")?.ok_or(HttpSignatureError::Missing { header: SIGNATURE })?;
        let inputs = dictionary(INPUT, &input_text)?;
        let signatures = dictionary(SIGNATURE, &signature_text)?;
        let (label, input, signature) = choose(&inputs, &signatures)?;
        let parameters = Parameters::read(input, *policy)?;
        let base = SignatureBase::build(view, input)?;
        policy.check(base.covered, view.query.is_some(), !body.is_empty())?;
        match &base.content_digest {
            Some(value) => check_content_digest(base.slice(value), body)?,
            None => {
                if let Some(value) = combined(view.headers, "content-digest")? {
                    check_content_digest(&value, body)?;
                }
            }
        }
        Ok(Self {
            label: label.to_owned(),
            parameters,
            base,
            signature,
        })
    }

    /// The label that was chosen.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The name of the key, for AIM its fingerprint. The caller finds the key by it.
    #[must_use]
    pub fn keyid(&self) -> &str {
        &self.parameters.keyid
    }

    /// When it was signed, in Unix seconds.
    #[must_use]
    pub fn created(&self) -> i64 {
        self.parameters.created
    }

    /// Until when the signer wants it to count, in Unix seconds.
    #[must_use]
    pub fn expires(&self) -> Option<i64> {
        self.parameters.expires
    }

    /// 1 to 128 printable ASCII characters. Never empty under [`Coverage::strict`]; empty when a relaxed rule
    /// let it be left out.
    #[must_use]
    pub fn nonce(&self) -> &str {
        &self.parameters.nonce
    }

    /// The application's tag, if any.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.parameters.tag.as_deref()
    }

    /// The covered components in order, as serialised identifiers with their quotes: `"@method"`.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.base.identifiers.iter().map(|range| self.base.slice(range))
    }

    /// The bytes that were signed (RFC 9421 §2.5).
    #[must_use]
    pub fn signature_base(&self) -> &[u8] {
        self.base.text.as_bytes()
    }

    /// The 64 signature bytes.
    #[must_use]
    pub fn signature(&self) -> &[u8; 64] {
        &self.signature
    }

    /// Verifies strictly with the key that [`Candidate::keyid`] names; that it does is for the caller to see.
    ///
    /// # Errors
    /// [`SignatureError::Invalid`].
    pub fn verify(&self, key: &PublicKey) -> Result<(), SignatureError> {
        key.verify(self.signature_base(), &self.signature)
    }

    /// As [`check_freshness`], for this signature's `created` and `expires`.
    ///
    /// # Errors
    /// `Stale`, `Future` or `Expired`.
    pub fn check_freshness(&self, now_unix: i64, window_seconds: i64) -> Result<(), HttpSignatureError> {
        check_freshness(
            self.parameters.created,
            self.parameters.expires,
            now_unix,
            window_seconds,
        )
    }
}

/// Accepts what was signed at most `window_seconds` before or after `now_unix` (both ends included) and is
/// not past its `expires` (the second it names included). All times in Unix seconds.
///
/// # Errors
/// [`HttpSignatureError::Stale`], [`HttpSignatureError::Future`] or [`HttpSignatureError::Expired`].
pub fn check_freshness(
    created: i64,
    expires: Option<i64>,
    now_unix: i64,
    window_seconds: i64,
) -> Result<(), HttpSignatureError> {
    let age = now_unix.saturating_sub(created);
    if age > window_seconds {
        return Err(HttpSignatureError::Stale {
            age,
            window: window_seconds,
        });
    }
    let ahead = created.saturating_sub(now_unix);
    if ahead > window_seconds {
        return Err(HttpSignatureError::Future {
            ahead,
            window: window_seconds,
        });
    }
    match expires {
        Some(expires) if now_unix > expires => Err(HttpSignatureError::Expired {
            ago: now_unix.saturating_sub(expires),
        }),
        _ => Ok(()),
    }
}

/// The first label of `Signature-Input` that `Signature` has too and whose `alg` we can verify.
fn choose<'a>(
    inputs: &'a Dictionary,
    signatures: &Dictionary,
) -> Result<(&'a str, &'a InnerList, [u8; 64]), HttpSignatureError> {
    let mut refusal = HttpSignatureError::Label;
    for (label, entry) in inputs {
        let Some(signature) = signatures.get(label) else {
            continue;
        };
        let ListEntry::InnerList(input) = entry else {
            return Err(malformed(
                INPUT,
                "a member is not a list of components in parentheses",
            ));
        };
        let is_ours = match input.params.get("alg") {
            None => true,
            Some(BareItem::String(algorithm)) => algorithm.as_str() == "ed25519",
            Some(_) => false,
        };
        if !is_ours {
            refusal = HttpSignatureError::Algorithm;
            continue;
        }
        let bytes = match signature {
            ListEntry::Item(item) => item.bare_item.as_byte_sequence(),
            ListEntry::InnerList(_) => None,
        };
        let bytes = bytes.ok_or_else(|| malformed(SIGNATURE, "a member is not a byte sequence in colons"))?;
        let bytes = bytes
            .try_into()
            .map_err(|_| malformed(SIGNATURE, "an Ed25519 signature has 64 bytes"))?;
        return Ok((label.as_str(), input, bytes));
    }
    Err(refusal)
}

fn malformed(header: &'static str, reason: &str) -> HttpSignatureError {
    HttpSignatureError::Malformed {
        header,
        reason: reason.to_owned(),
    }
}

impl Parameters {
    fn read(input: &InnerList, policy: Coverage) -> Result<Self, HttpSignatureError> {
        let mut keyid = None;
        let mut created = None;
        let mut expires = None;
        let mut nonce = None;
        let mut tag = None;
        for (name, value) in &input.params {
            match name.as_str() {
                // Checked when the label was chosen.
                "alg" => {}
                "created" => created = Some(seconds("created", value)?),
                "expires" => expires = Some(seconds("expires", value)?),
                "keyid" => keyid = Some(text("keyid", value, LONGEST_TEXT)?),
                "nonce" => nonce = Some(text("nonce", value, LONGEST_NONCE)?),
                "tag" => tag = Some(text("tag", value, LONGEST_TEXT)?),
                unknown => {
                    return Err(invalid(
                        unknown,
                        "only alg, created, expires, keyid, nonce and tag are supported",
                    ));
                }
            }
        }
        let created = created.ok_or(HttpSignatureError::ParameterMissing { name: "created" })?;
        let keyid = keyid.ok_or(HttpSignatureError::ParameterMissing { name: "keyid" })?;
        if nonce.is_none() && policy.requires_nonce() {
            return Err(HttpSignatureError::ParameterMissing { name: "nonce" });
        }
        if expires.is_some_and(|expires| expires < created) {
            return Err(invalid("expires", "it must not lie before created"));
        }
        Ok(Self {
            keyid,
            created,
            expires,
            nonce: nonce.unwrap_or_default(),
            tag,
        })
    }
}

pub(super) fn invalid(name: &str, reason: &'static str) -> HttpSignatureError {
    HttpSignatureError::ParameterInvalid {
        name: name.to_owned(),
        reason,
    }
}

/// A time in whole Unix seconds, not negative.
fn seconds(name: &str, value: &BareItem) -> Result<i64, HttpSignatureError> {
    value
        .as_integer()
        .map(i64::from)
        .filter(|seconds| *seconds >= 0)
        .ok_or_else(|| invalid(name, "it must be an integer of Unix seconds, without quotes"))
}

/// A string of 1 to `longest` characters; structured-field strings are printable ASCII.
fn text(name: &str, value: &BareItem, longest: usize) -> Result<String, HttpSignatureError> {
    let text = value
        .as_string()
        .ok_or_else(|| invalid(name, "it must be a string in double quotes"))?
        .as_str();
    match text.len() {
        0 => Err(invalid(name, "it must not be empty")),
        length if length > longest && name == "nonce" => {
            Err(invalid(name, "it must have at most 128 characters"))
        }
        length if length > longest => Err(invalid(name, "it must have at most 256 characters")),
        _ => Ok(text.to_owned()),
    }
}
