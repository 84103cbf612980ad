//! Constraints: what holds, what fails, what cannot be told; and scopes that are refused, with the place.

use crate::constraint::Truth::{self, CannotTell, Fails, Holds};
use crate::*;
use serde_json::{Value, json};

fn check(constraint: Value, context: Value) -> Truth {
    let constraint: Constraint = serde_json::from_value(constraint).unwrap();
    constraint.check(context.as_object().unwrap())
}

#[test]
fn each_operator_compares_as_documented() {
    let rows = [
        ("eq", json!("eu"), json!("eu"), Holds),
        ("eq", json!("eu"), json!("us"), Fails),
        ("eq", json!(1), json!(1.0), Holds),
        ("eq", json!(true), json!(true), Holds),
        ("eq", json!("1"), json!(1), CannotTell),
        ("eq", json!(1), json!([1]), CannotTell),
        ("ne", json!("eu"), json!("us"), Holds),
        ("ne", json!("eu"), json!("eu"), Fails),
        ("ne", json!("eu"), json!(5), CannotTell),
        ("lt", json!(10), json!(9.5), Holds),
        ("lt", json!(10), json!(10), Fails),
        ("lte", json!(10), json!(10), Holds),
        ("lte", json!(10), json!(10.000001), Fails),
        ("gt", json!(-1), json!(0), Holds),
        ("gt", json!(0), json!(-0.0), Fails),
        ("gte", json!(5), json!(5), Holds),
        ("gte", json!(5), json!("5"), CannotTell),
        ("in", json!(["a", "b"]), json!("b"), Holds),
        ("in", json!(["a", "b"]), json!("c"), Fails),
        ("in", json!([1, 2]), json!("1"), CannotTell),
        ("not_in", json!(["a", "b"]), json!("c"), Holds),
        ("not_in", json!(["a", "b"]), json!("a"), Fails),
        ("not_in", json!(["a", "b"]), json!(1), CannotTell),
        ("not_in", json!(["a"]), json!(["a"]), CannotTell),
        ("prefix", json!("eu-"), json!("eu-west"), Holds),
        ("prefix", json!("eu-"), json!("us-east"), Fails),
        ("prefix", json!("eu-"), json!(1), CannotTell),
    ];
    for (op, value, found, expected) in rows {
        let actual = check(
            json!({"field": "f", "op": op, "value": value}),
            json!({"f": found}),
        );
        assert_eq!(actual, expected, "{found} {op} {value}");
    }
}

#[test]
fn absence_and_null_satisfy_nothing() {
    for (op, value) in [
        ("eq", json!("x")),
        ("ne", json!("x")),
        ("lt", json!(1)),
        ("lte", json!(1)),
        ("gt", json!(1)),
        ("gte", json!(1)),
        ("in", json!(["x"])),
        ("not_in", json!(["x"])),
        ("prefix", json!("x")),
    ] {
        for context in [json!({}), json!({"f": null})] {
            let truth = check(json!({"field": "f", "op": op, "value": value}), context.clone());
            assert_eq!(truth, CannotTell, "{op} in {context}");
        }
    }
    assert_eq!(check(json!({"field": "f", "op": "exists"}), json!({})), Fails);
    assert_eq!(
        check(json!({"field": "f", "op": "exists"}), json!({"f": null})),
        Fails
    );
    assert_eq!(
        check(json!({"field": "f", "op": "exists"}), json!({"f": false})),
        Holds
    );
}

#[test]
fn numbers_compare_exactly_where_doubles_would_round() {
    let two_to_53 = 9_007_199_254_740_992_u64;
    let lte = |limit: Value, found: Value| {
        check(
            json!({"field": "f", "op": "lte", "value": limit}),
            json!({"f": found}),
        )
    };
    assert_eq!(lte(json!(two_to_53), json!(two_to_53 + 1)), Fails);
    assert_eq!(lte(json!(9_007_199_254_740_992.0), json!(two_to_53 + 1)), Fails);
    assert_eq!(lte(json!(two_to_53 + 1), json!(9_007_199_254_740_992.0)), Holds);
    assert_eq!(lte(json!(u64::MAX), json!(18_446_744_073_709_551_616.0)), Fails);
    assert_eq!(lte(json!(i64::MIN), json!(-9_223_372_036_854_775_808.0)), Holds);
    assert_eq!(lte(json!(-3), json!(-2.5)), Fails);
    assert_eq!(lte(json!(-2), json!(-2.5)), Holds);
    assert_eq!(lte(json!(0), json!(1e300)), Fails);
    assert_eq!(lte(json!(0), json!(-1e300)), Holds);
}

#[test]
fn a_path_reaches_into_objects_and_lists_either_way() {
    let context = json!({"order": {"lines": [{"price": 5}], "a.b": 1, "c/d": 2, "e~f": 3}, "": {"": 4}});
    for path in [
        "order.lines.0.price",
        "/order/lines/0/price",
        "/order/a.b",
        "/order/c~1d",
        "/order/e~0f",
        "//",
    ] {
        assert_eq!(
            check(json!({"field": path, "op": "exists"}), context.clone()),
            Holds,
            "{path}"
        );
    }
    for path in [
        "order.lines.1.price",
        "order.lines.00.price",
        "order.lines.-1",
        "order.a.b",
        "order.lines.price",
    ] {
        assert_eq!(
            check(json!({"field": path, "op": "exists"}), context.clone()),
            Fails,
            "{path}"
        );
    }
}

#[test]
fn an_invalid_scope_is_refused_with_its_place_and_a_remedy() {
    let rows = [
        (
            json!({"resources": ["ok", "a/../b"]}),
            "scope.resources[1]",
            "write the path without it",
        ),
        (
            json!({"context": [{"field": "a..b", "op": "exists"}]}),
            "scope.context[0].field",
            "write names",
        ),
        (
            json!({"context": [{"field": "/a~2", "op": "exists"}]}),
            "scope.context[0].field",
            "write `~0`",
        ),
        (
            json!({"context": [{"field": "a", "op": "like", "value": 1}]}),
            "scope.context[0].op",
            "expected one of",
        ),
        (
            json!({"context": [{"field": "a", "op": "lt", "value": "1"}]}),
            "scope.context[0]",
            "needs a number",
        ),
        (
            json!({"context": [{"field": "a", "op": "eq"}]}),
            "scope.context[0]",
            "add one",
        ),
        (
            json!({"context": [{"field": "a", "op": "eq", "value": {}}]}),
            "scope.context[0]",
            "needs a text",
        ),
        (
            json!({"context": [{"field": "a", "op": "in", "value": []}]}),
            "scope.context[0]",
            "name at least one",
        ),
        (
            json!({"context": [{"field": "a", "op": "in", "value": [1, "a"]}]}),
            "scope.context[0]",
            "not a mixture",
        ),
        (
            json!({"context": [{"field": "a", "op": "prefix", "value": ""}]}),
            "scope.context[0]",
            "not empty",
        ),
        (
            json!({"context": [{"field": "a", "op": "exists", "value": false}]}),
            "scope.context[0]",
            "leave `value` out",
        ),
        (
            json!({"time_window": {"start": "9:00", "end": "17:00"}}),
            "scope.time_window.start",
            "write `HH:MM`",
        ),
        (
            json!({"time_window": {"start": "09:00", "end": "24:01"}}),
            "scope.time_window.end",
            "write `HH:MM`",
        ),
        (
            json!({"time_window": {"start": "09:00", "end": "09:00"}}),
            "scope.time_window",
            "`00:00` to `24:00`",
        ),
        (
            json!({"time_window": {"days": ["monday"], "start": "09:00", "end": "10:00"}}),
            "scope.time_window.days[0]",
            "expected one of",
        ),
        (
            json!({"time_window": {"start": "09:00", "end": "10:00", "utc_offset_minutes": 841}}),
            "scope.time_window",
            "use -720 to 840",
        ),
        (
            json!({"rate_limit": {"max": 0, "per_seconds": 60}}),
            "scope.rate_limit",
            "use at least 1",
        ),
        (
            json!({"rate_limit": {"max": 1, "per_seconds": 86401}}),
            "scope.rate_limit",
            "use 1 to 86400",
        ),
        (
            json!({"rate_limit": {"max": 1, "per_seconds": 0}}),
            "scope.rate_limit",
            "use 1 to 86400",
        ),
        (json!({"colour": "red"}), "scope.colour", "unknown field"),
        (json!({"resources": vec!["a"; 65]}), "scope", "use at most 64"),
        (json!([]), "scope", "expected an object"),
        (json!(null), "scope", "expected an object"),
    ];
    for (scope, field, remedy) in rows {
        let error = Scope::from_json(&scope).expect_err("a scope that is refused");
        assert_eq!(error.field, field, "{scope} gave {error}");
        assert!(error.to_string().contains(remedy), "{scope} gave {error}");
    }
}

#[test]
fn an_empty_scope_restricts_nothing_and_every_part_survives_a_round_trip() {
    assert!(Scope::from_json(&json!({})).unwrap().is_unrestricted());
    let scope = Scope::from_json(&json!({
        "resources": ["a/*"],
        "context": [{"field": "/a/b", "op": "exists", "value": true}, {"field": "c", "op": "lte", "value": 9}],
        "time_window": {"days": ["sun", "mon", "sun"], "start": "22:00", "end": "06:00"},
        "rate_limit": {"max": 3, "per_seconds": 60},
    }))
    .unwrap();
    let written = serde_json::to_value(&scope).unwrap();
    assert_eq!(written["time_window"]["days"], json!(["mon", "sun"]));
    assert_eq!(written["context"][0], json!({"field": "/a/b", "op": "exists"}));
    assert_eq!(Scope::from_json(&written).unwrap(), scope);
}

#[test]
fn a_denial_with_a_rate_is_refused() {
    let scope = Scope::from_json(&json!({"rate_limit": {"max": 1, "per_seconds": 1}})).unwrap();
    assert_eq!(
        scope.check_for(Effect::Deny).unwrap_err().field,
        "scope.rate_limit"
    );
    assert!(scope.check_for(Effect::Allow).is_ok());
}

#[test]
fn a_context_that_is_nested_too_deeply_is_refused_before_it_is_recorded() {
    let nested = |depth: usize| {
        let inner = (2..depth).fold(json!([]), |value, _| json!([value]));
        json!({"a": inner, "b": 1}).as_object().unwrap().clone()
    };
    assert!(check_context(&nested(CONTEXT_MAX_DEPTH)).is_ok());
    assert_eq!(
        check_context(&nested(CONTEXT_MAX_DEPTH + 1)).unwrap_err().field,
        "context"
    );
}

#[test]
fn the_published_schema_requires_what_the_reader_requires() {
    let schema =
        |schema: utoipa::openapi::RefOr<utoipa::openapi::Schema>| serde_json::to_value(schema).unwrap();
    let scope = schema(<Scope as utoipa::PartialSchema>::schema());
    assert!(scope.get("required").is_none(), "{scope}");
    assert_eq!(scope["additionalProperties"], json!(false));
    let window = schema(<TimeWindow as utoipa::PartialSchema>::schema());
    assert_eq!(window["required"], json!(["start", "end"]), "{window}");
    let constraint = schema(<Constraint as utoipa::PartialSchema>::schema());
    assert_eq!(constraint["required"], json!(["field", "op"]), "{constraint}");
    let code = schema(<ReasonCode as utoipa::PartialSchema>::schema());
    assert_eq!(
        code["enum"].as_array().map(Vec::len),
        Some(ReasonCode::all().len())
    );
    assert_eq!(code["enum"][0], json!("agent.revoked"));
    for text in [
        schema(<ResourcePattern as utoipa::PartialSchema>::schema()),
        schema(<CapabilityPattern as utoipa::PartialSchema>::schema()),
        schema(<TimeOfDay as utoipa::PartialSchema>::schema()),
        schema(<FieldPath as utoipa::PartialSchema>::schema()),
    ] {
        assert_eq!(text["type"], json!("string"));
    }
}
