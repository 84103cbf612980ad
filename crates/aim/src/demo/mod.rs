//! The demonstration: a server on SQLite in a folder of its own, and a fleet that calls it as any client
//! would, through the public API and the client's crate. Nothing here has a way around the rules.

mod fleet;
mod play;
mod scenes;
mod threats;

use std::{io, net::SocketAddr, process::ExitCode};

use actix_web::rt::{self, task::JoinHandle};
use aim_client::{Client, SecretString};
use aim_core::DecisionId;
use aim_crypto::digest::random_bytes;
use aim_platform::Kernel;
use aim_store::{Scope, Store};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::{
    cli::{Failure, Outcome, replay},
    configuration::{LogSettings, Settings},
    installation, logging,
    server::{AppParts, ServeOptions, run_server, stop_signal},
    terminal,
};
use play::{Kind, Play};

const ORGANIZATION: &str = "Northwind Freight";
const EMAIL: &str = "ada@northwind.example";

/// A server of its own, set up, with its administrator signed in.
struct Stage {
    folder: TempDir,
    store: Store,
    kernel: Kernel,
    client: Client,
    password: SecretString,
    token: SecretString,
    stop: oneshot::Sender<()>,
    server: JoinHandle<io::Result<()>>,
}

impl Stage {
    async fn open(address: SocketAddr) -> Result<Self, Failure> {
        let mut settings = Settings::default();
        // It plays the proxy in front of itself, so that its agents can be in different places.
        settings.server.trust_forwarded = true;
        let folder = tempfile::Builder::new().prefix("aim-demo-").tempdir()?;
        let kernel = installation::open(&settings, folder.path()).await?;
        let (store, own) = (kernel.store.clone(), kernel.clone());
        let random = random_bytes::<15>().map_err(|error| Failure::new(error.to_string()))?;
        let password = SecretString::new(URL_SAFE_NO_PAD.encode(random));
        aim_identity::set_up::initialise(&kernel, ORGANIZATION, EMAIL, &password).await?;

        let (stop, stopped) = oneshot::channel::<()>();
        let (announce, announced) = oneshot::channel();
        let mut server = rt::spawn(run_server(
            AppParts::new(kernel),
            ServeOptions {
                address,
                workers: settings.server.workers,
            },
            // Dropping the sender stops the server too.
            async move { drop(stopped.await) },
            move |address| {
                let _ = announce.send(address);
            },
        ));
        let Ok(address) = announced.await else {
            let ended = (&mut server)
                .await
                .map_err(|error| Failure::new(error.to_string()))?;
            return Err(ended
                .err()
                .map_or_else(|| Failure::new("the server did not start"), Failure::from));
        };
        let client = Client::builder().server(format!("http://{address}")).build()?;
        let token = client.login(EMAIL, &password).await?.access_token;
        Ok(Self {
            folder,
            store,
            kernel: own,
            client,
            password,
            token,
            stop,
            server,
        })
    }

    /// Plays all scenes; then an auditor looks at the evidence.
    async fn play(&self) -> Result<Play, Failure> {
        let mut play = Play::new(self.client.as_bearer(self.token.clone()));
        scenes::perform(&mut play).await?;
        threats::perform(&mut play, &self.store).await?;
        let report = self
            .store
            .read(Scope::Installation, |db| aim_audit::verify(db, None))
            .await?;
        let verdict = if report.intact { "intact" } else { "not intact" };
        play.note(
            "(an auditor)",
            "checks the audit log",
            "intact",
            Kind::Other,
            verdict.to_owned(),
        );
        let mut same = 0;
        for decision in &play.decisions {
            same += usize::from(
                replay::again(&self.store, DecisionId::from_uuid(*decision))
                    .await?
                    .is_same()
                    == Some(true),
            );
        }
        let all = play.decisions.len();
        let expected = format!("{all} of {all} the same");
        play.note(
            "(an auditor)",
            "decides everything again",
            &expected,
            Kind::Other,
            format!("{same} of {all} the same"),
        );
        Ok(play)
    }

    async fn close(self) -> Result<(), Failure> {
        drop(self.stop);
        Ok(self
            .server
            .await
            .map_err(|error| Failure::new(error.to_string()))??)
    }
}

/// Plays the demonstration. With `exit`, stops afterwards.
pub(crate) async fn run(address: SocketAddr, exit: bool) -> Outcome {
    let _ = logging::start(&LogSettings {
        level: "error".to_owned(),
        ..LogSettings::default()
    });
    let mut stage = Stage::open(address).await?;
    let play = stage.play().await?;
    let edition = stage.client.edition().await?;
    terminal::line(format!(
        "AIM {} ({}): {ORGANIZATION} and its agents\n",
        edition.version, edition.edition
    ));
    let as_expected = report(&play);
    if !exit {
        let link = aim_identity::sessions::sign_in_link(&stage.kernel, EMAIL).await?;
        farewell(&stage, &link);
        tokio::select! {
            () = stop_signal() => {}
            _ = &mut stage.server => return Err(Failure::new("the server has stopped by itself")),
        }
    }
    stage.close().await?;
    Ok(if as_expected {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Prints what happened. Answers whether all of it was expected.
fn report(play: &Play) -> bool {
    let mut rows = vec![
        ["", "AGENT", "WHAT", "EXPECTED", "GOT"]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(play.events.iter().map(|event| {
        let mark = if event.is_as_expected() { "ok" } else { "!!" };
        [mark, &event.agent, &event.what, &event.expected, &event.got]
            .map(str::to_owned)
            .to_vec()
    }));
    terminal::raw(&terminal::table(&rows));
    let count = |kind: Kind| play.events.iter().filter(|event| event.kind == kind).count();
    let odd = play.events.iter().filter(|event| !event.is_as_expected()).count();
    terminal::line(format!(
        "\n{} agents, {} events: {} approved, {} denied, {} pending, {} refused, {} other; {odd} not as expected",
        play.agents(),
        play.events.len(),
        count(Kind::Approved),
        count(Kind::Denied),
        count(Kind::Pending),
        count(Kind::Refused),
        count(Kind::Other),
    ));
    odd == 0
}

/// How to go on from here.
fn farewell(stage: &Stage, link: &SecretString) {
    let (password, token, link) = (stage.password.expose(), stage.token.expose(), link.expose());
    terminal::raw(&format!(
        "
The server goes on at {server}, with its data in {folder}, until Ctrl-C.
Console:       {server}/sign-in#token={link} (once, within 5 minutes)
Sign in:       {EMAIL}, password {password}
Access token:  {token}

  curl -H 'authorization: Bearer {token}' '{server}/api/v1/violations?severity=high'
  curl -H 'authorization: Bearer {token}' '{server}/api/v1/agents?limit=5'
  curl -H 'authorization: Bearer {token}' '{server}/api/v1/audit-logs?limit=5'
",
        server = stage.client.server(),
        folder = stage.folder.path().display(),
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn the_demonstration_comes_out_as_expected() {
        let stage = Stage::open("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let play = stage.play().await.unwrap();
        let odd: Vec<String> = play
            .events
            .iter()
            .filter(|event| !event.is_as_expected())
            .map(|event| {
                format!(
                    "{}: {}: {} instead of {}",
                    event.agent, event.what, event.got, event.expected
                )
            })
            .collect();
        assert!(odd.is_empty(), "{odd:#?}");
        assert!(play.agents() >= 12);
        for kind in [Kind::Approved, Kind::Denied, Kind::Pending, Kind::Refused] {
            assert!(
                play.events.iter().any(|event| event.kind == kind),
                "none was {kind:?}"
            );
        }
        stage.close().await.unwrap();
    }
}
