//! Organisation API keys: shown once, never above their maker, dead when they should be.

use aim_core::{Actor, Code, Ctx, PageRequest, Role};
use aim_crypto::token::ParsedToken;
use aim_identity::api_keys::{IssuedApiKey, NewApiKey};
use chrono::TimeDelta;

use crate::common::{Request, World, worlds};

fn key(name: &str) -> NewApiKey {
    NewApiKey {
        name: name.to_owned(),
        role: None,
        expires_at: None,
        expires_in_days: None,
    }
}

async fn code_of(world: &World, issued: &IssuedApiKey) -> Option<Code> {
    let token = ParsedToken::parse(issued.api_key.expose()).unwrap();
    world
        .identity
        .api_keys()
        .authenticate(&token, world.kernel.now())
        .await
        .err()
        .map(|error| error.code)
}

async fn make(world: &World, ctx: &Ctx, new: NewApiKey) -> IssuedApiKey {
    world.identity.api_keys().create(ctx, new).await.unwrap()
}

#[tokio::test]
async fn a_key_is_good_until_its_end_and_not_an_instant_longer() {
    for world in worlds().await {
        let issued = make(
            &world,
            &world.admin(),
            NewApiKey {
                expires_in_days: Some(1),
                ..key("short")
            },
        )
        .await;
        let end = issued.view.expires_at.unwrap();
        assert_eq!(end, world.kernel.now() + TimeDelta::days(1));
        world.clock.set(end - TimeDelta::microseconds(1));
        assert_eq!(code_of(&world, &issued).await, None);
        world.clock.set(end);
        assert_eq!(code_of(&world, &issued).await, Some(Code::CredentialsInvalid));
    }
}

#[tokio::test]
async fn a_disabled_or_deleted_key_is_refused_on_the_next_request() {
    for world in worlds().await {
        let (keys, admin) = (world.identity.api_keys(), world.admin());
        let (one, two) = (
            make(&world, &admin, key("one")).await,
            make(&world, &admin, key("two")).await,
        );
        let disabled = keys.disable(&admin, one.view.id).await.unwrap();
        assert_eq!(disabled.disabled_at, admin.now);
        assert_eq!(code_of(&world, &one).await, Some(Code::CredentialsInvalid));
        assert_eq!(code_of(&world, &two).await, None);

        world.clock.advance(TimeDelta::minutes(1));
        let again = keys.disable(&world.admin(), one.view.id).await.unwrap();
        assert_eq!(again, disabled, "to disable once more changes nothing");
        assert_eq!(world.audited("api_key.disabled").await, 1);

        keys.delete(&admin, one.view.id).await.unwrap();
        keys.delete(&admin, two.view.id).await.unwrap();
        assert_eq!(code_of(&world, &two).await, Some(Code::CredentialsInvalid));
        assert_eq!(
            keys.delete(&admin, two.view.id).await.unwrap_err().code,
            Code::NotFound
        );
    }
}

#[tokio::test]
async fn nobody_makes_or_ends_a_key_above_their_own_role() {
    for world in worlds().await {
        let keys = world.identity.api_keys();
        for own in Role::ALL {
            for wanted in Role::ALL {
                let new = NewApiKey {
                    role: Some(wanted),
                    ..key("ceiling")
                };
                let made = keys.create(&world.ctx(own), new).await;
                assert_eq!(made.is_ok(), wanted <= own, "{own:?} makes {wanted:?}");
                if let Err(error) = made {
                    assert_eq!(
                        (error.code, error.field.as_deref()),
                        (Code::Forbidden, Some("role"))
                    );
                }
            }
        }
        let strong = make(
            &world,
            &world.admin(),
            NewApiKey {
                role: Some(Role::Admin),
                ..key("strong")
            },
        )
        .await;
        let member = world.ctx(Role::Member);
        assert_eq!(
            keys.disable(&member, strong.view.id).await.unwrap_err().code,
            Code::Forbidden
        );
        assert_eq!(
            keys.delete(&member, strong.view.id).await.unwrap_err().code,
            Code::Forbidden
        );
        assert_eq!(code_of(&world, &strong).await, None);
    }
}

#[tokio::test]
async fn a_key_made_by_a_key_stays_below_it() {
    for world in worlds().await {
        let issued = make(&world, &world.admin(), key("member")).await;
        assert_eq!(issued.view.role, Role::Member);
        let mut by_key = world.admin();
        by_key.actor = Actor::ApiKey {
            id: issued.view.id,
            role: issued.view.role,
        };
        let wanted = NewApiKey {
            role: Some(Role::Manager),
            ..key("more")
        };
        let error = world
            .identity
            .api_keys()
            .create(&by_key, wanted)
            .await
            .unwrap_err();
        assert_eq!(error.code, Code::Forbidden);
    }
}

#[tokio::test]
async fn what_a_key_is_made_of_is_checked_by_field() {
    for world in worlds().await {
        let (keys, admin) = (world.identity.api_keys(), world.admin());
        let cases = [
            (key(" "), "name"),
            (
                NewApiKey {
                    expires_at: Some(admin.now),
                    ..key("a")
                },
                "expires_at",
            ),
            (
                NewApiKey {
                    expires_in_days: Some(0),
                    ..key("a")
                },
                "expires_in_days",
            ),
            (
                NewApiKey {
                    expires_in_days: Some(3651),
                    ..key("a")
                },
                "expires_in_days",
            ),
            (
                NewApiKey {
                    expires_at: Some(admin.now + TimeDelta::days(1)),
                    expires_in_days: Some(1),
                    ..key("a")
                },
                "expires_in_days",
            ),
        ];
        for (new, field) in cases {
            let error = keys.create(&admin, new).await.unwrap_err();
            assert_eq!(
                (error.code, error.field.as_deref()),
                (Code::FieldInvalid, Some(field))
            );
        }
    }
}

#[tokio::test]
async fn a_list_shows_the_beginning_of_a_key_and_its_last_use_to_the_minute() {
    for world in worlds().await {
        let (keys, admin) = (world.identity.api_keys(), world.admin());
        let issued = make(&world, &admin, key("used")).await;
        let used = || async {
            let list = keys.list(&admin, PageRequest::default()).await.unwrap();
            let json = serde_json::to_string(&list).unwrap();
            assert!(!json.contains(issued.api_key.expose()));
            let view = list
                .api_keys
                .into_iter()
                .find(|view| view.id == issued.view.id)
                .unwrap();
            assert!(issued.api_key.expose().starts_with(&view.prefix));
            view.last_used_at
        };
        assert_eq!(used().await, None);
        let start = world.kernel.now();
        assert_eq!(code_of(&world, &issued).await, None);
        assert_eq!(used().await, Some(start));
        world.clock.advance(TimeDelta::seconds(59));
        assert_eq!(code_of(&world, &issued).await, None);
        assert_eq!(used().await, Some(start));
        world.clock.advance(TimeDelta::seconds(1));
        assert_eq!(code_of(&world, &issued).await, None);
        assert_eq!(used().await, Some(start + TimeDelta::minutes(1)));
    }
}

#[tokio::test]
async fn another_tenants_key_and_an_unknown_one_are_the_same() {
    for world in worlds().await {
        let keys = world.identity.api_keys();
        let issued = make(&world, &world.admin(), key("mine")).await;
        let stranger = world.stranger();
        let foreign = keys.disable(&stranger, issued.view.id).await.unwrap_err();
        let unknown = keys.disable(&stranger, stranger.new_id()).await.unwrap_err();
        assert_eq!(format!("{foreign:?}"), format!("{unknown:?}"));
        assert_eq!(
            keys.delete(&stranger, issued.view.id).await.unwrap_err().code,
            Code::NotFound
        );
        assert_eq!(code_of(&world, &issued).await, None);
        let list = keys.list(&stranger, PageRequest::default()).await.unwrap();
        assert_eq!(list.total, 1, "only the second organisation's own initial key");
    }
}

#[tokio::test]
async fn the_initial_key_of_an_organisation_is_an_administrators() {
    for world in worlds().await {
        let caller = world
            .recognised(&Request::bearer(world.first.api_key.expose()))
            .await
            .unwrap();
        assert_eq!(caller.actor.role(), Some(Role::Admin));
        assert_eq!(caller.organization, world.first.organization_id);
        let list = world
            .identity
            .api_keys()
            .list(&world.admin(), PageRequest::default())
            .await
            .unwrap();
        assert_eq!(
            list.api_keys.first().map(|key| key.name.as_str()),
            Some("initial")
        );
    }
}
