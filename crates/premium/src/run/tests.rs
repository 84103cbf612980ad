use super::*;

fn parsed(line: &[&str]) -> Result<Plan, String> {
    let matches = command()
        .try_get_matches_from(line)
        .map_err(|error| error.to_string())?;
    plan(RunArguments::from_arg_matches(&matches).map_err(|error| error.to_string())?)
}

#[test]
fn the_command_line_is_consistent() {
    command().debug_assert();
}

#[test]
fn flags_become_a_plan() {
    let plan = parsed(&[
        "run",
        "--agent",
        "bot",
        "--env",
        "A=a/b",
        "--env",
        "B=c#d@2",
        "--file",
        "/x/y=tls/web#private_key",
        "--file-env",
        "C=gcp",
        "--template",
        "in:out",
        "--redact",
        "--",
        "python",
        "agent.py",
        "--env",
        "X=y",
    ])
    .unwrap();
    assert_eq!((plan.agent.as_deref(), plan.redact), (Some("bot"), true));
    assert_eq!(plan.env["B"].to_string(), "c#d@2");
    assert_eq!(plan.env.len(), 2, "what follows -- is the command's");
    assert_eq!(
        plan.files[&PathBuf::from("/x/y")].to_string(),
        "tls/web#private_key"
    );
    assert_eq!(plan.file_env["C"].to_string(), "gcp");
    assert_eq!(plan.templates[&PathBuf::from("out")], PathBuf::from("in"));
}

#[test]
fn a_command_line_that_cannot_be_meant_is_refused() {
    for line in [
        &["run", "--agent", "bot"][..],
        &["run", "--env", "A", "--", "x"],
        &["run", "--env", "A=../b", "--", "x"],
        &["run", "--env", "A=b", "--env", "A=c", "--", "x"],
        &["run", "--env", "A=b", "--file-env", "A=c", "--", "x"],
        &["run", "--env", "A-B=b", "--", "x"],
        &["run", "--template", "a", "--", "x"],
        &["run", "--manifest", "/nowhere/aim.toml", "--", "x"],
    ] {
        assert!(parsed(line).is_err(), "{line:?}");
    }
}

#[test]
fn the_command_line_counts_more_than_the_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("aim.toml");
    fs::write(
        &path,
        "[run]\nagent = \"bot\"\nredact = true\n[run.env]\nA = \"a\"\nB = \"b\"\n",
    )
    .unwrap();
    let manifest = path.to_str().unwrap();
    let plan = parsed(&[
        "run",
        "--manifest",
        manifest,
        "--agent",
        "other",
        "--env",
        "A=c",
        "--",
        "x",
    ])
    .unwrap();
    assert_eq!((plan.agent.as_deref(), plan.redact), (Some("other"), true));
    assert_eq!(
        (plan.env["A"].path.as_str(), plan.env["B"].path.as_str()),
        ("c", "b")
    );
}
