//! Users, set-up, tenants.

use aim_core::{Code, PageRequest, Role};
use aim_crypto::secret::SecretString;
use aim_identity::{
    Identity,
    set_up::{self, FirstAdministrator},
    users::{NewUser, UpdateUser, UserStatus},
};
use aim_testkit::databases;
use chrono::TimeDelta;

use crate::common::{EMAIL, password, worlds};

fn user(email: &str, role: Role) -> NewUser {
    NewUser {
        email: email.to_owned(),
        name: "Somebody".to_owned(),
        role,
        password: password(),
    }
}

fn role(role: Role) -> UpdateUser {
    UpdateUser {
        role: Some(role),
        ..UpdateUser::default()
    }
}

fn status(status: UserStatus) -> UpdateUser {
    UpdateUser {
        status: Some(status),
        ..UpdateUser::default()
    }
}

#[tokio::test]
async fn the_last_active_administrator_stays_one() {
    for world in worlds().await {
        let (users, admin) = (world.identity.users(), world.admin());
        let ada = world.first.admin_user_id;
        for update in [role(Role::Manager), status(UserStatus::Deactivated)] {
            let error = users.update(&admin, ada, update).await.unwrap_err();
            assert_eq!(error.code, Code::StateConflict);
        }
        let eve = users
            .create(&admin, user("eve@example.com", Role::Admin))
            .await
            .unwrap();
        users
            .update(&admin, eve.id, status(UserStatus::Deactivated))
            .await
            .unwrap();
        assert!(
            users.update(&admin, ada, role(Role::Viewer)).await.is_err(),
            "a deactivated administrator does not count"
        );
        users
            .update(&admin, eve.id, status(UserStatus::Active))
            .await
            .unwrap();
        assert_eq!(
            users.update(&admin, ada, role(Role::Viewer)).await.unwrap().role,
            Role::Viewer
        );
    }
}

#[tokio::test]
async fn of_two_administrators_who_step_down_at_once_one_stays() {
    for world in worlds().await {
        let (users, admin) = (world.identity.users(), world.admin());
        let eve = users
            .create(&admin, user("eve@example.com", Role::Admin))
            .await
            .unwrap();
        let (one, two) = tokio::join!(
            users.update(&admin, world.first.admin_user_id, role(Role::Viewer)),
            users.update(&admin, eve.id, role(Role::Viewer)),
        );
        assert_eq!([one.is_ok(), two.is_ok()].iter().filter(|ok| **ok).count(), 1);
    }
}

#[tokio::test]
async fn an_address_in_use_anywhere_is_refused_in_the_same_words() {
    for world in worlds().await {
        let users = world.identity.users();
        let own = users
            .create(&world.admin(), user(" ADA@Example.com ", Role::Viewer))
            .await
            .unwrap_err();
        let foreign = users
            .create(&world.admin(), user("bob@example.org", Role::Viewer))
            .await
            .unwrap_err();
        assert_eq!((own.code, own.field.as_deref()), (Code::Conflict, Some("email")));
        assert_eq!(format!("{own:?}"), format!("{foreign:?}"));
    }
}

#[tokio::test]
async fn a_weak_password_is_refused_by_field() {
    for world in worlds().await {
        let weak = NewUser {
            password: SecretString::from("password1234"),
            ..user("eve@example.com", Role::Viewer)
        };
        let error = world
            .identity
            .users()
            .create(&world.admin(), weak)
            .await
            .unwrap_err();
        assert_eq!(
            (error.code, error.field.as_deref()),
            (Code::FieldInvalid, Some("password"))
        );
    }
}

#[tokio::test]
async fn a_foreign_user_and_an_unknown_one_are_the_same() {
    for world in worlds().await {
        let (users, admin) = (world.identity.users(), world.admin());
        let (foreign, unknown) = (world.second.admin_user_id, admin.new_id());
        assert_eq!(
            format!("{:?}", users.get(&admin, foreign).await.unwrap_err()),
            format!("{:?}", users.get(&admin, unknown).await.unwrap_err())
        );
        for id in [foreign, unknown] {
            let error = users.update(&admin, id, role(Role::Viewer)).await.unwrap_err();
            assert_eq!(error.code, Code::NotFound);
        }
        let stranger = world.stranger();
        assert_eq!(users.get(&stranger, foreign).await.unwrap().role, Role::Admin);
        let listed = users.list(&admin, PageRequest::default()).await.unwrap();
        assert_eq!((listed.total, listed.users.len()), (1, 1));
        assert_eq!(listed.users.first().map(|user| user.email.as_str()), Some(EMAIL));
    }
}

#[tokio::test]
async fn users_are_paged_by_cursor_without_a_gap() {
    for world in worlds().await {
        let (users, admin) = (world.identity.users(), world.admin());
        for number in 0..4 {
            users
                .create(&admin, user(&format!("u{number}@example.com"), Role::Viewer))
                .await
                .unwrap();
            world.clock.advance(TimeDelta::seconds(1));
        }
        let mut seen = Vec::new();
        let mut cursor = None;
        loop {
            let page = PageRequest::parse(Some(2), None, cursor.as_deref()).unwrap();
            let list = users.list(&admin, page).await.unwrap();
            assert_eq!(list.total, 5);
            seen.extend(list.users.into_iter().map(|user| user.id));
            cursor = list.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen.len(), 5);
        seen.dedup();
        assert_eq!(seen.len(), 5);
    }
}

#[tokio::test]
async fn the_organisation_counts_its_own_only() {
    for world in worlds().await {
        world.register(&world.admin(), "one").await;
        let view = world
            .identity
            .organizations()
            .current(&world.admin())
            .await
            .unwrap();
        assert_eq!((view.name.as_str(), view.users, view.agents), ("First Ltd", 1, 1));
        let view = world
            .identity
            .organizations()
            .current(&world.stranger())
            .await
            .unwrap();
        assert_eq!(
            (view.name.as_str(), view.users, view.agents),
            ("Second Ltd", 1, 0)
        );
    }
}

fn first(email: &str) -> FirstAdministrator {
    FirstAdministrator {
        organization: "First Ltd".to_owned(),
        email: email.to_owned(),
        name: Some("Ada".to_owned()),
        password: password(),
    }
}

#[tokio::test]
async fn a_set_up_token_founds_one_organisation_once() {
    for database in databases().await {
        let (kernel, _) = aim_testkit::kernel(&database.store);
        let service = Identity::new(&kernel).set_up();
        let token = set_up::prepare(&kernel)
            .await
            .unwrap()
            .expect("a token before the first set-up");
        let other = set_up::prepare(&kernel)
            .await
            .unwrap()
            .expect("every start prints one until then");
        let ctx = aim_core::Ctx::system("test", aim_core::Id::generate(kernel.now()), kernel.now());

        let wrong = SecretString::from("aim_setup_nonsense");
        let error = service.set_up(&ctx, &wrong, first(EMAIL)).await.unwrap_err();
        assert_eq!(
            (error.code, error.field.as_deref()),
            (Code::CredentialsInvalid, Some("token"))
        );
        let weak = FirstAdministrator {
            password: SecretString::from("short"),
            ..first(EMAIL)
        };
        assert_eq!(
            service
                .set_up(&ctx, &token, weak)
                .await
                .unwrap_err()
                .field
                .as_deref(),
            Some("password")
        );

        let signed_in = service.set_up(&ctx, &token, first(EMAIL)).await.unwrap();
        assert_eq!(signed_in.user.role, Role::Admin);
        for token in [&token, &other] {
            let again = service
                .set_up(&ctx, token, first("eve@example.com"))
                .await
                .unwrap_err();
            assert_eq!(again.code, Code::StateConflict);
        }
        assert!(set_up::prepare(&kernel).await.unwrap().is_none());
        let again = set_up::initialise(&kernel, "Other", "eve@example.com", &password())
            .await
            .unwrap_err();
        assert_eq!(again.code, Code::StateConflict);
        assert_eq!(database.count("SELECT count(*) FROM organizations").await, 1);
    }
}

#[tokio::test]
async fn two_set_ups_at_once_found_one_organisation() {
    for database in databases().await {
        let (kernel, _) = aim_testkit::kernel(&database.store);
        let service = Identity::new(&kernel).set_up();
        let one = set_up::prepare(&kernel).await.unwrap().unwrap();
        let two = set_up::prepare(&kernel).await.unwrap().unwrap();
        let ctx = aim_core::Ctx::system("test", aim_core::Id::generate(kernel.now()), kernel.now());
        let secret = password();
        let (a, b, c) = tokio::join!(
            service.set_up(&ctx, &one, first("a@example.com")),
            service.set_up(&ctx, &two, first("b@example.com")),
            set_up::initialise(&kernel, "Other", "c@example.com", &secret),
        );
        assert_eq!(
            [a.is_ok(), b.is_ok(), c.is_ok()].iter().filter(|ok| **ok).count(),
            1
        );
        assert_eq!(database.count("SELECT count(*) FROM organizations").await, 1);
        assert_eq!(database.count("SELECT count(*) FROM users").await, 1);
    }
}

#[tokio::test]
async fn a_set_up_token_lasts_a_day() {
    for database in databases().await {
        let (kernel, clock) = aim_testkit::kernel(&database.store);
        let service = Identity::new(&kernel).set_up();
        let token = set_up::prepare(&kernel).await.unwrap().unwrap();
        clock.advance(TimeDelta::hours(24));
        let ctx = aim_core::Ctx::system("test", aim_core::Id::generate(kernel.now()), kernel.now());
        let error = service.set_up(&ctx, &token, first(EMAIL)).await.unwrap_err();
        assert_eq!(error.code, Code::CredentialsInvalid);
    }
}

#[tokio::test]
async fn nodes_that_start_at_once_agree_on_the_pepper() {
    for database in databases().await {
        let other = database.another_node().await;
        let now = aim_testkit::start();
        let (one, two) = tokio::join!(
            aim_identity::pepper::load_or_create(&database.store, now, None),
            aim_identity::pepper::load_or_create(&other, now, None),
        );
        assert_eq!(one.unwrap().expose(), two.unwrap().expose());
        let configured = aim_identity::pepper::load_or_create(&other, now, Some([9; 32]))
            .await
            .unwrap();
        assert_eq!(configured.expose(), &[9; 32]);
    }
}
