//! What retention takes, and what it leaves.

use aim_core::{AgentId, Role, Timestamp};
use aim_platform::{
    Module,
    retention::{Retained, Trim},
};
use aim_trust::Trust;
use chrono::TimeDelta;

use crate::bed::Bed;

async fn trim(bed: &Bed, retained: Retained, before: Timestamp, held: Vec<AgentId>) -> usize {
    let (mut changed, mut after) = (0, None);
    loop {
        let piece = Trim {
            organization: bed.organization,
            before,
            held: held.clone(),
            after: after.clone(),
            limit: 2,
        };
        let trimmed = bed
            .kernel
            .store
            .write(bed.organization, move |db| (retained.trim)(db, &piece))
            .await
            .unwrap();
        changed += trimmed.changed;
        after = trimmed.reached;
        if !trimmed.more {
            return changed;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_and_days_long_past_go_but_not_those_under_a_hold_and_never_the_score() {
    for bed in Bed::all().await {
        let (agent, held) = (bed.agent("trimmed").await, bed.agent("held").await);
        for agent in [agent, held] {
            bed.decided(agent, 400, 0).await;
            bed.violated(agent, "critical", 6).await;
        }
        bed.run().await;
        for _ in 0..9 {
            bed.pass(TimeDelta::days(1));
            bed.run().await;
        }
        let (score, before) = (bed.published(agent).await, bed.now() - TimeDelta::days(3));
        let rows = |table: &str| format!("SELECT count(*) FROM {table}");
        for retained in Trust::new(&bed.kernel).retained() {
            let oldest = |held: Vec<AgentId>| {
                let organization = bed.organization;
                bed.kernel.store.read(organization, move |db| {
                    (retained.oldest)(db, organization, &held, None)
                })
            };
            assert!(
                oldest(Vec::new()).await.unwrap().unwrap() < before,
                "{}",
                retained.name
            );
            let all = bed.database.count(&rows(retained.name)).await;
            let changed = trim(&bed, retained, before, vec![held]).await;
            assert!(changed > 2, "{}: {changed}", retained.name);
            let left = bed.database.count(&rows(retained.name)).await;
            assert_eq!(all - left, i64::try_from(changed).unwrap());
            assert!(oldest(vec![held]).await.unwrap().unwrap() >= before - TimeDelta::days(1));
            assert!(
                oldest(Vec::new()).await.unwrap().unwrap() < before,
                "what is held stays"
            );
            assert_eq!(trim(&bed, retained, before, vec![held]).await, 0);
            assert!(
                trim(&bed, retained, before, Vec::new()).await > 2,
                "the hold is over"
            );
        }
        assert_eq!(bed.published(agent).await, score);
        let breakdown = bed
            .trust
            .breakdown(&bed.as_role(Role::Viewer), agent)
            .await
            .unwrap();
        assert!(breakdown.inputs.is_some());
    }
}
