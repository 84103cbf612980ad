//! `Content-Digest` (RFC 9530): what ties a body to the header fields that are signed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sfv::ListEntry;

use super::HttpSignatureError;
use super::fields::dictionary;
use crate::digest::{sha256, sha512};

/// The value of `Content-Digest` for a body, with SHA-256.
#[must_use]
pub fn content_digest(body: &[u8]) -> String {
    let mut value = String::with_capacity(54);
    value.push_str("sha-256=:");
    STANDARD.encode_string(sha256(body), &mut value);
    value.push(':');
    value
}

/// Checks a `Content-Digest` value against the body received. Of the members, `sha-256` and `sha-512` are
/// checked, every one that is there; at least one must be; others are ignored (RFC 9530 §2).
///
/// # Errors
/// [`HttpSignatureError::DigestMalformed`], [`HttpSignatureError::DigestUnsupported`] or
/// [`HttpSignatureError::DigestMismatch`].
pub fn check_content_digest(value: &str, body: &[u8]) -> Result<(), HttpSignatureError> {
    let members = dictionary("Content-Digest", value).map_err(|_| HttpSignatureError::DigestMalformed)?;
    let mut supported = false;
    for (algorithm, entry) in &members {
        let fits: &dyn Fn(&[u8]) -> bool = match algorithm.as_str() {
            "sha-256" => &|found| sha256(body) == found,
            "sha-512" => &|found| sha512(body) == found,
            _ => continue,
        };
        let ListEntry::Item(item) = entry else {
            return Err(HttpSignatureError::DigestMalformed);
        };
        let found = item
            .bare_item
            .as_byte_sequence()
            .ok_or(HttpSignatureError::DigestMalformed)?;
        if !fits(found) {
            return Err(HttpSignatureError::DigestMismatch);
        }
        supported = true;
    }
    if supported {
        Ok(())
    } else {
        Err(HttpSignatureError::DigestUnsupported)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = b"{\"hello\": \"world\"}\n";
    /// RFC 9530 appendix A: the same body with a final newline.
    const SHA_256: &str = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";
    /// RFC 9421 appendix B.2 and RFC 9530 §2 (body without a final newline).
    const SHA_512: &str =
        "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:";
    const BODY_WITHOUT_NEWLINE: &[u8] = b"{\"hello\": \"world\"}";

    #[test]
    fn the_digests_of_the_standards_match() {
        assert_eq!(content_digest(BODY), SHA_256);
        assert_eq!(check_content_digest(SHA_256, BODY), Ok(()));
        assert_eq!(check_content_digest(SHA_512, BODY_WITHOUT_NEWLINE), Ok(()));
    }

    #[test]
    fn another_body_is_a_mismatch() {
        assert_eq!(
            check_content_digest(SHA_256, b"{}"),
            Err(HttpSignatureError::DigestMismatch)
        );
        assert_eq!(
            check_content_digest(SHA_512, BODY),
            Err(HttpSignatureError::DigestMismatch)
        );
    }

    #[test]
    fn every_supported_digest_must_match() {
        let one_of_two_wrong = format!("{SHA_256}, {SHA_512}");
        assert_eq!(
            check_content_digest(&one_of_two_wrong, BODY),
            Err(HttpSignatureError::DigestMismatch)
        );
    }

    #[test]
    fn unknown_digests_are_ignored_but_not_enough() {
        let with_unknown = format!("md5=:AAAA:, {SHA_256}, unixsum=1");
        assert_eq!(check_content_digest(&with_unknown, BODY), Ok(()));
        for unsupported in ["md5=:AAAA:", "SHA=:AAAA:", "", "sha=:AAAA:"] {
            assert!(check_content_digest(unsupported, BODY).is_err(), "{unsupported}");
        }
        assert_eq!(
            check_content_digest("md5=:AAAA:", BODY),
            Err(HttpSignatureError::DigestUnsupported)
        );
    }

    #[test]
    fn a_digest_that_is_no_byte_sequence_is_malformed() {
        for malformed in [
            "sha-256",
            "sha-256=1",
            "sha-256=(:AAAA:)",
            "sha-256=\"AAAA\"",
            "sha-256=:*:",
            "=",
        ] {
            assert_eq!(
                check_content_digest(malformed, BODY),
                Err(HttpSignatureError::DigestMalformed),
                "{malformed}"
            );
        }
    }

    #[test]
    fn a_truncated_digest_is_a_mismatch() {
        assert_eq!(
            check_content_digest("sha-256=:RK/0qy18:", BODY),
            Err(HttpSignatureError::DigestMismatch)
        );
        assert_eq!(
            check_content_digest("sha-256=::", BODY),
            Err(HttpSignatureError::DigestMismatch)
        );
    }
}
