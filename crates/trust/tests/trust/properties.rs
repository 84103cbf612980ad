//! The score as a pure function.

use aim_core::Timestamp;
use aim_platform::TrustWeights;
use aim_trust::{
    causes::explain,
    score::{
        AdjustmentId, Decisions, FORMULA, Factor, Grants, InForce, Incidents, Inputs, Key, MILLION, Mcp,
        OnFile, Violations, compute, decay, weight_of,
    },
};
use chrono::TimeDelta;
use proptest::prelude::*;

fn now() -> Timestamp {
    Timestamp::parse("2026-03-01T12:00:00Z").unwrap()
}

prop_compose! {
    fn weights()(numbers in prop::array::uniform8(0u32..=100)) -> TrustWeights {
        let [key_hygiene, verification_success, violations, capability_use, mcp_attestation, ownership, age, incidents] =
            numbers;
        TrustWeights {
            key_hygiene, verification_success, violations, capability_use, mcp_attestation, ownership, age, incidents,
        }
    }
}

prop_compose! {
    fn decisions()(approved in 0i64..10_000, denied in 0i64..10_000, left in 0i64..=MILLION) -> Decisions {
        Decisions {
            approved,
            denied,
            approved_weighted: approved * left,
            denied_weighted: denied * left,
        }
    }
}

prop_compose! {
    fn violations()(counts in prop::array::uniform4(0i64..50), left in 0i64..=MILLION) -> Violations {
        let [low, medium, high, critical] = counts;
        Violations {
            low, medium, high, critical,
            points_weighted: (low + 3 * medium + 7 * high + 15 * critical) * left,
        }
    }
}

prop_compose! {
    fn inputs()(
        weights in weights(),
        decisions in decisions(),
        violations in violations(),
        key in prop::option::of((0i64..500, -10i64..400)),
        grants in (0i64..20, 0i64..20),
        mcp in prop::option::of((0i64..10, 0i64..10)),
        on_file in prop::array::uniform4(any::<bool>()),
        age in 0i64..1_000,
        incidents in (0i64..10, 0i64..=100),
        deltas in prop::collection::vec(-100i64..=100, 0..3),
        minimum_events in 0i64..100,
    ) -> Inputs {
        let [owner, description, documentation, repository] = on_file;
        Inputs {
            formula: FORMULA,
            at: now(),
            half_life_days: 14,
            minimum_events,
            weights,
            decisions,
            violations,
            key: key.map(|(age, left)| Key {
                fingerprint: "key".to_owned(),
                created_at: now() - TimeDelta::days(age),
                expires_at: now() + TimeDelta::days(left),
            }),
            grants: Grants { used: grants.0, unused: grants.1 },
            mcp: mcp.map(|(servers, attested)| Mcp { servers, attested: attested.min(servers) }),
            on_file: OnFile {
                owner, description, documentation, repository,
                registered_at: now() - TimeDelta::days(age),
            },
            incidents: Incidents { count: incidents.0, points_weighted: incidents.0 * incidents.1 * MILLION },
            adjustments: deltas.into_iter().map(|delta| InForce {
                id: AdjustmentId::generate(now()),
                delta,
                expires_at: now() + TimeDelta::days(1),
            }).collect(),
            citations: Vec::new(),
        }
    }
}

proptest! {
    #[test]
    fn the_score_and_every_factor_lie_between_0_and_100(inputs in inputs()) {
        let outcome = compute(&inputs);
        for value in outcome.factors.iter().filter_map(|factor| factor.value).chain(outcome.score).chain(outcome.computed) {
            prop_assert!((0..=100).contains(&value), "{outcome:?}");
        }
    }

    #[test]
    fn the_same_inputs_give_the_same_score_even_after_a_way_through_json(inputs in inputs()) {
        let text = serde_json::to_string(&inputs).unwrap();
        let again: Inputs = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&again, &inputs);
        prop_assert_eq!(compute(&again), compute(&inputs));
    }

    #[test]
    fn a_further_violation_never_raises_the_score(mut inputs in inputs(), points in 1i64..=15, left in 0i64..=MILLION) {
        let before = compute(&inputs);
        inputs.violations.low += 1;
        inputs.violations.points_weighted += points * left;
        let after = compute(&inputs);
        // With enough data the factor always counts; without, there is no score either way.
        prop_assert!(after.score <= before.score, "{before:?} {after:?}");
    }

    #[test]
    fn a_further_incident_never_raises_the_score(mut inputs in inputs(), points in 1i64..=30) {
        let before = compute(&inputs).score;
        inputs.incidents.count += 1;
        inputs.incidents.points_weighted += points * MILLION;
        prop_assert!(compute(&inputs).score <= before);
    }

    #[test]
    fn factors_without_data_and_without_weight_do_not_count(inputs in inputs()) {
        let outcome = compute(&inputs);
        let with_data: Vec<_> = outcome.factors.iter().filter(|factor| factor.value.is_some()).collect();
        let whole: i64 = with_data.iter().map(|factor| i64::from(factor.weight)).sum();
        prop_assert_eq!(whole, outcome.weight_with_data());
        if let Some(computed) = outcome.computed {
            let exact: f64 = with_data
                .iter()
                .map(|factor| factor.value.unwrap() as f64 * f64::from(factor.weight))
                .sum::<f64>()
                / whole as f64;
            prop_assert!((computed as f64 - exact).abs() <= 0.5 + 1e-9, "{computed} is not {exact}");
        }
    }

    #[test]
    fn a_weight_matters_only_next_to_the_others(mut inputs in inputs(), times in 2u32..5) {
        let before = compute(&inputs).score;
        let weights = inputs.weights;
        let scaled = |factor| weight_of(&weights, factor) * times;
        inputs.weights = TrustWeights {
            key_hygiene: scaled(Factor::KeyHygiene),
            verification_success: scaled(Factor::VerificationSuccess),
            violations: scaled(Factor::Violations),
            capability_use: scaled(Factor::CapabilityUse),
            mcp_attestation: scaled(Factor::McpAttestation),
            ownership: scaled(Factor::Ownership),
            age: scaled(Factor::Age),
            incidents: scaled(Factor::Incidents),
        };
        prop_assert_eq!(compute(&inputs).score, before);
    }

    #[test]
    fn too_little_data_is_no_score(mut inputs in inputs()) {
        inputs.minimum_events = inputs.decisions.total() + 1;
        let outcome = compute(&inputs);
        prop_assert_eq!((outcome.score, outcome.computed), (None, None));
    }

    #[test]
    fn a_change_of_the_score_has_a_cause(before in inputs(), after in inputs()) {
        if compute(&before).score != compute(&after).score {
            prop_assert!(!explain(Some(&before), &after).is_empty());
        }
        prop_assert_eq!(explain(Some(&after), &after), Vec::new());
    }

    #[test]
    fn an_event_weighs_less_every_day_and_half_after_a_half_life(days in 0i64..2_000, half_life in 1i64..400) {
        prop_assert!(decay(days + 1, half_life) <= decay(days, half_life));
        prop_assert!((2 * decay(days + half_life, half_life) - decay(days, half_life)).abs() <= 2);
        prop_assert!((0..=MILLION).contains(&decay(days, half_life)));
    }
}

#[test]
fn an_event_of_today_weighs_all_and_one_of_long_ago_nothing() {
    assert_eq!(decay(0, 14), MILLION);
    assert_eq!(decay(14, 14), MILLION / 2);
    assert_eq!(decay(7, 14), 750_000);
    assert_eq!(decay(-3, 14), MILLION);
    assert_eq!(decay(i64::MAX, 1), 0);
    assert_eq!(decay(10, 0), decay(10, 1));
}
