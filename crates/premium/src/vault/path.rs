//! Where a secret stands: `payments/stripe/live`.

use std::fmt;

use aim_core::{Error, Result};

/// The longest path, in bytes.
pub const MAX_PATH: usize = 512;

/// A canonical path. What is not canonical is refused and never repaired: two spellings of one path would be two
/// answers to whether an agent may read it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretPath(String);

impl SecretPath {
    /// Reads a path.
    ///
    /// # Errors
    /// `request.field_invalid` at `path`.
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() > MAX_PATH {
            return Err(refused(format!("a path has at most {MAX_PATH} bytes")));
        }
        if text.is_empty() {
            return Err(refused(
                "a path has at least one segment, such as payments/stripe/live",
            ));
        }
        for segment in text.split('/') {
            check_segment(segment)?;
        }
        Ok(Self(text.to_owned()))
    }

    /// The path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SecretPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Reads the beginning of paths: a path, or one that ends in `/`, or part of a last segment.
///
/// # Errors
/// `request.field_invalid` at `prefix`.
pub fn check_prefix(text: &str) -> Result<()> {
    // The last segment may go on; those before it are whole.
    let (whole, last) = text
        .rsplit_once('/')
        .map_or((None, text), |(whole, last)| (Some(whole), last));
    let canonical = text.len() <= MAX_PATH
        && last.bytes().all(is_allowed)
        && whole.is_none_or(|whole| whole.split('/').all(|segment| check_segment(segment).is_ok()));
    if canonical {
        Ok(())
    } else {
        Err(Error::field(
            "prefix",
            "a prefix is the beginning of a path: a to z, 0 to 9, '.', '_', '-', and single slashes between",
        ))
    }
}

fn check_segment(segment: &str) -> Result<()> {
    if segment.is_empty() {
        return Err(refused(
            "a path neither begins nor ends with a slash, and has no two in a row",
        ));
    }
    if segment == "." || segment == ".." {
        return Err(refused("'.' and '..' are no segments of a path"));
    }
    if !segment.bytes().all(is_allowed) {
        return Err(refused(
            "a path has the characters a to z, 0 to 9, '.', '_' and '-', in segments separated by '/'",
        ));
    }
    Ok(())
}

const fn is_allowed(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-')
}

fn refused(problem: impl Into<String>) -> Error {
    Error::field("path", problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canonical_path_is_taken_as_it_is() {
        for text in [
            "a",
            "payments/stripe/live",
            "a.b/c_d/e-f/0",
            "..a/b..",
            &"a".repeat(512),
        ] {
            assert_eq!(SecretPath::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn what_is_not_canonical_is_refused_at_path() {
        let long = "a".repeat(513);
        for text in [
            "",
            "/",
            "/a",
            "a/",
            "a//b",
            ".",
            "..",
            "a/../b",
            "a/./b",
            "A",
            "a b",
            "a\nb",
            "a\0",
            "a%2fb",
            "ä",
            "a\u{0301}",
            "a\\b",
            "a*",
            &long,
        ] {
            let error = SecretPath::parse(text).unwrap_err();
            assert_eq!(error.field.as_deref(), Some("path"), "{text:?}");
            assert_eq!(error.code.status(), 422, "{text:?}");
        }
    }

    #[test]
    fn a_prefix_may_end_anywhere() {
        for text in ["", "a", "a/", "a/b", "a/b-", "a/..b/", "a/.."] {
            check_prefix(text).unwrap();
        }
        for text in [
            "/", "a//", "A", "a%", "a b", "/a", "../a", "a/../b", "a/./", "a//b",
        ] {
            assert!(check_prefix(text).is_err(), "{text}");
        }
    }
}
