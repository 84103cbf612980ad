//! Writing, finding and the life of versions.

use aim_core::{Code, Role};
use aim_premium::vault::{
    kinds::SecretKind,
    model::{DeleteQuery, FindValue, SecretQuery, VersionState},
};
use chrono::TimeDelta;
use serde_json::json;

use crate::bed::{Bed, at, refused, states, wish, wish_of};
use VersionState::{Active, Deleted, Destroyed};

#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_a_new_version_and_answers_no_value() {
    for bed in Bed::all().await {
        let first = bed
            .try_put(
                "payments/stripe/live",
                wish_of(json!({
                    "kind": "password", "fields": {"username": "pay", "password": "canary-1"}, "description": "charges",
                    "tags": ["stripe", " live ", "stripe"], "owner": "team payments", "cas": 0,
                })),
            )
            .await
            .unwrap();
        assert_eq!(first.secret.current_version, 1);
        assert_eq!(first.secret.tags, ["live", "stripe"]);
        assert_eq!(first.versions[0].fields, ["password", "username"]);
        let second = bed
            .try_put(
                "payments/stripe/live",
                wish_of(json!({"kind": "api_key", "fields": {"value": "canary-2"}, "owner": "", "cas": 1})),
            )
            .await
            .unwrap();
        assert_eq!(states(&second), [(2, Active), (1, Active)]);
        assert_eq!(
            (second.secret.kind, second.versions[1].kind),
            (SecretKind::ApiKey, SecretKind::Password)
        );
        assert_eq!(second.secret.description, "charges", "what is left out stays");
        assert_eq!(second.secret.owner, None, "what is empty goes");
        let seen = bed
            .vault
            .get(&bed.as_role(Role::Member), at("payments/stripe/live"))
            .await
            .unwrap();
        assert_eq!(seen, second);
        assert!(!serde_json::to_string(&seen).unwrap().contains("canary"));
        assert_eq!(bed.audited().await, ["secret.written", "secret.written"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_on_another_version_than_was_seen_is_refused_and_changes_nothing() {
    for bed in Bed::all().await {
        let with = |cas: i64| wish_of(json!({"kind": "api_key", "fields": {"value": "v"}, "cas": cas}));
        assert_eq!(
            refused(bed.try_put("a", with(1)).await),
            (Code::VersionConflict, "cas".to_owned())
        );
        bed.try_put("a", with(0)).await.unwrap();
        for cas in [0, 2] {
            assert_eq!(
                refused(bed.try_put("a", with(cas)).await).0,
                Code::VersionConflict
            );
        }
        let seen = bed.vault.get(&bed.manager(), at("a")).await.unwrap();
        assert_eq!(states(&seen), [(1, Active)]);
        assert_eq!(bed.audited().await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_accepted_is_named_and_not_repeated() {
    for bed in Bed::all().await {
        let past = bed.kernel.now() - TimeDelta::seconds(1);
        for (body, field) in [
            (
                json!({"kind": "aws", "fields": {"access_key_id": "canary"}}),
                "fields.secret_access_key",
            ),
            (
                json!({"kind": "api_key", "fields": {"value": "canary", "x": "canary"}}),
                "fields",
            ),
            (
                json!({"kind": "api_key", "fields": {"value": "canary"}, "max_versions": 0}),
                "max_versions",
            ),
            (
                json!({"kind": "api_key", "fields": {"value": "canary"}, "max_versions": 101}),
                "max_versions",
            ),
            (
                json!({"kind": "api_key", "fields": {"value": "canary"}, "cas": -1}),
                "cas",
            ),
            (
                json!({"kind": "api_key", "fields": {"value": "canary"}, "tags": ["a", " "]}),
                "tags[1]",
            ),
            (
                json!({"kind": "api_key", "fields": {"value": "canary"}, "expires_at": past}),
                "expires_at",
            ),
            (
                json!({"kind": "api_key", "fields": {"value": "canary"}, "description": "x".repeat(1_001)}),
                "description",
            ),
        ] {
            let error = bed.try_put("a", wish_of(body)).await.unwrap_err();
            assert_eq!(
                (error.code, error.field.as_deref()),
                (Code::FieldInvalid, Some(field))
            );
            assert!(!error.detail.contains("canary"), "{error}");
        }
        assert_eq!(bed.audited().await.len(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_deleted_undeleted_destroyed_and_taken_up_again() {
    for bed in Bed::all().await {
        let (ctx, path) = (bed.manager(), || at("payments/key"));
        for value in ["one", "two", "three"] {
            bed.put("payments/key", value).await;
        }
        let seen = bed.vault.delete(&ctx, path(), Some(3)).await.unwrap();
        assert_eq!(states(&seen), [(3, Deleted), (2, Active), (1, Active)]);
        assert_eq!(refused(bed.read("payments/key").await).0, Code::NotFound);
        assert_eq!(
            bed.read_version("payments/key", Some(2)).await.unwrap().value(),
            "two"
        );
        assert_eq!(
            refused(bed.vault.rollback(&ctx, path(), 3).await),
            (Code::StateConflict, "version".to_owned())
        );
        bed.vault.undelete(&ctx, path(), 3).await.unwrap();
        assert_eq!(bed.read("payments/key").await.unwrap().value(), "three");

        let seen = bed.vault.rollback(&ctx, path(), 1).await.unwrap();
        assert_eq!(seen.versions[0].rolled_back_from, Some(1));
        let read = bed.read("payments/key").await.unwrap();
        assert_eq!(
            (read.value(), read.reply.secret.as_ref().unwrap().version),
            ("one", 4)
        );

        let seen = bed.vault.destroy(&ctx, path(), 4).await.unwrap();
        assert_eq!(
            states(&seen),
            [(4, Destroyed), (3, Active), (2, Active), (1, Active)]
        );
        assert_eq!(refused(bed.read("payments/key").await).0, Code::NotFound);
        for refusal in [
            bed.vault.undelete(&ctx, path(), 4).await,
            bed.vault.delete(&ctx, path(), Some(4)).await,
            bed.vault.rollback(&ctx, path(), 4).await,
        ] {
            assert_eq!(refused(refusal), (Code::StateConflict, "version".to_owned()));
        }
        let seen = bed
            .vault
            .delete(&ctx, path(), DeleteQuery::default().version)
            .await
            .unwrap();
        assert_eq!(
            states(&seen),
            [(4, Destroyed), (3, Deleted), (2, Deleted), (1, Deleted)]
        );
        for unknown in [0, 5, -1] {
            assert_eq!(
                refused(bed.vault.destroy(&ctx, path(), unknown).await).0,
                Code::NotFound
            );
        }
        let audited = bed.audited().await;
        assert_eq!(
            audited[3..],
            [
                "secret.deleted",
                "secret.not_delivered",
                "secret.undeleted",
                "secret.rolled_back",
                "secret.destroyed",
                "secret.not_delivered",
                "secret.deleted"
            ]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_beyond_the_number_that_is_kept_are_gone() {
    for bed in Bed::all().await {
        let keep = |value: &str, most: i64| {
            wish_of(json!({"kind": "api_key", "fields": {"value": value}, "max_versions": most}))
        };
        for number in 1..=5 {
            bed.try_put("payments/key", keep(&format!("v{number}"), 3))
                .await
                .unwrap();
        }
        let seen = bed.vault.get(&bed.manager(), at("payments/key")).await.unwrap();
        assert_eq!(states(&seen), [(5, Active), (4, Active), (3, Active)]);
        assert_eq!(seen.secret.oldest_version, 3);
        assert_eq!(
            refused(bed.read_version("payments/key", Some(2)).await).0,
            Code::NotFound
        );
        assert_eq!(
            bed.read_version("payments/key", Some(3)).await.unwrap().value(),
            "v3"
        );
        let found = bed.vault.find_value(&bed.manager(), sought("v1")).await.unwrap();
        assert!(!found.found);
        // Keeping more again brings nothing back.
        let seen = bed.try_put("payments/key", keep("v6", 100)).await.unwrap();
        assert_eq!(states(&seen).len(), 4);
        let seen = bed.try_put("payments/key", keep("v7", 1)).await.unwrap();
        assert_eq!(states(&seen), [(7, Active)]);
        assert_eq!(bed.read("payments/key").await.unwrap().value(), "v7");
    }
}

fn sought(value: &str) -> FindValue {
    serde_json::from_value(json!({"value": value})).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_is_found_wherever_it_stands_and_not_once_it_is_destroyed() {
    for bed in Bed::all().await {
        let ctx = bed.manager();
        assert!(!bed.vault.find_value(&ctx, sought("leaked")).await.unwrap().found);
        bed.put("a/one", "leaked").await;
        bed.put("a/one", "other").await;
        bed.try_put(
            "b/two",
            wish_of(json!({"kind": "database", "fields": {"username": "u-shared", "password": "leaked", "port": "5432"}})),
        )
        .await
        .unwrap();
        let found = bed.vault.find_value(&ctx, sought("leaked")).await.unwrap();
        let places: Vec<_> = found
            .places
            .iter()
            .map(|place| {
                (
                    place.path.as_str(),
                    place.version,
                    place.field.as_str(),
                    place.is_current,
                )
            })
            .collect();
        assert_eq!(
            places,
            [("a/one", 1, "value", false), ("b/two", 1, "password", true)]
        );
        for other in ["leake", "leaked ", "5432", "u-shared"] {
            assert!(
                !bed.vault.find_value(&ctx, sought(other)).await.unwrap().found,
                "{other}"
            );
        }
        bed.destroy("a/one", 1).await.unwrap();
        let found = bed.vault.find_value(&ctx, sought("leaked")).await.unwrap();
        assert_eq!(found.places.len(), 1);
        let audited = bed.audited().await;
        assert_eq!(
            audited
                .iter()
                .filter(|action| *action == "secret.value_sought")
                .count(),
            7
        );

        let other = aim_testkit::seed_organization(&bed.kernel.store)
            .await
            .organization;
        let foreign = bed.as_role_of(other, Role::Admin);
        assert!(
            !bed.vault
                .find_value(&foreign, sought("leaked"))
                .await
                .unwrap()
                .found
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_by_path_and_narrowed_by_prefix_tag_and_search() {
    for bed in Bed::all().await {
        for path in ["b", "a/c", "a-b", "a/b", "a", "ab/c_d"] {
            bed.put(path, "v").await;
        }
        bed.try_put(
            "a/b",
            wish_of(json!({"kind": "api_key", "fields": {"value": "v"}, "tags": ["50%", "x"]})),
        )
        .await
        .unwrap();
        let ctx = bed.as_role(Role::Member);
        let list = async |query: SecretQuery| {
            let list = bed.vault.list(&ctx, query).await.unwrap();
            let paths: Vec<String> = list.secrets.into_iter().map(|secret| secret.path).collect();
            (paths, list.next_cursor)
        };
        let text = |text: &str| Some(text.to_owned());
        let (all, _) = list(SecretQuery::default()).await;
        assert_eq!(all, ["a", "a-b", "a/b", "a/c", "ab/c_d", "b"]);
        let prefix = |prefix: &str| SecretQuery {
            prefix: text(prefix),
            ..Default::default()
        };
        assert_eq!(list(prefix("a/")).await.0, ["a/b", "a/c"]);
        assert_eq!(list(prefix("ab")).await.0, ["ab/c_d"]);
        assert_eq!(list(prefix("")).await.0.len(), 6);
        let tag = |tag: &str| SecretQuery {
            tag: text(tag),
            ..Default::default()
        };
        assert_eq!(list(tag("50%")).await.0, ["a/b"]);
        assert_eq!(list(tag("5")).await.0, [""; 0]);
        let search = |search: &str| SecretQuery {
            search: text(search),
            ..Default::default()
        };
        assert_eq!(list(search("C")).await.0, ["a/c", "ab/c_d"]);
        assert_eq!(list(search("c_d")).await.0, ["ab/c_d"]);
        assert_eq!(list(search("%")).await.0, [""; 0]);

        let page = |cursor| SecretQuery {
            limit: Some(4),
            cursor,
            prefix: text("a"),
            ..Default::default()
        };
        let (first, cursor) = list(page(None)).await;
        assert_eq!((first.len(), cursor.is_some()), (4, true));
        assert_eq!(
            list(page(cursor.clone())).await,
            (vec!["ab/c_d".to_owned()], None)
        );
        let other = aim_testkit::seed_organization(&bed.kernel.store)
            .await
            .organization;
        let foreign = bed
            .vault
            .list(&bed.as_role_of(other, Role::Admin), page(cursor))
            .await;
        assert_eq!(refused(foreign), (Code::FieldInvalid, "cursor".to_owned()));
        let good = bed.vault.list(&ctx, prefix("..")).await;
        assert!(good.is_ok(), "'..' can begin a segment");
        for bad in ["../", "a/../b", "./a", "A"] {
            assert_eq!(
                refused(bed.vault.list(&ctx, prefix(bad)).await).1,
                "prefix",
                "{bad}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_path_is_as_unknown_as_one_that_is_not_there() {
    for bed in Bed::all().await {
        bed.put("payments/key", "v").await;
        let other = aim_testkit::seed_organization(&bed.kernel.store)
            .await
            .organization;
        let foreign = bed.as_role_of(other, Role::Admin);
        let answers = async |path: &str| {
            let errors = [
                bed.vault.get(&foreign, at(path)).await.unwrap_err(),
                bed.vault.delete(&foreign, at(path), None).await.unwrap_err(),
                bed.vault.undelete(&foreign, at(path), 1).await.unwrap_err(),
                bed.vault.destroy(&foreign, at(path), 1).await.unwrap_err(),
                bed.vault.rollback(&foreign, at(path), 1).await.unwrap_err(),
            ];
            errors.map(|error| (error.code, error.detail, error.field))
        };
        let (theirs, unknown) = (answers("payments/key").await, answers("payments/no-key").await);
        assert_eq!(theirs, unknown);
        assert_eq!(theirs[0].0, Code::NotFound);
        // The same path is free for the other tenant, and its own.
        let put = bed
            .vault
            .put(&foreign, at("payments/key"), wish("theirs"))
            .await
            .unwrap();
        assert_eq!(put.secret.current_version, 1);
        assert_eq!(bed.read("payments/key").await.unwrap().value(), "v");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_refused_wherever_people_are_meant() {
    for bed in Bed::all().await {
        bed.put("payments/key", "v").await;
        let agent = bed.as_agent();
        assert_eq!(
            refused(bed.vault.get(&agent, at("payments/key")).await).0,
            Code::Forbidden
        );
        assert_eq!(
            refused(bed.vault.put(&agent, at("a"), wish("v")).await).0,
            Code::Forbidden
        );
        assert_eq!(
            refused(bed.vault.list(&agent, SecretQuery::default()).await).0,
            Code::Forbidden
        );
        assert_eq!(
            refused(bed.vault.find_value(&agent, sought("v")).await).0,
            Code::Forbidden
        );
        assert_eq!(
            refused(bed.vault.destroy(&agent, at("payments/key"), 1).await).0,
            Code::Forbidden
        );
        assert_eq!(refused(bed.vault.status(&agent).await).0, Code::Forbidden);
    }
}
