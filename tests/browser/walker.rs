//! Every page of the console, wide and narrow, light and dark: looked at by a machine, and kept as pictures.

use std::collections::BTreeMap;

use aim_core::Role;
use aim_tests::{PageAddress, Scene};

use serde_json::json;

use super::{
    browser::{Browser, in_a_browser},
    judge::{barriers, noise, overhang, traffic},
    world,
};

const DESK: (u32, u32) = (1440, 900);
const TELEPHONE: (u32, u32) = (360, 740);

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_sound_at_any_width_in_light_and_dark() {
    let app = world::app().await;
    let scene = Scene::new(&app).await;
    let pages = scene.pages().await;
    in_a_browser("walker", &app, async |browser| {
        browser.sign_in(&app, Role::Admin).await;
        let mut wrong = Vec::new();
        for page in &pages {
            wrong.extend(look(browser, page).await);
        }
        // Each fault once, with the pages that have it.
        let mut faults: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (view, fault) in wrong {
            faults.entry(fault).or_default().push(view);
        }
        let told: Vec<String> = faults
            .iter()
            .map(|(fault, views)| format!("{fault}\n    on {}", views.join(", ")))
            .collect();
        assert!(told.is_empty(), "{} faults:\n{}", told.len(), told.join("\n"));
    })
    .await;
}

/// What is wrong with the page, with the view in which it is.
async fn look(browser: &Browser, page: &PageAddress) -> Vec<(String, String)> {
    let mut wrong = Vec::new();
    for (form, (width, height)) in [("wide", DESK), ("narrow", TELEPHONE)] {
        browser.resize(width, height).await;
        for scheme in ["light", "dark"] {
            browser.prefer(scheme).await;
            // What is in the cache would make the first page look cheap.
            let _ = browser.devtools("Network.clearBrowserCache", json!({})).await;
            let _ = (browser.complaints().await, browser.network().await);
            browser.go(&page.target).await;
            let name = picture_name(&page.target, form, scheme);
            browser.picture(&name).await;
            let mut found = noise(browser).await;
            found.extend(traffic(browser).await);
            found.extend(overhang(browser).await);
            found.extend(barriers(browser).await);
            wrong.extend(found.into_iter().map(|fault| (name.clone(), fault)));
        }
    }
    wrong
}

/// Ids differ from run to run; pictures keep their names.
fn picture_name(target: &str, form: &str, scheme: &str) -> String {
    let words: Vec<&str> = target
        .split('/')
        .filter(|part| !part.is_empty())
        .map(|part| if part.len() == 36 { "one" } else { part })
        .collect();
    let page = if words.is_empty() {
        "start".to_owned()
    } else {
        words.join("-")
    };
    format!("{page}-{form}-{scheme}")
}
