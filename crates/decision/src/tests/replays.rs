//! Replay finds what was altered; canonical bytes are pinned.

use super::*;
use serde_json::json;

fn recorded() -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let scope = json!({
        "resources": ["customers/**"],
        "context": [{"field": "rows", "op": "lte", "value": 9_007_199_254_740_993_u64}],
        "time_window": {"days": ["wed"], "start": "08:00", "end": "18:00", "utc_offset_minutes": 60},
        "rate_limit": {"max": 3, "per_seconds": 60},
    });
    let mut snapshot = agent_with([
        scoped(10, "db:read", Effect::Allow, scope),
        grant(9, "mail:*", Effect::Deny),
    ]);
    snapshot.policies.push(Policy {
        trust_below: Some(50),
        ..policy(20, "*", PolicyEffect::Deny)
    });
    let mut asked = call_on("db:read", "customers/7");
    asked.context = json!({"z": 0.1, "rows": 9_007_199_254_740_993_u64, "a": {"y": null, "x": [1]}})
        .as_object()
        .unwrap()
        .clone();
    asked.uses.insert(id(10), 2);
    let verdict = decide(&snapshot, &asked);
    let inputs = Inputs::new(&snapshot.digest(), asked);
    (
        canonical_bytes(&snapshot),
        canonical_bytes(&inputs),
        canonical_bytes(&verdict),
    )
}

fn replace(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = std::str::from_utf8(bytes).unwrap();
    assert!(text.contains(from), "{from} in {text}");
    text.replacen(from, to, 1).into_bytes()
}

#[test]
fn an_untouched_record_replays() {
    let (snapshot, inputs, verdict) = recorded();
    assert_eq!(
        replay(&snapshot, &inputs, &verdict).unwrap().outcome,
        Outcome::Approved
    );
}

#[test]
fn an_altered_verdict_is_found() {
    let (snapshot, inputs, verdict) = recorded();
    for altered in [
        replace(&verdict, "approved", "denied"),
        replace(&verdict, "\"risk\":\"low\"", "\"risk\":\"high\""),
        replace(&verdict, "\"trust_score_impact\":0", "\"trust_score_impact\": 0"),
        replace(&verdict, "granted by", "granted  by"),
    ] {
        let result = replay(&snapshot, &inputs, &altered);
        assert!(
            matches!(result, Err(ReplayError::VerdictDiffers { .. })),
            "{result:?}"
        );
    }
}

#[test]
fn altered_inputs_are_found() {
    let (snapshot, inputs, verdict) = recorded();
    for (from, to) in [
        ("customers/7", "orders/7"),
        ("\"rows\":9007199254740993", "\"rows\":9007199254740994"),
    ] {
        let result = replay(&snapshot, &replace(&inputs, from, to), &verdict);
        assert!(
            matches!(result, Err(ReplayError::VerdictDiffers { .. })),
            "{result:?}"
        );
    }
    for (from, to) in [
        ("{\"v\":1", "{ \"v\":1"),
        ("\"z\":0.1", "\"z\":0.10"),
        ("\"z\":0.1", "\"z\":9,\"z\":0.1"),
    ] {
        let result = replay(&snapshot, &replace(&inputs, from, to), &verdict);
        assert!(
            matches!(result, Err(ReplayError::InputsNotCanonical)),
            "{result:?}"
        );
    }
    let result = replay(&snapshot, &replace(&inputs, "\"v\":1", "\"v\":2"), &verdict);
    assert!(
        matches!(
            result,
            Err(ReplayError::UnknownVersion {
                part: "inputs",
                found: 2,
                ..
            })
        ),
        "{result:?}"
    );
    let result = replay(
        &snapshot,
        &replace(&inputs, "\"v\":1", "\"v\":1,\"extra\":0"),
        &verdict,
    );
    assert!(
        matches!(result, Err(ReplayError::Unreadable { part: "inputs", .. })),
        "{result:?}"
    );
}

#[test]
fn an_altered_snapshot_is_found_even_where_the_verdict_stays_the_same() {
    let (snapshot, inputs, verdict) = recorded();
    for (from, to) in [
        ("\"trust_score\":80", "\"trust_score\":81"),
        ("ai_agent", "ai_agent2"),
        ("{\"v\":1", "{ \"v\":1"),
    ] {
        let result = replay(&replace(&snapshot, from, to), &inputs, &verdict);
        assert!(
            matches!(result, Err(ReplayError::SnapshotDiffers { .. })),
            "{result:?}"
        );
    }
}

#[test]
fn a_snapshot_of_an_unknown_version_is_not_guessed_at() {
    let mut snapshot = agent();
    snapshot.v = 2;
    let inputs = Inputs::new(&snapshot.digest(), call("db:read"));
    let result = replay(&canonical_bytes(&snapshot), &canonical_bytes(&inputs), b"{}");
    assert!(
        matches!(
            result,
            Err(ReplayError::UnknownVersion {
                part: "snapshot",
                found: 2,
                ..
            })
        ),
        "{result:?}"
    );
}

#[test]
fn floating_point_survives_recording_to_the_last_bit() {
    // Without serde_json's float_roundtrip, some of these come back one unit in the last place away.
    for bits in (0..20_000_u64).map(|step| 0x3ff0_0000_0000_0000 + step * 0x0001_6789_abcd) {
        let number = f64::from_bits(bits);
        let asked = call_with("db:read", json!({ "number": number }));
        let again: Call = serde_json::from_slice(&canonical_bytes(&asked)).unwrap();
        assert_eq!(again.context["number"].as_f64().map(f64::to_bits), Some(bits));
    }
}

#[test]
fn numbers_are_read_as_values_and_not_as_texts() {
    // serde_json's arbitrary_precision, switched on anywhere in the build, would change canonical bytes.
    assert_eq!(serde_json::from_str::<Value>("1.00").unwrap().to_string(), "1.0");
}

/// Pinned: a change here breaks the replay of every decision recorded so far and needs a new version.
#[test]
fn the_canonical_bytes_of_version_1_do_not_change() {
    let (snapshot, inputs, verdict) = recorded();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    assert_eq!(text(snapshot), include_str!("version-1/snapshot.json").trim_end());
    assert_eq!(text(inputs), include_str!("version-1/inputs.json").trim_end());
    assert_eq!(text(verdict), include_str!("version-1/verdict.json").trim_end());
}
