//! Templates: a text in which `{{ aim:PATH#FIELD@VERSION }}` stands for a value.
//!
//! Nothing else of the text is touched, other double braces included, so that a template may be one of
//! another engine too. `| json`, `| url` and `| base64` write a value so that it fits into what is
//! around it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use zeroize::Zeroizing;

use super::reference::Reference;

const OPENING: &str = "{{";
const CLOSING: &str = "}}";
const SCHEME: &str = "aim:";

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Plain,
    /// A JSON string with its quotes.
    Json,
    /// Percent-encoded.
    Url,
    Base64,
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Value(Reference, Form),
}

/// A template that was understood.
#[derive(Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// The line of a place that begins with `{{ aim:` and is none, and why.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once(OPENING) {
            plain.push_str(before);
            let Some(inside) = after.trim_start_matches([' ', '\t']).strip_prefix(SCHEME) else {
                // One brace on: the next may open a place, as in {{{.
                let brace = before.len() + 1;
                plain.push('{');
                rest = rest.get(brace..).unwrap_or_default();
                continue;
            };
            let line = 1 + text
                .len()
                .checked_sub(after.len())
                .and_then(|end| text.get(..end))
                .map_or(0, |read| read.matches('\n').count());
            let (place, behind) = inside
                .split_once(CLOSING)
                .ok_or_else(|| format!("line {line}: {OPENING} {SCHEME} is not closed with {CLOSING}"))?;
            let (reference, form) = parse_place(place).map_err(|reason| format!("line {line}: {reason}"))?;
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(Part::Value(reference, form));
            rest = behind;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self(parts))
    }

    /// The secrets that it names.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.0.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Value(reference, _) => Some(reference),
        })
    }

    /// The text with its values.
    ///
    /// # Errors
    /// Those of `value`, and a value that is no text where `| json` wants one.
    pub fn render(
        &self,
        value: impl Fn(&Reference) -> Result<Zeroizing<Vec<u8>>, String>,
    ) -> Result<Zeroizing<Vec<u8>>, String> {
        let mut text = Zeroizing::new(Vec::new());
        for part in &self.0 {
            match part {
                Part::Text(plain) => text.extend_from_slice(plain.as_bytes()),
                Part::Value(reference, form) => {
                    let written = written(&value(reference)?, *form);
                    let written =
                        written.ok_or_else(|| format!("{reference} is no text, as json wants it"))?;
                    text.extend_from_slice(&written);
                }
            }
        }
        Ok(text)
    }
}

fn parse_place(place: &str) -> Result<(Reference, Form), String> {
    let (name, form) = match place.split_once('|') {
        None => (place, Form::Plain),
        Some((name, form)) => {
            let form = match form.trim() {
                "json" => Form::Json,
                "url" => Form::Url,
                "base64" => Form::Base64,
                other => return Err(format!("{other:?} is no form; there are json, url and base64")),
            };
            (name, form)
        }
    };
    Ok((name.trim().parse()?, form))
}

fn written(value: &[u8], form: Form) -> Option<Zeroizing<Vec<u8>>> {
    Some(Zeroizing::new(match form {
        Form::Plain => value.to_vec(),
        Form::Json => serde_json::to_vec(std::str::from_utf8(value).ok()?).ok()?,
        Form::Url => percent_encode(value, NON_ALPHANUMERIC).to_string().into_bytes(),
        Form::Base64 => STANDARD.encode(value).into_bytes(),
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Renders with the reference itself, followed by something to encode, as the value.
    fn rendered(text: &str) -> Result<String, String> {
        let value = |reference: &Reference| Ok(Zeroizing::new(format!("<{reference}>\"").into_bytes()));
        let bytes = Template::parse(text)?.render(value)?;
        Ok(String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[test]
    fn places_are_replaced_and_everything_else_stays() {
        for (text, expected) in [
            ("", ""),
            ("no place", "no place"),
            ("{{aim:a/b}}", "<a/b>\""),
            ("k={{ aim:a/b#f@3 }};", "k=<a/b#f@3>\";"),
            ("{{ aim:a | json }}", "\"<a>\\\"\""),
            ("{{ aim:a|url }}", "%3Ca%3E%22"),
            ("{{aim:a | base64}}", "PGE+Ig=="),
            ("{{ jinja }} {{{ aim:a }}} }}", "{{ jinja }} {<a>\"} }}"),
            ("{{ {{ aim:a }}", "{{ <a>\""),
            ("{{", "{{"),
            ("ä{{aim:a}}ö\n", "ä<a>\"ö\n"),
        ] {
            assert_eq!(rendered(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_place_that_cannot_be_read_is_told_with_its_line() {
        for (text, expected) in [
            ("a\nb {{ aim:a/../b }}", "line 2: "),
            ("{{ aim:a | upper }}", "\"upper\" is no form"),
            ("\n\n{{ aim:a }", "line 3: {{ aim: is not closed"),
            ("{{ aim: }}", "path of the secret is missing"),
        ] {
            let refusal = Template::parse(text).unwrap_err();
            assert!(refusal.contains(expected), "{text}: {refusal}");
        }
    }

    #[test]
    fn references_are_told_before_anything_is_read() {
        let template = Template::parse("{{aim:a}} {{aim:b#c}} {{aim:a}}").unwrap();
        let names: Vec<String> = template.references().map(ToString::to_string).collect();
        assert_eq!(names, ["a", "b#c", "a"]);
    }

    #[test]
    fn bytes_are_written_as_they_are_and_json_wants_text() {
        let value = |_: &Reference| Ok(Zeroizing::new(vec![0xff, 0x00]));
        let render = |text: &str| Template::parse(text).unwrap().render(value);
        assert_eq!(render("{{aim:a}}").unwrap().as_slice(), [0xff, 0x00]);
        assert_eq!(render("{{aim:a|base64}}").unwrap().as_slice(), b"/wA=");
        assert!(render("{{aim:a|json}}").is_err());
    }

    proptest! {
        #[test]
        fn a_text_without_places_is_left_alone(text in "[{} a-z:\n]{0,60}") {
            prop_assume!(!text.contains("aim:"));
            prop_assert_eq!(rendered(&text), Ok(text));
        }
    }
}
