//! Nobody reaches another tenant's keys, and no agent another agent's.

use aim_core::{Code, Role};

use crate::bed::{Bed, fresh_key, proof, revoke_all};

#[tokio::test]
async fn another_tenants_agent_is_as_unknown_as_one_that_never_was() {
    for mut bed in Bed::all().await {
        let agent = bed.agent("reader").await;
        let rotation = bed.rotation_to(&agent, &fresh_key(), None).await;
        let replacement = bed.replacement_by(&agent, &fresh_key()).await;
        let epoch = bed.epoch(agent.id).await;
        std::mem::swap(&mut bed.organization, &mut bed.other_organization);
        let stranger = bed.as_role(Role::Admin);

        let refusals = [
            bed.vault.view(&stranger, agent.id).await.err(),
            bed.vault.history(&stranger, agent.id).await.err(),
            bed.vault.challenge(&stranger, agent.id).await.err(),
            bed.vault.rotate(&stranger, agent.id, rotation).await.err(),
            bed.vault.replace(&stranger, agent.id, replacement).await.err(),
            bed.vault
                .revoke(&stranger, agent.id, revoke_all("mischief"))
                .await
                .err(),
        ];
        for refusal in refusals {
            let refusal = refusal.unwrap();
            assert_eq!(
                (refusal.code, refusal.detail),
                (Code::NotFound, aim_core::Error::not_found().detail)
            );
        }
        std::mem::swap(&mut bed.organization, &mut bed.other_organization);
        assert_eq!(bed.epoch(agent.id).await, epoch);
        assert!(bed.keys(agent.id).await[0].is_current());
    }
}

#[tokio::test]
async fn a_challenge_of_another_tenant_is_none_here() {
    for mut bed in Bed::all().await {
        let agent = bed.agent("reader").await;
        std::mem::swap(&mut bed.organization, &mut bed.other_organization);
        let other = bed.agent("reader").await;
        let foreign = bed
            .vault
            .challenge(&bed.as_agent(&other), other.id)
            .await
            .unwrap()
            .challenge;
        std::mem::swap(&mut bed.organization, &mut bed.other_organization);

        let new = fresh_key();
        let mut request = bed.replacement_by(&agent, &new).await;
        request.proof = proof(&new, &foreign);
        request.challenge = foreign;
        let error = bed
            .vault
            .replace(&bed.as_role(Role::Manager), agent.id, request)
            .await
            .unwrap_err();
        assert_eq!(error.code, Code::ChallengeInvalid);
    }
}

#[tokio::test]
async fn an_agent_sees_and_rotates_itself_only_and_revokes_nothing() {
    for bed in Bed::all().await {
        let (agent, other) = (bed.agent("reader").await, bed.agent("writer").await);
        let rotation = bed.rotation_to(&other, &fresh_key(), None).await;
        let replacement = bed.replacement_by(&agent, &fresh_key()).await;
        let ctx = bed.as_agent(&agent);
        assert!(bed.vault.view(&ctx, agent.id).await.is_ok());
        assert_eq!(
            bed.vault.view(&ctx, other.id).await.unwrap_err().code,
            Code::NotFound
        );
        assert_eq!(
            bed.vault.history(&ctx, other.id).await.unwrap_err().code,
            Code::NotFound
        );
        assert_eq!(
            bed.vault.rotate(&ctx, other.id, rotation).await.unwrap_err().code,
            Code::NotFound
        );
        assert_eq!(
            bed.vault
                .revoke(&ctx, agent.id, revoke_all("me"))
                .await
                .unwrap_err()
                .code,
            Code::Forbidden
        );
        assert_eq!(
            bed.vault
                .replace(&ctx, agent.id, replacement)
                .await
                .unwrap_err()
                .code,
            Code::Forbidden
        );
    }
}
