//! The rules for the fields of an agent; each refusal names its field.

use aim_core::{Error, Result};

/// 1 to 128 characters that need no quoting anywhere, the first a letter or digit.
pub(super) fn check_name(name: &str) -> Result<()> {
    let accepted = |character: char| character.is_ascii_alphanumeric() || " ._-".contains(character);
    let starts_well = name.starts_with(|first: char| first.is_ascii_alphanumeric());
    if name.len() <= 128 && starts_well && name.chars().all(accepted) {
        Ok(())
    } else {
        Err(Error::field(
            "name",
            "a name is 1 to 128 letters, digits, spaces, '.', '_' or '-', and starts with a letter or digit",
        ))
    }
}

/// A slug of 1 to 64 characters.
pub(super) fn check_agent_type(slug: &str) -> Result<()> {
    let accepted = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.".contains(&byte);
    if (1..=64).contains(&slug.len()) && slug.bytes().all(accepted) {
        Ok(())
    } else {
        Err(Error::field(
            "agent_type",
            "a type is 1 to 64 lower-case letters, digits, '_', '-' or '.', such as ai_agent",
        ))
    }
}

/// Text of at most `longest` characters without control characters, but for line breaks and tabs.
pub(super) fn check_text(field: &'static str, text: &str, longest: usize) -> Result<()> {
    if text.chars().count() > longest {
        return Err(Error::field(field, format!("use at most {longest} characters")));
    }
    if text
        .chars()
        .any(|character| character.is_control() && !"\n\r\t".contains(character))
    {
        return Err(Error::field(
            field,
            "control characters are not accepted; leave them out",
        ));
    }
    Ok(())
}

/// At most `most` texts of 1 to `longest` characters.
pub(super) fn check_list(field: &'static str, items: &[String], most: usize, longest: usize) -> Result<()> {
    if items.len() > most {
        return Err(Error::field(field, format!("name at most {most}")));
    }
    for (index, item) in items.iter().enumerate() {
        let length = item.chars().count();
        if length == 0 || length > longest || item.chars().any(char::is_control) {
            return Err(Error::field(
                format!("{field}[{index}]"),
                format!("each has 1 to {longest} characters, none of them a control character"),
            ));
        }
    }
    Ok(())
}

/// An absolute http or https URL, if there is one: it is shown as a link.
pub(super) fn check_url(field: &'static str, url: Option<&str>) -> Result<()> {
    let Some(url) = url else { return Ok(()) };
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    let accepted = rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'));
    if accepted && url.len() <= 2048 && url.chars().all(|character| character.is_ascii_graphic()) {
        Ok(())
    } else {
        Err(Error::field(
            field,
            "a URL starts with https:// or http:// and has at most 2048 ASCII characters",
        ))
    }
}
