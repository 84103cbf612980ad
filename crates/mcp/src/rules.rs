//! The rules for fields; each refusal names its field.

use aim_core::{Error, Result};

/// Text of at most `longest` characters without control characters, but for line breaks and tabs.
pub(crate) fn check_text(field: &str, text: &str, longest: usize) -> Result<()> {
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

/// One line of 1 to `longest` characters.
pub(crate) fn check_line(field: &str, text: &str, longest: usize) -> Result<()> {
    let length = text.chars().count();
    if (1..=longest).contains(&length) && !text.chars().any(char::is_control) {
        Ok(())
    } else {
        Err(Error::field(
            field,
            format!("write 1 to {longest} characters, none of them a control character"),
        ))
    }
}

/// At most `most` lines of 1 to `longest` characters.
pub(crate) fn check_list(field: &str, items: &[String], most: usize, longest: usize) -> Result<()> {
    if items.len() > most {
        return Err(Error::field(field, format!("name at most {most}")));
    }
    items
        .iter()
        .enumerate()
        .try_for_each(|(index, item)| check_line(&format!("{field}[{index}]"), item, longest))
}

/// A reason: trimmed, and not empty.
pub(crate) fn check_reason(reason: &str) -> Result<String> {
    let reason = reason.trim();
    if reason.is_empty() {
        return Err(Error::field("reason", "say why"));
    }
    check_text("reason", reason, 1024)?;
    Ok(reason.to_owned())
}
