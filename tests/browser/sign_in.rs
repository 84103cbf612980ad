//! First set-up, sign-in, sign-out.

use aim_core::Role;
use aim_identity::set_up;
use aim_tests::{PASSWORD, TestApp};

use super::{browser::in_a_browser, judge::assert_sound, world};

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_not_signed_in_is_asked_to_and_comes_back_to_the_page_they_wanted() {
    let app = world::app().await;
    let _ = app.user(Role::Viewer).await;
    in_a_browser("sign_in", &app, async |browser| {
        browser.go("/agents?q=x").await;
        assert!(
            browser.place().await.starts_with("/sign-in?next="),
            "{}",
            browser.place().await
        );
        assert_sound(browser, "/sign-in").await;
        browser
            .fill("[name=email]", &app.tenant().email(Role::Viewer))
            .await;
        browser.fill("[name=password]", "not the password").await;
        browser.click("form button[type=submit]").await;
        browser
            .see_text("[role=alert], .field-error, .form-error", "wrong")
            .await;
        let _ = browser.complaints().await;
        browser.fill("[name=password]", PASSWORD).await;
        browser.click("form button[type=submit]").await;
        browser
            .wait_until("the wanted page opens", "return location.pathname === '/agents'")
            .await;
        assert_eq!(browser.place().await, "/agents?q=x");
        assert_sound(browser, "/agents").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_start_is_set_up_from_the_link_that_the_server_prints() {
    let app = TestApp::builder()
        .real_time()
        .without_organization()
        .start_on_sqlite()
        .await;
    let token = set_up::prepare(&app.parts.kernel).await.unwrap();
    let token = token.expect("nobody set it up yet");
    in_a_browser("set_up", &app, async |browser| {
        browser.go("/").await;
        browser
            .wait_until("set-up is asked for", "return location.pathname === '/set-up'")
            .await;
        assert_sound(browser, "/set-up").await;
        browser.go("/sign-in").await;
        browser.go(&format!("/set-up#token={}", token.expose())).await;
        browser.fill("[name=organization]", "Harbour Ltd").await;
        browser.fill("[name=name]", "Ada Lovelace").await;
        browser.fill("[name=email]", "ada@harbour.example").await;
        browser.fill("[name=password]", "short").await;
        browser
            .run("document.querySelector('[name=password]').removeAttribute('minlength')")
            .await;
        browser.click("#set-up button[type=submit]").await;
        browser.see_text("#field-password-error", "12").await;
        let kept = browser
            .run("return document.querySelector('[name=organization]').value")
            .await;
        assert_eq!(kept, "Harbour Ltd", "a form keeps what was typed");
        let _ = browser.complaints().await;
        browser.fill("[name=password]", PASSWORD).await;
        browser.click("#set-up button[type=submit]").await;
        browser
            .wait_until("the console opens", "return location.pathname !== '/set-up'")
            .await;
        browser.see_text(".top", "Harbour Ltd").await;
        let place = browser.place().await;
        assert!(!place.contains("token"), "{place}");
        assert_sound(browser, "the console after set-up").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_signs_out_is_out_even_with_the_back_button() {
    let app = world::app().await;
    let _ = app.user(Role::Viewer).await;
    in_a_browser("sign_out", &app, async |browser| {
        let session = app.tenant().sign_in(Role::Viewer).await;
        browser.present(&session).await;
        browser.go("/agents").await;
        browser.click("summary[aria-label^=Account]").await;
        browser.click("[data-api='POST /api/v1/auth/logout']").await;
        browser
            .wait_until("the door is shown", "return location.pathname === '/sign-in'")
            .await;
        browser.go("/agents").await;
        assert!(browser.place().await.starts_with("/sign-in"));
        assert_eq!(app.bearer(&session).get("/api/v1/agents").await.status, 401);
    })
    .await;
}
