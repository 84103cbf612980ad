//! What stands behind the console's account pages: links that sign in once, preferences, and the pages.

use std::sync::Arc;

use actix_web::{
    App,
    http::{StatusCode, header},
    middleware::from_fn,
    test,
};
use aim_core::{Code, Role};
use aim_identity::{
    sessions::sign_in_link,
    set_up,
    users::{UpdateUser, UserStatus},
};
use aim_platform::{EditionInfo, Module, OpenApiDocument, configure, shell, shell_state};
use aim_testkit::databases;
use chrono::TimeDelta;
use serde_json::json;

use crate::common::{EMAIL, PASSWORD, worlds};

#[actix_web::test]
async fn a_link_signs_in_once() {
    for world in worlds().await {
        let sessions = world.identity.sessions();
        let anonymous = world.anonymous("192.0.2.9");
        let token = sign_in_link(&world.kernel, &EMAIL.to_uppercase()).await.unwrap();
        let signed_in = sessions.sign_in_by_link(&anonymous, &token).await.unwrap();
        assert_eq!(signed_in.user.email, EMAIL);
        assert_eq!(signed_in.user.organization_id, world.first.organization_id);
        let again = sessions.sign_in_by_link(&anonymous, &token).await.unwrap_err();
        assert_eq!(
            (again.code, again.field.as_deref()),
            (Code::CredentialsInvalid, Some("token"))
        );
        assert_eq!(world.audited("sign_in.link_created").await, 1);
        assert_eq!(world.audited("sign_in.link_used").await, 1);
        let stored = "SELECT count(*) FROM sign_in_links";
        assert_eq!(world.database.count(stored).await, 0, "a used link is gone");
        assert_eq!(
            sign_in_link(&world.kernel, "nobody@example.com")
                .await
                .unwrap_err()
                .code,
            Code::NotFound
        );
    }
}

#[actix_web::test]
async fn of_two_who_come_with_one_link_one_gets_in() {
    for world in worlds().await {
        let sessions = world.identity.sessions();
        let anonymous = world.anonymous("192.0.2.9");
        let token = sign_in_link(&world.kernel, EMAIL).await.unwrap();
        let (first, second) = tokio::join!(
            sessions.sign_in_by_link(&anonymous, &token),
            sessions.sign_in_by_link(&anonymous, &token)
        );
        assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
    }
}

#[actix_web::test]
async fn a_link_ends_after_five_minutes_and_with_its_user() {
    for world in worlds().await {
        let sessions = world.identity.sessions();
        let old = sign_in_link(&world.kernel, EMAIL).await.unwrap();
        world.clock.advance(TimeDelta::minutes(5));
        let anonymous = world.anonymous("192.0.2.9");
        assert!(sessions.sign_in_by_link(&anonymous, &old).await.is_err());

        let stranger = world.stranger();
        let users = world.identity.users();
        let token = sign_in_link(&world.kernel, "bob@example.org").await.unwrap();
        let colleague = serde_json::from_value(json!({
            "email": "eve@example.org", "name": "Eve", "role": "admin", "password": PASSWORD,
        }))
        .unwrap();
        users.create(&stranger, colleague).await.unwrap();
        let off = UpdateUser {
            status: Some(UserStatus::Deactivated),
            ..UpdateUser::default()
        };
        users
            .update(&stranger, world.second.admin_user_id, off)
            .await
            .unwrap();
        let anonymous = world.anonymous("192.0.2.9");
        assert!(sessions.sign_in_by_link(&anonymous, &token).await.is_err());
        assert!(sign_in_link(&world.kernel, "bob@example.org").await.is_err());
    }
}

#[actix_web::test]
async fn a_preference_is_its_users_own() {
    for world in worlds().await {
        let preferences = world.identity.preferences();
        let (admin, stranger) = (world.admin(), world.stranger());
        let unset = preferences.get(&admin, "banner").await.unwrap();
        assert_eq!((unset.value, unset.updated_at), (json!(null), None));
        for value in [json!("dismissed"), json!({"until": "2027-01-01T00:00:00Z"})] {
            let set = preferences.set(&admin, "banner", value.clone()).await.unwrap();
            assert_eq!(set.updated_at, Some(admin.now));
            assert_eq!(preferences.get(&admin, "banner").await.unwrap().value, value);
        }
        assert_eq!(
            preferences.get(&stranger, "banner").await.unwrap().value,
            json!(null)
        );
        let viewer = world.identity.users().viewer(&admin).await.unwrap();
        assert_eq!(viewer.organization, "First Ltd");
        assert_eq!(viewer.preferences.len(), 1);
        preferences.set(&admin, "banner", json!(null)).await.unwrap();
        assert_eq!(
            preferences.get(&admin, "banner").await.unwrap().value,
            json!(null)
        );
        assert_eq!(world.audited("user.preference_set").await, 3);
        let refused = preferences.set(&admin, "no spaces", json!(1)).await.unwrap_err();
        assert_eq!(refused.field.as_deref(), Some("name"));
        for number in 0..50 {
            preferences
                .set(&admin, &format!("p{number}"), json!(number))
                .await
                .unwrap();
        }
        preferences.set(&admin, "p0", json!("again")).await.unwrap();
        let refused = preferences.set(&admin, "one-more", json!(1)).await.unwrap_err();
        assert_eq!(refused.code, Code::Conflict);
    }
}

#[actix_web::test]
async fn the_pages_lead_a_person_in_and_show_what_the_role_allows() {
    for database in databases().await {
        let (kernel, _) = aim_testkit::kernel(&database.store);
        let identity = aim_identity::Identity::new(&kernel);
        let modules: Vec<Arc<dyn Module>> = vec![Arc::new(identity.clone())];
        let state = shell_state(&kernel, &modules);
        let document = OpenApiDocument("{}".into());
        let edition = EditionInfo {
            edition: "community".to_owned(),
            version: "1".to_owned(),
            features: vec!["identity".to_owned()],
        };
        let app = test::init_service(
            App::new()
                .wrap(from_fn(shell))
                .configure(|config| configure(config, &kernel, &modules, &state, &edition, &document)),
        )
        .await;
        let look = async |path: &str, token: Option<&str>| {
            let mut request = test::TestRequest::get()
                .uri(path)
                .insert_header((header::ACCEPT, "text/html"));
            if let Some(token) = token {
                request = request.insert_header((header::COOKIE, format!("aim_session={token}")));
            }
            let response = test::call_service(&app, request.to_request()).await;
            let status = response.status();
            let location = response
                .headers()
                .get(header::LOCATION)
                .map(|location| location.to_str().unwrap().to_owned())
                .unwrap_or_default();
            let text = String::from_utf8_lossy(&test::read_body(response).await).into_owned();
            (status, location, text)
        };

        for path in ["/", "/sign-in"] {
            let (status, location, _) = look(path, None).await;
            assert_eq!(
                (status, location.as_str()),
                (StatusCode::SEE_OTHER, "/set-up"),
                "{path}"
            );
        }
        let (status, _, text) = look("/set-up", None).await;
        assert_eq!(status, StatusCode::OK);
        assert!(text.contains("data-api=\"POST /api/v1/setup\""));
        let password = crate::common::password();
        set_up::initialise(&kernel, "First <Ltd>", EMAIL, &password)
            .await
            .unwrap();
        assert_eq!(look("/", None).await.1, "/sign-in");
        assert_eq!(look("/set-up", None).await.1, "/sign-in");
        let (_, _, text) = look("/sign-in?next=/users%3Fcursor=1", None).await;
        assert!(text.contains("data-then=\"goto:/users?cursor=1\""), "{text}");
        let (_, _, text) = look("/sign-in?next=//evil.example", None).await;
        assert!(text.contains("data-then=\"goto:/\""));
        assert_eq!(look("/profile", None).await.1, "/sign-in?next=%2Fprofile");

        let anonymous = aim_core::Ctx::system("test", aim_core::Id::generate(kernel.now()), kernel.now());
        let sessions = identity.sessions();
        let signed_in = sessions.sign_in(&anonymous, EMAIL, &password).await.unwrap();
        let token = signed_in.access_token.expose();
        assert_eq!(look("/", Some(token)).await.1, "/agents");
        assert_eq!(look("/sign-in?next=/users", Some(token)).await.1, "/users");
        for (path, words) in [
            ("/profile", "This one"),
            ("/users", "Add user"),
            ("/api-keys", "initial"),
            ("/settings", "First &#60;Ltd&#62;"),
        ] {
            let (status, _, text) = look(path, Some(token)).await;
            assert_eq!(status, StatusCode::OK, "{path}: {text}");
            assert!(text.contains(words), "{path}: {text}");
            assert!(!text.contains("<Ltd>") && !text.contains(" style="), "{path}");
        }
        let admin_page = format!("/users/{}", signed_in.user.id);
        assert_eq!(look(&admin_page, Some(token)).await.0, StatusCode::OK);

        let mut admin = anonymous.clone();
        admin.organization = signed_in.user.organization_id;
        let viewer = serde_json::from_value(json!({
            "email": "vi@example.com", "name": "Vi", "role": "viewer", "password": PASSWORD,
        }))
        .unwrap();
        identity.users().create(&admin, viewer).await.unwrap();
        let viewer = sessions
            .sign_in(&anonymous, "vi@example.com", &password)
            .await
            .unwrap();
        assert_eq!(viewer.user.role, Role::Viewer);
        let token = viewer.access_token.expose();
        for (path, permission) in [
            ("/users", "users:read"),
            (admin_page.as_str(), "users:read"),
            ("/api-keys", "api_keys:read"),
        ] {
            let (status, _, text) = look(path, Some(token)).await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{path}");
            assert!(text.contains(permission), "{path}");
        }
        let (status, _, text) = look("/profile", Some(token)).await;
        assert_eq!(status, StatusCode::OK);
        assert!(
            !text.contains("href=\"/users\""),
            "a viewer is led where it may not go"
        );
    }
}
