//! Keys in the browser: registration, a first signed action, copying, rotation, the countdown, the banner.

use aim_core::Role;
use serde_json::json;

use super::{browser::in_a_browser, judge::assert_sound, world};

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_registered_with_a_key_made_in_the_browser_and_its_signed_action_is_verified() {
    let app = world::app().await;
    let _ = app.user(Role::Member).await;
    in_a_browser("register", &app, async |browser| {
        browser.sign_in(&app, Role::Admin).await;
        browser.go("/agents").await;
        browser.click("[data-open=register]").await;
        browser.fill("#field-register-name", "browser-agent").await;
        assert_sound(browser, "the registration").await;
        browser.click("form[data-register] button[type=submit]").await;
        browser.see("[data-registered]").await;
        browser.click("[data-download=file]").await;
        let file = browser.downloaded().await;
        assert!(file.contains("browser-agent"), "the key file names its agent");
        let administrator = app.user(Role::Admin).await;
        let list = administrator.get("/api/v1/agents?q=browser-agent").await;
        let list = if list.status == 200 {
            list
        } else {
            administrator.get("/api/v1/agents").await
        };
        let list = list.expect(200);
        let agent = &list["agents"][0];
        assert_eq!(agent["name"], "browser-agent");
        let id = agent["id"].as_str().unwrap();
        let grant = json!({"capability": "db:read"});
        let _ = administrator
            .post(&format!("/api/v1/agents/{id}/capabilities"), &grant)
            .await
            .expect(201);
        browser.fill("#field-act-action", "db:read").await;
        browser.click("form[data-act] button[type=submit]").await;
        browser.see_text("[data-verdict-status]", "approved").await;
        let decided = administrator
            .get(&format!("/api/v1/verifications?agent_id={id}"))
            .await
            .expect(200);
        assert_eq!(decided["verifications"][0]["status"], "approved");
        assert_sound(browser, "the registered agent").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_public_key_is_copied_the_countdown_ticks_and_a_rotation_is_in_the_history() {
    let app = world::app().await;
    let agent = app.agent("vault-agent", &[]).await;
    let public = agent.key.public().spki_base64();
    in_a_browser("key-vault", &app, async |browser| {
        browser.sign_in(&app, Role::Admin).await;
        let page = format!("/agents/{}/key-vault", agent.id);
        browser.go(&page).await;
        assert_sound(browser, "the key vault").await;
        // Granted before the click: a page may write to the clipboard of its own accord only then.
        let _ = browser.clipboard().await;
        browser.click("[role=tabpanel]:not([hidden]) .copy").await;
        browser
            .wait_until(
                "the button says so",
                "return document.querySelector('.copy.done') !== null",
            )
            .await;
        let shown = browser
            .run("return document.querySelector('[role=tabpanel]:not([hidden]) code').textContent")
            .await;
        assert_eq!(browser.clipboard().await, shown.as_str().unwrap());
        assert!(
            shown.as_str().unwrap().contains(&public),
            "{shown} is not {public}"
        );

        let before = browser.see("[data-countdown]").await.text().await.unwrap();
        let ticked = format!("return document.querySelector('[data-countdown]').textContent !== '{before}'");
        browser.wait_until("the countdown ticks", &ticked).await;

        assert_eq!(browser.count("table tbody tr").await, 1);
        let agent = agent.rotate(24).await;
        browser.go(&page).await;
        assert_eq!(browser.count("table tbody tr").await, 2);
        browser.see_text(".banner", "An earlier key still works").await;
        let shown = browser
            .run("return document.querySelector('[role=tabpanel]:not([hidden]) code').textContent")
            .await;
        assert!(
            shown
                .as_str()
                .unwrap()
                .contains(&agent.key.public().spki_base64()),
            "{shown}"
        );
        assert_sound(browser, "the key vault after a rotation").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_rotated_in_the_browser_by_the_present_one_and_the_history_tells_who_and_why() {
    let app = world::app().await;
    let agent = app.agent("vault-agent", &[]).await;
    let folder = tempfile::tempdir().unwrap();
    let present = folder.path().join("present.pem");
    std::fs::write(&present, agent.key.to_pkcs8_pem().expose()).unwrap();
    in_a_browser("rotate", &app, async |browser| {
        browser.sign_in(&app, Role::Admin).await;
        browser.go(&format!("/agents/{}/key-vault", agent.id)).await;
        browser.click("[data-open=rotate]").await;
        let file = browser.see("#field-rotate-present_key").await;
        file.send_keys(present.to_str().unwrap()).await.unwrap();
        browser.fill("#field-rotate-reason", "yearly rotation").await;
        browser.click("form[data-renew=rotate] button[type=submit]").await;
        browser.see("dialog[open] [data-renewed]").await;
        browser.click("dialog[open] [data-download=pem]").await;
        let pem = browser.downloaded().await;
        let renewed = aim_crypto::keys::SigningKey::from_pkcs8_pem(&pem).expect("a private key");
        browser.click("dialog[open] [data-when-saved] a").await;
        browser.see_text("table", "yearly rotation").await;
        assert_eq!(browser.count("table tbody tr").await, 2);
        let history = browser.see("table tbody").await.text().await.unwrap();
        assert!(history.contains("admin"), "{history}");
        let acted = agent.signing_with(renewed).act("db:read", None).await;
        assert_eq!(acted.status, 403, "the new key proves who it is: {}", acted.text);
        assert_eq!(acted.member("status"), "denied");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_premium_banner_stands_in_community_alone_and_can_be_hidden() {
    let app = world::app().await;
    let agent = app.agent("vault-agent", &[]).await;
    in_a_browser("premium-banner", &app, async |browser| {
        browser.sign_in(&app, Role::Admin).await;
        browser.go(&format!("/agents/{}/key-vault", agent.id)).await;
        browser.see("h2").await;
        if app.is_premium() {
            assert_eq!(browser.count(".upsell").await, 0);
            return;
        }
        browser.see_text(".upsell", "Managed secrets vault").await;
        for words in ["Upgrade to Pro", "Learn more"] {
            let link = browser.see_text(".upsell a", words).await;
            let address = link.attr("href").await.unwrap().unwrap_or_default();
            assert!(address.starts_with("https://"), "{words}: {address}");
        }
        browser
            .see_text(".upsell button", "Hide for 30 days")
            .await
            .click()
            .await
            .unwrap();
        browser
            .wait_until("it is gone", "return document.querySelector('.upsell') === null")
            .await;
        browser.go(&format!("/agents/{}/key-vault", agent.id)).await;
        assert_eq!(browser.count(".upsell").await, 0);
    })
    .await;
}
