use serde::Deserialize;
use serde_json::value::RawValue;

use super::*;

#[derive(Deserialize)]
struct Vectors {
    vectors: Vec<Vector>,
    integer_names: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    sent: String,
    sent_utf8: String,
    spaced: String,
    compact: String,
}

/// Made by Python itself: `tests/vectors/make_python_json.py`.
fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../tests/vectors/python_json.json")).unwrap()
}

fn spaced(json: &str) -> Result<String, PythonJsonError> {
    sorted(
        serde_json::from_str(json).unwrap(),
        Separators::Spaced,
        NameOrder::CodePoint,
    )
}

#[test]
fn what_python_sent_is_re_emitted_as_python_signed_it() {
    for vector in vectors().vectors {
        let raw: &RawValue = serde_json::from_str(&vector.sent).unwrap();
        assert_eq!(
            sorted(raw, Separators::Spaced, NameOrder::CodePoint).unwrap(),
            vector.spaced,
            "{}",
            vector.name
        );
        assert_eq!(
            sorted(raw, Separators::Compact, NameOrder::CodePoint).unwrap(),
            vector.compact,
            "{}",
            vector.name
        );
    }
}

#[test]
fn the_same_value_sent_in_utf_8_gives_the_same_text() {
    for vector in vectors().vectors {
        assert_eq!(
            spaced(&vector.sent_utf8).unwrap(),
            vector.spaced,
            "{}",
            vector.name
        );
    }
}

#[test]
fn dicts_with_integer_keys_are_told_by_the_numeric_order_and_only_by_it() {
    for vector in vectors().integer_names {
        let raw: &RawValue = serde_json::from_str(&vector.sent).unwrap();
        let by_value = sorted(raw, Separators::Spaced, NameOrder::IntegersByValue).unwrap();
        assert_eq!(by_value, vector.spaced, "{}", vector.name);
        assert_ne!(spaced(&vector.sent).unwrap(), vector.spaced, "{}", vector.name);
    }
}

#[test]
fn names_that_are_not_all_integers_keep_the_order_of_text() {
    for json in [
        r#"{"10": 1, "9": 2, "x": 3}"#,
        r#"{"10": 1, "09": 2}"#,
        r#"{"10": 1, "-0": 2}"#,
        r#"{"10": 1, "+9": 2}"#,
        r#"{"10": 1, "": 2}"#,
    ] {
        let raw: &RawValue = serde_json::from_str(json).unwrap();
        let by_value = sorted(raw, Separators::Spaced, NameOrder::IntegersByValue).unwrap();
        assert_eq!(by_value, spaced(json).unwrap(), "{json}");
    }
}

#[test]
fn number_tokens_stay_as_they_were_received() {
    assert_eq!(
        spaced("[1.00, 1E5, -0, 0.10e+01]").unwrap(),
        "[1.00, 1E5, -0, 0.10e+01]"
    );
}

#[test]
fn white_space_between_tokens_is_not_part_of_the_value() {
    assert_eq!(
        spaced(" {\n\t\"b\" : [ 1 ,2 ] , \"a\":null } ").unwrap(),
        r#"{"a": null, "b": [1, 2]}"#
    );
}

#[test]
fn a_name_that_stands_twice_is_refused_at_every_level_in_every_spelling() {
    for json in [r#"{"a": 1, "a": 1}"#, r#"[{"x": {"a": 1, "b": 2, "\u0061": 3}}]"#] {
        assert_eq!(
            spaced(json),
            Err(PythonJsonError::DuplicateName("a".to_owned())),
            "{json}"
        );
    }
    assert_eq!(
        members(br#"{"agentId": "x", "agentId": "y"}"#).unwrap_err(),
        PythonJsonError::DuplicateName("agentId".to_owned())
    );
}

#[test]
fn half_a_surrogate_pair_is_refused() {
    assert!(matches!(
        spaced(r#"{"a": "\ud83d"}"#),
        Err(PythonJsonError::Syntax(_))
    ));
    assert!(matches!(
        spaced(r#"{"\ude80": 1}"#),
        Err(PythonJsonError::Syntax(_))
    ));
}

#[test]
fn nesting_ends_at_the_limit() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert_eq!(spaced(&nested(MAX_DEPTH)).unwrap(), nested(MAX_DEPTH));
    assert_eq!(spaced(&nested(MAX_DEPTH + 1)), Err(PythonJsonError::TooDeep));
    assert!(
        spaced(&nested(200_000)).is_err(),
        "neither the stack nor the time runs out"
    );
}

#[test]
fn a_body_that_is_large_and_deep_is_refused_before_it_costs_much() {
    let bulk = format!("\"{}\"", "x".repeat(1_000_000));
    let wrapped = |levels: usize| format!("{}{bulk}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(spaced(&wrapped(4)).is_ok());
    assert_eq!(spaced(&wrapped(40)), Err(PythonJsonError::TooMuchWork));
}

#[test]
fn members_are_given_as_they_stand() {
    let body = br#"{"resource": null, "n": 1.0, "\u0061": "\u00e9"}"#;
    let found: Vec<(String, String)> = members(body)
        .unwrap()
        .into_iter()
        .map(|(name, raw)| (name.into_owned(), raw.get().to_owned()))
        .collect();
    let expected = [("resource", "null"), ("n", "1.0"), ("a", "\"\\u00e9\"")];
    assert_eq!(
        found,
        expected.map(|(name, raw)| (name.to_owned(), raw.to_owned()))
    );
    assert!(members(b"[1]").is_err());
    assert!(members(b"{\"a\": 1} x").is_err());
}
