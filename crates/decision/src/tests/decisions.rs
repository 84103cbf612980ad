//! One test for each reason, and the rules of precedence.

use super::*;
use serde_json::json;

fn assert_denied(snapshot: &Snapshot, call: &Call, expected: &[&str]) -> Verdict {
    let verdict = decide(snapshot, call);
    assert_eq!(verdict.outcome, Outcome::Denied);
    assert_eq!(codes(&verdict), expected);
    let severity = verdict.severity.expect("a denial has a severity");
    assert_eq!(verdict.trust_score_impact, severity.trust_score_impact());
    assert_eq!(verdict.counted_grant, None);
    verdict
}

fn assert_approved(snapshot: &Snapshot, call: &Call) -> Verdict {
    let verdict = decide(snapshot, call);
    assert_eq!(
        (verdict.outcome, codes(&verdict)),
        (Outcome::Approved, vec!["granted"])
    );
    assert_eq!((verdict.severity, verdict.trust_score_impact), (None, 0));
    verdict
}

fn assert_pending(snapshot: &Snapshot, call: &Call, expected: &[&str]) -> Verdict {
    let verdict = decide(snapshot, call);
    assert_eq!(
        (verdict.outcome, codes(&verdict)),
        (Outcome::Pending, expected.to_vec())
    );
    assert_eq!((verdict.severity, verdict.trust_score_impact), (None, 0));
    verdict
}

fn by(kind: DeciderKind, number: u128) -> Option<Decider> {
    Some(Decider { kind, id: id(number) })
}

#[test]
fn a_granted_action_is_approved_by_its_grant() {
    let verdict = assert_approved(&agent_with([grant(10, "db:*", Effect::Allow)]), &call("db:read"));
    assert_eq!(verdict.decided_by, by(DeciderKind::Grant, 10));
    assert_eq!(verdict.risk, Risk::Low);
    assert_eq!(verdict.reasons[0].subject, Some(id(10).to_string()));
}

#[test]
fn an_action_that_nobody_granted_is_denied() {
    let verdict = assert_denied(
        &agent_with([grant(10, "db:read", Effect::Allow)]),
        &call("payments:transfer"),
        &["capability.not_granted"],
    );
    assert_eq!(
        (verdict.severity, verdict.decided_by),
        (Some(Severity::High), None)
    );
}

#[test]
fn a_suspended_or_deleted_agent_is_denied_whatever_is_granted() {
    let mut snapshot = agent_with([grant(10, "*", Effect::Allow)]);
    snapshot.agent_status = AgentStatus::Suspended;
    let verdict = assert_denied(&snapshot, &call("db:read"), &["agent.suspended"]);
    assert_eq!(verdict.severity, Some(Severity::High));
    snapshot.agent_status = AgentStatus::Revoked;
    let verdict = assert_denied(&snapshot, &call("db:read"), &["agent.revoked"]);
    assert_eq!(verdict.severity, Some(Severity::Critical));
}

#[test]
fn a_key_that_is_not_usable_is_denied_with_its_state() {
    let instant = chrono::TimeDelta::microseconds(1);
    let now = at(NOW);
    let rows = [
        (
            KeyFact {
                expires_at: now,
                ..key()
            },
            "key.expired",
        ),
        (
            KeyFact {
                grace_until: Some(now),
                ..key()
            },
            "key.grace_ended",
        ),
        (
            KeyFact {
                revoked_at: Some(now + instant),
                ..key()
            },
            "key.revoked",
        ),
        (
            KeyFact {
                fingerprint: "another".to_owned(),
                ..key()
            },
            "key.unknown",
        ),
    ];
    for (fact, code) in rows {
        let mut snapshot = agent_with([grant(10, "*", Effect::Allow)]);
        snapshot.keys = vec![fact];
        assert_denied(&snapshot, &call("db:read"), &[code]);
    }
    for fact in [
        KeyFact {
            expires_at: now + instant,
            ..key()
        },
        KeyFact {
            grace_until: Some(now + instant),
            ..key()
        },
    ] {
        let mut snapshot = agent_with([grant(10, "*", Effect::Allow)]);
        snapshot.keys = vec![fact];
        assert_approved(&snapshot, &call("db:read"));
    }
}

#[test]
fn a_key_on_record_twice_is_as_good_as_its_worst_record() {
    let mut snapshot = agent_with([grant(10, "*", Effect::Allow)]);
    snapshot.keys.insert(
        0,
        KeyFact {
            revoked_at: Some(at("2026-02-01T00:00:00Z")),
            ..key()
        },
    );
    assert_denied(&snapshot, &call("db:read"), &["key.revoked"]);
}

#[test]
fn everything_wrong_with_the_caller_is_reported_in_order_and_the_worst_counts() {
    let mut snapshot = agent_with([grant(10, "*", Effect::Allow)]);
    snapshot.agent_status = AgentStatus::Suspended;
    snapshot.keys[0].revoked_at = Some(at("2026-02-01T00:00:00Z"));
    let verdict = assert_denied(
        &snapshot,
        &call_on("db:read", "a/../b"),
        &["agent.suspended", "key.revoked", "resource.not_canonical"],
    );
    assert_eq!(
        (verdict.severity, verdict.trust_score_impact),
        (Some(Severity::Critical), -15)
    );
}

#[test]
fn a_limited_credential_uses_its_part_of_the_grants_and_nothing_more() {
    let snapshot = agent_with([grant(10, "db:*", Effect::Allow)]);
    let limited = |action: &str, capabilities: &[&str]| Call {
        credential: Credential::Limited {
            id: id(50),
            capabilities: capabilities
                .iter()
                .map(|text| (*text).try_into().unwrap())
                .collect(),
            secret_paths: None,
            addresses: None,
        },
        ..call(action)
    };
    assert_approved(&snapshot, &limited("db:read", &["db:read"]));
    let verdict = assert_denied(
        &snapshot,
        &limited("db:write", &["db:read"]),
        &["credential.capability_not_included"],
    );
    assert_eq!(verdict.reasons[0].subject, Some(id(50).to_string()));
    assert_denied(
        &snapshot,
        &limited("db:read", &[]),
        &["credential.capability_not_included"],
    );
    assert_denied(
        &snapshot,
        &limited("mail:send", &["*"]),
        &["capability.not_granted"],
    );
}

#[test]
fn a_credential_reaches_only_the_secrets_that_its_paths_cover() {
    let snapshot = agent_with([grant(10, "*", Effect::Allow)]);
    let limited = |action: &str, resource: Option<&str>| Call {
        credential: Credential::Limited {
            id: id(50),
            capabilities: vec!["*".try_into().unwrap()],
            secret_paths: Some(vec![
                "payments/*".try_into().unwrap(),
                "tls/web".try_into().unwrap(),
            ]),
            addresses: None,
        },
        resource: resource.map(str::to_owned),
        ..call(action)
    };
    let denied = ["credential.secret_not_included"];
    for within in ["payments/stripe", "tls/web"] {
        assert_approved(&snapshot, &limited("secret:read", Some(within)));
    }
    for beyond in ["payments/stripe/live", "payments", "hr/salaries", "tls/web/key"] {
        assert_denied(&snapshot, &limited("secret:read", Some(beyond)), &denied);
        assert_denied(&snapshot, &limited("secret:write", Some(beyond)), &denied);
    }
    assert_denied(&snapshot, &limited("secret:list", None), &denied);
    assert_denied(
        &snapshot,
        &limited("secret:read", Some("payments/../hr")),
        &["credential.secret_not_included", "resource.not_canonical"],
    );
    assert_approved(&snapshot, &limited("db:read", Some("hr/salaries")));
    assert_approved(&snapshot, &limited("secrets:read", None));
    // The paths grant nothing by themselves.
    let nothing = agent_with([]);
    assert_denied(
        &nothing,
        &limited("secret:read", Some("tls/web")),
        &["capability.not_granted"],
    );
}

#[test]
fn a_credential_is_refused_where_it_may_not_be_used() {
    let snapshot = agent_with([grant(10, "*", Effect::Allow)]);
    let from = |presented: Option<&str>| Call {
        credential: Credential::Limited {
            id: id(50),
            capabilities: vec!["db:*".try_into().unwrap()],
            secret_paths: None,
            addresses: Some(AddressLimit {
                allowed: vec!["10.0.0.0/8".try_into().unwrap()],
                presented: presented.map(str::to_owned),
            }),
        },
        ..call("db:read")
    };
    assert_approved(&snapshot, &from(Some("10.1.2.3")));
    for address in [Some("192.0.2.1"), None] {
        let verdict = assert_denied(&snapshot, &from(address), &["credential.address_not_allowed"]);
        assert_eq!(verdict.severity, Some(Severity::High));
    }
}

#[test]
fn a_credential_without_further_limits_is_recorded_as_it_always_was() {
    let call = Call {
        credential: Credential::Limited {
            id: id(50),
            capabilities: Vec::new(),
            secret_paths: None,
            addresses: None,
        },
        ..call("db:read")
    };
    let text = String::from_utf8(canonical_bytes(&call)).unwrap();
    let expected = format!(
        r#""credential":{{"limited":{{"id":"{}","capabilities":[]}}}}"#,
        id(50)
    );
    assert!(text.contains(&expected), "{text}");
}

#[test]
fn a_resource_with_a_parent_segment_is_denied_even_to_an_unrestricted_grant() {
    let snapshot = agent_with([grant(10, "*", Effect::Allow)]);
    let verdict = assert_denied(
        &snapshot,
        &call_on("db:read", "customers/../admin"),
        &["resource.not_canonical"],
    );
    assert_eq!(verdict.severity, Some(Severity::High));
}

#[test]
fn a_denying_policy_dominates_every_grant() {
    let mut snapshot = agent_with([grant(10, "db:read", Effect::Allow)]);
    snapshot.policies.push(policy(20, "*", PolicyEffect::Deny));
    let verdict = assert_denied(&snapshot, &call("db:read"), &["policy.denied"]);
    assert_eq!(verdict.decided_by, by(DeciderKind::Policy, 20));
    assert_eq!(verdict.severity, Some(Severity::High));
    assert!(verdict.reasons[0].message.contains("freeze"));
}

#[test]
fn a_policy_covers_the_types_scores_and_resources_that_it_names() {
    let covered = |change: &dyn Fn(&mut Policy), score: Option<u8>, resource: Option<&str>| {
        let mut guard_rail = policy(20, "db:*", PolicyEffect::Deny);
        change(&mut guard_rail);
        let mut snapshot = agent_with([grant(10, "*", Effect::Allow)]);
        snapshot.trust_score = score;
        snapshot.policies.push(guard_rail);
        let call = Call {
            resource: resource.map(str::to_owned),
            ..call("db:read")
        };
        decide(&snapshot, &call).outcome == Outcome::Denied
    };
    let other_type = |policy: &mut Policy| policy.agent_types = vec!["mcp_server".to_owned()];
    let this_type = |policy: &mut Policy| policy.agent_types = vec!["x".to_owned(), "ai_agent".to_owned()];
    let below_50 = |policy: &mut Policy| policy.trust_below = Some(50);
    let production = |policy: &mut Policy| policy.resources = vec!["prod/**".try_into().unwrap()];
    assert!(!covered(&other_type, Some(80), None));
    assert!(covered(&this_type, Some(80), None));
    assert!(covered(&below_50, Some(49), None));
    assert!(!covered(&below_50, Some(50), None));
    assert!(
        covered(&below_50, None, None),
        "an agent without a score counts as below"
    );
    assert!(covered(&production, Some(80), Some("prod/customers")));
    assert!(!covered(&production, Some(80), Some("test/customers")));
    assert!(
        covered(&production, Some(80), None),
        "leaving the resource out does not escape a policy"
    );
}

#[test]
fn a_denying_grant_dominates_a_more_specific_permission() {
    let snapshot = agent_with([grant(10, "db:read", Effect::Allow), grant(11, "*", Effect::Deny)]);
    let verdict = assert_denied(&snapshot, &call("db:read"), &["capability.denied"]);
    assert_eq!(verdict.decided_by, by(DeciderKind::Grant, 11));
}

#[test]
fn policies_that_deny_are_reported_before_grants_that_deny() {
    let mut snapshot = agent_with([grant(10, "db:read", Effect::Deny), grant(11, "*", Effect::Deny)]);
    snapshot.policies = vec![
        policy(21, "*", PolicyEffect::Deny),
        policy(20, "*", PolicyEffect::Deny),
    ];
    let verdict = decide(&snapshot, &call("db:read"));
    let subjects: Vec<_> = verdict
        .reasons
        .iter()
        .filter_map(|reason| reason.subject.clone())
        .collect();
    assert_eq!(subjects, [20, 21, 10, 11].map(|number| id(number).to_string()));
    assert_eq!(verdict.decided_by, by(DeciderKind::Policy, 20));
}

#[test]
fn a_denial_holds_within_its_scope_and_leaving_a_field_out_does_not_escape_it() {
    let scope = json!({"resources": ["hr/**"], "context": [{"field": "amount", "op": "gt", "value": 100}]});
    let snapshot = agent_with([
        grant(10, "*", Effect::Allow),
        scoped(11, "*", Effect::Deny, scope),
    ]);
    let asked = |resource: Option<&str>, context: Value| Call {
        resource: resource.map(str::to_owned),
        ..call_with("db:read", context)
    };
    assert_denied(
        &snapshot,
        &asked(Some("hr/x"), json!({"amount": 101})),
        &["capability.denied"],
    );
    assert_approved(&snapshot, &asked(Some("hr/x"), json!({"amount": 100})));
    assert_approved(&snapshot, &asked(Some("it/x"), json!({"amount": 101})));
    assert_denied(&snapshot, &asked(Some("hr/x"), json!({})), &["capability.denied"]);
    assert_denied(
        &snapshot,
        &asked(Some("hr/x"), json!({"amount": "101"})),
        &["capability.denied"],
    );
    assert_denied(
        &snapshot,
        &asked(None, json!({"amount": 101})),
        &["capability.denied"],
    );
    assert_approved(&snapshot, &asked(None, json!({"amount": 1})));
}

#[test]
fn an_expired_denial_no_longer_denies() {
    let expired = Grant {
        expires_at: Some(at(NOW)),
        ..grant(11, "*", Effect::Deny)
    };
    assert_approved(
        &agent_with([grant(10, "*", Effect::Allow), expired]),
        &call("db:read"),
    );
}

#[test]
fn a_grant_is_expired_from_its_end_on() {
    let ending = |end: Timestamp| {
        agent_with([Grant {
            expires_at: Some(end),
            ..grant(10, "db:read", Effect::Allow)
        }])
    };
    assert_approved(
        &ending(at(NOW) + chrono::TimeDelta::microseconds(1)),
        &call("db:read"),
    );
    assert_denied(&ending(at(NOW)), &call("db:read"), &["grant.expired"]);
}

#[test]
fn a_scoped_grant_needs_its_resource() {
    let snapshot = agent_with([scoped(
        10,
        "db:read",
        Effect::Allow,
        json!({"resources": ["a/*", "b"]}),
    )]);
    assert_approved(&snapshot, &call_on("db:read", "a/1"));
    assert_approved(&snapshot, &call_on("db:read", "b"));
    assert_denied(&snapshot, &call_on("db:read", "c"), &["scope.resource"]);
    let verdict = assert_denied(&snapshot, &call("db:read"), &["scope.resource"]);
    assert_eq!(verdict.severity, Some(Severity::Low));
    assert_eq!(verdict.reasons[0].subject, Some(id(10).to_string()));
}

#[test]
fn a_scoped_grant_needs_every_constraint() {
    let scope = json!({"context": [
        {"field": "amount", "op": "lte", "value": 100},
        {"field": "currency", "op": "eq", "value": "EUR"},
    ]});
    let snapshot = agent_with([scoped(10, "payments:transfer", Effect::Allow, scope)]);
    let asked = |context: Value| call_with("payments:transfer", context);
    assert_approved(&snapshot, &asked(json!({"amount": 100, "currency": "EUR"})));
    for context in [
        json!({"amount": 100.5, "currency": "EUR"}),
        json!({"amount": 1}),
        json!({}),
    ] {
        let verdict = assert_denied(&snapshot, &asked(context), &["scope.context"]);
        assert_eq!(
            verdict.severity,
            Some(Severity::Medium),
            "one below the risk of a transfer"
        );
    }
    let message = &decide(&snapshot, &asked(json!({"amount": 31_337}))).reasons[0].message;
    assert!(
        message.contains("`amount`") && !message.contains("31337"),
        "{message}"
    );
}

#[test]
fn a_grant_with_hours_holds_in_them() {
    let scope = json!({"time_window": {"days": ["wed"], "start": "12:00", "end": "13:00"}});
    let snapshot = agent_with([scoped(10, "db:read", Effect::Allow, scope)]);
    assert_approved(&snapshot, &call("db:read"));
    let late = Call {
        now: at("2026-03-04T13:00:00Z"),
        ..call("db:read")
    };
    assert_denied(&snapshot, &late, &["scope.time_window"]);
}

#[test]
fn the_last_use_within_the_rate_passes_and_the_next_does_not() {
    let scope = json!({"rate_limit": {"max": 3, "per_seconds": 60}});
    let snapshot = agent_with([scoped(10, "db:delete", Effect::Allow, scope)]);
    let used = |times: u32| Call {
        uses: BTreeMap::from([(id(10), times), (id(11), 99)]),
        ..call("db:delete")
    };
    assert_approved(&snapshot, &call("db:delete"));
    assert_eq!(assert_approved(&snapshot, &used(2)).counted_grant, Some(id(10)));
    for times in [3, 4, u32::MAX] {
        let verdict = assert_denied(&snapshot, &used(times), &["scope.rate_limit"]);
        assert_eq!(
            (verdict.severity, verdict.trust_score_impact),
            (Some(Severity::Low), -1)
        );
    }
}

#[test]
fn a_grant_without_a_rate_is_not_counted() {
    assert_eq!(
        assert_approved(&agent_with([grant(10, "*", Effect::Allow)]), &call("db:read")).counted_grant,
        None
    );
}

#[test]
fn grants_that_nearly_fit_say_why_in_order_and_the_nearest_sets_the_severity() {
    let snapshot = agent_with([
        scoped(12, "*", Effect::Allow, json!({"resources": ["x"]})),
        scoped(
            11,
            "db:*",
            Effect::Allow,
            json!({"rate_limit": {"max": 1, "per_seconds": 60}}),
        ),
        Grant {
            expires_at: Some(at("2026-01-01T00:00:00Z")),
            ..grant(10, "db:delete", Effect::Allow)
        },
        grant(9, "mail:*", Effect::Allow),
    ]);
    let used_up = Call {
        uses: BTreeMap::from([(id(11), 1)]),
        ..call_on("db:delete", "y")
    };
    let verdict = assert_denied(
        &snapshot,
        &used_up,
        &["grant.expired", "scope.rate_limit", "scope.resource"],
    );
    assert_eq!(verdict.severity, Some(Severity::Low));
}

#[test]
fn the_reasons_of_a_step_are_limited() {
    let expired = (0..100).map(|number| Grant {
        expires_at: Some(at(NOW)),
        ..grant(number, "*", Effect::Allow)
    });
    let verdict = decide(&agent_with(expired), &call("db:read"));
    assert_eq!(verdict.reasons.len(), REASONS_PER_STEP);
    assert_eq!(verdict.reasons[0].subject, Some(id(0).to_string()));
}

#[test]
fn a_required_approval_dominates_a_permission() {
    let snapshot = agent_with([
        grant(10, "db:read", Effect::Allow),
        grant(11, "db:*", Effect::RequireApproval),
    ]);
    let verdict = assert_pending(&snapshot, &call("db:read"), &["grant.approval_required"]);
    assert_eq!(verdict.decided_by, by(DeciderKind::Grant, 11));
}

#[test]
fn a_grant_that_requires_approval_permits_by_itself_once_approved() {
    let snapshot = agent_with([grant(11, "db:*", Effect::RequireApproval)]);
    assert_pending(&snapshot, &call("db:read"), &["grant.approval_required"]);
}

#[test]
fn an_approval_that_might_be_required_is_required() {
    let scope = json!({"context": [{"field": "amount", "op": "gt", "value": 100}]});
    let snapshot = agent_with([
        grant(10, "pay", Effect::Allow),
        scoped(11, "pay", Effect::RequireApproval, scope.clone()),
    ]);
    assert_approved(&snapshot, &call_with("pay", json!({"amount": 100})));
    assert_pending(
        &snapshot,
        &call_with("pay", json!({"amount": 101})),
        &["grant.approval_required"],
    );
    assert_pending(
        &snapshot,
        &call_with("pay", json!({})),
        &["grant.approval_required"],
    );
    let alone = agent_with([scoped(11, "pay", Effect::RequireApproval, scope)]);
    assert_denied(&alone, &call_with("pay", json!({})), &["scope.context"]);
}

#[test]
fn a_used_up_approval_grant_permits_nothing_and_still_restricts() {
    let rate = json!({"rate_limit": {"max": 1, "per_seconds": 60}});
    let used_up = Call {
        uses: BTreeMap::from([(id(11), 1)]),
        ..call("db:read")
    };
    let both = agent_with([
        grant(10, "db:read", Effect::Allow),
        scoped(11, "*", Effect::RequireApproval, rate.clone()),
    ]);
    assert_pending(&both, &used_up, &["grant.approval_required"]);
    let alone = agent_with([scoped(11, "*", Effect::RequireApproval, rate)]);
    assert_denied(&alone, &used_up, &["scope.rate_limit"]);
    let verdict = assert_pending(&alone, &call("db:read"), &["grant.approval_required"]);
    assert_eq!(
        verdict.counted_grant,
        Some(id(11)),
        "counted when a person approves"
    );
}

#[test]
fn approvals_are_reported_in_order_and_a_policy_decides_first() {
    let mut snapshot = agent_with([grant(10, "*", Effect::RequireApproval)]);
    snapshot
        .policies
        .push(policy(20, "*", PolicyEffect::RequireApproval));
    let asked = Call {
        approval_requested: true,
        ..call("db:read")
    };
    let expected = [
        "policy.approval_required",
        "grant.approval_required",
        "approval.requested",
    ];
    assert_eq!(
        assert_pending(&snapshot, &asked, &expected).decided_by,
        by(DeciderKind::Policy, 20)
    );
}

#[test]
fn an_approval_policy_permits_nothing() {
    let mut snapshot = agent();
    snapshot
        .policies
        .push(policy(20, "*", PolicyEffect::RequireApproval));
    assert_denied(&snapshot, &call("db:read"), &["capability.not_granted"]);
}

#[test]
fn a_requested_approval_makes_a_permission_wait_and_a_denial_no_milder() {
    let asked = Call {
        approval_requested: true,
        ..call("db:read")
    };
    let verdict = assert_pending(
        &agent_with([grant(10, "*", Effect::Allow)]),
        &asked,
        &["approval.requested"],
    );
    assert_eq!(verdict.decided_by, by(DeciderKind::Grant, 10));
    assert_denied(&agent(), &asked, &["capability.not_granted"]);
}

#[test]
fn the_deciding_grant_is_the_most_specific_then_the_first_given_then_the_smallest_id() {
    let decider = |grants: Vec<Grant>| decide(&agent_with(grants), &call("db:read")).decided_by;
    let earlier = |given: Grant| Grant {
        granted_at: at("2026-01-01T00:00:00Z"),
        ..given
    };
    let allow = |number: u128, capability: &str| grant(number, capability, Effect::Allow);
    assert_eq!(
        decider(vec![
            earlier(allow(1, "*")),
            allow(2, "db:*"),
            allow(3, "db:read")
        ]),
        by(DeciderKind::Grant, 3)
    );
    assert_eq!(
        decider(vec![earlier(allow(1, "*")), allow(2, "db:*")]),
        by(DeciderKind::Grant, 2)
    );
    assert_eq!(
        decider(vec![allow(1, "db:*"), earlier(allow(2, "db:*"))]),
        by(DeciderKind::Grant, 2)
    );
    assert_eq!(
        decider(vec![allow(2, "db:*"), allow(1, "db:*")]),
        by(DeciderKind::Grant, 1)
    );
}

#[test]
fn facts_that_share_an_id_are_ordered_by_their_content() {
    let one = grant(10, "db:*", Effect::Allow);
    let limited = scoped(
        10,
        "db:*",
        Effect::Allow,
        json!({"rate_limit": {"max": 1, "per_seconds": 60}}),
    );
    let named = |name: &str| Policy {
        name: name.to_owned(),
        ..policy(20, "*", PolicyEffect::RequireApproval)
    };
    let mut snapshot = agent_with([one, limited]);
    snapshot.policies = vec![named("a"), named("b")];
    let verdict = decide(&snapshot, &call("db:read"));
    snapshot.grants.reverse();
    snapshot.policies.reverse();
    assert_eq!(decide(&snapshot, &call("db:read")), verdict);
}

#[test]
fn every_reason_code_is_given_by_some_decision() {
    let source = include_str!("decisions.rs");
    for code in ReasonCode::all() {
        assert!(
            source.contains(&format!("\"{}\"", code.slug())),
            "no test here expects `{code}`"
        );
    }
}
