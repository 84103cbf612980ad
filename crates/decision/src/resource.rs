//! Resources: the thing an action is aimed at, and the globs with which a grant or a policy names many.
//!
//! `*` stands for any run of characters without `/`, `**` for any run at all, and every other character
//! for itself; matching is case-sensitive and covers the whole resource. `customers/**` covers
//! `customers/` and all below it, not `customers`.
//!
//! A called resource is compared as it was written, never normalised, so a resource that a target might
//! read differently (a `..` segment, however encoded, or a control character) has no canonical form and
//! is refused before any pattern is asked.

use crate::invalid::Invalid;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The longest resource pattern, in characters.
pub const RESOURCE_PATTERN_MAX_LENGTH: usize = 512;
/// The longest resource that a call may name, in bytes.
pub const RESOURCE_MAX_BYTES: usize = 4096;

/// A called resource that means one thing only; see the module's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CanonicalResource<'a>(&'a str);

impl<'a> CanonicalResource<'a> {
    /// The resource, if it is not empty, at most [`RESOURCE_MAX_BYTES`] long and free of control
    /// characters and `..` segments (also behind `\`, percent-encoding in any depth and `;` parameters).
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let sound = !text.is_empty()
            && text.len() <= RESOURCE_MAX_BYTES
            && !text.chars().any(char::is_control)
            && !has_parent_segment(text);
        sound.then_some(Self(text))
    }

    /// The resource as it was called.
    #[must_use]
    pub fn as_str(&self) -> &'a str {
        self.0
    }
}

/// Whether some reader of the path could see a `..` segment in it.
fn has_parent_segment(text: &str) -> bool {
    let mut dots = Some(0_usize);
    let mut rest = text.as_bytes();
    while let Some((letter, after)) = next_decoded(rest) {
        rest = after;
        match letter {
            b'/' | b'\\' | b';' | b'?' | b'#' => {
                if dots == Some(2) {
                    return true;
                }
                // What follows `;`, `?` or `#` is no new segment for most readers; for some it is.
                dots = Some(0);
            }
            b'.' => dots = dots.map(|count| count + 1),
            _ => dots = None,
        }
    }
    dots == Some(2)
}

/// The next byte with percent-encoding undone, `%252e` (encoded twice or more) included.
fn next_decoded(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (first, after) = bytes.split_first()?;
    if *first != b'%' {
        return Some((*first, after));
    }
    let mut encoded = after;
    while let Some(deeper) = encoded.strip_prefix(b"25") {
        encoded = deeper;
    }
    let decoded = match encoded
        .first_chunk::<2>()
        .map(|digits| digits.map(|digit| digit.to_ascii_lowercase()))
    {
        Some([b'2', b'e']) => b'.',
        Some([b'2', b'f']) => b'/',
        Some([b'5', b'c']) => b'\\',
        _ => return Some((*first, after)),
    };
    Some((decoded, encoded.get(2..).unwrap_or_default()))
}

/// A glob over resources, parsed once; see the module's text. 1 to 512 characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, example = "customers/*")]
pub struct ResourcePattern(Glob);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Glob {
    text: String,
    /// What stands before the first wildcard: rules out most resources with one comparison.
    prefix: String,
    /// The rest; two wildcards never stand side by side.
    rest: Vec<Token>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Literal(Vec<u8>),
    /// `*`
    WithinSegment,
    /// `**`
    Anything,
}

impl ResourcePattern {
    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Whether the pattern covers the resource. Takes at most time proportional to the product of both
    /// lengths, whatever the pattern: there is no backtracking.
    #[must_use]
    pub fn matches(&self, resource: CanonicalResource<'_>) -> bool {
        let Some(remainder) = resource.0.as_bytes().strip_prefix(self.0.prefix.as_bytes()) else {
            return false;
        };
        match self.0.rest.as_slice() {
            [] => remainder.is_empty(),
            [Token::Anything] => true,
            [Token::WithinSegment] => !remainder.contains(&b'/'),
            tokens => reaches_the_end(tokens, remainder),
        }
    }
}

/// Advances the set of positions that the tokens so far can have consumed up to.
fn reaches_the_end(tokens: &[Token], text: &[u8]) -> bool {
    let mut reached = vec![false; text.len() + 1];
    if let Some(start) = reached.first_mut() {
        *start = true;
    }
    for token in tokens {
        match token {
            Token::Literal(literal) => reached = after_literal(&reached, literal, text),
            Token::WithinSegment => spread(&mut reached, text, |byte| byte != b'/'),
            Token::Anything => spread(&mut reached, text, |_| true),
        }
    }
    reached.last().copied().unwrap_or(false)
}

fn after_literal(reached: &[bool], literal: &[u8], text: &[u8]) -> Vec<bool> {
    let mut next = vec![false; reached.len()];
    let positions = reached
        .iter()
        .enumerate()
        .filter_map(|(position, reached)| reached.then_some(position));
    for position in positions {
        let follows = text.get(position..).is_some_and(|rest| rest.starts_with(literal));
        if follows && let Some(slot) = next.get_mut(position + literal.len()) {
            *slot = true;
        }
    }
    next
}

fn spread(reached: &mut [bool], text: &[u8], may_consume: impl Fn(u8) -> bool) {
    let Some((first, others)) = reached.split_first_mut() else {
        return;
    };
    let mut before = *first;
    for (slot, byte) in others.iter_mut().zip(text) {
        *slot = *slot || (before && may_consume(*byte));
        before = *slot;
    }
}

fn tokens_of(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("**") {
            tokens.push(Token::Anything);
            rest = after;
        } else if let Some(after) = rest.strip_prefix('*') {
            tokens.push(Token::WithinSegment);
            rest = after;
        } else {
            let (literal, after) = rest.split_at(rest.find('*').unwrap_or(rest.len()));
            tokens.push(Token::Literal(literal.as_bytes().to_vec()));
            rest = after;
        }
    }
    tokens
}

impl TryFrom<String> for ResourcePattern {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        let length = text.chars().count();
        if length == 0 {
            return Err(Invalid::value(
                "a resource pattern is empty; write `**` for every resource",
            ));
        }
        if length > RESOURCE_PATTERN_MAX_LENGTH {
            return Err(Invalid::value(format!(
                "a resource pattern has {length} characters; use at most {RESOURCE_PATTERN_MAX_LENGTH}"
            )));
        }
        if text.chars().any(char::is_control) {
            return Err(Invalid::value(
                "a resource pattern contains a control character; remove it",
            ));
        }
        if has_parent_segment(&text) {
            return Err(Invalid::value(
                "a resource pattern contains a `..` segment, which never matches; write the path without it",
            ));
        }
        if text.contains("***") {
            return Err(Invalid::value(
                "a resource pattern has three `*` in a row; write `*` (within a segment) or `**` (anything)",
            ));
        }
        let split = text.find('*').unwrap_or(text.len());
        let (prefix, wild) = text.split_at(split);
        Ok(Self(Glob {
            prefix: prefix.to_owned(),
            rest: tokens_of(wild),
            text,
        }))
    }
}

impl TryFrom<&str> for ResourcePattern {
    type Error = Invalid;

    fn try_from(text: &str) -> Result<Self, Invalid> {
        Self::try_from(text.to_owned())
    }
}

impl From<ResourcePattern> for String {
    fn from(pattern: ResourcePattern) -> Self {
        pattern.0.text
    }
}

impl std::fmt::Display for ResourcePattern {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0.text)
    }
}
