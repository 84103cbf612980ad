//! What narrows a key besides its capabilities: the secrets that it may reach, and the networks from which it may be used.
//! Both only narrow: the agent's grants are asked all the same.

use aim_core::{Error, Result};
use aim_decision::{AddressRange, Invalid, ResourcePattern};

/// The most patterns of secrets that one key lists.
pub const MAX_SECRET_PATHS: usize = 64;
/// The most networks that one key lists.
pub const MAX_ADDRESSES: usize = 64;

/// Reads the patterns of secrets; doubles count once.
///
/// # Errors
/// `request.field_invalid` at `secret_paths`, or at the one that is malformed.
pub(super) fn secret_paths(texts: Option<&[String]>) -> Result<Option<Vec<String>>> {
    checked::<ResourcePattern>("secret_paths", MAX_SECRET_PATHS, "payments/*", texts)
}

/// Reads the networks; doubles count once.
///
/// # Errors
/// `request.field_invalid` at `addresses`, or at the one that is malformed.
pub(super) fn addresses(texts: Option<&[String]>) -> Result<Option<Vec<String>>> {
    checked::<AddressRange>("addresses", MAX_ADDRESSES, "10.0.0.0/8", texts)
}

fn checked<T>(
    field: &str,
    most: usize,
    such_as: &str,
    texts: Option<&[String]>,
) -> Result<Option<Vec<String>>>
where
    T: for<'a> TryFrom<&'a str, Error = Invalid> + Into<String>,
{
    let Some(texts) = texts else { return Ok(None) };
    if !(1..=most).contains(&texts.len()) {
        // An empty list could be taken for "nothing" as well as for "no limit".
        return Err(Error::field(
            field,
            format!("list 1 to {most}, such as {such_as}, or leave the field out for no such limit"),
        ));
    }
    let mut kept: Vec<String> = Vec::with_capacity(texts.len());
    for (place, text) in texts.iter().enumerate() {
        let read = T::try_from(text.as_str());
        let text: String = read
            .map_err(|invalid| Error::field(format!("{field}[{place}]"), invalid.problem))?
            .into();
        if !kept.contains(&text) {
            kept.push(text);
        }
    }
    Ok(Some(kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn no_list_is_no_limit_and_an_empty_one_is_refused() {
        assert_eq!(secret_paths(None).unwrap(), None);
        assert_eq!(addresses(None).unwrap(), None);
        for error in [
            secret_paths(Some(&[])).unwrap_err(),
            addresses(Some(&[])).unwrap_err(),
        ] {
            assert!(error.detail.contains("leave the field out"), "{error}");
        }
        let many = vec!["a/*".to_owned(); MAX_SECRET_PATHS + 1];
        assert_eq!(
            secret_paths(Some(&many)).unwrap_err().field.as_deref(),
            Some("secret_paths")
        );
    }

    #[test]
    fn what_is_malformed_is_named_and_doubles_count_once() {
        let wrong = texts(&["payments/*", "a/../b"]);
        assert_eq!(
            secret_paths(Some(&wrong)).unwrap_err().field.as_deref(),
            Some("secret_paths[1]")
        );
        let wrong = texts(&["10.0.0.0/8", "10.0.0.1/8"]);
        assert_eq!(
            addresses(Some(&wrong)).unwrap_err().field.as_deref(),
            Some("addresses[1]")
        );
        let twice = texts(&["10.0.0.0/8", "192.0.2.1", "10.0.0.0/8"]);
        assert_eq!(
            addresses(Some(&twice)).unwrap(),
            Some(texts(&["10.0.0.0/8", "192.0.2.1"]))
        );
    }
}
