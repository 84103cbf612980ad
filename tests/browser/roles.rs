//! A viewer sees, and cannot act; what an agent talks to is removed at once, and can be had back.

use aim_core::Role;
use aim_tests::{Scene, TestApp};

use super::{browser::in_a_browser, judge::assert_sound, world};

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_is_offered_nothing_that_the_viewer_may_not_do() {
    let app = world::app().await;
    let scene = Scene::new(&app).await;
    let pages = scene.pages().await;
    in_a_browser("viewer", &app, async |browser| {
        browser.sign_in(&app, Role::Viewer).await;
        for page in &pages {
            let may = page.permission.is_some_and(|permission| permission.minimum == Role::Viewer);
            // What is one's own may be changed by anybody.
            if !may || page.target == "/profile" {
                continue;
            }
            browser.go(&page.target).await;
            let offered = browser
                .run(
                    "return [...document.querySelectorAll('main [data-api]')].map(element => element.dataset.api)
                       .filter(api => !api.startsWith('GET ') && !api.includes('/users/me/') && !api.includes('/auth/'))",
                )
                .await;
            assert_eq!(offered, serde_json::json!([]), "{}", page.target);
        }
        browser.go("/users").await;
        browser.see_text("main", "users:read").await;
        // The browser complains of the status.
        let _ = browser.complaints().await;
        assert_sound(browser, "a refusal").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mcp_servers_are_removed_together_and_had_back_by_undo() {
    let app = world::app().await;
    let scene = Scene::new(&app).await;
    in_a_browser("bulk-remove", &app, async |browser| {
        browser.sign_in(&app, Role::Admin).await;
        browser
            .go(&format!("/agents/{}/mcp-servers", scene.agent.id))
            .await;
        browser.see("table[data-select]").await;
        assert_sound(browser, "the MCP servers of an agent").await;
        assert_eq!(browser.count("table[data-select] tbody tr").await, 2);
        browser
            .click("table[data-select] thead input[type=checkbox]")
            .await;
        browser
            .click("[data-selection] button.danger, [data-selection] button[type=submit]")
            .await;
        let question = browser.see("dialog[open]").await.text().await.unwrap();
        assert!(
            question.contains("files") && question.contains("ledger"),
            "{question}"
        );
        browser
            .see_text("dialog[open] button.primary, dialog[open] button.danger", "")
            .await
            .click()
            .await
            .unwrap();
        let connected = async || {
            let viewer = app.user(Role::Viewer).await;
            let list = viewer.get(&scene.agent.path("/mcp-servers")).await.expect(200);
            list["mcp_servers"].as_array().unwrap().len()
        };
        let undo = browser.see_text(".toast button", "Undo").await;
        assert_eq!(connected().await, 0);
        undo.click().await.unwrap();
        browser
            .wait_until(
                "they are back",
                "return document.querySelectorAll('table[data-select] tbody tr').length === 2",
            )
            .await;
        assert_eq!(connected().await, 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trends_of_trust_have_data_once_agents_have_acted() {
    let app = TestApp::builder().start_on_sqlite().await;
    let agent = app.agent("ledger-agent", &["db:read"]).await;
    let _ = app.user(Role::Viewer).await;
    world::days(&app, &agent, 5).await;
    let score = app
        .user(Role::Viewer)
        .await
        .get(&agent.path("/trust-score"))
        .await
        .expect(200);
    assert!(score["trust_score"].is_number(), "{score:#}");
    in_a_browser("trends", &app, async |browser| {
        browser.sign_in(&app, Role::Viewer).await;
        browser.go("/trust").await;
        browser.see("main svg[role=img]").await;
        assert_sound(browser, "the trends of trust").await;
        browser.picture("trust-with-data").await;
        browser.go(&format!("/agents/{}/trust", agent.id)).await;
        browser.see("main svg[role=img]").await;
        assert_sound(browser, "the trust of an agent").await;
        browser.picture("agent-trust-with-data").await;
    })
    .await;
}
