//! Sign-in and sessions: nobody learns which accounts exist, and a session ends at once.

use aim_core::{Actor, Code, Ctx, PageRequest};
use aim_crypto::{secret::SecretString, token::ParsedToken};
use aim_identity::{
    sessions::SignedIn,
    users::{NewUser, UpdateUser, UserStatus},
};
use chrono::TimeDelta;

use crate::common::{EMAIL, PASSWORD, World, password, worlds};

fn wrong() -> SecretString {
    SecretString::from("not the password at all")
}

async fn sign_in(world: &World) -> SignedIn {
    world
        .identity
        .sessions()
        .sign_in(&world.anonymous("192.0.2.9"), EMAIL, &password())
        .await
        .unwrap()
}

/// The context that the shell would make of this session, or the refusal's code.
async fn resume(world: &World, signed_in: &SignedIn) -> Result<Ctx, Code> {
    let token = ParsedToken::parse(signed_in.access_token.expose()).unwrap();
    let now = world.kernel.now();
    let caller = world
        .identity
        .sessions()
        .authenticate(&token, now)
        .await
        .map_err(|error| error.code)?;
    let mut ctx = Ctx::system("test", caller.organization, now);
    ctx.actor = caller.actor;
    Ok(ctx)
}

async fn refusal(world: &World, address: &str, email: &str, secret: &SecretString) -> aim_core::Error {
    world
        .identity
        .sessions()
        .sign_in(&world.anonymous(address), email, secret)
        .await
        .unwrap_err()
}

#[tokio::test]
async fn a_sign_in_opens_a_session_for_its_user_and_leaves_a_record() {
    for world in worlds().await {
        let signed_in = sign_in(&world).await;
        let ctx = resume(&world, &signed_in).await.unwrap();
        assert_eq!(ctx.organization, world.first.organization_id);
        assert_eq!(
            ctx.actor,
            Actor::User {
                id: world.first.admin_user_id,
                role: aim_core::Role::Admin,
                session: signed_in.session
            }
        );
        assert_eq!(world.identity.sessions().me(&ctx).await.unwrap(), signed_in.user);
        assert_eq!(world.audited("sign_in.succeeded").await, 1);
        let in_other_case = world.anonymous("192.0.2.9");
        assert!(
            world
                .identity
                .sessions()
                .sign_in(&in_other_case, " ADA@example.com ", &password())
                .await
                .is_ok()
        );
    }
}

#[tokio::test]
async fn only_a_keyed_hash_of_the_token_is_stored() {
    for world in worlds().await {
        let token = sign_in(&world).await.access_token;
        let parsed = ParsedToken::parse(token.expose()).unwrap();
        let hex: String = parsed
            .digest(&world.kernel.pepper)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let text = if world.database.kind == "sqlite" {
            "lower(hex(token_digest))"
        } else {
            "encode(token_digest, 'hex')"
        };
        let query = format!("SELECT count(*) FROM sessions WHERE {text} = '{hex}'");
        assert_eq!(world.database.count(&query).await, 1);
    }
}

#[tokio::test]
async fn an_ended_session_is_refused_on_the_next_request() {
    for world in worlds().await {
        let sessions = world.identity.sessions();
        let (one, two) = (sign_in(&world).await, sign_in(&world).await);
        world.clock.advance(TimeDelta::seconds(1));
        let three = sign_in(&world).await;
        let ctx = resume(&world, &one).await.unwrap();

        sessions.revoke(&ctx, two.session).await.unwrap();
        assert_eq!(resume(&world, &two).await.unwrap_err(), Code::CredentialsInvalid);
        assert_eq!(
            sessions.revoke(&ctx, two.session).await.unwrap_err().code,
            Code::NotFound
        );

        let listed = sessions.list(&ctx, PageRequest::default()).await.unwrap();
        let seen: Vec<_> = listed
            .sessions
            .iter()
            .map(|session| (session.id, session.current))
            .collect();
        assert_eq!(seen, [(three.session, false), (one.session, true)]);

        sessions.sign_out(&ctx).await.unwrap();
        assert!(resume(&world, &one).await.is_err());
        let ctx = resume(&world, &three)
            .await
            .expect("another session is not touched");

        let four = sign_in(&world).await;
        sessions.revoke_all(&ctx).await.unwrap();
        assert!(
            resume(&world, &three).await.is_err(),
            "sign-out everywhere ends the session it came by"
        );
        assert!(resume(&world, &four).await.is_err());
    }
}

#[tokio::test]
async fn a_session_ends_at_its_time() {
    for world in worlds().await {
        let signed_in = sign_in(&world).await;
        assert_eq!(signed_in.expires_at, world.kernel.now() + TimeDelta::hours(12));
        world.clock.set(signed_in.expires_at - TimeDelta::microseconds(1));
        assert!(resume(&world, &signed_in).await.is_ok());
        world.clock.set(signed_in.expires_at);
        assert_eq!(
            resume(&world, &signed_in).await.unwrap_err(),
            Code::CredentialsInvalid
        );
    }
}

#[tokio::test]
async fn another_users_session_cannot_be_ended() {
    for world in worlds().await {
        let signed_in = sign_in(&world).await;
        let stranger = world.stranger();
        let foreign = world
            .identity
            .sessions()
            .revoke(&stranger, signed_in.session)
            .await
            .unwrap_err();
        let unknown = world
            .identity
            .sessions()
            .revoke(&stranger, stranger.new_id())
            .await
            .unwrap_err();
        assert_eq!(format!("{foreign:?}"), format!("{unknown:?}"));
        assert!(resume(&world, &signed_in).await.is_ok());
    }
}

#[tokio::test]
async fn deactivation_and_a_new_role_count_from_the_next_request_on() {
    for world in worlds().await {
        let users = world.identity.users();
        let new = NewUser {
            email: "carol@example.com".to_owned(),
            name: "Carol".to_owned(),
            role: aim_core::Role::Manager,
            password: password(),
        };
        let carol = users.create(&world.admin(), new).await.unwrap();
        let anonymous = world.anonymous("192.0.2.9");
        let signed_in = world
            .identity
            .sessions()
            .sign_in(&anonymous, "carol@example.com", &password())
            .await
            .unwrap();

        let update = UpdateUser {
            role: Some(aim_core::Role::Viewer),
            ..UpdateUser::default()
        };
        users.update(&world.admin(), carol.id, update).await.unwrap();
        let ctx = resume(&world, &signed_in).await.unwrap();
        assert_eq!(ctx.actor.role(), Some(aim_core::Role::Viewer));

        let update = UpdateUser {
            status: Some(UserStatus::Deactivated),
            ..UpdateUser::default()
        };
        users.update(&world.admin(), carol.id, update).await.unwrap();
        assert!(resume(&world, &signed_in).await.is_err());

        let update = UpdateUser {
            status: Some(UserStatus::Active),
            ..UpdateUser::default()
        };
        users.update(&world.admin(), carol.id, update).await.unwrap();
        assert!(
            resume(&world, &signed_in).await.is_err(),
            "an ended session does not come back"
        );
    }
}

#[tokio::test]
async fn every_refusal_looks_the_same() {
    for world in worlds().await {
        let users = world.identity.users();
        let new = NewUser {
            email: "gone@example.com".to_owned(),
            name: "Gone".to_owned(),
            role: aim_core::Role::Viewer,
            password: password(),
        };
        let gone = users.create(&world.admin(), new).await.unwrap();
        let update = UpdateUser {
            status: Some(UserStatus::Deactivated),
            ..UpdateUser::default()
        };
        users.update(&world.admin(), gone.id, update).await.unwrap();

        let wrong_password = refusal(&world, "192.0.2.1", EMAIL, &wrong()).await;
        let unknown = refusal(&world, "192.0.2.1", "nobody@example.com", &password()).await;
        let deactivated = refusal(&world, "192.0.2.1", "gone@example.com", &password()).await;
        assert_eq!(wrong_password.code, Code::SignInRefused);
        for other in [unknown, deactivated] {
            assert_eq!(format!("{other:?}"), format!("{wrong_password:?}"));
            assert_eq!(other.retry_after, wrong_password.retry_after);
        }
        assert_eq!(
            world.audited("sign_in.refused").await,
            2,
            "an unknown address has no tenant to record it"
        );
    }
}

#[tokio::test]
async fn a_lock_out_does_not_tell_an_account_from_none_and_ends_after_its_time() {
    for world in worlds().await {
        let limit = world.kernel.config.sign_in_attempts;
        for email in [EMAIL, "nobody@example.com"] {
            for number in 0..limit {
                let error = refusal(&world, &format!("192.0.2.{number}"), email, &wrong()).await;
                assert_eq!(error.code, Code::SignInRefused);
            }
        }
        let locked = refusal(&world, "192.0.2.200", EMAIL, &password()).await;
        let unknown = refusal(&world, "192.0.2.200", "nobody@example.com", &password()).await;
        assert_eq!(
            locked.code,
            Code::SignInRefused,
            "the right password does not open a locked account"
        );
        assert_eq!(format!("{locked:?}"), format!("{unknown:?}"));
        assert_eq!(world.audited("sign_in.locked").await, 1);
        assert_eq!(
            world.audited("sign_in.refused").await,
            limit,
            "attempts on a locked account do not fill the log"
        );

        world
            .clock
            .advance(TimeDelta::minutes(15) - TimeDelta::seconds(1));
        refusal(&world, "192.0.2.200", EMAIL, &password()).await;
        world.clock.advance(TimeDelta::seconds(1));
        sign_in(&world).await;
    }
}

#[tokio::test]
async fn failures_are_counted_across_nodes() {
    for world in worlds().await {
        let (mut other_kernel, _) = aim_testkit::kernel(&world.database.another_node().await);
        other_kernel.clock = world.kernel.clock.clone();
        let other = aim_identity::Identity::new(&other_kernel);
        for number in 0..world.kernel.config.sign_in_attempts {
            let ctx = world.anonymous(&format!("192.0.2.{number}"));
            let node = if number % 2 == 0 {
                other.sessions()
            } else {
                world.identity.sessions()
            };
            node.sign_in(&ctx, EMAIL, &wrong()).await.unwrap_err();
        }
        let ctx = world.anonymous("192.0.2.200");
        assert!(other.sessions().sign_in(&ctx, EMAIL, &password()).await.is_err());
        assert!(
            world
                .identity
                .sessions()
                .sign_in(&ctx, EMAIL, &password())
                .await
                .is_err()
        );
    }
}

#[tokio::test]
async fn a_success_forgets_the_failures_before_it() {
    for world in worlds().await {
        for _ in 0..2 {
            for number in 1..world.kernel.config.sign_in_attempts {
                refusal(&world, &format!("192.0.2.{number}"), EMAIL, &wrong()).await;
            }
            sign_in(&world).await;
        }
    }
}

#[tokio::test]
async fn an_address_that_fails_too_often_is_told_when_to_come_back() {
    for world in worlds().await {
        for number in 0..50 {
            let error = refusal(
                &world,
                "203.0.113.5",
                &format!("user{number}@example.com"),
                &wrong(),
            )
            .await;
            assert_eq!(error.code, Code::SignInRefused);
        }
        let error = refusal(&world, "203.0.113.5", EMAIL, &password()).await;
        assert_eq!((error.code, error.retry_after), (Code::RateLimited, Some(900)));
        sign_in(&world).await;
        world.clock.advance(TimeDelta::minutes(15));
        let ctx = world.anonymous("203.0.113.5");
        assert!(
            world
                .identity
                .sessions()
                .sign_in(&ctx, EMAIL, &password())
                .await
                .is_ok()
        );
    }
}

#[tokio::test]
async fn a_changed_password_ends_the_other_sessions_only() {
    for world in worlds().await {
        let sessions = world.identity.sessions();
        let (mine, other) = (sign_in(&world).await, sign_in(&world).await);
        let ctx = resume(&world, &mine).await.unwrap();
        let new = SecretString::from("brisk meadow copper 42");

        let error = sessions.change_password(&ctx, &wrong(), &new).await.unwrap_err();
        assert_eq!(error.field.as_deref(), Some("current_password"));
        let error = sessions
            .change_password(&ctx, &password(), &SecretString::from("short"))
            .await
            .unwrap_err();
        assert_eq!(error.field.as_deref(), Some("new_password"));
        let error = sessions
            .change_password(&ctx, &password(), &password())
            .await
            .unwrap_err();
        assert_eq!(error.field.as_deref(), Some("new_password"));

        sessions.change_password(&ctx, &password(), &new).await.unwrap();
        assert!(resume(&world, &mine).await.is_ok());
        assert!(resume(&world, &other).await.is_err());
        refusal(&world, "192.0.2.9", EMAIL, &password()).await;
        assert!(
            sessions
                .sign_in(&world.anonymous("192.0.2.9"), EMAIL, &new)
                .await
                .is_ok()
        );
    }
}

#[tokio::test]
async fn guesses_at_the_present_password_are_limited_like_sign_ins() {
    for world in worlds().await {
        let sessions = world.identity.sessions();
        let ctx = resume(&world, &sign_in(&world).await).await.unwrap();
        let new = SecretString::from("brisk meadow copper 42");
        for _ in 0..world.kernel.config.sign_in_attempts {
            sessions.change_password(&ctx, &wrong(), &new).await.unwrap_err();
        }
        let error = sessions
            .change_password(&ctx, &password(), &new)
            .await
            .unwrap_err();
        assert_eq!((error.code, error.retry_after), (Code::RateLimited, Some(900)));
    }
}

#[tokio::test]
async fn nothing_secret_reaches_the_audit_log() {
    for world in worlds().await {
        let token = sign_in(&world).await.access_token;
        refusal(&world, "192.0.2.9", EMAIL, &wrong()).await;
        for secret in [PASSWORD, "not the password", token.expose()] {
            let query = format!(
                "SELECT count(*) FROM audit_log WHERE leaf LIKE '%{secret}%' OR CAST(details AS TEXT) LIKE '%{secret}%'"
            );
            assert_eq!(world.database.count(&query).await, 0);
        }
    }
}
