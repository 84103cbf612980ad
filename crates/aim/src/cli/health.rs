//! `aim health`: whether the server can commit a transaction, for a container's health check.

use std::process::ExitCode;

use aim_client::Client;
use clap::Args;
use reqwest::Method;

use super::{Failure, Outcome};
use crate::terminal;

#[derive(Debug, Args)]
pub(crate) struct HealthArguments {
    /// The server's address.
    #[arg(long, env = "AIM_SERVER", default_value = "http://127.0.0.1:8700")]
    server: String,
}

impl HealthArguments {
    pub(crate) async fn run(self, json: bool) -> Outcome {
        let client = Client::builder().server(&self.server).build()?;
        let asked = client.prepare(Method::GET, "/health/ready", None::<&()>)?;
        let reply = client.send(asked).await?;
        let ready = reply.status == 200;
        if json {
            terminal::json(&serde_json::json!({"ready": ready, "status": reply.status}));
        } else if ready {
            terminal::line("ready");
        }
        if ready {
            Ok(ExitCode::SUCCESS)
        } else {
            Err(Failure::new(format!(
                "{} is not ready: status {}",
                self.server, reply.status
            )))
        }
    }
}
