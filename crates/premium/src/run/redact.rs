//! Takes values out of a stream of bytes, wherever the stream is cut into pieces.

use std::fmt::Write as _;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD},
};
use zeroize::Zeroizing;

/// What stands in the place of a value.
pub const REPLACEMENT: &[u8] = b"[redacted]";
/// Shorter values stand in too many places by chance.
pub const SHORTEST: usize = 4;
/// A line of a longer value, as a key in PEM is printed line by line.
const SHORTEST_LINE: usize = 8;

/// Longer values are looked for in one way of each encoding; all of them would take more memory than they are worth.
const LONG: usize = 64 * 1024;
/// What programs leave as it is in percent-encoding, beside letters and digits.
const UNTOUCHED: [&[u8]; 7] = [
    b"",
    // RFC 3986 §2.3: Go, curl, PHP.
    b"-_.~",
    // Python's quote.
    b"-_.~/",
    // JavaScript's encodeURIComponent and encodeURI.
    b"-_.~!*'()",
    b"-_.~!*'();/?:@&=+$,#",
    // Forms, as browsers and Java write them.
    b"-_.*",
    // A segment of a path in Go.
    b"-_.~$&+:=@",
];
/// What programs write by number in JSON beside what they must, for HTML: nothing, Go, Gson, .NET.
const BY_NUMBER: [&str; 4] = ["", "<>&\u{2028}\u{2029}", "<>&='", "<>&'\"+`"];

/// The byte strings that may not pass.
#[derive(Default)]
pub struct Patterns {
    patterns: Vec<Zeroizing<Vec<u8>>>,
    /// Whether a pattern begins with this byte: most bytes of a stream need no second look.
    first: Vec<bool>,
}

impl Patterns {
    /// Adds a value in the forms in which programs print one: as it is, by lines, and in the usual ways of JSON,
    /// percent-encoding and Base64. Answers whether it is long enough to be found.
    pub fn add(&mut self, value: &[u8]) -> bool {
        let trimmed = value.trim_ascii();
        if trimmed.len() < SHORTEST {
            return false;
        }
        self.add_one(trimmed.to_vec());
        if trimmed.contains(&b'\n') {
            for line in trimmed.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
                if line.len() >= SHORTEST_LINE {
                    self.add_one(line.to_vec());
                }
            }
        }
        let ways = if trimmed.len() > LONG { 1 } else { usize::MAX };
        if let Ok(text) = std::str::from_utf8(trimmed) {
            for json in Json::all().take(ways) {
                self.add_one(json.inside(text).into_bytes());
            }
        }
        for percent in Percent::all().take(ways) {
            self.add_one(percent.encoded(trimmed).into_bytes());
        }
        for whole in [value, trimmed] {
            for engine in [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD] {
                self.add_one(engine.encode(whole).into_bytes());
            }
        }
        true
    }

    fn add_one(&mut self, pattern: Vec<u8>) {
        let pattern = Zeroizing::new(pattern);
        let Some(first) = pattern.first().copied().filter(|_| pattern.len() >= SHORTEST) else {
            return;
        };
        if self.patterns.contains(&pattern) {
            return;
        }
        self.first.resize(256, false);
        if let Some(begins) = self.first.get_mut(usize::from(first)) {
            *begins = true;
        }
        self.patterns.push(pattern);
    }

    /// What begins here: nothing, a pattern of this length (the longest), or perhaps one, of which only the
    /// beginning has come so far.
    fn look(&self, text: &[u8]) -> Look {
        let begins = text
            .first()
            .and_then(|first| self.first.get(usize::from(*first)))
            .copied();
        let mut longest = 0;
        if begins == Some(true) {
            for pattern in &self.patterns {
                if text.starts_with(pattern) {
                    longest = longest.max(pattern.len());
                } else if pattern.starts_with(text) {
                    return Look::Wait;
                }
            }
        }
        if longest == 0 {
            Look::Nothing
        } else {
            Look::Found(longest)
        }
    }
}

/// A way to write bytes in percent-encoding.
#[derive(Clone, Copy)]
struct Percent {
    untouched: &'static [u8],
    space: &'static str,
    is_upper: bool,
}

impl Percent {
    fn all() -> impl Iterator<Item = Self> {
        UNTOUCHED.into_iter().flat_map(|untouched| {
            [("%20", true), ("%20", false), ("+", true), ("+", false)].map(|(space, is_upper)| Self {
                untouched,
                space,
                is_upper,
            })
        })
    }

    fn encoded(self, value: &[u8]) -> String {
        let mut out = String::with_capacity(3 * value.len());
        for byte in value {
            if byte.is_ascii_alphanumeric() || self.untouched.contains(byte) {
                out.push(char::from(*byte));
            } else if *byte == b' ' {
                out.push_str(self.space);
            } else {
                // A String takes whatever is written to it.
                let _ = if self.is_upper {
                    write!(out, "%{byte:02X}")
                } else {
                    write!(out, "%{byte:02x}")
                };
            }
        }
        out
    }
}

/// A way to write a string in JSON (RFC 8259 §7 leaves it open).
#[derive(Clone, Copy)]
struct Json {
    by_number: &'static str,
    /// Python, PHP and .NET write everything else than ASCII by number.
    is_ascii: bool,
    /// PHP has it `\/`.
    escapes_slash: bool,
    is_upper: bool,
}

impl Json {
    fn all() -> impl Iterator<Item = Self> {
        BY_NUMBER.into_iter().flat_map(|by_number| {
            (0..8).map(move |bits| Self {
                by_number,
                is_ascii: bits & 1 != 0,
                escapes_slash: bits & 2 != 0,
                is_upper: bits & 4 != 0,
            })
        })
    }

    /// The string without its quotes.
    fn inside(self, text: &str) -> String {
        let mut out = String::with_capacity(2 * text.len());
        for letter in text.chars() {
            match letter {
                _ if self.by_number.contains(letter) => self.number(letter, &mut out),
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '/' if self.escapes_slash => out.push_str("\\/"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                '\0'..' ' => self.number(letter, &mut out),
                '\u{7f}'.. if self.is_ascii => self.number(letter, &mut out),
                _ => out.push(letter),
            }
        }
        out
    }

    fn number(self, letter: char, out: &mut String) {
        for unit in letter.encode_utf16(&mut [0; 2]) {
            let _ = if self.is_upper {
                write!(out, "\\u{unit:04X}")
            } else {
                write!(out, "\\u{unit:04x}")
            };
        }
    }
}

enum Look {
    Nothing,
    Found(usize),
    Wait,
}

/// One stream on its way.
pub struct Redactor<'a> {
    patterns: &'a Patterns,
    /// What came and was not decided: the beginning of a pattern, perhaps.
    held: Zeroizing<Vec<u8>>,
    /// How many bytes from here on belong to patterns that were found.
    covered: usize,
}

impl<'a> Redactor<'a> {
    /// A stream that has not begun.
    #[must_use]
    pub fn new(patterns: &'a Patterns) -> Self {
        Self {
            patterns,
            held: Zeroizing::new(Vec::new()),
            covered: 0,
        }
    }

    /// Takes the next piece and appends to `out` what may pass. Nothing is held back but what may be the
    /// beginning of a pattern, so that a prompt appears when it is written.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        self.held.extend_from_slice(piece);
        self.decide(out, false);
    }

    /// The stream has ended: what was held back is no whole pattern any more.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        self.decide(out, true);
    }

    fn decide(&mut self, out: &mut Vec<u8>, ended: bool) {
        let held = std::mem::take(&mut self.held);
        let mut at = 0;
        while let Some((rest, byte)) = held.get(at..).and_then(|rest| Some((rest, *rest.first()?))) {
            let found = match self.look(rest, ended) {
                Look::Wait => break,
                Look::Found(length) => length,
                Look::Nothing => 0,
            };
            // Patterns that overlap are one place: no byte of any of them passes.
            if found > 0 && self.covered == 0 {
                out.extend_from_slice(REPLACEMENT);
            }
            self.covered = self.covered.max(found);
            if self.covered == 0 {
                out.push(byte);
            }
            self.covered = self.covered.saturating_sub(1);
            at += 1;
        }
        self.held = Zeroizing::new(held.get(at..).unwrap_or_default().to_vec());
    }

    fn look(&self, rest: &[u8], ended: bool) -> Look {
        match self.patterns.look(rest) {
            // A shorter pattern may stand where a longer one was expected.
            Look::Wait if ended => self
                .patterns
                .patterns
                .iter()
                .filter(|pattern| rest.starts_with(pattern))
                .map(|pattern| pattern.len())
                .max()
                .map_or(Look::Nothing, Look::Found),
            look => look,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The patterns as they are, without their other forms.
    fn exactly(values: &[&[u8]]) -> Patterns {
        let mut patterns = Patterns::default();
        for value in values {
            patterns.add_one(value.to_vec());
        }
        patterns
    }

    fn scrubbed(patterns: &Patterns, pieces: &[&[u8]]) -> Vec<u8> {
        let mut redactor = Redactor::new(patterns);
        let mut out = Vec::new();
        for piece in pieces {
            redactor.push(piece, &mut out);
        }
        redactor.finish(&mut out);
        out
    }

    fn text(patterns: &Patterns, pieces: &[&str]) -> String {
        let pieces: Vec<&[u8]> = pieces.iter().map(|piece| piece.as_bytes()).collect();
        String::from_utf8(scrubbed(patterns, &pieces)).unwrap()
    }

    #[test]
    fn a_value_goes_wherever_the_stream_is_cut() {
        let patterns = exactly(&[b"sk_live_1234"]);
        let whole = "key=sk_live_1234!";
        for cut in 0..=whole.len() {
            let (left, right) = whole.split_at(cut);
            assert_eq!(text(&patterns, &[left, right]), "key=[redacted]!", "{cut}");
        }
        let bytes: Vec<String> = whole.chars().map(String::from).collect();
        let bytes: Vec<&str> = bytes.iter().map(String::as_str).collect();
        assert_eq!(text(&patterns, &bytes), "key=[redacted]!");
    }

    #[test]
    fn values_that_overlap_or_contain_each_other_go_whole() {
        let patterns = exactly(&[b"abcd", b"abcdefgh", b"ghij"]);
        assert_eq!(text(&patterns, &["-abcdef-"]), "-[redacted]ef-");
        assert_eq!(text(&patterns, &["-abcd", "efgh-"]), "-[redacted]-");
        assert_eq!(text(&patterns, &["-abcdefg", "hij-"]), "-[redacted]-");
        assert_eq!(text(&patterns, &["abcd"]), "[redacted]");
        assert_eq!(text(&patterns, &["abcdabcd"]), "[redacted][redacted]");
        let repeated = exactly(&[b"aaaa"]);
        assert_eq!(text(&repeated, &["baaaaaab"]), "b[redacted]b");
    }

    #[test]
    fn what_is_no_value_passes_at_once() {
        let patterns = exactly(&[b"sk_live_1234"]);
        let mut redactor = Redactor::new(&patterns);
        let mut out = Vec::new();
        redactor.push(b"Password: ", &mut out);
        assert_eq!(out, b"Password: ");
        redactor.push(b"sk_li", &mut out);
        assert_eq!(out, b"Password: ");
        redactor.push(b"st", &mut out);
        assert_eq!(out, b"Password: sk_list");
        redactor.push(b"sk_", &mut out);
        redactor.finish(&mut out);
        assert_eq!(out, b"Password: sk_listsk_");
    }

    #[test]
    fn the_usual_encodings_go_too() {
        let mut patterns = Patterns::default();
        assert!(patterns.add(b"p\"ss/w\xc3\xb6rd+1\n"));
        for form in [
            "p\"ss/wörd+1",
            "p\\\"ss/wörd+1",
            "p%22ss%2Fw%C3%B6rd%2B1",
            "cCJzcy93w7ZyZCsx",
            "cCJzcy93w7ZyZCsxCg",
            "cCJzcy93w7ZyZCsxCg==",
        ] {
            assert_eq!(text(&patterns, &["<", form, ">"]), "<[redacted]>", "{form}");
        }
        let mut patterns = Patterns::default();
        assert!(patterns.add("a-b_c.d~ö /<&'>=\"+\u{1}\u{1f511}".as_bytes()));
        for form in [
            // Python's quote, with and without safe='', and quote_plus; Go's QueryEscape.
            "a-b_c.d~%C3%B6%20/%3C%26%27%3E%3D%22%2B%01%F0%9F%94%91",
            "a-b_c.d~%C3%B6%20%2F%3C%26%27%3E%3D%22%2B%01%F0%9F%94%91",
            "a-b_c.d~%C3%B6+%2F%3C%26%27%3E%3D%22%2B%01%F0%9F%94%91",
            "a-b_c.d~%c3%b6%20%2f%3c%26%27%3e%3d%22%2b%01%f0%9f%94%91",
            // encodeURIComponent, encodeURI, URLSearchParams.
            "a-b_c.d~%C3%B6%20%2F%3C%26'%3E%3D%22%2B%01%F0%9F%94%91",
            "a-b_c.d~%C3%B6%20/%3C&'%3E=%22+%01%F0%9F%94%91",
            "a-b_c.d%7E%C3%B6+%2F%3C%26%27%3E%3D%22%2B%01%F0%9F%94%91",
            "a-b_c.d~%C3%B6%20%2F%3C&%27%3E=%22+%01%F0%9F%94%91",
            // json.dumps, JSON.stringify, Go's json.Marshal, PHP's json_encode, Gson, System.Text.Json.
            r#"a-b_c.d~\u00f6 /<&'>=\"+\u0001\ud83d\udd11"#,
            "a-b_c.d~ö /<&'>=\\\"+\\u0001\u{1f511}",
            "a-b_c.d~ö /\\u003c\\u0026'\\u003e=\\\"+\\u0001\u{1f511}",
            r#"a-b_c.d~\u00f6 \/<&'>=\"+\u0001\ud83d\udd11"#,
            "a-b_c.d~ö /\\u003c\\u0026\\u0027\\u003e\\u003d\\\"+\\u0001\u{1f511}",
            r"a-b_c.d~\u00F6 /\u003C\u0026\u0027\u003E=\u0022\u002B\u0001\uD83D\uDD11",
        ] {
            assert_eq!(text(&patterns, &["<", form, ">"]), "<[redacted]>", "{form}");
        }
        let mut patterns = Patterns::default();
        assert!(patterns.add(b"-----BEGIN KEY-----\nMC4CAQAwBQYDK2VwBCIEIA\nshort\n-----END KEY-----\n"));
        assert_eq!(text(&patterns, &["1: MC4CAQAwBQYDK2VwBCIEIA"]), "1: [redacted]");
        assert_eq!(text(&patterns, &["short"]), "short");
    }

    #[test]
    fn a_long_value_has_fewer_forms() {
        let count = |length: usize| {
            let mut patterns = Patterns::default();
            assert!(patterns.add("ö-/&".repeat(length).as_bytes()));
            patterns.patterns.len()
        };
        assert!(count(LONG / 5 + 1) < 10 && count(1) > 20);
    }

    #[test]
    fn a_value_that_is_too_short_is_told() {
        let mut patterns = Patterns::default();
        assert!(!patterns.add(b"123"));
        assert!(!patterns.add(b"  1 \n"));
        assert_eq!(text(&patterns, &["123"]), "123");
    }

    /// The same by brute force, over the whole text.
    fn by_definition(values: &[Vec<u8>], whole: &[u8]) -> Vec<u8> {
        let mut covered = vec![false; whole.len()];
        let mut starts = vec![false; whole.len()];
        for at in 0..whole.len() {
            for value in values {
                if whole[at..].starts_with(value) {
                    starts[at] = true;
                    covered[at..at + value.len()].fill(true);
                }
            }
        }
        let mut out = Vec::new();
        let mut reach = 0;
        for at in 0..whole.len() {
            if starts[at] {
                if at >= reach {
                    out.extend_from_slice(REPLACEMENT);
                }
                let longest = values
                    .iter()
                    .filter(|value| whole[at..].starts_with(value))
                    .map(Vec::len);
                reach = reach.max(at + longest.max().unwrap());
            }
            if !covered[at] {
                out.push(whole[at]);
            }
        }
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn cutting_changes_nothing_and_no_byte_of_a_value_passes(
            values in prop::collection::vec(prop::collection::vec(0_u8..3, 4..9), 1..4),
            whole in prop::collection::vec(0_u8..3, 0..80),
            cuts in prop::collection::vec(0_usize..80, 0..12),
        ) {
            let slices: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
            let patterns = exactly(&slices);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(whole.len())).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts.into_iter().chain([whole.len()]) {
                pieces.push(&whole[from..cut]);
                from = cut;
            }
            prop_assert_eq!(scrubbed(&patterns, &pieces), by_definition(&values, &whole));
        }

        #[test]
        fn a_text_without_values_passes_unchanged(whole in prop::collection::vec(any::<u8>(), 0..200)) {
            let patterns = exactly(&[b"\x00\x01\x02\x03value that is not there"]);
            prop_assert_eq!(scrubbed(&patterns, &[&whole]), whole);
        }
    }
}
