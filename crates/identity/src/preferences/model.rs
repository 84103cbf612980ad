//! What a preference is.

use aim_core::{Error, Result, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// The longest name.
const LONGEST_NAME: usize = 64;
/// The most bytes of a value, as JSON.
const LARGEST_VALUE: usize = 2_048;
/// The most preferences of one user.
pub(crate) const MOST: i64 = 50;

/// A preference of the caller's.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PreferenceView {
    /// Its name.
    #[schema(example = "secrets_banner")]
    pub name: String,
    /// Its value; null when it is not set.
    pub value: Value,
    /// When it was set.
    pub updated_at: Option<Timestamp>,
}

/// A value to be remembered.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPreference {
    /// Any JSON of at most 2,048 bytes; null forgets the preference.
    pub value: Value,
}

/// # Errors
/// `request.field_invalid` at `name`.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.-".contains(&byte);
    if (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(known) {
        Ok(())
    } else {
        Err(Error::field(
            "name",
            "a name is 1 to 64 lower-case letters, digits, dots, dashes and underscores",
        ))
    }
}

/// # Errors
/// `request.field_invalid` at `value`.
pub(crate) fn check_value(value: &Value) -> Result<()> {
    if value.to_string().len() <= LARGEST_VALUE {
        Ok(())
    } else {
        Err(Error::field("value", "a value is at most 2,048 bytes of JSON"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        for name in ["a", "secrets_banner", "table.columns-2"] {
            check_name(name).unwrap();
        }
        for name in ["", "A", "a b", "ä", &"a".repeat(65)] {
            assert_eq!(
                check_name(name).unwrap_err().field.as_deref(),
                Some("name"),
                "{name}"
            );
        }
    }

    #[test]
    fn values_are_small() {
        check_value(&Value::String("x".repeat(2_046))).unwrap();
        assert!(check_value(&Value::String("x".repeat(2_047))).is_err());
    }
}
