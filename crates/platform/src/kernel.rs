//! What every capability is given.

use std::{net::IpAddr, sync::Arc};

use aim_core::{Clock, Timestamp};
use aim_crypto::token::TokenPepper;
use aim_store::Store;

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
            learn_more_url: "https://github.com/aim-server/aim#editions".to_owned(),
            upgrade_url: "https://github.com/aim-server/aim#premium".to_owned(),
        }
    }
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
}

impl Kernel {
    /// The present moment.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// The text of an address, with IPv4 in IPv6 unwrapped.
#[must_use]
pub fn address_text(address: IpAddr) -> String {
    address.to_canonical().to_string()
}
