//! What becomes of the command when a secret that it got changes, or when its agent may not read it any more.
//!
//! The server pushes changes; what they mean is found out by reading anew, so that an event alone, or a connection that broke,
//! decides nothing.

use std::{
    convert::Infallible,
    ops::ControlFlow,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aim_client::{Change, Changes, Client};
use rustix::process::Signal;
use tokio::{
    runtime::Runtime,
    sync::{Notify, oneshot},
    time::timeout,
};

use super::{
    DENIED, Failure, Furniture, LATER,
    child::{Control, Signals},
    known::{Given, Heard},
    on_change::OnChange,
    say,
    secrets::{Asked, Renewal, Secrets, keys},
};

/// How long a command has to end before it is killed.
pub(super) const GRACE: Duration = Duration::from_secs(10);
/// The pauses between connections: the first, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LAST_PAUSE: Duration = Duration::from_secs(8);
/// The same between tries of what cannot be done now.
const FIRST_TRY: Duration = Duration::from_secs(2);
const LAST_TRY: Duration = Duration::from_secs(64);
/// The same between looks at what a person decides.
const FIRST_LOOK: Duration = Duration::from_secs(1);
const LAST_LOOK: Duration = Duration::from_secs(8);

/// What comes after the command, where its own end is not the end.
pub(super) enum Next {
    /// The command again, with these; the signals were taken before it was ended.
    Again(Secrets, Signals),
    /// The end, with this code.
    End(u8),
}

/// What came of a look at what the command may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// It has what there is.
    Current,
    /// A person decides first.
    Waiting,
    /// It could not be found out, or done, now.
    Later,
    /// A grant's rate is used up. It says nothing of the command; it is tried again at the usual time.
    Spent,
    /// It may not, and goes on all the same. Nothing is asked until something is heard, or each time would be a denial.
    Refused,
}

/// Watches for changes while the command runs.
pub(super) struct Watcher<'a> {
    client: Client,
    on_change: OnChange,
    furniture: &'a Furniture<'a>,
    /// After what time it is read anew though nothing was heard.
    every: Option<Duration>,
    given: Mutex<Given>,
    heard: Mutex<Heard>,
    /// Something was heard.
    news: Notify,
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
        every: Option<Duration>,
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
            every,
            given: Mutex::default(),
            heard: Mutex::default(),
            news: Notify::new(),
            opened: Mutex::new(Some((runtime, changes))),
            next: Mutex::default(),
        })
    }

    /// What the command was given.
    pub(super) fn given(&self, secrets: &Secrets) {
        *self.known() = Given {
            versions: secrets.versions(),
            by_person: secrets.by_person(),
        };
    }

    fn known(&self) -> MutexGuard<'_, Given> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What comes after the command's end, if that was our doing.
    pub(super) fn next(&self) -> Option<Next> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether the command's end was our doing.
    pub(super) fn has_ended_it(&self) -> bool {
        let next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        next.is_some()
    }

    /// Watches until the command has `ended`, on this thread; where we end it, until what it started has ended too.
    pub(super) fn watch(&self, control: &Control<'_>, mut ended: oneshot::Receiver<()>) {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((runtime, mut changes)) = opened else {
            return;
        };
        runtime.block_on(async {
            let next = tokio::select! {
                _ = &mut ended => None,
                never = self.listen(&mut changes) => match never {},
                next = self.renewals(control) => Some(next),
            };
            if let Some(next) = next {
                self.end(next, control, ended).await;
            }
        });
        // For the command that may come after this one.
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = Some((runtime, changes));
    }

    async fn listen(&self, changes: &mut Option<Changes>) -> Infallible {
        let mut pause = FIRST_PAUSE;
        // What changes in the moment before the first connection is no matter for a notice.
        let mut may_have_missed = self.on_change != OnChange::Notice;
        loop {
            if changes.is_none() {
                *changes = listening(&self.client).await;
                if changes.is_some() && may_have_missed {
                    self.missed();
                }
            }
            if let Some(open) = changes {
                while let Ok(Some(change)) = open.next().await {
                    pause = FIRST_PAUSE;
                    self.meet(&change);
                }
            }
            *changes = None;
            may_have_missed = true;
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    /// Something may have changed while nobody listened.
    fn missed(&self) {
        if self.on_change == OnChange::Notice {
            say(
                "the server could not be heard for a while, and secrets may have changed; the command keeps what it was started with",
            );
        } else {
            self.hear(Heard::anything);
        }
    }

    fn hear(&self, note: impl FnOnce(&mut Heard)) {
        note(&mut self.heard.lock().unwrap_or_else(PoisonError::into_inner));
        self.news.notify_one();
    }

    fn meet(&self, change: &Change) {
        let is_notice = self.on_change == OnChange::Notice;
        match change {
            Change::Secret { path, change, .. } if self.uses(path) && is_notice => {
                say(&format!(
                    "{path} was {}; the command keeps what it was started with",
                    change.replace('_', " ")
                ));
            }
            Change::Secret {
                path,
                version,
                change,
            } if self.uses(path) => self.hear(|heard| heard.change(path, *version, change)),
            Change::Revoked { reason } => {
                if !is_notice {
                    self.hear(Heard::anything);
                } else if reason != "policy" {
                    say(&format!(
                        "what the agent may read may have changed ({reason}); the command keeps what it was started with"
                    ));
                }
            }
            _ => {}
        }
    }

    fn uses(&self, path: &str) -> bool {
        self.known().uses(path)
    }

    /// Reads anew when something was heard, and now and then; until the command is to end.
    async fn renewals(&self, control: &Control<'_>) -> Next {
        if self.on_change == OnChange::Notice {
            return std::future::pending().await;
        }
        let mut asked = Asked::default();
        let mut outcome = Outcome::Current;
        let mut tries = 0;
        loop {
            let patience = match outcome {
                Outcome::Current | Outcome::Spent => self.every,
                Outcome::Waiting => Some(pause(FIRST_LOOK, tries, LAST_LOOK)),
                Outcome::Later => Some(pause(FIRST_TRY, tries, LAST_TRY)),
                Outcome::Refused => None,
            };
            let is_heard = self.heard_within(patience).await;
            // As long as a person has not decided, nothing else is read meanwhile.
            let now = if !is_heard && outcome == Outcome::Waiting && asked.are_open(&self.client).await {
                outcome
            } else {
                // At the usual time nobody is asked for approvals.
                let is_whole = is_heard || outcome != Outcome::Current;
                match self.renew(is_whole, &mut asked, control).await {
                    ControlFlow::Continue(now) => now,
                    ControlFlow::Break(next) => return next,
                }
            };
            tries = if now == outcome && !is_heard { tries + 1 } else { 0 };
            outcome = now;
        }
    }

    /// Waits until something new is heard. `false`: nothing was in this time.
    async fn heard_within(&self, patience: Option<Duration>) -> bool {
        let heard = async {
            loop {
                self.news.notified().await;
                if self.is_new() {
                    return;
                }
            }
        };
        match patience {
            Some(patience) => timeout(patience, heard).await.is_ok(),
            None => {
                heard.await;
                true
            }
        }
    }

    fn is_new(&self) -> bool {
        let heard = std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner));
        heard.is_new(&self.known())
    }

    /// Reads anew, and does what was asked for when something is different. Unless it `is_whole`, what a person approved is left
    /// out: it would be asked for each time.
    async fn renew(
        &self,
        is_whole: bool,
        asked: &mut Asked,
        control: &Control<'_>,
    ) -> ControlFlow<Next, Outcome> {
        let mut wanted = keys(&self.furniture.references);
        if !is_whole {
            wanted.retain(|key| !self.known().by_person.contains(key));
        }
        let secrets = match Secrets::renew(&self.client, &wanted, asked).await {
            Renewal::Read(secrets) => secrets,
            Renewal::Waiting => return ControlFlow::Continue(Outcome::Waiting),
            Renewal::Spent => return ControlFlow::Continue(Outcome::Spent),
            Renewal::Failed(Failure { code: LATER, .. }) => return ControlFlow::Continue(Outcome::Later),
            Renewal::Failed(failure) => return self.refused(&failure),
        };
        let different = self.known().different(&secrets.versions());
        if different.is_empty() {
            if is_whole {
                self.known().by_person = secrets.by_person();
            }
            return ControlFlow::Continue(Outcome::Current);
        }
        if !is_whole {
            // As if it had been heard.
            self.hear(Heard::anything);
            return ControlFlow::Continue(Outcome::Current);
        }
        match secrets.checked(&self.furniture.references) {
            Ok(secrets) => self.changed(secrets, &different.join(", "), control),
            Err(failure) => self.refused(&failure),
        }
    }

    /// The command may not have what it has, or there is no such thing any more.
    fn refused(&self, failure: &Failure) -> ControlFlow<Next, Outcome> {
        say(failure.text.trim_end_matches("\nnothing was started"));
        match self.on_change {
            OnChange::Restart | OnChange::Exit => {
                let code = if failure.code == DENIED { DENIED } else { LATER };
                say("the command is ended");
                ControlFlow::Break(Next::End(code))
            }
            OnChange::Signal(_) | OnChange::Notice => ControlFlow::Continue(Outcome::Refused),
        }
    }

    fn changed(&self, secrets: Secrets, names: &str, control: &Control<'_>) -> ControlFlow<Next, Outcome> {
        let is_to_end = matches!(self.on_change, OnChange::Restart | OnChange::Exit);
        if is_to_end && control.was_told() {
            say(&format!(
                "{names} changed; the command was told to end, and is left to that"
            ));
            self.given(&secrets);
            return ControlFlow::Continue(Outcome::Current);
        }
        match self.on_change {
            OnChange::Notice => ControlFlow::Continue(Outcome::Current),
            OnChange::Signal(signal) => {
                if let Err(problem) = control.with_files(|files| self.furniture.renew(&secrets, files)) {
                    say(&format!(
                        "{names} changed, and its files could not be written; it is tried again: {problem}"
                    ));
                    return ControlFlow::Continue(Outcome::Later);
                }
                self.given(&secrets);
                say(&format!("{names} changed; the command is told by a signal"));
                control.signal(signal);
                ControlFlow::Continue(Outcome::Current)
            }
            OnChange::Restart => match Signals::take() {
                Ok(signals) => {
                    say(&format!("{names} changed; the command is started anew"));
                    ControlFlow::Break(Next::Again(secrets, signals))
                }
                Err(error) => {
                    say(&format!(
                        "{names} changed, and the command cannot be started anew now: {error}"
                    ));
                    ControlFlow::Continue(Outcome::Later)
                }
            },
            OnChange::Exit => {
                say(&format!("{names} changed; the command is ended"));
                ControlFlow::Break(Next::End(LATER))
            }
        }
    }

    /// Ends the command, then what it started and left; what does not end is killed. A command that has ended by itself has the
    /// last word.
    async fn end(&self, next: Next, control: &Control<'_>, ended: oneshot::Receiver<()>) {
        // Before the signal: what loses its parent by it is not lost.
        let Some(tree) = control.tree() else {
            return;
        };
        if !control.signal(Signal::TERM) {
            return;
        }
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(next);
        let all_ended = async {
            let _ = ended.await;
            // Not at once: a command may end what it started in a way of its own.
            tree.signal(Signal::TERM);
            tree.ended().await;
        };
        if timeout(GRACE, all_ended).await.is_err() {
            control.signal(Signal::KILL);
            tree.kill().await;
        }
    }
}

/// How long is waited after so many tries: twice as long each time.
fn pause(first: Duration, tries: u32, longest: Duration) -> Duration {
    first.saturating_mul(1 << tries.min(16)).min(longest)
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
    fn pauses_grow_up_to_the_longest() {
        let pauses = |tries| pause(FIRST_TRY, tries, LAST_TRY).as_secs();
        assert_eq!([0, 1, 2, 5, 6, u32::MAX].map(pauses), [2, 4, 8, 64, 64, 64]);
    }
}
