//! The routes as a browser and a program meet them: registered, documented, and one walk through.

use std::sync::Arc;

use actix_web::{
    App,
    dev::ServiceResponse,
    http::{StatusCode, header},
    middleware::from_fn,
    test,
};
use aim_identity::{Identity, set_up};
use aim_platform::{EditionInfo, Module, OpenApiDocument, configure, openapi_of, shell, shell_state};
use aim_testkit::databases;
use serde_json::{Value, json};

use crate::common::{EMAIL, PASSWORD};

fn edition() -> EditionInfo {
    EditionInfo {
        edition: "community".to_owned(),
        version: "0.0.0".to_owned(),
        features: Vec::new(),
    }
}

/// The `Set-Cookie` of an answer.
fn set_cookie<B>(response: &ServiceResponse<B>) -> String {
    response
        .headers()
        .get(header::SET_COOKIE)
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned()
}

#[actix_web::test]
async fn every_operation_is_documented_with_its_refusals() {
    for database in databases().await {
        let (kernel, _) = aim_testkit::kernel(&database.store);
        let modules: Vec<Arc<dyn Module>> = vec![Arc::new(Identity::new(&kernel))];
        let document = serde_json::to_value(openapi_of(&modules, &edition())).unwrap();
        let mut operations = 0;
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let open = ["/api/v1/edition", "/api/v1/openapi.json"].contains(&path.as_str());
                let responses = operation["responses"].as_object().unwrap();
                assert!(
                    open || responses.contains_key("401"),
                    "{method} {path} does not document 401"
                );
                operations += usize::from(!open);
            }
        }
        assert_eq!(operations, 29);
    }
}

#[actix_web::test]
async fn a_new_installation_is_set_up_used_and_left_again() {
    for database in databases().await {
        let (kernel, _) = aim_testkit::kernel(&database.store);
        let modules: Vec<Arc<dyn Module>> = vec![Arc::new(Identity::new(&kernel))];
        let token = set_up::prepare(&kernel).await.unwrap().unwrap();
        let state = shell_state(&kernel, &modules);
        let document = OpenApiDocument("{}".into());
        let app = test::init_service(
            App::new()
                .wrap(from_fn(shell))
                .configure(|config| configure(config, &kernel, &modules, &state, &edition(), &document)),
        )
        .await;
        let call = |request: test::TestRequest| test::call_service(&app, request.to_request());

        let body = json!({
            "token": token.expose(), "organization": "First Ltd", "email": EMAIL, "password": PASSWORD,
        });
        let response = call(test::TestRequest::post().uri("/api/v1/setup").set_json(&body)).await;
        assert_eq!(response.status(), StatusCode::CREATED);
        let cookie = set_cookie(&response);
        for attribute in [
            "aim_session=aim_session_",
            "HttpOnly",
            "SameSite=Strict",
            "Path=/",
            "Max-Age=43200",
        ] {
            assert!(cookie.contains(attribute), "{cookie}");
        }
        let answer: Value = test::read_body_json(response).await;
        assert_eq!(answer["user"]["role"], "admin");
        let session = cookie.split(';').next().unwrap().to_owned();

        let me = || test::TestRequest::get().uri("/api/v1/auth/me");
        assert_eq!(call(me()).await.status(), StatusCode::UNAUTHORIZED);
        let by_cookie = call(me().insert_header((header::COOKIE, session.clone()))).await;
        let by_cookie: Value = test::read_body_json(by_cookie).await;
        assert_eq!(by_cookie, answer["user"]);

        let key = || {
            test::TestRequest::post()
                .uri("/api/v1/api-keys")
                .insert_header((header::COOKIE, session.clone()))
                .set_json(json!({"name": "ci", "expires_in_days": 1}))
        };
        assert_eq!(
            call(key()).await.status(),
            StatusCode::FORBIDDEN,
            "no sign of our own origin"
        );
        let made = call(key().insert_header(("sec-fetch-site", "same-origin"))).await;
        assert_eq!(made.status(), StatusCode::CREATED);
        let made: Value = test::read_body_json(made).await;
        let mut fields: Vec<&String> = made.as_object().unwrap().keys().collect();
        fields.sort_unstable();
        assert_eq!(
            fields,
            [
                "api_key",
                "created_at",
                "expires_at",
                "id",
                "name",
                "prefix",
                "role"
            ]
        );

        let with_key = |request: test::TestRequest| {
            call(request.insert_header(("x-api-key", made["api_key"].as_str().unwrap())))
        };
        let list =
            with_key(test::TestRequest::get().uri("/api/v1/agents?status=active&status=revoked")).await;
        assert_eq!(list.status(), StatusCode::OK);
        let list: Value = test::read_body_json(list).await;
        assert_eq!(
            list,
            json!({"agents": [], "total": 0, "limit": 20, "offset": 0, "next_cursor": null})
        );
        let refused = with_key(test::TestRequest::get().uri("/api/v1/agents?sort=age")).await;
        assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
        let refused = with_key(test::TestRequest::post().uri("/api/v1/users").set_json(json!({}))).await;
        assert_eq!(
            refused.status(),
            StatusCode::FORBIDDEN,
            "the permission before the body"
        );
        assert_eq!(
            with_key(me()).await.status(),
            StatusCode::FORBIDDEN,
            "a key has no account"
        );

        let elsewhere = test::TestRequest::post()
            .uri("/api/v1/auth/login")
            .insert_header(("sec-fetch-site", "cross-site"))
            .set_json(json!({"email": EMAIL, "password": PASSWORD}));
        assert_eq!(call(elsewhere).await.status(), StatusCode::FORBIDDEN);
        let wrong = test::TestRequest::post()
            .uri("/api/v1/auth/login")
            .set_json(json!({"email": EMAIL, "password": "not the password"}));
        let wrong = call(wrong).await;
        assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED);
        let wrong: Value = test::read_body_json(wrong).await;
        assert_eq!(wrong["code"], "auth.sign_in_refused");

        let bearer = format!("Bearer {}", answer["access_token"].as_str().unwrap());
        let leave = test::TestRequest::post()
            .uri("/api/v1/auth/logout")
            .insert_header((header::AUTHORIZATION, bearer));
        let left = call(leave).await;
        assert_eq!(left.status(), StatusCode::NO_CONTENT);
        assert!(set_cookie(&left).contains("Max-Age=0"));
        let after = call(me().insert_header((header::COOKIE, session))).await;
        assert_eq!(after.status(), StatusCode::UNAUTHORIZED);
    }
}
