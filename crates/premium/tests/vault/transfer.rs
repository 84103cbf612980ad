//! Import and export: all or nothing, the way there and back, and no value in the clear.

use aim_core::{Code, Role};
use aim_crypto::sealing::{RecipientKey, Sealed, SealingError, open};
use aim_premium::vault::transfer::model::{
    ExportPage, ExportRequest, ImportAction, ImportReply, ImportRequest,
};
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::{
    bed::{Bed, at, refused, wish_of},
    canary::{CANARY, everything, holds},
    reveals::Person,
};
use ImportAction::{Changed, Kept, New, Refused, Unchanged};

fn import(body: Value) -> ImportRequest {
    serde_json::from_value(body).unwrap()
}

fn actions(reply: &ImportReply) -> Vec<(&str, ImportAction)> {
    reply
        .items
        .iter()
        .map(|item| (item.path.as_str(), item.action))
        .collect()
}

impl Bed {
    async fn import(&self, body: Value) -> ImportReply {
        self.vault.import(&self.manager(), import(body)).await.unwrap()
    }

    async fn export(&self, key: &RecipientKey, prefix: &str, cursor: Option<String>) -> ExportPage {
        let request = ExportRequest {
            prefix: prefix.to_owned(),
            recipient: key.public_text(),
            reason: "moving to another place".to_owned(),
            cursor,
            limit: Some(2),
        };
        self.vault
            .export(&self.as_role(Role::Admin), request)
            .await
            .unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_is_previewed_and_then_done_as_it_was_previewed() {
    for bed in Bed::all().await {
        bed.put("web/stripe_key", "old").await;
        bed.put("web/same", "same").await;
        let mut body = json!({
            "text": "STRIPE_KEY=new\nSAME='same'\nOTHER=\"a\\nb\"", "format": "env",
            "mapping": {"prefix": "web/", "lowercase": true, "path_map": {"OTHER": "other/one"}}, "dry_run": true,
        });
        let expected = vec![
            ("web/stripe_key", Changed),
            ("web/same", Unchanged),
            ("other/one", New),
        ];
        let preview = bed.import(body.clone()).await;
        assert_eq!(actions(&preview), expected);
        assert!(
            preview.dry_run
                && preview.items[0].previous_version == 1
                && preview.items[0].current_version == 2
        );
        let list = bed.vault.list(&bed.manager(), Default::default()).await.unwrap();
        assert_eq!(list.secrets.len(), 2, "nothing was written");
        assert_eq!(
            bed.audited().await.last().unwrap(),
            "vault.import_previewed",
            "guessing is seen"
        );

        body["dry_run"] = json!(false);
        let done = bed.import(body.clone()).await;
        assert_eq!(actions(&done), expected);
        assert_eq!((done.new, done.changed, done.unchanged), (1, 1, 1));
        let records = bed.audited().await;
        assert_eq!(
            records[records.len() - 3..],
            ["secret.written", "secret.written", "vault.imported"]
        );
        let again = bed.import(body.clone()).await;
        assert_eq!((again.new, again.changed, again.unchanged), (0, 0, 3));
        body["existing"] = json!("keep");
        assert!(
            bed.import(body.clone())
                .await
                .items
                .iter()
                .all(|item| item.action == Kept)
        );
        body["existing"] = json!("refuse");
        let refusal = bed.vault.import(&bed.manager(), import(body)).await;
        assert_eq!(refused(refusal), (Code::Conflict, "existing".to_owned()));

        bed.grant("allow", "web/**").await;
        assert_eq!(bed.read("web/stripe_key").await.unwrap().value(), "new");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_a_file_is_imported_or_nothing() {
    for bed in Bed::all().await {
        let text = r#"{"a/good": "v", "A/Bad": "canary", "a/number": {"x": 4711}, "a/good2": {"kind": "aws", "fields": {"access_key_id": "canary"}}}"#;
        let mut body = json!({"text": text, "format": "json", "dry_run": true});
        let preview = bed.import(body.clone()).await;
        assert_eq!(
            actions(&preview),
            [
                ("a/good", New),
                ("A/Bad", Refused),
                ("a/number", Refused),
                ("a/good2", Refused)
            ]
        );
        let reasons = format!("{preview:?}");
        assert!(
            !reasons.contains("canary") && !reasons.contains("4711"),
            "{reasons}"
        );
        body["dry_run"] = json!(false);
        let error = bed.vault.import(&bed.manager(), import(body)).await.unwrap_err();
        assert_eq!(
            (error.code, error.field.as_deref()),
            (Code::FieldInvalid, Some("text"))
        );
        assert!(
            error.detail.contains("3 of 4 are refused") && error.detail.contains("A/Bad"),
            "{error}"
        );

        // One that cannot be written takes those before it along.
        bed.put("z", "v").await;
        let items = json!([
            {"path": "b", "kind": "api_key", "fields": {"value": "v"}},
            {"path": "z", "kind": "api_key", "fields": {"value": "w"}, "cas": 7},
        ]);
        let error = bed
            .vault
            .import(&bed.manager(), import(json!({"items": items})))
            .await
            .unwrap_err();
        assert_eq!(error.code, Code::VersionConflict);
        let list = bed.vault.list(&bed.manager(), Default::default()).await.unwrap();
        assert_eq!(
            list.secrets
                .iter()
                .map(|secret| secret.path.as_str())
                .collect::<Vec<_>>(),
            ["z"]
        );

        let twice = json!([
            {"path": "b", "kind": "api_key", "fields": {"value": "one"}},
            {"path": "b", "kind": "api_key", "fields": {"value": "two"}},
        ]);
        let error = bed
            .vault
            .import(&bed.manager(), import(json!({"items": twice})))
            .await
            .unwrap_err();
        assert_eq!(error.field.as_deref(), Some("items[1]"));
        let done = bed.import(json!({"items": twice, "repeated": true})).await;
        assert_eq!(actions(&done), [("b", New), ("b", Changed)]);
        bed.grant("allow", "b").await;
        assert_eq!(bed.read("b").await.unwrap().value(), "two");

        for (body, field) in [
            (json!({}), "items"),
            (json!({"text": "A=1"}), "format"),
            (json!({"text": "A=1", "format": "env", "items": twice}), "items"),
            (json!({"text": "canary", "format": "env"}), "text"),
            (
                json!({"text": "A=1", "format": "env", "mapping": {"prefix": "/x"}}),
                "prefix",
            ),
            (
                json!({"text": "A=1", "format": "env", "mapping": {"as_map": "X"}}),
                "as_map",
            ),
        ] {
            assert_eq!(
                refused(bed.vault.import(&bed.manager(), import(body)).await).1,
                field
            );
        }
        let many: String = (0..501).map(|number| format!("K{number}=v\n")).collect();
        let body = json!({"text": many, "format": "env", "mapping": {"lowercase": true}});
        assert_eq!(
            refused(bed.vault.import(&bed.manager(), import(body)).await).1,
            "items"
        );
        let agent = import(json!({"items": twice}));
        assert_eq!(
            refused(bed.vault.import(&bed.as_agent(), agent).await).0,
            Code::Forbidden
        );
    }
}

fn sealed(page: &ExportPage) -> Sealed {
    serde_json::from_value(serde_json::to_value(&page.sealed).unwrap()).unwrap()
}

fn secrets(key: &RecipientKey, page: &ExportPage) -> Value {
    let plaintext = open(key, &page.export.info(), &sealed(page)).unwrap();
    serde_json::from_slice(&plaintext).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_opens_for_its_recipient_alone_and_comes_back() {
    for bed in Bed::all().await {
        let key = RecipientKey::generate().unwrap();
        let soon = bed.kernel.now() + TimeDelta::minutes(1);
        bed.try_put(
            "payments/a",
            wish_of(json!({
                "kind": "database", "fields": {"username": "u", "password": CANARY}, "tags": ["t"], "description": "d",
                "owner": "o", "max_versions": 3,
            })),
        )
        .await
        .unwrap();
        bed.put("payments/b", "deleted").await;
        bed.vault
            .delete(&bed.manager(), at("payments/b"), None)
            .await
            .unwrap();
        bed.try_put(
            "payments/c",
            wish_of(json!({"kind": "api_key", "fields": {"value": "x"}, "expires_at": soon})),
        )
        .await
        .unwrap();
        bed.put("payments/d", "\u{1f511} \"quoted\"").await;
        bed.put("payments/e", "broken").await;
        bed.put("other", "not exported").await;
        bed.database
            .sql("UPDATE vault_secrets SET changes = 99 WHERE path = 'payments/e'")
            .await;
        bed.clock.advance(TimeDelta::minutes(2));

        let first = bed.export(&key, "payments/", None).await;
        assert_eq!(
            (first.export.count, first.export.last, first.export.after.as_str()),
            (1, false, "")
        );
        assert_eq!(first.left_out[0].path, "payments/b");
        let second = bed.export(&key, "payments/", first.next_cursor.clone()).await;
        assert_eq!(second.export.after, "payments/b");
        assert_eq!(
            (second.export.export_id, second.export.last),
            (first.export.export_id, false)
        );
        assert_eq!(second.left_out[0].reason, "it has expired");
        let third = bed.export(&key, "payments/", second.next_cursor.clone()).await;
        assert_eq!(
            (
                third.export.count,
                third.export.last,
                third.next_cursor.as_deref()
            ),
            (0, true, None)
        );
        assert!(
            third.left_out[0].reason.contains("head does not fit"),
            "{:?}",
            third.left_out
        );

        let exported = secrets(&key, &first);
        assert_eq!(exported[0]["fields"]["password"], CANARY);
        assert_eq!(
            (&exported[0]["tags"], &exported[0]["owner"]),
            (&json!(["t"]), &json!("o"))
        );
        let stranger = RecipientKey::generate().unwrap();
        assert_eq!(
            open(&stranger, &first.export.info(), &sealed(&first)).unwrap_err(),
            SealingError::Open
        );
        let mut moved = first.export.clone();
        moved.last = true;
        assert_eq!(
            open(&key, &moved.info(), &sealed(&first)).unwrap_err(),
            SealingError::Open
        );

        // The record says why, and the values are in no answer, no table and no log.
        assert_eq!(
            bed.audited()
                .await
                .iter()
                .filter(|action| *action == "vault.exported")
                .count(),
            3
        );
        let text = serde_json::to_vec(&[&first, &second, &third]).unwrap();
        assert!(!holds(&text, CANARY.as_bytes()) && !holds(&text, b"quoted"));
        let all = everything(&bed).await;
        assert!(
            holds(&all, b"moving to another place"),
            "the search finds what is there"
        );
        assert!(!holds(&all, CANARY.as_bytes()), "{}", bed.database.kind);

        // Another organisation takes it up.
        let other = aim_testkit::seed_organization(&bed.kernel.store)
            .await
            .organization;
        let theirs = bed.as_role_of(other, Role::Admin);
        let mut list = exported.as_array().unwrap().clone();
        list.extend(secrets(&key, &second).as_array().unwrap().iter().cloned());
        let text = serde_json::to_string(&list).unwrap();
        let body = import(json!({"text": text, "format": "json"}));
        let done = bed.vault.import(&theirs, body).await.unwrap();
        assert_eq!(actions(&done), [("payments/a", New), ("payments/d", New)]);
        let view = bed.vault.get(&theirs, at("payments/a")).await.unwrap();
        assert_eq!(
            (view.secret.max_versions, view.secret.description.as_str()),
            (3, "d")
        );
        let sought = serde_json::from_value(json!({"value": "\u{1f511} \"quoted\""})).unwrap();
        assert!(bed.vault.find_value(&theirs, sought).await.unwrap().found);
        // A cursor is of no use to others, and their export has nothing of ours.
        let request = ExportRequest {
            prefix: String::new(),
            recipient: key.public_text(),
            reason: "moving to another place".to_owned(),
            cursor: first.next_cursor.clone(),
            limit: None,
        };
        assert_eq!(
            refused(bed.vault.export(&theirs, request.clone()).await).1,
            "cursor"
        );
        let all = ExportRequest {
            cursor: None,
            ..request
        };
        assert_eq!(bed.vault.export(&theirs, all).await.unwrap().export.count, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_wants_a_key_and_a_reason() {
    for bed in Bed::all().await {
        let good = json!({
            "prefix": "", "recipient": RecipientKey::generate().unwrap().public_text(), "reason": "moving away today",
        });
        for (name, value, field) in [
            ("prefix", json!("A"), "prefix"),
            ("recipient", json!("AAAA"), "recipient"),
            ("recipient", json!("A".repeat(43)), "recipient"),
            ("reason", json!("short"), "reason"),
            ("reason", json!("x".repeat(501)), "reason"),
            ("reason", json!("moving\naway\ntoday"), "reason"),
            ("limit", json!(0), "limit"),
            ("cursor", json!("x"), "cursor"),
        ] {
            let mut body = good.clone();
            body[name] = value;
            let request: ExportRequest = serde_json::from_value(body).unwrap();
            let answer = bed.vault.export(&bed.as_role(Role::Admin), request).await;
            assert_eq!(refused(answer), (Code::FieldInvalid, field.to_owned()), "{name}");
        }
        // Of an empty vault there is an empty export.
        let request: ExportRequest = serde_json::from_value(good).unwrap();
        let page = bed
            .vault
            .export(&bed.as_role(Role::Admin), request)
            .await
            .unwrap();
        assert_eq!((page.export.count, page.export.last), (0, true));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_signed_in_long_ago_exports_nothing_and_a_key_does() {
    for bed in Bed::all().await {
        bed.put("payments/a", "v").await;
        let request: ExportRequest = serde_json::from_value(json!({
            "prefix": "", "recipient": RecipientKey::generate().unwrap().public_text(), "reason": "moving away today",
        }))
        .unwrap();
        let person = Person::signed_in(&bed, bed.organization).await;
        bed.clock.advance(TimeDelta::minutes(61));
        let refusal = bed
            .vault
            .export(&person.ctx(&bed), request.clone())
            .await
            .unwrap_err();
        assert_eq!(refusal.code, Code::Forbidden);
        assert!(refusal.detail.contains("sign out and in again"), "{refusal}");
        let audited = bed.audited().await;
        assert!(!audited.iter().any(|action| action.contains("exported")));
        let person = person.signs_in(&bed).await;
        for ctx in [person.ctx(&bed), bed.as_role(Role::Admin)] {
            let page = bed.vault.export(&ctx, request.clone()).await.unwrap();
            assert_eq!(page.export.count, 1);
        }
    }
}
