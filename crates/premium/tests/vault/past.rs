//! What secrets were: differences, moments, and the way back.

use aim_core::{Code, Role, Timestamp};
use aim_premium::vault::{
    model::VersionState,
    past::model::{
        AtList, AtQuery, DiffQuery, FieldChange, Newer, RestoreAction, RestoreReply, RestoreRequest,
    },
};
use chrono::TimeDelta;
use serde_json::json;

use crate::bed::{Bed, at, refused, wish_of};
use FieldChange::{Added, Changed, Removed, Same, Unknown};
use VersionState::{Active, Deleted, Destroyed};

fn between(path: &str, from: i64, to: Option<i64>) -> DiffQuery {
    serde_json::from_value(json!({"path": path, "from": from, "to": to})).unwrap()
}

impl Bed {
    /// The next second; answers the one that is over.
    fn tick(&self) -> Timestamp {
        let now = self.kernel.now();
        self.clock.advance(TimeDelta::seconds(1));
        now
    }

    async fn seen_at(&self, prefix: &str, moment: Timestamp) -> AtList {
        let query = AtQuery {
            prefix: Some(prefix.to_owned()),
            at: Some(moment),
            ..Default::default()
        };
        self.vault.at(&self.as_role(Role::Member), query).await.unwrap()
    }

    async fn restore(&self, prefix: &str, moment: Timestamp, more: serde_json::Value) -> RestoreReply {
        let mut body = json!({"prefix": prefix, "at": moment});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let request: RestoreRequest = serde_json::from_value(body).unwrap();
        self.vault.restore(&self.manager(), request).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_difference_names_fields_and_ends_and_no_value() {
    for bed in Bed::all().await {
        let end = bed.kernel.now() + TimeDelta::days(1);
        for body in [
            json!({"kind": "database", "fields": {"username": "u", "password": "canary-1", "host": "h"}, "expires_at": end}),
            json!({"kind": "database", "fields": {"username": "u", "password": "canary-2", "port": "1"}}),
            json!({"kind": "database", "fields": {"username": "v", "password": "canary-2", "port": "1"}}),
            json!({"kind": "map", "fields": {"password": "canary-2", "more": "canary-3"}}),
        ] {
            bed.try_put("db/main", wish_of(body)).await.unwrap();
            bed.tick();
        }
        let ctx = bed.as_role(Role::Member);
        let changes = async |from: i64, to: i64| {
            let diff = bed
                .vault
                .diff(&ctx, between("db/main", from, Some(to)))
                .await
                .unwrap();
            assert!(!serde_json::to_string(&diff).unwrap().contains("canary"));
            let of = |field: &aim_premium::vault::past::model::FieldDiff| (field.name.clone(), field.change);
            (diff.fields.iter().map(of).collect::<Vec<_>>(), diff)
        };
        let named = |all: &[(&str, FieldChange)]| -> Vec<(String, FieldChange)> {
            all.iter()
                .map(|(name, change)| ((*name).to_owned(), *change))
                .collect()
        };
        let (fields, diff) = changes(1, 2).await;
        assert_eq!(
            fields,
            named(&[
                ("host", Removed),
                ("password", Changed),
                ("port", Added),
                ("username", Unknown)
            ])
        );
        assert!(!diff.kind_changed);
        assert_eq!(
            (diff.expiry.from, diff.expiry.to, diff.expiry.changed),
            (Some(end), None, Some(true))
        );
        let (fields, diff) = changes(2, 3).await;
        assert_eq!(
            fields,
            named(&[("password", Same), ("port", Unknown), ("username", Unknown)])
        );
        assert_eq!(diff.expiry.changed, Some(false));
        let (fields, diff) = changes(3, 4).await;
        assert!(diff.kind_changed && fields.contains(&("password".to_owned(), Same)));
        assert_eq!(changes(4, 3).await.0.len(), fields.len(), "either way round");
        let newest = bed.vault.diff(&ctx, between("db/main", 4, None)).await.unwrap();
        assert!(newest.fields.iter().all(|field| field.change == Same));

        bed.destroy("db/main", 3).await.unwrap();
        let (fields, _) = changes(3, 4).await;
        assert!(
            fields.contains(&("password".to_owned(), Unknown)),
            "nothing is left to compare"
        );

        for query in [between("db/main", 1, Some(9)), between("db/none", 1, Some(1))] {
            assert_eq!(refused(bed.vault.diff(&ctx, query).await).0, Code::NotFound);
        }
        assert_eq!(
            refused(bed.vault.diff(&ctx, between("db//main", 1, None)).await),
            (Code::FieldInvalid, "path".to_owned())
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moment_shows_what_was_newest_then_and_how_it_stood() {
    for bed in Bed::all().await {
        let before = bed.tick();
        bed.put("a/one", "v1").await;
        let first = bed.tick();
        bed.put("a/one", "v2").await;
        bed.put("a/two", "w1").await;
        let second = bed.tick();
        bed.vault.delete(&bed.manager(), at("a/one"), None).await.unwrap();
        let deleted = bed.tick();
        bed.vault.undelete(&bed.manager(), at("a/one"), 2).await.unwrap();
        let undeleted = bed.tick();
        bed.destroy("a/one", 2).await.unwrap();
        let destroyed = bed.tick();
        let now = bed.kernel.now();

        let view = |list: AtList| -> Vec<_> {
            let of = |one: aim_premium::vault::past::model::SecretAt| {
                (
                    one.path,
                    one.version.unwrap(),
                    one.state.unwrap(),
                    one.state_now.unwrap(),
                )
            };
            list.secrets.into_iter().map(of).collect()
        };
        assert_eq!(view(bed.seen_at("", before).await), []);
        let one = |version, then, now| ("a/one".to_owned(), version, then, now);
        let two = ("a/two".to_owned(), 1, Active, Active);
        assert_eq!(view(bed.seen_at("a/", first).await), [one(1, Active, Deleted)]);
        assert_eq!(
            view(bed.seen_at("a/", second).await),
            [one(2, Active, Destroyed), two.clone()]
        );
        assert_eq!(
            view(bed.seen_at("a/", deleted).await),
            [one(2, Deleted, Destroyed), two.clone()]
        );
        assert_eq!(
            view(bed.seen_at("a/", undeleted).await),
            [one(2, Active, Destroyed), two.clone()]
        );
        assert_eq!(
            view(bed.seen_at("a/", destroyed).await),
            [one(2, Destroyed, Destroyed), two]
        );
        let today = bed.seen_at("a/", now).await;
        assert!(today.secrets.iter().all(|secret| secret.same_as_now));
        assert!(!bed.seen_at("a/", deleted).await.secrets[0].same_as_now);

        // A page, and the next one.
        let query = |cursor: Option<String>| AtQuery {
            at: Some(now),
            limit: Some(1),
            cursor,
            ..Default::default()
        };
        let ctx = bed.as_role(Role::Member);
        let page = bed.vault.at(&ctx, query(None)).await.unwrap();
        assert_eq!(page.secrets[0].path, "a/one");
        let page = bed.vault.at(&ctx, query(page.next_cursor)).await.unwrap();
        assert_eq!((page.secrets[0].path.as_str(), page.next_cursor), ("a/two", None));

        let ahead = AtQuery {
            at: Some(now + TimeDelta::seconds(1)),
            ..Default::default()
        };
        assert_eq!(
            refused(bed.vault.at(&ctx, ahead).await),
            (Code::FieldInvalid, "at".to_owned())
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_not_kept_any_more_was_still_the_newest_once() {
    for bed in Bed::all().await {
        let body =
            |value: &str| wish_of(json!({"kind": "api_key", "fields": {"value": value}, "max_versions": 1}));
        bed.try_put("a", body("v1")).await.unwrap();
        let then = bed.tick();
        bed.try_put("a", body("v2")).await.unwrap();
        let seen = bed.seen_at("", then).await.secrets.remove(0);
        assert_eq!(
            (seen.version, seen.state, seen.state_now),
            (Some(1), Some(Active), Some(Destroyed))
        );
        assert_eq!((seen.kind, seen.fields.len()), (None, 0));
        let reply = bed.restore("", then, json!({})).await;
        assert_eq!((reply.impossible, reply.secrets[0].from_version), (1, Some(1)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_goes_back_to_a_moment_as_new_versions() {
    for bed in Bed::all().await {
        let end = bed.kernel.now() + TimeDelta::days(9);
        let ending = json!({"kind": "api_key", "fields": {"value": "ending"}, "expires_at": end});
        bed.put("payments/changed", "old").await;
        bed.put("payments/same", "same").await;
        bed.put("payments/lost", "lost").await;
        bed.put("payments/gone", "gone").await;
        bed.put("payments/deleted-then", "x").await;
        bed.try_put("payments/ending", wish_of(ending)).await.unwrap();
        bed.put("other/changed", "old").await;
        bed.vault
            .delete(&bed.manager(), at("payments/deleted-then"), None)
            .await
            .unwrap();
        let then = bed.tick();
        bed.put("payments/changed", "new").await;
        bed.put("payments/lost", "new").await;
        bed.destroy("payments/lost", 1).await.unwrap();
        bed.vault
            .delete(&bed.manager(), at("payments/gone"), None)
            .await
            .unwrap();
        bed.put("payments/deleted-then", "y").await;
        bed.put("payments/ending", "never").await;
        bed.put("payments/new", "z").await;
        bed.put("other/changed", "new").await;
        bed.tick();

        let told = |reply: &RestoreReply| -> Vec<(String, RestoreAction, Option<i64>)> {
            let of = |one: &aim_premium::vault::past::model::Restored| {
                (one.path.clone(), one.action, one.from_version)
            };
            reply.secrets.iter().map(of).collect()
        };
        use RestoreAction as A;
        let expected: Vec<(String, A, Option<i64>)> = [
            ("payments/changed", A::Restored, Some(1)),
            ("payments/deleted-then", A::Deleted, None),
            ("payments/ending", A::Restored, Some(1)),
            ("payments/gone", A::Restored, Some(1)),
            ("payments/lost", A::Impossible, Some(1)),
            ("payments/new", A::Unchanged, None),
            ("payments/same", A::Unchanged, None),
        ]
        .into_iter()
        .map(|(path, action, from)| (path.to_owned(), action, from))
        .collect();
        let records = bed.audited().await.len();
        let preview = bed.restore("payments/", then, json!({"dry_run": true})).await;
        assert_eq!(told(&preview), expected);
        assert_eq!(
            bed.read("payments/changed").await.unwrap().value(),
            "new",
            "nothing was done"
        );
        assert_eq!(bed.audited().await.len(), records);

        let reply = bed.restore("payments/", then, json!({})).await;
        assert_eq!(told(&reply), expected);
        assert_eq!(
            (reply.restored, reply.deleted, reply.unchanged, reply.impossible),
            (3, 1, 2, 1)
        );
        assert_eq!(bed.read("payments/changed").await.unwrap().value(), "old");
        assert_eq!(bed.read("payments/gone").await.unwrap().value(), "gone");
        assert_eq!(refused(bed.read("payments/deleted-then").await).0, Code::NotFound);
        let view = bed
            .vault
            .get(&bed.manager(), at("payments/ending"))
            .await
            .unwrap();
        assert_eq!(
            (view.secret.expires_at, view.secret.current_version),
            (Some(end), 3)
        );
        assert_eq!(view.versions[0].rolled_back_from, Some(1));
        let untouched = bed.vault.get(&bed.manager(), at("other/changed")).await.unwrap();
        assert_eq!(untouched.secret.current_version, 2);
        let audited = bed.audited().await;
        let last = audited.iter().rfind(|event| *event != "secret.not_delivered");
        assert_eq!(last.unwrap(), "vault.restored");

        // A second time there is nothing to do; and what was not there goes when that is asked for.
        let again = bed.restore("payments/", then, json!({})).await;
        assert_eq!((again.restored, again.deleted), (0, 0), "{again:?}");
        let again = bed.restore("payments/", then, json!({"newer": "delete"})).await;
        assert_eq!((again.restored, again.deleted), (0, 1));
        assert_eq!(refused(bed.read("payments/new").await).0, Code::NotFound);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_way_back_goes_on_where_it_stopped_and_around_what_is_broken() {
    for bed in Bed::all().await {
        for number in 0..5 {
            bed.put(&format!("a/{number}"), "old").await;
        }
        let then = bed.tick();
        for number in 0..5 {
            bed.put(&format!("a/{number}"), "new").await;
        }
        bed.database
            .sql("UPDATE vault_secrets SET changes = 99 WHERE path = 'a/3'")
            .await;
        let first = bed.restore("a/", then, json!({"limit": 2})).await;
        assert_eq!((first.restored, first.next_cursor.is_some()), (2, true));
        let rest = bed
            .restore("a/", then, json!({"cursor": first.next_cursor}))
            .await;
        assert_eq!((rest.restored, rest.impossible, rest.next_cursor), (2, 1, None));
        assert_eq!(
            (rest.secrets[1].path.as_str(), rest.secrets[1].action),
            ("a/3", RestoreAction::Impossible)
        );
        for (body, field) in [
            (json!({"prefix": "A", "at": then}), "prefix"),
            (
                json!({"prefix": "", "at": bed.kernel.now() + TimeDelta::hours(1)}),
                "at",
            ),
            (json!({"prefix": "", "at": then, "limit": 0}), "limit"),
            (json!({"prefix": "", "at": then, "cursor": "x"}), "cursor"),
        ] {
            let request = serde_json::from_value(body).unwrap();
            assert_eq!(refused(bed.vault.restore(&bed.manager(), request).await).1, field);
        }
        let agent = serde_json::from_value(json!({"prefix": "", "at": then})).unwrap();
        assert_eq!(
            refused(bed.vault.restore(&bed.as_agent(), agent).await).0,
            Code::Forbidden
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_organisation_sees_and_restores_nothing_of_it() {
    for bed in Bed::all().await {
        bed.put("a", "v1").await;
        let then = bed.tick();
        bed.put("a", "v2").await;
        let other = aim_testkit::seed_organization(&bed.kernel.store)
            .await
            .organization;
        let theirs = bed.as_role_of(other, Role::Admin);
        assert_eq!(
            refused(bed.vault.diff(&theirs, between("a", 1, Some(2))).await).0,
            Code::NotFound
        );
        assert_eq!(
            bed.vault.at(&theirs, AtQuery::default()).await.unwrap().secrets,
            []
        );
        let request = RestoreRequest {
            prefix: String::new(),
            at: then,
            dry_run: false,
            newer: Newer::Delete,
            cursor: None,
            limit: None,
        };
        assert_eq!(
            bed.vault.restore(&theirs, request.clone()).await.unwrap().secrets,
            []
        );
        let page = AtQuery {
            limit: Some(1),
            ..Default::default()
        };
        let mine = bed.vault.at(&bed.manager(), page).await.unwrap();
        assert_eq!(mine.secrets.len(), 1);
        bed.put("b", "v").await;
        let page = AtQuery {
            limit: Some(1),
            ..Default::default()
        };
        let cursor = bed.vault.at(&bed.manager(), page).await.unwrap().next_cursor;
        let borrowed = AtQuery {
            cursor: cursor.clone(),
            ..Default::default()
        };
        assert_eq!(refused(bed.vault.at(&theirs, borrowed).await).1, "cursor");
        let borrowed = RestoreRequest { cursor, ..request };
        assert_eq!(refused(bed.vault.restore(&theirs, borrowed).await).1, "cursor");
    }
}

/// Secrets that are older than the note of what they were: the migration notes what is known of them.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_older_than_the_note_is_known_as_far_as_the_versions_tell() {
    for bed in Bed::all().await {
        let up = if bed.database.kind == "sqlite" {
            include_str!("../../../../migrations/premium/sqlite/00000000000107_vault_history/up.sql")
        } else {
            include_str!("../../../../migrations/premium/postgres/00000000000107_vault_history/up.sql")
        };
        bed.put("a", "v1").await;
        let first = bed.tick();
        bed.put("a", "v2").await;
        let second = bed.tick();
        bed.vault.delete(&bed.manager(), at("a"), Some(2)).await.unwrap();
        let deleted = bed.tick();
        bed.database.sql("DELETE FROM vault_history").await;
        let nothing = bed.seen_at("", first).await.secrets.remove(0);
        assert_eq!(
            (nothing.version, nothing.state, nothing.same_as_now),
            (None, None, false)
        );
        let statements: Vec<&str> = up
            .split(';')
            .filter(|part| part.contains("INSERT INTO vault_history"))
            .collect();
        assert_eq!(statements.len(), 2);
        for statement in statements {
            bed.database.sql(statement).await;
        }
        for (moment, version, state) in [(first, 1, Active), (second, 2, Active), (deleted, 2, Deleted)] {
            let seen = bed.seen_at("", moment).await.secrets.remove(0);
            assert_eq!(
                (seen.version, seen.state),
                (Some(version), Some(state)),
                "{}",
                bed.database.kind
            );
        }
        let diff = bed
            .vault
            .diff(&bed.manager(), between("a", 1, Some(2)))
            .await
            .unwrap();
        assert_eq!(
            diff.expiry.changed, None,
            "the ends of older versions are not known"
        );
        bed.put("a", "v3").await;
        let seen = bed.seen_at("", bed.kernel.now()).await.secrets.remove(0);
        assert!(seen.same_as_now && seen.version == Some(3));
    }
}
