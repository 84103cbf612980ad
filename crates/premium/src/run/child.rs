//! The child: started, given the signals that were meant for it, waited for.
//!
//! It stays in the process group, so that the terminal is its own as much as ours. What the terminal
//! itself sends (Ctrl-C) reaches the whole group; it is not passed on a second time. What somebody sends
//! to us alone is.

use std::{
    ffi::OsString,
    io::{self, Read, Write},
    os::unix::process::ExitStatusExt,
    process::{self, Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH},
    iterator::{SignalsInfo, exfiltrator::WithOrigin},
    low_level::siginfo::{Cause, Origin},
};

use tokio::sync::oneshot;

use super::{
    files::PrivateFiles,
    redact::{Patterns, Redactor},
    tree::Tree,
    watch::{GRACE, Watcher},
};

/// What is passed on.
const PASSED_ON: [i32; 7] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH];
/// What a terminal sends to the whole process group by itself.
const OF_TERMINAL: [i32; 3] = [SIGINT, SIGQUIT, SIGWINCH];
/// What ends a program that does not handle it, of what we take.
const ENDING: [i32; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];
/// What tells a program to end. Others may mean something else to it: to be configured anew, to show its threads.
const STOPPING: [i32; 2] = [SIGINT, SIGTERM];
/// What a shell adds to the number of the signal that ended a program.
const SIGNAL_BASE: i32 = 128;
/// As shells and `env` say it.
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;
const PIECE: usize = 16 * 1024;

/// What is started and with what.
pub struct Order {
    /// The program and its arguments.
    pub command: Vec<OsString>,
    /// Variables beside those that it inherits.
    pub environment: Vec<(String, OsString)>,
    /// What may not pass its output; none: the output is not looked at.
    pub redact: Option<Patterns>,
}

/// Why there was no child: an exit code, and what to say.
pub struct NotStarted(pub u8, pub String);

/// How the child ended.
pub struct Ended {
    /// Its exit code, as shells have it.
    pub code: u8,
    /// Whether somebody else than we told it to end.
    pub was_told: bool,
}

/// What has become of the child so far.
#[derive(Clone, Copy)]
enum Stage {
    Running(Pid),
    /// It ended; somebody that it started still writes.
    Ended,
}

/// Signals that wait for the child: taken before it starts, so that none ends this process and leaves its
/// files behind.
pub struct Signals(SignalsInfo<WithOrigin>);

impl Signals {
    /// Takes the signals that are passed on. What was ignored when this process started (`nohup`, a job in
    /// the background) stays ignored, for the child too.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn take() -> io::Result<Self> {
        let ignored = ignored();
        let wanted = PASSED_ON.iter().filter(|signal| !ignored.contains(signal));
        SignalsInfo::new(wanted).map(Self)
    }
}

/// What a watcher can do to the child while it runs.
pub struct Control<'a> {
    stage: &'a Mutex<Stage>,
    files: &'a Mutex<Option<PrivateFiles>>,
    was_told: &'a AtomicBool,
}

impl Control<'_> {
    /// Whether somebody else has told it to end.
    pub fn was_told(&self) -> bool {
        self.was_told.load(Ordering::Acquire)
    }

    /// What it has started; none if it has ended.
    pub(super) fn tree(&self) -> Option<Tree> {
        match *self.stage.lock().unwrap_or_else(PoisonError::into_inner) {
            Stage::Running(child) => Some(Tree::of(child)),
            Stage::Ended => None,
        }
    }

    /// Sends it a signal. `false`: it has ended.
    pub fn signal(&self, signal: Signal) -> bool {
        let stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        let Stage::Running(child) = *stage else {
            return false;
        };
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        let is_over = !matches!(waitid(WaitId::Pid(child), ended), Ok(None));
        !is_over && kill_process(child, signal).is_ok()
    }

    /// Does something to its files, if it has any and they are there.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn with_files(
        &self,
        work: impl FnOnce(&mut PrivateFiles) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.as_mut().map_or(Ok(()), work)
    }
}

/// The signals that are ignored in this process.
fn ignored() -> Vec<i32> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored_in(&status)
}

fn ignored_in(status: &str) -> Vec<i32> {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0);
    (1..=64)
        .filter(|signal| (mask >> (signal - 1)) & 1 == 1)
        .collect()
}

/// Runs the child to its end and answers how it ended. `files` are removed when it has. The watcher watches meanwhile; when it
/// ends the child, then what the child has started too.
///
/// # Errors
/// [`NotStarted`].
pub(super) fn run(
    order: Order,
    files: Option<PrivateFiles>,
    signals: Signals,
    watcher: Option<&Watcher<'_>>,
) -> Result<Ended, NotStarted> {
    let Signals(mut signals) = signals;
    // What came while files were written was meant for the command, and there is none yet.
    if let Some(early) = signals.pending().find(|origin| ENDING.contains(&origin.signal)) {
        let code = u8::try_from(SIGNAL_BASE + early.signal).unwrap_or(u8::MAX);
        return Err(NotStarted(
            code,
            "a signal came before the command was started".to_owned(),
        ));
    }
    let mut child = start(&order)?;
    drop(order.environment);
    let stage = Mutex::new(Stage::Running(Pid::from_child(&child)));
    let files = Mutex::new(files);
    let was_told = AtomicBool::new(false);
    let control = Control {
        stage: &stage,
        files: &files,
        was_told: &was_told,
    };
    let handle = signals.handle();
    let status = thread::scope(|scope| {
        let (stop, stopped) = oneshot::channel();
        let watching = watcher.map(|watcher| {
            let control = &control;
            scope.spawn(move || watcher.watch(control, stopped))
        });
        scope.spawn(|| {
            signals
                .forever()
                .for_each(|origin| pass_on(&stage, &was_told, &origin))
        });
        let streams = order.redact.map(|patterns| scrubbed(&mut child, patterns));
        let status = wait(&mut child, &stage, &files);
        let _ = stop.send(());
        // It may be ending what the child has started.
        let _ = watching.map(thread::ScopedJoinHandle::join);
        if let Some(streams) = streams {
            // What the child started may still write; a signal ends that. Where we ended the child, what is left has nothing to
            // do with it any more, and is not waited for.
            let _ = if watcher.is_some_and(Watcher::has_ended_it) {
                streams.recv_timeout(GRACE).is_ok()
            } else {
                streams.recv().is_ok()
            };
        }
        handle.close();
        status
    });
    status
        .map(|status| Ended {
            code: exit_code(status),
            was_told: was_told.into_inner(),
        })
        .map_err(|error| NotStarted(NOT_EXECUTABLE, format!("the command was lost: {error}")))
}

/// Copies the child's output without the values. What is answered is cut off when both streams have ended. The threads stay as
/// long as somebody writes: what a daemon of the child's writes is looked at as well.
fn scrubbed(child: &mut Child, patterns: Patterns) -> mpsc::Receiver<()> {
    let (both, ended) = mpsc::channel::<()>();
    let patterns = Arc::new(patterns);
    if let Some(out) = child.stdout.take() {
        let (open, patterns) = (both.clone(), Arc::clone(&patterns));
        thread::spawn(move || {
            scrub(out, io::stdout(), &patterns);
            drop(open);
        });
    }
    if let Some(err) = child.stderr.take() {
        thread::spawn(move || {
            scrub(err, io::stderr(), &patterns);
            drop(both);
        });
    }
    ended
}

fn start(order: &Order) -> Result<Child, NotStarted> {
    let [program, arguments @ ..] = order.command.as_slice() else {
        return Err(NotStarted(NOT_FOUND, "there is no command".to_owned()));
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .envs(order.environment.iter().map(|(name, value)| (name, value)));
    if order.redact.is_some() {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
    }
    command.spawn().map_err(|error| {
        let code = if error.kind() == io::ErrorKind::NotFound {
            NOT_FOUND
        } else {
            NOT_EXECUTABLE
        };
        NotStarted(code, format!("{}: {error}", program.to_string_lossy()))
    })
}

/// Waits for the child, and removes its files. Its number is given back to the system under the lock, so that
/// no signal goes to whoever gets that number next.
fn wait(
    child: &mut Child,
    stage: &Mutex<Stage>,
    files: &Mutex<Option<PrivateFiles>>,
) -> io::Result<ExitStatus> {
    let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while let Err(error) = waitid(WaitId::Pid(Pid::from_child(child)), ended) {
        if error != rustix::io::Errno::INTR {
            break;
        }
    }
    let mut stage = stage.lock().unwrap_or_else(PoisonError::into_inner);
    let status = child.wait();
    drop(files.lock().unwrap_or_else(PoisonError::into_inner).take());
    *stage = Stage::Ended;
    status
}

fn pass_on(stage: &Mutex<Stage>, was_told: &AtomicBool, origin: &Origin) {
    let stage = stage.lock().unwrap_or_else(PoisonError::into_inner);
    match *stage {
        Stage::Running(child) => {
            let by_system = origin.cause == Cause::Kernel;
            // The system says by SIGHUP that the terminal is gone.
            if STOPPING.contains(&origin.signal) || (by_system && origin.signal == SIGHUP) {
                was_told.store(true, Ordering::Release);
            }
            let told_by_terminal = by_system && OF_TERMINAL.contains(&origin.signal);
            if let Some(signal) = Signal::from_named_raw(origin.signal).filter(|_| !told_by_terminal) {
                // It ended in between, or is another user's by now (sudo): there is nothing else to do.
                let _ = kill_process(child, signal);
            }
        }
        Stage::Ended if ENDING.contains(&origin.signal) => process::exit(SIGNAL_BASE + origin.signal),
        Stage::Ended => {}
    }
}

fn exit_code(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| SIGNAL_BASE + signal))
        .unwrap_or(i32::from(NOT_EXECUTABLE));
    u8::try_from(code).unwrap_or(u8::MAX)
}

/// Copies until the stream ends. When nobody reads any more, the child is told by its closed pipe.
fn scrub(mut from: impl Read, mut to: impl Write, patterns: &Patterns) {
    let mut redactor = Redactor::new(patterns);
    let mut piece = vec![0; PIECE];
    let mut out = Vec::with_capacity(2 * PIECE);
    loop {
        let read = match from.read(&mut piece) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => 0,
        };
        out.clear();
        if read == 0 {
            redactor.finish(&mut out);
            let _ = to.write_all(&out).and_then(|()| to.flush());
            return;
        }
        redactor.push(piece.get(..read).unwrap_or_default(), &mut out);
        if to.write_all(&out).and_then(|()| to.flush()).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended_by(script: &str) -> u8 {
        exit_code(Command::new("/bin/sh").args(["-c", script]).status().unwrap())
    }

    #[test]
    fn exit_codes_pass_through_and_signals_count_from_128() {
        assert_eq!(ended_by("exit 0"), 0);
        assert_eq!(ended_by("exit 77"), 77);
        assert_eq!(ended_by("exit 255"), 255);
        assert_eq!(ended_by("kill -TERM $$"), 143);
        assert_eq!(ended_by("kill -KILL $$"), 137);
    }

    #[test]
    fn ignored_signals_are_read_from_the_mask() {
        assert_eq!(ignored_in("Name:\tx\nSigIgn:\t0000000000001001\n"), [SIGHUP, 13]);
        assert_eq!(ignored_in("SigIgn:\t0000000000000000"), [0; 0]);
        assert_eq!(ignored_in(""), [0; 0]);
    }

    #[test]
    fn a_command_that_cannot_start_is_told_as_shells_tell_it() {
        let code = |program: &str| {
            let order = Order {
                command: vec![program.into()],
                environment: Vec::new(),
                redact: None,
            };
            start(&order).err().map(|NotStarted(code, _)| code)
        };
        assert_eq!(code("/nowhere/at/all"), Some(NOT_FOUND));
        assert_eq!(code("/etc/passwd"), Some(NOT_EXECUTABLE));
    }

    #[test]
    fn a_stream_is_scrubbed_to_its_end() {
        let mut patterns = Patterns::default();
        assert!(patterns.add(b"sk_live_1234"));
        let mut out = Vec::new();
        scrub(&b"a sk_live_1234 b sk_live_"[..], &mut out, &patterns);
        assert_eq!(out, b"a [redacted] b sk_live_");
    }
}
