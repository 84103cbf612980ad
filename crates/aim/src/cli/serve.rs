//! `aim serve`: the server, until it is told to stop.

use std::process::ExitCode;

use aim_crypto::secret::SecretString;
use clap::Args;

use super::{Outcome, StorageArguments};
use crate::{
    configuration::load,
    installation, logging,
    server::{AppParts, ServeOptions, run_server, stop_signal},
    terminal,
};

#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    #[command(flatten)]
    storage: StorageArguments,
    /// Address and port to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDR:PORT")]
    bind: Option<String>,
    /// How much to log: error, warn, info, debug or trace.
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
    /// text or json.
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

impl ServeArguments {
    pub(crate) async fn run(self) -> Outcome {
        let mut sources = self.storage.sources();
        sources.flags.extend(self.bind.map(|bind| ("server.bind", bind)));
        sources.flags.extend(self.log.map(|level| ("log.level", level)));
        sources
            .flags
            .extend(self.log_format.map(|format| ("log.format", format)));
        let settings = load(&sources)?;
        let traces = logging::start(&settings.log)?;
        let kernel = installation::open(&settings, &self.storage.data).await?;
        let set_up_token = aim_identity::set_up::prepare(&kernel).await?;
        let parts = AppParts::new(kernel);
        let (edition, version) = (parts.edition.edition.clone(), parts.edition.version.clone());
        let options = ServeOptions {
            address: settings.address()?,
            workers: settings.server.workers,
        };
        run_server(parts, options, stop_signal(), |address| {
            let public = &settings.server.public_url;
            let base = if public.is_empty() {
                format!("http://{address}")
            } else {
                public.clone()
            };
            if let Some(token) = set_up_token {
                terminal::raw(&first_steps(&base, &token));
            }
            terminal::line(format!("aim {edition} {version} ready on http://{address}"));
        })
        .await?;
        if let Some(traces) = traces {
            traces.end().await;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What to do with an installation that has no organisation yet.
fn first_steps(base: &str, token: &SecretString) -> String {
    format!(
        "This installation has no organisation yet. Set it up within 24 hours, in a browser (the link works once):\n\
         \x20 {base}/set-up#token={token}\n\
         or without one:\n\
         \x20 curl -X POST {base}/api/v1/setup -H 'content-type: application/json' \\\n\
         \x20   -d '{{\"token\":\"{token}\",\"organization\":\"NAME\",\"email\":\"YOU@EXAMPLE.COM\",\"password\":\"…\"}}'\n",
        token = token.expose(),
    )
}
