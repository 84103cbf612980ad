//! Checking the whole log offline: every leaf, every link, every commitment, and the decisions
//! that the leaves tell of.

use std::collections::HashMap;

use aim_core::{DecisionId, OrganizationId, Timestamp, ctx::ActorRef};
use aim_crypto::digest::hex;
use aim_store::{
    Db, Result, each,
    schema::{audit_log, decisions},
};
use diesel::{ExpressionMethods, QueryDsl, RunQueryDsl, SelectableHelper, dsl::max};
use serde::Serialize;

use crate::{
    erasure::{self, APPLIED},
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
    /// How many records have had their personal details erased by retention, as the log itself tells.
    pub erased: i64,
    /// What is wrong, oldest first; at most a hundred.
    pub findings: Vec<Finding>,
}

/// Checks the log from its first record to its head. `expected` is a size and link noted down
/// earlier: it shows that nothing was cut off or rewritten since, by whomever.
///
/// # Errors
/// The database's. What is wrong with the log is in the report, not an error.
pub fn verify(db: &mut Db, expected: Option<(i64, String)>) -> Result<Report> {
    let mut verifier = Verifier::new(expected);
    loop {
        if let Some(report) = verifier.step(db)? {
            return Ok(report);
        }
    }
}

/// A check of the log in pieces, while the log may grow: what is there when the last piece is reached
/// is checked. It remembers what it saw, so a piece may be read on another connection than the one before.
#[derive(Debug)]
pub struct Verifier {
    expected: Option<(i64, String)>,
    before: Vec<u8>,
    next: i64,
    erased: i64,
    latest_erased: HashMap<(OrganizationId, &'static str), (Timestamp, i64)>,
    allowed: HashMap<(OrganizationId, String), Timestamp>,
    findings: Findings,
}

#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn note(&mut self, leaf_index: i64, problem: &str) {
        if self.0.len() < MOST_FINDINGS {
            self.0.push(Finding {
                leaf_index,
                problem: problem.to_owned(),
            });
        }
    }
}

/// What a decision's row holds of the evidence.
#[derive(diesel::Queryable)]
struct Evidence {
    id: DecisionId,
    inputs: String,
    verdict: String,
    salt: Vec<u8>,
    leaf_index: i64,
    outcome: String,
}

impl Verifier {
    /// A check from the first record on.
    #[must_use]
    pub fn new(expected: Option<(i64, String)>) -> Self {
        let mut verifier = Self {
            expected,
            before: vec![0_u8; 32],
            next: 0,
            erased: 0,
            latest_erased: HashMap::new(),
            allowed: HashMap::new(),
            findings: Findings::default(),
        };
        if let Some((0, link)) = &verifier.expected
            && *link != hex(&verifier.before)
        {
            let problem = "the head noted earlier is not that of an empty log";
            verifier.findings.note(0, problem);
        }
        verifier
    }

    /// Checks the next piece. Answers the report once the head is reached.
    ///
    /// # Errors
    /// The database's; the piece can be tried again.
    pub fn step(&mut self, db: &mut Db) -> Result<Option<Report>> {
        // The head is read before the records: what is committed in between is behind it, and is left
        // for the piece after.
        let (size, stored_link) = head(db)?;
        let rows: Vec<Record> = each!(db, c => audit_log::table
            .filter(audit_log::leaf_index.ge(self.next))
            .filter(audit_log::leaf_index.lt(size))
            .order(audit_log::leaf_index)
            .limit(CHUNK)
            .select(Record::as_select())
            .load(c))?;
        let evidence = evidence_of(db, &rows)?;
        let reached = rows.len() < usize::try_from(CHUNK).unwrap_or(0);
        for row in rows {
            self.check_place(&row);
            self.check_leaf(&row, &evidence)?;
            self.before = row.link;
            self.next = row.leaf_index + 1;
        }
        if !reached {
            return Ok(None);
        }
        // A record and the head move in one transaction, so none is seen behind a head read after it.
        let last: Option<i64> = each!(db, c => audit_log::table
            .select(max(audit_log::leaf_index))
            .get_result(c))?;
        let (size_now, _) = head(db)?;
        if self.next != size || last.is_some_and(|last| last >= size_now) {
            let place = size.min(self.next);
            self.findings
                .note(place, "the log ends at another place than its head says");
        }
        if self.before != stored_link {
            self.findings
                .note(self.next, "the head's link is not that of the last record");
        }
        self.check_erasures();
        if let Some((expected_size, _)) = self.expected
            && self.next < expected_size
        {
            let problem = "the log is shorter than it was: records were cut off its end";
            self.findings.note(self.next, problem);
        }
        let findings = std::mem::take(&mut self.findings).0;
        Ok(Some(Report {
            intact: findings.is_empty(),
            records: self.next,
            head: hex(&self.before),
            erased: self.erased,
            findings,
        }))
    }

    fn check_place(&mut self, row: &Record) {
        if row.leaf_index != self.next {
            self.findings.note(self.next, "records are missing here");
        }
        let hash = leaf_hash(row.leaf.as_bytes());
        if hash.as_slice() != row.leaf_hash {
            let problem = "the leaf was altered: its hash is another";
            self.findings.note(row.leaf_index, problem);
        }
        if link(&self.before, &hash).as_slice() != row.link {
            let problem = "the record does not link to the one before it";
            self.findings.note(row.leaf_index, problem);
        }
        if let Some((expected_size, expected_link)) = &self.expected
            && row.leaf_index + 1 == *expected_size
            && hex(&row.link) != *expected_link
        {
            let problem = "the log was rewritten: the link noted earlier for this size is another";
            self.findings.note(row.leaf_index, problem);
        }
    }

    fn check_leaf(&mut self, row: &Record, evidence: &HashMap<DecisionId, Evidence>) -> Result<()> {
        let Ok(leaf) = serde_json::from_str::<Leaf<'_>>(&row.leaf) else {
            self.findings.note(row.leaf_index, "the leaf cannot be read");
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
            let problem = "a column says something else than the leaf";
            self.findings.note(row.leaf_index, problem);
        }
        if row.kind == "decision" {
            self.check_decision(row, &leaf, evidence);
        } else {
            self.check_details(row, &leaf)?;
        }
        if leaf.action == APPLIED
            && let Some((class, before)) = erasure::allowance(&leaf.facts)
        {
            let known = self.allowed.entry((row.org_id, class)).or_insert(before);
            *known = before.max(*known);
        }
        Ok(())
    }

    fn check_details(&mut self, row: &Record, leaf: &Leaf<'_>) -> Result<()> {
        match (&row.details, &row.salt) {
            (Some(details), Some(salt)) => {
                let commit = commitment(salt, &[&canonical(&details.0)?]);
                if leaf.commitment != Some(hex(&commit)) {
                    let problem = "the details were altered: they do not match the leaf's commitment";
                    self.findings.note(row.leaf_index, problem);
                }
            }
            _ if leaf.commitment.is_some() => self.note_erased(row, erasure::DETAILS),
            _ => {}
        }
        Ok(())
    }

    fn check_decision(&mut self, row: &Record, leaf: &Leaf<'_>, evidence: &HashMap<DecisionId, Evidence>) {
        let Some(id) = decision_of(row) else {
            self.findings.note(row.leaf_index, "the leaf names no decision");
            return;
        };
        let Some(found) = evidence.get(&id) else {
            let problem = "the decision that the leaf tells of is gone";
            self.findings.note(row.leaf_index, problem);
            return;
        };
        let erased = found.inputs.is_empty() && found.salt.is_empty();
        let commit = commitment(&found.salt, &[found.inputs.as_bytes(), found.verdict.as_bytes()]);
        let committed = erased || leaf.commitment == Some(hex(&commit));
        if !committed || found.outcome != row.outcome || found.leaf_index != row.leaf_index {
            let problem = "the decision was altered: it does not match the leaf's commitment";
            self.findings.note(row.leaf_index, problem);
        } else if erased {
            self.note_erased(row, erasure::DECISION_INPUTS);
        }
    }

    fn note_erased(&mut self, row: &Record, class: &'static str) {
        self.erased += 1;
        let latest = (row.created_at, row.leaf_index);
        let known = self.latest_erased.entry((row.org_id, class)).or_insert(latest);
        *known = latest.max(*known);
    }

    /// What is erased must be covered by a record that retention was applied so far.
    fn check_erasures(&mut self) {
        for ((organization, class), (at, leaf_index)) in &self.latest_erased {
            let allowed = self.allowed.get(&(*organization, (*class).to_owned()));
            if allowed.is_none_or(|before| at >= before) {
                let problem = "personal details were erased, and no record of retention covers it";
                self.findings.note(*leaf_index, problem);
            }
        }
    }
}

fn decision_of(row: &Record) -> Option<DecisionId> {
    row.target_id.as_ref()?.parse().ok()
}

/// The decisions that these records tell of, in one query a tenant.
fn evidence_of(db: &mut Db, rows: &[Record]) -> Result<HashMap<DecisionId, Evidence>> {
    let mut wanted: HashMap<OrganizationId, Vec<DecisionId>> = HashMap::new();
    for row in rows.iter().filter(|row| row.kind == "decision") {
        wanted.entry(row.org_id).or_default().extend(decision_of(row));
    }
    let mut found = HashMap::new();
    for (organization, ids) in wanted {
        let rows: Vec<Evidence> = each!(db, c => decisions::table
            .filter(decisions::org_id.eq(organization))
            .filter(decisions::id.eq_any(&ids))
            .select((
                decisions::id,
                decisions::inputs,
                decisions::verdict,
                decisions::salt,
                decisions::leaf_index,
                decisions::outcome,
            ))
            .load(c))?;
        found.extend(rows.into_iter().map(|row| (row.id, row)));
    }
    Ok(found)
}
