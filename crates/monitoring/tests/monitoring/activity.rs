//! Decisions are counted once each, by hour and by day, and by tenant.

use aim_core::{Code, Timestamp};
use aim_monitoring::activity::model::{ActivityQuery, Counts, Granularity};
use aim_platform::{FollowRunner, Module};
use chrono::TimeDelta;
use serde_json::json;

use crate::bed::on_each;

fn counts(approved: i64, denied: i64, pending: i64, refused: i64) -> Counts {
    Counts {
        approved,
        denied,
        pending,
        refused,
    }
}

#[tokio::test]
async fn each_decision_counts_once_in_its_hour_for_its_agent_and_its_organisation() {
    on_each(|bed| async move {
        let (home, agent) = (bed.home, bed.agent);
        let mut entries = vec![
            bed.decision(home, agent, "approved"),
            bed.decision(home, agent, "approved"),
            bed.decision(home, agent, "denied"),
            bed.decision(home, agent, "pending"),
            bed.decision(bed.elsewhere, bed.stranger, "denied"),
            bed.event("authentication.refused", json!({})).outcome("refused"),
            bed.event("agent.updated", json!({})),
        ];
        bed.log(entries.clone()).await;
        bed.follow().await;
        bed.clock.advance(TimeDelta::hours(2));
        entries.truncate(1);
        for entry in &mut entries {
            entry.at = bed.now();
        }
        bed.log(entries).await;
        bed.follow().await;
        bed.follow().await;

        let service = bed.monitoring.activity();
        let all = service
            .activity(&bed.manager(), &ActivityQuery::default())
            .await
            .unwrap();
        assert_eq!(all.totals, counts(3, 1, 1, 1), "{}", bed.database.kind);
        assert_eq!(all.series.len(), 24);
        let hours: Vec<_> = all
            .series
            .iter()
            .filter(|point| point.counts != Counts::default())
            .map(|point| (point.at, point.counts.approved))
            .collect();
        let at = |text| Timestamp::parse(text).unwrap();
        assert_eq!(
            hours,
            [(at("2026-11-23T10:00:00Z"), 2), (at("2026-11-23T12:00:00Z"), 1)]
        );

        let of_agent = ActivityQuery {
            agent_id: Some(agent),
            granularity: Granularity::Day,
            ..ActivityQuery::default()
        };
        let mine = service.activity(&bed.manager(), &of_agent).await.unwrap();
        assert_eq!(
            mine.series.last().map(|point| point.counts),
            Some(counts(3, 1, 1, 1))
        );
        let theirs = service
            .activity(&bed.caller(bed.elsewhere), &ActivityQuery::default())
            .await
            .unwrap();
        assert_eq!(theirs.totals, counts(0, 1, 0, 0));
        let foreign = service.activity(&bed.caller(bed.elsewhere), &of_agent).await;
        assert_eq!(foreign.unwrap_err().code, Code::NotFound);
    })
    .await;
}

#[tokio::test]
async fn two_nodes_that_take_turns_count_nothing_twice() {
    on_each(|bed| async move {
        let mut other = bed.kernel.clone();
        other.node = "other-node".into();
        let monitoring = aim_monitoring::Monitoring::new(&other);
        let others = FollowRunner::new(other, monitoring.followers());
        others.prepare().await.unwrap();
        for _ in 0..3 {
            bed.log(vec![bed.decision(bed.home, bed.agent, "approved")]).await;
            bed.follow().await;
            // The lease of the node that read last ends; the other one goes on.
            bed.clock.advance(TimeDelta::minutes(1));
            others.catch_up().await.unwrap();
            bed.log(vec![bed.decision(bed.home, bed.agent, "denied")]).await;
            others.catch_up().await.unwrap();
            bed.clock.advance(TimeDelta::minutes(1));
        }
        bed.follow().await;
        let all = bed
            .monitoring
            .activity()
            .activity(&bed.manager(), &ActivityQuery::default())
            .await
            .unwrap();
        assert_eq!(all.totals, counts(3, 3, 0, 0), "{}", bed.database.kind);
    })
    .await;
}
