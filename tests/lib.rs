//! The harness of the tests that cross crates: the application that ships, behind a real socket, on a
//! database of its own, with callers as values. It holds no test and knows no route's rules.

#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::panic,
    reason = "a test that cannot be set up shall panic"
)]

mod harness;

pub use harness::{
    agent::{TestAgent, fresh_key, possession_proof},
    app::{TestApp, TestAppBuilder},
    caller::{Answer, Caller, Credential},
    request::Prepared,
    scene::{PageAddress, Scene},
    tenant::{PASSWORD, Tenant, TenantOf},
    workspace,
};
