//! Query parameters and texts from outside, checked one by one so that a refusal names the parameter.

use aim_core::{Error, Id, PageRequest, Result, Timestamp};
use serde_json::Value;

/// A list's `limit`, `offset` and `cursor` as they were sent.
pub(crate) fn page(limit: Option<&str>, offset: Option<&str>, cursor: Option<&str>) -> Result<PageRequest> {
    PageRequest::parse(integer("limit", limit)?, integer("offset", offset)?, cursor)
}

/// A whole number.
pub(crate) fn integer(name: &str, text: Option<&str>) -> Result<Option<i64>> {
    text.map(|text| {
        text.parse()
            .map_err(|_| Error::field(name, format!("{name} is a whole number")))
    })
    .transpose()
}

/// `true` or `false`.
pub(crate) fn boolean(name: &str, text: Option<&str>) -> Result<Option<bool>> {
    text.map(|text| {
        text.parse()
            .map_err(|_| Error::field(name, format!("{name} is true or false")))
    })
    .transpose()
}

/// A moment in RFC 3339.
pub(crate) fn moment(name: &str, text: Option<&str>) -> Result<Option<Timestamp>> {
    let refusal = || {
        let help = "is a moment in RFC 3339, such as 2026-11-23T10:00:00Z; a + in it is written %2B";
        Error::field(name, format!("{name} {help}"))
    };
    text.map(|text| Timestamp::parse(text).ok_or_else(refusal))
        .transpose()
}

/// The range `from` (inclusive) to `to` (exclusive).
pub(crate) fn range(from: Option<&str>, to: Option<&str>) -> Result<(Option<Timestamp>, Option<Timestamp>)> {
    let (from, to) = (moment("from", from)?, moment("to", to)?);
    if from.zip(to).is_some_and(|(from, to)| from > to) {
        return Err(Error::field("from", "from is after to; exchange them"));
    }
    Ok((from, to))
}

/// The id of a `Kind`.
pub(crate) fn id<Kind>(name: &str, text: Option<&str>) -> Result<Option<Id<Kind>>> {
    text.map(|text| {
        text.parse()
            .map_err(|_| Error::field(name, format!("{name} is a UUID")))
    })
    .transpose()
}

/// A text to compare with: not empty, and free of control characters, which nothing stored has.
pub(crate) fn word(name: &str, text: Option<&str>) -> Result<Option<String>> {
    match text {
        Some(text) if text.is_empty() || text.len() > 256 || text.chars().any(char::is_control) => {
            Err(Error::field(
                name,
                format!("{name} has 1 to 256 characters and no control characters"),
            ))
        }
        text => Ok(text.map(str::to_owned)),
    }
}

/// A text for people, of so many characters; without NUL, which PostgreSQL cannot store.
pub(crate) fn prose(name: &str, text: &str, least: usize, most: usize) -> Result<()> {
    let length = text.trim().chars().count();
    if length < least || text.chars().count() > most {
        return Err(Error::field(
            name,
            format!("{name} has {least} to {most} characters; this one has {length}"),
        ));
    }
    refuse_nul(name, &Value::String(text.to_owned()))
}

/// Refuses NUL anywhere in JSON: PostgreSQL cannot store it.
pub(crate) fn refuse_nul(name: &str, value: &Value) -> Result<()> {
    let mut rest = vec![value];
    while let Some(value) = rest.pop() {
        let found = match value {
            Value::String(text) => text.contains('\0'),
            Value::Array(elements) => {
                rest.extend(elements);
                false
            }
            Value::Object(members) => {
                rest.extend(members.values());
                members.keys().any(|key| key.contains('\0'))
            }
            _ => false,
        };
        if found {
            return Err(Error::field(
                name,
                format!("{name} contains the character U+0000; remove it"),
            ));
        }
    }
    Ok(())
}
