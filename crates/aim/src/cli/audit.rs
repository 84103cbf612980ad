//! `aim audit verify`: the log is as it was written, or it is told what is not.

use std::process::ExitCode;

use aim_compliance::verification;
use aim_core::{Clock, SystemClock};
use aim_store::Scope;
use clap::{Args, Subcommand};

use super::{Outcome, StorageArguments};
use crate::{installation, terminal};

/// The log is not as it was written.
const NOT_INTACT: u8 = 2;

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Check every record of the audit log, its links, and the decisions that it tells of.
    Verify(VerifyArguments),
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    #[command(flatten)]
    storage: StorageArguments,
    /// Size and link that an earlier check printed: shows that nothing was cut off or rewritten since.
    #[arg(long, value_name = "SIZE:LINK", value_parser = parse_expected)]
    expect: Option<(i64, String)>,
}

fn parse_expected(text: &str) -> Result<(i64, String), String> {
    let refusal = || "write it as SIZE:LINK, as an earlier check printed it".to_owned();
    let (size, link) = text.split_once(':').ok_or_else(refusal)?;
    let size: i64 = size.parse().map_err(|_| refusal())?;
    let is_hex = link.len() == 64 && link.bytes().all(|byte| byte.is_ascii_hexdigit());
    if size < 0 || !is_hex {
        Err(refusal())
    } else {
        Ok((size, link.to_ascii_lowercase()))
    }
}

impl AuditCommand {
    pub(crate) async fn run(self, json: bool) -> Outcome {
        let Self::Verify(arguments) = self;
        let settings = arguments.storage.settings()?;
        let store = installation::inspect(&settings, &arguments.storage.data).await?;
        let expected = arguments.expect;
        let report = store
            .read(Scope::Installation, move |db| aim_audit::verify(db, expected))
            .await?;
        let (noted, now) = (report.clone(), SystemClock.now());
        let noted = store
            .write(Scope::Installation, move |db| {
                verification::note(db, &noted, verification::Source::Command, now)
            })
            .await;
        if let Err(error) = noted {
            // A copy that cannot be written, or an older database: what was found holds all the same.
            terminal::complaint(format!("the check could not be noted down: {error}"));
        }
        if json {
            terminal::json(&report);
        } else {
            for finding in &report.findings {
                terminal::line(format!("record {}: {}", finding.leaf_index, finding.problem));
            }
            let verdict = if report.intact { "intact" } else { "NOT INTACT" };
            terminal::line(format!(
                "{verdict}: {} records, head {}:{}",
                report.records, report.records, report.head
            ));
        }
        Ok(if report.intact {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(NOT_INTACT)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expected_head_is_a_size_and_a_link() {
        let link = "AB".repeat(32);
        assert_eq!(parse_expected(&format!("12:{link}")), Ok((12, "ab".repeat(32))));
        for text in [
            "",
            "12",
            "x:00",
            "12:00",
            &format!("-1:{link}"),
            &format!("12:{}", "zz".repeat(32)),
        ] {
            assert!(parse_expected(text).is_err(), "{text}");
        }
    }
}
