//! The violations' page: filters, the file of exactly what is filtered, evidence, triage.

use std::collections::BTreeSet;

use aim_core::Role;
use serde_json::Value;

use super::{browser::in_a_browser, judge::assert_sound, world};

#[tokio::test(flavor = "multi_thread")]
async fn the_downloaded_file_holds_exactly_what_the_filter_selects_in_the_api() {
    let app = world::app().await;
    let agent = world::denied_agent(&app, "ledger-agent").await;
    let _ = world::denied_agent(&app, "other-agent").await;
    in_a_browser("violations-file", &app, async |browser| {
        browser.sign_in(&app, Role::Viewer).await;
        browser.go("/violations?view=single").await;
        assert_sound(browser, "/violations?view=single").await;
        browser.fill("[name=capability]", "db:drop").await;
        browser.fill("[name=agent]", "ledger-agent").await;
        browser.click("form.filters button[type=submit]").await;
        browser
            .wait_until(
                "the filter is in the address",
                "return location.search.includes('ledger-agent')",
            )
            .await;
        browser.see_text(".list-total", "3 violations").await;
        assert_eq!(browser.count("tbody tr").await, 3);
        browser.click("a[download]").await;
        let file = browser.downloaded().await;
        let mut reader = csv::Reader::from_reader(file.as_bytes());
        let ids: BTreeSet<String> = reader
            .records()
            .map(|record| record.unwrap()[0].to_owned())
            .collect();
        let viewer = app.user(Role::Viewer).await;
        let list = viewer
            .get(&agent.path("/violations?capability=db:drop&limit=100"))
            .await
            .expect(200);
        let wanted: BTreeSet<String> = list["violations"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["id"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(ids, wanted);
        assert_eq!(list["total"], 3);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn repeats_are_resolved_from_their_evidence_and_a_viewer_cannot() {
    let app = world::app().await;
    let agent = world::denied_agent(&app, "ledger-agent").await;
    let _ = app.user(Role::Viewer).await;
    in_a_browser("violations-triage", &app, async |browser| {
        browser.sign_in(&app, Role::Manager).await;
        browser.go(&format!("/agents/{}/violations", agent.id)).await;
        let row = browser.see_text("tbody tr", "db:drop").await;
        assert!(
            row.text().await.unwrap().contains('3'),
            "{}",
            row.text().await.unwrap()
        );
        row.find(thirtyfour::By::Css(".row-link"))
            .await
            .unwrap()
            .click()
            .await
            .unwrap();
        browser
            .see_text("dialog.drawer[open]", "No grant of the agent covers db:drop")
            .await;
        browser.see_text("dialog.drawer[open]", "orders/2026").await;
        assert_sound(browser, "the evidence").await;
        browser
            .see_text("dialog.drawer[open] summary", "Resolve")
            .await
            .click()
            .await
            .unwrap();
        browser
            .fill("#field-resolve-reason", "the job is switched off")
            .await;
        browser
            .click("form[data-api$='/resolve'] button[type=submit]")
            .await;
        browser
            .see_text("dialog.drawer[open]", "the job is switched off")
            .await;
        let list = app
            .user(Role::Viewer)
            .await
            .get("/api/v1/violations?state=resolved")
            .await
            .expect(200);
        assert_eq!(list["total"], 3, "{list:#}");

        browser.sign_in(&app, Role::Viewer).await;
        let id = list["violations"][0]["id"].as_str().unwrap();
        browser.go(&format!("/violations/{id}")).await;
        browser.see_text("main", "the job is switched off").await;
        assert_eq!(
            browser.count("main [data-api]").await,
            0,
            "a viewer is offered to act"
        );
        let refused = browser
            .run_async(&format!(
                "const answer = await fetch('/api/v1/violations/{id}/reopen', {{method: 'POST', \
                 headers: {{'content-type': 'application/json'}}, body: '{{}}'}}); return answer.status;"
            ))
            .await;
        assert_eq!(refused, Value::from(403));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_severity_is_chosen_by_a_click_and_stays_in_the_address() {
    let app = world::app().await;
    let _ = world::denied_agent(&app, "ledger-agent").await;
    in_a_browser("violations-severity", &app, async |browser| {
        browser.sign_in(&app, Role::Viewer).await;
        browser.go("/violations?view=single&range=24h").await;
        let all = browser.count("tbody tr").await;
        browser.click("[name=severity][value=critical]").await;
        browser
            .wait_until(
                "the page shows critical ones",
                "return location.search.includes('severity=critical')",
            )
            .await;
        let critical = browser.count("tbody tr").await;
        assert!(critical < all, "{critical} of {all}");
        assert_eq!(browser.count("tbody .severity-critical").await, critical);
        let checked = browser
            .run("return document.querySelector('[value=critical]').checked")
            .await;
        assert_eq!(checked, Value::from(true));
        let place = browser.place().await;
        assert!(
            place.contains("view=single") && place.contains("range=24h"),
            "{place}"
        );
    })
    .await;
}
