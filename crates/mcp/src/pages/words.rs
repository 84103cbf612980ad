//! Words and tones that the templates share. Templates pass fields by reference and literals by value.

use std::borrow::Borrow;

/// The tone of a confidence.
pub(super) fn tone(confidence: impl Borrow<i64>) -> &'static str {
    match *confidence.borrow() {
        low if low < 40 => "bad",
        medium if medium < 70 => "warn",
        _ => "good",
    }
}

/// How many of something, in words.
pub(super) fn counted(count: impl Borrow<i64>, one: &str, many: &str) -> String {
    match *count.borrow() {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    }
}
