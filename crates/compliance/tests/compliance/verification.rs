//! The daily check of the log.

use std::time::Duration;

use aim_compliance::verification::{Checker, Verification, last};
use aim_core::Clock;
use aim_store::Scope;
use chrono::TimeDelta;

use crate::bed::{Bed, PATIENCE};

async fn noted(bed: &Bed) -> Option<Verification> {
    bed.database.store.read(Scope::Installation, last).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_checked_once_a_day_in_pieces_while_it_grows() {
    for bed in Bed::all().await {
        let agent = bed.agent(bed.home, "reader").await;
        // More than two pieces of records: events, which are quick to make.
        let ctx = bed.home.ctx(bed.clock.now());
        for _ in 0..5 {
            let ctx = ctx.clone();
            bed.database
                .store
                .write(bed.home.organization, move |db| {
                    let entries = (0..900).map(|_| aim_audit::Entry::event(&ctx, "test.made"));
                    aim_audit::append(db, entries.collect()).map(|_| ())
                })
                .await
                .unwrap();
        }
        let checker = Checker::new(&bed.database.store);
        let now = bed.clock.now();
        checker.run(now, Duration::ZERO).await.unwrap();
        assert_eq!(noted(&bed).await, None, "it cannot be through with it");
        bed.denials(bed.home, &agent, 5).await;
        checker.run(now, PATIENCE).await.unwrap();
        let first = noted(&bed).await.unwrap();
        assert!(first.intact, "{first:?}");
        assert_eq!((first.records, first.source.as_str()), (4_505, "job"));

        checker.run(now + TimeDelta::hours(23), PATIENCE).await.unwrap();
        assert_eq!(noted(&bed).await, Some(first.clone()));
        bed.database
            .sql("UPDATE decisions SET outcome = 'approved' WHERE leaf_index = 4503")
            .await;
        checker.run(now + TimeDelta::hours(25), PATIENCE).await.unwrap();
        let second = noted(&bed).await.unwrap();
        assert_eq!((second.intact, second.findings), (false, 1));
    }
}
