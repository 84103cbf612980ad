//! The time of one decision, by the number of grants that the agent holds: approved by the last of them,
//! denied by default, and denied because every one of them misses by its scope.

#![expect(clippy::expect_used, reason = "a bench with a wrong fixture should stop")]

use aim_decision::{
    Call, Credential, Effect, Grant, KeyFact, Scope, Snapshot, Timestamp, canonical_bytes, decide,
};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use serde_json::json;
use std::collections::BTreeMap;
use std::hint::black_box;
use uuid::Uuid;

fn now() -> Timestamp {
    Timestamp::from_timestamp(1_772_625_600, 0).expect("a valid instant")
}

/// An agent with `count` grants with a full scope each; the last one is for `db:read`.
fn agent(count: usize, same_capability: bool) -> Snapshot {
    let scope = Scope::from_json(&json!({
        "resources": ["customers/*/orders/**"],
        "context": [{"field": "order.amount", "op": "lte", "value": 1000}],
        "time_window": {"start": "00:00", "end": "24:00"},
        "rate_limit": {"max": 10, "per_seconds": 60},
    }))
    .expect("a valid scope");
    let mut snapshot = Snapshot::new(Uuid::from_u128(1), Uuid::from_u128(2), "ai_agent");
    snapshot.trust_score = Some(80);
    snapshot.keys.push(KeyFact {
        fingerprint: "key".to_owned(),
        created_at: Timestamp::UNIX_EPOCH,
        expires_at: Timestamp::MAX_UTC,
        grace_until: None,
        revoked_at: None,
    });
    snapshot.grants.extend((0..count).map(|number| {
        let last = same_capability || number + 1 == count;
        let capability = if last {
            "db:read".to_owned()
        } else {
            format!("db:read_{number}")
        };
        Grant {
            id: Uuid::from_u128(number as u128),
            capability: capability.as_str().try_into().expect("a valid pattern"),
            effect: Effect::Allow,
            scope: scope.clone(),
            granted_at: Timestamp::UNIX_EPOCH,
            expires_at: None,
        }
    }));
    snapshot
}

fn call(action: &str, amount: u32) -> Call {
    Call {
        action: action.try_into().expect("a valid action"),
        resource: Some("customers/7/orders/8/lines".to_owned()),
        context: json!({"order": {"amount": amount}})
            .as_object()
            .expect("an object")
            .clone(),
        credential: Credential::AgentKey {
            fingerprint: "key".to_owned(),
        },
        uses: BTreeMap::new(),
        approval_requested: false,
        now: now(),
    }
}

fn decisions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decide");
    for count in [1, 100, 1_000] {
        let distinct = agent(count, false);
        let alike = agent(count, true);
        let (fits, unknown, misses) = (call("db:read", 10), call("mail:send", 10), call("db:read", 5_000));
        group.bench_function(BenchmarkId::new("approved", count), |bencher| {
            bencher.iter(|| decide(black_box(&distinct), black_box(&fits)));
        });
        group.bench_function(BenchmarkId::new("not_granted", count), |bencher| {
            bencher.iter(|| decide(black_box(&distinct), black_box(&unknown)));
        });
        group.bench_function(BenchmarkId::new("all_miss_by_scope", count), |bencher| {
            bencher.iter(|| decide(black_box(&alike), black_box(&misses)));
        });
        group.bench_function(BenchmarkId::new("snapshot_digest", count), |bencher| {
            bencher.iter(|| black_box(&distinct).digest());
        });
    }
    let asked = call("db:read", 10);
    group.bench_function("call_canonical_bytes", |bencher| {
        bencher.iter(|| canonical_bytes(black_box(&asked)))
    });
    group.finish();
}

criterion_group!(benches, decisions);
criterion_main!(benches);
