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

/// A viewer far from Greenwich: what a field says is what is asked for, and what is asked for stands in the field.
#[tokio::test(flavor = "multi_thread")]
async fn moments_are_the_same_wherever_the_viewer_is() {
    let app = world::app().await;
    let _ = app.user(Role::Admin).await;
    in_a_browser("time-zone", &app, async |browser| {
        browser.sign_in(&app, Role::Admin).await;
        let zone = json!({"timezoneId": "Asia/Tokyo"});
        browser.devtools("Emulation.setTimezoneOverride", zone).await;
        let local = [
            ("/audit?range=custom", "from"),
            ("/secrets/access?path=payments/", "since"),
        ];
        for (page, name) in local.iter().take(if app.is_premium() { 2 } else { 1 }) {
            let moment = format!("{name}=2020-01-02T03%3A04%3A00.000Z");
            browser.go(&format!("{page}&{moment}")).await;
            let field = browser.see(&format!("[name={name}]")).await;
            let shown = field.prop("value").await.unwrap().unwrap_or_default();
            assert_eq!(shown, "2020-01-02T12:04", "{page}: as the viewer reads times");
            resubmitted(browser, &moment).await;
        }
        if !app.is_premium() {
            return;
        }
        browser.go("/secrets/at?at=2020-01-02T03:04:05").await;
        let field = browser.see("[name=at]").await;
        let shown = field.prop("value").await.unwrap().unwrap_or_default();
        assert_eq!(shown, "2020-01-02T03:04:05", "its label says UTC");
        resubmitted(browser, "at=2020-01-02T03%3A04%3A05.000Z").await;
        let field = browser.see("[name=at]").await;
        let shown = field.prop("value").await.unwrap().unwrap_or_default();
        assert_eq!(shown, "2020-01-02T03:04:05");
    })
    .await;
}

/// Applies the filters as they stand, and waits until the address has `expected`.
async fn resubmitted(browser: &Browser, expected: &str) {
    browser.run("window.before = true").await;
    browser.click("form.filters button[type=submit]").await;
    let applied = format!(
        "return window.before === undefined && location.search.includes({})",
        json!(expected)
    );
    browser.wait_until(expected, &applied).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_goes_on_until_the_last_secret() {
    let app = world::app().await;
    if !app.is_premium() {
        return;
    }
    let administrator = app.user(Role::Admin).await;
    for part in 0..3 {
        let items: Vec<Value> = (0..400)
            .map(|number| {
                let path = format!("bulk/{part}-{number:03}");
                json!({"path": path, "kind": "api_key", "fields": {"value": "v"}})
            })
            .collect();
        let _ = administrator
            .post("/api/v1/vault/import", &json!({"items": items}))
            .await
            .expect(200);
    }
    let then = app.now();
    let _ = administrator
        .put(
            "/api/v1/vault/secrets/bulk/2-399",
            &json!({"kind": "api_key", "fields": {"value": "w"}}),
        )
        .await
        .expect(201);
    in_a_browser("restore-all", &app, async |browser| {
        browser.sign_in(&app, Role::Admin).await;
        let moment = then.format("%Y-%m-%dT%H:%M:%S%.6f");
        browser.go(&format!("/secrets/at?prefix=bulk/&at={moment}")).await;
        browser.click("[data-then='show:#restore-preview']").await;
        browser.see_text("#restore-preview", "1199").await;
        let said = browser
            .see("#restore-preview .list-total")
            .await
            .text()
            .await
            .unwrap();
        assert!(
            said.starts_with("1 restored, 0 deleted, 1199 unchanged"),
            "{said}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_is_masked_and_shown_once_and_reads_are_drawn_on_its_page() {
    let app = world::app().await;
    if !app.is_premium() {
        return;
    }
    let administrator = app.user(Role::Admin).await;
    let key = json!({"kind": "api_key", "fields": {"value": "canary-shown-once"}});
    let _ = administrator
        .put("/api/v1/vault/secrets/payments/live", &key)
        .await
        .expect(201);
    let mode = json!({"mode": "reason"});
    let _ = administrator
        .put("/api/v1/vault/reveal-settings", &mode)
        .await
        .expect(200);
    let agent = app.agent("reader", &["secret:read"]).await;
    let _ = agent.act("secret:read", Some("payments/live")).await;
    app.catch_up().await;
    in_a_browser("reveal", &app, async |browser| {
        browser.sign_in(&app, Role::Admin).await;
        browser.go("/secrets?path=payments/live").await;
        browser.see(".chart-plot").await;
        let _ = browser.see_text("table", "reader").await;
        picture_each(browser, "read").await;
        browser.click("[data-open=reveal-value]").await;
        browser
            .fill("#field-reveal-value-reason", "the provider wants it on the phone")
            .await;
        browser.click("#reveal-value button[type=submit]").await;
        let value = browser.see("#shown-once [data-value]").await;
        assert_eq!(
            value.attr("type").await.unwrap().as_deref(),
            Some("password"),
            "masked at first"
        );
        picture_each(browser, "revealed").await;
        browser.click("#shown-once [aria-pressed]").await;
        assert_eq!(
            value.prop("value").await.unwrap().as_deref(),
            Some("canary-shown-once")
        );
        browser.run("window.before = true").await;
        browser.click("#shown-once .form-actions [data-close]").await;
        browser
            .wait_until(
                "the page is anew, and has the value nowhere",
                "return window.before === undefined && document.readyState === 'complete' \
                 && !document.documentElement.outerHTML.includes('canary-shown-once')",
            )
            .await;
        assert_eq!(browser.count("#shown-once [data-value]").await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agents_key_is_copied_when_it_is_made_and_shown_never_again() {
    let app = world::app().await;
    if !app.is_premium() {
        return;
    }
    let _ = app.user(Role::Admin).await;
    let agent = app.agent("exporter", &["db:read"]).await;
    in_a_browser("agent-key", &app, async |browser| {
        browser.sign_in(&app, Role::Admin).await;
        browser.go(&format!("/agents/{}/secrets", agent.id)).await;
        browser.click("[data-open=new-key]").await;
        browser.fill("#field-new-key-name", "nightly export").await;
        browser.fill("#field-new-key-capabilities", "db:read").await;
        browser.click("#new-key button[type=submit]").await;
        let field = browser.see("#made-key-text").await;
        let key = field.prop("value").await.unwrap().unwrap_or_default();
        assert!(key.starts_with("aim_agent_"), "{key}");
        assert_sound(browser, "the key that was made").await;
        let _ = browser.clipboard().await;
        browser.click("[data-copy-from='#made-key-text']").await;
        browser
            .wait_until(
                "it is copied",
                "return document.querySelector('.done[data-copy-from]') !== null",
            )
            .await;
        assert_eq!(browser.clipboard().await, key);
        browser.click("#made-key .form-actions a").await;
        let _ = browser.see_text("table", "nightly export").await;
        let shows = format!(
            "return document.documentElement.outerHTML.includes({})",
            json!(key)
        );
        assert_eq!(browser.run(&shows).await, json!(false));
    })
    .await;
}
