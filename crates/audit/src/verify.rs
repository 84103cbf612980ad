//! Checking the whole log offline: every leaf, every link, every commitment, and the decisions
//! that the leaves tell of.

use aim_core::{Id, OrganizationId, ctx::ActorRef};
use aim_crypto::digest::hex;
use aim_store::{
    Db, Result, each,
    schema::{audit_log, decisions},
};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl, SelectableHelper};
use serde::Serialize;

use crate::{
    leaf::{Leaf, commitment, leaf_hash, link},
    log::{Record, canonical, head},
};

/// How many records are read at a time.
const CHUNK: i64 = 2_000;
/// How many findings are told one by one.
const MOST_FINDINGS: usize = 100;

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The index of the record.
    pub leaf_index: i64,
    /// What is wrong with it.
    pub problem: String,
}

/// What a check of the log found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether everything is as it was written.
    pub intact: bool,
    /// How many records were checked.
    pub records: i64,
    /// The link of the last record, in hex: note it down, and give it to a later check.
    pub head: String,
    /// What is wrong, oldest first; at most a hundred.
    pub findings: Vec<Finding>,
}

/// Checks the log from its first record to its head. `expected` is a size and link noted down
/// earlier: it shows that nothing was cut off or rewritten since, by whomever.
///
/// # Errors
/// The database's. What is wrong with the log is in the report, not an error.
pub fn verify(db: &mut Db, expected: Option<(i64, String)>) -> Result<Report> {
    let mut findings = Vec::new();
    let mut note = |leaf_index: i64, problem: &str| {
        if findings.len() < MOST_FINDINGS {
            findings.push(Finding {
                leaf_index,
                problem: problem.to_owned(),
            });
        }
    };
    let (size, stored_link) = head(db)?;
    let mut before = vec![0_u8; 32];
    let mut next = 0_i64;
    if let Some((0, link)) = &expected
        && *link != hex(&before)
    {
        note(0, "the head noted earlier is not that of an empty log");
    }
    loop {
        let rows: Vec<Record> = each!(db, c => audit_log::table
            .filter(audit_log::leaf_index.ge(next))
            .order(audit_log::leaf_index)
            .limit(CHUNK)
            .select(Record::as_select())
            .load(c))?;
        let Some(last) = rows.last() else { break };
        let end = last.leaf_index + 1;
        for row in &rows {
            if row.leaf_index != next {
                note(next, "records are missing here");
            }
            check(db, row, &before, &mut note)?;
            before.clone_from(&row.link);
            next = row.leaf_index + 1;
            if let Some((expected_size, expected_link)) = &expected
                && next == *expected_size
                && hex(&row.link) != *expected_link
            {
                note(
                    row.leaf_index,
                    "the log was rewritten: the link noted earlier for this size is another",
                );
            }
        }
        next = end;
    }
    if next != size {
        note(size.min(next), "the log ends at another place than its head says");
    }
    if before != stored_link {
        note(next, "the head's link is not that of the last record");
    }
    if let Some((expected_size, _)) = expected
        && next < expected_size
    {
        note(
            next,
            "the log is shorter than it was: records were cut off its end",
        );
    }
    Ok(Report {
        intact: findings.is_empty(),
        records: next,
        head: hex(&before),
        findings,
    })
}

fn check(db: &mut Db, row: &Record, before: &[u8], note: &mut impl FnMut(i64, &str)) -> Result<()> {
    let hash = leaf_hash(row.leaf.as_bytes());
    if hash.as_slice() != row.leaf_hash {
        note(row.leaf_index, "the leaf was altered: its hash is another");
    }
    if link(before, &hash).as_slice() != row.link {
        note(row.leaf_index, "the record does not link to the one before it");
    }
    let Ok(leaf) = serde_json::from_str::<Leaf<'_>>(&row.leaf) else {
        note(row.leaf_index, "the leaf cannot be read");
        return Ok(());
    };
    let actor = ActorRef {
        kind: row.actor_kind.clone(),
        id: row.actor_id.clone(),
    };
    let same = leaf.organization_id == row.org_id
        && leaf.id == row.id
        && leaf.at == row.created_at
        && leaf.kind == row.kind
        && leaf.action == row.action
        && leaf.actor == actor
        && leaf.agent_id == row.agent_id
        && leaf.target_kind == row.target_kind
        && leaf.target_id == row.target_id
        && leaf.outcome == row.outcome;
    if !same {
        note(row.leaf_index, "a column says something else than the leaf");
    }
    if let (Some(details), Some(salt)) = (&row.details, &row.salt) {
        let commit = commitment(salt, &[&canonical(&details.0)?]);
        if leaf.commitment != Some(hex(&commit)) {
            note(
                row.leaf_index,
                "the details were altered: they do not match the leaf's commitment",
            );
        }
    }
    if row.kind == "decision" {
        check_decision(db, row, &leaf, note)?;
    }
    Ok(())
}

type Evidence = (String, String, Vec<u8>, i64, String);

fn check_decision(
    db: &mut Db,
    row: &Record,
    leaf: &Leaf<'_>,
    note: &mut impl FnMut(i64, &str),
) -> Result<()> {
    let Some(id) = row
        .target_id
        .as_ref()
        .and_then(|id| id.parse::<aim_core::DecisionId>().ok())
    else {
        note(row.leaf_index, "the leaf names no decision");
        return Ok(());
    };
    let organization: OrganizationId = row.org_id;
    let found: Option<Evidence> = each!(db, c => decisions::table
        .find((organization, Id::from_uuid(id.uuid()) as aim_core::DecisionId))
        .select((decisions::inputs, decisions::verdict, decisions::salt, decisions::leaf_index, decisions::outcome))
        .first(c)
        .optional())?;
    match found {
        None => note(row.leaf_index, "the decision that the leaf tells of is gone"),
        Some((inputs, verdict, salt, index, outcome)) => {
            let commit = commitment(&salt, &[inputs.as_bytes(), verdict.as_bytes()]);
            if leaf.commitment != Some(hex(&commit)) || outcome != row.outcome || index != row.leaf_index {
                note(
                    row.leaf_index,
                    "the decision was altered: it does not match the leaf's commitment",
                );
            }
        }
    }
    Ok(())
}
