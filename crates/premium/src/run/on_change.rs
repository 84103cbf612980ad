//! What a command wants done when one of its secrets changes.

use std::str::FromStr;

use rustix::process::Signal;
use serde::Deserialize;

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
