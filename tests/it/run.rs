//! `aim run` against a real server: the secrets arrive in the command and nowhere else, a denied one leaves no
//! command behind, exit codes and signals pass through.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::SocketAddr,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Instant,
};

use aim::composition;
use aim_client::{KeyFolder, NewAgent};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::process::{Installation, Node, PATIENCE, binary, until};

const STRIPE: &str = "sk_live_canary_4711_run";
const PASSWORD: &str = "p\"ss/canary 4712 run";

/// A server with secrets, and the machine of an agent that may read some of them.
struct Scene {
    installation: Installation,
    node: Node,
    machine: TempDir,
}

impl Scene {
    async fn new(installation: Installation) -> Self {
        let node = installation.start().await;
        let machine = TempDir::new().unwrap();
        let identity = node.admin.create_agent(&NewAgent::named("bot")).await.unwrap();
        let grants = format!("/api/v1/agents/{}/capabilities", identity.agent_id);
        KeyFolder::at(machine.path().join("aim/agents"))
            .save(&identity)
            .unwrap();
        let scope = json!({"resources": ["payments/**", "db/*", "tls/*", "gone/*"]});
        let _ = node
            .post(&grants, json!({"capability": "secret:read", "scope": scope}))
            .await;
        let slow = json!({"capability": "secret:read", "effect": "require_approval", "scope": {"resources": ["slow/*"]}});
        let _ = node.post(&grants, slow).await;
        let scene = Self {
            installation,
            node,
            machine,
        };
        scene
            .put(
                "payments/stripe/live",
                "api_key",
                json!({"value": "sk_live_older"}),
            )
            .await;
        scene
            .put("payments/stripe/live", "api_key", json!({"value": STRIPE}))
            .await;
        let login = json!({"username": "orders", "password": PASSWORD, "host": "db.internal"});
        scene.put("db/orders", "database", login).await;
        // 0xff 0x00 0x0a
        scene.put("tls/blob", "file", json!({"content": "/wAK"})).await;
        scene
            .put("private/key", "api_key", json!({"value": "not for the bot"}))
            .await;
        scene
            .put("slow/key", "api_key", json!({"value": "not yet for the bot"}))
            .await;
        scene
    }

    async fn put(&self, path: &str, kind: &str, fields: Value) {
        let path = format!("/api/v1/vault/secrets/{path}");
        let body = json!({"kind": kind, "fields": fields});
        let request = self.node.admin.prepare(Method::PUT, &path, Some(&body)).unwrap();
        let reply = self.node.admin.send(request).await.unwrap();
        assert_eq!(reply.status, 201, "{}", String::from_utf8_lossy(&reply.body));
    }

    /// `aim run --agent bot FLAGS -- sh -c SCRIPT`.
    fn command(&self, flags: &[&str], script: &str) -> Command {
        self.command_by("--default-signal", flags, script)
    }

    /// The same with `env` in front, which says what becomes of signals: whoever started the tests may have had some
    /// of them ignored.
    fn command_by(&self, signals: &str, flags: &[&str], script: &str) -> Command {
        let mut command = Command::new("env");
        command
            .arg(signals)
            .arg(binary())
            .args(["run", "--agent", "bot"])
            .args(flags)
            .args(["--", "/bin/sh", "-c", script])
            .env("XDG_CONFIG_HOME", self.machine.path())
            .current_dir(self.machine.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self, flags: &[&str], script: &str) -> Ended {
        Ended::from(self.command(flags, script).output().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.machine.path().join(name)
    }
}

#[derive(Debug)]
struct Ended {
    code: i32,
    out: String,
    err: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

fn is_premium() -> bool {
    composition::edition_name() == "premium"
}

#[test]
fn the_command_is_there_exactly_in_the_premium_edition() {
    let help = Command::new(binary()).arg("--help").output().unwrap();
    let listed = String::from_utf8(help.stdout)
        .unwrap()
        .lines()
        .any(|line| line.trim_start().starts_with("run "));
    assert_eq!(listed, is_premium());
    let output = Command::new(binary()).args(["run", "--help"]).output().unwrap();
    assert_eq!(output.status.success(), is_premium());
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_reach_the_command_and_nothing_else_on_sqlite() {
    if is_premium() {
        secrets_reach_the_command_and_nothing_else(Scene::new(Installation::sqlite()).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_reach_the_command_and_nothing_else_on_postgres() {
    if !is_premium() {
        return;
    }
    if let Some(installation) = Installation::postgres().await {
        secrets_reach_the_command_and_nothing_else(Scene::new(installation).await);
    }
}

fn secrets_reach_the_command_and_nothing_else(scene: Scene) {
    // What the command gets, and what its parent shows of itself to the same user.
    let script = r#"
        printf '%s|%s|%s|%s\n' "$STRIPE" "$OLDER" "$DB_PASSWORD" "$INHERITED"
        tr '\0' ' ' < /proc/$PPID/cmdline
        cat /proc/$PPID/environ 2>/dev/null | tr '\0' ' '
        exit 7
    "#;
    let mut command = scene.command(
        &[
            "--env",
            "STRIPE=payments/stripe/live",
            "--env",
            "OLDER=payments/stripe/live#value@1",
            "--env",
            "DB_PASSWORD=db/orders#password",
        ],
        script,
    );
    let ended = Ended::from(command.env("INHERITED", "yes").output().unwrap());
    assert_eq!((ended.code, ended.err.as_str()), (7, ""), "{ended:?}");
    let (first, parent) = ended.out.split_once('\n').unwrap();
    assert_eq!(first, format!("{STRIPE}|sk_live_older|{PASSWORD}|yes"));
    assert!(parent.contains("--env STRIPE=payments/stripe/live"), "{parent}");
    assert!(!parent.contains(STRIPE) && !parent.contains(PASSWORD), "{parent}");

    denied_leaves_no_command(&scene);
    let log = scene.node.log();
    assert!(!log.contains(STRIPE) && !log.contains(PASSWORD), "{log}");
    let (intact, said) = scene.installation.audit();
    assert!(intact, "{said}");
}

/// One of several is denied: nothing starts, and the reason and the decision are told.
fn denied_leaves_no_command(scene: &Scene) {
    let flags = ["--env", "A=payments/stripe/live", "--env", "B=private/key"];
    let ended = scene.run(&flags, "touch started");
    assert_eq!((ended.code, ended.out.as_str()), (77, ""), "{ended:?}");
    assert!(
        ended.err.contains("may not read private/key") && ended.err.contains("(decision "),
        "{ended:?}"
    );
    assert!(!ended.err.contains(STRIPE), "{ended:?}");
    // Whether it exists is not told.
    let absent = scene.run(&["--env", "A=private/no-such"], "touch started");
    assert_eq!(absent.code, 77);
    let without_id = |ended: &Ended, path: &str| {
        let text = ended.err.replace(path, "PATH");
        let (before, after) = text.split_once("(decision ").unwrap();
        let (_, after) = after.split_once(')').unwrap();
        format!("{before}{after}")
    };
    assert_eq!(
        without_id(&ended, "private/key"),
        without_id(&absent, "private/no-such")
    );
    assert!(!scene.path("started").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_yet_or_at_all_has_an_exit_code_of_its_own() {
    if !is_premium() {
        return;
    }
    let scene = Scene::new(Installation::sqlite()).await;
    for (flag, code, said) in [
        ("A=slow/key", 75, "with --wait SECONDS the command waits"),
        ("A=gone/key", 125, "there is no secret gone/key"),
        ("A=payments/stripe/live@9", 125, "version 9"),
        ("A=db/orders", 125, "host, password, username"),
        ("A=db/orders#passwort", 125, "no such field"),
        ("A=tls/blob", 125, "zero byte"),
    ] {
        let ended = scene.run(&["--env", flag], "touch started");
        assert_eq!(ended.code, code, "{flag}: {ended:?}");
        assert!(ended.err.contains(said), "{flag}: {ended:?}");
        assert!(!ended.err.contains(PASSWORD), "{ended:?}");
    }
    // A slip in what was typed is told before anything is read, as wrong usage is.
    for flags in [
        &["--env", "A=../b"][..],
        &["--env", "A-B=b"],
        &["--template", "no-such:x"],
    ] {
        let ended = scene.run(flags, "touch started");
        assert!(
            [1, 125].contains(&ended.code) && !ended.err.is_empty(),
            "{ended:?}"
        );
    }
    let mut unknown = scene.command(&[], "touch started");
    unknown.env("XDG_CONFIG_HOME", scene.path("nowhere"));
    let ended = Ended::from(unknown.args(["x"]).output().unwrap());
    assert_eq!(ended.code, 0, "without a secret no key is needed: {ended:?}");
    fs::remove_file(scene.path("started")).unwrap();

    let address = format!("http://{}", scene.node.address);
    let Scene { node, machine, .. } = scene;
    drop(node);
    let output = Command::new(binary())
        .args([
            "run", "--agent", "bot", "--server", &address, "--env", "A=b", "--", "true",
        ])
        .env("XDG_CONFIG_HOME", machine.path())
        .output()
        .unwrap();
    let ended = Ended::from(output);
    assert_eq!(ended.code, 75, "{ended:?}");
    assert!(ended.err.contains("did not answer"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_waits_for_a_person_goes_on_when_that_person_has_decided() {
    if !is_premium() {
        return;
    }
    let scene = Scene::new(Installation::sqlite()).await;
    for (verdict, code, out) in [("approve", 0, "not yet for the bot"), ("reject", 77, "")] {
        let mut child = scene
            .command(&["--wait", "60", "--env", "A=slow/key"], "printf %s \"$A\"")
            .spawn()
            .unwrap();
        let mut err = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        err.read_line(&mut said).unwrap();
        let id = said
            .split_once("(decision ")
            .unwrap()
            .1
            .trim_end()
            .trim_end_matches(')');
        let path = format!("/api/v1/verifications/{id}");
        let admin = &scene.node.admin;
        let seen: Value = admin.call(Method::GET, &path, None::<&()>).await.unwrap();
        let body = json!({"digest": seen["request_digest"]});
        let _ = scene.node.post(&format!("{path}/{verdict}"), body).await;
        let mut read = String::new();
        child.stdout.take().unwrap().read_to_string(&mut read).unwrap();
        assert_eq!(
            (child.wait().unwrap().code(), read.as_str()),
            (Some(code), out),
            "{said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_templates_live_as_long_as_the_command() {
    if !is_premium() {
        return;
    }
    let scene = Scene::new(Installation::sqlite()).await;
    fs::write(
        scene.path("in.tmpl"),
        "{\"key\": {{ aim:payments/stripe/live | json }}, \"other\": \"{{ name }}\", \
         \"url\": \"postgres://{{ aim:db/orders#username }}:{{ aim:db/orders#password | url }}@db\"}",
    )
    .unwrap();
    fs::write(
        scene.path("aim.toml"),
        "[run]\n[run.template]\n\"in.tmpl\" = \"out.json\"\n[run.file_env]\nKEY_FILE = \"payments/stripe/live\"\n",
    )
    .unwrap();
    let script = r#"
        od -An -tx1 blob
        cat out.json; echo
        cat "$KEY_FILE"; echo
        readlink -f blob out.json
        stat -L -c '%a' blob out.json "$KEY_FILE" "$(dirname "$KEY_FILE")"
    "#;
    let ended = scene.run(&["--manifest", "aim.toml", "--file", "blob=tls/blob"], script);
    assert_eq!(ended.code, 0, "{ended:?}");
    let lines: Vec<&str> = ended.out.lines().collect();
    assert_eq!(lines[0].trim(), "ff 00 0a");
    let written: Value = serde_json::from_str(lines[1]).unwrap();
    assert_eq!(written["key"], STRIPE);
    assert_eq!(written["other"], "{{ name }}");
    assert_eq!(
        written["url"],
        "postgres://orders:p%22ss%2Fcanary%204712%20run@db"
    );
    assert_eq!(lines[2], STRIPE);
    assert_eq!(lines[5..], ["600", "600", "600", "700"]);
    for real in &lines[3..5] {
        assert!(!Path::new(real).exists(), "{real} is left");
        if Path::new("/dev/shm").exists() && std::env::var_os("XDG_RUNTIME_DIR").is_none() {
            assert!(real.starts_with("/dev/shm/aim-run-"), "{real}");
        }
    }
    for link in ["blob", "out.json"] {
        assert!(fs::symlink_metadata(scene.path(link)).is_err(), "{link} is left");
    }
    // What is there is not replaced, and then nothing starts.
    fs::write(scene.path("blob"), "precious").unwrap();
    let ended = scene.run(&["--file", "blob=tls/blob"], "touch started");
    assert_eq!(ended.code, 125, "{ended:?}");
    assert_eq!(fs::read_to_string(scene.path("blob")).unwrap(), "precious");
    assert!(!scene.path("started").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn redacted_output_has_no_value_in_either_stream() {
    if !is_premium() {
        return;
    }
    let scene = Scene::new(Installation::sqlite()).await;
    // In pieces that are written apart, to both streams, plain and in Base64.
    let script = r#"
        printf 'key=sk_live_can'; sleep 0.1; printf 'ary_4711_run;user=%s\n' "$USER_NAME"
        printf '%s' "$STRIPE" | base64
        echo "error: $STRIPE" >&2
        printf 'sk_live_'
        exit 3
    "#;
    let flags = [
        "--redact",
        "--env",
        "STRIPE=payments/stripe/live",
        "--env",
        "USER_NAME=db/orders#username",
    ];
    let ended = scene.run(&flags, script);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert_eq!(ended.out, "key=[redacted];user=orders\n[redacted]\nsk_live_");
    assert_eq!(ended.err, "error: [redacted]\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_reach_the_command_and_its_end_is_ours() {
    if !is_premium() {
        return;
    }
    let scene = Scene::new(Installation::sqlite()).await;
    let flags = ["--file-env", "KEY_FILE=payments/stripe/live"];
    for (name, ending) in [
        ("TERM", 143),
        ("HUP", 129),
        ("INT", 130),
        ("USR1", 138),
        ("USR2", 140),
    ] {
        // It handles the signal, and ends by a code of its own.
        let script =
            format!("trap 'echo caught; exit 9' {name}; echo \"$KEY_FILE\"; while :; do sleep 0.05; done");
        let (code, said, file) = signalled(&scene, &flags, &script, name);
        assert_eq!((code, said.as_str()), (9, "caught\n"), "{name}");
        assert!(!file.exists(), "{name}");
        // It does not, and the signal ends it.
        let script = "echo \"$KEY_FILE\"; exec sleep 60";
        let (code, said, file) = signalled(&scene, &flags, script, name);
        assert_eq!((code, said.as_str()), (ending, ""), "{name}");
        assert!(!file.exists(), "{name}");
    }
    // As nohup has it: what was ignored stays ignored.
    let script = "sed -n 's/^SigIgn:\\t//p' /proc/self/status";
    let mut command = scene.command_by("--ignore-signal=HUP,USR2", &flags, script);
    let ended = Ended::from(command.output().unwrap());
    let ignored = u64::from_str_radix(ended.out.trim(), 16).unwrap();
    assert_eq!(ignored & 0x801, 0x801, "{ended:?}");
}

/// Starts, waits for the first line, sends the signal to `aim`, and waits for the end: exit code, the rest of the output, and
/// the path on the first line.
fn signalled(scene: &Scene, flags: &[&str], script: &str, signal: &str) -> (i32, String, PathBuf) {
    let mut child = scene.command(flags, script).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    out.read_line(&mut first).unwrap();
    let file = PathBuf::from(first.trim_end());
    assert!(file.exists(), "{first:?}");
    let sent = Command::new("kill")
        .args([format!("-{signal}"), child.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), None, "aim itself was ended");
    (status.code().unwrap(), rest, file)
}

/// Reads lines of the child until one is as wanted.
fn line_of(out: &mut impl BufRead, is_it: impl Fn(&str) -> bool) -> String {
    loop {
        let mut line = String::new();
        assert!(out.read_line(&mut line).unwrap() > 0, "it ended");
        if is_it(line.trim_end()) {
            return line.trim_end().to_owned();
        }
    }
}

/// The same on both databases.
macro_rules! on_both_databases {
    ($($name:ident: $sqlite:ident, $postgres:ident;)+) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $sqlite() {
            if is_premium() {
                $name(Scene::new(Installation::sqlite()).await).await;
            }
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn $postgres() {
            if !is_premium() {
                return;
            }
            if let Some(installation) = Installation::postgres().await {
                $name(Scene::new(installation).await).await;
            }
        }
    )+};
}

on_both_databases! {
    a_command_is_started_anew_with_the_new_value_and_ended_when_it_may_not_read_any_more:
        a_command_is_started_anew_and_ended_when_it_may_not_read_any_more_on_sqlite,
        a_command_is_started_anew_and_ended_when_it_may_not_read_any_more_on_postgres;
    a_command_is_signalled_with_new_files_and_left_alone_by_a_denial:
        a_command_is_signalled_with_new_files_and_left_alone_by_a_denial_on_sqlite,
        a_command_is_signalled_with_new_files_and_left_alone_by_a_denial_on_postgres;
    a_command_is_ended_by_a_change: a_command_is_ended_by_a_change_on_sqlite, a_command_is_ended_by_a_change_on_postgres;
    a_read_that_a_person_approves_is_asked_for_once_and_taken_up:
        a_read_that_a_person_approves_is_asked_for_once_and_taken_up_on_sqlite,
        a_read_that_a_person_approves_is_asked_for_once_and_taken_up_on_postgres;
    a_change_is_told_and_the_command_goes_on:
        a_change_is_told_and_the_command_goes_on_on_sqlite,
        a_change_is_told_and_the_command_goes_on_on_postgres;
}

async fn a_command_is_started_anew_with_the_new_value_and_ended_when_it_may_not_read_any_more(scene: Scene) {
    let flags = [
        "--on-change",
        "restart",
        "--env",
        "STRIPE=payments/stripe/live",
        "--file",
        "key=payments/stripe/live",
    ];
    let mut child = scene
        .command(&flags, "echo \"$STRIPE $(cat key)\"; exec sleep 60")
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let first = format!("{STRIPE} {STRIPE}");
    assert_eq!(line_of(&mut out, |_| true), first);
    scene
        .put("payments/stripe/live", "api_key", json!({"value": "rotated-1"}))
        .await;
    assert_eq!(line_of(&mut out, |_| true), "rotated-1 rotated-1");
    scene.grant("deny").await;
    let ended = Ended::from(child.wait_with_output().unwrap());
    assert_eq!(ended.code, 77, "{ended:?}");
    assert!(
        ended.err.contains("may not read payments/stripe/live"),
        "{ended:?}"
    );
    assert!(!ended.err.contains("rotated-1"), "{ended:?}");
    assert!(
        fs::symlink_metadata(scene.path("key")).is_err(),
        "the file is left"
    );
}

async fn a_command_is_signalled_with_new_files_and_left_alone_by_a_denial(scene: Scene) {
    let flags = [
        "--file-env",
        "KEY_FILE=payments/stripe/live",
        "--on-change",
        "signal:HUP",
    ];
    // `wait` and not a loop: it ends at once when a signal has come. What it waits for ends with it.
    let script = "trap 'cat \"$KEY_FILE\"; echo' HUP; trap 'exit 9' USR1; echo ready; sleep 60 & \
                  while :; do wait; done";
    let mut child = scene.command(&flags, script).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut err = BufReader::new(child.stderr.take().unwrap());
    let _ = line_of(&mut out, |line| line == "ready");
    for value in ["rotated-2", "rotated-3"] {
        scene
            .put("payments/stripe/live", "api_key", json!({ "value": value }))
            .await;
        assert_eq!(line_of(&mut out, |_| true), value);
        let told = line_of(&mut err, |_| true);
        assert_eq!(
            told,
            "aim: payments/stripe/live changed; the command is told by a signal"
        );
    }
    scene.grant("deny").await;
    let told = line_of(&mut err, |line| line.contains("may not read"));
    assert!(told.contains("may not read payments/stripe/live"), "{told}");
    // It was left alone: it ends as it likes, at a signal of ours.
    assert_eq!(child.try_wait().unwrap(), None);
    let sent = Command::new("kill")
        .args(["-USR1", &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(9));
}

async fn a_command_is_ended_by_a_change(scene: Scene) {
    let flags = ["--env", "STRIPE=payments/stripe/live", "--on-change", "exit"];
    let mut child = scene
        .command(&flags, "echo ready; exec sleep 60")
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let _ = line_of(&mut out, |line| line == "ready");
    // Another secret's change is not ours.
    scene
        .put("private/key", "api_key", json!({"value": "rotated-0"}))
        .await;
    scene
        .put("payments/stripe/live", "api_key", json!({"value": "rotated-3"}))
        .await;
    let ended = Ended::from(child.wait_with_output().unwrap());
    assert_eq!(ended.code, 75, "{ended:?}");
    assert_eq!(
        ended.err,
        "aim: payments/stripe/live changed; the command is ended\n"
    );
}

async fn a_change_is_told_and_the_command_goes_on(scene: Scene) {
    let flags = ["--env", "STRIPE=payments/stripe/live"];
    let flags = [
        &flags[..],
        &[
            "--file-env",
            "KEY_FILE=payments/stripe/live",
            "--on-change",
            "notice",
        ],
    ]
    .concat();
    let script = "echo ready; read -r _; echo \"$STRIPE $(cat \"$KEY_FILE\")\"; exit 4";
    let mut command = scene.command(&flags, script);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let _ = line_of(&mut out, |line| line == "ready");
    // The command does not wait until somebody listens for changes: one comes to be told, after some that were not.
    let mut err = BufReader::new(child.stderr.take().unwrap());
    let told = tokio::task::spawn_blocking(move || (line_of(&mut err, |_| true), err));
    let mut rotated = 0;
    until("the line that tells of a change", async || {
        rotated += 1;
        let value = format!("rotated-{rotated}");
        scene
            .put("payments/stripe/live", "api_key", json!({ "value": value }))
            .await;
        told.is_finished().then_some(())
    })
    .await;
    let (told, _err) = told.await.unwrap();
    assert_eq!(
        told,
        "aim: payments/stripe/live was written; the command keeps what it was started with"
    );
    child.stdin.take().unwrap().write_all(b"go on\n").unwrap();
    assert_eq!(line_of(&mut out, |_| true), format!("{STRIPE} {STRIPE}"));
    assert_eq!(child.wait().unwrap().code(), Some(4));
}

async fn a_read_that_a_person_approves_is_asked_for_once_and_taken_up(scene: Scene) {
    let flags = [
        "--on-change",
        "restart",
        "--env",
        "STRIPE=payments/stripe/live",
        "--env",
        "LOGIN=db/orders#password",
    ];
    let mut child = scene
        .command(&flags, "echo \"$STRIPE\"; exec sleep 60")
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut err = BufReader::new(child.stderr.take().unwrap());
    assert_eq!(line_of(&mut out, |_| true), STRIPE);
    scene.grant("require_approval").await;
    let id = decision_in(&line_of(&mut err, |_| true));
    // What is heard while the person thinks asks for nothing new.
    for number in 1..=3 {
        let value = json!({"value": format!("rotated-{number}")});
        scene.put("payments/stripe/live", "api_key", value).await;
        let login = json!({"username": "orders", "password": PASSWORD, "host": format!("db{number}")});
        scene.put("db/orders", "database", login).await;
    }
    scene.decide(&id, "approve").await;
    assert_eq!(line_of(&mut out, |_| true), "rotated-3");
    let told = line_of(&mut err, |_| true);
    assert!(told.ends_with("changed; the command is started anew"), "{told}");
    assert_eq!(scene.pending().await, 0);

    // The next change is another read, and a person who says no ends the command.
    let value = json!({"value": "rotated-4"});
    scene.put("payments/stripe/live", "api_key", value).await;
    let id = decision_in(&line_of(&mut err, |_| true));
    assert_eq!(scene.pending().await, 1);
    scene.decide(&id, "reject").await;
    let told = line_of(&mut err, |_| true);
    assert!(told.contains("may not read payments/stripe/live"), "{told}");
    assert_eq!(child.wait().unwrap().code(), Some(77));
    assert_eq!(scene.pending().await, 0);
}

fn decision_in(line: &str) -> String {
    let (before, id) = line.split_once(" (decision ").unwrap();
    assert_eq!(
        before,
        "aim: waiting for a person to approve the read of payments/stripe/live"
    );
    id.trim_end_matches(')').to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_was_told_to_end_is_not_started_anew() {
    if !is_premium() {
        return;
    }
    let scene = Scene::new(Installation::sqlite()).await;
    let flags = ["--on-change", "restart", "--env", "STRIPE=payments/stripe/live"];
    // It ends what it does before it ends: until somebody writes to it.
    let script = "trap 'echo draining; read -r _ < drained; exit 5' TERM; echo ready; \
                  sleep 60 & while :; do wait; done";
    let fifo = scene.path("drained");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let mut child = scene.command(&flags, script).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut err = BufReader::new(child.stderr.take().unwrap());
    let _ = line_of(&mut out, |line| line == "ready");
    send("TERM", child.id());
    let _ = line_of(&mut out, |line| line == "draining");
    scene
        .put("payments/stripe/live", "api_key", json!({"value": "rotated-5"}))
        .await;
    let told = line_of(&mut err, |_| true);
    assert_eq!(
        told,
        "aim: payments/stripe/live changed; the command was told to end, and is left to that"
    );
    fs::write(&fifo, "\n").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_command_started_ends_with_it_when_a_change_ends_it() {
    if !is_premium() {
        return;
    }
    let scene = Scene::new(Installation::sqlite()).await;
    let flags = [
        "--redact",
        "--on-change",
        "restart",
        "--env",
        "STRIPE=payments/stripe/live",
    ];
    // A shell that passes no signal on, and what it started, which holds its output open.
    let script = "/bin/sh -c 'echo $$; exec sleep 1000'; true";
    let mut child = scene.command(&flags, script).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let first = line_of(&mut out, |_| true);
    scene
        .put("payments/stripe/live", "api_key", json!({"value": "rotated-6"}))
        .await;
    let second = line_of(&mut out, |_| true);
    assert_ne!(first, second);
    gone(&first).await;
    scene.grant("deny").await;
    let ended = Ended::from(child.wait_with_output().unwrap());
    assert_eq!(ended.code, 77, "{ended:?}");
    gone(&second).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_holds_the_output_is_not_waited_for_when_a_change_ends_the_command() {
    if !is_premium() {
        return;
    }
    let scene = Scene::new(Installation::sqlite()).await;
    let flags = [
        "--redact",
        "--on-change",
        "exit",
        "--env",
        "STRIPE=payments/stripe/live",
    ];
    // Its parent is gone before the change: it is the command's no more.
    let script = "(setsid /bin/sh -c 'echo $$; exec sleep 1000' &); echo ready; exec sleep 60";
    let mut child = scene.command(&flags, script).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let said = [line_of(&mut out, |_| true), line_of(&mut out, |_| true)];
    let daemon = said.iter().find(|line| *line != "ready").unwrap();
    scene
        .put("payments/stripe/live", "api_key", json!({"value": "rotated-7"}))
        .await;
    assert_eq!(child.wait().unwrap().code(), Some(75));
    assert!(Path::new(&format!("/proc/{daemon}")).exists());
    send("KILL", daemon.parse().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_could_not_be_written_are_written_later_and_the_signal_comes_then() {
    if !is_premium() {
        return;
    }
    let scene = Scene::new(Installation::sqlite()).await;
    let flags = [
        "--file-env",
        "KEY_FILE=payments/stripe/live",
        "--on-change",
        "signal:HUP",
    ];
    let script =
        "trap 'cat \"$KEY_FILE\"; echo; exit 6' HUP; echo \"$KEY_FILE\"; sleep 60 & while :; do wait; done";
    let mut child = scene.command(&flags, script).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut err = BufReader::new(child.stderr.take().unwrap());
    let file = line_of(&mut out, |_| true);
    // A folder where the new file is to be written.
    let in_the_way = format!("{file}.new");
    fs::create_dir(&in_the_way).unwrap();
    scene
        .put("payments/stripe/live", "api_key", json!({"value": "rotated-8"}))
        .await;
    let told = line_of(&mut err, |_| true);
    assert!(told.contains("its files could not be written"), "{told}");
    fs::remove_dir(&in_the_way).unwrap();
    assert_eq!(line_of(&mut out, |_| true), "rotated-8");
    assert_eq!(child.wait().unwrap().code(), Some(6));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_that_nobody_told_of_is_found_now_and_then() {
    if !is_premium() {
        return;
    }
    let scene = Scene::new(Installation::sqlite()).await;
    let (way, _cut) = way(scene.node.address, Hearing::Nothing).await;
    let flags = [
        "--server",
        &way,
        "--on-change",
        "exit",
        "--renew-every",
        "1",
        "--env",
        "STRIPE=payments/stripe/live",
    ];
    let mut child = scene
        .command(&flags, "echo ready; exec sleep 600")
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let _ = line_of(&mut out, |line| line == "ready");
    scene.grant("deny").await;
    let code = until("the end of the command", async || child.try_wait().unwrap()).await;
    assert_eq!(code.code(), Some(77));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_break_of_the_connection_is_told_where_only_a_notice_is_wanted() {
    if !is_premium() {
        return;
    }
    let scene = Scene::new(Installation::sqlite()).await;
    let (way, cut) = way(scene.node.address, Hearing::All).await;
    let flags = ["--server", &way, "--env", "STRIPE=payments/stripe/live"];
    let mut child = scene.command(&flags, "exec sleep 600").spawn().unwrap();
    let mut err = BufReader::new(child.stderr.take().unwrap());
    let told = tokio::task::spawn_blocking(move || (line_of(&mut err, |_| true), err));
    let mut rotated = 0;
    until("the line that tells of a change", async || {
        rotated += 1;
        let value = json!({"value": format!("rotated-{rotated}")});
        scene.put("payments/stripe/live", "api_key", value).await;
        told.is_finished().then_some(())
    })
    .await;
    let (_, mut err) = told.await.unwrap();
    cut.send_replace(());
    let told = line_of(&mut err, |line| line.contains("could not be heard"));
    assert!(told.ends_with("secrets may have changed; the command keeps what it was started with"));
    send("TERM", child.id());
    assert_eq!(child.wait().unwrap().code(), Some(143));
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Hearing {
    All,
    /// Nobody can listen for changes.
    Nothing,
}

/// A way to the server, all connections on which can be cut.
async fn way(server: SocketAddr, hearing: Hearing) -> (String, watch::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (cut, is_cut) = watch::channel(());
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            let mut is_cut = is_cut.clone();
            is_cut.mark_unchanged();
            tokio::spawn(async move {
                let mut to = TcpStream::connect(server).await.unwrap();
                let (mut answers, mut requests) = to.split();
                let (mut from, mut back) = from.split();
                let asked = async {
                    let mut piece = vec![0; 64 * 1024];
                    while let Ok(read @ 1..) = from.read(&mut piece).await {
                        let listens = piece[..read].starts_with(b"GET /api/v1/vault/changes");
                        let is_refused = listens && hearing == Hearing::Nothing;
                        if is_refused || requests.write_all(&piece[..read]).await.is_err() {
                            break;
                        }
                    }
                };
                tokio::select! {
                    () = asked => {}
                    _ = tokio::io::copy(&mut answers, &mut back) => {}
                    _ = is_cut.changed() => {}
                }
            });
        }
    });
    (format!("http://{address}"), cut)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_run_left_is_removed_by_the_next_run_of_any_kind() {
    if !is_premium() {
        return;
    }
    let scene = Scene::new(Installation::sqlite()).await;
    let flags = ["--file-env", "KEY_FILE=payments/stripe/live"];
    let script = "echo \"$KEY_FILE\"; echo $$; exec sleep 600";
    let mut child = scene.command(&flags, script).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let file = PathBuf::from(line_of(&mut out, |_| true));
    let command = line_of(&mut out, |_| true);
    child.kill().unwrap();
    child.wait().unwrap();
    send("KILL", command.parse().unwrap());
    let ended = scene.run(&["--env", "STRIPE=payments/stripe/live"], "true");
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(!file.parent().unwrap().exists());
}

#[test]
fn no_command_that_sees_a_secret_leaves_a_core() {
    if !is_premium() {
        return;
    }
    // It waits for a token. Where the limit cannot be raised, it is 0 for everybody.
    let script = "ulimit -c unlimited 2>/dev/null; exec \"$0\" vault unwrap";
    let mut child = Command::new("/bin/sh")
        .args(["-c", script])
        .arg(binary())
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let limits = format!("/proc/{}/limits", child.id());
    let deadline = Instant::now() + PATIENCE;
    let is_off = || {
        let limits = fs::read_to_string(&limits).unwrap();
        let line = limits.lines().find(|line| line.starts_with("Max core file size"));
        line.unwrap().split_whitespace().skip(4).take(2).eq(["0", "0"])
    };
    while !is_off() {
        assert!(Instant::now() < deadline, "cores stay on");
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

fn send(signal: &str, process: u32) {
    let sent = Command::new("kill")
        .args([format!("-{signal}"), process.to_string()])
        .status();
    assert!(sent.unwrap().success());
}

async fn gone(process: &str) {
    let path = format!("/proc/{process}");
    until("the end of what the command started", async || {
        (!Path::new(&path).exists()).then_some(())
    })
    .await;
}

impl Scene {
    /// The decisions that wait for a person.
    async fn pending(&self) -> usize {
        let path = "/api/v1/verifications?status=pending";
        let admin = &self.node.admin;
        let list: Value = admin.call(Method::GET, path, None::<&()>).await.unwrap();
        list["verifications"].as_array().unwrap().len()
    }

    async fn decide(&self, id: &str, verdict: &str) {
        let path = format!("/api/v1/verifications/{id}");
        let admin = &self.node.admin;
        let seen: Value = admin.call(Method::GET, &path, None::<&()>).await.unwrap();
        let body = json!({"digest": seen["request_digest"]});
        let _ = self.node.post(&format!("{path}/{verdict}"), body).await;
    }

    /// The grant that allowed reads has a stricter one beside it.
    async fn grant(&self, effect: &str) {
        let id = self.agent_id().await;
        let grant =
            json!({"capability": "secret:read", "effect": effect, "scope": {"resources": ["payments/**"]}});
        let _ = self
            .node
            .post(&format!("/api/v1/agents/{id}/capabilities"), grant)
            .await;
    }

    async fn agent_id(&self) -> String {
        let list: Value = self
            .node
            .admin
            .call(Method::GET, "/api/v1/agents", None::<&()>)
            .await
            .unwrap();
        list["agents"][0]["id"].as_str().unwrap().to_owned()
    }
}
