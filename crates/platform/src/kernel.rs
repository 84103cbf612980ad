//! What every capability is given.

use std::{net::IpAddr, path::PathBuf, sync::Arc};

use aim_core::{Clock, Timestamp};
use aim_crypto::{secret::SecretString, token::TokenPepper};
use aim_store::Store;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Refusals, Stopping, ThreatLimits};

/// The settings that capabilities share; `aim` fills them from its configuration.
#[derive(Debug, Clone)]
pub struct PlatformConfig {
    /// The address under which clients reach us, without a trailing slash; empty: as the request says.
    pub public_url: String,
    /// Whether `X-Forwarded-For` and `X-Forwarded-Proto` come from a proxy that we trust.
    pub trust_forwarded: bool,
    /// How far a signature's time may be from ours, either way, in seconds.
    pub signature_window_seconds: i64,
    /// How long a session lives.
    pub session_hours: i64,
    /// How long a new agent key lives.
    pub key_lifetime_days: i64,
    /// How long a replaced key still works.
    pub key_grace_hours: i64,
    /// How long a pending action waits for a person.
    pub approval_minutes: i64,
    /// Failed sign-ins in a quarter of an hour before an account is locked for as long.
    pub sign_in_attempts: i64,
    /// Requests a second for one authenticated caller; 0 is no limit.
    pub requests_per_second: u32,
    /// Requests a second for one address without credentials; 0 is no limit.
    pub anonymous_requests_per_second: u32,
    /// Whether `/metrics` answers.
    pub metrics: bool,
    /// Networks that requests to named addresses may go to, besides the public internet.
    pub outbound_allow: Vec<ipnet::IpNet>,
    /// The mail server, if there is one.
    pub mail: Option<Arc<MailServer>>,
    /// How agents' trust is scored.
    pub trust: TrustRules,
    /// When threat detection speaks up.
    pub threats: ThreatLimits,
    /// The file that holds the root key of the vault of secrets, in editions that have one.
    pub vault_key_file: Option<PathBuf>,
    /// Where else that root key may come from.
    pub vault: VaultKeys,
    /// Where the console's "Learn more" leads.
    pub learn_more_url: String,
    /// Where the console's "Upgrade to Pro" leads.
    pub upgrade_url: String,
}

impl Default for PlatformConfig {
    fn default() -> Self {
        Self {
            public_url: String::new(),
            trust_forwarded: false,
            signature_window_seconds: 30,
            session_hours: 12,
            key_lifetime_days: 365,
            key_grace_hours: 24,
            approval_minutes: 15,
            sign_in_attempts: 10,
            requests_per_second: 2_000,
            anonymous_requests_per_second: 50,
            metrics: true,
            outbound_allow: Vec::new(),
            mail: None,
            trust: TrustRules::default(),
            threats: ThreatLimits::default(),
            vault_key_file: None,
            vault: VaultKeys::default(),
            learn_more_url: "https://github.com/aim-server/aim#editions".to_owned(),
            upgrade_url: "https://github.com/aim-server/aim#premium".to_owned(),
        }
    }
}

/// How agents' trust is scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrustRules {
    /// The days in which a recorded event loses half its weight.
    pub half_life_days: i64,
    /// How many decided actions it takes before an agent has a score.
    pub minimum_events: i64,
    /// What each factor counts.
    pub weights: TrustWeights,
}

impl Default for TrustRules {
    fn default() -> Self {
        Self {
            half_life_days: 14,
            minimum_events: 20,
            weights: TrustWeights::default(),
        }
    }
}

/// How much each factor of the trust score counts, next to the others: 0 to 100. A factor with weight 0 does
/// not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TrustWeights {
    /// The age, rotation and expiry of the agent's key.
    pub key_hygiene: u32,
    /// How many of its actions were approved.
    pub verification_success: u32,
    /// Denied actions, weighted by severity; they lose weight with time.
    pub violations: u32,
    /// Whether it uses what it was granted.
    pub capability_use: u32,
    /// Whether the MCP servers that it talks to are attested.
    pub mcp_attestation: u32,
    /// Whether it has an owner and is documented.
    pub ownership: u32,
    /// How long it has been registered.
    pub age: u32,
    /// Suspensions, revoked keys and threat findings; they lose weight with time.
    pub incidents: u32,
}

impl TrustWeights {
    /// Each weight with the name of its factor.
    #[must_use]
    pub const fn named(&self) -> [(&'static str, u32); 8] {
        [
            ("key_hygiene", self.key_hygiene),
            ("verification_success", self.verification_success),
            ("violations", self.violations),
            ("capability_use", self.capability_use),
            ("mcp_attestation", self.mcp_attestation),
            ("ownership", self.ownership),
            ("age", self.age),
            ("incidents", self.incidents),
        ]
    }
}

impl Default for TrustWeights {
    fn default() -> Self {
        Self {
            key_hygiene: 15,
            verification_success: 15,
            violations: 25,
            capability_use: 10,
            mcp_attestation: 10,
            ownership: 5,
            age: 5,
            incidents: 15,
        }
    }
}

/// Where the root key of the vault of secrets comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VaultProvider {
    /// A file of the server's user.
    #[default]
    KeyFile,
    /// A passphrase that somebody gives after each start.
    Passphrase,
    /// AWS KMS.
    AwsKms,
    /// Google Cloud KMS.
    GcpKms,
    /// Azure Key Vault.
    AzureKeyVault,
    /// The transit engine of Vault or OpenBao.
    VaultTransit,
}

impl VaultProvider {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::KeyFile,
        Self::Passphrase,
        Self::AwsKms,
        Self::GcpKms,
        Self::AzureKeyVault,
        Self::VaultTransit,
    ];

    /// Its name in settings and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::KeyFile => "key_file",
            Self::Passphrase => "passphrase",
            Self::AwsKms => "aws_kms",
            Self::GcpKms => "gcp_kms",
            Self::AzureKeyVault => "azure_key_vault",
            Self::VaultTransit => "vault_transit",
        }
    }

    /// The provider of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| provider.as_str() == name)
    }
}

/// The source of the vault's root key, and which key of a key management service encrypts it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VaultKeys {
    /// What a first root key is made with.
    pub provider: VaultProvider,
    /// The key of the key management service.
    pub kms_key: String,
    /// Its region, where it has one.
    pub kms_region: String,
    /// Its address, where that is not the usual one.
    pub kms_endpoint: String,
}

/// How the connection to a mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SmtpSecurity {
    /// TLS after a greeting in the clear; without it nothing is sent.
    Starttls,
    /// TLS from the first byte on.
    Tls,
    /// Nothing: only for a server on this machine.
    None,
}

/// A mail server, and as whom mail is sent through it.
#[derive(Debug, Clone)]
pub struct MailServer {
    /// Its name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub security: SmtpSecurity,
    /// Whom mail is from.
    pub from: String,
    /// The user to sign in as; empty: without.
    pub user: String,
    /// The user's password.
    pub password: SecretString,
}

/// The store, the clock, the settings and the installation's pepper.
#[derive(Clone)]
pub struct Kernel {
    /// The database.
    pub store: Store,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// Shared settings.
    pub config: Arc<PlatformConfig>,
    /// The secret under which issued tokens are hashed.
    pub pepper: Arc<TokenPepper>,
    /// This node's name in leases: new at each start.
    pub node: Arc<str>,
    /// Whether this node is stopping.
    pub stopping: Stopping,
    /// What holds notes of refused signatures back, so that they cannot fill the log.
    pub refusals: Refusals,
}

impl Kernel {
    /// The present moment.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The one way to addresses that somebody named.
    #[must_use]
    pub fn outbound(&self) -> crate::Outbound {
        crate::Outbound::new(&self.config.outbound_allow)
    }
}

/// The text of an address, with IPv4 in IPv6 unwrapped.
#[must_use]
pub fn address_text(address: IpAddr) -> String {
    address.to_canonical().to_string()
}
