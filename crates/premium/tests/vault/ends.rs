//! When values end: each version has an end of its own, whatever is written after it.

use aim_core::{Code, Timestamp};
use chrono::TimeDelta;
use serde_json::json;

use crate::bed::{Bed, at, refused, wish_of};

/// Writes a version that ends then.
async fn put_until(bed: &Bed, path: &str, value: &str, end: Option<Timestamp>) {
    let body = json!({"kind": "api_key", "fields": {"value": value}, "expires_at": end});
    bed.try_put(path, wish_of(body)).await.unwrap();
}

async fn version_of(bed: &Bed, version: i64) -> (String, Option<Timestamp>) {
    let read = bed.read_version("payments/key", Some(version)).await.unwrap();
    let end = read.reply.secret.as_ref().unwrap().expires_at;
    (read.value().to_owned(), end)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_version_ends_when_it_was_to_end() {
    for bed in Bed::all().await {
        let end = bed.kernel.now() + TimeDelta::minutes(5);
        put_until(&bed, "payments/key", "short", Some(end)).await;
        put_until(&bed, "payments/key", "long", None).await;
        put_until(&bed, "payments/key", "other", Some(end + TimeDelta::hours(1))).await;
        assert_eq!(version_of(&bed, 1).await, ("short".to_owned(), Some(end)));
        assert_eq!(version_of(&bed, 2).await, ("long".to_owned(), None));
        bed.clock.advance(TimeDelta::minutes(5));
        let error = bed.read_version("payments/key", Some(1)).await.unwrap_err();
        assert!(
            error.code == Code::NotFound && error.detail.contains("expired"),
            "{error}"
        );
        assert_eq!(version_of(&bed, 2).await, ("long".to_owned(), None));
        assert_eq!(bed.read("payments/key").await.unwrap().value(), "other");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_takes_the_end_of_its_version_with_it() {
    for bed in Bed::all().await {
        let ctx = || bed.manager();
        let end = bed.kernel.now() + TimeDelta::minutes(5);
        put_until(&bed, "payments/key", "endless", None).await;
        put_until(&bed, "payments/key", "short", Some(end)).await;
        let seen = bed.vault.rollback(&ctx(), at("payments/key"), 1).await.unwrap();
        assert_eq!(seen.secret.expires_at, None);
        let seen = bed.vault.rollback(&ctx(), at("payments/key"), 2).await.unwrap();
        assert_eq!(seen.secret.expires_at, Some(end));
        bed.clock.advance(TimeDelta::minutes(5));
        // Version 4 has ended as version 2 has; what comes back of version 1 has no end.
        for version in [2, 4] {
            assert_eq!(
                refused(bed.vault.rollback(&ctx(), at("payments/key"), version).await),
                (Code::StateConflict, "version".to_owned())
            );
        }
        let seen = bed.vault.rollback(&ctx(), at("payments/key"), 1).await.unwrap();
        assert_eq!((seen.secret.current_version, seen.secret.expires_at), (5, None));
        assert_eq!(bed.read("payments/key").await.unwrap().value(), "endless");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_in_a_leap_second_is_kept_as_it_is_told() {
    for bed in Bed::all().await {
        let leap = Timestamp::parse("2030-12-31T23:59:60Z").unwrap();
        put_until(&bed, "payments/key", "v", Some(leap)).await;
        let seen = bed.vault.get(&bed.manager(), at("payments/key")).await.unwrap();
        assert_eq!(seen.secret.expires_at, Some(leap));
        assert_eq!(bed.read("payments/key").await.unwrap().value(), "v");
        put_until(&bed, "payments/key", "w", None).await;
    }
}

/// Of two writers the one that came first may write last, and nodes' clocks differ.
#[tokio::test(flavor = "multi_thread")]
async fn the_past_is_told_in_the_order_of_the_changes() {
    for bed in Bed::all().await {
        let mut early = bed.manager();
        bed.clock.advance(TimeDelta::seconds(2));
        bed.put("payments/key", "one").await;
        let now = bed.kernel.now();
        early.now = now - TimeDelta::seconds(1);
        let wish = wish_of(json!({"kind": "api_key", "fields": {"value": "two"}}));
        let seen = bed.vault.put(&early, at("payments/key"), wish).await.unwrap();
        assert_eq!((seen.secret.current_version, seen.secret.updated_at), (2, now));
        let query = serde_json::from_value(json!({"prefix": "payments/", "at": now})).unwrap();
        let then = bed.vault.at(&bed.manager(), query).await.unwrap();
        assert_eq!(then.secrets[0].version, Some(2));
    }
}
