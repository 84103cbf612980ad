//! A browser of a test's own: its driver, its window, and what it said.

use std::{
    io::{BufRead, BufReader},
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use aim_core::Role;
use aim_tests::{TestApp, workspace};
use futures_util::FutureExt;
use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::{prelude::*, session::scriptret::ScriptRet};

/// How long anything may take to appear: long, for a machine that is busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked for.
const LOOK: Duration = Duration::from_millis(50);

/// Runs a test in a browser on a server of its own. When the test fails, what the browser showed is saved.
pub async fn in_a_browser<F>(name: &str, app: &TestApp, test: F)
where
    F: AsyncFnOnce(&Browser),
{
    let Some(browser) = Browser::open(format!("http://{}", app.authority())).await else {
        return;
    };
    let ended = AssertUnwindSafe(test(&browser)).catch_unwind().await;
    if ended.is_err() {
        let picture = screenshots().join(format!("failed-{name}.png"));
        let _ = browser.driver.screenshot(&picture).await;
        let address = browser.driver.current_url().await.map(|url| url.to_string());
        let said: Vec<String> = browser.complaints().await;
        eprintln!("{name}: at {address:?}, see {}; {said:#?}", picture.display());
    }
    browser.close().await;
    if let Err(panic) = ended {
        std::panic::resume_unwind(panic);
    }
}

/// Where pictures go.
pub fn screenshots() -> PathBuf {
    let folder = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| workspace::root().join("target"), PathBuf::from)
        .join("screenshots");
    std::fs::create_dir_all(&folder).expect("a folder for screenshots");
    folder
}

/// A browser.
pub struct Browser {
    /// Its driver's interface.
    pub driver: WebDriver,
    /// Scheme, host and port of the server.
    pub origin: String,
    process: Process,
    downloads: TempDir,
}

/// The driver's process, which ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A driver on a port that it chose; nothing where there is no browser and none is required.
fn start_driver() -> Option<(Process, u16)> {
    let required = std::env::var("AIM_TEST_BROWSER").is_ok_and(|word| word == "required");
    let started = Command::new("chromedriver")
        .arg("--port=0")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) if required => panic!("chromedriver: {error}; install chromium and chromium-driver"),
        Err(error) => {
            eprintln!("skipped, for want of a browser: chromedriver: {error}");
            return None;
        }
    };
    let output = child.stdout.take().expect("it is piped");
    let process = Process(child);
    let mut lines = BufReader::new(output).lines();
    let port = lines.find_map(|line| {
        let line = line.ok()?;
        let (_, rest) = line.split_once("started successfully on port ")?;
        rest.trim_end_matches('.').parse().ok()
    });
    // Whoever prints must be read, or would wait for it.
    std::thread::spawn(move || lines.for_each(drop));
    Some((process, port.expect("the driver says its port")))
}

impl Browser {
    async fn open(origin: String) -> Option<Self> {
        let (process, port) = start_driver()?;
        let downloads = tempfile::tempdir().expect("a folder for downloads");
        let mut wish = DesiredCapabilities::chrome();
        for argument in [
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--hide-scrollbars",
            "--lang=en-GB",
            "--window-size=1440,900",
        ] {
            wish.add_arg(argument).expect("an argument");
        }
        let preferences = json!({
            "download.default_directory": downloads.path(),
            "download.prompt_for_download": false,
            "credentials_enable_service": false,
        });
        wish.add_experimental_option("prefs", preferences)
            .expect("preferences");
        wish.set(
            "goog:loggingPrefs",
            json!({"browser": "ALL", "performance": "ALL"}),
        )
        .expect("logs");
        let driver = WebDriver::new(format!("http://127.0.0.1:{port}"), wish)
            .await
            .expect("a browser");
        Some(Self {
            driver,
            origin,
            process,
            downloads,
        })
    }

    async fn close(self) {
        let _ = self.driver.quit().await;
        drop(self.process);
    }

    /// Signs the user of this role in, without the sign-in page.
    pub async fn sign_in(&self, app: &TestApp, role: Role) {
        let token = app.tenant().token(role).await;
        self.present(&token).await;
    }

    /// Presents this session from now on.
    pub async fn present(&self, token: &str) {
        // A cookie needs a page of its site.
        self.driver
            .goto(format!("{}/health/live", self.origin))
            .await
            .expect("a page");
        let _ = self.driver.delete_all_cookies().await;
        let mut cookie = Cookie::new("aim_session", token);
        cookie.set_path("/");
        self.driver.add_cookie(cookie).await.expect("a cookie");
        let _ = self.driver.browser_log().await;
    }

    /// Goes to a path of the server, and waits until the page has loaded.
    pub async fn go(&self, path: &str) {
        self.driver
            .goto(format!("{}{path}", self.origin))
            .await
            .expect("the page loads");
    }

    /// The path and query at which it is.
    pub async fn place(&self) -> String {
        let url = self.driver.current_url().await.expect("an address");
        url.as_str().trim_start_matches(&self.origin).to_owned()
    }

    /// The element, once it is there and to be seen.
    pub async fn see(&self, css: &str) -> WebElement {
        self.see_text(css, "").await
    }

    /// The element with this text in it, once it is there and to be seen.
    pub async fn see_text(&self, css: &str, text: &str) -> WebElement {
        let seen = tokio::time::timeout(PATIENCE, async {
            loop {
                if let Some(found) = self.seen_now(css, text).await {
                    return found;
                }
                tokio::time::sleep(LOOK).await;
            }
        });
        if let Ok(found) = seen.await {
            return found;
        }
        let there = format!(
            "return [...document.querySelectorAll({})].map(one => one.innerText)",
            json!(css)
        );
        panic!("{css} has no {text:?} but {:#}", self.run(&there).await);
    }

    /// The first such element that can be seen; one that goes away while it is looked at is none.
    async fn seen_now(&self, css: &str, text: &str) -> Option<WebElement> {
        for element in self.driver.find_all(By::Css(css)).await.ok()? {
            let displayed = element.is_displayed().await.unwrap_or(false);
            if displayed && (text.is_empty() || element.text().await.is_ok_and(|shown| shown.contains(text)))
            {
                return Some(element);
            }
        }
        None
    }

    /// Clicks the element, once it can be clicked.
    pub async fn click(&self, css: &str) {
        let element = self.see(css).await;
        element
            .click()
            .await
            .unwrap_or_else(|error| panic!("{css}: {error}"));
    }

    /// Puts a text into a field, in place of what stands in it.
    pub async fn fill(&self, css: &str, text: &str) {
        let field = self.see(css).await;
        field
            .clear()
            .await
            .unwrap_or_else(|error| panic!("{css}: {error}"));
        field
            .send_keys(text)
            .await
            .unwrap_or_else(|error| panic!("{css}: {error}"));
    }

    /// How many elements there are.
    pub async fn count(&self, css: &str) -> usize {
        self.driver.find_all(By::Css(css)).await.expect("a search").len()
    }

    /// Runs a function body in the page.
    pub async fn run(&self, script: &str) -> Value {
        let answer: ScriptRet = self
            .driver
            .execute(script, Vec::new())
            .await
            .unwrap_or_else(|error| panic!("{script}: {error}"));
        answer.json().clone()
    }

    /// Runs the body of an asynchronous function in the page, and answers what it returns.
    pub async fn run_async(&self, script: &str) -> Value {
        let whole = format!(
            "const done = arguments[arguments.length - 1];\n\
             (async () => {{ {script} }})().then(value => done({{value}}), error => done({{error: String(error)}}));"
        );
        let answer = self
            .driver
            .execute_async(whole, Vec::new())
            .await
            .unwrap_or_else(|error| panic!("{script}: {error}"));
        let answer = answer.json();
        assert!(answer["error"].is_null(), "{script}: {}", answer["error"]);
        answer["value"].clone()
    }

    /// Waits until the script answers true.
    pub async fn wait_until(&self, what: &str, script: &str) {
        let patience = tokio::time::timeout(PATIENCE, async {
            while self.run(script).await != json!(true) {
                tokio::time::sleep(LOOK).await;
            }
        });
        assert!(patience.await.is_ok(), "it did not happen: {what}");
    }

    /// A command of the browser's own protocol.
    pub async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.driver
            .cdp()
            .send_raw(command, parameters)
            .await
            .unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// Makes the window so wide and high, as a telephone's or a desk's.
    pub async fn resize(&self, width: u32, height: u32) {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// Light or dark, as the system would have it.
    pub async fn prefer(&self, scheme: &str) {
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    /// What is on the clipboard.
    pub async fn clipboard(&self) -> String {
        let allowed = json!({
            "origin": self.origin,
            "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"],
        });
        self.devtools("Browser.grantPermissions", allowed).await;
        let text = self
            .run_async("return await navigator.clipboard.readText();")
            .await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// The text of the file whose download was begun, once it is whole.
    pub async fn downloaded(&self) -> String {
        let whole = tokio::time::timeout(PATIENCE, async {
            loop {
                if let Some(path) = only_file(self.downloads.path()) {
                    return std::fs::read_to_string(&path).expect("the file");
                }
                tokio::time::sleep(LOOK).await;
            }
        });
        whole.await.expect("a download comes to its end")
    }

    /// Saves what can be seen, whole, as target/screenshots/{name}.png.
    pub async fn picture(&self, name: &str) {
        let picture = json!({"format": "png", "captureBeyondViewport": true});
        let picture = self.devtools("Page.captureScreenshot", picture).await;
        let bytes = base64::Engine::decode(
            &base64::engine::general_purpose::STANDARD,
            picture["data"].as_str().expect("a picture"),
        );
        std::fs::write(
            screenshots().join(format!("{name}.png")),
            bytes.expect("a picture"),
        )
        .expect("the picture is saved");
    }

    /// What the browser complained about since it was last asked: errors of scripts, refused by the policy
    /// (CSP), things that could not be loaded.
    pub async fn complaints(&self) -> Vec<String> {
        let said = self.driver.browser_log().await.unwrap_or_default();
        said.into_iter()
            .filter(|entry| entry.level == "SEVERE" || entry.level == "WARNING")
            .map(|entry| entry.message)
            .collect()
    }

    /// What went over the network since it was last asked.
    pub async fn network(&self) -> Vec<Value> {
        let entries = self
            .driver
            .get_log("performance")
            .await
            .expect("a log of the network");
        entries
            .into_iter()
            .filter_map(|entry| serde_json::from_str::<Value>(&entry.message).ok())
            .map(|entry| entry["message"].clone())
            .filter(|event| {
                event["method"]
                    .as_str()
                    .is_some_and(|method| method.starts_with("Network."))
            })
            .collect()
    }
}

fn only_file(folder: &Path) -> Option<PathBuf> {
    let mut files = std::fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()));
    let file = files.next()?;
    let begun = file.extension().is_some_and(|ending| ending == "crdownload")
        || file.file_name()?.to_string_lossy().starts_with('.');
    (!begun && files.next().is_none()).then_some(file)
}
