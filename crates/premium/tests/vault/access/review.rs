//! What nobody reads, and grants that cover too much.

use aim_core::{Code, Role};
use aim_platform::Module;
use aim_platform::retention::Trim;
use aim_premium::access::{
    Access,
    honeytokens::{PostHoneytokens, Shape},
    model::{BroadQuery, UnusedQuery},
};
use aim_testkit::seed_organization;
use chrono::TimeDelta;
use serde_json::json;

use super::Audit;
use crate::bed::{Bed, at, refused, wish_of};

#[tokio::test(flavor = "multi_thread")]
async fn secrets_that_nobody_reads_are_listed_and_young_ones_and_honeytokens_are_not() {
    for bed in Bed::all().await {
        let audit = Audit::of(&bed).await;
        for path in ["payments/never", "payments/once", "payments/used"] {
            bed.put(path, "v").await;
        }
        let bait = PostHoneytokens {
            paths: vec!["payments/bait".to_owned()],
            shape: Shape::Generic,
            note: None,
        };
        let admin = bed.as_role(Role::Admin);
        audit.service.add_honeytokens(&admin, bait).await.unwrap();
        audit.read("payments/once").await;
        bed.clock.advance(TimeDelta::days(91));
        audit.read("payments/used").await;
        bed.put("payments/young", "v").await;
        audit.catch_up().await;
        let manager = bed.manager();
        let list = audit
            .service
            .unused(&manager, &UnusedQuery::default())
            .await
            .unwrap();
        let paths: Vec<_> = list
            .secrets
            .iter()
            .map(|secret| (secret.path.as_str(), secret.last_read_at.is_some()))
            .collect();
        assert_eq!(paths, [("payments/never", false), ("payments/once", true)]);
        assert_eq!((list.days, list.next_cursor), (90, None));
        // Page by page it is the same.
        let mut query = UnusedQuery {
            limit: Some("1".to_owned()),
            ..UnusedQuery::default()
        };
        let mut paged = Vec::new();
        loop {
            let page = audit.service.unused(&manager, &query).await.unwrap();
            paged.extend(page.secrets);
            query.cursor = page.next_cursor;
            if query.cursor.is_none() {
                break;
            }
        }
        assert_eq!(paged, list.secrets);
        let longer = UnusedQuery {
            days: Some("92".to_owned()),
            ..UnusedQuery::default()
        };
        let list = audit.service.unused(&manager, &longer).await.unwrap();
        assert!(list.secrets.is_empty(), "they are not that old");
        let away = seed_organization(&bed.kernel.store).await.organization;
        let stranger = bed.as_role_of(away, Role::Manager);
        let list = audit
            .service
            .unused(&stranger, &UnusedQuery::default())
            .await
            .unwrap();
        assert!(list.secrets.is_empty());
        let wrong = UnusedQuery {
            days: Some("0".to_owned()),
            ..UnusedQuery::default()
        };
        let refusal = audit.service.unused(&manager, &wrong).await;
        assert_eq!(refused(refusal), (Code::FieldInvalid, "days".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broad_grant_is_named_with_what_would_be_enough_and_a_narrow_one_is_not() {
    for bed in Bed::all().await {
        let audit = Audit::of(&bed).await;
        // The bed's grant covers payments/**.
        for number in 0..10 {
            bed.put(&format!("payments/{number}"), "v").await;
        }
        bed.put("hr/a", "v").await;
        audit.read("payments/3").await;
        audit.catch_up().await;
        let manager = bed.manager();
        let list = audit
            .service
            .broad(&manager, &BroadQuery::default())
            .await
            .unwrap();
        assert_eq!(list.grants.len(), 1);
        let grant = &list.grants[0];
        assert_eq!(
            (grant.agent_id, grant.covered, grant.covered_or_more, grant.read),
            (bed.agent.id, 10, false, 1)
        );
        assert_eq!(grant.resources, ["payments/**"]);
        assert_eq!(grant.enough, ["payments/3"]);
        assert_eq!(list.next_cursor, None);
        for number in 0..3 {
            audit.read(&format!("payments/{number}")).await;
        }
        audit.catch_up().await;
        let list = audit
            .service
            .broad(&manager, &BroadQuery::default())
            .await
            .unwrap();
        assert!(list.grants.is_empty(), "ten covered and four read is not broad");
        // Reads of long ago do not count.
        bed.clock.advance(TimeDelta::days(31));
        let list = audit
            .service
            .broad(&bed.manager(), &BroadQuery::default())
            .await
            .unwrap();
        assert_eq!((list.grants.len(), list.grants[0].read), (1, 0));
        bed.database
            .sql("UPDATE grants SET revoked_at = granted_at")
            .await;
        let list = audit
            .service
            .broad(&bed.manager(), &BroadQuery::default())
            .await
            .unwrap();
        assert!(list.grants.is_empty(), "a revoked grant covers nothing");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_takes_what_is_old_and_not_what_is_held() {
    for bed in Bed::all().await {
        let audit = Audit::of(&bed).await;
        bed.put("payments/a", "v").await;
        audit.read("payments/a").await;
        bed.clock.advance(TimeDelta::days(40));
        audit.read("payments/a").await;
        audit.catch_up().await;
        let retained = Access::new(&bed.kernel, bed.vault.clone()).retained();
        assert_eq!(retained.len(), 2);
        let (organization, now) = (bed.organization, bed.kernel.now());
        for held in [vec![bed.agent.id], Vec::new()] {
            let left = if held.is_empty() { 1 } else { 2 };
            for table in &retained {
                let (table, held) = (*table, held.clone());
                let (trimmed, oldest) = bed
                    .kernel
                    .store
                    .write(organization, move |db| {
                        let trim = Trim {
                            organization,
                            before: now - TimeDelta::days(30),
                            held: held.clone(),
                            after: None,
                            limit: 100,
                        };
                        let oldest = (table.oldest)(db, organization, &held, None)?;
                        Ok(((table.trim)(db, &trim)?, oldest))
                    })
                    .await
                    .unwrap();
                // The organisation's own hours are no agent's; the agent has hours over all secrets and with this one.
                let is_hours = table.name == "vault_access_hours";
                let (changed, known) = match (is_hours, left) {
                    (true, 2) => (1, true),
                    (true, _) => (2, true),
                    (false, 2) => (0, false),
                    (false, _) => (1, true),
                };
                assert_eq!(
                    (trimmed.changed, trimmed.more, oldest.is_some()),
                    (changed, false, known),
                    "{}",
                    table.name
                );
            }
            for table in ["vault_accesses", "vault_access_hours"] {
                let count = bed.database.count(&format!("SELECT count(*) FROM {table}")).await;
                // Hours: two of the agent, the one with this secret that is over, and the organisation's second.
                let expected = match (table, left) {
                    ("vault_access_hours", 2) => 4,
                    ("vault_access_hours", _) => 2,
                    _ => left,
                };
                assert_eq!(count, expected, "{table}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_could_read_any_more_is_not_unused() {
    for bed in Bed::all().await {
        let audit = Audit::of(&bed).await;
        for path in [
            "payments/deleted",
            "payments/destroyed",
            "payments/there",
            "payments/written",
        ] {
            bed.put(path, "v").await;
        }
        let end = bed.kernel.now() + TimeDelta::days(5);
        let ending = json!({"kind": "api_key", "fields": {"value": "v"}, "expires_at": end});
        bed.try_put("payments/ended", wish_of(ending)).await.unwrap();
        for path in ["payments/deleted", "payments/written"] {
            bed.vault.delete(&bed.manager(), at(path), None).await.unwrap();
        }
        bed.destroy("payments/destroyed", 1).await.unwrap();
        bed.put("payments/written", "anew").await;
        bed.clock.advance(TimeDelta::days(91));
        audit.catch_up().await;
        let list = audit
            .service
            .unused(&bed.manager(), &UnusedQuery::default())
            .await
            .unwrap();
        let paths: Vec<_> = list.secrets.iter().map(|secret| secret.path.as_str()).collect();
        assert_eq!(paths, ["payments/there", "payments/written"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_reads_elsewhere_does_not_hide_what_it_reads_by_a_grant() {
    for bed in Bed::all().await {
        let audit = Audit::of(&bed).await;
        for number in 0..10 {
            bed.put(&format!("payments/{number}"), "v").await;
        }
        for number in 0..4 {
            audit.read(&format!("payments/{number}")).await;
        }
        audit.catch_up().await;
        // As if it had read two thousand others, whose paths come first.
        bed.database
            .sql(
                "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 2000)
                 INSERT INTO vault_access_pairs (org_id, path, agent_id, approved, denied, first_read_at, last_read_at,
                   last_denied_at, hours_seen)
                 SELECT p.org_id, 'logs/' || n, p.agent_id, 1, 0, p.first_read_at, p.last_read_at, NULL, 0
                 FROM vault_access_pairs p, numbers WHERE p.path = 'payments/0'",
            )
            .await;
        let list = audit
            .service
            .broad(&bed.manager(), &BroadQuery::default())
            .await
            .unwrap();
        assert!(list.grants.is_empty(), "ten covered and four read: {list:?}");
    }
}
