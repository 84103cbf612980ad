//! `aim vault` and `aim agent-key` with the real program against a real server: what each says when it is done, and with which
//! exit code and words it is refused. Import, export and what belongs to them: `vault_transfer`.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use aim::composition;
use aim_client::{Client, KeyFolder, NewAgent, SecretString};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{Installation, Node, PASSWORD, binary};

const VALUE: &str = "sk_live_canary_4711_commands";
const PASSPHRASE: &str = "canary of seven words that nobody guesses";
const NEXT_PASSPHRASE: &str = "canary of eight words that nobody ever guesses";
const REASON: &str = "the first start of the shop";

struct Scene {
    installation: Installation,
    node: Node,
    machine: TempDir,
}

#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    /// What it printed, once it is sure that it succeeded and complained of nothing.
    #[track_caller]
    fn done(&self) -> &str {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{self:?}");
        self.out.trim_end_matches('\n')
    }

    /// Exit code 1, a line on standard error with these words, and nothing on standard output.
    #[track_caller]
    fn refused(&self, words: &[&str]) {
        assert_eq!((self.code, self.out.as_str()), (Some(1), ""), "{self:?}");
        assert!(self.err.starts_with("aim: "), "{self:?}");
        assert!(words.iter().all(|words| self.err.contains(words)), "{self:?}");
        for secret in [VALUE, PASSPHRASE, NEXT_PASSPHRASE] {
            assert!(!self.err.contains(secret), "{self:?}");
        }
    }
}

impl Said {
    /// Wrong usage: exit code 1, nothing done, and the word that is no argument. What is secret comes by standard input
    /// alone, so that it stands in no list of processes.
    #[track_caller]
    fn is_misused(&self, word: &str) {
        assert_eq!((self.code, self.out.as_str()), (Some(1), ""), "{self:?}");
        assert!(
            self.err.starts_with("error: ") && self.err.contains(word),
            "{self:?}"
        );
    }
}

impl Scene {
    async fn new(installation: Installation) -> Self {
        let node = installation.start().await;
        Self {
            installation,
            node,
            machine: TempDir::new().unwrap(),
        }
    }

    async fn restarted(self) -> Self {
        let Self {
            installation,
            node,
            machine,
        } = self;
        drop(node);
        Self {
            node: installation.start().await,
            installation,
            machine,
        }
    }

    /// `aim GROUP …` with the administrator's key, and what is given to it on standard input.
    fn aim(&self, arguments: &[&str], input: &str) -> Said {
        self.aim_by(&self.installation.api_key, arguments, input)
    }

    fn vault(&self, arguments: &[&str], input: &str) -> Said {
        self.aim(&[&["vault"], arguments].concat(), input)
    }

    fn aim_by(&self, api_key: &str, arguments: &[&str], input: &str) -> Said {
        let mut child = self
            .command(arguments)
            .env("AIM_API_KEY", api_key)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // While it runs or has just ended, its line in the list of processes holds none of what it was given.
        let line = fs::read(format!("/proc/{}/cmdline", child.id())).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        for secret in [
            VALUE,
            PASSPHRASE,
            NEXT_PASSPHRASE,
            "aim_wrap_",
            "aim_agent_",
            "aim_org_",
        ] {
            assert!(!line.contains(secret), "{line}");
        }
        // What takes no input may have ended by now.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        Said {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command
            .args(arguments)
            .args(["--server", self.node.admin.server()])
            .env_remove("AIM_API_KEY")
            .env("XDG_CONFIG_HOME", self.machine.path())
            .current_dir(self.machine.path());
        command
    }

    fn path(&self, name: &str) -> PathBuf {
        self.machine.path().join(name)
    }

    async fn put(&self, path: &str, value: &str) -> u16 {
        let target = format!("/api/v1/vault/secrets/{path}");
        let body = json!({"kind": "api_key", "fields": {"value": value}});
        let request = self.node.admin.prepare(Method::PUT, &target, Some(&body));
        self.node.admin.send(request.unwrap()).await.unwrap().status
    }

    /// An organisation key with fewer permissions than the administrator's.
    async fn viewer(&self) -> String {
        let body = json!({"name": "looks", "role": "viewer"});
        let made = self.node.post("/api/v1/api-keys", body).await;
        made["api_key"].as_str().unwrap().to_owned()
    }

    /// An agent that may read what is under `payments/`, with its key on this machine.
    async fn agent(&self, name: &str) -> String {
        let identity = self
            .node
            .admin
            .create_agent(&NewAgent::named(name))
            .await
            .unwrap();
        KeyFolder::at(self.path("aim/agents")).save(&identity).unwrap();
        let grants = format!("/api/v1/agents/{}/capabilities", identity.agent_id);
        let scope = json!({"resources": ["payments/**"]});
        let _ = self
            .node
            .post(&grants, json!({"capability": "secret:read", "scope": scope}))
            .await;
        identity.agent_id.to_string()
    }

    /// A person has it that values are shown for a reason, or to nobody.
    async fn shows_values(&self, mode: &str) {
        let door = &self.node.admin;
        let credentials = json!({"email": "admin@example.com", "password": PASSWORD});
        let signed_in = self.node.post("/api/v1/auth/login", credentials).await;
        let person = Client::builder()
            .server(door.server())
            .bearer(SecretString::from(signed_in["access_token"].as_str().unwrap()))
            .build()
            .unwrap();
        let body = json!({ "mode": mode });
        let set: Value = person
            .call(Method::PUT, "/api/v1/vault/reveal-settings", Some(&body))
            .await
            .unwrap();
        assert_eq!(set["mode"], mode);
    }

    /// Nothing of what was handled stands in the server's log, and its audit log is intact.
    fn is_clean(&self, secrets: &[&str]) {
        let log = self.node.log();
        for secret in [&[VALUE, PASSPHRASE, NEXT_PASSPHRASE], secrets].concat() {
            assert!(!log.contains(secret), "{log}");
        }
        let (intact, said) = self.installation.audit();
        assert!(intact, "{said}");
    }
}

/// The same on both databases.
macro_rules! on_both_databases {
    ($($name:ident: $sqlite:ident, $postgres:ident;)+) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $sqlite() {
            if composition::edition_name() == "premium" {
                $name(Scene::new(Installation::sqlite()).await).await;
            }
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn $postgres() {
            if composition::edition_name() != "premium" {
                return;
            }
            if let Some(installation) = Installation::postgres().await {
                $name(Scene::new(installation).await).await;
            }
        }
    )+};
}

on_both_databases! {
    the_vault_is_sealed_opened_and_its_keys_exchanged:
        the_vault_is_sealed_opened_and_its_keys_exchanged_on_sqlite,
        the_vault_is_sealed_opened_and_its_keys_exchanged_on_postgres;
    a_token_hands_a_secret_over_once:
        a_token_hands_a_secret_over_once_on_sqlite,
        a_token_hands_a_secret_over_once_on_postgres;
    keys_of_agents_are_listed_recognised_rotated_and_revoked:
        keys_of_agents_are_listed_recognised_rotated_and_revoked_on_sqlite,
        keys_of_agents_are_listed_recognised_rotated_and_revoked_on_postgres;
}

async fn the_vault_is_sealed_opened_and_its_keys_exchanged(scene: Scene) {
    scene
        .vault(&["seal"], "")
        .refused(&["there is no root key yet, and nothing to seal", "resource.state"]);
    assert_eq!(scene.put("payments/stripe/live", VALUE).await, 201);

    let said = scene.vault(&["status"], "");
    let (first, keys) = said.done().split_once('\n').unwrap();
    assert!(
        first.starts_with("the vault is open, its root key of a file ("),
        "{first}"
    );
    assert!(
        keys.contains("wrap  current") && keys.contains("1 versions"),
        "{keys}"
    );
    assert!(
        keys.contains("index current") && keys.contains("1 secrets"),
        "{keys}"
    );
    let said = scene.vault(&["status", "--json"], "");
    let status: Value = serde_json::from_str(said.done()).unwrap();
    assert_eq!(
        (&status["state"], &status["rotation"]["percent"]),
        (&json!("open"), &json!(100))
    );
    let first_root = status["root_key_id"].as_str().unwrap().to_owned();

    // The organisation's keys: another one is current, and the one before is gone.
    let key_of = |status: &str, purpose: &str| {
        let line = status.lines().find(|line| line.starts_with(purpose));
        line.unwrap().split_whitespace().nth(2).unwrap().to_owned()
    };
    for purpose in ["wrap", "index"] {
        let before = key_of(keys, purpose);
        let said = scene.vault(&["rotate", "--purpose", purpose, "--wait"], "");
        let after = said.done();
        assert_ne!(key_of(after, purpose), before, "{after}");
        assert!(!after.contains(&before) && !after.contains("to go"), "{after}");
    }

    // Who may not is told so; who is nobody, too; and where no server is.
    let viewer = scene.viewer().await;
    for command in ["seal", "rotate", "rekey"] {
        scene
            .aim_by(&viewer, &["vault", command], "")
            .refused(&["[403 auth.forbidden"]);
    }
    scene
        .aim_by("", &["vault", "status"], "")
        .refused(&["no credentials: name a file with --api-key-file"]);
    scene
        .aim_by("aim_org_wrong", &["vault", "status"], "")
        .refused(&["[401 "]);
    let shared = scene.path("shared");
    fs::write(&shared, &scene.installation.api_key).unwrap();
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o644)).unwrap();
    scene
        .vault(&["status", "--api-key-file", "shared"], "")
        .refused(&["shared: "]);
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o600)).unwrap();
    let said = scene.aim_by("", &["vault", "status", "--api-key-file", "shared"], "");
    assert!(said.done().starts_with("the vault is open"));
    let nowhere = Command::new(binary())
        .args(["vault", "status", "--server", "http://127.0.0.1:1"])
        .env("AIM_API_KEY", &scene.installation.api_key)
        .output()
        .unwrap();
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&nowhere.stderr).contains("the server http://127.0.0.1:1 did not answer")
    );

    // Sealed, and what that means; opened again.
    let said = scene.vault(&["seal"], "");
    assert!(
        said.done()
            .starts_with("the vault is sealed, its root key of a file"),
        "{said:?}"
    );
    assert!(
        said.out.contains("aim vault unseal"),
        "it says what opens it: {said:?}"
    );
    assert_eq!(scene.put("payments/stripe/live", VALUE).await, 503);
    scene
        .vault(&["seal"], "")
        .refused(&["the vault is sealed already", "[409 resource.state"]);
    scene.vault(&["rotate"], "").refused(&["[503 vault.sealed"]);
    let scene = scene.restarted().await;
    assert!(
        scene
            .vault(&["status"], "")
            .done()
            .starts_with("the vault is sealed")
    );
    assert!(
        scene
            .vault(&["unseal"], "")
            .done()
            .starts_with("the vault is open")
    );
    scene.vault(&["unseal"], "").refused(&["[409 resource.state"]);
    assert_eq!(scene.put("payments/stripe/live", VALUE).await, 201);

    // Another root key of the same sort, then of a passphrase, which no argument takes.
    let said = scene.vault(&["rekey"], "");
    assert!(
        said.done()
            .starts_with("the vault is open, its root key of a file ("),
        "{said:?}"
    );
    assert!(!said.out.contains(&first_root), "{said:?}");
    let to_passphrase = ["rekey", "--provider", "passphrase"];
    scene
        .vault(&to_passphrase, "")
        .refused(&["standard input holds no passphrase"]);
    scene
        .vault(&to_passphrase, "too short\n")
        .refused(&["20 characters", "[422 request.field_invalid"]);
    let said = scene.vault(&to_passphrase, &format!("{PASSPHRASE}\n"));
    assert!(
        said.done()
            .starts_with("the vault is open, its root key of a passphrase ("),
        "{said:?}"
    );
    scene.vault(&["unseal", "words"], "").is_misused("words");
    let scene = scene.restarted().await;
    assert!(
        scene
            .vault(&["status"], "")
            .done()
            .starts_with("the vault is sealed, its root key of a passphrase")
    );
    scene
        .vault(&["unseal"], "")
        .refused(&["standard input holds no passphrase"]);
    scene
        .vault(&["unseal"], &format!("{NEXT_PASSPHRASE}\n"))
        .refused(&["(at passphrase)", "[422 request.field_invalid"]);
    let said = scene.vault(&["unseal"], &format!("{PASSPHRASE}\r\n"));
    assert!(
        said.done()
            .starts_with("the vault is open, its root key of a passphrase"),
        "{said:?}"
    );
    let said = scene.vault(&["rekey"], NEXT_PASSPHRASE);
    assert!(
        said.done()
            .starts_with("the vault is open, its root key of a passphrase"),
        "{said:?}"
    );
    assert_eq!(scene.put("payments/stripe/live", VALUE).await, 201);
    let found = json!({"value": VALUE});
    let found = scene.node.post("/api/v1/vault/find-value", found).await;
    assert_eq!(
        found["found"], true,
        "what was written under the first keys is there"
    );
    scene.is_clean(&[]);
}

async fn a_token_hands_a_secret_over_once(scene: Scene) {
    let reader = scene.agent("reader").await;
    let _ = scene.agent("other").await;
    assert_eq!(scene.put("payments/stripe/live", VALUE).await, 201);
    let wrap = ["wrap", "payments/stripe/live", "--reason", REASON];

    // For whoever brings it only where a person may see a value; for one agent always.
    scene.vault(&wrap, "").refused(&[
        "this organisation shows values to nobody, and whoever brings this token would see one",
        "[409 resource.state",
    ]);
    scene.shows_values("reason").await;

    // Looked at, not used with another path, used once.
    let said = scene.vault(&wrap, "");
    let token = said.done().to_owned();
    assert!(
        token.starts_with("aim_wrap_") && !token.contains(char::is_whitespace),
        "{token}"
    );
    let unwrap = |arguments: &[&str], token: &str| {
        scene.aim_by("", &[&["vault", "unwrap"], arguments].concat(), token)
    };
    unwrap(&["--expect", "payments/stripe/test"], &token).refused(&[
        "the token was made for payments/stripe/live, not for payments/stripe/test; it was not used",
    ]);
    let said = unwrap(&["--expect", "payments/stripe/live", "--field", "value"], &token);
    assert_eq!(
        (said.code, said.out.as_str()),
        (Some(0), VALUE),
        "the value and nothing else"
    );
    unwrap(&[], &token).refused(&["[410 secret.wrap_used", "handed its secret over already"]);
    unwrap(&[], "").refused(&["standard input holds no token"]);
    unwrap(&[], "aim_wrap_no").refused(&["(at token)"]);
    unwrap(&["a-token"], "").is_misused("a-token");

    scene.shows_values("second_person").await;

    // Of an agent that may read, for one agent alone; as JSON.
    let said = scene.aim_by(
        "",
        &[
            "vault",
            "wrap",
            "payments/stripe/live",
            "--agent",
            "reader",
            "--for-agent",
            &reader,
            "--json",
        ],
        "",
    );
    let made: Value = serde_json::from_str(said.done()).unwrap();
    assert_eq!(made["creation_path"], "payments/stripe/live");
    let token = made["token"].as_str().unwrap();
    for arguments in [&[][..], &["--agent", "other"]] {
        unwrap(arguments, token).refused(&["no such token is good here", "[404 resource.not_found"]);
    }
    unwrap(&["--agent", "nobody"], token).refused(&["nobody"]);
    unwrap(&["--agent", "reader", "--field", "none"], token).refused(&["the secret has no field none"]);
    let said = scene.vault(&[&wrap[..], &["--for-agent", &reader]].concat(), "");
    let said = unwrap(&["--agent", "reader"], said.done());
    let secret: Value = serde_json::from_str(said.done()).unwrap();
    assert_eq!(secret, json!({"kind": "api_key", "fields": {"value": VALUE}}));

    scene.shows_values("reason").await;

    // Refusals: no reason, no permission, no such secret, a denial.
    scene
        .vault(&["wrap", "payments/stripe/live"], "")
        .refused(&["(at reason)"]);
    scene
        .vault(&["wrap", "payments/none", "--reason", REASON], "")
        .refused(&["[404 resource.not_found"]);
    scene
        .vault(&["wrap", "../x", "--reason", REASON], "")
        .refused(&["[422 request.field_invalid"]);
    let viewer = scene.viewer().await;
    scene
        .aim_by(
            &viewer,
            &["vault", "wrap", "payments/stripe/live", "--reason", REASON],
            "",
        )
        .refused(&["[403 auth.forbidden"]);
    scene
        .aim_by("", &["vault", "wrap", "private/key", "--agent", "reader"], "")
        .refused(&["may not read private/key", "(decision "]);
    let slow = json!({"capability": "secret:read", "effect": "require_approval", "scope": {"resources": ["slow/*"]}});
    let _ = scene
        .node
        .post(&format!("/api/v1/agents/{reader}/capabilities"), slow)
        .await;
    scene
        .aim_by("", &["vault", "wrap", "slow/key", "--agent", "reader"], "")
        .refused(&["a person has to approve the read of slow/key", "(decision "]);
    let _ = scene.vault(&["seal"], "");
    scene.vault(&wrap, "").refused(&["[503 vault.sealed"]);
    scene.is_clean(&["aim_wrap_"]);
}

async fn keys_of_agents_are_listed_recognised_rotated_and_revoked(scene: Scene) {
    let agent = scene.agent("reader").await;
    let keys = |arguments: &[&str], input: &str| scene.aim(&[&["agent-key"], arguments].concat(), input);
    assert_eq!(keys(&["list"], "").done(), "no keys");
    let made = scene
        .node
        .post(
            &format!("/api/v1/agents/{agent}/api-keys"),
            json!({"name": "ci", "capabilities": ["secret:read"], "expires_in_days": 7}),
        )
        .await;
    let (key, token) = (made["id"].as_str().unwrap(), made["api_key"].as_str().unwrap());

    let said = keys(&["list", "--agent", &agent, "--status", "active"], "");
    let line = said.done();
    assert!(line.starts_with(&format!("{key}  active  ")), "{line}");
    assert!(
        line.ends_with("ci  (reader, last used -)") && !line.contains(token),
        "{line}"
    );
    assert_eq!(keys(&["list", "--status", "revoked"], "").done(), "no keys");
    let said = keys(&["list", "--json"], "");
    let list: Value = serde_json::from_str(said.done()).unwrap();
    assert_eq!(list["total"], 1);

    // Found somewhere: it is ours; or it only looks so; or it is none.
    let said = keys(&["recognise"], &format!("  {token}\n"));
    assert!(
        said.done()
            .contains(&format!("\nci of reader: active, id {key}, last used - from -")),
        "{said:?}"
    );
    assert!(!said.out.contains(token), "{said:?}");
    let said = keys(&["recognise"], "nothing of the sort");
    assert!(said.done().starts_with("this is no key of AIM's"), "{said:?}");
    keys(&["recognise"], "\n").refused(&["standard input holds no text"]);
    keys(&["recognise", "a-token"], "").is_misused("a-token");

    // The new one alone on standard output, and at once the old one is worth nothing.
    let said = keys(&["rotate", &agent, key, "--overlap-seconds", "0"], "");
    let next = said.done();
    assert!(
        next.starts_with("aim_agent_") && next != token && !next.contains(char::is_whitespace),
        "{next}"
    );
    assert!(keys(&["recognise"], next).done().contains("ci of reader: active"));
    assert!(!keys(&["recognise"], token).done().contains("reader: active"));
    let said = keys(&["list", "--status", "active"], "");
    let id = said.done().split_whitespace().next().unwrap();
    assert_eq!(keys(&["revoke", &agent, id], "").done(), "the key is revoked");
    assert!(
        keys(&["recognise"], next)
            .done()
            .contains("ci of reader: revoked")
    );

    let unknown = "018f4b3e-0000-7000-8000-000000000001";
    keys(&["revoke", &agent, unknown], "").refused(&["[404 resource.not_found"]);
    keys(&["rotate", &agent, unknown], "").refused(&["[404 resource.not_found"]);
    keys(&["rotate", &agent, id], "").refused(&["[409 "]);
    keys(&["revoke", &agent, "no-id"], "").is_misused("no-id");
    let viewer = scene.viewer().await;
    scene
        .aim_by(&viewer, &["agent-key", "revoke", &agent, id], "")
        .refused(&["[403 auth.forbidden"]);
    scene
        .aim_by("", &["agent-key", "list"], "")
        .refused(&["no credentials: name a file with --api-key-file"]);
    scene.is_clean(&[token, next]);
}
