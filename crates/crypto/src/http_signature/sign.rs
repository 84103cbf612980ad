//! The client's side: signing a request so that [`super::Coverage::strict`] accepts it.

use sfv::{BareItem, DictSerializer, InnerList, Item, KeyRef, key_ref, string_ref};

use super::base::SignatureBase;
use super::candidate::{LONGEST_NONCE, invalid};
use super::content_digest::content_digest;
use super::{HeaderLookup, HttpSignatureError, RequestView};
use crate::keys::SigningKey;

/// The label of signatures made here.
const LABEL: &KeyRef = key_ref("aim");

/// The header values to add to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHeaders {
    /// Value of `Signature-Input`.
    pub signature_input: String,
    /// Value of `Signature`.
    pub signature: String,
    /// Value of `Content-Digest`, when the body is not empty or the digest was asked for.
    pub content_digest: Option<String>,
}

/// Signs a request: covers `@method`, `@authority`, `@path`, `@query` if there is a query, `content-digest`
/// if there is a body, and the `extra` components (header fields in lower case, or derived components
/// without parameters). `@authority` and `@path` stand instead of `@target-uri`, so that a proxy that ends
/// TLS does not break the signature.
///
/// `created` is in Unix seconds; `nonce` has 1 to 128 printable ASCII characters and must be fresh for each
/// request. The parameter `keyid` is the key's fingerprint.
///
/// # Errors [`HttpSignatureError`] when a component is missing from the request or unsupported, or
/// `created` or `nonce` is out of range.
pub fn sign_request(
    view: &RequestView<'_>,
    body: &[u8],
    key: &SigningKey,
    created: i64,
    nonce: &str,
    extra: &[&str],
) -> Result<SignedHeaders, HttpSignatureError> {
    let digest = (!body.is_empty() || extra.contains(&"content-digest")).then(|| content_digest(body));
    let mut names = vec!["@method", "@authority", "@path"];
    if view.query.is_some() {
        names.push("@query");
    }
    if digest.is_some() {
        names.push("content-digest");
    }
    for name in extra {
        if !names.contains(name) {
            names.push(name);
        }
    }
    let input = signature_input(&names, key, created, nonce)?;
    let headers = WithDigest {
        inner: view.headers,
        digest: digest.as_deref(),
    };
    let base = SignatureBase::build(
        &RequestView {
            headers: &headers,
            ..*view
        },
        &input,
    )?;
    let signature = key.sign(base.text.as_bytes());
    Ok(SignedHeaders {
        signature_input: serialize(|dictionary| {
            let mut list = dictionary.inner_list(LABEL);
            list.items(&input.items);
            let _ = list.finish().parameters(&input.params);
        }),
        signature: serialize(|dictionary| {
            let _ = dictionary.bare_item(LABEL, signature.as_slice());
        }),
        content_digest: digest,
    })
}

/// The covered components and the parameters in the order of RFC 9421's examples.
fn signature_input(
    names: &[&str],
    key: &SigningKey,
    created: i64,
    nonce: &str,
) -> Result<InnerList, HttpSignatureError> {
    if nonce.is_empty() || nonce.len() > LONGEST_NONCE {
        return Err(invalid("nonce", "it must have 1 to 128 characters"));
    }
    let created = u64::try_from(created)
        .ok()
        .and_then(|seconds| sfv::Integer::try_from(seconds).ok())
        .ok_or_else(|| invalid("created", "it must be an integer of Unix seconds"))?;
    let mut input = InnerList::default();
    for name in names {
        let name = string(name).ok_or_else(|| HttpSignatureError::ComponentUnsupported {
            component: (*name).to_owned(),
        })?;
        input.items.push(Item::new(name));
    }
    let nonce = string(nonce).ok_or_else(|| invalid("nonce", "it must be printable ASCII"))?;
    let keyid = string(key.public().fingerprint().as_str())
        .ok_or_else(|| invalid("keyid", "it must be printable ASCII"))?;
    let parameters: [(&KeyRef, BareItem); 4] = [
        (key_ref("created"), created.into()),
        (key_ref("nonce"), nonce.into()),
        (key_ref("alg"), string_ref("ed25519").into()),
        (key_ref("keyid"), keyid.into()),
    ];
    input
        .params
        .extend(parameters.map(|(name, value)| (name.to_owned(), value)));
    Ok(input)
}

/// A structured-field string; `None` when the text is not printable ASCII.
fn string(text: &str) -> Option<sfv::String> {
    sfv::String::from_string(text.to_owned()).ok()
}

/// A dictionary with the members that `write` adds.
fn serialize(write: impl FnOnce(&mut DictSerializer<String>)) -> String {
    let mut dictionary = DictSerializer::new();
    write(&mut dictionary);
    dictionary.finish().unwrap_or_default()
}

/// The request's header fields with the digest that is about to be added.
struct WithDigest<'a> {
    inner: &'a dyn HeaderLookup,
    digest: Option<&'a str>,
}

impl HeaderLookup for WithDigest<'_> {
    fn values(&self, name: &str) -> Vec<&[u8]> {
        match self.digest {
            Some(digest) if name == "content-digest" => vec![digest.as_bytes()],
            _ => self.inner.values(name),
        }
    }
}
