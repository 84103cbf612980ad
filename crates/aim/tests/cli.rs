//! The program as its users run it: exit codes, what it prints, and what it refuses.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that goes wrong shall panic"
)]

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use aim_client::{Client, KeyFolder, Rotation, SigningKey};
use serde_json::Value;

const PASSWORD: &str = "correct horse battery staple";

/// A user's home, and the installation they work with.
struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn data(&self) -> String {
        self.folder.path().join("data").display().to_string()
    }

    /// A command with this home and nothing of the environment of the tests.
    fn aim(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aim"));
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.folder.path())
            .current_dir(self.folder.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.aim(arguments).output().unwrap()
    }

    /// Runs a command with the password on its standard input.
    fn run_with_password(&self, arguments: &[&str]) -> Output {
        let mut child = self
            .aim(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        writeln!(child.stdin.take().unwrap(), "{PASSWORD}").unwrap();
        child.wait_with_output().unwrap()
    }

    fn init(&self) -> Output {
        let data = self.data();
        let email = "ada@example.com";
        self.run_with_password(&[
            "init",
            "--data",
            &data,
            "--org",
            "Example",
            "--admin-email",
            email,
            "--admin-password-stdin",
            "--json",
        ])
    }
}

/// A server that ends with the test.
struct Server {
    child: Child,
    address: String,
    printed: Vec<String>,
}

impl Server {
    fn start(home: &Home) -> Self {
        let data = home.data();
        let mut child = home
            .aim(&[
                "serve",
                "--data",
                &data,
                "--bind",
                "127.0.0.1:0",
                "--log",
                "error",
            ])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut server = Self {
            child,
            address: String::new(),
            printed: Vec::new(),
        };
        for line in lines.map_while(Result::ok) {
            let ready = line
                .split_once(" ready on ")
                .map(|(_, address)| address.to_owned());
            server.printed.push(line);
            if let Some(address) = ready {
                server.address = address;
                return server;
            }
        }
        panic!("the server ended before it was ready: {:?}", server.printed);
    }

    /// Asks the server to stop, as an operator would, and answers whether it ended well.
    fn stop(mut self) -> bool {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &id])
                .status()
                .unwrap()
                .success()
        );
        self.child.wait().unwrap().success()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already gone after `stop`.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn told(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", told(output)))
}

#[test]
fn the_version_names_the_edition_and_wrong_usage_is_an_error() {
    let home = Home::new();
    let version = told(&home.run(&["--version"]));
    assert!(
        version.starts_with("aim 0.") && version.trim_end().ends_with("y)") || version.contains("(premium)"),
        "{version}"
    );
    assert_eq!(code(&home.run(&["--help"])), 0);
    assert!(told(&home.run(&["--help"])).contains("Exit codes:"));
    for arguments in [&["bogus"][..], &["agent"], &["serve", "--bogus"]] {
        assert_eq!(code(&home.run(arguments)), 1, "{arguments:?}");
    }
}

#[test]
fn settings_that_cannot_be_are_refused_at_the_start_by_name() {
    let home = Home::new();
    let data = home.data();
    let unknown = home
        .aim(&["serve", "--data", &data])
        .env("AIM__SERVER__BNID", "x")
        .output()
        .unwrap();
    assert_eq!(code(&unknown), 1);
    assert!(
        told(&unknown).contains("server.bnid") && told(&unknown).contains("AIM__SERVER__BNID"),
        "{}",
        told(&unknown)
    );
    let bad = home.run(&["serve", "--data", &data, "--bind", "nowhere"]);
    assert_eq!(code(&bad), 1);
    assert!(told(&bad).contains("server.bind"), "{}", told(&bad));
    assert!(
        !Path::new(&data).exists(),
        "a refused start left something behind"
    );

    assert_eq!(code(&home.run(&["config", "check"])), 0);
    let shown = home
        .aim(&["config", "show"])
        .env("AIM__DATABASE__URL", "postgres://a:hunter2@h/d")
        .output()
        .unwrap();
    assert!(
        told(&shown).contains("postgres://a:redacted@h/d") && !told(&shown).contains("hunter2"),
        "{}",
        told(&shown)
    );
    let wrong_scheme = home.run(&["serve", "--data", &data, "--database-url", "mysql://h/d"]);
    assert!(
        code(&wrong_scheme) == 1 && told(&wrong_scheme).contains("database.url"),
        "{}",
        told(&wrong_scheme)
    );
}

#[test]
fn an_installation_is_set_up_once() {
    let home = Home::new();
    let first = home.init();
    assert_eq!(code(&first), 0, "{}", told(&first));
    let made = json(&first);
    let mut names: Vec<&String> = made.as_object().unwrap().keys().collect();
    names.sort_unstable();
    assert_eq!(names, ["admin_user_id", "api_key", "organization_id"]);
    assert!(made["api_key"].as_str().unwrap().starts_with("aim_live_"));
    let second = home.init();
    assert_eq!(code(&second), 1);
    assert!(told(&second).contains("set up already"), "{}", told(&second));
}

#[test]
fn the_first_start_prints_a_set_up_token_and_a_later_one_does_not() {
    let home = Home::new();
    let server = Server::start(&home);
    let printed = server.printed.join("\n");
    assert!(
        printed.contains("aim_setup_") && printed.contains(&format!("{}/api/v1/setup", server.address)),
        "{printed}"
    );
    assert!(server.stop(), "the server did not end well");

    let home = Home::new();
    assert_eq!(code(&home.init()), 0);
    let server = Server::start(&home);
    assert_eq!(server.printed.len(), 1, "{:?}", server.printed);
}

#[test]
fn an_agent_is_registered_acts_and_leaves_evidence() {
    let home = Home::new();
    let made = json(&home.init());
    let key = made["api_key"].as_str().unwrap();
    let server = Server::start(&home);
    let manage = |arguments: &[&str]| {
        home.aim(arguments)
            .env("AIM_SERVER", &server.address)
            .env("AIM_API_KEY", key)
            .output()
            .unwrap()
    };
    let agent = |arguments: &[&str]| {
        home.aim(arguments)
            .env("AIM_SERVER", &server.address)
            .output()
            .unwrap()
    };

    let nobody = agent(&["agent", "create", "reader"]);
    assert!(
        code(&nobody) == 1 && told(&nobody).contains("aim login"),
        "{}",
        told(&nobody)
    );
    let created = manage(&["agent", "create", "reader", "--type", "data_agent", "--json"]);
    assert_eq!(code(&created), 0, "{}", told(&created));
    let id = json(&created)["agent"]["id"].as_str().unwrap().to_owned();
    assert!(!told(&created).contains("PRIVATE"), "a private key was printed");
    assert!(told(&manage(&["agent", "list"])).contains("reader"));
    assert_eq!(
        code(&manage(&["agent", "create", "reader"])),
        1,
        "a second agent took the first one's key file"
    );

    let grants = [("db:read", "allow"), ("db:write", "require_approval")];
    let client = Client::builder()
        .server(&server.address)
        .api_key(key)
        .build()
        .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    for (capability, effect) in grants {
        let body = serde_json::json!({"capability": capability, "effect": effect});
        let path = format!("/api/v1/agents/{id}/capabilities");
        let granted = runtime.block_on(client.call::<Value>(reqwest::Method::POST, &path, Some(&body)));
        granted.unwrap();
    }

    let act = |action: &str| {
        agent(&[
            "agent",
            "act",
            "reader",
            action,
            "--resource",
            "customers",
            "--json",
        ])
    };
    let approved = act("db:read");
    assert_eq!(code(&approved), 0, "{}", told(&approved));
    assert_eq!(code(&act("db:drop")), 3);
    assert_eq!(code(&act("db:write")), 4);
    assert_eq!(code(&act("no such action")), 1);

    let before = json(&agent(&["agent", "show", "reader", "--json"]))["key_vault"]["fingerprint"].clone();
    assert_eq!(
        code(&agent(&["agent", "rotate", "reader", "--grace-hours", "0"])),
        0
    );
    let after = json(&agent(&["agent", "show", "reader", "--json"]))["key_vault"]["fingerprint"].clone();
    assert_ne!(before, after);
    assert_eq!(code(&act("db:read")), 0, "the new key is not in use");

    let login = home.run_with_password(&[
        "login",
        "--server",
        &server.address,
        "--email",
        "ada@example.com",
        "--password-stdin",
    ]);
    assert_eq!(code(&login), 0, "{}", told(&login));
    assert_eq!(code(&agent(&["agent", "list"])), 0, "the sign-in was not kept");

    let data = home.data();
    let report = home.run(&["audit", "verify", "--data", &data, "--json"]);
    assert_eq!(code(&report), 0, "{}", told(&report));
    let head = format!(
        "{}:{}",
        json(&report)["records"],
        json(&report)["head"].as_str().unwrap()
    );
    assert_eq!(
        code(&home.run(&["audit", "verify", "--data", &data, "--expect", &head])),
        0
    );
    let other = format!("{}:{}", json(&report)["records"], "0".repeat(64));
    assert_eq!(
        code(&home.run(&["audit", "verify", "--data", &data, "--expect", &other])),
        2
    );
    let decision = json(&approved)["id"].as_str().unwrap().to_owned();
    let replayed = home.run(&["replay", &decision, "--data", &data, "--json"]);
    assert_eq!(
        (code(&replayed), json(&replayed)["matches"].clone()),
        (0, Value::Bool(true)),
        "{}",
        told(&replayed)
    );
    assert!(server.stop());
}

#[test]
fn a_rotation_that_was_cut_short_is_found_out() {
    let home = Home::new();
    let key = json(&home.init())["api_key"].as_str().unwrap().to_owned();
    let server = Server::start(&home);
    let agent = |arguments: &[&str]| {
        home.aim(arguments)
            .env("AIM_SERVER", &server.address)
            .env("AIM_API_KEY", &key)
            .output()
            .unwrap()
    };
    assert_eq!(code(&agent(&["agent", "create", "reader"])), 0);
    let folder = KeyFolder::at(home.folder.path().join(".config/aim/agents"));
    let identity = folder.load("reader").unwrap();

    // The request never arrived: the server knows the old key only.
    folder
        .save_next(&identity.with_key(SigningKey::generate().unwrap()))
        .unwrap();
    let output = agent(&["agent", "rotate", "reader"]);
    assert!(
        code(&output) == 1 && told(&output).contains("did not happen"),
        "{}",
        told(&output)
    );
    assert_eq!(
        folder.load("reader").unwrap().fingerprint(),
        identity.fingerprint()
    );

    // The answer never arrived: the server knows the new key, and the old one is of no use any more.
    let next = SigningKey::generate().unwrap();
    folder.save_next(&identity.with_key(next.clone())).unwrap();
    let client = Client::builder().agent(identity).build().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let at_once = Rotation {
        grace_hours: Some(0),
        ..Rotation::default()
    };
    runtime.block_on(client.rotate(next.clone(), &at_once)).unwrap();
    let output = agent(&["agent", "rotate", "reader"]);
    assert_eq!(code(&output), 0, "{}", told(&output));
    assert_eq!(
        folder.load("reader").unwrap().fingerprint(),
        next.public().fingerprint()
    );
    assert!(folder.load_next("reader").unwrap().is_none());
}

#[test]
fn looking_at_nothing_is_an_error_and_makes_nothing() {
    let home = Home::new();
    let data = home.data();
    assert_eq!(code(&home.run(&["audit", "verify", "--data", &data])), 1);
    assert_eq!(
        code(&home.run(&["replay", "01a20922-3531-7f3f-8054-252d71244bf1", "--data", &data])),
        1
    );
    assert!(!Path::new(&data).exists());
}
