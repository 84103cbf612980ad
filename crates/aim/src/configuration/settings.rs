//! The settings themselves. The doc comments are the comments of `config/aim.toml`.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use aim_client::read_private;
use aim_crypto::secret::SecretString;
use aim_platform::{
    MailServer, PlatformConfig, SmtpSecurity, ThreatLimits, TrustRules, TrustWeights, VaultKeys,
    VaultProvider,
};
use aim_store::DatabaseConfig;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::ConfigurationError;

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `[server]`
    pub server: ServerSettings,
    /// `[database]`
    pub database: DatabaseSettings,
    /// `[security]`
    pub security: SecuritySettings,
    /// `[keys]`
    pub keys: KeySettings,
    /// `[limits]`
    pub limits: LimitSettings,
    /// `[verification]`
    pub verification: VerificationSettings,
    /// `[outbound]`
    pub outbound: OutboundSettings,
    /// `[trust]`
    pub trust: TrustSettings,
    /// `[smtp]`
    pub smtp: SmtpSettings,
    /// `[threats]`
    pub threats: ThreatLimits,
    /// `[vault]`
    pub vault: VaultSettings,
    /// `[console]`
    pub console: ConsoleSettings,
    /// `[log]`
    pub log: LogSettings,
}

/// How AIM is reached. It speaks plain HTTP: put a proxy that ends TLS in front of it, or let it listen on
/// an address that only trusted machines reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerSettings {
    /// Address and port to listen on. Port 0 takes a free one, which the ready line names.
    pub bind: String,
    /// Threads that serve requests; 0 is two for each core.
    pub workers: usize,
    /// The address under which clients reach AIM, such as https://aim.example.com; empty: as each request
    /// says. Set it behind a proxy that ends TLS.
    pub public_url: String,
    /// Whether X-Forwarded-For and X-Forwarded-Proto come from a proxy of your own. When no proxy sets them,
    /// clients could.
    pub trust_forwarded: bool,
    /// Whether /metrics answers (Prometheus' text format, without credentials).
    pub metrics: bool,
}

/// Where AIM keeps its data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DatabaseSettings {
    /// sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE. {data} stands for the data folder.
    pub url: String,
    /// The most connections: for reading (SQLite), or in all (PostgreSQL).
    pub connections: usize,
}

/// Who gets in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SecuritySettings {
    /// How far the time of a signature may be from this machine's, either way, in seconds.
    pub signature_window_seconds: i64,
    /// How long a sign-in lasts, in hours.
    pub session_hours: i64,
    /// Failed sign-ins within 15 minutes after which an account is locked for as long.
    pub sign_in_attempts: i64,
    /// A file that only its owner may read, with 32 random bytes in base64 (openssl rand -base64 32): the
    /// secret under which issued keys are hashed. Empty: AIM makes one and keeps it in the database.
    /// Changing it makes every issued key and sign-in invalid.
    pub token_key_file: String,
}

/// The agents' own keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeySettings {
    /// How long a new key works, in days.
    pub lifetime_days: i64,
    /// How long a replaced key still works, in hours; 0 is not at all.
    pub grace_hours: i64,
}

/// How much a caller may ask. A burst of four seconds' worth is let through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitSettings {
    /// Requests a second for each caller that proved who it is; 0 is no limit.
    pub requests_per_second: u32,
    /// Requests a second for each address without valid credentials; 0 is no limit.
    pub anonymous_requests_per_second: u32,
}

/// Actions that a person has to approve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VerificationSettings {
    /// How long a pending action waits for a person, in minutes.
    pub approval_minutes: i64,
}

/// Requests that AIM makes to addresses that somebody named: webhooks and MCP servers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OutboundSettings {
    /// Networks that such requests may go to besides the public internet, such as ["10.20.0.0/16"]. Without
    /// it, private, loopback, link-local and metadata addresses are refused.
    pub allow: Vec<String>,
}

/// The vault of secrets. An edition without one does not look at this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VaultSettings {
    /// The file with the root key, under which all secrets are encrypted; {data} stands for the data folder. AIM
    /// makes it at the first use, for its own user alone. Keep a copy apart from the database's backups:
    /// without it no secret can be read again. Several nodes hold the same file. Empty: the root key is made
    /// of a passphrase instead, which somebody gives to each node after each start.
    pub key_file: String,
    /// With what the first root key is made: key_file, passphrase, aws_kms, gcp_kms, azure_key_vault or
    /// vault_transit (of Vault or OpenBao). Once there is one, the database says which it is, and
    /// `aim vault rekey` changes it.
    pub provider: VaultProvider,
    /// The key of the key management service that encrypts the root key: an ARN, key id or alias of AWS KMS;
    /// projects/P/locations/L/keyRings/R/cryptoKeys/K of Google Cloud; https://NAME.vault.azure.net/keys/KEY
    /// (RSA) of Azure; MOUNT/KEY of a transit engine. Credentials are those of the environment.
    pub kms_key: String,
    /// The region of AWS KMS; empty: what the environment says.
    pub kms_region: String,
    /// The service's address where it is not the usual one, such as https://vault.internal:8200 of a transit
    /// engine (empty: the variable VAULT_ADDR), or a private endpoint.
    pub kms_endpoint: String,
}

/// How agents' trust is scored; docs/TRUST.md has the formula.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TrustSettings {
    /// The days in which a recorded event loses half its weight.
    pub half_life_days: i64,
    /// How many decided actions it takes before an agent has a score.
    pub minimum_events: i64,
    /// What each factor counts.
    pub weights: TrustWeights,
}

/// Mail about alerts. The server is trusted to be the one that is named: its certificate is checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SmtpSettings {
    /// The mail server. Empty: no mail is sent.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// starttls, tls (from the first byte on, often port 465), or none (only for a server on this machine).
    pub security: SmtpSecurity,
    /// Whom the mail is from, such as AIM <aim@example.com>.
    pub from: String,
    /// The user to sign in as; empty: without.
    pub user: String,
    /// A file that only its owner may read, with the password. The variable AIM_SMTP_PASSWORD will do too.
    pub password_file: String,
}

/// The console. It asks no other host for anything; these are links that somebody may follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsoleSettings {
    /// Where "Learn more" leads, beside what only the premium edition has.
    pub learn_more_url: String,
    /// Where "Upgrade to Pro" leads.
    pub upgrade_url: String,
}

/// What AIM writes to standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LogSettings {
    /// text or json.
    pub format: LogFormat,
    /// error, warn, info, debug or trace; also by part, as in "info,aim_store=debug".
    pub level: String,
    /// An OpenTelemetry collector that is sent a trace of each request (OTLP over HTTP), such as
    /// http://127.0.0.1:4318; empty: nothing is traced.
    pub traces_url: String,
    /// How many of a hundred requests are traced, where the caller's own trace does not decide it.
    pub traces_percent: i64,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for ServerSettings {
    fn default() -> Self {
        let platform = PlatformConfig::default();
        Self {
            bind: "127.0.0.1:8700".to_owned(),
            workers: 0,
            public_url: platform.public_url,
            trust_forwarded: platform.trust_forwarded,
            metrics: platform.metrics,
        }
    }
}

impl Default for DatabaseSettings {
    fn default() -> Self {
        Self {
            url: "sqlite:{data}/aim.db".to_owned(),
            connections: 8,
        }
    }
}

impl Default for VaultSettings {
    fn default() -> Self {
        Self {
            key_file: "{data}/vault.key".to_owned(),
            provider: VaultProvider::KeyFile,
            kms_key: String::new(),
            kms_region: String::new(),
            kms_endpoint: String::new(),
        }
    }
}

impl VaultSettings {
    fn keys(&self) -> VaultKeys {
        VaultKeys {
            provider: self.provider,
            kms_key: self.kms_key.clone(),
            kms_region: self.kms_region.clone(),
            kms_endpoint: self.kms_endpoint.clone(),
        }
    }

    fn check(&self) -> Result<(), ConfigurationError> {
        let has_key = !self.kms_key.is_empty();
        if !has_key && !matches!(self.provider, VaultProvider::KeyFile | VaultProvider::Passphrase) {
            return Err(ConfigurationError::of(
                "vault.kms_key",
                "name the key that encrypts the root key, or set vault.provider to key_file",
            ));
        }
        let address = &self.kms_endpoint;
        if !address.is_empty() && !address.starts_with("https://") && !address.starts_with("http://") {
            return Err(ConfigurationError::of(
                "vault.kms_endpoint",
                "write it as https://HOST:PORT, or leave it empty",
            ));
        }
        Ok(())
    }
}

impl Default for SecuritySettings {
    fn default() -> Self {
        let platform = PlatformConfig::default();
        Self {
            signature_window_seconds: platform.signature_window_seconds,
            session_hours: platform.session_hours,
            sign_in_attempts: platform.sign_in_attempts,
            token_key_file: String::new(),
        }
    }
}

impl Default for KeySettings {
    fn default() -> Self {
        let platform = PlatformConfig::default();
        Self {
            lifetime_days: platform.key_lifetime_days,
            grace_hours: platform.key_grace_hours,
        }
    }
}

impl Default for LimitSettings {
    fn default() -> Self {
        let platform = PlatformConfig::default();
        Self {
            requests_per_second: platform.requests_per_second,
            anonymous_requests_per_second: platform.anonymous_requests_per_second,
        }
    }
}

impl Default for VerificationSettings {
    fn default() -> Self {
        Self {
            approval_minutes: PlatformConfig::default().approval_minutes,
        }
    }
}

impl Default for TrustSettings {
    fn default() -> Self {
        let rules = TrustRules::default();
        Self {
            half_life_days: rules.half_life_days,
            minimum_events: rules.minimum_events,
            weights: rules.weights,
        }
    }
}

impl Default for SmtpSettings {
    fn default() -> Self {
        Self {
            host: String::new(),
            port: 587,
            security: SmtpSecurity::Starttls,
            from: String::new(),
            user: String::new(),
            password_file: String::new(),
        }
    }
}

impl Default for ConsoleSettings {
    fn default() -> Self {
        let platform = PlatformConfig::default();
        Self {
            learn_more_url: platform.learn_more_url,
            upgrade_url: platform.upgrade_url,
        }
    }
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            level: "info".to_owned(),
            traces_url: String::new(),
            traces_percent: 100,
        }
    }
}

impl TrustSettings {
    fn check(&self) -> Result<(), ConfigurationError> {
        within("trust.half_life_days", self.half_life_days, 1..=365)?;
        within("trust.minimum_events", self.minimum_events, 1..=1_000_000)?;
        let weights = self.weights.named();
        for (name, weight) in weights {
            within(&format!("trust.weights.{name}"), i64::from(weight), 0..=100)?;
        }
        if weights.iter().all(|(_, weight)| *weight == 0) {
            return Err(ConfigurationError::of(
                "trust.weights",
                "give at least one factor a weight above 0",
            ));
        }
        Ok(())
    }

    fn rules(&self) -> TrustRules {
        TrustRules {
            half_life_days: self.half_life_days,
            minimum_events: self.minimum_events,
            weights: self.weights,
        }
    }
}

fn within(key: &str, value: i64, range: std::ops::RangeInclusive<i64>) -> Result<(), ConfigurationError> {
    if range.contains(&value) {
        Ok(())
    } else {
        let (least, most) = range.into_inner();
        Err(ConfigurationError::of(
            key,
            format!("{value} is out of range; use {least} to {most}"),
        ))
    }
}

fn as_number(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

impl Settings {
    /// Refuses values that cannot be.
    ///
    /// # Errors
    /// The first that is wrong, by its key.
    pub fn check(&self) -> Result<(), ConfigurationError> {
        self.address()?;
        within("server.workers", as_number(self.server.workers), 0..=1024)?;
        let url = &self.server.public_url;
        let is_web = url.starts_with("http://") || url.starts_with("https://");
        if !url.is_empty() && !is_web {
            return Err(ConfigurationError::of(
                "server.public_url",
                "write it as https://HOST, or leave it empty",
            ));
        }
        if url.ends_with('/') {
            return Err(ConfigurationError::of(
                "server.public_url",
                "leave out the slash at its end",
            ));
        }
        let known = ["sqlite:", "postgres://", "postgresql://"];
        if !known.iter().any(|scheme| self.database.url.starts_with(scheme)) {
            // The URL itself is not quoted: it may hold a password.
            return Err(ConfigurationError::of(
                "database.url",
                "it must start with sqlite: or postgres://",
            ));
        }
        within(
            "database.connections",
            as_number(self.database.connections),
            1..=1000,
        )?;
        within(
            "security.signature_window_seconds",
            self.security.signature_window_seconds,
            1..=300,
        )?;
        within("security.session_hours", self.security.session_hours, 1..=8760)?;
        within(
            "security.sign_in_attempts",
            self.security.sign_in_attempts,
            1..=1000,
        )?;
        within("keys.lifetime_days", self.keys.lifetime_days, 1..=3650)?;
        within("keys.grace_hours", self.keys.grace_hours, 0..=168)?;
        within(
            "verification.approval_minutes",
            self.verification.approval_minutes,
            1..=10_080,
        )?;
        self.outbound_networks()?;
        self.trust.check()?;
        if !self.smtp.host.is_empty() && !self.smtp.from.contains('@') {
            return Err(ConfigurationError::of(
                "smtp.from",
                "say whom mail is from, such as AIM <aim@example.com>",
            ));
        }
        self.vault.check()?;
        for (key, value, least, most) in self.threats.bounds() {
            within(&format!("threats.{key}"), value, least..=most)?;
        }
        for (key, url) in [
            ("console.learn_more_url", &self.console.learn_more_url),
            ("console.upgrade_url", &self.console.upgrade_url),
        ] {
            // A script's address, for one, would run in the console.
            let is_link =
                url.starts_with("https://") || url.starts_with("http://") || url.starts_with("mailto:");
            if !is_link {
                return Err(ConfigurationError::of(
                    key,
                    "write an address that starts with https://, http:// or mailto:",
                ));
            }
        }
        within("log.traces_percent", self.log.traces_percent, 0..=100)?;
        let collector = &self.log.traces_url;
        if !collector.is_empty() && !collector.starts_with("http://") && !collector.starts_with("https://") {
            return Err(ConfigurationError::of(
                "log.traces_url",
                "write it as http://HOST:4318, or leave it empty",
            ));
        }
        tracing_subscriber::EnvFilter::try_new(&self.log.level)
            .map_err(|error| ConfigurationError::of("log.level", format!("this is no level: {error}")))?;
        Ok(())
    }

    /// The address to listen on.
    ///
    /// # Errors
    /// Names `server.bind` when it is none.
    pub fn address(&self) -> Result<SocketAddr, ConfigurationError> {
        self.server.bind.parse().map_err(|_| {
            let problem = format!(
                "{:?} is no address with a port; write it as 127.0.0.1:8700 or [::]:8700",
                self.server.bind
            );
            ConfigurationError::of("server.bind", problem)
        })
    }

    /// The database, with the data folder put in.
    #[must_use]
    pub fn database(&self, data: &Path) -> DatabaseConfig {
        DatabaseConfig {
            url: self.database.url.replace("{data}", &data.display().to_string()),
            connections: self.database.connections,
        }
    }

    /// The file of the vault's root key, with the data folder put in.
    #[must_use]
    pub fn vault_key_file(&self, data: &Path) -> Option<PathBuf> {
        let file = self.vault.key_file.replace("{data}", &data.display().to_string());
        Some(file).filter(|file| !file.is_empty()).map(PathBuf::from)
    }

    /// What the capabilities are given.
    #[must_use]
    pub fn platform(&self) -> PlatformConfig {
        PlatformConfig {
            public_url: self.server.public_url.clone(),
            trust_forwarded: self.server.trust_forwarded,
            signature_window_seconds: self.security.signature_window_seconds,
            session_hours: self.security.session_hours,
            key_lifetime_days: self.keys.lifetime_days,
            key_grace_hours: self.keys.grace_hours,
            approval_minutes: self.verification.approval_minutes,
            trust: self.trust.rules(),
            sign_in_attempts: self.security.sign_in_attempts,
            requests_per_second: self.limits.requests_per_second,
            anonymous_requests_per_second: self.limits.anonymous_requests_per_second,
            metrics: self.server.metrics,
            learn_more_url: self.console.learn_more_url.clone(),
            upgrade_url: self.console.upgrade_url.clone(),
            outbound_allow: self.outbound_networks().unwrap_or_default(),
            mail: None,
            vault_key_file: None,
            vault: self.vault.keys(),
            threats: self.threats,
        }
    }

    /// The networks of `outbound.allow`.
    ///
    /// # Errors
    /// Names `outbound.allow` when one of them is none.
    pub fn outbound_networks(&self) -> Result<Vec<ipnet::IpNet>, ConfigurationError> {
        let networks = self.outbound.allow.iter().map(|text| {
            text.parse().map_err(|_| {
                let problem = format!("{text:?} is no network; write it as 10.20.0.0/16 or fd00::/8");
                ConfigurationError::of("outbound.allow", problem)
            })
        });
        networks.collect()
    }

    /// The mail server, if there is one.
    ///
    /// # Errors
    /// Names `smtp.password_file` when the file cannot be read.
    pub fn mail(&self) -> Result<Option<MailServer>, ConfigurationError> {
        let smtp = &self.smtp;
        if smtp.host.is_empty() {
            return Ok(None);
        }
        let password = if smtp.password_file.is_empty() {
            std::env::var("AIM_SMTP_PASSWORD").unwrap_or_default()
        } else {
            let text = read_private(Path::new(&smtp.password_file));
            text.map_err(|error| ConfigurationError::of("smtp.password_file", error.to_string()))?
        };
        Ok(Some(MailServer {
            host: smtp.host.clone(),
            port: smtp.port,
            security: smtp.security,
            from: smtp.from.clone(),
            user: smtp.user.clone(),
            password: SecretString::new(password.trim_end_matches(['\r', '\n']).to_owned()),
        }))
    }

    /// The secret under which issued keys are hashed, if a file is set for it.
    ///
    /// # Errors
    /// Names `security.token_key_file` when the file cannot be read or holds something else.
    pub fn token_key(&self) -> Result<Option<Zeroizing<[u8; 32]>>, ConfigurationError> {
        let path = &self.security.token_key_file;
        if path.is_empty() {
            return Ok(None);
        }
        let refuse = |problem: String| ConfigurationError::of("security.token_key_file", problem);
        let text = Zeroizing::new(read_private(Path::new(path)).map_err(|error| refuse(error.to_string()))?);
        let bytes = STANDARD.decode(text.trim()).map(Zeroizing::new).ok();
        let key = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok());
        key.map(|key| Some(Zeroizing::new(key))).ok_or_else(|| {
            refuse(format!(
                "{path} does not hold 32 bytes in base64; make it with openssl rand -base64 32"
            ))
        })
    }

    /// The settings as TOML, fit to be shown: without the database's password.
    #[must_use]
    pub fn to_public_toml(&self) -> String {
        let mut shown = self.clone();
        shown.database.url = redacted(&shown.database.url);
        toml::to_string(&shown).unwrap_or_default()
    }
}

/// The URL without its password, wherever it may stand.
pub(crate) fn redacted(url: &str) -> String {
    if url.starts_with("sqlite:") {
        return url.to_owned();
    }
    let Ok(mut parsed) = reqwest::Url::parse(url) else {
        return "[redacted]".to_owned();
    };
    if parsed.password().is_some() && parsed.set_password(Some("redacted")).is_err() {
        return "[redacted]".to_owned();
    }
    let pairs: Vec<(String, String)> = parsed
        .query_pairs()
        .map(|(name, value)| {
            let secret = name.eq_ignore_ascii_case("password");
            (
                name.into_owned(),
                if secret {
                    "redacted".to_owned()
                } else {
                    value.into_owned()
                },
            )
        })
        .collect();
    if !pairs.is_empty() {
        parsed.query_pairs_mut().clear().extend_pairs(pairs);
    }
    parsed.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_accepted() {
        Settings::default().check().unwrap();
    }

    #[test]
    fn a_value_that_cannot_be_is_refused_by_its_key() {
        type Spoil = fn(&mut Settings);
        let cases: [(&str, Spoil); 14] = [
            ("server.bind", |settings| {
                settings.server.bind = "localhost".to_owned()
            }),
            ("server.workers", |settings| settings.server.workers = 5000),
            ("server.public_url", |settings| {
                settings.server.public_url = "aim.example".to_owned()
            }),
            ("database.url", |settings| {
                settings.database.url = "mysql://host/db".to_owned()
            }),
            ("database.connections", |settings| {
                settings.database.connections = 0
            }),
            ("security.signature_window_seconds", |settings| {
                settings.security.signature_window_seconds = 0
            }),
            ("keys.grace_hours", |settings| settings.keys.grace_hours = -1),
            ("verification.approval_minutes", |settings| {
                settings.verification.approval_minutes = 0
            }),
            ("outbound.allow", |settings| {
                settings.outbound.allow = vec!["10.0.0.0".to_owned()]
            }),
            ("trust.half_life_days", |settings| {
                settings.trust.half_life_days = 0
            }),
            ("trust.weights.age", |settings| settings.trust.weights.age = 101),
            ("smtp.from", |settings| {
                settings.smtp.host = "mail.example".to_owned()
            }),
            ("console.upgrade_url", |settings| {
                settings.console.upgrade_url = "javascript:alert(1)".to_owned()
            }),
            ("log.level", |settings| settings.log.level = "info,=".to_owned()),
        ];
        for (key, spoil) in cases {
            let mut settings = Settings::default();
            spoil(&mut settings);
            assert_eq!(settings.check().unwrap_err().key.as_deref(), Some(key));
        }
    }

    #[test]
    fn the_database_password_is_never_shown() {
        for url in [
            "postgres://aim:hunter2@db.example/aim?sslmode=require",
            "postgres://aim@db.example/aim?password=hunter2&sslmode=require",
            "postgres://:::hunter2",
        ] {
            let mut settings = Settings::default();
            settings.database.url = url.to_owned();
            let shown = settings.to_public_toml();
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        let mut settings = Settings::default();
        settings.database.url = "mysql://aim:hunter2@db".to_owned();
        assert!(!settings.check().unwrap_err().to_string().contains("hunter2"));
    }

    #[test]
    fn a_token_key_file_holds_32_bytes_and_belongs_to_its_owner() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("token.key");
        let mut settings = Settings::default();
        assert!(settings.token_key().unwrap().is_none());
        settings.security.token_key_file = path.display().to_string();
        let refused = |settings: &Settings| settings.token_key().unwrap_err().key.unwrap();
        assert_eq!(refused(&settings), "security.token_key_file");
        aim_client::write_private(&path, "c2hvcnQ=\n").unwrap();
        assert_eq!(refused(&settings), "security.token_key_file");
        aim_client::write_private(&path, &format!("{}\n", STANDARD.encode([7; 32]))).unwrap();
        assert_eq!(*settings.token_key().unwrap().unwrap(), [7; 32]);
    }
}
