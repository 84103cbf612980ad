//! Arbitrary snapshots and calls: few names, so that rules meet, and hostile values, so that edges are met.

use super::{at, id};
use crate::*;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use serde_json::{Map, Number, Value, json};

pub(super) fn action() -> impl Strategy<Value = CapabilityName> {
    prop::sample::select(vec![
        "db:read",
        "db:write",
        "db:read:all",
        "send_email",
        "secret:read",
    ])
    .prop_map(|text| text.try_into().unwrap())
}

pub(super) fn pattern() -> impl Strategy<Value = CapabilityPattern> {
    prop::sample::select(vec![
        "*",
        "db:*",
        "db:read",
        "db:read:*",
        "send_email",
        "secret:*",
    ])
    .prop_map(|text| text.try_into().unwrap())
}

/// Instants around the one of most calls, and the ends of time.
pub(super) fn instant() -> impl Strategy<Value = Timestamp> {
    let base = at(super::NOW);
    prop_oneof![
        8 => (-3_i64..=3).prop_map(move |micros| base + chrono::TimeDelta::microseconds(micros)),
        4 => (-700_000_i64..700_000).prop_map(move |seconds| base + chrono::TimeDelta::seconds(seconds)),
        1 => Just(Timestamp::MAX_UTC),
        1 => Just(Timestamp::MIN_UTC),
    ]
}

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-3_i64..3).prop_map(Value::from),
        any::<f64>().prop_map(|float| Number::from_f64(float).map_or(Value::Null, Value::Number)),
        Just(json!(-0.0)),
        Just(json!(9_007_199_254_740_993_u64)),
    ]
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        number(),
        any::<String>().prop_map(Value::from),
        prop::sample::select(vec!["eu", "eu-west", "us"]).prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
    ]
}

fn field_name() -> impl Strategy<Value = String> {
    prop_oneof![4 => prop::sample::select(vec!["a", "b", "0"]).prop_map(str::to_owned), 1 => any::<String>()]
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![8 => scalar(), 1 => Just(Value::Null)];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::Array),
            btree_map(field_name(), inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

pub(super) fn context() -> impl Strategy<Value = Map<String, Value>> {
    btree_map(field_name(), json_value(), 0..4).prop_map(|members| members.into_iter().collect())
}

fn constraint() -> impl Strategy<Value = Constraint> {
    let op = prop::sample::select(vec![
        "eq", "ne", "lt", "lte", "gt", "gte", "in", "not_in", "prefix", "exists",
    ]);
    let path = prop::sample::select(vec!["a", "b", "a.b", "/a/0", "a.0.b"]);
    (op, path, scalar()).prop_filter_map("values that fit", |(op, field, value)| {
        let value = match op {
            "in" | "not_in" => json!([value]),
            "exists" => json!(true),
            _ => value,
        };
        serde_json::from_value(json!({"field": field, "op": op, "value": value})).ok()
    })
}

fn resource_pattern() -> impl Strategy<Value = ResourcePattern> {
    prop::sample::select(vec!["**", "*", "a/*", "a/**", "a/1", "b"]).prop_map(|text| text.try_into().unwrap())
}

fn address_limit() -> impl Strategy<Value = AddressLimit> {
    let range = prop::sample::select(vec!["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"]);
    let range = range.prop_map(|text| AddressRange::try_from(text).unwrap());
    let presented = prop::sample::select(vec!["10.1.2.3", "192.0.2.1", "2001:db8::5", "198.51.100.7"]);
    (vec(range, 1..3), option::of(presented.prop_map(str::to_owned)))
        .prop_map(|(allowed, presented)| AddressLimit { allowed, presented })
}

fn resource() -> impl Strategy<Value = String> {
    prop_oneof![6 => prop::sample::select(vec!["a/1", "a/1/2", "b", "a/../b"]).prop_map(str::to_owned), 1 => any::<String>()]
}

fn time_window() -> impl Strategy<Value = TimeWindow> {
    (vec(0_usize..7, 0..3), 0_u16..1440, 0_u16..=1440, -720_i16..=840).prop_filter_map(
        "windows that are not empty",
        |(days, start, end, offset)| {
            let all = [
                Weekday::Mon,
                Weekday::Tue,
                Weekday::Wed,
                Weekday::Thu,
                Weekday::Fri,
                Weekday::Sat,
                Weekday::Sun,
            ];
            let time = |minutes: u16| {
                format!("{:02}:{:02}", minutes / 60, minutes % 60)
                    .try_into()
                    .unwrap()
            };
            TimeWindow::new(
                days.into_iter().map(|day| all[day]).collect(),
                time(start),
                time(end),
                offset,
            )
            .ok()
        },
    )
}

fn rate_limit() -> impl Strategy<Value = RateLimit> {
    (1_u32..4, 1_u32..=86_400).prop_map(|(max, per_seconds)| RateLimit::new(max, per_seconds).unwrap())
}

fn scope() -> impl Strategy<Value = Scope> {
    let narrow = (
        vec(resource_pattern(), 0..3),
        vec(constraint(), 0..3),
        option::weighted(0.3, time_window()),
        option::weighted(0.3, rate_limit()),
    )
        .prop_map(|(resources, context, time_window, rate_limit)| Scope {
            resources,
            context,
            time_window,
            rate_limit,
        });
    prop_oneof![Just(Scope::default()), narrow]
}

pub(super) fn grant(effect: impl Strategy<Value = Effect>) -> impl Strategy<Value = Grant> {
    // Ids come from a small range too: the same id twice is no real snapshot, and still has a verdict.
    (
        0_u128..40,
        pattern(),
        effect,
        scope(),
        instant(),
        option::weighted(0.2, instant()),
    )
        .prop_map(
            |(number, capability, effect, scope, granted_at, expires_at)| Grant {
                id: id(number),
                capability,
                effect,
                scope,
                granted_at,
                expires_at,
            },
        )
}

pub(super) fn any_effect() -> impl Strategy<Value = Effect> {
    prop_oneof![6 => Just(Effect::Allow), 2 => Just(Effect::RequireApproval), 1 => Just(Effect::Deny)]
}

pub(super) fn policy(effect: impl Strategy<Value = PolicyEffect>) -> impl Strategy<Value = Policy> {
    (
        100_u128..140,
        any::<String>(),
        effect,
        pattern(),
        vec(resource_pattern(), 0..2),
        vec(
            prop::sample::select(vec!["ai_agent", "mcp_server"]).prop_map(str::to_owned),
            0..2,
        ),
        option::of(0_u8..=101),
    )
        .prop_map(
            |(number, name, effect, capability, resources, agent_types, trust_below)| Policy {
                id: id(number),
                name,
                effect,
                capability,
                resources,
                agent_types,
                trust_below,
            },
        )
}

fn key() -> impl Strategy<Value = KeyFact> {
    let name = prop_oneof![9 => Just("key-1".to_owned()), 1 => any::<String>()];
    (
        name,
        instant(),
        option::weighted(0.8, instant()),
        option::weighted(0.1, instant()),
        option::weighted(0.02, instant()),
    )
        .prop_map(
            |(fingerprint, created_at, expires_at, grace_until, revoked_at)| KeyFact {
                fingerprint,
                created_at,
                expires_at: expires_at
                    .filter(|end| *end > at(super::NOW))
                    .unwrap_or(Timestamp::MAX_UTC),
                grace_until,
                revoked_at,
            },
        )
}

pub(super) fn snapshot() -> impl Strategy<Value = Snapshot> {
    let status = prop_oneof![
        18 => Just(AgentStatus::Active),
        1 => Just(AgentStatus::Suspended),
        1 => Just(AgentStatus::Revoked)
    ];
    let rarely_denies = prop_oneof![4 => Just(PolicyEffect::RequireApproval), 1 => Just(PolicyEffect::Deny)];
    (
        status,
        prop::sample::select(vec!["ai_agent", "mcp_server"]),
        option::of(0_u8..=100),
        vec(key(), 1..3),
        vec(grant(any_effect()), 0..8),
        prop_oneof![3 => Just(Vec::new()), 1 => vec(policy(rarely_denies), 0..3)],
    )
        .prop_map(
            |(agent_status, agent_type, trust_score, keys, grants, policies)| Snapshot {
                agent_status,
                trust_score,
                keys,
                grants,
                policies,
                ..Snapshot::new(id(1), id(2), agent_type)
            },
        )
}

pub(super) fn call() -> impl Strategy<Value = Call> {
    let credential = prop_oneof![
        4 => Just(Credential::AgentKey { fingerprint: "key-1".to_owned() }),
        1 => (vec(pattern(), 0..3), option::of(vec(resource_pattern(), 1..3)), option::of(address_limit())).prop_map(
            |(capabilities, secret_paths, addresses)| Credential::Limited { id: id(50), capabilities, secret_paths, addresses },
        ),
    ];
    (
        action(),
        option::of(resource()),
        context(),
        credential,
        btree_map((0_u128..40).prop_map(id), 0_u32..5, 0..6),
        prop::bool::weighted(0.1),
        instant(),
    )
        .prop_map(
            |(action, resource, context, credential, uses, approval_requested, now)| Call {
                action,
                resource,
                context,
                credential,
                uses,
                approval_requested,
                now,
            },
        )
}
