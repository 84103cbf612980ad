//! How the organisation's trust moves.

use aim_core::Role;
use aim_trust::{
    model::NewAdjustment,
    trends::{Direction, Interval, TrendsFilter, TrendsQuery},
};
use chrono::TimeDelta;

use crate::bed::Bed;

fn filter() -> TrendsFilter {
    TrendsQuery {
        periods: Some(7),
        ..TrendsQuery::default()
    }
    .check()
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn movers_and_the_spread_are_those_of_the_stored_days() {
    for bed in Bed::all().await {
        let (rises, falls, rests, fresh) = (
            bed.agent("rises").await,
            bed.agent("falls").await,
            bed.agent("rests").await,
            bed.agent("unscored").await,
        );
        for agent in [rises, falls, rests] {
            bed.decided(agent, 40, 0).await;
        }
        bed.violated(rises, "critical", 6).await;
        bed.set_type_and_tag(falls, "worker", "blue").await;
        bed.set_type_and_tag(rests, "worker", "red").await;
        bed.run().await;
        for _ in 0..7 {
            bed.pass(TimeDelta::days(1));
            assert_eq!(bed.run().await, 4, "each is computed once a day");
        }
        let new = NewAdjustment {
            delta: -30,
            reason: "for the test".to_owned(),
            expires_at: bed.now() + TimeDelta::days(10),
        };
        bed.trust
            .adjust(&bed.as_role(Role::Admin), falls, new)
            .await
            .unwrap();
        let viewer = bed.as_role(Role::Viewer);
        let trends = bed.trust.trends(&viewer, filter()).await.unwrap();
        assert_eq!((trends.total_agents, trends.scored_agents), (4, 3));
        let up: Vec<_> = trends.movers_up.iter().map(|agent| agent.agent_id).collect();
        assert!(up.contains(&rises));
        assert_eq!(trends.movers_down.len(), 1);
        assert_eq!(trends.movers_down[0].agent_id, falls);
        assert_eq!(trends.movers_down[0].previous_score, Some(88));
        assert_eq!(trends.trends[0].agent_id, falls, "it moved most");
        assert!(trends.lowest.iter().all(|agent| agent.agent_id != fresh));
        assert_eq!(trends.distribution.len(), 8);
        let last = trends.distribution.last().unwrap();
        assert_eq!((last.bands.iter().sum::<i64>(), last.unscored), (3, 1));
        assert_eq!(last.average, trends.average);
        assert_eq!(last.bands[2], 1, "59 stands between 40 and 59: {last:?}");

        let of_type = TrendsFilter {
            agent_type: Some("worker".to_owned()),
            ..filter()
        };
        let workers = bed.trust.trends(&viewer, of_type.clone()).await.unwrap();
        assert_eq!(workers.total_agents, 2);
        assert_eq!(workers.distribution[0].bands.iter().sum::<i64>(), 2);
        let tagged = TrendsFilter {
            tag: Some("red".to_owned()),
            ..of_type
        };
        let red = bed.trust.trends(&viewer, tagged).await.unwrap();
        assert_eq!((red.total_agents, red.movers_down.len()), (1, 0));
        assert_eq!(red.distribution[0].bands.iter().sum::<i64>(), 1);
        let weeks = TrendsFilter {
            interval: Interval::Week,
            periods: 1,
            ..filter()
        };
        let weeks = bed.trust.trends(&viewer, weeks).await.unwrap();
        assert_eq!((weeks.from, weeks.distribution.len()), (trends.from, 2));

        let stranger = bed.as_role_of(bed.other_organization, Role::Admin);
        let theirs = bed.trust.trends(&stranger, filter()).await.unwrap();
        assert_eq!((theirs.total_agents, theirs.distribution.len()), (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_had_no_score_then_is_new_and_not_a_mover() {
    for bed in Bed::all().await {
        let agent = bed.agent("fresh").await;
        bed.decided(agent, 40, 0).await;
        bed.run().await;
        let trends = bed
            .trust
            .trends(&bed.as_role(Role::Viewer), filter())
            .await
            .unwrap();
        assert!(trends.trends.is_empty());
        assert_eq!(trends.lowest[0].trend, Direction::New);
    }
}

#[test]
fn parameters_out_of_range_are_refused_by_name() {
    let refused = |query: TrendsQuery| query.check().unwrap_err().field.unwrap();
    let query = TrendsQuery::default;
    assert_eq!(
        refused(TrendsQuery {
            interval: Some("month".to_owned()),
            ..query()
        }),
        "interval"
    );
    assert_eq!(
        refused(TrendsQuery {
            periods: Some(0),
            ..query()
        }),
        "periods"
    );
    assert_eq!(
        refused(TrendsQuery {
            periods: Some(32),
            ..query()
        }),
        "periods"
    );
    assert_eq!(
        refused(TrendsQuery {
            limit: Some(101),
            ..query()
        }),
        "limit"
    );
    assert_eq!(
        refused(TrendsQuery {
            tag: Some(String::new()),
            ..query()
        }),
        "tag"
    );
    assert_eq!(
        refused(TrendsQuery {
            agent_type: Some("x".repeat(257)),
            ..query()
        }),
        "agent_type"
    );
}
