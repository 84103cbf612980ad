//! Keys that AIM issues: format, checksum and stored form.
//!
//! `<prefix><32 random base62 characters><6 base62 characters>`; the last six are the CRC-32 of everything
//! before them, so that scanners and typing errors are told from keys without a look into the database.
//! Only [`ParsedToken::digest`] is stored; the text is shown once. This module decides nothing: a parsed
//! token is well formed, not valid.

use std::fmt;

use zeroize::Zeroizing;

use crate::digest::{RandomnessError, hmac_sha256, random_bytes};
use crate::secret::{REDACTED, SecretString};

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 32 characters of base62 carry 190.5 bits.
const RANDOM_LENGTH: usize = 32;
/// 43 characters of base62 carry 256 bits.
const LONG_LENGTH: usize = 43;
/// 62^6 exceeds 2^32.
const CHECKSUM_LENGTH: usize = 6;
/// Random characters that may be shown in lists.
const DISPLAYED: usize = 6;

/// What an issued key is for; its prefix says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TokenKind {
    /// Acts for an organisation: `aim_live_`.
    OrganizationKey,
    /// A person's session: `aim_session_`.
    Session,
    /// Sets a new installation up, once: `aim_setup_`.
    SetUp,
    /// A kind that a module brings along; made by [`TokenKind::custom`].
    Custom(&'static str),
    /// As [`TokenKind::Custom`], with 256 bits: for what opens something without any other credential.
    Long(&'static str),
}

impl TokenKind {
    /// The kinds that every installation has.
    pub const BUILT_IN: [Self; 3] = [Self::OrganizationKey, Self::Session, Self::SetUp];

    /// A kind of a module's own. The prefix is lower-case ASCII letters, digits and `_`, ends in `_`, and is
    /// none of the built-in ones; pass the kind to [`ParsedToken::parse_with`] to have it recognised.
    #[must_use]
    pub const fn custom(prefix: &'static str) -> Self {
        Self::Custom(prefix)
    }

    /// The text before the random part.
    #[must_use]
    pub const fn prefix(&self) -> &'static str {
        match self {
            Self::OrganizationKey => "aim_live_",
            Self::Session => "aim_session_",
            Self::SetUp => "aim_setup_",
            Self::Custom(prefix) | Self::Long(prefix) => prefix,
        }
    }

    /// How many random characters follow the prefix.
    const fn random_length(&self) -> usize {
        match self {
            Self::Long(_) => LONG_LENGTH,
            _ => RANDOM_LENGTH,
        }
    }
}

/// Why a text is no issued key. Says nothing about the text itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The prefix is none that AIM issues here.
    #[error(
        "the key does not start with a prefix that is accepted here, such as aim_live_; copy the whole key"
    )]
    Prefix,
    /// Too short or too long.
    #[error("the key is incomplete or too long: {expected} characters follow the prefix; copy the whole key")]
    Length {
        /// Characters after the prefix.
        expected: usize,
    },
    /// A character that no key has.
    #[error(
        "the key has a character other than letters and digits after its prefix; copy it without quotes or spaces"
    )]
    Alphabet,
    /// Mistyped.
    #[error("the key's checksum does not fit; it was mistyped or cut, copy it again")]
    Checksum,
}

impl TokenError {
    /// Stable slug of this error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Prefix => "token.prefix",
            Self::Length { .. } => "token.length",
            Self::Alphabet => "token.alphabet",
            Self::Checksum => "token.checksum",
        }
    }
}

/// 32 secret bytes that key the stored digests, so that a copy of the database alone recognises no key.
/// `Debug` prints `[redacted]`.
#[derive(Clone)]
pub struct TokenPepper(Zeroizing<[u8; 32]>);

impl TokenPepper {
    /// Takes 32 bytes that are kept secret elsewhere (never in the database).
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A fresh pepper.
    ///
    /// # Errors
    /// [`RandomnessError`] when there is no randomness.
    pub fn generate() -> Result<Self, RandomnessError> {
        random_bytes().map(Self::from_bytes)
    }

    /// The bytes, to be written to the place where they are kept.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for TokenPepper {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(REDACTED)
    }
}

/// A key just made, to be shown once. `Debug` prints `[redacted]`.
pub struct IssuedToken(ParsedToken);

impl IssuedToken {
    /// Makes a key with 190 bits of randomness, or 256 for a long kind.
    ///
    /// # Errors
    /// [`RandomnessError`] when there is no randomness.
    pub fn generate(kind: TokenKind) -> Result<Self, RandomnessError> {
        let (prefix, random) = (kind.prefix(), kind.random_length());
        let mut text = String::with_capacity(prefix.len() + random + CHECKSUM_LENGTH);
        text.push_str(prefix);
        while text.len() < prefix.len() + random {
            let bytes = Zeroizing::new(random_bytes::<48>()?);
            let missing = prefix.len() + random - text.len();
            text.extend(bytes.iter().copied().filter_map(unbiased_letter).take(missing));
        }
        for character in checksum(&text) {
            text.push(character);
        }
        Ok(Self(ParsedToken {
            kind,
            text: SecretString::new(text),
        }))
    }

    /// The whole text; this is the one place that shows it.
    #[must_use]
    pub fn text(&self) -> &SecretString {
        &self.0.text
    }

    /// The same key as [`ParsedToken::parse`] would give it, for its digest and display prefix.
    #[must_use]
    pub fn parsed(&self) -> &ParsedToken {
        &self.0
    }

    /// The stored form, as [`ParsedToken::digest`].
    #[must_use]
    pub fn digest(&self, pepper: &TokenPepper) -> [u8; 32] {
        self.0.digest(pepper)
    }

    /// What lists show, as [`ParsedToken::display_prefix`].
    #[must_use]
    pub fn display_prefix(&self) -> &str {
        self.0.display_prefix()
    }
}

impl fmt::Debug for IssuedToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(REDACTED)
    }
}

/// A well-formed key that a caller presented. Whether it is known, live and unexpired is the database's to
/// say. `Debug` prints `[redacted]`.
pub struct ParsedToken {
    kind: TokenKind,
    text: SecretString,
}

impl ParsedToken {
    /// Checks prefix, length, alphabet and checksum of a built-in kind.
    ///
    /// # Errors
    /// [`TokenError`]; the first of these that fails.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        Self::parse_with(text, &[])
    }

    /// As [`ParsedToken::parse`], and recognises `further` kinds too.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn parse_with(text: &str, further: &[TokenKind]) -> Result<Self, TokenError> {
        // The part after the prefix has no underscore, so the last one ends the prefix.
        let prefix_length = text.rfind('_').ok_or(TokenError::Prefix)? + 1;
        let (prefix, rest) = text.split_at_checked(prefix_length).ok_or(TokenError::Prefix)?;
        let kind = TokenKind::BUILT_IN
            .iter()
            .chain(further)
            .find(|kind| kind.prefix() == prefix)
            .copied()
            .ok_or(TokenError::Prefix)?;
        if !rest.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(TokenError::Alphabet);
        }
        let random = kind.random_length();
        if rest.len() != random + CHECKSUM_LENGTH {
            return Err(TokenError::Length {
                expected: random + CHECKSUM_LENGTH,
            });
        }
        let (covered, found) = text
            .split_at_checked(prefix_length + random)
            .ok_or(TokenError::Checksum)?;
        // Texts, not numbers, are compared: each checksum has one spelling.
        if !found.chars().eq(checksum(covered)) {
            return Err(TokenError::Checksum);
        }
        Ok(Self {
            kind,
            text: SecretString::from(text),
        })
    }

    /// What the key is for.
    #[must_use]
    pub fn kind(&self) -> TokenKind {
        self.kind
    }

    /// The stored form: HMAC-SHA-256 of the whole text under the pepper. Compare digests by looking them up;
    /// they reveal nothing about a key.
    #[must_use]
    pub fn digest(&self, pepper: &TokenPepper) -> [u8; 32] {
        hmac_sha256(pepper.expose(), self.text.expose().as_bytes())
    }

    /// Prefix and the first six random characters, by which people tell their keys apart in a list. It leaves
    /// 154 bits unknown.
    #[must_use]
    pub fn display_prefix(&self) -> &str {
        self.text
            .expose()
            .get(..self.kind.prefix().len() + DISPLAYED)
            .unwrap_or_default()
    }
}

impl fmt::Debug for ParsedToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(REDACTED)
    }
}

/// The base62 digit of `value` modulo 62.
fn letter(value: u32) -> char {
    ALPHABET
        .get((value % 62) as usize)
        .copied()
        .map_or('0', char::from)
}

/// A base62 digit from a random byte, each equally likely; `None` for the bytes that are left over.
fn unbiased_letter(byte: u8) -> Option<char> {
    // 248 = 4 × 62: larger bytes would make the first characters of the alphabet likelier.
    (byte < 248).then(|| letter(u32::from(byte)))
}

/// CRC-32 (IEEE) of `covered` as six base62 digits, most significant first.
fn checksum(covered: &str) -> [char; CHECKSUM_LENGTH] {
    let mut rest = crc32fast::hash(covered.as_bytes());
    let mut digits = ['0'; CHECKSUM_LENGTH];
    for digit in digits.iter_mut().rev() {
        *digit = letter(rest);
        rest /= 62;
    }
    digits
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MODULE_KIND: TokenKind = TokenKind::custom("aim_module_");

    fn issue(kind: TokenKind) -> IssuedToken {
        IssuedToken::generate(kind).unwrap()
    }

    #[test]
    fn every_kind_round_trips_and_keeps_its_prefix() {
        for kind in TokenKind::BUILT_IN {
            let issued = issue(kind);
            let text = issued.text().expose();
            assert!(text.starts_with(kind.prefix()));
            assert_eq!(text.len(), kind.prefix().len() + 38);
            assert_eq!(ParsedToken::parse(text).unwrap().kind(), kind);
        }
    }

    #[test]
    fn a_modules_kind_is_recognised_only_where_it_is_named() {
        let issued = issue(MODULE_KIND);
        let text = issued.text().expose();
        assert_eq!(ParsedToken::parse(text).unwrap_err(), TokenError::Prefix);
        assert_eq!(
            ParsedToken::parse_with(text, &[MODULE_KIND]).unwrap().kind(),
            MODULE_KIND
        );
    }

    #[test]
    fn a_long_kind_has_a_longer_random_part() {
        let kind = TokenKind::Long("aim_long_");
        let issued = issue(kind);
        let text = issued.text().expose();
        assert_eq!(text.len(), "aim_long_".len() + 43 + 6);
        assert_eq!(ParsedToken::parse_with(text, &[kind]).unwrap().kind(), kind);
        let cut = text.get(..text.len() - 1).unwrap();
        assert_eq!(
            ParsedToken::parse_with(cut, &[kind]).unwrap_err(),
            TokenError::Length { expected: 49 }
        );
    }

    #[test]
    fn the_digest_depends_on_text_and_pepper() {
        let (one, other) = (TokenPepper::from_bytes([1; 32]), TokenPepper::from_bytes([2; 32]));
        let issued = issue(TokenKind::OrganizationKey);
        let parsed = ParsedToken::parse(issued.text().expose()).unwrap();
        assert_eq!(parsed.digest(&one), issued.digest(&one));
        assert_ne!(parsed.digest(&one), parsed.digest(&other));
        assert_ne!(
            parsed.digest(&one),
            issue(TokenKind::OrganizationKey).digest(&one)
        );
    }

    #[test]
    fn the_display_prefix_is_the_prefix_and_six_characters() {
        let issued = issue(TokenKind::Session);
        assert_eq!(issued.display_prefix().len(), "aim_session_".len() + 6);
        assert!(issued.text().expose().starts_with(issued.display_prefix()));
    }

    #[test]
    fn the_checksum_is_the_crc_32_in_base_62() {
        // CRC-32/ISO-HDLC of "123456789" is 0xcbf43926 = 3421780262.
        assert_eq!(checksum("123456789").iter().collect::<String>(), "3jZRME");
    }

    #[test]
    fn every_character_of_the_alphabet_is_equally_likely() {
        let mut drawn: Vec<char> = (0..=255).filter_map(unbiased_letter).collect();
        drawn.sort_unstable();
        assert_eq!(drawn.len(), 4 * 62);
        assert!(
            drawn
                .chunks(4)
                .all(|four| four.iter().all(|letter| *letter == four[0]))
        );
    }

    #[test]
    fn texts_that_are_no_keys_are_told_apart() {
        let issued = issue(TokenKind::OrganizationKey);
        let text = issued.text().expose();
        let cut = text.get(..text.len() - 1).unwrap();
        let error = |text: &str| ParsedToken::parse(text).unwrap_err();
        assert_eq!(error(""), TokenError::Prefix);
        assert_eq!(error("sk_live_abc"), TokenError::Prefix);
        assert_eq!(error("aim_live"), TokenError::Prefix);
        assert_eq!(error(cut), TokenError::Length { expected: 38 });
        assert_eq!(error(&format!("{text}0")), TokenError::Length { expected: 38 });
        assert_eq!(error(&format!("{cut}-")), TokenError::Alphabet);
        assert_eq!(error(&format!("{cut}é")), TokenError::Alphabet);
        assert_eq!(error(&format!(" {text}")), TokenError::Prefix);
    }

    #[test]
    fn nothing_secret_is_printed() {
        let issued = issue(TokenKind::SetUp);
        let pepper = TokenPepper::generate().unwrap();
        assert_eq!(
            format!("{issued:?} {:?} {pepper:?}", issued.parsed()),
            "[redacted] [redacted] [redacted]"
        );
    }

    proptest! {
        #[test]
        fn a_single_wrong_character_is_always_noticed(position in 0_usize..38, replacement in "[0-9A-Za-z]") {
            let issued = issue(TokenKind::OrganizationKey);
            let text = issued.text().expose();
            let at = "aim_live_".len() + position;
            let mistyped = format!("{}{replacement}{}", &text[..at], &text[at + 1..]);
            prop_assume!(mistyped != text);
            prop_assert_eq!(ParsedToken::parse(&mistyped).unwrap_err(), TokenError::Checksum);
        }

        #[test]
        fn two_neighbours_exchanged_are_always_noticed(position in 0_usize..37) {
            let issued = issue(TokenKind::Session);
            let mut bytes = issued.text().expose().as_bytes().to_vec();
            let at = "aim_session_".len() + position;
            prop_assume!(bytes[at] != bytes[at + 1]);
            bytes.swap(at, at + 1);
            let mistyped = String::from_utf8(bytes).unwrap();
            prop_assert_eq!(ParsedToken::parse(&mistyped).unwrap_err(), TokenError::Checksum);
        }

        #[test]
        fn any_text_is_parsed_or_refused_without_a_panic(text in "\\PC*") {
            let _ = ParsedToken::parse(&text);
            let _ = ParsedToken::parse(&format!("aim_live_{text}"));
        }
    }
}
