//! The words every crate of AIM speaks: typed ids, roles and permissions, the table of error codes,
//! time, pages and the context of a request. Nothing here does I/O;
//! the SQL types are here because ids and times are.

pub mod clock;
pub mod ctx;
pub mod error;
pub mod id;
pub mod page;
pub mod role;
pub mod sql;

pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use ctx::{Actor, AgentCredential, Ctx};
pub use error::{Code, Error, Result};
pub use id::{
    AgentId, ApiKeyId, CapabilityRequestId, ChallengeId, DecisionId, GrantId, Id, OrganizationId, PolicyId,
    SessionId, UserId, ViolationId,
};
pub use page::{Cursor, PageRequest};
pub use role::{Permission, RequiredPermission, Role};
pub use sql::Json;
