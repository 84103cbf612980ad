//! Header fields: the combined value of RFC 9421 §2.1, and dictionaries.

use std::borrow::Cow;
use std::fmt;

use sfv::visitor::{DictionaryVisitor, EntryVisitor};
use sfv::{Dictionary, KeyRef, Parser, Version};

use super::{HeaderLookup, HttpSignatureError};

/// A field longer than this (all values together) is refused unparsed.
const LONGEST_DICTIONARY: usize = 8192;

/// The combined value of a field (§2.1), or `None` when it is absent: each value trimmed, obsolete line folds
/// replaced by a space, joined by `, `.
pub(super) fn combined<'a>(
    headers: &'a dyn HeaderLookup,
    name: &str,
) -> Result<Option<Cow<'a, str>>, HttpSignatureError> {
    let values = headers.values(name);
    let mut result: Option<Cow<'a, str>> = None;
    for raw in values {
        let value = single(raw).ok_or_else(|| HttpSignatureError::HeaderValue {
            name: name.to_owned(),
        })?;
        result = Some(match result {
            None => value,
            Some(before) => {
                let mut joined = before.into_owned();
                joined.push_str(", ");
                joined.push_str(&value);
                Cow::Owned(joined)
            }
        });
    }
    Ok(result)
}

/// One value, trimmed and unfolded; `None` when it has anything but printable ASCII, spaces and tabs.
fn single(raw: &[u8]) -> Option<Cow<'_, str>> {
    let is_blank = |byte: u8| byte == b' ' || byte == b'\t';
    let text = std::str::from_utf8(raw).ok()?.trim_matches([' ', '\t']);
    let is_allowed = |byte: u8| byte.is_ascii_graphic() || is_blank(byte);
    if text.bytes().all(is_allowed) {
        return Some(Cow::Borrowed(text));
    }
    // obs-fold = OWS CRLF RWS (RFC 9112 §5.2): a line break counts only when white space follows it.
    let mut lines = text.split("\r\n");
    let mut unfolded = lines.next()?.trim_end_matches([' ', '\t']).to_owned();
    for line in lines {
        if !line.starts_with([' ', '\t']) {
            return None;
        }
        unfolded.push(' ');
        unfolded.push_str(line.trim_matches([' ', '\t']));
    }
    unfolded.bytes().all(is_allowed).then_some(Cow::Owned(unfolded))
}

/// A dictionary with RFC 8941 types, in which no key may stand twice. (RFC 8941 lets the last one win; a
/// proxy that takes the first would then have checked another signature than we do.)
pub(super) fn dictionary(header: &'static str, text: &str) -> Result<Dictionary, HttpSignatureError> {
    let malformed = |reason: String| HttpSignatureError::Malformed { header, reason };
    if text.len() > LONGEST_DICTIONARY {
        return Err(malformed(format!(
            "it is longer than {LONGEST_DICTIONARY} characters"
        )));
    }
    Parser::new(text)
        .with_version(Version::Rfc8941)
        .parse_dictionary_with_visitor(UniqueKeys(Dictionary::new()))
        .map_err(|error| malformed(error.to_string()))
}

/// Builds a dictionary and refuses a second member of the same key.
struct UniqueKeys(Dictionary);

#[derive(Debug)]
struct SecondMember;

impl fmt::Display for SecondMember {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key stands in it twice")
    }
}

impl std::error::Error for SecondMember {}

impl<'de> DictionaryVisitor<'de> for UniqueKeys {
    type Out = Dictionary;
    type Error = SecondMember;

    fn entry(&mut self, key: &'de KeyRef) -> Result<impl EntryVisitor<'de>, SecondMember> {
        if self.0.contains_key(key) {
            return Err(SecondMember);
        }
        DictionaryVisitor::entry(&mut self.0, key).map_err(|never| match never {})
    }

    fn finish(self) -> Result<Dictionary, SecondMember> {
        Ok(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn combine(values: &[&[u8]]) -> Result<Option<String>, HttpSignatureError> {
        let headers: Vec<(&str, &[u8])> = values.iter().map(|value| ("X-Test", *value)).collect();
        combined(&headers, "x-test").map(|value| value.map(Cow::into_owned))
    }

    /// The examples of RFC 9421 §2.1.
    #[test]
    fn values_are_trimmed_unfolded_and_joined() {
        assert_eq!(combine(&[]), Ok(None));
        assert_eq!(combine(&[b""]), Ok(Some(String::new())));
        assert_eq!(
            combine(&[b"  www.example.com\t"]),
            Ok(Some("www.example.com".to_owned()))
        );
        assert_eq!(
            combine(&[b"max-age=60", b"   must-revalidate"]),
            Ok(Some("max-age=60, must-revalidate".to_owned()))
        );
        assert_eq!(
            combine(&[b"Obsolete\r\n    line folding."]),
            Ok(Some("Obsolete line folding.".to_owned()))
        );
        assert_eq!(combine(&[b"", b""]), Ok(Some(", ".to_owned())));
    }

    #[test]
    fn values_that_could_break_the_signature_base_are_refused() {
        let refused = Err(HttpSignatureError::HeaderValue {
            name: "x-test".to_owned(),
        });
        for value in [
            &b"a\nb"[..],
            b"a\r\nb",
            b"a\rb",
            b"a\0b",
            b"a\x7fb",
            b"a\r\n",
            "gr\u{fc}n".as_bytes(),
            b"\xff",
        ] {
            assert_eq!(combine(&[value]), refused, "{value:?}");
        }
    }

    #[test]
    fn a_key_may_not_stand_twice_in_a_dictionary() {
        assert!(dictionary("Signature", "a=:AA==:, b=:AA==:").is_ok());
        let error = dictionary("Signature", "a=:AA==:, a=:AQ==:").unwrap_err();
        assert_eq!(error.code(), "signature.malformed");
        assert!(error.to_string().contains("a key stands in it twice"), "{error}");
    }

    #[test]
    fn an_overlong_dictionary_is_refused_unparsed() {
        let error = dictionary("Signature", &"a".repeat(8193)).unwrap_err();
        assert!(error.to_string().contains("longer than 8192"), "{error}");
    }
}
