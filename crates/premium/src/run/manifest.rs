//! What a run hands to its child: from a manifest, from the command line, or both.
//!
//! ```toml
//! [run]
//! agent = "support-bot"
//! redact = true
//!
//! [run.env]
//! STRIPE_KEY = "payments/stripe/live"
//!
//! [run.file]
//! "tls/key.pem" = "tls/web#private_key"
//!
//! [run.file_env]
//! GOOGLE_APPLICATION_CREDENTIALS = "gcp/reader"
//!
//! [run.template]
//! "config.yaml.tmpl" = "config.yaml"
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{on_change::OnChange, reference::Reference};

/// What a run is to do. Later settings win over earlier ones of the same name.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Whose key reads.
    pub agent: Option<String>,
    /// Whether values are taken out of what the child writes.
    pub redact: bool,
    /// What to do when a secret changes.
    pub on_change: OnChange,
    /// Variables and their secrets.
    pub env: BTreeMap<String, Reference>,
    /// Files and their secrets.
    pub files: BTreeMap<PathBuf, Reference>,
    /// Variables that name a file, and its secret.
    pub file_env: BTreeMap<String, Reference>,
    /// Written files, and the templates they are made of.
    pub templates: BTreeMap<PathBuf, PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    run: Run,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Run {
    agent: Option<String>,
    #[serde(default)]
    redact: bool,
    #[serde(default)]
    on_change: OnChange,
    #[serde(default)]
    env: BTreeMap<String, Reference>,
    #[serde(default)]
    file: BTreeMap<PathBuf, Reference>,
    #[serde(default)]
    file_env: BTreeMap<String, Reference>,
    #[serde(default)]
    template: BTreeMap<PathBuf, PathBuf>,
}

impl Plan {
    /// Reads a manifest. Paths in it are relative to its folder.
    ///
    /// # Errors
    /// The file and what is wrong in it.
    pub fn from_manifest(path: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, folder).map_err(|reason| format!("{}: {reason}", path.display()))
    }

    fn parse(text: &str, folder: &Path) -> Result<Self, String> {
        let Manifest { run } = toml::from_str(text).map_err(|error| error.to_string())?;
        Ok(Self {
            agent: run.agent,
            redact: run.redact,
            on_change: run.on_change,
            env: run.env,
            file_env: run.file_env,
            files: run
                .file
                .into_iter()
                .map(|(path, reference)| (folder.join(path), reference))
                .collect(),
            templates: run
                .template
                .into_iter()
                .map(|(source, target)| (folder.join(target), folder.join(source)))
                .collect(),
        })
    }

    /// Checks what no single entry can tell.
    ///
    /// # Errors
    /// A name that cannot be a variable's, or that two entries set; a path that two entries write.
    pub fn check(&self) -> Result<(), String> {
        let mut names = BTreeSet::new();
        for name in self.env.keys().chain(self.file_env.keys()) {
            let letters = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
            let fits = name.bytes().all(|byte| letters(byte) || byte.is_ascii_digit())
                && name.bytes().next().is_some_and(letters);
            if !fits {
                return Err(format!(
                    "{name:?} is no name of a variable: letters, digits and '_'"
                ));
            }
            if !names.insert(name) {
                return Err(format!("{name} is set twice, as a value and as a file's path"));
            }
        }
        let twice = self.files.keys().find(|path| self.templates.contains_key(*path));
        twice.map_or(Ok(()), |path| {
            Err(format!(
                "{} is written twice, by a file and by a template",
                path.display()
            ))
        })
    }
}

/// `NAME=REFERENCE`, as `--env`, `--file` and `--file-env` take it.
///
/// # Errors
/// What is wrong with it.
pub fn parse_assignment(text: &str) -> Result<(String, Reference), String> {
    let (name, reference) = text
        .rsplit_once('=')
        .filter(|(name, _)| !name.is_empty())
        .ok_or("write it as NAME=PATH[#FIELD][@VERSION]")?;
    Ok((name.to_owned(), reference.parse()?))
}

/// `IN:OUT`, as `--template` takes it: the written file and its template.
///
/// # Errors
/// What is wrong with it.
pub fn parse_template(text: &str) -> Result<(PathBuf, PathBuf), String> {
    match text.split(':').collect::<Vec<_>>().as_slice() {
        [source, target] if !source.is_empty() && !target.is_empty() => Ok((target.into(), source.into())),
        _ => Err("write it as IN:OUT; names with a colon go into a manifest".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(text: &str) -> Reference {
        text.parse().unwrap()
    }

    #[test]
    fn a_manifest_says_what_the_flags_say_with_paths_beside_it() {
        let text = r#"
            [run]
            agent = "support-bot"
            redact = true
            [run.env]
            STRIPE_KEY = "payments/stripe/live"
            DB = "db/orders#password@3"
            [run.file]
            "tls/key.pem" = "tls/web#private_key"
            "/etc/x" = "x"
            [run.file_env]
            CREDENTIALS = "gcp/reader"
            [run.template]
            "in.tmpl" = "out.yaml"
        "#;
        let plan = Plan::parse(text, Path::new("/srv/app")).unwrap();
        assert_eq!((plan.agent.as_deref(), plan.redact), (Some("support-bot"), true));
        assert_eq!(plan.env["STRIPE_KEY"], reference("payments/stripe/live"));
        assert_eq!(plan.env["DB"], reference("db/orders#password@3"));
        assert_eq!(
            plan.files[Path::new("/srv/app/tls/key.pem")],
            reference("tls/web#private_key")
        );
        assert_eq!(plan.files[Path::new("/etc/x")], reference("x"));
        assert_eq!(plan.file_env["CREDENTIALS"], reference("gcp/reader"));
        assert_eq!(
            plan.templates[Path::new("/srv/app/out.yaml")],
            Path::new("/srv/app/in.tmpl")
        );
        plan.check().unwrap();
    }

    #[test]
    fn what_a_manifest_does_not_know_is_refused() {
        for (text, expected) in [
            ("", "run"),
            ("[run]\nagnet = \"x\"", "agnet"),
            ("[run]\n[server]\nbind = \"x\"", "server"),
            ("[run.env]\nA = \"../x\"", "is no path of a secret"),
            ("[run.env]\nA = 5", "A = 5"),
            ("[run.env]\nA = \"x\"\nA = \"y\"", "duplicate"),
        ] {
            let refusal = Plan::parse(text, Path::new("")).unwrap_err();
            assert!(refusal.contains(expected), "{text}: {refusal}");
        }
        let missing = Plan::from_manifest(Path::new("/nowhere/aim.toml")).unwrap_err();
        assert!(missing.starts_with("/nowhere/aim.toml: "), "{missing}");
    }

    #[test]
    fn names_and_paths_are_used_once() {
        let plan = |text: &str| Plan::parse(text, Path::new("")).unwrap().check();
        for name in ["", "1A", "A-B", "A B", "A=B", "Ä", "A\\u0000"] {
            let refusal = plan(&format!("[run.env]\n\"{name}\" = \"x\"")).unwrap_err();
            assert!(refusal.contains("no name of a variable"), "{refusal}");
        }
        assert!(plan("[run.env]\nA_1 = \"x\"\n_b = \"x\"").is_ok());
        assert!(plan("[run.env]\nA = \"x\"\n[run.file_env]\nA = \"x\"").is_err());
        assert!(plan("[run.file]\nA = \"x\"\n[run.template]\nB = \"A\"").is_err());
    }

    #[test]
    fn flags_are_split_where_only_one_reading_is_possible() {
        assert_eq!(
            parse_assignment("A=b/c#d@1"),
            Ok(("A".to_owned(), reference("b/c#d@1")))
        );
        assert_eq!(
            parse_assignment("a=b/c=d").map(|(name, _)| name),
            Ok("a=b/c".to_owned())
        );
        for text in ["", "A", "=a", "A=", "A=../b"] {
            assert!(parse_assignment(text).is_err(), "{text}");
        }
        assert_eq!(parse_template("in:out"), Ok(("out".into(), "in".into())));
        for text in ["", "in", "in:", ":out", "a:b:c"] {
            assert!(parse_template(text).is_err(), "{text}");
        }
    }
}
