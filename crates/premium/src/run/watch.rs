//! What becomes of the command when a secret that it got changes, or when its agent may not read it any more.
//!
//! The server pushes changes; what they mean is found out by reading anew, so that an event alone, or a connection that broke,
//! decides nothing.

use std::{
    collections::BTreeMap,
    str::FromStr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use aim_client::{Change, Changes, Client};
use rustix::process::Signal;
use serde::Deserialize;
use tokio::{runtime::Runtime, sync::oneshot};

use super::{
    DENIED, Failure, Furniture, LATER,
    child::{Control, Signals},
    say,
    secrets::{Key, Secrets},
};

/// How long a command has to end before it is killed.
const GRACE: Duration = Duration::from_secs(10);
/// How long it is waited before a server that cannot answer now is asked again.
const AGAIN: Duration = Duration::from_secs(2);
/// The pauses between connections: the first, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LAST_PAUSE: Duration = Duration::from_secs(8);

/// What to do when a secret changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum OnChange {
    /// Say so, and nothing else.
    #[default]
    Notice,
    /// Start the command anew, with the new values.
    Restart,
    /// Write its files anew, and send it a signal.
    Signal(Signal),
    /// End it.
    Exit,
}

impl FromStr for OnChange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let signals = [
            ("HUP", Signal::HUP),
            ("INT", Signal::INT),
            ("TERM", Signal::TERM),
            ("USR1", Signal::USR1),
            ("USR2", Signal::USR2),
            ("WINCH", Signal::WINCH),
        ];
        match text {
            "notice" => Ok(Self::Notice),
            "restart" => Ok(Self::Restart),
            "exit" => Ok(Self::Exit),
            _ => {
                let name = text
                    .strip_prefix("signal:")
                    .map(|name| name.trim_start_matches("SIG"));
                let found = signals.into_iter().find(|(known, _)| Some(*known) == name);
                found.map(|(_, signal)| Self::Signal(signal)).ok_or_else(|| {
                    "this is notice, restart, exit or signal:NAME with HUP, INT, TERM, USR1, USR2 or WINCH".to_owned()
                })
            }
        }
    }
}

impl TryFrom<String> for OnChange {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// What comes after the command, where its own end is not the end.
pub(super) enum Next {
    /// The command again, with these; the signals were taken before it was ended.
    Again(Secrets, Signals),
    /// The end, with this code.
    End(u8),
}

/// Watches for changes while the command runs.
pub(super) struct Watcher<'a> {
    client: Client,
    on_change: OnChange,
    furniture: &'a Furniture<'a>,
    versions: Mutex<BTreeMap<Key, i64>>,
    /// The connection that was there before the secrets were read.
    opened: Mutex<Option<(Runtime, Option<Changes>)>>,
    next: Mutex<Option<Next>>,
}

impl<'a> Watcher<'a> {
    /// Listens, unless only a notice is wanted, which can come a moment later. From then on no change is missed.
    ///
    /// # Errors
    /// When there can be no runtime.
    pub(super) fn new(
        client: Client,
        on_change: OnChange,
        furniture: &'a Furniture<'a>,
    ) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        let changes = match on_change {
            OnChange::Notice => None,
            _ => runtime.block_on(listening(&client)),
        };
        Ok(Self {
            client,
            on_change,
            furniture,
            versions: Mutex::default(),
            opened: Mutex::new(Some((runtime, changes))),
            next: Mutex::default(),
        })
    }

    /// What the command was given.
    pub(super) fn given(&self, secrets: &Secrets) {
        *self.versions.lock().unwrap_or_else(PoisonError::into_inner) = secrets.versions();
    }

    /// What comes after the command's end, if that was our doing.
    pub(super) fn next(&self) -> Option<Next> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Watches until `stop`, on this thread.
    pub(super) fn watch(&self, control: &Control<'_>, stop: oneshot::Receiver<()>) {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((runtime, mut changes)) = opened else {
            return;
        };
        runtime.block_on(async {
            tokio::select! {
                _ = stop => {}
                () = self.follow(control, &mut changes) => {}
            }
        });
        // For the command that may come after this one.
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = Some((runtime, changes));
    }

    async fn follow(&self, control: &Control<'_>, changes: &mut Option<Changes>) {
        let mut pause = FIRST_PAUSE;
        loop {
            if let Some(open) = changes {
                while let Ok(Some(change)) = open.next().await {
                    pause = FIRST_PAUSE;
                    if self.meet(&change, control).await {
                        return;
                    }
                }
            }
            *changes = None;
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LAST_PAUSE);
            *changes = listening(&self.client).await;
            // Something may have changed while nobody listened.
            if changes.is_some() && self.on_change != OnChange::Notice && self.renew(control).await {
                return;
            }
        }
    }

    /// Meets a change. `true`: the command was told to end.
    async fn meet(&self, change: &Change, control: &Control<'_>) -> bool {
        match change {
            Change::Secret { path, change, .. } if self.uses(path) => {
                if self.on_change == OnChange::Notice {
                    say(&format!(
                        "{path} was {}; the command keeps what it was started with",
                        change.replace('_', " ")
                    ));
                    return false;
                }
            }
            Change::Revoked { reason } => {
                if self.on_change == OnChange::Notice {
                    if reason != "policy" {
                        say(&format!(
                            "what the agent may read may have changed ({reason}); the command keeps what it was started with"
                        ));
                    }
                    return false;
                }
            }
            _ => return false,
        }
        self.renew(control).await
    }

    fn uses(&self, path: &str) -> bool {
        let versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        versions.keys().any(|(used, _)| used == path)
    }

    /// Reads anew, and does what was asked for when something is different. `true`: the command was told to end.
    async fn renew(&self, control: &Control<'_>) -> bool {
        loop {
            match Secrets::read_by(&self.client, Duration::ZERO, &self.furniture.references).await {
                Ok(secrets) => return self.renewed(secrets, control).await,
                Err(Failure { code: LATER, .. }) => tokio::time::sleep(AGAIN).await,
                Err(failure) => {
                    say(failure.text.trim_end_matches("\nnothing was started"));
                    return match self.on_change {
                        OnChange::Restart | OnChange::Exit => {
                            let code = if failure.code == DENIED { DENIED } else { LATER };
                            say("the command is ended");
                            self.end(Next::End(code), control).await
                        }
                        OnChange::Signal(_) | OnChange::Notice => false,
                    };
                }
            }
        }
    }

    async fn renewed(&self, secrets: Secrets, control: &Control<'_>) -> bool {
        let versions = secrets.versions();
        let different: Vec<String> = {
            let before = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
            let changed = versions
                .iter()
                .filter(|(key, version)| before.get(key) != Some(version));
            changed.map(|((path, _), _)| path.clone()).collect()
        };
        if different.is_empty() {
            return false;
        }
        let names = different.join(", ");
        match self.on_change {
            OnChange::Notice => false,
            OnChange::Signal(signal) => {
                *self.versions.lock().unwrap_or_else(PoisonError::into_inner) = versions;
                if let Err(problem) = control.with_files(|files| self.furniture.renew(&secrets, files)) {
                    say(&format!(
                        "{names} changed, and its files could not be written: {problem}"
                    ));
                    return false;
                }
                say(&format!("{names} changed; the command is told by a signal"));
                control.signal(signal);
                false
            }
            OnChange::Restart => match Signals::take() {
                Ok(signals) => {
                    say(&format!("{names} changed; the command is started anew"));
                    self.end(Next::Again(secrets, signals), control).await
                }
                Err(error) => {
                    say(&format!(
                        "{names} changed, and the command cannot be started anew: {error}"
                    ));
                    false
                }
            },
            OnChange::Exit => {
                say(&format!("{names} changed; the command is ended"));
                self.end(Next::End(LATER), control).await
            }
        }
    }

    /// Ends the command; what does not end is killed. A command that has ended by itself has the last word.
    async fn end(&self, next: Next, control: &Control<'_>) -> bool {
        if !control.signal(Signal::TERM) {
            return true;
        }
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(next);
        tokio::time::sleep(GRACE).await;
        control.signal(Signal::KILL);
        true
    }
}

/// A connection that has said that from now on nothing is missed; none if the server cannot be heard now.
async fn listening(client: &Client) -> Option<Changes> {
    let mut changes = client.secret_changes().await.ok()?;
    match changes.next().await {
        Ok(Some(Change::Ready)) => Some(changes),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_do_is_read_from_a_word() {
        for (text, expected) in [
            ("notice", OnChange::Notice),
            ("restart", OnChange::Restart),
            ("exit", OnChange::Exit),
            ("signal:HUP", OnChange::Signal(Signal::HUP)),
            ("signal:SIGUSR1", OnChange::Signal(Signal::USR1)),
        ] {
            assert_eq!(text.parse::<OnChange>().unwrap(), expected);
        }
        for text in ["", "HUP", "signal:", "signal:KILL", "Restart"] {
            assert!(text.parse::<OnChange>().is_err(), "{text}");
        }
    }
}
