//! Who took what: rows and numbers.

use aim_core::{Code, Role};
use aim_premium::{
    access::model::{AccessQuery, SummaryQuery},
    vault::reveals::model::RevealMode,
};
use aim_testkit::{seed_agent, seed_organization};
use aim_violations::VerificationService;
use chrono::TimeDelta;
use diesel::RunQueryDsl as _;
use serde_json::json;

use super::{Audit, HOME, audit_of, beds_of_both};
use crate::{
    bed::{Bed, refused},
    reveals::Person,
    wraps,
};

const LIVE: &str = "payments/stripe/live";

#[tokio::test(flavor = "multi_thread")]
async fn an_access_tells_who_took_which_version_when_from_where_and_by_which_grant() {
    for both in beds_of_both().await {
        let (audit, bed) = (audit_of(&both).await, &both.0);
        bed.put(LIVE, "one").await;
        bed.clock.advance(TimeDelta::seconds(1));
        let read = audit.read(LIVE).await;
        // The follower looks later, and by then there is a newer version.
        bed.clock.advance(TimeDelta::seconds(1));
        bed.put(LIVE, "two").await;
        let accesses = audit.accesses().await;
        assert_eq!(accesses.len(), 1);
        let access = &accesses[0];
        let decision = &read.reply.decision;
        assert_eq!(access.decision_id, Some(decision.id));
        assert_eq!(
            (access.path.as_str(), access.agent_id, access.version),
            (LIVE, Some(bed.agent.id), Some(1))
        );
        assert_eq!(
            (access.outcome.as_str(), access.delivery.as_deref()),
            ("approved", Some("sealed"))
        );
        let grant = decision.decided_by.unwrap().id;
        assert_eq!(access.decided_by, Some(format!("grant:{grant}")));
        assert_eq!(access.source_ip.as_deref(), Some(HOME));
        assert_eq!(access.at, decision.created_at);
        assert_eq!(access.actor, format!("agent:{}", bed.agent.id));
    }
}

/// The tables cannot tell what a read found from what was written at the very same moment; the transaction of the read could.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_read_found_is_handed_to_an_audit_of_the_same_process() {
    for both in beds_of_both().await {
        let (audit, bed) = (audit_of(&both).await, &both.0);
        bed.put(LIVE, "one").await;
        audit.read(LIVE).await;
        bed.put(LIVE, "two").await;
        let is_handed_over = !both.1 && !bed.kernel.store.is_postgres();
        let accesses = audit.accesses().await;
        assert_eq!(accesses[0].version, Some(if is_handed_over { 1 } else { 2 }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn denied_pending_taken_up_and_empty_handed_reads_stand_there_as_what_they_were() {
    for both in beds_of_both().await {
        let (audit, bed) = (audit_of(&both).await, &both.0);
        bed.put("hr/salaries", "v").await;
        bed.put("payments/payout", "v").await;
        bed.grant("require_approval", "payments/payout").await;
        bed.clock.advance(TimeDelta::seconds(1));
        audit.read("hr/salaries").await;
        audit.read("hr/nothing").await;
        let pending = audit.read("payments/payout").await.reply.decision.id;
        bed.review(pending, true).await;
        bed.clock.advance(TimeDelta::seconds(1));
        bed.take_up("payments/payout", None, pending).await.unwrap();
        let ctx = audit.ctx_of(&bed.agent);
        bed.put("payments/gone", "v").await;
        bed.destroy("payments/gone", 1).await.unwrap();
        for path in ["payments/nothing", "payments/gone"] {
            let nothing = bed.read_by(&bed.vault, &ctx, path, None).await;
            assert_eq!(refused(nothing).0, Code::NotFound);
        }
        let mut seen: Vec<_> = audit
            .accesses()
            .await
            .into_iter()
            .map(|access| (access.path, access.outcome, access.delivery, access.version))
            .collect();
        seen.sort();
        let row = |path: &str, outcome: &str, delivery: Option<&str>, version| {
            (
                path.to_owned(),
                outcome.to_owned(),
                delivery.map(str::to_owned),
                version,
            )
        };
        assert_eq!(
            seen,
            [
                row("hr/nothing", "denied", None, None),
                row("hr/salaries", "denied", None, None),
                row("payments/gone", "approved", Some("nothing"), None),
                row("payments/nothing", "approved", Some("nothing"), None),
                row(
                    "payments/payout",
                    "approved",
                    Some("sealed_after_approval"),
                    Some(1)
                ),
                row("payments/payout", "pending", None, None),
            ]
        );
        let audited = bed.audited().await;
        assert!(
            audited.contains(&"secret.not_delivered".to_owned()),
            "{audited:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_and_pages_show_each_access_once() {
    for both in beds_of_both().await {
        let (audit, bed) = (audit_of(&both).await, &both.0);
        for path in ["payments/a", "payments/b", "hr/a"] {
            bed.put(path, "v").await;
        }
        for _ in 0..3 {
            for path in ["payments/a", "payments/b", "hr/a"] {
                bed.clock.advance(TimeDelta::seconds(1));
                audit.read(path).await;
            }
        }
        let all = audit.accesses().await;
        assert_eq!(all.len(), 9);
        let manager = bed.manager();
        let of = |query: AccessQuery| {
            let (service, manager) = (audit.service.clone(), manager.clone());
            async move { service.list(&manager, &query).await.unwrap() }
        };
        let text = |text: &str| Some(text.to_owned());
        let mut query = AccessQuery {
            limit: text("2"),
            ..AccessQuery::default()
        };
        let mut paged = Vec::new();
        loop {
            let page = of(query.clone()).await;
            paged.extend(page.accesses);
            query.cursor = page.next_cursor;
            if query.cursor.is_none() {
                break;
            }
        }
        assert_eq!(paged, all);
        let middle = all[4].at.to_text();
        for (query, count) in [
            (
                AccessQuery {
                    path: text("payments/a"),
                    ..AccessQuery::default()
                },
                3,
            ),
            (
                AccessQuery {
                    prefix: text("payments/"),
                    ..AccessQuery::default()
                },
                6,
            ),
            (
                AccessQuery {
                    outcome: text("denied"),
                    ..AccessQuery::default()
                },
                3,
            ),
            (
                AccessQuery {
                    delivery: text("sealed"),
                    agent_id: Some(bed.agent.id.to_string()),
                    ..AccessQuery::default()
                },
                6,
            ),
            (
                AccessQuery {
                    since: Some(middle.clone()),
                    ..AccessQuery::default()
                },
                5,
            ),
            (
                AccessQuery {
                    until: Some(middle.clone()),
                    ..AccessQuery::default()
                },
                4,
            ),
        ] {
            assert_eq!(of(query.clone()).await.accesses.len(), count, "{query:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_exact_across_restarts_of_the_follower_and_only_of_secrets_that_are_there() {
    for bed in Bed::all().await {
        bed.put(LIVE, "v").await;
        bed.put("hr/a", "v").await;
        let other = seed_agent(&bed.kernel.store, bed.organization, "other").await;
        for _ in 0..3 {
            // A follower that knows nothing each time.
            let audit = Audit::restarted(&bed).await;
            for _ in 0..2 {
                bed.clock.advance(TimeDelta::minutes(25));
                audit.read(LIVE).await;
                audit.read("hr/a").await;
                audit.read("hr/nothing").await;
                audit.read_by(&other, LIVE).await;
            }
            audit.catch_up().await;
            audit.catch_up().await;
        }
        let audit = Audit::of(&bed).await;
        let manager = bed.manager();
        let of_secret = SummaryQuery {
            path: Some(LIVE.to_owned()),
            ..SummaryQuery::default()
        };
        let summary = audit.service.summary(&manager, &of_secret).await.unwrap();
        assert_eq!(
            (
                summary.totals.approved,
                summary.totals.denied,
                summary.totals.pending
            ),
            (6, 6, 0)
        );
        assert_eq!(summary.series.len(), 24);
        let hours: i64 = summary.series.iter().map(|point| point.counts.approved).sum();
        assert_eq!(hours, 6);
        assert_eq!(summary.pairs.len(), 2);
        let reader = &summary.pairs[0];
        assert_eq!(
            (reader.agent_id, reader.approved, reader.denied),
            (Some(bed.agent.id), 6, 0)
        );
        assert_eq!(
            summary.last_read_at.unwrap() - summary.first_read_at.unwrap(),
            TimeDelta::minutes(125)
        );
        let of_agent = SummaryQuery {
            agent_id: Some(bed.agent.id.to_string()),
            ..SummaryQuery::default()
        };
        let summary = audit.service.summary(&manager, &of_agent).await.unwrap();
        let mut paths: Vec<_> = summary.pairs.iter().map(|pair| pair.path.as_str()).collect();
        paths.sort_unstable();
        assert_eq!(paths, ["hr/a", LIVE], "nobody fills the counts with paths");
        let of_all = audit
            .service
            .summary(&manager, &SummaryQuery::default())
            .await
            .unwrap();
        assert_eq!(
            (of_all.totals.approved, of_all.totals.denied, of_all.pairs.len()),
            (6, 18, 0),
            "those at paths that are not there included"
        );
        let malformed = SummaryQuery {
            path: Some("a//b".to_owned()),
            ..SummaryQuery::default()
        };
        let refusal = audit.service.summary(&manager, &malformed).await;
        assert_eq!(refused(refusal), (Code::FieldInvalid, "path".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenant_and_agents_see_nothing_of_it() {
    for bed in Bed::all().await {
        let audit = Audit::of(&bed).await;
        bed.put(LIVE, "v").await;
        audit.read(LIVE).await;
        let own = audit.accesses().await;
        assert_eq!(own.len(), 1);
        let away = seed_organization(&bed.kernel.store).await.organization;
        let stranger = bed.as_role_of(away, Role::Admin);
        let list = audit
            .service
            .list(&stranger, &AccessQuery::default())
            .await
            .unwrap();
        assert!(list.accesses.is_empty());
        // The cursor of another tenant's list is a place in time, and shows nothing of it.
        let cursor = AccessQuery {
            cursor: Some(own[0].id.uuid().simple().to_string()),
            ..AccessQuery::default()
        };
        let list = audit.service.list(&stranger, &cursor).await.unwrap();
        assert!(list.accesses.is_empty());
        for query in [
            SummaryQuery {
                path: Some(LIVE.to_owned()),
                ..SummaryQuery::default()
            },
            SummaryQuery {
                agent_id: Some(bed.agent.id.to_string()),
                ..SummaryQuery::default()
            },
        ] {
            let summary = audit.service.summary(&stranger, &query).await.unwrap();
            assert!(summary.pairs.is_empty() && summary.totals.approved == 0);
        }
        let agent = bed.as_agent();
        let refusal = audit.service.list(&agent, &AccessQuery::default()).await;
        assert_eq!(refused(refusal).0, Code::Forbidden);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_asks_for_the_action_alone_cannot_write_a_delivery_into_the_list() {
    for bed in Bed::all().await {
        let audit = Audit::of(&bed).await;
        bed.put(LIVE, "one").await;
        bed.clock.advance(TimeDelta::seconds(1));
        let forged = serde_json::from_value(json!({
            "action": "secret:read",
            "resource": LIVE,
            "context": {"secret": {"version": 7, "seal_to": "x", "delivery": "sealed_after_approval", "within": "vault"}},
        }));
        let decision = VerificationService::new(&bed.kernel)
            .verify(&audit.ctx_of(&bed.agent), None, "rfc9421", forged.unwrap())
            .await
            .unwrap();
        assert_eq!(decision.status, "approved");
        bed.clock.advance(TimeDelta::seconds(1));
        audit.read(LIVE).await;
        let accesses = audit.accesses().await;
        let seen: Vec<_> = accesses
            .iter()
            .map(|access| {
                (
                    access.outcome.as_str(),
                    access.delivery.as_deref(),
                    access.version,
                )
            })
            .collect();
        assert_eq!(
            seen,
            [("approved", Some("sealed"), Some(1)), ("approved", None, Some(1))]
        );
        assert_eq!(accesses[1].decision_id, Some(decision.id));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_saw_and_what_a_token_handed_over_is_listed_with_who_took_it() {
    for bed in Bed::all().await {
        let audit = Audit::of(&bed).await;
        bed.put(LIVE, "one").await;
        bed.clock.advance(TimeDelta::seconds(1));
        let person = Person::signed_in(&bed, bed.organization).await;
        person.sets(&bed, RevealMode::Reason).await;
        let ask =
            serde_json::from_value(json!({"path": LIVE, "reason": "the provider wants it on the phone"}));
        let _ = bed.vault.reveal(&person.ctx(&bed), ask.unwrap()).await.unwrap();
        bed.clock.advance(TimeDelta::seconds(1));
        let view = wraps::made(&bed, json!({"path": LIVE, "reason": "the first start"})).await;
        let nobody = wraps::nobody(&bed);
        wraps::unwrapped(&bed, &nobody, &view.token).await.unwrap();
        let _ = wraps::unwrapped(&bed, &nobody, &view.token).await.unwrap_err();
        let accesses = audit.accesses().await;
        let seen: Vec<_> = accesses
            .iter()
            .map(|access| {
                let kind = access.actor.split(':').next().unwrap_or_default();
                (
                    kind,
                    access.delivery.as_deref(),
                    access.version,
                    access.outcome.as_str(),
                )
            })
            .collect();
        assert_eq!(
            seen,
            [
                ("anonymous", Some("unwrapped"), Some(1), "approved"),
                ("user", Some("revealed"), Some(1), "approved")
            ]
        );
    }
}

/// Without statistics SQLite would walk through all accesses of the last minutes to find the denials of one agent.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_follower_asks_for_is_found_by_an_index() {
    for bed in Bed::all().await {
        // The text of `store::denials`.
        let denials = "SELECT at, leaf_index, reasons FROM vault_accesses
             WHERE org_id = ? AND agent_id = ? AND id >= ? AND vault_accesses.outcome = 'denied' AND leaf_index < ?
             ORDER BY id DESC LIMIT ?";
        let by_agent = "vault_accesses_by_agent_id_id_denied (org_id=? AND agent_id=? AND id>?)";
        assert_goes_by(&bed, denials, &[by_agent]).await;
        // The texts of `store::set_undelivered`.
        let at_once = "UPDATE vault_accesses SET delivery = ?, version = ?
             WHERE org_id = ? AND id = ? AND agent_id = ? AND outcome = ?";
        assert_goes_by(&bed, at_once, &["PRIMARY KEY (org_id=? AND id=?)"]).await;
        let later = "UPDATE vault_accesses SET delivery = ?, version = ? WHERE org_id = ? AND decision_id = ?
             AND vault_accesses.decision_id <> vault_accesses.id AND agent_id = ? AND outcome = ?";
        let by_decision = "vault_accesses_by_decision_id (org_id=? AND decision_id=?)";
        assert_goes_by(&bed, later, &[by_decision]).await;
    }
}

/// Nine of ten accesses are approved: a list of the others must not walk through them. One of a secret walks through the few that
/// are behind the index, and finds the others there.
#[tokio::test(flavor = "multi_thread")]
async fn lists_of_accesses_are_found_by_an_index() {
    for bed in Bed::all().await {
        // The texts of `lists::accesses`.
        let outcome = "SELECT * FROM vault_accesses
             WHERE org_id = ? AND outcome = ? AND vault_accesses.outcome <> 'approved' ORDER BY id DESC LIMIT ?";
        let by_outcome = "vault_accesses_by_outcome_id (org_id=? AND outcome=?)";
        assert_goes_by(&bed, outcome, &[by_outcome]).await;
        let approved =
            "SELECT * FROM vault_accesses WHERE org_id = ? AND outcome = ? ORDER BY id DESC LIMIT ?";
        assert_goes_by(&bed, approved, &["PRIMARY KEY (org_id=?)"]).await;
        let latest =
            "SELECT * FROM vault_accesses WHERE org_id = ? AND path = ? AND id > ? ORDER BY id DESC LIMIT ?";
        assert_goes_by(&bed, latest, &["PRIMARY KEY (org_id=? AND id>?)"]).await;
        for and in [
            "AND a.path = ?",
            "AND a.agent_id = ? AND a.delivery = ?",
            "AND a.path = ? AND a.outcome = ? AND a.outcome <> 'approved'",
        ] {
            let indexed = format!(
                "SELECT * FROM (vault_access_index i JOIN vault_accesses a ON a.org_id = i.org_id AND a.id = i.id)
                 WHERE i.org_id = ? AND i.id <= ? AND a.org_id = ? {and} AND i.id < ? AND i.kind = ? AND i.key = ?
                 ORDER BY i.id DESC LIMIT ?"
            );
            let ways = [
                "PRIMARY KEY (org_id=? AND kind=? AND key=? AND id<?)",
                "PRIMARY KEY (org_id=? AND id=?)",
            ];
            assert_goes_by(&bed, &indexed, &ways).await;
        }
    }
}

/// Asserts that SQLite takes these ways to the rows, one a table, and needs no sorting; PostgreSQL keeps statistics by itself.
async fn assert_goes_by(bed: &Bed, statement: &str, ways: &[&str]) {
    let explain = format!("EXPLAIN QUERY PLAN {statement}");
    let plan = bed
        .kernel
        .store
        .read(bed.organization, move |db| {
            let aim_store::Db::Sqlite(connection) = db else {
                return Ok(None);
            };
            let steps: Vec<Step> = diesel::sql_query(explain).load(&mut **connection)?;
            Ok(Some(steps))
        })
        .await
        .unwrap();
    let Some(plan) = plan else { return };
    let goes = plan.len() == ways.len() && plan.iter().zip(ways).all(|(step, way)| step.detail.contains(way));
    assert!(goes, "{statement}: {plan:?}");
}

#[derive(Debug, diesel::QueryableByName)]
struct Step {
    #[diesel(sql_type = diesel::sql_types::Text)]
    detail: String,
}
