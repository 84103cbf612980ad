//! `aim demo`: a lively fleet on a server of its own.

use std::net::SocketAddr;

use clap::Args;

use super::Outcome;

#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// Address and port to listen on; a free port unless given.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:0")]
    bind: SocketAddr,
    /// Stop after the play; exits 1 if anything came out otherwise than expected.
    #[arg(long)]
    exit: bool,
}

impl DemoArguments {
    pub(crate) async fn run(self) -> Outcome {
        crate::demo::run(self.bind, self.exit).await
    }
}
