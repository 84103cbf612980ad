//! Expiry warnings.

use aim_core::{PageRequest, Role};
use aim_key_vault::{challenge, jobs, model::KeyWarnings};
use chrono::TimeDelta;

use crate::bed::{Bed, fingerprint, revoke_all};

async fn thresholds(bed: &Bed) -> Vec<(String, i64, i64)> {
    let page = bed
        .vault
        .warnings(&bed.as_role(Role::Viewer), PageRequest::default())
        .await
        .unwrap();
    assert_eq!(usize::try_from(page.total).unwrap(), page.warnings.len());
    page.warnings
        .into_iter()
        .map(|warning| (warning.agent_name, warning.threshold_days, warning.days_left))
        .collect()
}

#[tokio::test]
async fn each_threshold_warns_once_and_the_tightest_that_applies() {
    for bed in Bed::all().await {
        let agent = bed
            .agent_of(bed.organization, "reader", TimeDelta::days(40))
            .await;
        let expiry = bed.keys(agent.id).await[0].expires_at;
        let just_before = TimeDelta::microseconds(1);
        for (moment, given) in [
            (bed.kernel.now(), 0),
            (expiry - TimeDelta::days(30) - just_before, 0),
            (expiry - TimeDelta::days(30), 1),
            (expiry - TimeDelta::days(20), 0),
            // The fourteen-day warning was slept through: only the tighter one is given.
            (expiry - TimeDelta::days(6), 1),
            (expiry - TimeDelta::hours(3), 1),
            (expiry, 0),
        ] {
            assert_eq!(
                jobs::warn(&bed.kernel.store, moment).await.unwrap(),
                given,
                "at {moment}"
            );
            assert_eq!(
                jobs::warn(&bed.kernel.store, moment).await.unwrap(),
                0,
                "again at {moment}"
            );
        }
        assert_eq!(bed.audited().await, vec!["agent_key.expiry_warning"; 3]);
        bed.clock.set(expiry - TimeDelta::hours(3));
        assert_eq!(thresholds(&bed).await, [("reader".to_owned(), 1, 1)]);
    }
}

#[tokio::test]
async fn a_key_that_ended_is_neither_warned_of_nor_listed() {
    for bed in Bed::all().await {
        let soon = TimeDelta::days(10);
        let stays = bed.agent_of(bed.organization, "stays", soon).await;
        let rotated = bed.agent_of(bed.organization, "rotated", soon).await;
        let revoked = bed.agent_of(bed.organization, "revoked-key", soon).await;
        let deleted = bed.agent_of(bed.organization, "revoked-agent", soon).await;
        assert_eq!(jobs::warn(&bed.kernel.store, bed.kernel.now()).await.unwrap(), 4);
        assert_eq!(thresholds(&bed).await.len(), 4);

        bed.rotate(&rotated, None).await;
        bed.vault
            .revoke(&bed.as_role(Role::Manager), revoked.id, revoke_all("leaked"))
            .await
            .unwrap();
        bed.set_status(deleted.id, "revoked").await;
        assert_eq!(thresholds(&bed).await, [("stays".to_owned(), 14, 10)]);
        bed.clock.advance(TimeDelta::days(5));
        assert_eq!(jobs::warn(&bed.kernel.store, bed.kernel.now()).await.unwrap(), 1);
        let listed = bed
            .vault
            .warnings(&bed.as_role(Role::Viewer), PageRequest::default())
            .await
            .unwrap();
        assert_eq!(
            (listed.warnings[0].agent_id, listed.warnings[0].threshold_days),
            (stays.id, 7)
        );
        assert_eq!(listed.warnings[0].fingerprint, fingerprint(&stays.key));
    }
}

#[tokio::test]
async fn every_tenant_is_warned_of_its_own_keys_only() {
    for mut bed in Bed::all().await {
        bed.agent_of(bed.organization, "ours", TimeDelta::days(3)).await;
        bed.agent_of(bed.other_organization, "theirs", TimeDelta::days(3))
            .await;
        assert_eq!(jobs::warn(&bed.kernel.store, bed.kernel.now()).await.unwrap(), 2);
        assert_eq!(thresholds(&bed).await, [("ours".to_owned(), 7, 3)]);
        std::mem::swap(&mut bed.organization, &mut bed.other_organization);
        assert_eq!(thresholds(&bed).await, [("theirs".to_owned(), 7, 3)]);
    }
}

#[tokio::test]
async fn pages_go_on_where_the_last_one_ended_even_if_its_last_key_was_replaced_since() {
    for bed in Bed::all().await {
        let mut agents = Vec::new();
        for (name, days) in [("c", 3), ("a", 2), ("b", 2), ("d", 20)] {
            agents.push(bed.agent_of(bed.organization, name, TimeDelta::days(days)).await);
        }
        jobs::warn(&bed.kernel.store, bed.kernel.now()).await.unwrap();
        let viewer = bed.as_role(Role::Viewer);
        let names = |page: &KeyWarnings| {
            page.warnings
                .iter()
                .map(|warning| warning.agent_name.clone())
                .collect::<Vec<_>>()
        };
        let first = bed
            .vault
            .warnings(&viewer, PageRequest::parse(Some(2), None, None).unwrap())
            .await
            .unwrap();
        // These two expire at the same moment; their ids decide.
        let mut soonest = names(&first);
        soonest.sort();
        assert_eq!((soonest, first.total), (vec!["a".to_owned(), "b".to_owned()], 4));
        let last = agents
            .iter()
            .find(|agent| agent.id == first.warnings[1].agent_id)
            .unwrap();
        bed.rotate(last, None).await;
        let page = PageRequest::parse(Some(2), None, first.next_cursor.as_deref()).unwrap();
        let second = bed.vault.warnings(&viewer, page).await.unwrap();
        assert_eq!(
            (names(&second), second.next_cursor),
            (vec!["c".to_owned(), "d".to_owned()], None)
        );
    }
}

#[tokio::test]
async fn expired_challenges_are_forgotten_and_live_ones_kept() {
    for bed in Bed::all().await {
        let agent = bed.agent("reader").await;
        bed.vault
            .challenge(&bed.as_agent(&agent), agent.id)
            .await
            .unwrap();
        bed.clock.advance(TimeDelta::minutes(10));
        bed.vault
            .challenge(&bed.as_agent(&agent), agent.id)
            .await
            .unwrap();
        let now = bed.kernel.now();
        let forgotten = bed
            .kernel
            .store
            .write(bed.organization, move |db| challenge::forget(db, now))
            .await
            .unwrap();
        assert_eq!(forgotten, 1);
    }
}
