//! Alerts are raised once, count up, cool down, and are dealt with by people.

use aim_core::{Code, Ctx};
use aim_decision::Severity;
use aim_monitoring::alerts::{
    self, AlertKind, NewAlert, Raised,
    model::{Acknowledge, AlertCount, AlertQuery, AlertView, Assign, Resolve},
    rules::SetRule,
};
use aim_platform::{FollowRunner, Module};
use chrono::TimeDelta;
use serde_json::json;

use crate::bed::{Bed, on_each};

async fn raise(bed: &Bed, alert: NewAlert) -> Raised {
    bed.database
        .store
        .write(alert.organization, move |db| {
            let raised = alerts::raise(db, &alert)?;
            aim_audit::append(db, raised.entries.clone())?;
            Ok(raised)
        })
        .await
        .unwrap()
}

fn finding(bed: &Bed) -> NewAlert {
    NewAlert {
        organization: bed.home,
        agent: Some(bed.agent),
        kind: AlertKind::ThreatFinding,
        severity: Severity::Medium,
        title: "Capability probing by billing-bot".to_owned(),
        detail: json!({"leaf_indices": [1, 2]}),
        dedupe_key: "threat:probing".to_owned(),
        at: bed.now(),
    }
}

async fn list(bed: &Bed, ctx: &Ctx, query: AlertQuery) -> Vec<AlertView> {
    bed.monitoring.alerts().list(ctx, &query).await.unwrap().alerts
}

async fn all(bed: &Bed) -> Vec<AlertView> {
    list(bed, &bed.manager(), AlertQuery::default()).await
}

fn of_kind(kind: AlertKind) -> AlertQuery {
    AlertQuery {
        kind: vec![kind.as_str().to_owned()],
        ..AlertQuery::default()
    }
}

#[tokio::test]
async fn the_same_thing_counts_up_and_is_news_again_when_it_gets_worse_or_the_cooldown_is_over() {
    on_each(|bed| async move {
        let first = raise(&bed, finding(&bed)).await;
        assert!(first.is_news && first.entries.len() == 1);
        bed.clock.advance(TimeDelta::minutes(59));
        let again = raise(&bed, finding(&bed)).await;
        assert_eq!(again.alert, first.alert);
        assert!(!again.is_news && again.entries.is_empty());

        let mut worse = finding(&bed);
        worse.severity = Severity::Critical;
        assert!(raise(&bed, worse).await.is_news);
        // The cooldown begins anew with each time that people are told.
        bed.clock.advance(TimeDelta::minutes(59));
        assert!(!raise(&bed, finding(&bed)).await.is_news);
        bed.clock.advance(TimeDelta::minutes(1));
        assert!(raise(&bed, finding(&bed)).await.is_news);

        let alerts = all(&bed).await;
        assert_eq!(alerts.len(), 1, "{}", bed.database.kind);
        assert_eq!((alerts[0].count, alerts[0].severity.as_str()), (5, "critical"));
        assert_eq!(alerts[0].agent_name.as_deref(), Some("billing-bot"));
        let told = bed
            .database
            .count("SELECT count(*) FROM audit_log WHERE action = 'alert.raised'")
            .await;
        assert_eq!(told, 3);
    })
    .await;
}

#[tokio::test]
async fn what_is_resolved_and_happens_again_is_a_new_alert() {
    on_each(|bed| async move {
        let first = raise(&bed, finding(&bed)).await.alert.unwrap();
        let service = bed.monitoring.alerts();
        let resolve = |note: &str| Resolve {
            note: note.to_owned(),
        };
        let error = service
            .resolve(&bed.manager(), first, resolve("  "))
            .await
            .unwrap_err();
        assert_eq!(error.field.as_deref(), Some("note"));
        let resolved = service
            .resolve(&bed.manager(), first, resolve(" it was a test "))
            .await
            .unwrap();
        assert_eq!(
            (resolved.status.as_str(), resolved.note.as_deref()),
            ("resolved", Some("it was a test"))
        );
        let error = service
            .resolve(&bed.manager(), first, resolve("again"))
            .await
            .unwrap_err();
        assert_eq!(error.code, Code::StateConflict);
        let second = raise(&bed, finding(&bed)).await;
        assert!(second.is_news && second.alert != Some(first));
        assert_eq!(all(&bed).await.len(), 2, "{}", bed.database.kind);
    })
    .await;
}

#[tokio::test]
async fn a_person_acknowledges_and_assigns_and_the_numbers_follow() {
    on_each(|bed| async move {
        let service = bed.monitoring.alerts();
        let id = raise(&bed, finding(&bed)).await.alert.unwrap();
        let count = service.count(&bed.manager()).await.unwrap();
        let expected = AlertCount {
            open: 1,
            medium: 1,
            ..AlertCount::default()
        };
        assert_eq!(count, expected);

        let ada = bed.user(bed.home, "Ada").await;
        let foreigner = bed.user(bed.elsewhere, "Eve").await;
        let assign = |user| Assign { user_id: Some(user) };
        let error = service
            .assign(&bed.manager(), id, assign(foreigner))
            .await
            .unwrap_err();
        assert_eq!(
            (error.code, error.field.as_deref()),
            (Code::FieldInvalid, Some("user_id"))
        );
        let view = service.assign(&bed.manager(), id, assign(ada)).await.unwrap();
        assert_eq!(view.assigned_to_name.as_deref(), Some("Ada"));

        let note = Acknowledge {
            note: Some("looking".to_owned()),
        };
        let view = service
            .acknowledge(&bed.manager(), id, note.clone())
            .await
            .unwrap();
        assert_eq!(view.status, "acknowledged");
        assert_eq!(
            service
                .acknowledge(&bed.manager(), id, note)
                .await
                .unwrap_err()
                .code,
            Code::StateConflict
        );
        let count = service.count(&bed.manager()).await.unwrap();
        assert_eq!((count.open, count.acknowledged, count.medium), (0, 1, 1));
        for action in ["alert.assigned", "alert.acknowledged"] {
            let query = format!("SELECT count(*) FROM audit_log WHERE action = '{action}'");
            assert_eq!(
                bed.database.count(&query).await,
                1,
                "{action} {}",
                bed.database.kind
            );
        }
    })
    .await;
}

#[tokio::test]
async fn another_tenants_alert_is_as_unknown_as_one_that_never_was() {
    on_each(|bed| async move {
        let id = raise(&bed, finding(&bed)).await.alert.unwrap();
        let service = bed.monitoring.alerts();
        let stranger = bed.caller(bed.elsewhere);
        assert!(list(&bed, &stranger, AlertQuery::default()).await.is_empty());
        assert_eq!(service.get(&stranger, id).await.unwrap_err().code, Code::NotFound);
        let resolve = Resolve {
            note: "mine now".to_owned(),
        };
        assert_eq!(
            service.resolve(&stranger, id, resolve).await.unwrap_err().code,
            Code::NotFound
        );
        assert_eq!(service.count(&stranger).await.unwrap(), AlertCount::default());
    })
    .await;
}

#[tokio::test]
async fn lists_are_filtered_and_paged_without_gaps() {
    on_each(|bed| async move {
        for number in 0..7 {
            let mut alert = finding(&bed);
            alert.dedupe_key = format!("key-{number}");
            alert.severity = if number % 2 == 0 {
                Severity::High
            } else {
                Severity::Low
            };
            let _ = raise(&bed, alert).await;
            bed.clock.advance(TimeDelta::seconds(1));
        }
        let service = bed.monitoring.alerts();
        let mut query = AlertQuery {
            severity: vec!["high".to_owned()],
            limit: Some(3),
            ..AlertQuery::default()
        };
        let first = service.list(&bed.manager(), &query).await.unwrap();
        assert_eq!(first.alerts.len(), 3);
        query.cursor = first.next_cursor;
        let second = service.list(&bed.manager(), &query).await.unwrap();
        assert_eq!((second.alerts.len(), second.next_cursor), (1, None));
        for (query, field) in [
            (
                AlertQuery {
                    severity: vec!["awful".to_owned()],
                    ..AlertQuery::default()
                },
                "severity",
            ),
            (
                AlertQuery {
                    status: vec!["closed".to_owned()],
                    ..AlertQuery::default()
                },
                "status",
            ),
            (
                AlertQuery {
                    kind: vec!["x".to_owned()],
                    ..AlertQuery::default()
                },
                "kind",
            ),
            (
                AlertQuery {
                    limit: Some(0),
                    ..AlertQuery::default()
                },
                "limit",
            ),
        ] {
            let error = service.list(&bed.manager(), &query).await.unwrap_err();
            assert_eq!(error.field.as_deref(), Some(field));
        }
    })
    .await;
}

fn rule(enabled: bool) -> SetRule {
    SetRule {
        kind: AlertKind::ThreatFinding,
        enabled,
        severity: None,
        cooldown_minutes: 60,
        threshold: None,
        window_minutes: None,
    }
}

#[tokio::test]
async fn a_rule_switches_a_kind_off_sets_its_severity_and_can_be_reset() {
    on_each(|bed| async move {
        let service = bed.monitoring.alerts();
        let manager = bed.manager();
        let view = service.set_rule(&manager, rule(false)).await.unwrap();
        assert!(!view.enabled && view.customised);
        let raised = raise(&bed, finding(&bed)).await;
        assert!(raised.alert.is_none() && raised.entries.is_empty());
        // The other organisation has its own rules.
        let elsewhere = service.rules(&bed.caller(bed.elsewhere)).await.unwrap();
        assert!(
            elsewhere
                .rules
                .iter()
                .all(|rule| rule.enabled == (rule.kind != AlertKind::DenialsBurst) && !rule.customised)
        );

        let loud = SetRule {
            severity: Some("critical".to_owned()),
            ..rule(true)
        };
        service.set_rule(&manager, loud).await.unwrap();
        let _ = raise(&bed, finding(&bed)).await;
        assert_eq!(all(&bed).await[0].severity, "critical");
        let view = service
            .reset_rule(&manager, AlertKind::ThreatFinding)
            .await
            .unwrap();
        assert!(!view.customised && view.severity.is_none());

        for (set, field) in [
            (
                SetRule {
                    cooldown_minutes: -1,
                    ..rule(true)
                },
                "cooldown_minutes",
            ),
            (
                SetRule {
                    threshold: Some(5),
                    ..rule(true)
                },
                "threshold",
            ),
            (
                SetRule {
                    severity: Some("x".to_owned()),
                    ..rule(true)
                },
                "severity",
            ),
        ] {
            let error = service.set_rule(&manager, set).await.unwrap_err();
            assert_eq!(error.field.as_deref(), Some(field));
        }
    })
    .await;
}

/// Lets denials be counted in the organisation, as by default.
async fn count_denials(bed: &Bed) {
    let on = SetRule {
        kind: AlertKind::DenialsBurst,
        ..rule(true)
    };
    bed.monitoring
        .alerts()
        .set_rule(&bed.manager(), on)
        .await
        .unwrap();
}

#[tokio::test]
async fn denials_are_counted_only_where_an_organisation_wants_it() {
    on_each(|bed| async move {
        deny(&bed, 40).await;
        assert!(all(&bed).await.is_empty(), "{}", bed.database.kind);
    })
    .await;
}

async fn deny(bed: &Bed, times: usize) {
    let entries = (0..times)
        .map(|_| bed.decision(bed.home, bed.agent, "denied"))
        .collect();
    bed.log(entries).await;
    bed.follow().await;
}

#[tokio::test]
async fn twenty_denials_in_five_minutes_are_a_burst_and_nineteen_are_none() {
    on_each(|bed| async move {
        count_denials(&bed).await;
        deny(&bed, 19).await;
        assert!(all(&bed).await.is_empty());
        // Long after, nineteen more are no burst either.
        bed.clock.advance(TimeDelta::minutes(6));
        deny(&bed, 19).await;
        assert!(all(&bed).await.is_empty(), "{}", bed.database.kind);
        deny(&bed, 1).await;
        let alerts = all(&bed).await;
        assert_eq!(alerts.len(), 1, "{}", bed.database.kind);
        assert_eq!(alerts[0].kind, "denials_burst");
        assert_eq!(
            alerts[0].title,
            "billing-bot was denied 20 times within 5 minutes"
        );
        assert_eq!(alerts[0].detail["threshold"], 20);
        // The records that the alert itself left raise nothing.
        bed.follow().await;
        assert_eq!(all(&bed).await[0].count, 1);
    })
    .await;
}

#[tokio::test]
async fn an_organisation_sets_what_a_burst_is_for_itself() {
    on_each(|bed| async move {
        let low = SetRule {
            kind: AlertKind::DenialsBurst,
            threshold: Some(3),
            window_minutes: Some(60),
            ..rule(true)
        };
        bed.monitoring
            .alerts()
            .set_rule(&bed.manager(), low)
            .await
            .unwrap();
        for _ in 0..3 {
            assert!(all(&bed).await.is_empty());
            bed.clock.advance(TimeDelta::minutes(20));
            deny(&bed, 1).await;
        }
        assert_eq!(all(&bed).await.len(), 1, "{}", bed.database.kind);
    })
    .await;
}

#[tokio::test]
async fn a_node_that_takes_over_knows_the_denials_before_it() {
    on_each(|bed| async move {
        count_denials(&bed).await;
        bed.follow().await;
        let (home, agent, now) = (bed.home, bed.agent, bed.now());
        // What the decisions of the node before left: nineteen violations.
        for number in 0..19 {
            let id = aim_core::id::uuid_at(now);
            let hex = |uuid: uuid::Uuid| uuid.simple().to_string();
            let (org, id, agent, decision) = (
                hex(home.uuid()),
                hex(id),
                hex(agent.uuid()),
                hex(uuid::Uuid::from_u128(number)),
            );
            let sql = if bed.database.kind == "sqlite" {
                format!(
                    "INSERT INTO violations VALUES (x'{org}', x'{id}', x'{agent}', 'billing-bot', x'{decision}', 'a:b', NULL, \
                     '[]', 'low', -1, 1, NULL, '{{}}', '[]', {})",
                    now.timestamp_micros()
                )
            } else {
                format!(
                    "INSERT INTO violations VALUES ('{org}', '{id}', '{agent}', 'billing-bot', '{decision}', 'a:b', NULL, \
                     '[]', 'low', -1, true, NULL, '{{}}', '[]', '{}')",
                    now.to_text()
                )
            };
            bed.database.sql(&sql).await;
        }
        bed.clock.advance(TimeDelta::minutes(1));
        let mut other = bed.kernel.clone();
        other.node = "other-node".into();
        let monitoring = aim_monitoring::Monitoring::new(&other);
        let others = FollowRunner::new(other, monitoring.followers());
        others.prepare().await.unwrap();
        bed.log(vec![bed.decision(bed.home, bed.agent, "denied")]).await;
        others.catch_up().await.unwrap();
        assert_eq!(all(&bed).await.len(), 1, "{}", bed.database.kind);
    })
    .await;
}

#[tokio::test]
async fn records_that_matter_raise_their_alert() {
    on_each(|bed| async move {
        let critical = json!({"capability": "keys:export", "severity": "critical", "reasons": ["capability.not_granted"]});
        let high = json!({"capability": "db:drop", "severity": "high"});
        bed.log(vec![
            bed.decision_with(bed.home, bed.agent, "denied", critical),
            bed.decision_with(bed.home, bed.agent, "denied", high),
            bed.event("agent_key.expiry_warning", json!({"fingerprint": "abc", "days_left": 7})),
            bed.event("agent_key.expiry_warning", json!({"fingerprint": "abc", "days_left": 1})),
            bed.event("agent.suspended", json!({})),
            bed.event("trust.threshold_crossed", json!({"score": 34, "threshold": 50})),
            bed.event("agent.reactivated", json!({})),
        ])
        .await;
        bed.follow().await;
        let mut told: Vec<_> = all(&bed)
            .await
            .into_iter()
            .map(|alert| (alert.title, alert.severity, alert.count))
            .collect();
        told.sort();
        let told: Vec<_> = told
            .iter()
            .map(|(title, severity, count)| (title.as_str(), severity.as_str(), *count))
            .collect();
        assert_eq!(
            told,
            [
                ("The key of billing-bot expires within a day", "high", 2),
                ("The trust score of billing-bot fell to 34, below 50", "high", 1),
                ("billing-bot tried keys:export and was denied", "critical", 1),
                ("billing-bot was suspended by AIM itself", "medium", 1),
            ],
            "{}",
            bed.database.kind
        );
    })
    .await;
}

#[tokio::test]
async fn keys_that_expired_and_a_log_that_nobody_verified_raise_one_alert_each() {
    on_each(|bed| async move {
        bed.clock.advance(TimeDelta::days(365));
        for _ in 0..3 {
            for job in bed.monitoring.jobs() {
                (job.run)(bed.now()).await.unwrap();
            }
            bed.clock.advance(TimeDelta::minutes(10));
        }
        let expired = list(&bed, &bed.manager(), of_kind(AlertKind::KeyExpired)).await;
        assert_eq!(expired.len(), 1, "{}", bed.database.kind);
        assert_eq!(expired[0].count, 1);
        let log = list(&bed, &bed.manager(), of_kind(AlertKind::AuditUnverified)).await;
        assert_eq!((log.len(), log[0].count), (1, 1));
        assert_eq!(log[0].severity, "medium");

        let resolve = Resolve {
            note: "verified by hand".to_owned(),
        };
        bed.monitoring
            .alerts()
            .resolve(&bed.manager(), log[0].id, resolve)
            .await
            .unwrap();
        let (id, now) = (aim_core::id::uuid_at(bed.now()).simple().to_string(), bed.now());
        let values = if bed.database.kind == "sqlite" {
            format!("(x'{id}', {}, 'job', 0, 5, '', 1)", now.timestamp_micros())
        } else {
            format!("('{id}', '{}', 'job', false, 5, '', 1)", now.to_text())
        };
        bed.database
            .sql(&format!("INSERT INTO audit_verifications VALUES {values}"))
            .await;
        for job in bed.monitoring.jobs() {
            (job.run)(bed.now()).await.unwrap();
        }
        let log = list(&bed, &bed.manager(), of_kind(AlertKind::AuditUnverified)).await;
        assert_eq!((log.len(), log[0].severity.as_str()), (2, "critical"));
    })
    .await;
}
