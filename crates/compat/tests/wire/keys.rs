//! Which key counts: the agent's own, as its state is at this very moment.

use aim_crypto::keys::SigningKey;
use aim_key_vault::store::{End, NewKey, bump_agent_epoch, insert, mark_revoked, of_agent};
use aim_testkit::{seed_agent, seed_organization};
use serde_json::{Value, json};

use crate::bed::{Bed, action, app, header_signed, poll, seconds, send, verification};

async fn bring_key(bed: &Bed) -> SigningKey {
    let key = SigningKey::generate().unwrap();
    let (public_key, organization, agent, now) =
        (key.public(), bed.organization, bed.agent.id, bed.there.now());
    bed.there
        .kernel
        .store
        .write(organization, move |db| {
            let new = NewKey {
                organization,
                agent,
                public_key: &public_key,
                created_at: now,
                expires_at: now + seconds(3600),
                created_by: "system:test".to_owned(),
                reason: "rotation",
                generated_by: "client",
            };
            insert(db, &new)?;
            bump_agent_epoch(db, organization, agent)
        })
        .await
        .unwrap();
    key
}

#[actix_web::test]
async fn a_key_that_was_brought_through_another_node_counts_here_at_once() {
    for bed in Bed::all().await {
        let app = app!(&bed.here);
        let (status, decided) = send!(app, &verification(&bed.action()));
        assert_eq!(status, 201);
        // This node knows the agent by its first key now.
        assert_eq!(send!(app, &bed.poll(&bed.agent.key, &decided["id"])).0, 200);

        let key = bring_key(&bed).await;
        assert_eq!(send!(app, &bed.poll(&key, &decided["id"])).0, 200);
        let signed = action(bed.agent.id, &key, bed.here.now(), json!({"with": "the new key"}));
        assert_eq!(send!(app, &verification(&signed)).0, 201);
    }
}

#[actix_web::test]
async fn a_key_that_was_revoked_through_another_node_is_refused_here_at_once() {
    for bed in Bed::all().await {
        let app = app!(&bed.here);
        let (_, decided) = send!(app, &verification(&bed.action()));
        let target = format!("/api/v1/sdk-api/agents/{}/capability-requests", bed.agent.id);
        let list = |at: i64| {
            header_signed(
                bed.agent.id,
                &bed.agent.key,
                bed.here.now() + seconds(at),
                "GET",
                &target,
                "",
            )
        };
        assert_eq!(send!(app, &list(0)).0, 200);

        let (organization, agent, now) = (bed.organization, bed.agent.id, bed.there.now());
        bed.there
            .kernel
            .store
            .write(organization, move |db| {
                let rows = of_agent(db, organization, agent)?;
                let end = End {
                    at: now,
                    by: "user:test",
                    reason: "stolen",
                };
                rows.iter().try_for_each(|row| mark_revoked(db, row, &end))?;
                bump_agent_epoch(db, organization, agent)
            })
            .await
            .unwrap();

        for refused in [list(1), bed.poll(&bed.agent.key, &decided["id"])] {
            let (status, answer) = send!(app, &refused);
            assert_eq!(
                (status, &answer["code"]),
                (401, &json!("auth.credentials_invalid")),
                "{answer}"
            );
        }
        let signed = action(
            bed.agent.id,
            &bed.agent.key,
            bed.here.now(),
            json!({"after": "the end"}),
        );
        let (status, denied) = send!(app, &verification(&signed));
        assert_eq!(
            (status, &denied["status"]),
            (403, &json!("denied")),
            "an action leaves its evidence: {denied}"
        );
        assert_eq!(denied["reasonCodes"], json!(["key.revoked"]));
        assert_eq!(bed.database.count("SELECT COUNT(*) FROM violations").await, 1);
    }
}

#[actix_web::test]
async fn a_suspended_agent_is_refused_and_its_action_denied() {
    for bed in Bed::all().await {
        let app = app!(&bed.here);
        let (_, decided) = send!(app, &verification(&bed.action()));
        bed.database
            .sql("UPDATE agents SET status = 'suspended', epoch = epoch + 1")
            .await;
        let (status, answer) = send!(app, &bed.poll(&bed.agent.key, &decided["id"]));
        assert_eq!((status, &answer["code"]), (403, &json!("auth.forbidden")));
        let signed = action(
            bed.agent.id,
            &bed.agent.key,
            bed.here.now(),
            json!({"after": "the suspension"}),
        );
        let (status, denied) = send!(app, &verification(&signed));
        assert_eq!(
            (status, &denied["reasonCodes"]),
            (403, &json!(["agent.suspended"]))
        );
    }
}

#[actix_web::test]
async fn another_tenants_agent_sees_and_reports_nothing() {
    for bed in Bed::all().await {
        let app = app!(&bed.here);
        let (_, decided) = send!(app, &verification(&bed.action()));
        let other_organization = seed_organization(&bed.database.store).await.organization;
        let stranger = seed_agent(&bed.database.store, other_organization, "reader").await;
        let id = decided["id"].as_str().unwrap();
        let missing = "0198d5a0-5f2c-7c1e-9b3a-6f0e5d4c3b2a";
        let now = bed.here.now();
        let of = |answer: (u16, Value)| (answer.0, answer.1["code"].clone(), answer.1["error"].clone());
        let foreign = of(send!(app, &poll(stranger.id, &stranger.key, now, id)));
        let unknown = of(send!(app, &poll(stranger.id, &stranger.key, now, missing)));
        assert_eq!(foreign, unknown, "what is another's looks like what is not there");
        assert_eq!(foreign.0, 404);
        let report = |id: &str| {
            let target = format!("{}/{id}/result", crate::bed::VERIFICATIONS);
            header_signed(
                stranger.id,
                &stranger.key,
                now,
                "POST",
                &target,
                r#"{"result": "success"}"#,
            )
        };
        assert_eq!(of(send!(app, &report(id))), of(send!(app, &report(missing))));
        assert_eq!(
            bed.database.count("SELECT COUNT(*) FROM decision_results").await,
            0
        );
    }
}

#[actix_web::test]
async fn an_agent_and_a_key_that_do_not_belong_together_are_refused_like_unknown_ones() {
    for bed in Bed::all().await {
        let app = app!(&bed.here);
        let other = seed_agent(&bed.database.store, bed.organization, "writer").await;
        let unknown = "0198d5a0-5f2c-7c1e-9b3a-6f0e5d4c3b2a".parse().unwrap();
        let stranger = SigningKey::generate().unwrap();
        let mut refusals = Vec::new();
        for (agent, key) in [
            (other.id, &bed.agent.key),
            (unknown, &bed.agent.key),
            (bed.agent.id, &stranger),
        ] {
            let (status, answer) = send!(app, &verification(&action(agent, key, bed.here.now(), json!({}))));
            refusals.push((status, answer["code"].clone(), answer["error"].clone()));
        }
        assert_eq!(refusals[0].0, 401);
        assert!(
            refusals.iter().all(|refusal| *refusal == refusals[0]),
            "{refusals:?}"
        );
    }
}

#[actix_web::test]
async fn forged_sdk_signatures_leave_one_record_a_minute_with_the_address_among_the_details() {
    for bed in Bed::all().await {
        let app = app!(&bed.here);
        let thief = SigningKey::generate().unwrap();
        let count = |condition: &str| {
            let query = format!(
                "SELECT count(*) FROM audit_log WHERE action = 'authentication.refused' AND {condition}"
            );
            let database = &bed.database;
            async move { database.count(&query).await }
        };
        // Signed by the agent's key, and changed on the way.
        for _ in 0..3 {
            let mut altered = bed.action();
            altered["capability"] = json!("db:drop");
            let (status, answer) = send!(app, &verification(&altered));
            assert_eq!(
                (status, &answer["code"]),
                (401, &json!("auth.signature_invalid")),
                "{answer}"
            );
        }
        assert_eq!(count("target_kind = 'agent_key'").await, 1);
        // Somebody who calls himself the agent and brings a key of his own.
        for _ in 0..3 {
            let own = action(bed.agent.id, &thief, bed.here.now(), json!({}));
            assert_eq!(send!(app, &verification(&own)).0, 401);
        }
        assert_eq!(count("target_kind = 'agent'").await, 1);
        for _ in 0..3 {
            assert_eq!(
                send!(
                    app,
                    &bed.poll(&thief, &json!("0198c000-0000-7000-8000-000000000000"))
                )
                .0,
                401
            );
        }
        assert_eq!(count("target_kind = 'agent'").await, 2, "another kind of forgery");
        assert_eq!(count("leaf LIKE '%203.0.113%'").await, 0);
        // An agent that nobody registered has no log to write into.
        let stranger = seed_organization(&bed.database.store).await;
        let nobody = action(
            stranger.ctx(bed.here.now()).new_id(),
            &thief,
            bed.here.now(),
            json!({}),
        );
        assert_eq!(send!(app, &verification(&nobody)).0, 401);
        assert_eq!(count("outcome = 'refused'").await, 3);
    }
}
