//! Writing and listing as an agent: decided first, done after.

use aim_core::{Actor, AgentCredential, Code, Ctx, Error, ctx::CredentialLimits};
use aim_premium::vault::{
    lists::{ListReply, ListRequest},
    writes::{WriteReply, WriteRequest},
};
use aim_testkit::{seed_agent, seed_organization};
use aim_violations::VerificationService;
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::{
    bed::{Bed, refused},
    canary::{CANARY, everything, holds},
};

fn request(path: &str, value: &str) -> WriteRequest {
    request_of(json!({"path": path, "secret": {"kind": "api_key", "fields": {"value": value}}}))
}

fn request_of(body: Value) -> WriteRequest {
    serde_json::from_value(body).unwrap()
}

async fn writes(bed: &Bed, request: WriteRequest) -> Result<WriteReply, Error> {
    bed.vault
        .write_as_agent(&bed.as_agent(), None, "rfc9421", request)
        .await
}

async fn lists(bed: &Bed, ctx: &Ctx, body: Value) -> Result<ListReply, Error> {
    let request: ListRequest = serde_json::from_value(body).unwrap();
    bed.vault.list_as_agent(ctx, None, "rfc9421", request).await
}

async fn paths(bed: &Bed, ctx: &Ctx, prefix: &str) -> Vec<String> {
    let reply = lists(bed, ctx, json!({"prefix": prefix})).await.unwrap();
    assert_eq!(reply.decision.status, "approved");
    let page = reply.page.unwrap();
    assert!(page.complete && page.next_cursor.is_none());
    page.secrets.into_iter().map(|secret| secret.path).collect()
}

impl Bed {
    async fn may(&self, capability: &'static str, effect: &'static str, resources: &[&str]) {
        self.grant_action(self.organization, &self.agent, capability, effect, resources)
            .await;
    }

    fn limited(&self, secret_paths: &[&str]) -> Ctx {
        let mut ctx = self.as_agent();
        ctx.actor = Actor::Agent {
            id: self.agent.id,
            credential: AgentCredential::Limited {
                id: uuid::Uuid::from_u128(7),
                capabilities: vec!["*".to_owned()],
                limits: CredentialLimits {
                    secret_paths: Some(secret_paths.iter().map(|text| (*text).to_owned()).collect()),
                    ..CredentialLimits::default()
                },
            },
        };
        ctx
    }

    /// The evidence of a decision as text, which must lead to the same verdict again.
    async fn replayed(&self, id: aim_core::DecisionId) -> String {
        let verifications = VerificationService::new(&self.kernel);
        let evidence = verifications.evidence(&self.manager(), id).await.unwrap();
        let (snapshot, inputs, verdict) = (&evidence.snapshot, &evidence.inputs, &evidence.verdict);
        aim_decision::replay(snapshot.as_bytes(), inputs.as_bytes(), verdict.as_bytes()).unwrap();
        evidence.inputs
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_may_write_writes_the_next_version_and_nobody_finds_the_value() {
    for bed in Bed::all().await {
        bed.may("secret:write", "allow", &["payments/*"]).await;
        // The organisation has no key yet: this is its first secret.
        let reply = writes(&bed, request("payments/key", CANARY)).await.unwrap();
        let written = reply.secret.unwrap();
        assert_eq!((reply.decision.status.as_str(), written.version), ("approved", 1));
        let reply = writes(&bed, request("payments/key", CANARY)).await.unwrap();
        assert_eq!(reply.secret.as_ref().unwrap().version, 2);
        assert_eq!(bed.read("payments/key").await.unwrap().value(), CANARY);
        let view = bed
            .vault
            .get(&bed.manager(), crate::bed::at("payments/key"))
            .await
            .unwrap();
        assert_eq!(view.versions[0].created_by, format!("agent:{}", bed.agent.id));
        // The evidence tells what, not with which value; and of equal values it does not tell that they are.
        let first = bed.replayed(reply.decision.id).await;
        let again = writes(&bed, request("payments/key", CANARY)).await.unwrap();
        let second = bed.replayed(again.decision.id).await;
        let own = |inputs: &str| {
            serde_json::from_str::<Value>(inputs).unwrap()["call"]["context"]["secret"].clone()
        };
        assert_eq!(
            (&own(&first)["fields"], &own(&first)["kind"]),
            (&json!(["value"]), &json!("api_key"))
        );
        assert_ne!(own(&first)["content"], own(&second)["content"]);
        assert!(!holds(json!(again).to_string().as_bytes(), CANARY.as_bytes()));
        assert!(!holds(&everything(&bed).await, CANARY.as_bytes()));
        assert!(bed.audited().await.contains(&"secret.written".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_written_is_a_violation_and_leaves_nothing() {
    for bed in Bed::all().await {
        bed.may("secret:write", "allow", &["payments/*"]).await;
        let reply = writes(&bed, request("hr/salaries", CANARY)).await.unwrap();
        assert_eq!(
            (reply.decision.status.as_str(), reply.secret.is_none()),
            ("denied", true)
        );
        assert_eq!(bed.database.count("SELECT count(*) FROM violations").await, 1);
        assert_eq!(bed.database.count("SELECT count(*) FROM vault_versions").await, 0);
        assert!(!holds(&everything(&bed).await, CANARY.as_bytes()));
        bed.replayed(reply.decision.id).await;
        // Reading is not writing.
        let reply = writes(&bed, request("payments/deep/key", "v")).await.unwrap();
        assert_eq!(reply.decision.status, "denied");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_wants_a_signature_that_covers_the_values_and_a_body_that_makes_sense() {
    for bed in Bed::all().await {
        bed.may("secret:write", "allow", &[]).await;
        for scheme in ["sdk", "agent_api_key", "session"] {
            let ctx = bed.as_agent();
            let refusal = bed
                .vault
                .write_as_agent(&ctx, None, scheme, request("a", "v"))
                .await;
            assert_eq!(refused(refusal).0, Code::Forbidden, "{scheme}");
        }
        for ctx in [bed.limited(&["**"]), bed.manager()] {
            let refusal = bed
                .vault
                .write_as_agent(&ctx, None, "rfc9421", request("a", "v"))
                .await;
            assert_eq!(refused(refusal).0, Code::Forbidden);
        }
        let secret = json!({"kind": "api_key", "fields": {"value": "v"}});
        for (body, field) in [
            (json!({"path": "a//b", "secret": secret}), "path"),
            (
                json!({"path": "a", "secret": {"kind": "api_key", "fields": {}}}),
                "secret.fields.value",
            ),
            (
                json!({"path": "a", "secret": {"kind": "api_key", "fields": {"value": "v"}, "cas": -1}}),
                "secret.cas",
            ),
            (
                json!({"path": "a", "secret": secret, "context": {"secret": 1}}),
                "context.secret",
            ),
        ] {
            assert_eq!(
                refused(writes(&bed, request_of(body)).await),
                (Code::FieldInvalid, field.to_owned())
            );
        }
        assert_eq!(bed.database.count("SELECT count(*) FROM decisions").await, 0);
        let cas = |seen: i64| {
            let secret = json!({"kind": "api_key", "fields": {"value": "v"}, "cas": seen});
            request_of(json!({"path": "a", "secret": secret}))
        };
        assert!(writes(&bed, cas(0)).await.is_ok());
        assert_eq!(refused(writes(&bed, cas(0)).await).0, Code::VersionConflict);
        assert_eq!(bed.audited().await.last().unwrap(), "secret.not_written");
        assert_eq!(writes(&bed, cas(1)).await.unwrap().secret.unwrap().version, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_write_is_taken_up_once_with_the_very_content_that_was_approved() {
    for bed in Bed::all().await {
        bed.may("secret:write", "require_approval", &["payments/*"]).await;
        let waiting = async |value: &str| {
            let reply = writes(&bed, request("payments/key", value)).await.unwrap();
            assert_eq!(
                (reply.decision.status.as_str(), reply.secret.is_none()),
                ("pending", true)
            );
            reply.decision.id
        };
        let again = |value: &str, id| WriteRequest {
            decision_id: Some(id),
            ..request("payments/key", value)
        };
        let id = waiting(CANARY).await;
        assert!(
            !holds(&everything(&bed).await, CANARY.as_bytes()),
            "the value is kept nowhere meanwhile"
        );
        assert_eq!(
            writes(&bed, again(CANARY, id)).await.unwrap().decision.status,
            "pending"
        );
        bed.review(id, true).await;
        for other in [
            again("another value", id),
            WriteRequest {
                decision_id: Some(id),
                ..request("payments/other", CANARY)
            },
            WriteRequest {
                decision_id: Some(id),
                ..request_of(json!({"path": "payments/key", "secret": {
                    "kind": "api_key", "fields": {"value": CANARY}, "tags": ["new"],
                }}))
            },
        ] {
            assert_eq!(
                refused(writes(&bed, other).await),
                (Code::FieldInvalid, "decision_id".to_owned())
            );
        }
        let reply = writes(&bed, again(CANARY, id)).await.unwrap();
        assert_eq!((reply.decision.id, reply.secret.unwrap().version), (id, 1));
        assert_eq!(bed.read("payments/key").await.unwrap().value(), CANARY);
        assert_eq!(
            refused(writes(&bed, again(CANARY, id)).await).0,
            Code::StateConflict
        );

        // A write that is refused in the end uses nothing up; a rejected and a late one never happen.
        let cas = |seen, id| {
            let secret = json!({"kind": "api_key", "fields": {"value": "v"}, "cas": seen});
            let request = request_of(json!({"path": "payments/key", "secret": secret}));
            WriteRequest {
                decision_id: id,
                ..request
            }
        };
        let id = writes(&bed, cas(0, None)).await.unwrap().decision.id;
        bed.review(id, true).await;
        for _ in 0..2 {
            assert_eq!(
                refused(writes(&bed, cas(0, Some(id))).await).0,
                Code::VersionConflict
            );
        }
        let rejected = waiting("w").await;
        bed.review(rejected, false).await;
        let reply = writes(&bed, again("w", rejected)).await.unwrap();
        assert!(reply.decision.status == "denied" && reply.secret.is_none());
        let late = waiting("w").await;
        bed.review(late, true).await;
        bed.clock.advance(TimeDelta::minutes(15));
        assert_eq!(
            refused(writes(&bed, again("w", late)).await).0,
            Code::StateConflict
        );

        // A read's approval writes nothing, and another agent's is unknown.
        bed.grant("require_approval", "payments/key").await;
        let read = bed.read("payments/key").await.unwrap().reply.decision.id;
        bed.review(read, true).await;
        assert_eq!(
            refused(writes(&bed, again("w", read)).await).0,
            Code::FieldInvalid
        );
        let other = seed_agent(&bed.kernel.store, bed.organization, "other").await;
        let ctx = bed.as_agent_of(bed.organization, &other);
        let theirs = waiting("w").await;
        bed.review(theirs, true).await;
        let taken = bed
            .vault
            .write_as_agent(&ctx, None, "rfc9421", again("w", theirs))
            .await;
        assert_eq!(refused(taken).0, Code::NotFound);
        assert_eq!(
            bed.read_version("payments/key", Some(1))
                .await
                .unwrap()
                .reply
                .decision
                .status,
            "pending"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_told_of_the_secrets_that_it_may_list_or_read_and_of_no_other() {
    for bed in Bed::all().await {
        for path in [
            "hr/salaries",
            "payments/a",
            "payments/b",
            "payments/deep/c",
            "payments/private",
            "paywall/x",
        ] {
            bed.put(path, "v").await;
        }
        let agent = bed.as_agent();
        // It may read payments/**, as every bed's agent; but nobody granted it to list.
        let denied = lists(&bed, &agent, json!({"prefix": "payments/"})).await.unwrap();
        assert!(denied.decision.status == "denied" && denied.page.is_none());
        assert!(!json!(denied).to_string().contains("\"secrets\""));
        bed.may("secret:list", "allow", &["payments/*", "hr/*", "pay*"])
            .await;
        bed.may("secret:read", "deny", &["payments/private"]).await;
        bed.may("secret:list", "deny", &["payments/private"]).await;
        assert_eq!(
            paths(&bed, &agent, "payments/").await,
            ["payments/a", "payments/b", "payments/deep/c"]
        );
        assert_eq!(paths(&bed, &agent, "payments/d").await, ["payments/deep/c"]);
        assert_eq!(paths(&bed, &agent, "hr/").await, ["hr/salaries"]);
        // A prefix that is granted does not open what is not: paywall/x is neither listed nor read.
        assert_eq!(
            paths(&bed, &agent, "pay").await,
            ["payments/a", "payments/b", "payments/deep/c"]
        );
        let reply = lists(&bed, &agent, json!({"prefix": "hr/"})).await.unwrap();
        let one = &reply.page.unwrap().secrets[0];
        assert_eq!((one.readable, one.version), (false, 1));
        bed.replayed(reply.decision.id).await;
        // What denies a path is denied as a prefix too; and all at once takes a grant without resources.
        for body in [
            json!({"prefix": "payments/private"}),
            json!({}),
            json!({"prefix": ""}),
        ] {
            let reply = lists(&bed, &agent, body).await.unwrap();
            assert!(reply.decision.status == "denied" && reply.page.is_none());
        }
        // A credential of less sees less.
        let limited = bed.limited(&["payments/a", "payments/"]);
        assert_eq!(paths(&bed, &limited, "payments/").await, ["payments/a"]);
        let beyond = lists(&bed, &limited, json!({"prefix": "hr/"})).await.unwrap();
        assert_eq!(beyond.decision.reason_codes, ["credential.secret_not_included"]);
        assert_eq!(bed.database.count("SELECT count(*) FROM violations").await, 5);
        // Another tenant's agent is told of its own tenant's.
        let stranger = seed_organization(&bed.kernel.store).await.organization;
        let other = seed_agent(&bed.kernel.store, stranger, "payer").await;
        bed.grant_action(stranger, &other, "secret:list", "allow", &[])
            .await;
        assert_eq!(paths(&bed, &bed.as_agent_of(stranger, &other), "").await, [""; 0]);
        assert_eq!(
            refused(lists(&bed, &bed.manager(), json!({})).await).0,
            Code::Forbidden
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_goes_on_where_it_ended_and_its_cursor_tells_nothing_of_others() {
    for bed in Bed::all().await {
        bed.may("secret:list", "allow", &["payments/"]).await;
        for place in 0..7 {
            bed.put(&format!("payments/s{place}"), "v").await;
        }
        bed.put("payments/s3x", "v").await;
        bed.may("secret:read", "deny", &["payments/s3x"]).await;
        bed.put("hr/hidden", "v").await;
        let agent = bed.as_agent();
        let (mut seen, mut cursor) = (Vec::new(), Value::Null);
        let mut pages = 0;
        loop {
            let body = json!({"prefix": "payments/", "limit": 2, "cursor": cursor});
            let page = lists(&bed, &agent, body).await.unwrap().page.unwrap();
            assert!(page.complete && page.secrets.len() <= 2);
            seen.extend(page.secrets.into_iter().map(|secret| secret.path));
            pages += 1;
            match page.next_cursor {
                Some(next) => cursor = json!(next),
                None => break,
            }
        }
        let expected: Vec<String> = (0..7).map(|place| format!("payments/s{place}")).collect();
        assert_eq!((seen, pages), (expected, 4));
        // The id of a secret that the agent may not know of is as good as any other id.
        let unknown = uuid::Uuid::from_u128(7).to_string();
        let hidden = bed
            .vault
            .list(
                &bed.manager(),
                serde_json::from_value(json!({"prefix": "g", "limit": 1})).unwrap(),
            )
            .await
            .unwrap();
        assert!(hidden.secrets.is_empty());
        let ids = "SELECT count(*) FROM vault_secrets WHERE path = 'hr/hidden'";
        assert_eq!(bed.database.count(ids).await, 1);
        let first = bed
            .vault
            .list(
                &bed.manager(),
                serde_json::from_value(json!({"limit": 1})).unwrap(),
            )
            .await
            .unwrap();
        assert_eq!(first.secrets[0].path, "hr/hidden");
        let hidden = first.next_cursor.unwrap();
        let refusals = [hidden.as_str(), unknown.as_str()];
        let mut answers = Vec::new();
        for cursor in refusals {
            let error = lists(&bed, &agent, json!({"prefix": "payments/", "cursor": cursor}))
                .await
                .unwrap_err();
            answers.push((error.code, error.field, error.detail));
        }
        assert_eq!(answers[0], answers[1]);
        for (body, field) in [
            (json!({"prefix": "a//b"}), "prefix"),
            (json!({"limit": 0}), "limit"),
            (json!({"cursor": "x"}), "cursor"),
        ] {
            assert_eq!(
                refused(lists(&bed, &agent, body).await),
                (Code::FieldInvalid, field.to_owned())
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_list_is_taken_up_once() {
    for bed in Bed::all().await {
        bed.put("payments/a", "v").await;
        bed.may("secret:list", "require_approval", &["payments/*"]).await;
        let agent = bed.as_agent();
        let pending = lists(&bed, &agent, json!({"prefix": "payments/"})).await.unwrap();
        assert!(pending.decision.status == "pending" && pending.page.is_none());
        let id = pending.decision.id;
        bed.review(id, true).await;
        let wrong = lists(&bed, &agent, json!({"prefix": "payments/a", "decision_id": id})).await;
        assert_eq!(refused(wrong), (Code::FieldInvalid, "decision_id".to_owned()));
        let body = json!({"prefix": "payments/", "decision_id": id});
        let taken = lists(&bed, &agent, body.clone()).await.unwrap();
        assert_eq!(taken.page.unwrap().secrets[0].path, "payments/a");
        assert_eq!(refused(lists(&bed, &agent, body).await).0, Code::StateConflict);
    }
}
