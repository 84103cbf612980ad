//! Registration: a name and a key that are the agent's alone, and proof that the key is.

use aim_core::Code;
use aim_crypto::{
    keys::{PublicKey, SigningKey},
    possession::{Purpose, possession_message},
};
use aim_decision::AgentStatus;
use aim_identity::{NewAgent, agents::UpdateAgent};
use chrono::TimeDelta;

use crate::common::{World, worlds};

pub(crate) async fn refusal(world: &World, new: NewAgent) -> (Code, Option<String>) {
    let error = world
        .identity
        .agents()
        .register(&world.admin(), new)
        .await
        .unwrap_err();
    (error.code, error.field)
}

#[tokio::test]
async fn a_registered_agent_has_the_key_that_it_proved() {
    for world in worlds().await {
        let admin = world.admin();
        let (agent, key) = world.register(&admin, "billing").await;
        assert_eq!(agent.status, AgentStatus::Active);
        assert_eq!(agent.public_key, Some(key.public().spki_base64()));
        assert_eq!(agent.fingerprint, Some(key.public().fingerprint().to_string()));
        assert_eq!(agent.key_expires_at, Some(admin.now + TimeDelta::days(365)));
        assert_eq!(agent.owner_id, Some(world.first.admin_user_id));
        assert_eq!(
            (agent.agent_type.as_str(), agent.display_name.as_str()),
            ("ai_agent", "billing")
        );
        assert_eq!(
            world.identity.agents().get(&admin, agent.id).await.unwrap(),
            agent
        );
        assert_eq!(
            world
                .identity
                .agents()
                .get_by_name(&admin, "billing")
                .await
                .unwrap(),
            Some(agent)
        );
        assert_eq!(world.audited("agent.registered").await, 1);
        assert_eq!(world.audited("agent_key.registered").await, 1);
    }
}

#[tokio::test]
async fn a_proof_by_another_key_or_for_another_purpose_registers_nothing() {
    for world in worlds().await {
        let (victim, thief) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let admin = world.admin();
        let mut cases = Vec::new();
        for message in ["other key", "other purpose", "other challenge", "no signature"] {
            let mut new = world.new_agent(&admin, "a", &victim).await;
            let proven = new.key.as_mut().unwrap();
            let challenge = proven.challenge.clone();
            proven.proof = match message {
                "other key" => thief
                    .sign(&possession_message(
                        Purpose::Register,
                        &challenge,
                        &victim.public(),
                    ))
                    .to_vec(),
                "other purpose" => victim
                    .sign(&possession_message(Purpose::Rotate, &challenge, &victim.public()))
                    .to_vec(),
                "other challenge" => victim
                    .sign(&possession_message(Purpose::Register, "x", &victim.public()))
                    .to_vec(),
                _ => vec![0; 64],
            };
            cases.push((message, new));
        }
        for (message, new) in cases {
            assert_eq!(
                refusal(&world, new).await,
                (Code::ProofInvalid, Some("proof".to_owned())),
                "{message}"
            );
        }
        let without = NewAgent {
            name: "a".to_owned(),
            ..NewAgent::default()
        };
        assert_eq!(
            refusal(&world, without).await,
            (Code::FieldInvalid, Some("public_key".to_owned()))
        );
        assert_eq!(world.database.count("SELECT count(*) FROM agents").await, 0);
    }
}

#[tokio::test]
async fn a_challenge_is_good_once_for_five_minutes_and_for_its_tenant() {
    for world in worlds().await {
        let admin = world.admin();
        let invalid = (Code::ChallengeInvalid, Some("challenge".to_owned()));

        let key = SigningKey::generate().unwrap();
        let new = world.new_agent(&admin, "first", &key).await;
        let used = new.key.as_ref().unwrap().challenge.clone();
        world.identity.agents().register(&admin, new).await.unwrap();
        let again = SigningKey::generate().unwrap();
        let mut new = world.new_agent(&admin, "second", &again).await;
        let proven = new.key.as_mut().unwrap();
        proven.proof = again
            .sign(&possession_message(Purpose::Register, &used, &again.public()))
            .to_vec();
        proven.challenge = used;
        assert_eq!(refusal(&world, new).await, invalid);

        let new = world
            .new_agent(&world.stranger(), "third", &SigningKey::generate().unwrap())
            .await;
        assert_eq!(
            refusal(&world, new).await,
            invalid,
            "a challenge of another tenant"
        );

        let late = world
            .new_agent(&admin, "fourth", &SigningKey::generate().unwrap())
            .await;
        world.clock.advance(TimeDelta::minutes(5));
        assert_eq!(refusal(&world, late).await, invalid);
        assert_eq!(world.database.count("SELECT count(*) FROM agents").await, 1);
    }
}

#[tokio::test]
async fn a_challenge_is_not_spent_by_a_registration_that_fails() {
    for world in worlds().await {
        let admin = world.admin();
        world.register(&admin, "taken").await;
        let key = SigningKey::generate().unwrap();
        let new = world.new_agent(&admin, "taken", &key).await;
        assert_eq!(
            refusal(&world, new.clone()).await,
            (Code::NameTaken, Some("name".to_owned()))
        );
        let renamed = NewAgent {
            name: "free".to_owned(),
            ..new
        };
        assert!(world.identity.agents().register(&admin, renamed).await.is_ok());
    }
}

#[tokio::test]
async fn of_two_registrations_with_one_name_at_once_one_wins() {
    for world in worlds().await {
        let admin = world.admin();
        let one = world
            .new_agent(&admin, "same", &SigningKey::generate().unwrap())
            .await;
        let two = world
            .new_agent(&admin, "same", &SigningKey::generate().unwrap())
            .await;
        let agents = world.identity.agents();
        let (one, two) = tokio::join!(agents.register(&admin, one), agents.register(&admin, two));
        let refused = [one, two]
            .into_iter()
            .find_map(Result::err)
            .expect("one of the two is refused");
        assert_eq!(refused.code, Code::NameTaken);
        assert_eq!(world.database.count("SELECT count(*) FROM agents").await, 1);
    }
}

#[tokio::test]
async fn a_name_is_taken_within_its_organisation_and_free_after_deletion() {
    for world in worlds().await {
        let admin = world.admin();
        let (agent, _) = world.register(&admin, "shared").await;
        world.register(&world.stranger(), "shared").await;
        let (other, _) = world.register(&admin, "other").await;
        let rename = UpdateAgent {
            name: Some("shared".to_owned()),
            ..UpdateAgent::default()
        };
        let error = world
            .identity
            .agents()
            .update(&admin, other.id, rename)
            .await
            .unwrap_err();
        assert_eq!(error.code, Code::NameTaken);
        world.identity.agents().delete(&admin, agent.id).await.unwrap();
        let (again, _) = world.register(&admin, "shared").await;
        assert_ne!(again.id, agent.id);
    }
}

#[tokio::test]
async fn a_key_names_one_agent_of_the_installation_for_ever() {
    for world in worlds().await {
        let admin = world.admin();
        let (agent, key) = world.register(&admin, "first").await;
        let conflict = (Code::Conflict, Some("public_key".to_owned()));
        let again = world.new_agent(&admin, "again", &key).await;
        assert_eq!(refusal(&world, again).await, conflict);
        let elsewhere = world.new_agent(&world.stranger(), "first", &key).await;
        let error = world
            .identity
            .agents()
            .register(&world.stranger(), elsewhere)
            .await
            .unwrap_err();
        assert_eq!((error.code, error.field), conflict);
        world.identity.agents().delete(&admin, agent.id).await.unwrap();
        let after = world.new_agent(&admin, "after", &key).await;
        assert_eq!(refusal(&world, after).await, conflict);
    }
}

#[tokio::test]
async fn a_key_made_here_is_answered_once_and_kept_nowhere() {
    for world in worlds().await {
        let new = NewAgent {
            name: "generated".to_owned(),
            ..NewAgent::default()
        };
        let registered = world
            .identity
            .agents()
            .register_with_generated_key(&world.admin(), new)
            .await
            .unwrap();
        assert_eq!(
            registered.agent.public_key,
            Some(registered.public_key.spki_base64())
        );
        use base64::Engine as _;
        let pair = base64::engine::general_purpose::STANDARD
            .decode(registered.private_key.expose())
            .unwrap();
        let (seed, public) = pair.split_at(32);
        let key = SigningKey::from_seed(seed.try_into().unwrap());
        assert_eq!(key.public(), registered.public_key);
        assert_eq!(PublicKey::from_bytes(public).unwrap(), registered.public_key);
        assert!(!format!("{registered:?}").contains(registered.private_key.expose()));
        let known = world
            .identity
            .directory()
            .by_agent(registered.agent.id)
            .await
            .unwrap()
            .unwrap();
        assert!(known.key(&registered.public_key).is_some());
    }
}
