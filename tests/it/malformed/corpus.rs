//! What is sent in path, query and body: every way in which they are usually wrong, in a fixed order.

use proptest::{collection, prelude::*, strategy::ValueTree, test_runner::TestRunner};
use serde_json::{Map, Value, json};

/// The largest body that is accepted.
const LARGEST: usize = 1024 * 1024;

/// Segments that are not, or hardly, ids; percent-encoded.
pub const SEGMENTS: &[&str] = &[
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "0",
    "-1",
    "null",
    "undefined",
    "%20",
    "%00",
    "%FF%FE",
    "%ED%A0%80",
    "..%2F..%2Fetc%2Fpasswd",
    "%2e%2e",
    "'%20OR%201=1--",
    "%F0%9F%92%A5",
    "{00000000-0000-4000-8000-000000000001}",
    "urn:uuid:00000000-0000-4000-8000-000000000001",
    "00000000000040008000000000000001",
    "%25%25",
    "a;b",
    "a:b",
    "*",
    "%0d%0aX-Injected:1",
];

/// Values of query parameters, percent-encoded.
pub const QUERY_VALUES: &[&str] = &[
    "",
    "-1",
    "0",
    "1",
    "101",
    "1e9",
    "1.5",
    "NaN",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "99999999999999999999999999999999999999",
    "true",
    "null",
    "%00",
    "a%00b",
    "%FF",
    "%ED%A0%80",
    "%",
    "%zz",
    "%2",
    "+",
    "%20",
    "[]",
    "%7B%7D",
    "'%22%3B--",
    "%25",
    "_",
    "%5C",
    "%F0%9F%92%A5",
    "%E2%80%AE",
    "2026-13-45T99:99:99Z",
    "0000-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999999Z",
    "9999-12-31T23:59:60Z",
    "%2B262142-12-31T23:59:59Z",
    "-262143-01-01T00:00:00Z",
    "2026-11-23",
    "1",
    "00000000-0000-0000-0000-000000000000",
    "AAAA",
    "AAAAAAAAAAAAAAAAAAAAAA",
    "_____________________w",
    "=",
    "==",
    "active",
    "high",
    "pending",
];

/// Whole query strings.
pub const QUERIES: &[&str] = &[
    "",
    "&",
    "&&&=&",
    "=",
    "=x",
    "limit",
    "limit=1&limit=2",
    "cursor=&cursor=",
    "offset=1&offset=1",
    "unknown=1",
    "%00=1",
    "%FF=1",
    "limit[]=1",
    "limit%5B%5D=1",
    "limit=1;offset=2",
    "?",
    "??limit=1",
    "limit=%31",
    "LIMIT=1",
    "limit=-1",
    "offset=-1",
    "offset=9223372036854775807&limit=100",
    "from=&to=",
    "severity=x&severity=y",
    "format=xml",
    "cursor=eyJhIjoxfQ",
];

/// Bodies that are no JSON, or not of this form, or too much of it; with the status that they must get,
/// where it is certain.
pub fn raw_bodies(sample: &Value) -> Vec<(&'static str, Vec<u8>, Option<u16>)> {
    let text = sample.to_string();
    let mut bodies: Vec<(&'static str, Vec<u8>, Option<u16>)> = vec![
        ("nothing", Vec::new(), None),
        ("a space", b" ".to_vec(), None),
        ("an open brace", b"{".to_vec(), Some(400)),
        ("half of it", text.as_bytes()[..text.len() / 2].to_vec(), None),
        ("null", b"null".to_vec(), None),
        ("true", b"true".to_vec(), None),
        ("a number", b"-0".to_vec(), None),
        ("a huge number", b"1e999999".to_vec(), None),
        ("a text", b"\"text\"".to_vec(), None),
        ("an empty list", b"[]".to_vec(), None),
        ("it in a list", format!("[{text}]").into_bytes(), None),
        ("it twice", format!("{text}{text}").into_bytes(), None),
        ("more behind it", format!("{text}]").into_bytes(), None),
        (
            "a byte order mark",
            [b"\xEF\xBB\xBF", text.as_bytes()].concat(),
            Some(400),
        ),
        (
            "UTF-16",
            text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            Some(400),
        ),
        ("invalid UTF-8", b"{\"name\":\"\xFF\xFE\"}".to_vec(), None),
        ("overlong UTF-8", b"{\"name\":\"\xC0\xAF\"}".to_vec(), None),
        (
            "a lone surrogate",
            br#"{"name":"\ud800","action":"\udfff"}"#.to_vec(),
            None,
        ),
        (
            "an escaped NUL as a name",
            br#"{"\u0000":"\u0000"}"#.to_vec(),
            None,
        ),
        ("NUL bytes", vec![0; 64], Some(400)),
        ("NaN", br#"{"name":NaN}"#.to_vec(), None),
        ("a comment", br#"{/* no */}"#.to_vec(), Some(400)),
        ("single quotes", b"{'name':'x'}".to_vec(), Some(400)),
        ("a form", b"name=x&action=y".to_vec(), Some(400)),
        (
            "XML",
            b"<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]><a>&b;</a>"
                .to_vec(),
            Some(400),
        ),
        (
            "deep lists",
            [vec![b'['; 50_000], vec![b']'; 50_000]].concat(),
            None,
        ),
        ("deep objects", "{\"a\":".repeat(20_000).into_bytes(), None),
        ("too large", vec![b' '; LARGEST + 1], Some(413)),
    ];
    if let Some((name, value)) = sample.as_object().and_then(|members| members.iter().next()) {
        let twice = format!("{{{0}:{value},{0}:{value}}}", json!(name));
        bodies.push(("a name twice", twice.into_bytes(), None));
    }
    if let Some(members) = sample.as_object() {
        let deep = "[".repeat(100) + &"]".repeat(100);
        for name in members.keys() {
            let mut altered = members.clone();
            altered.insert(name.clone(), json!("@@"));
            let text = Value::Object(altered).to_string();
            bodies.push(("a deep list", text.replace("\"@@\"", &deep).into_bytes(), None));
            bodies.push((
                "a number out of range",
                text.replace("\"@@\"", "-1e400").into_bytes(),
                None,
            ));
            bodies.push((
                "a lone surrogate",
                text.replace("@@", "\\ud83d").into_bytes(),
                None,
            ));
            bodies.push(("invalid UTF-8", cut_in(&text, b"\xFF\xC0\x80"), None));
            bodies.push(("a raw control character", cut_in(&text, b"\x01\n"), None));
        }
    }
    bodies
}

fn cut_in(text: &str, bytes: &[u8]) -> Vec<u8> {
    let place = text.find("@@").expect("a place");
    [&text.as_bytes()[..place], bytes, &text.as_bytes()[place + 2..]].concat()
}

/// Values that a member is replaced by.
pub fn member_values() -> Vec<Value> {
    vec![
        Value::Null,
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(""),
        json!(" "),
        json!("\u{0}"),
        json!("a\u{0}b"),
        json!("\r\nX-Injected: 1"),
        json!("\u{202e}\u{feff}\u{fffd}"),
        json!("💥".repeat(40)),
        json!("é".repeat(300)),
        json!("x".repeat(70_000)),
        json!("'; DROP TABLE agents; --"),
        json!("%"),
        json!("*"),
        json!("a:b:c:*"),
        json!("=cmd|' /C calc'!A0"),
        json!("MCowBQYDK2VwAyEA"),
        json!("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        json!("javascript:alert(1)"),
        json!("0000-01-01T00:00:00Z"),
        json!("9999-12-31T23:59:59Z"),
        json!("2026-11-23T10:00:60Z"),
        json!("00000000-0000-0000-0000-000000000000"),
        json!([]),
        json!([null]),
        json!([[]]),
        json!(["\u{0}"]),
        json!(vec!["x"; 3_000]),
        json!({}),
        json!({"": ""}),
        json!({"\u{0}": "\u{0}"}),
        json!({"unexpected": {"deeper": [1, {"x": null}]}}),
    ]
}

/// The sample with one member replaced, for members at every depth; and where the member is.
pub fn mutations(sample: &Value) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for pointer in pointers(sample, "", 0) {
        for value in member_values() {
            let mut altered = sample.clone();
            *altered.pointer_mut(&pointer).expect("a member") = value;
            all.push((pointer.clone(), altered));
        }
    }
    all
}

fn pointers(value: &Value, at: &str, depth: usize) -> Vec<String> {
    let members: Vec<(String, &Value)> = match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| (name.clone(), member))
            .collect(),
        Value::Array(items) => items.iter().take(1).map(|item| ("0".to_owned(), item)).collect(),
        _ => Vec::new(),
    };
    let mut all = Vec::new();
    for (name, member) in members {
        let pointer = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
        if depth < 3 {
            all.extend(pointers(member, &pointer, depth + 1));
        }
        all.push(pointer);
    }
    all
}

/// Any JSON, the same in each run.
pub fn arbitrary_bodies(sample: &Value, count: usize) -> Vec<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    let json = leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            collection::vec((any::<String>(), inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    });
    let names: Vec<String> = sample
        .as_object()
        .into_iter()
        .flat_map(|members| members.keys().cloned())
        .collect();
    let mut runner = TestRunner::deterministic();
    (0..count)
        .map(|number| {
            let mut draw = || json.new_tree(&mut runner).expect("a value").current();
            let mut body = sample.clone();
            match (body.as_object_mut(), names.is_empty()) {
                (Some(members), false) if number % 4 != 0 => {
                    for name in &names {
                        if draw().as_bool() != Some(false) {
                            members.insert(name.clone(), draw());
                        }
                    }
                    body
                }
                _ => draw(),
            }
        })
        .collect()
}
