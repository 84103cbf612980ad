//! What holds of every decision, whatever the inputs.

use super::arbitrary::{any_effect, call, grant, policy, snapshot};
use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

fn round_trip<T: Record + serde::de::DeserializeOwned>(value: &T) -> T {
    serde_json::from_slice(&canonical_bytes(value)).unwrap()
}

fn bytes(snapshot: &Snapshot, call: &Call) -> Vec<u8> {
    canonical_bytes(&decide(snapshot, call))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn every_input_has_a_verdict_that_is_consistent_in_itself(snapshot in snapshot(), call in call()) {
        let verdict = decide(&snapshot, &call);
        prop_assert!(!verdict.reasons.is_empty());
        let denied = verdict.outcome == Outcome::Denied;
        prop_assert_eq!(verdict.severity.is_some(), denied);
        prop_assert_eq!(verdict.trust_score_impact < 0, denied);
        prop_assert_eq!(codes(&verdict) == ["granted"], verdict.outcome == Outcome::Approved);
        let order: Vec<_> = verdict.reasons.iter().map(|reason| reason.code).collect();
        let misses = [ReasonCode::GrantExpired, ReasonCode::ScopeResource, ReasonCode::ScopeContext,
            ReasonCode::ScopeTimeWindow, ReasonCode::ScopeRateLimit];
        // Near misses are ordered by their grants; all else by the order of evaluation.
        prop_assert!(order.is_sorted() || order.iter().all(|code| misses.contains(code)), "{:?}", order);
        if let Some(counted) = verdict.counted_grant {
            prop_assert!(!denied);
            prop_assert!(snapshot.grants.iter().any(|grant| grant.id == counted && grant.scope.rate_limit.is_some()));
        }
    }

    #[test]
    fn the_same_inputs_give_the_same_bytes_also_after_a_round_trip(snapshot in snapshot(), call in call()) {
        let first = bytes(&snapshot, &call);
        prop_assert_eq!(&bytes(&snapshot, &call), &first);
        prop_assert_eq!(&bytes(&round_trip(&snapshot), &round_trip(&call)), &first);
        prop_assert_eq!(canonical_bytes(&round_trip(&call)), canonical_bytes(&call));
        prop_assert_eq!(canonical_bytes(&round_trip(&snapshot)), canonical_bytes(&snapshot));
    }

    #[test]
    fn the_order_in_which_facts_were_read_changes_neither_digest_nor_verdict(
        (original, shuffled) in snapshot().prop_flat_map(|original| {
            let grants = Just(original.grants.clone()).prop_shuffle();
            let policies = Just(original.policies.clone()).prop_shuffle();
            let keys = Just(original.keys.clone()).prop_shuffle();
            (Just(original), grants, policies, keys).prop_map(|(original, grants, policies, keys)| {
                let shuffled = Snapshot { grants, policies, keys, ..original.clone() };
                (original, shuffled)
            })
        }),
        call in call(),
    ) {
        prop_assert_eq!(original.digest(), shuffled.digest());
        prop_assert_eq!(bytes(&original, &call), bytes(&shuffled, &call));
        prop_assert_eq!(original.canonical(), shuffled.canonical());
    }

    #[test]
    fn one_more_denial_never_helps(
        snapshot in snapshot(),
        call in call(),
        denial in grant(Just(Effect::Deny)),
        guard_rail in policy(prop_oneof![Just(PolicyEffect::Deny), Just(PolicyEffect::RequireApproval)]),
    ) {
        let before = decide(&snapshot, &call).outcome;
        let mut with_grant = snapshot.clone();
        with_grant.grants.push(denial);
        let mut with_policy = snapshot;
        with_policy.policies.push(guard_rail);
        for after in [decide(&with_grant, &call).outcome, decide(&with_policy, &call).outcome] {
            match before {
                Outcome::Approved => {}
                Outcome::Pending => prop_assert!(after != Outcome::Approved),
                Outcome::Denied => prop_assert_eq!(after, Outcome::Denied),
            }
        }
    }

    #[test]
    fn an_unscoped_denial_that_covers_the_action_always_denies(
        snapshot in snapshot(), call in call(), wide in any::<bool>(), as_policy in any::<bool>()
    ) {
        let capability = if wide { "*" } else { call.action.as_str() };
        let mut snapshot = snapshot;
        if as_policy {
            snapshot.policies.push(super::policy(500, capability, PolicyEffect::Deny));
        } else {
            snapshot.grants.push(super::grant(500, capability, Effect::Deny));
        }
        prop_assert_eq!(decide(&snapshot, &call).outcome, Outcome::Denied);
    }

    #[test]
    fn one_more_permission_never_hurts(
        snapshot in snapshot(), call in call(), permission in grant(Just(Effect::Allow))
    ) {
        let before = decide(&snapshot, &call).outcome;
        let mut richer = snapshot;
        richer.grants.push(permission);
        let after = decide(&richer, &call).outcome;
        match before {
            Outcome::Approved => prop_assert_eq!(after, Outcome::Approved),
            Outcome::Pending => prop_assert_eq!(after, Outcome::Pending),
            Outcome::Denied => {}
        }
    }

    #[test]
    fn without_grants_everything_is_denied(snapshot in snapshot(), call in call()) {
        let bare = Snapshot { grants: Vec::new(), ..snapshot };
        prop_assert_eq!(decide(&bare, &call).outcome, Outcome::Denied);
    }

    #[test]
    fn grants_that_do_not_cover_the_action_change_nothing(
        snapshot in snapshot(), call in call(), others in vec(grant(any_effect()), 0..6)
    ) {
        let before = bytes(&snapshot, &call);
        let mut more = snapshot;
        more.grants.extend(others.into_iter().filter(|other| !other.capability.matches(&call.action)));
        prop_assert_eq!(bytes(&more, &call), before);
    }

    #[test]
    fn leaving_out_the_resource_or_a_field_never_turns_a_refusal_by_rule_into_more(
        snapshot in snapshot(), call in call(), field in any::<prop::sample::Index>()
    ) {
        // Against the same agent with permissions that ask for nothing, only restrictions can differ.
        let mut snapshot = snapshot;
        for permission in snapshot.grants.iter_mut().filter(|grant| grant.effect == Effect::Allow) {
            permission.scope = Scope::default();
        }
        snapshot.grants.push(super::grant(500, "*", Effect::Allow));
        for constraints in snapshot.grants.iter_mut().map(|grant| &mut grant.scope.context) {
            // Asking for presence is the one restriction that absence answers.
            constraints.retain(|constraint| constraint.op() != Operator::Exists);
        }
        let mut silent = call.clone();
        if call.resource.as_deref().is_none_or(|resource| CanonicalResource::parse(resource).is_some()) {
            silent.resource = None;
        }
        if !call.context.is_empty() {
            let name = field.get(&call.context.keys().cloned().collect::<Vec<_>>()).clone();
            silent.context.remove(&name);
        }
        let rank = |outcome: Outcome| match outcome {
            Outcome::Denied => 0,
            Outcome::Pending => 1,
            Outcome::Approved => 2,
        };
        prop_assert!(rank(decide(&snapshot, &silent).outcome) <= rank(decide(&snapshot, &call).outcome));
    }

    #[test]
    fn a_replay_of_what_was_recorded_succeeds(snapshot in snapshot(), call in call()) {
        let verdict = decide(&snapshot, &call);
        let inputs = Inputs::new(&snapshot.digest(), call);
        let replayed = replay(&canonical_bytes(&snapshot), &canonical_bytes(&inputs), &canonical_bytes(&verdict));
        prop_assert_eq!(replayed.unwrap(), verdict);
    }

    #[test]
    fn a_replay_of_anything_at_all_ends_in_an_answer(
        first in vec(any::<u8>(), 0..64), second in vec(any::<u8>(), 0..64), third in vec(any::<u8>(), 0..64)
    ) {
        prop_assert!(replay(&first, &second, &third).is_err());
    }
}

/// The properties above would hold of a decision that always denies; this one makes sure they were tested.
#[test]
fn arbitrary_inputs_reach_every_outcome_and_nearly_every_reason() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut seen = std::collections::BTreeSet::new();
    let mut outcomes = BTreeMap::new();
    for _ in 0..12_000 {
        let (snapshot, call) = (snapshot(), call()).new_tree(&mut runner).unwrap().current();
        let verdict = decide(&snapshot, &call);
        *outcomes.entry(verdict.outcome.as_str()).or_insert(0) += 1;
        seen.extend(codes(&verdict));
    }
    let missing: Vec<_> = ReasonCode::all()
        .iter()
        .filter(|code| !seen.contains(code.slug()))
        .collect();
    assert!(missing.is_empty(), "never seen: {missing:?}");
    assert!(
        outcomes.len() == 3 && outcomes.values().all(|count| *count > 100),
        "{outcomes:?}"
    );
}
