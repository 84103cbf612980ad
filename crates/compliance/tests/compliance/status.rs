//! The status says what the data shows, and no more.

use aim_compliance::{
    retention::RetentionSettings,
    status::{Check, CheckResult},
    verification,
};
use aim_core::{Clock, Ctx, GrantId, Id, Json, UserId};
use aim_store::{
    Scope,
    diesel::{self, ExpressionMethods, QueryDsl, RunQueryDsl},
    each,
    schema::{agents, grants, users},
};
use chrono::TimeDelta;
use serde_json::json;

use crate::bed::Bed;

async fn checks(bed: &Bed, ctx: &Ctx) -> Vec<Check> {
    let status = bed.compliance.status().status(ctx).await.unwrap();
    assert_eq!(status.computed_at, ctx.now);
    let summed = status.summary.pass + status.summary.fail + status.summary.not_evidenced;
    assert_eq!(summed, i64::try_from(status.checks.len()).unwrap());
    status.checks
}

async fn check(bed: &Bed, id: &str) -> Check {
    let ctx = bed.admin(bed.home);
    let all = checks(bed, &ctx).await;
    all.into_iter().find(|check| check.id == id).unwrap()
}

async fn user(bed: &Bed, name: &str, role: &str) -> UserId {
    let (organization, now) = (bed.home.organization, bed.clock.now());
    let (id, name, role): (UserId, String, String) = (Id::generate(now), name.to_owned(), role.to_owned());
    bed.database
        .store
        .write(organization, move |db| {
            each!(db, c => diesel::insert_into(users::table)
                .values((
                    users::org_id.eq(organization),
                    users::id.eq(id),
                    users::email.eq(format!("{name}@example.com")),
                    users::name.eq(&name),
                    users::role.eq(&role),
                    users::password_hash.eq(""),
                    users::status.eq("active"),
                    users::created_at.eq(now),
                    users::updated_at.eq(now),
                ))
                .execute(c))?;
            Ok(())
        })
        .await
        .unwrap();
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_organisation_evidences_next_to_nothing() {
    for bed in Bed::all().await {
        // What another organisation has is no evidence here.
        bed.agent(bed.elsewhere, "stranger").await;
        let ctx = bed.admin(bed.home);
        for check in checks(&bed, &ctx).await {
            let expected = if check.id == "critical_alerts" {
                CheckResult::Pass
            } else {
                CheckResult::NotEvidenced
            };
            assert_eq!(check.result, expected, "{check:?}");
            assert!(check.objects.is_empty() && check.rule.ends_with('.'), "{check:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_pass_while_they_are_young_and_fail_with_the_agent_named_when_they_are_not() {
    for bed in Bed::all().await {
        let agent = bed.agent(bed.home, "reader").await;
        for id in ["keys_expiring", "keys_rotated"] {
            assert_eq!(check(&bed, id).await.result, CheckResult::Pass);
        }
        // The key of a seeded agent is good for 365 days.
        bed.days_later(181);
        assert_eq!(check(&bed, "keys_expiring").await.result, CheckResult::Pass);
        let old = check(&bed, "keys_rotated").await;
        assert_eq!((old.result, old.total), (CheckResult::Fail, 1));
        bed.days_later(171);
        let near = check(&bed, "keys_expiring").await;
        assert_eq!((near.result, near.total), (CheckResult::Fail, 1));
        let object = &near.objects[0];
        assert_eq!(
            (object.kind.as_str(), object.name.as_str()),
            ("agent_key", "reader")
        );
        assert_eq!(object.href, format!("/agents/{}/key-vault", agent.id));
        assert_eq!(object.detail, "the key expires in 13 days");
        bed.days_later(20);
        assert_eq!(
            check(&bed, "keys_expiring").await.objects[0].detail,
            "the key has expired"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_owned_only_by_somebody_whose_account_is_active() {
    for bed in Bed::all().await {
        let agent = bed.agent(bed.home, "reader").await;
        let ownerless = check(&bed, "agents_owned").await;
        assert_eq!(ownerless.result, CheckResult::Fail);
        assert_eq!(ownerless.objects[0].detail, "nobody owns it");
        let owner = user(&bed, "ada", "member").await;
        let own = move |db: &mut aim_store::Db| {
            each!(db, c => diesel::update(agents::table.filter(agents::id.eq(agent.id)))
                .set(agents::owner_id.eq(Some(owner)))
                .execute(c))?;
            Ok(())
        };
        bed.database
            .store
            .write(bed.home.organization, own)
            .await
            .unwrap();
        assert_eq!(check(&bed, "agents_owned").await.result, CheckResult::Pass);
        bed.database.sql("UPDATE users SET status = 'deactivated'").await;
        let orphan = check(&bed, "agents_owned").await;
        assert_eq!(orphan.result, CheckResult::Fail);
        assert_eq!(orphan.objects[0].detail, "its owner's account is not active");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_nobody_uses_and_an_administrator_who_stays_away_are_found() {
    for bed in Bed::all().await {
        let agent = bed.agent(bed.home, "reader").await;
        user(&bed, "ada", "admin").await;
        let (organization, now) = (bed.home.organization, bed.clock.now());
        let grant: GrantId = Id::generate(now);
        let insert = move |db: &mut aim_store::Db| {
            each!(db, c => diesel::insert_into(grants::table)
                .values((
                    grants::org_id.eq(organization),
                    grants::id.eq(grant),
                    grants::agent_id.eq(agent.id),
                    grants::capability.eq("db:read"),
                    grants::effect.eq("allow"),
                    grants::scope.eq(Json(json!({}))),
                    grants::reason.eq(""),
                    grants::granted_by.eq("system:test"),
                    grants::granted_at.eq(now),
                ))
                .execute(c))?;
            Ok(())
        };
        bed.database.store.write(organization, insert).await.unwrap();
        for id in ["grants_used", "admins_active"] {
            assert_eq!(check(&bed, id).await.result, CheckResult::Pass, "{id}");
        }
        bed.days_later(91);
        let unused = check(&bed, "grants_used").await;
        assert_eq!((unused.result, unused.total), (CheckResult::Fail, 1));
        assert_eq!(unused.objects[0].id, grant.to_string());
        assert!(unused.objects[0].detail.starts_with("never used"), "{unused:?}");
        let away = check(&bed, "admins_active").await;
        assert_eq!(away.result, CheckResult::Fail);
        assert_eq!(away.objects[0].detail, "has never signed in");

        let today = bed.clock.now();
        let use_them = move |db: &mut aim_store::Db| {
            each!(db, c => {
                diesel::update(grants::table).set(grants::last_used_at.eq(Some(today))).execute(c)?;
                diesel::update(users::table).set(users::last_login_at.eq(Some(today))).execute(c)
            })?;
            Ok(())
        };
        bed.database.store.write(organization, use_them).await.unwrap();
        for id in ["grants_used", "admins_active"] {
            assert_eq!(check(&bed, id).await.result, CheckResult::Pass, "{id}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_of_the_log_counts_for_two_days_and_a_bad_one_fails() {
    for bed in Bed::all().await {
        let note = |intact: bool| {
            let (store, now) = (bed.database.store.clone(), bed.clock.now());
            async move {
                let report = store
                    .read(Scope::Installation, |db| aim_audit::verify(db, None))
                    .await
                    .unwrap();
                let report = aim_audit::Report { intact, ..report };
                store
                    .write(Scope::Installation, move |db| {
                        verification::note(db, &report, verification::Source::Command, now)
                    })
                    .await
                    .unwrap();
            }
        };
        note(true).await;
        let good = check(&bed, "audit_verified").await;
        assert_eq!(good.result, CheckResult::Pass);
        assert!(good.objects[0].name.contains("aim audit verify"), "{good:?}");
        bed.days_later(3);
        assert_eq!(
            check(&bed, "audit_verified").await.result,
            CheckResult::NotEvidenced
        );
        note(false).await;
        assert_eq!(check(&bed, "audit_verified").await.result, CheckResult::Fail);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_passes_when_it_is_carried_out_and_fails_when_it_is_not() {
    for bed in Bed::all().await {
        let agent = bed.agent(bed.home, "reader").await;
        bed.denials(bed.home, &agent, 3).await;
        assert_eq!(
            check(&bed, "retention_applied").await.result,
            CheckResult::NotEvidenced
        );
        let settings = RetentionSettings {
            violations_days: Some(30),
            ..RetentionSettings::default()
        };
        bed.keep(bed.home, settings).await;
        assert_eq!(check(&bed, "retention_applied").await.result, CheckResult::Pass);
        bed.clock.advance(TimeDelta::days(34));
        let late = check(&bed, "retention_applied").await;
        assert_eq!((late.result, late.total), (CheckResult::Fail, 1));
        assert_eq!(late.objects[0].id, "violations");
        bed.trim().await;
        assert_eq!(check(&bed, "retention_applied").await.result, CheckResult::Pass);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_critical_alert_fails_until_it_is_resolved() {
    for bed in Bed::all().await {
        let (id, organization) = (Id::<()>::generate(bed.clock.now()), bed.home.organization);
        let quoted = |id: uuid::Uuid| {
            if bed.database.kind == "postgres" {
                format!("'{id}'")
            } else {
                format!("X'{}'", id.simple())
            }
        };
        let moment = if bed.database.kind == "postgres" {
            "now()"
        } else {
            "1"
        };
        bed.database
            .sql(&format!(
                "INSERT INTO alerts (org_id, id, kind, severity, title, detail, dedupe_key, open_key, status, count, \
                 first_seen_at, last_seen_at, notified_at) VALUES ({}, {}, 'test', 'critical', 'Something is on fire', \
                 '{{}}', 'k', 'k', 'open', 1, {moment}, {moment}, {moment})",
                quoted(organization.uuid()),
                quoted(id.uuid()),
            ))
            .await;
        let open = check(&bed, "critical_alerts").await;
        assert_eq!((open.result, open.total), (CheckResult::Fail, 1));
        assert_eq!(open.objects[0].name, "Something is on fire");
        bed.database
            .sql("UPDATE alerts SET status = 'acknowledged'")
            .await;
        assert_eq!(check(&bed, "critical_alerts").await.result, CheckResult::Fail);
        bed.database.sql("UPDATE alerts SET status = 'resolved'").await;
        assert_eq!(check(&bed, "critical_alerts").await.result, CheckResult::Pass);
    }
}
