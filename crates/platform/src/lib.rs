//! What a capability stands on: the [`Module`] it is, the [`Kernel`] it is given, who calls it
//! (authentication and permission in the extractor's type), jobs, limits, and the web shell that
//! turns every error into problem details. It knows no capability and no edition.

pub mod auth;
pub mod console;
pub mod error;
pub mod extract;
pub mod follow;
mod gauges;
pub mod jobs;
pub mod kernel;
pub mod limits;
mod module;
pub mod outbound;
pub mod refusals;
pub mod retention;
mod services;
pub mod shell;
pub mod standing;
pub mod stopping;
mod threat_limits;

pub use auth::{Authenticated, Authenticator, NonceClaim, RequestHead};
pub use error::{ApiError, ApiResult, Problem};
pub use extract::{Anyone, Authed, AuthedOrAgent, Body, PathId, PathIds, Query, SignedAgent};
pub use follow::{FollowRunner, Follower};
pub use jobs::{Job, JobRunner};
pub use kernel::{
    Kernel, MailServer, PlatformConfig, SmtpSecurity, TrustRules, TrustWeights, VaultKeys, VaultProvider,
};
pub use module::Module;
pub use outbound::Outbound;
pub use refusals::{Refusal, Refusals};
pub use retention::{Retained, RetentionClass};
pub use services::ServiceConfig;
pub use shell::{EditionInfo, OpenApiDocument, Shell, configure, context_of, openapi_of, shell, shell_state};
pub use stopping::Stopping;
pub use threat_limits::ThreatLimits;
