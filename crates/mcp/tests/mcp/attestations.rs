//! Attestations: whose count, for how long, and whose do not.

use aim_core::{Actor, AgentCredential, Code, PageRequest};
use aim_mcp::attestations::{Attested, NewAttestation};
use aim_platform::NonceClaim;
use aim_testkit::SeededAgent;
use chrono::TimeDelta;
use serde_json::json;

use crate::bed::{Bed, refusal};

fn saying(digest: &str) -> NewAttestation {
    NewAttestation {
        manifest_digest: digest.to_owned(),
        note: None,
    }
}

async fn attest(
    bed: &Bed,
    agent: &SeededAgent,
    server: aim_mcp::servers::McpServerId,
    digest: &str,
) -> Result<Attested, aim_core::Error> {
    let ctx = bed.signed_by(agent);
    bed.mcp
        .attestations()
        .attest(&ctx, server, saying(digest), None, "rfc9421")
        .await
}

#[tokio::test]
async fn confidence_grows_with_distinct_agents_and_fades_with_time() {
    for bed in Bed::all().await {
        let id = bed.server("files").await.id;
        let digest = bed.report(id, json!({"tools": [{"name": "read"}]})).await;
        let (first, second) = (bed.agent("first").await, bed.agent("second").await);
        bed.connect(first.id, &[id]).await;
        bed.connect(second.id, &[id]).await;

        assert_eq!(bed.seen(id).await.confidence, None);
        let attested = attest(&bed, &first, id, &digest).await.unwrap();
        assert_eq!((attested.confidence, attested.attesting_agents), (Some(50), 1));
        // Saying it twice does not make it surer.
        bed.clock.advance(TimeDelta::seconds(1));
        let again = attest(&bed, &first, id, &digest).await.unwrap();
        assert_eq!((again.confidence, again.attesting_agents), (Some(50), 1));
        assert_eq!(
            attest(&bed, &second, id, &digest).await.unwrap().confidence,
            Some(75)
        );

        let list = bed
            .mcp
            .attestations()
            .list(&bed.manager(), id, PageRequest::default())
            .await
            .unwrap();
        assert_eq!((list.total, list.confidence), (2, Some(75)));
        let times: Vec<i64> = list.attestations.iter().map(|one| one.times).collect();
        assert_eq!(times.iter().sum::<i64>(), 3);
        assert!(
            list.attestations
                .iter()
                .all(|one| one.counts && one.is_current && one.freshness == 100)
        );

        bed.clock.advance(TimeDelta::days(15));
        assert_eq!(bed.seen(id).await.confidence, Some(44));
        bed.clock.advance(TimeDelta::days(15));
        let seen = bed.seen(id).await;
        assert_eq!((seen.confidence, seen.attesting_agents), (None, 0));
        let list = bed
            .mcp
            .attestations()
            .list(&bed.manager(), id, PageRequest::default())
            .await
            .unwrap();
        assert!(
            list.attestations
                .iter()
                .all(|one| !one.counts && one.freshness == 0)
        );
    }
}

#[tokio::test]
async fn the_word_of_a_suspended_agent_does_not_count() {
    for bed in Bed::all().await {
        let id = bed.server("files").await.id;
        let digest = bed.report(id, json!({})).await;
        let agent = bed.agent("first").await;
        bed.connect(agent.id, &[id]).await;
        attest(&bed, &agent, id, &digest).await.unwrap();
        bed.database.sql("UPDATE agents SET status = 'suspended'").await;
        assert_eq!(bed.seen(id).await.confidence, None);
        let list = bed
            .mcp
            .attestations()
            .list(&bed.manager(), id, PageRequest::default())
            .await
            .unwrap();
        assert!(!list.attestations[0].counts);
        // Nor may it say more: the check is part of the transaction.
        assert_eq!(
            refusal(attest(&bed, &agent, id, &digest).await).0,
            Code::Forbidden
        );
    }
}

#[tokio::test]
async fn only_the_manifest_that_counts_can_be_attested_and_only_of_a_live_server() {
    for bed in Bed::all().await {
        let id = bed.server("files").await.id;
        let agent = bed.agent("first").await;
        let nothing = format!("sha256:{}", "0".repeat(64));
        assert_eq!(
            refusal(attest(&bed, &agent, id, &nothing).await).0,
            Code::NotFound,
            "not connected"
        );
        bed.connect(agent.id, &[id]).await;
        let field = Some("manifest_digest".to_owned());
        assert_eq!(
            refusal(attest(&bed, &agent, id, &nothing).await),
            (Code::StateConflict, field.clone())
        );
        assert_eq!(
            refusal(attest(&bed, &agent, id, "sha256:xyz").await),
            (Code::FieldInvalid, field.clone())
        );
        let digest = bed.report(id, json!({})).await;
        assert_eq!(
            refusal(attest(&bed, &agent, id, &nothing).await),
            (Code::StateConflict, field)
        );
        bed.mcp
            .servers()
            .suspend(&bed.manager(), id, "looked at")
            .await
            .unwrap();
        assert_eq!(
            refusal(attest(&bed, &agent, id, &digest).await).0,
            Code::StateConflict
        );
        bed.mcp.servers().reactivate(&bed.manager(), id).await.unwrap();
        attest(&bed, &agent, id, &digest).await.unwrap();
    }
}

#[tokio::test]
async fn a_signature_attests_once_and_leaves_who_signed_with_which_key() {
    for bed in Bed::all().await {
        let id = bed.server("files").await.id;
        let digest = bed.report(id, json!({})).await;
        let agent = bed.agent("first").await;
        bed.connect(agent.id, &[id]).await;
        let ctx = bed.signed_by(&agent);
        let nonce = NonceClaim {
            organization: bed.organization,
            digest: [7; 16],
            expires_at: ctx.now + TimeDelta::seconds(60),
        };
        let attestations = bed.mcp.attestations();
        // What is refused does not use the signature up.
        let wrong = format!("sha256:{}", "0".repeat(64));
        let refused = attestations
            .attest(&ctx, id, saying(&wrong), Some(nonce.clone()), "rfc9421")
            .await;
        assert_eq!(refusal(refused).0, Code::StateConflict);
        attestations
            .attest(&ctx, id, saying(&digest), Some(nonce.clone()), "rfc9421")
            .await
            .unwrap();
        let replayed = attestations
            .attest(&ctx, id, saying(&digest), Some(nonce), "rfc9421")
            .await;
        assert_eq!(refusal(replayed).0, Code::SignatureReplayed);

        let fingerprint = agent.key.public().fingerprint().to_string();
        let audited = bed.audited().await;
        let (action, facts) = audited.last().unwrap();
        assert_eq!(action, "mcp_server.attested");
        assert_eq!(
            (&facts["fingerprint"], &facts["manifest_digest"], &facts["scheme"]),
            (&json!(fingerprint), &json!(digest), &json!("rfc9421"))
        );
        let list = attestations
            .list(&bed.manager(), id, PageRequest::default())
            .await
            .unwrap();
        assert_eq!(
            (
                list.attestations[0].times,
                list.attestations[0].fingerprint.as_deref()
            ),
            (1, Some(fingerprint.as_str()))
        );
    }
}

#[tokio::test]
async fn people_keys_that_were_lent_and_keys_that_ended_attest_nothing() {
    for bed in Bed::all().await {
        let id = bed.server("files").await.id;
        let digest = bed.report(id, json!({})).await;
        let agent = bed.agent("first").await;
        bed.connect(agent.id, &[id]).await;
        let attestations = bed.mcp.attestations();
        let by_manager = attestations
            .attest(&bed.manager(), id, saying(&digest), None, "api_key")
            .await;
        assert_eq!(refusal(by_manager).0, Code::Forbidden);
        let mut lent = bed.signed_by(&agent);
        lent.actor = Actor::Agent {
            id: agent.id,
            credential: AgentCredential::Limited {
                id: uuid::Uuid::nil(),
                capabilities: vec!["*".to_owned()],
                limits: aim_core::ctx::CredentialLimits::default(),
            },
        };
        let by_lent_key = attestations
            .attest(&lent, id, saying(&digest), None, "agent_api_key")
            .await;
        assert_eq!(refusal(by_lent_key).0, Code::Forbidden);
        bed.database
            .sql("UPDATE agent_keys SET revoked_at = created_at")
            .await;
        assert_eq!(
            refusal(attest(&bed, &agent, id, &digest).await).0,
            Code::CredentialsInvalid
        );
        assert_eq!(bed.seen(id).await.confidence, None);
    }
}
