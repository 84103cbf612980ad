//! Fakes that look real, and what touching one leads to.

use aim_core::{Code, Role};
use aim_crypto::sealing::RecipientKey;
use aim_decision::Severity;
use aim_premium::access::{
    honeytokens::{PostHoneytokens, Shape},
    model::SummaryQuery,
};
use aim_testkit::{seed_agent, seed_organization};
use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{Audit, HOME, pair};
use crate::bed::{Bed, at, refused};

const BAIT: &str = "payments/stripe/legacy-root";

fn seed(paths: &[&str], shape: Shape) -> PostHoneytokens {
    PostHoneytokens {
        paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        shape,
        note: Some("bait".to_owned()),
    }
}

/// The members and the types of an answer, without what they hold.
fn shape_of(value: &Value) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), shape_of(value)))
            .collect(),
        Value::Array(items) => items.iter().map(shape_of).collect(),
        Value::Null => Value::Null,
        Value::Bool(_) => json!("bool"),
        Value::Number(_) => json!("number"),
        Value::String(_) => json!("text"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_reads_a_honeytoken_is_found_and_cannot_tell() {
    for bed in Bed::all().await {
        let audit = Audit::of(&bed).await;
        let admin = bed.as_role(Role::Admin);
        bed.put("payments/stripe/live", "sk_test_real").await;
        let all = audit
            .service
            .add_honeytokens(&admin, seed(&[BAIT], Shape::Stripe))
            .await
            .unwrap();
        assert_eq!(all.honeytokens.len(), 1);
        bed.clock.advance(TimeDelta::seconds(1));
        let (real, bait) = (audit.read("payments/stripe/live").await, audit.read(BAIT).await);
        assert!(bait.value().starts_with("sk_live_51"), "it looks real");
        let answers = [&real, &bait].map(|read| serde_json::to_value(&read.reply).unwrap());
        assert_eq!(shape_of(&answers[0]), shape_of(&answers[1]));
        // Nothing that people without the permission see tells it apart either.
        let mut views = Vec::new();
        for path in ["payments/stripe/live", BAIT] {
            let view = bed.vault.get(&bed.manager(), at(path)).await.unwrap();
            views.push(shape_of(&serde_json::to_value(&view).unwrap()));
        }
        assert_eq!(views[0], views[1]);
        assert_eq!(audit.found().await, [pair("secret_honeytoken", BAIT)]);
        let finding = &audit.findings().await[0];
        assert_eq!(finding.severity, Severity::Critical);
        assert_eq!(finding.evidence.values["outcome"], "approved");
        assert_eq!(
            finding.evidence.values["decision_id"],
            json!(bait.reply.decision.id)
        );
        assert_eq!(bed.database.count("SELECT count(*) FROM alerts").await, 1);
        let audited = bed.audited().await;
        assert!(audited.contains(&"vault_honeytoken.added".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_is_denied_is_found_too_and_can_suspend_the_agent() {
    for bed in Bed::all().await {
        let audit = Audit::of(&bed).await;
        let admin = bed.as_role(Role::Admin);
        let stranger = seed_agent(&bed.kernel.store, bed.organization, "stranger").await;
        audit
            .service
            .add_honeytokens(&admin, seed(&[BAIT, "aws/root"], Shape::Aws))
            .await
            .unwrap();
        audit.set("secret_honeytoken", "suspend").await;
        let denied = audit.read_by(&stranger, "aws/root").await;
        assert_eq!(denied.reply.decision.status, "denied");
        assert_eq!(audit.found().await, [pair("secret_honeytoken", "aws/root")]);
        let suspended = "SELECT count(*) FROM agents WHERE status = 'suspended'";
        assert_eq!(bed.database.count(suspended).await, 1);
        let next = audit.read_by(&stranger, "aws/root").await;
        assert!(
            next.reply
                .decision
                .reason_codes
                .contains(&"agent.suspended".to_owned()),
            "{:?}",
            next.reply.decision.reason_codes
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_there_can_be_marked_and_reads_before_the_mark_do_not_count() {
    for bed in Bed::all().await {
        let audit = Audit::of(&bed).await;
        let admin = bed.as_role(Role::Admin);
        bed.put(BAIT, "mine").await;
        audit.read(BAIT).await;
        bed.clock.advance(TimeDelta::seconds(1));
        let admin_later = bed.as_role(Role::Admin);
        let add = |paths: &'static [&'static str], shape| {
            let (service, admin) = (audit.service.clone(), admin_later.clone());
            async move { service.add_honeytokens(&admin, seed(paths, shape)).await }
        };
        let there = add(&[BAIT], Shape::Openai).await;
        assert_eq!(refused(there), (Code::Conflict, "paths[0]".to_owned()));
        let missing = add(&["payments/none"], Shape::Existing).await;
        assert_eq!(refused(missing), (Code::Conflict, "paths[0]".to_owned()));
        let malformed = add(&[BAIT, "a//b"], Shape::Existing).await;
        assert_eq!(refused(malformed), (Code::FieldInvalid, "paths[1]".to_owned()));
        add(&[BAIT], Shape::Existing).await.unwrap();
        assert_eq!(
            refused(add(&[BAIT], Shape::Existing).await),
            (Code::Conflict, "paths[0]".to_owned())
        );
        assert_eq!(audit.found().await, [], "nobody touched it since");
        bed.clock.advance(TimeDelta::seconds(1));
        assert_eq!(audit.read(BAIT).await.value(), "mine");
        assert_eq!(audit.found().await.len(), 1);
        // Another tenant's is as unknown as one that is not there.
        let away = seed_organization(&bed.kernel.store).await.organization;
        let stranger = bed.as_role_of(away, Role::Admin);
        assert!(
            audit
                .service
                .honeytokens(&stranger)
                .await
                .unwrap()
                .honeytokens
                .is_empty()
        );
        let foreign = audit.service.remove_honeytoken(&stranger, &at(BAIT)).await;
        let unknown = audit.service.remove_honeytoken(&admin, &at("nothing")).await;
        let (foreign, unknown) = (foreign.unwrap_err(), unknown.unwrap_err());
        assert_eq!((foreign.code, &foreign.detail), (unknown.code, &unknown.detail));
        assert_eq!(foreign.code, Code::NotFound);
        audit.service.remove_honeytoken(&admin, &at(BAIT)).await.unwrap();
        bed.clock.advance(TimeDelta::hours(1));
        audit.read(BAIT).await;
        assert_eq!(audit.findings().await[0].count, 1, "it is ordinary again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_export_takes_is_listed_and_a_honeytoken_in_it_names_whoever_took_it() {
    for bed in Bed::all().await {
        let audit = Audit::of(&bed).await;
        bed.put("payments/live", "mine").await;
        bed.put("payments/live", "mine too").await;
        bed.put("other", "stays").await;
        let admin = bed.as_role(Role::Admin);
        audit
            .service
            .add_honeytokens(&admin, seed(&[BAIT], Shape::Stripe))
            .await
            .unwrap();
        bed.clock.advance(TimeDelta::seconds(1));
        let mut takers = Vec::new();
        for _ in 0..2 {
            let mut key = bed.as_role(Role::Admin);
            key.source_ip = Some(HOME.to_owned());
            let request = serde_json::from_value(json!({
                "prefix": "payments/", "reason": "moving to another place",
                "recipient": RecipientKey::generate().unwrap().public_text(),
            }));
            let page = bed.vault.export(&key, request.unwrap()).await.unwrap();
            assert_eq!(page.export.count, 2);
            takers.push(key.actor_text());
            bed.clock.advance(TimeDelta::seconds(1));
        }
        let accesses = audit.accesses().await;
        assert_eq!(accesses.len(), 4, "{accesses:?}");
        let live = accesses.iter().find(|one| one.path == "payments/live").unwrap();
        assert_eq!(
            (live.outcome.as_str(), live.delivery.as_deref(), live.version),
            ("approved", Some("exported"), Some(2))
        );
        assert_eq!((&live.actor, live.agent_id), (&takers[1], None));
        assert_eq!(live.source_ip.as_deref(), Some(HOME));
        let exported = bed.audited().await;
        let exported = exported.iter().filter(|action| action.contains(".exported"));
        assert_eq!(exported.count(), 6, "two pages with two secrets each");

        // Two who took it are two findings, and each names one.
        let mut expected: Vec<_> = takers
            .iter()
            .map(|taker| pair("secret_honeytoken", &format!("{BAIT} {taker}")))
            .collect();
        expected.sort();
        assert_eq!(audit.found().await, expected);
        let findings = audit.findings().await;
        for taker in &takers {
            let finding = findings.iter().find(|one| one.subject.ends_with(taker)).unwrap();
            assert!(finding.summary.contains(taker), "{}", finding.summary);
            assert_eq!(finding.evidence.values["actor"], json!(taker));
            assert_eq!(finding.evidence.values["path"], BAIT);
        }
        // It is no read, and counted nowhere.
        for query in [
            SummaryQuery::default(),
            SummaryQuery {
                path: Some("payments/live".to_owned()),
                ..SummaryQuery::default()
            },
        ] {
            let summary = audit.service.summary(&bed.manager(), &query).await.unwrap();
            assert_eq!(
                (summary.totals.approved, summary.pairs.len()),
                (0, 0),
                "{query:?}"
            );
        }
    }
}
