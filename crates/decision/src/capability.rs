//! Capabilities: what an agent asks to do (`CapabilityName`) and what a grant or a policy covers
//! (`CapabilityPattern`). Both are parsed at the door; matching is a comparison of bytes.
//!
//! | written | covers | does not cover |
//! |---|---|---|
//! | `db:read` | `db:read` | `db:read:all`, `DB:read` |
//! | `db:*` | `db:read`, `db:read:all` | `db`, `dbx:read` |
//! | `read_database` | `read_database` | `read_database:x` |
//! | `*` | everything | |
//!
//! The wildcard stands for one or more whole segments at the end. `db:re*` and `*:read` are refused:
//! a prefix that ends inside a word grants actions that nobody has thought of yet.

use crate::invalid::Invalid;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The longest capability name or pattern, in characters.
pub const CAPABILITY_MAX_LENGTH: usize = 128;

/// The name of an action as an agent requests it: `namespace:action` or a bare action name such as
/// `send_email`. Letters, digits, `_`, `.` and `-` in segments separated by `:`; 1 to 128 characters;
/// case-sensitive; no wildcard.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, example = "db:read")]
pub struct CapabilityName(String);

impl CapabilityName {
    /// The name as it was requested.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for CapabilityName {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        check_length(&text)?;
        if text.contains('*') {
            return Err(Invalid::value(
                "an action has no wildcard; name the one action, such as `db:read`",
            ));
        }
        check_segments(&text)?;
        Ok(Self(text))
    }
}

/// The capabilities that a grant, a policy or a limited credential covers: a name, or a name whose whole
/// last segment is `*`, or `*` alone. See the module's table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, example = "db:*")]
pub struct CapabilityPattern(String);

impl CapabilityPattern {
    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the pattern covers the action.
    #[must_use]
    pub fn matches(&self, action: &CapabilityName) -> bool {
        match self.0.strip_suffix('*') {
            // `db:*` has the prefix `db:`; a name never ends in `:`, so something always follows.
            Some(prefix) => action.0.starts_with(prefix),
            None => self.0 == action.0,
        }
    }

    /// Whether the pattern ends in a wildcard.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.0.ends_with('*')
    }

    /// Orders patterns that cover the same action: an exact name before any wildcard, a longer prefix
    /// before a shorter one. Greater is more specific.
    pub(crate) fn specificity(&self) -> usize {
        if self.is_wildcard() {
            self.0.len()
        } else {
            usize::MAX
        }
    }
}

impl TryFrom<String> for CapabilityPattern {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        check_length(&text)?;
        if text == "*" {
            return Ok(Self(text));
        }
        check_segments(text.strip_suffix(":*").unwrap_or(&text))?;
        Ok(Self(text))
    }
}

impl From<CapabilityName> for CapabilityPattern {
    /// The pattern that covers exactly this action.
    fn from(name: CapabilityName) -> Self {
        Self(name.0)
    }
}

fn check_length(text: &str) -> Result<(), Invalid> {
    match text.chars().count() {
        0 => Err(Invalid::value(
            "a capability is empty; write `namespace:action`, such as `db:read`",
        )),
        length if length > CAPABILITY_MAX_LENGTH => Err(Invalid::value(format!(
            "a capability has {length} characters; use at most {CAPABILITY_MAX_LENGTH}"
        ))),
        _ => Ok(()),
    }
}

fn check_segments(text: &str) -> Result<(), Invalid> {
    for segment in text.split(':') {
        if segment.is_empty() {
            return Err(Invalid::value(
                "a capability has an empty segment; write segments separated by single `:`, such as `db:read`",
            ));
        }
        if segment.contains('*') {
            return Err(Invalid::value(
                "a wildcard may only be the whole last segment; write `*` or a name such as `db:*`",
            ));
        }
        let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.' | '-');
        if let Some(letter) = segment.chars().find(|letter| !allowed(*letter)) {
            return Err(Invalid::value(format!(
                "a capability contains {letter:?}; use letters, digits, `_`, `.`, `-` and `:`"
            )));
        }
    }
    Ok(())
}

macro_rules! text_conversions {
    ($($name:ident),+) => {$(
        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }

        impl TryFrom<&str> for $name {
            type Error = Invalid;

            fn try_from(text: &str) -> Result<Self, Invalid> {
                Self::try_from(text.to_owned())
            }
        }

        impl std::str::FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                Self::try_from(text.to_owned())
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    )+};
}

text_conversions!(CapabilityName, CapabilityPattern);

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(pattern: &str, action: &str) -> bool {
        CapabilityPattern::try_from(pattern)
            .unwrap()
            .matches(&CapabilityName::try_from(action).unwrap())
    }

    #[test]
    fn a_pattern_covers_what_the_table_says() {
        for (pattern, action) in [
            ("db:read", "db:read"),
            ("db:*", "db:read"),
            ("db:*", "db:read:all"),
            ("*", "send_email"),
            ("*", "db:read"),
            ("read_database", "read_database"),
        ] {
            assert!(covers(pattern, action), "{pattern} covers {action}");
        }
        for (pattern, action) in [
            ("db:read", "db:read:all"),
            ("db:read", "DB:read"),
            ("db:*", "db"),
            ("db:*", "dbx:read"),
            ("db:read:*", "db:reads:x"),
            ("read_database", "read_database:x"),
        ] {
            assert!(!covers(pattern, action), "{pattern} does not cover {action}");
        }
    }

    #[test]
    fn a_wildcard_is_refused_anywhere_but_as_the_whole_last_segment() {
        for text in ["db:re*", "*:read", "db:*:read", "db*", "**", "db:**", "*:*", ":*"] {
            assert!(CapabilityPattern::try_from(text).is_err(), "{text}");
        }
        assert!(CapabilityName::try_from("db:*").is_err());
        assert!(CapabilityName::try_from("*").is_err());
    }

    #[test]
    fn a_malformed_name_is_refused_with_a_remedy() {
        for text in [
            "",
            ":",
            "db:",
            ":read",
            "db::read",
            "db read",
            "db/read",
            "dб:read",
            "db:read\n",
            "a\0",
        ] {
            let problem = CapabilityName::try_from(text).unwrap_err().problem;
            assert!(
                problem.contains("write") || problem.contains("use"),
                "{text:?}: {problem}"
            );
        }
        assert!(CapabilityName::try_from("a".repeat(CAPABILITY_MAX_LENGTH)).is_ok());
        assert!(CapabilityName::try_from("a".repeat(CAPABILITY_MAX_LENGTH + 1)).is_err());
    }

    #[test]
    fn an_exact_name_is_more_specific_than_any_wildcard_and_a_longer_prefix_than_a_shorter_one() {
        let specificity = |text: &str| CapabilityPattern::try_from(text).unwrap().specificity();
        assert!(specificity("db") > specificity("database:tables:*"));
        assert!(specificity("db:tables:*") > specificity("db:*"));
        assert!(specificity("db:*") > specificity("*"));
    }
}
