//! Takes values out of a stream of bytes, wherever the stream is cut into pieces.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD},
};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use zeroize::Zeroizing;

/// What stands in the place of a value.
pub const REPLACEMENT: &[u8] = b"[redacted]";
/// Shorter values stand in too many places by chance.
pub const SHORTEST: usize = 4;
/// A line of a longer value, as a key in PEM is printed line by line.
const SHORTEST_LINE: usize = 8;

/// The byte strings that may not pass.
#[derive(Default)]
pub struct Patterns {
    patterns: Vec<Zeroizing<Vec<u8>>>,
    /// Whether a pattern begins with this byte: most bytes of a stream need no second look.
    first: Vec<bool>,
}

impl Patterns {
    /// Adds a value in the forms in which programs print one: as it is, by lines, and as JSON, in
    /// percent-encoding and in Base64. Answers whether it is long enough to be found.
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
        if let Some(quoted) = std::str::from_utf8(trimmed)
            .ok()
            .and_then(|text| serde_json::to_vec(text).ok())
        {
            let quoted = Zeroizing::new(quoted);
            if let [_, inside @ .., _] = quoted.as_slice() {
                self.add_one(inside.to_vec());
            }
        }
        self.add_one(percent_encode(trimmed, NON_ALPHANUMERIC).to_string().into_bytes());
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
        assert!(patterns.add(b"-----BEGIN KEY-----\nMC4CAQAwBQYDK2VwBCIEIA\nshort\n-----END KEY-----\n"));
        assert_eq!(text(&patterns, &["1: MC4CAQAwBQYDK2VwBCIEIA"]), "1: [redacted]");
        assert_eq!(text(&patterns, &["short"]), "short");
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
