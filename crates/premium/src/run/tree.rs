//! What the command has started, and what that has started: it ends with the command, when it is we who end that.
//!
//! Nobody keeps a list of what comes of a process; /proc says of each whose child it is. From the moment on at which the command
//! is to end, we are given what loses its parent, so that nothing slips away between two looks. What had lost its parent before,
//! a daemon, is the command's no more.

use std::{collections::BTreeSet, fs, os::fd::OwnedFd, time::Duration};

use rustix::process::{
    Pid, PidfdFlags, RawPid, Signal, WaitId, WaitIdOptions, getpid, pidfd_open, pidfd_send_signal,
    set_child_subreaper, waitid,
};

/// How often it is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(50);
/// How often what lives is killed: it may start something while it is.
const ROUNDS: usize = 20;

/// A process, as /proc has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Process {
    id: RawPid,
    parent: RawPid,
    /// It has ended, and its parent has not asked how.
    is_over: bool,
    /// When it began; with the number it is the process, whoever gets that number next.
    began: u64,
}

impl Process {
    fn of(id: RawPid) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
    }

    /// proc_pid_stat(5). The name, in parentheses, may hold anything.
    fn parse(stat: &str) -> Option<Self> {
        let (id, rest) = stat.split_once(" (")?;
        let (_, rest) = rest.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        Some(Self {
            id: id.parse().ok()?,
            is_over: matches!(*fields.first()?, "Z" | "X"),
            parent: fields.get(1)?.parse().ok()?,
            began: fields.get(19)?.parse().ok()?,
        })
    }

    fn all() -> Vec<Self> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        entries
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter_map(Self::of)
            .collect()
    }

    /// A hold on this process and on no later one of its number.
    fn hold(self) -> Option<OwnedFd> {
        let held = pidfd_open(Pid::from_raw(self.id)?, PidfdFlags::empty()).ok()?;
        let is_same = Self::of(self.id).is_some_and(|now| now.began == self.began);
        is_same.then_some(held)
    }
}

/// All that comes of `root`, but for children of it that are `strangers` and what comes of those.
fn descendants(all: &[Process], root: RawPid, strangers: &BTreeSet<RawPid>) -> Vec<Process> {
    let mut found: Vec<Process> = Vec::new();
    let mut parents = BTreeSet::from([root]);
    while !parents.is_empty() {
        let children = all.iter().filter(|process| {
            let is_known = process.id == root || found.iter().any(|known| known.id == process.id);
            parents.contains(&process.parent) && !strangers.contains(&process.id) && !is_known
        });
        let children: Vec<Process> = children.copied().collect();
        parents = children.iter().map(|process| process.id).collect();
        found.extend(children);
    }
    found
}

/// What comes of the command. While this lives, what loses its parent is given to us.
pub(super) struct Tree {
    command: RawPid,
    /// Children of ours that we did not start: those of the shell that became this process (`x & exec aim run`).
    strangers: BTreeSet<RawPid>,
}

impl Tree {
    pub(super) fn of(command: Pid) -> Self {
        let (me, command) = (getpid(), command.as_raw_nonzero().get());
        let strangers = Process::all()
            .into_iter()
            .filter(|process| process.parent == me.as_raw_nonzero().get() && process.id != command)
            .map(|process| process.id)
            .collect();
        // Where the system does not have it, what loses its parent is not found again.
        let _ = set_child_subreaper(Some(me));
        Self { command, strangers }
    }

    /// What lives of it, but for the command itself. What was given to us and has ended is let go.
    fn living(&self) -> Vec<OwnedFd> {
        let me = getpid().as_raw_nonzero().get();
        let mut living = Vec::new();
        for process in descendants(&Process::all(), me, &self.strangers) {
            if process.id == self.command {
                continue;
            }
            if !process.is_over {
                living.extend(process.hold());
            } else if process.parent == me
                && let Some(id) = Pid::from_raw(process.id)
            {
                let _ = waitid(WaitId::Pid(id), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
            }
        }
        living
    }

    /// Sends all of it a signal, but for the command itself.
    pub(super) fn signal(&self, signal: Signal) {
        send(&self.living(), signal);
    }

    /// Waits until all of it has ended.
    pub(super) async fn ended(&self) {
        while !self.living().is_empty() {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Ends all of it, whether it wants or not.
    pub(super) async fn kill(&self) {
        for _ in 0..ROUNDS {
            let living = self.living();
            if living.is_empty() {
                return;
            }
            send(&living, Signal::KILL);
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = set_child_subreaper(None);
    }
}

fn send(processes: &[OwnedFd], signal: Signal) {
    for process in processes {
        // It ended in between, or is another user's by now (sudo): there is nothing else to do.
        let _ = pidfd_send_signal(process, signal);
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn process(id: RawPid, parent: RawPid) -> Process {
        Process {
            id,
            parent,
            is_over: false,
            began: 0,
        }
    }

    #[test]
    fn a_process_is_read_whatever_its_name_is() {
        let rest = "0 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 9 9";
        let of = |name: &str, state: &str| Process::parse(&format!("12 ({name}) {state} 7 12 {rest}"));
        for name in ["sh", "a b", "x) Z 1 (y", ""] {
            let expected = Process {
                began: 4711,
                ..process(12, 7)
            };
            assert_eq!(of(name, "S"), Some(expected), "{name}");
        }
        assert!(of("sh", "Z").unwrap().is_over);
        for text in ["", "12", "12 (sh)", "12 (sh) S", "x (sh) S 7 0"] {
            assert_eq!(Process::parse(text), None, "{text}");
        }
        let me = getpid().as_raw_nonzero().get();
        assert!(Process::all().iter().any(|process| process.id == me));
    }

    #[test]
    fn what_comes_of_a_process_is_found_and_what_others_started_is_not() {
        let all = [
            process(1, 0),
            process(5, 1),
            process(9, 5),
            process(8, 9),
            process(7, 5),
            process(6, 7),
            process(4, 1),
        ];
        let ids = |strangers: &[RawPid]| {
            let found = descendants(&all, 5, &strangers.iter().copied().collect());
            found.iter().map(|process| process.id).collect::<BTreeSet<_>>()
        };
        assert_eq!(ids(&[]), BTreeSet::from([6, 7, 8, 9]));
        assert_eq!(ids(&[7]), BTreeSet::from([8, 9]));
        // Numbers that were given anew between two lines of the list make no circle.
        let circle = [process(5, 6), process(6, 5)];
        assert_eq!(descendants(&circle, 5, &BTreeSet::new()), [process(6, 5)]);
    }

    #[test]
    fn a_hold_is_on_one_process_and_not_on_its_number() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let id = Pid::from_child(&child).as_raw_nonzero().get();
        let now = Process::of(id).unwrap();
        let before = Process {
            began: now.began - 1,
            ..now
        };
        assert!(before.hold().is_none());
        send(&[now.hold().unwrap()], Signal::KILL);
        assert!(!child.wait().unwrap().success());
    }
}
