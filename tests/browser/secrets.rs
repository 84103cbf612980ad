//! The pages of secrets: the tree, what is different between versions, a point in time and the way back, import with a
//! preview. Pictures of each, wide and narrow, light and dark.

use aim_core::Role;
use serde_json::{Value, json};

use super::{
    browser::{Browser, in_a_browser},
    judge::assert_sound,
    world,
};

/// Looks at what is shown, at any width and in any light.
async fn picture_each(browser: &Browser, name: &str) {
    for (form, (width, height)) in [("narrow", (390, 844)), ("wide", (1280, 900))] {
        browser.resize(width, height).await;
        for scheme in ["dark", "light"] {
            browser.prefer(scheme).await;
            browser.picture(&format!("secrets-{name}-{form}-{scheme}")).await;
            assert_sound(browser, &format!("{name}, {form}, {scheme}")).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_walked_compared_taken_back_and_imported() {
    let app = world::app().await;
    if !app.is_premium() {
        return;
    }
    let administrator = app.user(Role::Admin).await;
    let put = async |path: &str, body: Value| {
        let target = format!("/api/v1/vault/secrets/{path}");
        let _ = administrator.put(&target, &body).await.expect(201);
    };
    let key = |value: &str| json!({"kind": "api_key", "fields": {"value": value}});
    let mut stripe = key("sk_live_one");
    stripe["provider"] = json!("stripe");
    stripe["tags"] = json!(["stripe", "live"]);
    stripe["owner"] = json!("team payments");
    stripe["description"] = json!("Charges of the web shop");
    put("payments/stripe/live", stripe).await;
    put("payments/stripe/test", key("sk_test")).await;
    put("payments/paypal", key("paypal")).await;
    put(
        "db/orders",
        json!({"kind": "database", "fields": {"username": "u", "password": "p-1", "host": "h"}}),
    )
    .await;
    let token = json!({
        "client_id": "aim", "client_secret": "s", "refresh_token": "r", "token_url": "https://id.example.invalid/token",
    });
    put("google/calendar", json!({"kind": "oauth", "fields": token})).await;
    let _ = administrator
        .post("/api/v1/vault/refresh", &json!({"path": "google/calendar"}))
        .await
        .expect(200);
    let then = app.now();
    put("payments/stripe/live", key("sk_live_two")).await;
    put(
        "db/orders",
        json!({"kind": "database", "fields": {"username": "u", "password": "p-2", "port": "5432"}}),
    )
    .await;

    in_a_browser("secrets", &app, async |browser| {
        browser.sign_in(&app, Role::Admin).await;
        browser.go("/secrets").await;
        let _ = browser.see_text(".row-link", "payments/").await;
        picture_each(browser, "tree").await;
        browser.click("a[href='/secrets?prefix=payments/']").await;
        let _ = browser.see_text(".row-link", "paypal").await;
        picture_each(browser, "folder").await;

        browser.go("/secrets?path=db/orders").await;
        browser.click("#compare button").await;
        let _ = browser.see_text("h3", "Version 1 and version 2").await;
        let _ = browser.see_text("tbody", "removed").await;
        picture_each(browser, "compared").await;
        browser.go("/secrets?path=google/calendar").await;
        let _ = browser.see_text(".facts", "could not be resolved").await;
        picture_each(browser, "refresh").await;

        let target = format!("/secrets/at?at={}", then.format("%Y-%m-%dT%H:%M:%S%.6f"));
        browser.go(&target).await;
        let _ = browser.see_text(".list-total", "2 on this page").await;
        picture_each(browser, "at").await;
        browser.click("[data-then='show:#restore-preview']").await;
        let _ = browser
            .see_text("#restore-preview tbody", "payments/stripe/live")
            .await;
        picture_each(browser, "restore").await;

        browser.go("/secrets/import").await;
        browser
            .fill("[name=text]", "STRIPE_KEY=sk_live_imported\nBAD KEY")
            .await;
        browser.click("form button[value=true]").await;
        let _ = browser.see_text("#field-import-text-error", "Line 2").await;
        // The browser complains about the refusal, which is meant.
        let _ = browser.complaints().await;
        picture_each(browser, "import-refused").await;
        browser.fill("[name=text]", "STRIPE_KEY=sk_live_imported").await;
        browser.fill("[name='mapping.prefix']", "web/").await;
        browser.click("form button[value=true]").await;
        let _ = browser.see_text("#import-preview tbody", "web/stripe_key").await;
        picture_each(browser, "import-preview").await;
        browser.click("#import-preview button[type=submit]").await;
        let _ = browser.see_text("#import-done", "1 new").await;
        let view = administrator
            .get("/api/v1/vault/secrets/web/stripe_key")
            .await
            .expect(200);
        assert_eq!(view["current_version"], 1);
    })
    .await;
}
