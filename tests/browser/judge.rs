//! What every page is held to: no complaint of the browser, nothing from elsewhere, a small first load, no
//! scrolling sideways, nothing that axe-core finds serious.

use std::sync::LazyLock;

use super::browser::Browser;

/// What a first page may cost, in bytes over the wire.
const BUDGET: f64 = 100.0 * 1024.0;

/// axe-core's source, where `AIM_TEST_AXE` names it.
static AXE: LazyLock<Option<String>> = LazyLock::new(|| {
    let required = std::env::var("AIM_TEST_BROWSER").is_ok_and(|word| word == "required");
    match std::env::var_os("AIM_TEST_AXE") {
        Some(path) => Some(std::fs::read_to_string(path).expect("AIM_TEST_AXE names a file")),
        None if required => panic!("AIM_TEST_AXE must name axe.min.js; tests/run.sh fetches it"),
        None => {
            eprintln!("AIM_TEST_AXE is not set: accessibility was not checked");
            None
        }
    }
});

/// What the browser complained about since it was last asked.
pub async fn noise(browser: &Browser) -> Vec<String> {
    browser.complaints().await
}

/// What came from another host since it was last asked, and a first load that costs too much.
pub async fn traffic(browser: &Browser) -> Vec<String> {
    let (mut wrong, mut bytes) = (Vec::new(), 0.0);
    for event in browser.network().await {
        let parameters = &event["params"];
        match event["method"].as_str() {
            Some("Network.requestWillBeSent") => {
                let url = parameters["request"]["url"].as_str().unwrap_or_default();
                let schemes = ["data:", "blob:", "about:", "chrome:"];
                let own =
                    url.starts_with(&browser.origin) || schemes.iter().any(|scheme| url.starts_with(scheme));
                wrong.extend((!own).then(|| format!("asks {url}")));
            }
            Some("Network.loadingFinished") => {
                bytes += parameters["encodedDataLength"].as_f64().unwrap_or_default();
            }
            _ => {}
        }
    }
    wrong.extend((bytes > BUDGET).then(|| format!("costs {bytes} bytes")));
    wrong
}

/// What reaches beyond the window's side.
pub async fn overhang(browser: &Browser) -> Vec<String> {
    let widths = browser
        .run(
            "const room = document.documentElement.clientWidth;
             const wide = [...document.querySelectorAll('body *')].filter(element => {
               const box = element.getBoundingClientRect();
               if (!box.width || box.right <= room + 1) return false;
               for (let up = element.parentElement; up; up = up.parentElement) {
                 if (['auto', 'scroll', 'hidden', 'clip'].includes(getComputedStyle(up).overflowX)) return false;
               }
               return true;
             }).slice(0, 5).map(element => element.outerHTML.slice(0, 160));
             return [document.documentElement.scrollWidth - room, wide];",
        )
        .await;
    let over = widths[0].as_i64().unwrap_or_default();
    let wrong = (over > 0).then(|| format!("is {over} px too wide: {}", widths[1]));
    wrong.into_iter().collect()
}

/// What axe-core finds serious.
pub async fn barriers(browser: &Browser) -> Vec<String> {
    let Some(axe) = AXE.as_deref() else {
        return Vec::new();
    };
    let _ = browser.run(axe).await;
    let found = browser
        .run_async(
            "const result = await axe.run(document, {resultTypes: ['violations'], runOnly: \
             ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']});
             return result.violations.filter(found => ['serious', 'critical'].includes(found.impact))
               .map(found => `${found.id}: ${found.help}: ` + found.nodes.slice(0, 4)
                 .map(node => node.html.slice(0, 240) + ' ' + node.failureSummary.replace(/\\s+/g, ' ')).join(' | '));",
        )
        .await;
    // axe itself may make the browser speak.
    let _ = browser.complaints().await;
    let found = found.as_array().cloned().unwrap_or_default();
    found
        .iter()
        .filter_map(|one| Some(one.as_str()?.to_owned()))
        .collect()
}

/// All of it that holds for any page at any width.
pub async fn assert_sound(browser: &Browser, page: &str) {
    let mut wrong = noise(browser).await;
    wrong.extend(overhang(browser).await);
    wrong.extend(barriers(browser).await);
    assert!(wrong.is_empty(), "{page}:\n  {}", wrong.join("\n  "));
}
