//! How a secret is named on a command line, in a manifest and in a template: `PATH[#FIELD][@VERSION]`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, de};

/// The longest path, in bytes.
const LONGEST_PATH: usize = 512;

/// A secret, and what of it is wanted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// Where it lies in the vault.
    pub path: String,
    /// Which field; the only one or `value` when left out.
    pub field: Option<String>,
    /// Which version; the newest when left out.
    pub version: Option<i64>,
}

impl FromStr for Reference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Neither sign can stand in a path, and a field has no @.
        let (rest, version) = match text.split_once('@') {
            Some((rest, version)) => (rest, Some(parse_version(version)?)),
            None => (text, None),
        };
        let (path, field) = match rest.split_once('#') {
            Some((path, field)) => (path, Some(parse_field(field)?)),
            None => (rest, None),
        };
        check_path(path)?;
        Ok(Self {
            path: path.to_owned(),
            field,
            version,
        })
    }
}

fn parse_version(text: &str) -> Result<i64, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|version| digits && *version > 0)
        .ok_or_else(|| {
            format!("the version {text:?} is no number from 1 up; it comes last: PATH#FIELD@VERSION")
        })
}

fn parse_field(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains(['#', '/', '=']) || text.contains(char::is_whitespace) {
        return Err(format!("{text:?} is no name of a field; write PATH#FIELD"));
    }
    Ok(text.to_owned())
}

/// The server's rule, so that a slip is told at once and before anything is read.
fn check_path(path: &str) -> Result<(), String> {
    if path.is_empty() {
        return Err("the path of the secret is missing".to_owned());
    }
    if path.len() > LONGEST_PATH {
        return Err(format!("a path has at most {LONGEST_PATH} bytes"));
    }
    let plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-');
    let fits = |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(plain);
    if path.split('/').all(fits) {
        return Ok(());
    }
    Err(format!(
        "{path:?} is no path of a secret: segments of a-z, 0-9, '.', '_' and '-', joined by '/'"
    ))
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        if let Some(field) = &self.field {
            write!(f, "#{field}")?;
        }
        if let Some(version) = self.version {
            write!(f, "@{version}")?;
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(text: &str) -> Result<(String, Option<String>, Option<i64>), String> {
        let reference: Reference = text.parse()?;
        Ok((reference.path, reference.field, reference.version))
    }

    #[test]
    fn a_reference_names_a_path_and_may_name_a_field_and_a_version() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(parts("a"), Ok(("a".to_owned(), None, None)));
        assert_eq!(
            parts("payments/stripe/live"),
            Ok(("payments/stripe/live".to_owned(), None, None))
        );
        assert_eq!(
            parts("db/x#password"),
            Ok(("db/x".to_owned(), some("password"), None))
        );
        assert_eq!(parts("db/x@7"), Ok(("db/x".to_owned(), None, Some(7))));
        assert_eq!(
            parts("db/x.y_z-1#user name@7".replace(' ', "_").as_str()),
            Ok(("db/x.y_z-1".to_owned(), some("user_name"), Some(7)))
        );
    }

    #[test]
    fn what_is_no_reference_is_refused_and_never_repaired() {
        let long = "a".repeat(513);
        for text in [
            "",
            "/",
            "/a",
            "a/",
            "a//b",
            ".",
            "a/..",
            "a/../b",
            "a/./b",
            "A/b",
            "a b",
            "ä",
            "a\\b",
            "a\0b",
            "%61",
            "a#",
            "a#b#c",
            "a#b c",
            "a@",
            "a@0",
            "a@-1",
            "a@+1",
            "a@x",
            "a@1@2",
            "a@1#b",
            "a@99999999999999999999",
            "#value",
            "@1",
            &long,
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text:?}");
        }
        assert!("a".repeat(512).parse::<Reference>().is_ok());
    }

    proptest! {
        #[test]
        fn a_reference_reads_what_it_writes(
            path in "[a-z0-9_-]{1,8}(/[a-z0-9_-][a-z0-9._-]{0,5}[a-z0-9]){0,3}",
            field in proptest::option::of("[A-Za-z0-9_.-]{1,10}"),
            version in proptest::option::of(1..i64::MAX),
        ) {
            let reference = Reference { path, field, version };
            prop_assert_eq!(reference.to_string().parse::<Reference>(), Ok(reference));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,40}") {
            let _ = text.parse::<Reference>();
        }
    }
}
