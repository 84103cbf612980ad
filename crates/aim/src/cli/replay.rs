//! `aim replay`: decides a recorded decision again from its recorded inputs, and compares byte for byte.

use std::process::ExitCode;

use aim_core::{DecisionId, OrganizationId, Timestamp};
use aim_decision::{ReplayError, Verdict, replay, slugs};
use aim_store::{
    Db, Scope, Store, each,
    schema::{decisions, snapshots},
};
use clap::Args;
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl};
use serde_json::json;

use super::{Failure, Outcome, StorageArguments};
use crate::{installation, terminal};

/// The record and what it leads to are not the same.
const DIFFERENT: u8 = 2;
/// Retention has erased the inputs: nothing can be said either way.
const ERASED: u8 = 3;

#[derive(Debug, Args)]
pub(crate) struct ReplayArguments {
    /// The decision, by the id that its answer carried.
    decision: DecisionId,
    #[command(flatten)]
    storage: StorageArguments,
}

/// What is recorded of a decision.
struct Recorded {
    organization: OrganizationId,
    decided_at: Timestamp,
    snapshot: String,
    inputs: String,
    verdict: String,
    salt: Vec<u8>,
}

/// A decision that was decided again.
pub(crate) struct Again {
    organization: OrganizationId,
    decided_at: Timestamp,
    /// None where retention has erased the inputs.
    result: Option<Result<Verdict, ReplayError>>,
}

impl Again {
    /// Whether the recorded inputs lead to the recorded verdict; none where retention has erased them.
    pub(crate) fn is_same(&self) -> Option<bool> {
        self.result.as_ref().map(Result::is_ok)
    }
}

/// Decides the recorded decision `id` again.
pub(crate) async fn again(store: &Store, id: DecisionId) -> Result<Again, Failure> {
    let recorded = store
        .read(Scope::Installation, move |db| recorded(db, id))
        .await?
        .ok_or_else(|| Failure::new(format!("there is no decision {id} in this database")))?;
    let is_erased = recorded.inputs.is_empty() && recorded.salt.is_empty();
    let result = (!is_erased).then(|| {
        replay(
            recorded.snapshot.as_bytes(),
            recorded.inputs.as_bytes(),
            recorded.verdict.as_bytes(),
        )
    });
    Ok(Again {
        organization: recorded.organization,
        decided_at: recorded.decided_at,
        result,
    })
}

impl ReplayArguments {
    pub(crate) async fn run(self, json: bool) -> Outcome {
        let settings = self.storage.settings()?;
        let store = installation::inspect(&settings, &self.storage.data).await?;
        let again = again(&store, self.decision).await?;
        if json {
            terminal::json(&json!({
                "decision_id": self.decision,
                "organization_id": again.organization,
                "decided_at": again.decided_at,
                "matches": again.is_same(),
                "erased": again.result.is_none(),
                "problem": again.result.as_ref().and_then(|result| result.as_ref().err()).map(ToString::to_string),
                "verdict": again.result.as_ref().and_then(|result| result.as_ref().ok()),
            }));
        } else {
            match &again.result {
                Some(Ok(verdict)) => terminal::line(format!("the same verdict: {}", told(verdict))),
                Some(Err(problem)) => terminal::line(format!("NOT THE SAME: {problem}")),
                None => terminal::line(
                    "erased: retention has removed what was asked, so it cannot be decided again; the verdict's record stands in the audit log",
                ),
            }
        }
        Ok(match again.is_same() {
            Some(true) => ExitCode::SUCCESS,
            Some(false) => ExitCode::from(DIFFERENT),
            None => ExitCode::from(ERASED),
        })
    }
}

fn told(verdict: &Verdict) -> String {
    format!(
        "{} ({})",
        verdict.outcome.as_str(),
        slugs(&verdict.reasons).join(", ")
    )
}

fn recorded(db: &mut Db, id: DecisionId) -> aim_store::Result<Option<Recorded>> {
    type Row = (OrganizationId, Timestamp, Vec<u8>, String, String, Vec<u8>);
    let row: Option<Row> = each!(db, c => decisions::table
        .filter(decisions::id.eq(id))
        .select((
            decisions::org_id,
            decisions::created_at,
            decisions::snapshot_digest,
            decisions::inputs,
            decisions::verdict,
            decisions::salt,
        ))
        .first(c)
        .optional())?;
    let Some((organization, decided_at, digest, inputs, verdict, salt)) = row else {
        return Ok(None);
    };
    let snapshot: Option<String> = each!(db, c => snapshots::table
        .find((organization, &digest))
        .select(snapshots::body)
        .get_result(c)
        .optional())?;
    // A snapshot that is gone cannot have the digest that the inputs name: the replay says so.
    Ok(Some(Recorded {
        organization,
        decided_at,
        snapshot: snapshot.unwrap_or_default(),
        inputs,
        verdict,
        salt,
    }))
}
