//! How long a signature is good, and that it is good once: on every node, in every form.

use serde_json::json;

use crate::bed::{Bed, VERIFICATIONS, action, app, header_signed, older, seconds, send, verification};

#[actix_web::test]
async fn a_signature_is_good_for_thirty_seconds_either_way_and_not_one_longer() {
    for bed in Bed::all().await {
        let app = app!(&bed.here);
        for (age, accepted) in [(30, true), (31, false), (-30, true), (-31, false)] {
            let signed = action(
                bed.agent.id,
                &bed.agent.key,
                bed.here.now() - seconds(age),
                json!({}),
            );
            let (status, answer) = send!(app, &verification(&signed));
            if accepted {
                assert_eq!(
                    (status, &answer["status"]),
                    (201, &json!("approved")),
                    "{age}: {answer}"
                );
            } else {
                assert_eq!(
                    (status, &answer["code"]),
                    (401, &json!("auth.signature_stale")),
                    "{age}: {answer}"
                );
            }
        }
    }
}

#[actix_web::test]
async fn a_body_signature_is_good_once_whichever_node_and_form_it_comes_to() {
    for bed in Bed::all().await {
        let (here, there) = (app!(&bed.here), app!(&bed.there));
        let newer = bed.action();
        assert_eq!(send!(here, &verification(&newer)).0, 201);
        let in_headers = header_signed(
            bed.agent.id,
            &bed.agent.key,
            bed.here.now() + seconds(1),
            "POST",
            VERIFICATIONS,
            &older(newer.clone()).to_string(),
        );
        for again in [verification(&newer), in_headers] {
            let (status, answer) = send!(there, &again);
            assert_eq!(
                (status, &answer["code"]),
                (401, &json!("auth.signature_replayed")),
                "{answer}"
            );
        }
    }
}

#[actix_web::test]
async fn a_signature_stays_used_for_as_long_as_it_is_fresh_anywhere() {
    for bed in Bed::all().await {
        let (here, there) = (app!(&bed.here), app!(&bed.there));
        let signed = verification(&bed.action());
        assert_eq!(send!(here, &signed).0, 201);
        // This node forgets what is stale by its clock; the other one's is half a minute behind.
        let now = bed.here.now() + seconds(60);
        aim_store::nonces::forget(&bed.here.kernel.store, now, 1_000)
            .await
            .unwrap();
        bed.there.clock.advance(seconds(30));
        let (status, answer) = send!(there, &signed);
        assert_eq!(
            (status, &answer["code"]),
            (401, &json!("auth.signature_replayed"))
        );
    }
}

#[actix_web::test]
async fn a_header_signature_is_good_once() {
    for bed in Bed::all().await {
        let (here, there) = (app!(&bed.here), app!(&bed.there));
        let target = format!("/api/v1/sdk-api/agents/{}/capability-requests", bed.agent.id);
        let list = header_signed(bed.agent.id, &bed.agent.key, bed.here.now(), "GET", &target, "");
        assert_eq!(send!(here, &list).0, 200);
        let (status, answer) = send!(there, &list);
        assert_eq!(
            (status, &answer["code"]),
            (401, &json!("auth.signature_replayed"))
        );
    }
}

#[actix_web::test]
async fn asking_twice_in_one_second_answers_the_first_request_until_it_is_reviewed() {
    for bed in Bed::all().await {
        let (here, there) = (app!(&bed.here), app!(&bed.there));
        let target = format!("/api/v1/sdk-api/agents/{}/capability-requests", bed.agent.id);
        let body = r#"{"capabilityType": "db:write", "reason": "to write back rows"}"#;
        let ask = header_signed(
            bed.agent.id,
            &bed.agent.key,
            bed.here.now(),
            "POST",
            &target,
            body,
        );
        let (status, asked) = send!(here, &ask);
        assert_eq!(status, 201, "{asked}");
        assert_eq!(send!(there, &ask).0, 409);

        bed.database
            .sql("UPDATE capability_requests SET status = 'rejected'")
            .await;
        let (status, answer) = send!(there, &ask);
        assert_eq!(
            (status, &answer["code"]),
            (401, &json!("auth.signature_replayed")),
            "it must not ask again"
        );
        assert_eq!(
            bed.database
                .count("SELECT COUNT(*) FROM capability_requests")
                .await,
            1
        );
    }
}

#[actix_web::test]
async fn registering_twice_in_one_second_has_one_effect() {
    for bed in Bed::all().await {
        let (here, there) = (app!(&bed.here), app!(&bed.there));
        let target = format!("/api/v1/sdk-api/agents/{}/capabilities/register", bed.agent.id);
        let body = r#"{"capabilityType": "db:write", "description": "", "riskLevel": "low"}"#;
        let register = header_signed(
            bed.agent.id,
            &bed.agent.key,
            bed.here.now(),
            "POST",
            &target,
            body,
        );
        let (first, registered) = send!(here, &register);
        let (second, again) = send!(there, &register);
        assert_eq!((first, second), (201, 200));
        assert_eq!(registered["requestId"], again["requestId"]);
        assert_eq!(
            (&registered["status"], &again["status"]),
            (&json!("pending"), &json!("pending"))
        );
        assert_eq!(
            bed.database.count("SELECT COUNT(*) FROM grants").await,
            1,
            "the one that the test made"
        );

        bed.database.sql("DELETE FROM capability_requests").await;
        assert_eq!(send!(there, &register).0, 401, "it must not register anew");
    }
}
