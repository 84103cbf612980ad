//! The one error of this crate's doors: what a person typed that cannot be a capability, a pattern or a
//! scope. It names the field and the remedy, and never holds a value from a request.

use thiserror::Error;

/// A value that cannot become one of this crate's types.
///
/// The text is complete with the remedy. `field` is the path inside the document that was read
/// (`scope.resources[0]`), and empty when a single value was parsed on its own.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}{problem}", Prefix(field))]
pub struct Invalid {
    /// Path of the offending field; empty for a value that was parsed on its own.
    pub field: String,
    /// What is wrong and what to write instead.
    pub problem: String,
}

impl Invalid {
    /// An error about a value whose place the caller knows.
    pub(crate) fn value(problem: impl Into<String>) -> Self {
        Self {
            field: String::new(),
            problem: problem.into(),
        }
    }

    /// The same error at a known place.
    #[must_use]
    pub fn at(self, field: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            problem: self.problem,
        }
    }
}

struct Prefix<'a>(&'a str);

impl std::fmt::Display for Prefix<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            Ok(())
        } else {
            write!(formatter, "{}: ", self.0)
        }
    }
}
