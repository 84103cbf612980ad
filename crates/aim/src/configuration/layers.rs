//! Reading the layers, and telling by name what does not belong.

use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
};

use config::{Config, ConfigError, Environment, File, FileFormat, Source, Value, ValueKind};

use super::{ConfigurationError, Settings};

/// What variables of the environment start with.
const PREFIX: &str = "AIM__";
/// Settings that are lists and empty unless somebody fills them.
const EMPTY_LISTS: &[&str] = &["outbound.allow"];

/// Where settings come from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The data folder, whose `aim.toml` is read when no other file is named.
    pub data: PathBuf,
    /// A file that must be there.
    pub file: Option<PathBuf>,
    /// Variables of the environment; those that start with `AIM__` count.
    pub environment: HashMap<String, String>,
    /// Flags, as keys (`server.bind`) and values. They win.
    pub flags: Vec<(&'static str, String)>,
}

impl Sources {
    /// The environment of this process, and nothing else yet.
    #[must_use]
    pub fn of_process(data: &Path) -> Self {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| name.to_ascii_uppercase().starts_with(PREFIX))
            .collect();
        Self {
            data: data.to_owned(),
            environment,
            ..Self::default()
        }
    }

    /// The file that is read, if any.
    #[must_use]
    pub fn file_in_use(&self) -> Option<PathBuf> {
        let standard = self.data.join("aim.toml");
        self.file
            .clone()
            .or_else(|| standard.is_file().then_some(standard))
    }
}

/// Reads all layers and checks the result.
///
/// # Errors
/// The first key that is unknown or has a value that cannot be, and where it stands.
pub fn load(sources: &Sources) -> Result<Settings, ConfigurationError> {
    let defaults = defaults()?;
    let mut known = BTreeSet::new();
    collect_keys(&defaults.collect().map_err(of_library)?, "", &mut |key, _| {
        known.insert(key);
    });
    let mut builder = Config::builder().add_source(defaults);
    if let Some(path) = sources.file_in_use() {
        let file = File::from(path.as_path()).format(FileFormat::Toml).required(true);
        refuse_unknown(&file, &known, |_| path.display().to_string())?;
        builder = builder.add_source(file);
    }
    let environment = Environment::with_prefix("AIM")
        .prefix_separator("__")
        .separator("__")
        .try_parsing(true)
        .source(Some(sources.environment.clone()));
    refuse_unknown(&environment, &known, variable_of)?;
    builder = builder.add_source(environment);
    for (key, value) in &sources.flags {
        builder = builder.set_override(*key, value.as_str()).map_err(of_library)?;
    }
    let settings: Settings = builder
        .build()
        .map_err(of_library)?
        .try_deserialize()
        .map_err(of_library)?;
    settings.check().map_err(|error| with_origin(error, sources))?;
    Ok(settings)
}

/// The defaults of all settings. The library leaves out a list that is empty, so those are named here.
fn defaults() -> Result<Config, ConfigurationError> {
    let mut builder = Config::builder();
    for key in EMPTY_LISTS {
        builder = builder
            .set_default(*key, Vec::<Value>::new())
            .map_err(of_library)?;
    }
    builder
        .add_source(Config::try_from(&Settings::default()).map_err(of_library)?)
        .build()
        .map_err(of_library)
}

/// `server.bind` as a variable.
fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_ascii_uppercase())
}

/// Says which layer a refused value came from.
fn with_origin(mut error: ConfigurationError, sources: &Sources) -> ConfigurationError {
    let Some(key) = &error.key else { return error };
    let variable = variable_of(key);
    error.origin = if sources.flags.iter().any(|(flag, _)| flag == key) {
        Some("a flag".to_owned())
    } else if sources
        .environment
        .keys()
        .any(|name| name.eq_ignore_ascii_case(&variable))
    {
        Some(variable)
    } else {
        sources.file_in_use().map(|path| path.display().to_string())
    };
    error
}

fn refuse_unknown(
    source: &dyn Source,
    known: &BTreeSet<String>,
    origin: impl Fn(&str) -> String,
) -> Result<(), ConfigurationError> {
    let mut unknown = None;
    collect_keys(&source.collect().map_err(of_library)?, "", &mut |key, is_leaf| {
        let section = format!("{key}.");
        let fits = known.contains(&key) && is_leaf || known.iter().any(|name| name.starts_with(&section));
        if !fits && unknown.is_none() {
            unknown = Some(key);
        }
    });
    match unknown {
        None => Ok(()),
        Some(key) => {
            let section = key.split_once('.').map(|(section, _)| format!("{section}."));
            let siblings: Vec<&str> = section
                .iter()
                .flat_map(|section| {
                    known
                        .iter()
                        .filter_map(|name| name.strip_prefix(section.as_str()))
                })
                .collect();
            let problem = if siblings.is_empty() {
                let sections: BTreeSet<&str> =
                    known.iter().filter_map(|name| name.split('.').next()).collect();
                format!(
                    "there is no such setting; the sections are {}",
                    Vec::from_iter(sections).join(", ")
                )
            } else {
                format!(
                    "there is no such setting; this section has {}",
                    siblings.join(", ")
                )
            };
            let origin = Some(origin(&key));
            Err(ConfigurationError {
                key: Some(key),
                origin,
                problem,
            })
        }
    }
}

/// Calls `see` with every key in `table`, and whether it holds a value (rather than further keys).
fn collect_keys(table: &config::Map<String, Value>, prefix: &str, see: &mut impl FnMut(String, bool)) {
    for (name, value) in table {
        let key = if prefix.is_empty() {
            name.clone()
        } else {
            format!("{prefix}.{name}")
        };
        match &value.kind {
            ValueKind::Table(inner) if !inner.is_empty() => collect_keys(inner, &key, see),
            ValueKind::Table(_) => see(key, false),
            _ => see(key, true),
        }
    }
}

/// The library's error as ours, with its key and origin.
fn of_library(error: ConfigError) -> ConfigurationError {
    match error {
        ConfigError::Type {
            origin,
            unexpected,
            expected,
            key,
        } => ConfigurationError {
            key,
            origin,
            problem: format!("expected {expected}, found {unexpected}"),
        },
        ConfigError::At { error, origin, key } => {
            let inner = of_library(*error);
            ConfigurationError {
                key: inner.key.or(key),
                origin: inner.origin.or(origin),
                problem: inner.problem,
            }
        }
        ConfigError::FileParse { uri, cause } => ConfigurationError {
            key: None,
            origin: uri,
            problem: format!("this is not valid TOML: {cause}"),
        },
        other => ConfigurationError::general(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::LogFormat;
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn a_start_without_any_setting_works_and_an_empty_list_can_be_filled() {
        let home = tempfile::tempdir().unwrap();
        let mut sources = Sources {
            data: home.path().to_owned(),
            ..Sources::default()
        };
        assert!(load(&sources).unwrap().outbound.allow.is_empty());
        let file = home.path().join("aim.toml");
        fs::write(&file, "[outbound]\nallow = [\"10.20.0.0/16\"]\n").unwrap();
        sources.file = Some(file);
        assert_eq!(load(&sources).unwrap().outbound.allow, ["10.20.0.0/16"]);
    }

    #[test]
    fn flags_win_over_the_environment_over_the_file_over_the_defaults() {
        let home = tempfile::tempdir().unwrap();
        fs::write(
            home.path().join("aim.toml"),
            "[server]\nbind = \"127.0.0.1:1001\"\nworkers = 1\n[keys]\ngrace_hours = 1\n[log]\nlevel = \"warn\"\n",
        )
        .unwrap();
        let sources = Sources {
            data: home.path().to_owned(),
            file: None,
            environment: environment(&[
                ("AIM__SERVER__BIND", "127.0.0.1:1002"),
                ("AIM__KEYS__GRACE_HOURS", "2"),
                ("AIM__LOG__FORMAT", "json"),
                ("AIM__SERVER__METRICS", "false"),
                ("OTHER", "x"),
            ]),
            flags: vec![("server.bind", "127.0.0.1:1003".to_owned())],
        };
        let settings = load(&sources).unwrap();
        assert_eq!(settings.server.bind, "127.0.0.1:1003");
        assert_eq!(settings.keys.grace_hours, 2);
        assert_eq!(
            (settings.server.workers, settings.log.level.as_str()),
            (1, "warn")
        );
        assert_eq!(
            (settings.log.format, settings.server.metrics),
            (LogFormat::Json, false)
        );
        assert_eq!(
            settings.keys.lifetime_days,
            Settings::default().keys.lifetime_days
        );
    }

    #[test]
    fn a_named_file_is_read_instead_of_the_one_in_the_data_folder_and_must_be_there() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("aim.toml"), "[server]\nworkers = 1\n").unwrap();
        let other = home.path().join("other.toml");
        let sources = Sources {
            data: home.path().to_owned(),
            file: Some(other.clone()),
            ..Sources::default()
        };
        assert!(load(&sources).unwrap_err().to_string().contains("other.toml"));
        fs::write(&other, "[server]\nworkers = 2\n").unwrap();
        assert_eq!(load(&sources).unwrap().server.workers, 2);
    }

    #[test]
    fn an_unknown_key_is_refused_by_name_in_every_layer() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("aim.toml");
        for (text, key) in [
            ("[server]\nbnid = \"x\"\n", "server.bnid"),
            ("[sever]\nbind = \"x\"\n", "sever.bind"),
            ("bind = \"x\"\n", "bind"),
            ("[server.bind]\nport = 1\n", "server.bind.port"),
            ("[nothing]\n", "nothing"),
        ] {
            fs::write(&file, text).unwrap();
            let error = load(&Sources {
                data: home.path().to_owned(),
                ..Sources::default()
            })
            .unwrap_err();
            assert_eq!(error.key.as_deref(), Some(key), "{error}");
            assert!(error.to_string().contains("aim.toml"), "{error}");
        }
        for (name, key) in [("AIM__SERVER__BNID", "server.bnid"), ("AIM__BIND", "bind")] {
            let sources = Sources {
                environment: environment(&[(name, "x")]),
                ..Sources::default()
            };
            let error = load(&sources).unwrap_err();
            assert_eq!(error.key.as_deref(), Some(key));
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_refused_by_its_key_and_place() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("aim.toml"), "[server]\nworkers = \"many\"\n").unwrap();
        let error = load(&Sources {
            data: home.path().to_owned(),
            ..Sources::default()
        })
        .unwrap_err();
        assert_eq!(error.key.as_deref(), Some("server.workers"));
        assert!(error.to_string().contains("aim.toml"), "{error}");

        for (name, value, key) in [
            ("AIM__KEYS__GRACE_HOURS", "soon", "keys.grace_hours"),
            ("AIM__KEYS__GRACE_HOURS", "-1", "keys.grace_hours"),
            ("AIM__SERVER__METRICS", "perhaps", "server.metrics"),
            (
                "AIM__LIMITS__REQUESTS_PER_SECOND",
                "-1",
                "limits.requests_per_second",
            ),
            ("AIM__LOG__FORMAT", "xml", "log.format"),
        ] {
            let error = load(&Sources {
                environment: environment(&[(name, value)]),
                ..Sources::default()
            })
            .unwrap_err();
            assert_eq!(error.key.as_deref(), Some(key), "{name}={value}: {error}");
        }
    }

    #[test]
    fn a_file_that_is_not_toml_is_named() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("aim.toml"), "[server\n").unwrap();
        let error = load(&Sources {
            data: home.path().to_owned(),
            ..Sources::default()
        })
        .unwrap_err();
        assert!(error.to_string().contains("aim.toml"), "{error}");
    }
}
