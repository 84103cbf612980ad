//! JSON as Python's `json.dumps(value, sort_keys=True)` writes it, made again from the JSON that was received.
//!
//! The published SDKs sign that text, and send another one: the same members in the order of insertion.
//! So the signed text is rebuilt from the **tokens received**. Number tokens are copied as they stand,
//! because reading them into a float and printing them again changes them (`1.0`, `10**18`, `1e-07`).
//! Strings are decoded and escaped again as Python does. The text determines the value, so whatever is
//! read from the received JSON afterwards is what was signed; that is why duplicate names are refused.
//!
//! This module may not interpret what it re-emits, and knows nothing of signatures.

use std::{borrow::Cow, cmp::Ordering, collections::HashSet, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// The deepest nesting of objects and lists. More than a decision's context may have.
pub const MAX_DEPTH: usize = 64;

/// How many bytes may be looked at in all. Every level of nesting is read once for each level around it,
/// so that a small, deep body could cost much; a body of 1 MiB whose bulk lies four levels deep passes.
const WORK_LIMIT: usize = 8 * 1024 * 1024;

/// Why a text could not be re-emitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PythonJsonError {
    /// Not JSON, or a string with half a surrogate pair, which no text can hold.
    #[error("not valid JSON: {0}")]
    Syntax(String),
    /// A name stands twice in one object, so that two readers could see two values.
    #[error("the name {0:?} stands twice in one object; send it once")]
    DuplicateName(String),
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("nested more than {MAX_DEPTH} levels deep; flatten it")]
    TooDeep,
    /// Both large and deep.
    #[error("too large for its depth; send less, or nest it less")]
    TooMuchWork,
}

/// The separators between items, and between name and value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Separators {
    /// `", "` and `": "`, Python's default.
    Spaced,
    /// `","` and `":"`, as the SDK signs attestations.
    Compact,
}

impl Separators {
    const fn item(self) -> &'static str {
        match self {
            Self::Spaced => ", ",
            Self::Compact => ",",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Spaced => ": ",
            Self::Compact => ":",
        }
    }
}

/// The order of an object's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameOrder {
    /// By code point: Python's order of strings.
    CodePoint,
    /// Objects whose names are all integers by their value, others by code point: Python sorts a dict
    /// with `int` keys before it turns them into strings.
    IntegersByValue,
}

/// Re-emits `raw` as `json.dumps(value, sort_keys=True)` with these separators would write it.
///
/// # Errors
/// What is no JSON, has a name twice, or is nested too deeply.
pub fn sorted(raw: &RawValue, separators: Separators, order: NameOrder) -> Result<String, PythonJsonError> {
    let mut emitter = Emitter {
        out: String::with_capacity(raw.get().len()),
        separators,
        order,
        work: WORK_LIMIT,
    };
    emitter.value(raw, MAX_DEPTH)?;
    Ok(emitter.out)
}

/// The members of a JSON object as they stand, in the order received.
///
/// # Errors
/// What is no JSON object, or has a name twice.
pub fn members(json: &[u8]) -> Result<Vec<(Cow<'_, str>, &RawValue)>, PythonJsonError> {
    let Members(members) = serde_json::from_slice(json).map_err(syntax)?;
    refuse_duplicates(&members)?;
    Ok(members)
}

/// Appends `text` as Python's `json.dumps` writes a string: ASCII only, `/`, `<`, `>` and `&` as they are.
pub fn push_string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            ' '..='~' => out.push(character),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    out.push('"');
}

struct Emitter {
    out: String,
    separators: Separators,
    order: NameOrder,
    work: usize,
}

impl Emitter {
    fn value(&mut self, raw: &RawValue, depth: usize) -> Result<(), PythonJsonError> {
        let text = raw.get();
        match text.as_bytes().first() {
            Some(b'{') => self.object(text, self.deeper(depth)?),
            Some(b'[') => self.list(text, self.deeper(depth)?),
            Some(b'"') => {
                let Text(decoded) = serde_json::from_str(text).map_err(syntax)?;
                push_string(&mut self.out, &decoded);
                Ok(())
            }
            // A number, `true`, `false` or `null`: the token is the text.
            _ => {
                self.out.push_str(text);
                Ok(())
            }
        }
    }

    fn deeper(&self, depth: usize) -> Result<usize, PythonJsonError> {
        depth.checked_sub(1).ok_or(PythonJsonError::TooDeep)
    }

    fn look_at(&mut self, text: &str) -> Result<(), PythonJsonError> {
        self.work = self
            .work
            .checked_sub(text.len())
            .ok_or(PythonJsonError::TooMuchWork)?;
        Ok(())
    }

    fn object(&mut self, text: &str, depth: usize) -> Result<(), PythonJsonError> {
        self.look_at(text)?;
        let Members(mut members) = serde_json::from_str(text).map_err(syntax)?;
        refuse_duplicates(&members)?;
        let by_value =
            self.order == NameOrder::IntegersByValue && members.iter().all(|(name, _)| is_integer(name));
        members.sort_by(|(left, _), (right, _)| {
            if by_value {
                compare_integers(left, right)
            } else {
                left.cmp(right)
            }
        });
        self.out.push('{');
        for (position, (name, value)) in members.iter().enumerate() {
            if position > 0 {
                self.out.push_str(self.separators.item());
            }
            push_string(&mut self.out, name);
            self.out.push_str(self.separators.name());
            self.value(value, depth)?;
        }
        self.out.push('}');
        Ok(())
    }

    fn list(&mut self, text: &str, depth: usize) -> Result<(), PythonJsonError> {
        self.look_at(text)?;
        let items: Vec<&RawValue> = serde_json::from_str(text).map_err(syntax)?;
        self.out.push('[');
        for (position, item) in items.iter().enumerate() {
            if position > 0 {
                self.out.push_str(self.separators.item());
            }
            self.value(item, depth)?;
        }
        self.out.push(']');
        Ok(())
    }
}

fn syntax(error: serde_json::Error) -> PythonJsonError {
    PythonJsonError::Syntax(error.to_string())
}

fn refuse_duplicates(members: &[(Cow<'_, str>, &RawValue)]) -> Result<(), PythonJsonError> {
    let mut seen = HashSet::with_capacity(members.len());
    match members.iter().find(|(name, _)| !seen.insert(name.as_ref())) {
        Some((name, _)) => Err(PythonJsonError::DuplicateName(name.clone().into_owned())),
        None => Ok(()),
    }
}

/// An integer as Python prints one: no plus sign, no leading zero, no `-0`.
fn is_integer(name: &str) -> bool {
    let digits = name.strip_prefix('-').unwrap_or(name);
    !digits.is_empty()
        && digits.bytes().all(|digit| digit.is_ascii_digit())
        && (!digits.starts_with('0') || name == "0")
}

/// Compares two integers of any size by their value.
fn compare_integers(left: &str, right: &str) -> Ordering {
    let magnitude = |left: &str, right: &str| left.len().cmp(&right.len()).then_with(|| left.cmp(right));
    match (left.strip_prefix('-'), right.strip_prefix('-')) {
        (None, None) => magnitude(left, right),
        (Some(left), Some(right)) => magnitude(right, left),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
    }
}

/// A string, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// An object's members, duplicates included, which a map would swallow.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some((Text(name), value)) = map.next_entry()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(MembersVisitor)
    }
}

#[cfg(test)]
#[path = "python_json_tests.rs"]
mod tests;
