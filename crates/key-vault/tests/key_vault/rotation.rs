//! Rotation, grace, replacement, revocation and history.

use aim_core::{Actor, AgentCredential, Code, Error, Role};
use aim_decision::KeyState;
use aim_key_vault::model::RevokeKeys;
use chrono::TimeDelta;
use uuid::Uuid;

use crate::bed::{Bed, consent, fingerprint, fresh_key, proof, revoke_all};

fn at(error: &Error) -> (Code, Option<&str>) {
    (error.code, error.field.as_deref())
}

#[tokio::test]
async fn the_view_shows_the_key_in_spki_form_and_no_past_before_the_first_rotation() {
    for bed in Bed::all().await {
        let agent = bed.agent("reader").await;
        let view = bed
            .vault
            .view(&bed.as_role(Role::Viewer), agent.id)
            .await
            .unwrap();
        assert!(
            view.public_key
                .as_deref()
                .unwrap()
                .starts_with("MCowBQYDK2VwAyEA")
        );
        assert_eq!(view.fingerprint, Some(fingerprint(&agent.key)));
        assert_eq!(
            (view.agent_name.as_str(), view.key_algorithm.as_str()),
            ("reader", "Ed25519")
        );
        assert_eq!((view.rotation_count, view.has_previous_public_key), (0, false));
        assert_eq!(view.key_rotation_grace_until, None);
    }
}

#[tokio::test]
async fn after_a_rotation_the_previous_key_works_for_the_default_grace_and_not_a_microsecond_longer() {
    for bed in Bed::all().await {
        let agent = bed.agent("reader").await;
        let epoch = bed.epoch(agent.id).await;
        let (renewed, view) = bed.rotate(&agent, None).await;
        let end = bed.kernel.now() + TimeDelta::hours(24);
        assert_eq!(view.fingerprint, Some(fingerprint(&renewed.key)));
        assert_eq!(view.key_rotation_grace_until, Some(end));
        assert_eq!(view.key_expires_at, Some(bed.kernel.now() + TimeDelta::days(365)));
        assert_eq!((view.rotation_count, view.has_previous_public_key), (1, true));
        assert_eq!(bed.epoch(agent.id).await, epoch + 1);
        assert_eq!(bed.audited().await, ["agent_key.rotated"]);

        let keys = bed.keys(agent.id).await;
        assert_eq!(keys[0].state(end - TimeDelta::microseconds(1)), KeyState::InGrace);
        assert_eq!(keys[0].state(end), KeyState::Retired);
        bed.clock.set(end);
        let view = bed.vault.view(&bed.as_agent(&renewed), agent.id).await.unwrap();
        assert_eq!(
            (view.key_rotation_grace_until, view.has_previous_public_key),
            (None, true)
        );
    }
}

#[tokio::test]
async fn a_grace_of_zero_ends_the_previous_key_at_once() {
    for bed in Bed::all().await {
        let agent = bed.agent("reader").await;
        let (_, view) = bed.rotate(&agent, Some(0)).await;
        assert_eq!(view.key_rotation_grace_until, None);
        let states: Vec<_> = bed
            .keys(agent.id)
            .await
            .iter()
            .map(|key| key.state(bed.kernel.now()))
            .collect();
        assert_eq!(states, [KeyState::Retired, KeyState::Active]);
    }
}

#[tokio::test]
async fn a_second_rotation_does_not_extend_the_grace_of_the_first_key() {
    for bed in Bed::all().await {
        let first = bed.agent("reader").await;
        let (second, _) = bed.rotate(&first, Some(2)).await;
        let promised = bed.keys(first.id).await[0].grace_until;
        bed.clock.advance(TimeDelta::hours(1));
        let (_, view) = bed.rotate(&second, Some(168)).await;
        let keys = bed.keys(first.id).await;
        assert_eq!(keys[0].grace_until, promised);
        assert_eq!(view.key_rotation_grace_until, keys[1].grace_until);
        assert_eq!(keys.iter().map(|key| key.sequence).collect::<Vec<_>>(), [1, 2, 3]);
    }
}

#[tokio::test]
async fn a_rotation_needs_the_new_keys_proof_and_the_current_keys_consent() {
    for bed in Bed::all().await {
        let agent = bed.agent("reader").await;
        let (thief, new) = (fresh_key(), fresh_key());
        let right = bed.rotation_to(&agent, &new, None).await;
        let ctx = bed.as_agent(&agent);

        let mut forged = right.clone();
        forged.previous_signature = consent(&thief, agent.id, &right.challenge, &new.public());
        let error = bed.vault.rotate(&ctx, agent.id, forged).await.unwrap_err();
        assert_eq!(at(&error), (Code::ProofInvalid, Some("previous_signature")));

        let mut forged = right.clone();
        forged.previous_signature = consent(&new, agent.id, &right.challenge, &new.public());
        let error = bed.vault.rotate(&ctx, agent.id, forged).await.unwrap_err();
        assert_eq!(at(&error), (Code::ProofInvalid, Some("previous_signature")));

        let mut forged = right.clone();
        forged.proof = proof(&thief, &right.challenge);
        let error = bed.vault.rotate(&ctx, agent.id, forged).await.unwrap_err();
        assert_eq!(at(&error), (Code::ProofInvalid, Some("proof")));

        assert_eq!(bed.keys(agent.id).await.len(), 1);
        assert!(bed.audited().await.is_empty());
        bed.vault.rotate(&ctx, agent.id, right).await.unwrap();
    }
}

#[tokio::test]
async fn a_challenge_serves_once_for_its_agent_and_five_minutes() {
    for bed in Bed::all().await {
        let (agent, other) = (bed.agent("reader").await, bed.agent("writer").await);
        let invalid = (Code::ChallengeInvalid, Some("challenge"));

        let used = bed.rotation_to(&agent, &fresh_key(), None).await;
        let (renewed, again) = (fresh_key(), fresh_key());
        let first = bed.rotation_to(&agent, &renewed, None).await;
        bed.vault
            .rotate(&bed.as_agent(&agent), agent.id, first.clone())
            .await
            .unwrap();
        let mut second = used;
        second.challenge.clone_from(&first.challenge);
        second.public_key = again.public().spki_base64();
        second.proof = proof(&again, &first.challenge);
        second.previous_signature = consent(&renewed, agent.id, &first.challenge, &again.public());
        let error = bed
            .vault
            .rotate(&bed.as_agent(&agent), agent.id, second)
            .await
            .unwrap_err();
        assert_eq!(at(&error), invalid, "used before");

        let foreign = bed
            .vault
            .challenge(&bed.as_agent(&agent), agent.id)
            .await
            .unwrap()
            .challenge;
        let new = fresh_key();
        let mut request = bed.rotation_to(&other, &new, None).await;
        request.proof = proof(&new, &foreign);
        request.previous_signature = consent(&other.key, other.id, &foreign, &new.public());
        request.challenge = foreign;
        let error = bed
            .vault
            .rotate(&bed.as_agent(&other), other.id, request)
            .await
            .unwrap_err();
        assert_eq!(at(&error), invalid, "another agent's");

        let late = bed.rotation_to(&other, &new, None).await;
        bed.clock.advance(TimeDelta::minutes(5));
        let error = bed
            .vault
            .rotate(&bed.as_agent(&other), other.id, late)
            .await
            .unwrap_err();
        assert_eq!(at(&error), invalid, "expired at the instant it says");
    }
}

#[tokio::test]
async fn a_key_that_was_ever_registered_cannot_come_back() {
    for bed in Bed::all().await {
        let (agent, other) = (bed.agent("reader").await, bed.agent("writer").await);
        for taken in [&agent.key, &other.key] {
            let request = bed.rotation_to(&agent, taken, None).await;
            let error = bed
                .vault
                .rotate(&bed.as_agent(&agent), agent.id, request)
                .await
                .unwrap_err();
            assert_eq!(at(&error), (Code::Conflict, Some("public_key")));
        }
        assert!(
            bed.keys(agent.id).await[0].is_current(),
            "the refused rotation was undone as a whole"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_rotations_at_once_exactly_one_wins() {
    for bed in Bed::all().await {
        let agent = bed.agent("reader").await;
        let mut requests = Vec::new();
        for _ in 0..8 {
            requests.push(bed.rotation_to(&agent, &fresh_key(), None).await);
        }
        let tasks = requests.into_iter().map(|request| {
            let (vault, ctx, id) = (bed.vault.clone(), bed.as_agent(&agent), agent.id);
            tokio::spawn(async move { vault.rotate(&ctx, id, request).await })
        });
        let outcomes = futures_util::future::join_all(tasks).await;
        let refused: Vec<_> = outcomes
            .into_iter()
            .filter_map(|outcome| outcome.unwrap().err())
            .collect();
        assert_eq!(refused.len(), 7);
        for error in refused {
            // The loser's signature is the former key's: noticed early, or under the lock.
            assert!(
                error.code == Code::StateConflict
                    || at(&error) == (Code::ProofInvalid, Some("previous_signature")),
                "{error:?}"
            );
        }
        assert_eq!(bed.keys(agent.id).await.len(), 2);
        assert_eq!(bed.audited().await, ["agent_key.rotated"]);
    }
}

#[tokio::test]
async fn revoked_and_expired_keys_and_stopped_agents_cannot_rotate() {
    for bed in Bed::all().await {
        let agent = bed.agent("revoked").await;
        let request = bed.rotation_to(&agent, &fresh_key(), None).await;
        bed.vault
            .revoke(&bed.as_role(Role::Manager), agent.id, revoke_all("stolen"))
            .await
            .unwrap();
        let error = bed
            .vault
            .rotate(&bed.as_agent(&agent), agent.id, request)
            .await
            .unwrap_err();
        assert_eq!(error.code, Code::StateConflict);

        let agent = bed.agent("suspended").await;
        let request = bed.rotation_to(&agent, &fresh_key(), None).await;
        bed.set_status(agent.id, "suspended").await;
        let error = bed
            .vault
            .rotate(&bed.as_agent(&agent), agent.id, request)
            .await
            .unwrap_err();
        assert_eq!(error.code, Code::StateConflict);

        let agent = bed
            .agent_of(bed.organization, "expired", TimeDelta::minutes(1))
            .await;
        let request = bed.rotation_to(&agent, &fresh_key(), None).await;
        bed.clock.advance(TimeDelta::minutes(1));
        let error = bed
            .vault
            .rotate(&bed.as_agent(&agent), agent.id, request)
            .await
            .unwrap_err();
        assert_eq!(error.code, Code::StateConflict);
        assert!(error.detail.contains("expired"), "{error}");
    }
}

#[tokio::test]
async fn a_revocation_ends_every_key_at_once_and_leaves_no_current_one() {
    for bed in Bed::all().await {
        let first = bed.agent("reader").await;
        let (second, _) = bed.rotate(&first, None).await;
        let epoch = bed.epoch(first.id).await;
        let manager = bed.as_role(Role::Manager);
        let view = bed
            .vault
            .revoke(&manager, first.id, revoke_all("leaked"))
            .await
            .unwrap();
        assert_eq!(
            (view.public_key, view.fingerprint, view.key_expires_at),
            (None, None, None)
        );
        assert_eq!(
            (view.key_rotation_grace_until, view.has_previous_public_key),
            (None, true)
        );
        assert_eq!(bed.epoch(first.id).await, epoch + 1);
        for key in bed.keys(first.id).await {
            assert_eq!(key.state(bed.kernel.now()), KeyState::Revoked);
            assert_eq!(key.end_reason.as_deref(), Some("leaked"));
        }
        assert_eq!(
            bed.audited().await,
            ["agent_key.rotated", "agent_key.revoked", "agent_key.revoked"]
        );
        let error = bed
            .vault
            .revoke(&manager, second.id, revoke_all("again"))
            .await
            .unwrap_err();
        assert_eq!(error.code, Code::StateConflict);
    }
}

#[tokio::test]
async fn one_key_can_be_revoked_by_its_fingerprint() {
    for bed in Bed::all().await {
        let first = bed.agent("reader").await;
        let (second, _) = bed.rotate(&first, None).await;
        let manager = bed.as_role(Role::Manager);
        let request = |fingerprint: String| RevokeKeys {
            fingerprint: Some(fingerprint),
            reason: "leaked".to_owned(),
        };
        let view = bed
            .vault
            .revoke(&manager, first.id, request(fingerprint(&first.key)))
            .await
            .unwrap();
        assert_eq!(view.fingerprint, Some(fingerprint(&second.key)));
        assert_eq!(view.key_rotation_grace_until, None);
        let states: Vec<_> = bed
            .keys(first.id)
            .await
            .iter()
            .map(|key| key.state(bed.kernel.now()))
            .collect();
        assert_eq!(states, [KeyState::Revoked, KeyState::Active]);
        let error = bed
            .vault
            .revoke(&manager, first.id, request(fingerprint(&fresh_key())))
            .await
            .unwrap_err();
        assert_eq!(at(&error), (Code::FieldInvalid, Some("fingerprint")));
    }
}

#[tokio::test]
async fn a_manager_replaces_a_lost_key_and_all_earlier_ones_die() {
    for bed in Bed::all().await {
        let first = bed.agent("reader").await;
        let (second, _) = bed.rotate(&first, None).await;
        let new = fresh_key();
        let request = bed.replacement_by(&second, &new).await;
        let view = bed
            .vault
            .replace(&bed.as_role(Role::Manager), first.id, request.clone())
            .await
            .unwrap();
        assert_eq!(view.fingerprint, Some(fingerprint(&new)));
        assert_eq!((view.key_rotation_grace_until, view.rotation_count), (None, 2));
        let states: Vec<_> = bed
            .keys(first.id)
            .await
            .iter()
            .map(|key| key.state(bed.kernel.now()))
            .collect();
        assert_eq!(states, [KeyState::Revoked, KeyState::Revoked, KeyState::Active]);
        assert_eq!(
            bed.audited().await,
            [
                "agent_key.rotated",
                "agent_key.revoked",
                "agent_key.revoked",
                "agent_key.replaced"
            ]
        );
        let error = bed
            .vault
            .replace(&bed.as_role(Role::Manager), first.id, request)
            .await
            .unwrap_err();
        assert_eq!(at(&error), (Code::ChallengeInvalid, Some("challenge")));
    }
}

#[tokio::test]
async fn the_history_tells_who_when_why_and_how_each_key_ended() {
    for bed in Bed::all().await {
        let first = bed.agent("reader").await;
        let started = bed.kernel.now();
        bed.clock.advance(TimeDelta::days(10));
        let key = fresh_key();
        let mut request = bed.rotation_to(&first, &key, Some(1)).await;
        request.reason = Some("yearly".to_owned());
        bed.vault
            .rotate(&bed.as_agent(&first), first.id, request)
            .await
            .unwrap();
        let rotated = bed.kernel.now();

        let history = bed
            .vault
            .history(&bed.as_role(Role::Viewer), first.id)
            .await
            .unwrap();
        assert_eq!(history.total, 2);
        let (latest, earliest) = (&history.keys[0], &history.keys[1]);
        assert_eq!((latest.sequence, latest.status), (2, KeyState::Active));
        assert_eq!(
            (latest.created_at, latest.created_reason.as_str()),
            (rotated, "yearly")
        );
        assert_eq!(latest.created_by, format!("agent:{}", first.id));
        assert_eq!((latest.ended_by.as_ref(), latest.replaced_at), (None, None));
        assert_eq!((earliest.sequence, earliest.status), (1, KeyState::InGrace));
        assert_eq!(
            (earliest.created_at, earliest.created_by.as_str()),
            (started, "user:registrar")
        );
        assert_eq!(
            (earliest.replaced_at, earliest.grace_until),
            (Some(rotated), Some(rotated + TimeDelta::hours(1)))
        );
        assert_eq!(earliest.ended_by, Some(format!("agent:{}", first.id)));
        assert_eq!(earliest.end_reason.as_deref(), Some("yearly"));
        assert_eq!(earliest.public_key, first.key.public().spki_base64());
    }
}

#[tokio::test]
async fn a_credential_for_a_part_of_the_capabilities_does_not_touch_the_identity() {
    for bed in Bed::all().await {
        let agent = bed.agent("reader").await;
        let request = bed.rotation_to(&agent, &fresh_key(), None).await;
        let mut ctx = bed.as_agent(&agent);
        ctx.actor = Actor::Agent {
            id: agent.id,
            credential: AgentCredential::Limited {
                id: Uuid::nil(),
                capabilities: vec!["*".to_owned()],
                limits: aim_core::ctx::CredentialLimits::default(),
            },
        };
        assert_eq!(
            bed.vault.challenge(&ctx, agent.id).await.unwrap_err().code,
            Code::Forbidden
        );
        assert_eq!(
            bed.vault.rotate(&ctx, agent.id, request).await.unwrap_err().code,
            Code::Forbidden
        );
        assert_eq!(bed.keys(agent.id).await.len(), 1);
    }
}
