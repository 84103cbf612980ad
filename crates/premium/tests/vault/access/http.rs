//! The pages and the file, by role.

use aim_core::Role;
use aim_premium::access::honeytokens::{PostHoneytokens, Shape};

use aim_testkit::seed_agent;
use serde_json::{Value, json};

use super::{Audit, HOME};
use crate::{bed::Bed, pages::page_of, wraps};

#[actix_web::test]
async fn the_pages_show_accesses_to_managers_and_honeytokens_to_administrators() {
    for bed in Bed::all().await {
        let audit = Audit::of(&bed).await;
        let page = async |role: &'static str, target: &'static str| {
            page_of(&bed, bed.organization, role, target).await
        };
        let (status, html) = page("manager", "/secrets/access").await;
        assert!(
            status == 200 && html.contains("Nobody has asked for a secret yet"),
            "{html}"
        );
        for number in 0..12 {
            bed.put(&format!("payments/{number}"), "canary-77").await;
        }
        let bait = PostHoneytokens {
            paths: vec!["payments/bait".to_owned()],
            shape: Shape::Stripe,
            note: Some("do not tell".to_owned()),
        };
        let admin = bed.as_role(Role::Admin);
        audit.service.add_honeytokens(&admin, bait).await.unwrap();
        audit.read("payments/1").await;
        audit.read("payments/bait").await;
        audit.read("hr/a").await;
        audit.catch_up().await;

        let (status, html) = page("manager", "/secrets/access").await;
        assert_eq!(status, 200);
        for part in [
            "/secrets?path=payments/1",
            HOME,
            "Sealed",
            "Honeytoken secret touched",
            "hr/a",
        ] {
            assert!(html.contains(part), "{part}: {html}");
        }
        assert!(!html.contains("/secrets/honeytokens\""), "managers are not told");
        let (status, html) = page("manager", "/secrets/access?path=payments/1&outcome=&agent_id=").await;
        assert!(status == 200 && html.contains("chart-plot") && !html.contains("hr/a"));
        let (_, html) = page("manager", "/secrets/access?since=2026-01-02T03:04:00.000Z").await;
        assert!(
            html.contains("data-time=\"2026-01-02T03:04:00.000Z\""),
            "the browser shows it in its own time: {html}"
        );
        let (_, html) = page("manager", "/secrets/access?path=payments/&outcome=denied").await;
        assert!(html.contains("No access fits these filters"));
        let (status, html) = page("manager", "/secrets/access/review").await;
        assert!(
            status == 200 && html.contains("payments/**") && html.contains("What would be enough"),
            "{html}"
        );
        let (status, html) = page("manager", "/secrets?path=payments/1").await;
        assert!(status == 200 && html.contains("Every access"), "{html}");
        let (_, html) = page("member", "/secrets?path=payments/1").await;
        assert!(!html.contains("Every access"), "members do not see who reads it");
        let (_, html) = page("manager", "/secrets?path=payments/bait").await;
        assert!(!html.contains("honeytoken:"), "{html}");
        let (_, html) = page("admin", "/secrets?path=payments/bait").await;
        assert!(html.contains("This is a honeytoken:"));
        let (status, html) = page("admin", "/secrets/honeytokens").await;
        assert!(status == 200 && html.contains("do not tell"), "{html}");
        assert!(!html.contains("sk_live_51"), "no value is on it");
        for (role, target) in [
            ("member", "/secrets/access"),
            ("member", "/secrets/access/review"),
            ("manager", "/secrets/honeytokens"),
        ] {
            assert_eq!(page(role, target).await.0, 403, "{role} {target}");
        }
    }
}

#[actix_web::test]
async fn the_file_has_every_access_that_fits_and_runs_no_formula() {
    for bed in Bed::all().await {
        let audit = Audit::of(&bed).await;
        bed.put("payments/1", "v").await;
        audit.read("payments/1").await;
        bed.clock.advance(chrono::TimeDelta::seconds(1));
        audit.read("-1/evil").await;
        audit.catch_up().await;
        let target = "/api/v1/vault/access?format=csv";
        let (status, csv) = page_of(&bed, bed.organization, "manager", target).await;
        assert_eq!(status, 200, "{csv}");
        let lines: Vec<&str> = csv.split("\r\n").collect();
        assert_eq!(lines.len(), 4, "{csv}");
        assert!(lines[0].starts_with("id,decision_id,path,"));
        assert!(lines[1].contains("'-1/evil"), "{csv}");
        assert!(lines[2].contains(",payments/1,") && lines[2].contains(",approved,1,sealed,grant:"));
        let target = "/api/v1/vault/access?format=csv&outcome=denied";
        let (_, csv) = page_of(&bed, bed.organization, "manager", target).await;
        assert!(csv.contains("'-1/evil") && !csv.contains("payments/1"));
        let (status, _) = page_of(&bed, bed.organization, "member", target).await;
        assert_eq!(status, 403);
        for (query, field) in [
            ("outcome=maybe", "outcome"),
            ("path=a//b", "path"),
            ("agent_id=me", "agent_id"),
            ("since=yesterday", "since"),
            ("since=2026-11-24T00:00:00Z&until=2026-11-23T00:00:00Z", "since"),
            ("limit=0", "limit"),
            ("format=xml", "format"),
            ("cursor=x", "cursor"),
        ] {
            let target = format!("/api/v1/vault/access?{query}");
            let (status, problem) = page_of(&bed, bed.organization, "manager", &target).await;
            let problem: serde_json::Value = serde_json::from_str(&problem).unwrap();
            assert_eq!((status, problem["field"].as_str()), (422, Some(field)), "{query}");
        }
    }
}

#[actix_web::test]
async fn a_wrap_token_that_was_used_twice_is_told_on_the_page_of_its_secret_and_of_no_other() {
    for bed in Bed::all().await {
        let audit = Audit::of(&bed).await;
        for path in ["payments/a_b", "payments/axb", "payments/a_b/c"] {
            bed.put(path, "v").await;
        }
        let body = json!({"path": "payments/a_b", "reason": "the first start", "for_agent": bed.agent.id});
        let view = wraps::made(&bed, body).await;
        let agent = bed.as_agent();
        wraps::unwrapped(&bed, &agent, &view.token).await.unwrap();
        let _ = wraps::unwrapped(&bed, &agent, &view.token).await.unwrap_err();
        audit.catch_up().await;
        for (path, is_told) in [
            ("payments/a_b", true),
            ("payments/axb", false),
            ("payments/a_b/c", false),
        ] {
            let target = format!("/secrets?path={path}");
            let (status, html) = page_of(&bed, bed.organization, "manager", &target).await;
            assert_eq!(status, 200);
            assert_eq!(html.contains("Wrap token used twice"), is_told, "{path}");
        }
    }
}

/// The ids of the published SDK's list of reads.
async fn sdk_reads(bed: &Bed, query: &str) -> Vec<String> {
    let target = format!("/api/v1/secrets/audit?{query}");
    let (status, body) = page_of(bed, bed.organization, "manager", &target).await;
    assert_eq!(status, 200, "{body}");
    let body: Value = serde_json::from_str(&body).unwrap();
    let entries = body["entries"].as_array().unwrap().iter();
    entries
        .map(|entry| entry["id"].as_str().unwrap().to_owned())
        .collect()
}

#[actix_web::test]
async fn the_sdks_list_of_reads_is_the_same_however_far_the_follower_is() {
    for bed in Bed::all().await {
        let audit = Audit::of(&bed).await;
        let other = seed_agent(&bed.kernel.store, bed.organization, "other").await;
        bed.put("payments/payout", "v").await;
        bed.grant("require_approval", "payments/payout").await;
        let mut reads = Vec::new();
        for round in 0..3 {
            bed.clock.advance(chrono::TimeDelta::seconds(1));
            reads.push(audit.read(&format!("hr/{round}")).await);
            bed.clock.advance(chrono::TimeDelta::seconds(1));
            let pending = audit.read("payments/payout").await;
            let id = pending.reply.decision.id;
            reads.push(pending);
            bed.review(id, true).await;
            // A later delivery is no read of its own.
            bed.take_up("payments/payout", None, id).await.unwrap();
            bed.clock.advance(chrono::TimeDelta::seconds(1));
            reads.push(audit.read_by(&other, "payments/payout").await);
            if round == 1 {
                audit.catch_up().await;
            }
        }
        let expected: Vec<String> = reads
            .iter()
            .rev()
            .map(|read| read.reply.decision.id.to_string())
            .collect();
        for _ in 0..2 {
            assert_eq!(sdk_reads(&bed, "").await, expected);
            for offset in 0..10 {
                let page = sdk_reads(&bed, &format!("limit=4&offset={offset}")).await;
                let wanted: Vec<_> = expected.iter().skip(offset).take(4).cloned().collect();
                assert_eq!(page, wanted, "{offset}");
            }
            let theirs = sdk_reads(&bed, &format!("agentId={}", other.id)).await;
            let wanted: Vec<_> = expected.iter().step_by(3).cloned().collect();
            assert_eq!(theirs, wanted);
            let since = reads[4].reply.decision.created_at.to_text();
            assert_eq!(sdk_reads(&bed, &format!("since={since}")).await, expected[..5]);
            audit.catch_up().await;
        }
    }
}
