//! Resource patterns against a plain reference matcher, and the forms of a resource that are refused.

use crate::*;
use proptest::prelude::*;

fn covers(pattern: &str, resource: &str) -> bool {
    let resource = CanonicalResource::parse(resource).expect("a canonical resource");
    ResourcePattern::try_from(pattern).unwrap().matches(resource)
}

#[test]
fn one_star_stays_within_a_segment_and_two_do_not() {
    for (pattern, resource) in [
        ("customers", "customers"),
        ("customers/*", "customers/7"),
        ("customers/*/orders", "customers/7/orders"),
        ("customers/**", "customers/7/orders/8"),
        ("customers/**", "customers/"),
        ("**", "anything/at all"),
        ("*", "one"),
        ("**/orders", "a/b/orders"),
        ("a**z", "a/b/z"),
        ("*.csv", "report.csv"),
        ("https://*.example.com/**", "https://api.example.com/v1/x"),
        ("[a]?{b}", "[a]?{b}"),
        ("größe/*", "größe/ä"),
    ] {
        assert!(covers(pattern, resource), "{pattern} covers {resource}");
    }
    for (pattern, resource) in [
        ("customers", "customers/7"),
        ("customers/*", "customers/7/orders"),
        ("customers/**", "customers"),
        ("customers/*", "Customers/7"),
        ("*", "one/two"),
        ("*.csv", "reports/report.csv"),
        ("https://*.example.com/**", "https://evil.com/.example.com/x"),
        ("a?c", "abc"),
        ("a**z", "a/b/zz/y"),
    ] {
        assert!(!covers(pattern, resource), "{pattern} does not cover {resource}");
    }
}

#[test]
fn a_resource_that_could_climb_out_of_its_folder_is_not_canonical() {
    for resource in [
        "..",
        "customers/../admin",
        "customers/..",
        "../x",
        r"customers\..\admin",
        "customers/%2e%2e/admin",
        "customers/%2E./admin",
        "customers%2f..%2Fadmin",
        "customers%5c..%5cadmin",
        "customers/%252e%252e/admin",
        "customers/%25252e./admin",
        "customers/..;v=1/admin",
        "customers/..?x",
        "customers/..#x",
        "",
        "a\0b",
        "a\nb",
        "a\u{7f}b",
        "a\u{85}b",
    ] {
        assert_eq!(CanonicalResource::parse(resource), None, "{resource:?}");
    }
    assert!(CanonicalResource::parse(&"a".repeat(crate::resource::RESOURCE_MAX_BYTES)).is_some());
    assert!(CanonicalResource::parse(&"a".repeat(crate::resource::RESOURCE_MAX_BYTES + 1)).is_none());
}

#[test]
fn dots_that_are_no_segment_are_canonical() {
    for resource in [
        "v1..v2",
        "a/...",
        "a/.b",
        "a/b.",
        "./a",
        "100%",
        "%2",
        "a%zz..b",
        "50%25 of x",
        "a/..b",
    ] {
        assert!(CanonicalResource::parse(resource).is_some(), "{resource:?}");
    }
}

#[test]
fn a_pattern_that_could_never_match_is_refused_with_a_remedy() {
    for pattern in ["", "a/../b", "a/%2e%2e/**", "a\nb", "a/***", &"a".repeat(513)] {
        let problem = ResourcePattern::try_from(pattern).unwrap_err().problem;
        assert!(
            ["write", "use", "remove"]
                .iter()
                .any(|verb| problem.contains(verb)),
            "{problem}"
        );
    }
    assert!(ResourcePattern::try_from("ä".repeat(512)).is_ok());
}

/// The definition, word for word and without any care for time.
fn by_definition(pattern: &[u8], text: &[u8]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [b'*', b'*', rest @ ..] => (0..=text.len()).any(|taken| by_definition(rest, &text[taken..])),
        [b'*', rest @ ..] => {
            let segment = text.iter().position(|byte| *byte == b'/').unwrap_or(text.len());
            (0..=segment).any(|taken| by_definition(rest, &text[taken..]))
        }
        [byte, rest @ ..] => text.first() == Some(byte) && by_definition(rest, &text[1..]),
    }
}

proptest! {
    #[test]
    fn matching_is_what_the_definition_says(pattern in "[ab/*]{1,10}", text in "[ab/]{1,12}") {
        if let Ok(parsed) = ResourcePattern::try_from(pattern.as_str()) {
            let resource = CanonicalResource::parse(&text).unwrap();
            prop_assert_eq!(parsed.matches(resource), by_definition(pattern.as_bytes(), text.as_bytes()));
        }
    }

    #[test]
    fn any_text_is_either_canonical_or_not(text in any::<String>(), pattern in any::<String>()) {
        let resource = CanonicalResource::parse(&text);
        if let (Some(resource), Ok(pattern)) = (resource, ResourcePattern::try_from(pattern)) {
            let _ = pattern.matches(resource);
        }
    }
}

/// Hundreds of wildcards over a long text would take a backtracking matcher longer than the universe.
#[test]
fn a_hostile_pattern_is_matched_without_backtracking() {
    let pattern = ResourcePattern::try_from("*a".repeat(255) + "b").unwrap();
    let text = "a".repeat(4096);
    assert!(!pattern.matches(CanonicalResource::parse(&text).unwrap()));
    let pattern = ResourcePattern::try_from("**a".repeat(170) + "b").unwrap();
    assert!(!pattern.matches(CanonicalResource::parse(&text).unwrap()));
}
