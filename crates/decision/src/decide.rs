//! The decision. See the crate's text for the order of evaluation.

use crate::call::{Call, Credential, SECRET_ACTIONS};
use crate::reason::{Reason, ReasonCode};
use crate::resource::{CanonicalResource, ResourcePattern};
use crate::risk::{Risk, Severity};
use crate::rules::{ApplyingGrants, ApplyingPolicies, Miss, precedence};
use crate::snapshot::{AgentStatus, Grant, KeyState, Policy, Snapshot};
use crate::verdict::{Decider, DeciderKind, Outcome, Verdict};

/// The most reasons that one step of the evaluation reports: the first in order of precedence.
pub const REASONS_PER_STEP: usize = 16;

/// Decides one call by the facts of one agent. Pure and total: the same inputs give the same verdict, and
/// there is no input for which there is none.
#[must_use]
pub fn decide(snapshot: &Snapshot, call: &Call) -> Verdict {
    let risk = Risk::of(&call.action);
    let refusals = refusals_before_any_rule(snapshot, call);
    if !refusals.is_empty() {
        return denied(risk, refusals, None);
    }
    let resource = call.resource.as_deref().and_then(CanonicalResource::parse);
    let policies = ApplyingPolicies::collect(snapshot, call, resource);
    let grants = ApplyingGrants::collect(snapshot, call, resource);
    if let Some(verdict) = forbidden(risk, &policies, &grants) {
        return verdict;
    }
    let Some(permission) = grants
        .permissions
        .iter()
        .copied()
        .min_by(|left, right| precedence(left, right))
    else {
        return not_permitted(risk, call, grants.misses);
    };
    permitted(risk, call, permission, &policies, &grants)
}

/// Steps 1 to 4: the state of agent and key, the limit of the credential, the form of the resource.
fn refusals_before_any_rule(snapshot: &Snapshot, call: &Call) -> Vec<Reason> {
    let mut reasons = Vec::new();
    match snapshot.agent_status {
        AgentStatus::Active => {}
        AgentStatus::Revoked => {
            reasons.push(Reason::plain(
                ReasonCode::AgentRevoked,
                Some(snapshot.agent_id.to_string()),
            ));
        }
        AgentStatus::Suspended => {
            reasons.push(Reason::plain(
                ReasonCode::AgentSuspended,
                Some(snapshot.agent_id.to_string()),
            ));
        }
    }
    match &call.credential {
        Credential::AgentKey { fingerprint } => {
            if let Some(code) = key_refusal(snapshot, fingerprint, call) {
                reasons.push(Reason::plain(code, Some(fingerprint.clone())));
            }
        }
        Credential::Limited {
            id,
            capabilities,
            secret_paths,
            addresses,
        } => {
            let mut refuse = |code| reasons.push(Reason::plain(code, Some(id.to_string())));
            if !capabilities
                .iter()
                .any(|capability| capability.matches(&call.action))
            {
                refuse(ReasonCode::CredentialCapabilityNotIncluded);
            }
            if secret_paths.as_ref().is_some_and(|paths| !reaches(paths, call)) {
                refuse(ReasonCode::CredentialSecretNotIncluded);
            }
            if addresses.as_ref().is_some_and(|limit| !limit.is_kept()) {
                refuse(ReasonCode::CredentialAddressNotAllowed);
            }
        }
    }
    if call
        .resource
        .as_deref()
        .is_some_and(|resource| CanonicalResource::parse(resource).is_none())
    {
        reasons.push(Reason::plain(ReasonCode::ResourceNotCanonical, None));
    }
    reasons
}

/// Whether the call is none on secrets, or names one that the patterns cover. One that names none may mean any.
fn reaches(paths: &[ResourcePattern], call: &Call) -> bool {
    if !call.action.as_str().starts_with(SECRET_ACTIONS) {
        return true;
    }
    let resource = call.resource.as_deref().and_then(CanonicalResource::parse);
    resource.is_some_and(|resource| paths.iter().any(|pattern| pattern.matches(resource)))
}

fn key_refusal(snapshot: &Snapshot, fingerprint: &str, call: &Call) -> Option<ReasonCode> {
    // A key registered twice is as good as its worst record.
    let worst = snapshot
        .keys
        .iter()
        .filter(|key| key.fingerprint == fingerprint)
        .map(|key| key.state(call.now))
        .max();
    match worst {
        None => Some(ReasonCode::KeyUnknown),
        Some(KeyState::Revoked) => Some(ReasonCode::KeyRevoked),
        Some(KeyState::Retired) => Some(ReasonCode::KeyGraceEnded),
        Some(KeyState::Expired) => Some(ReasonCode::KeyExpired),
        Some(KeyState::Active | KeyState::InGrace) => None,
    }
}

/// Steps 5 and 6: policies and grants that deny.
fn forbidden(risk: Risk, policies: &ApplyingPolicies<'_>, grants: &ApplyingGrants<'_>) -> Option<Verdict> {
    let decided_by = (policies.denying.first().map(|policy| by_policy(policy)))
        .or_else(|| grants.denying.first().map(|grant| by_grant(grant)))?;
    let by_policies = policies
        .denying
        .iter()
        .take(REASONS_PER_STEP)
        .map(|policy| Reason {
            code: ReasonCode::PolicyDenied,
            message: format!("the policy “{}” denies `{}`", policy.name, policy.capability),
            subject: Some(policy.id.to_string()),
        });
    let by_grants = grants.denying.iter().take(REASONS_PER_STEP).map(|grant| Reason {
        code: ReasonCode::CapabilityDenied,
        message: format!("`{}` is explicitly denied to the agent", grant.capability),
        subject: Some(grant.id.to_string()),
    });
    Some(denied(
        risk,
        by_policies.chain(by_grants).collect(),
        Some(decided_by),
    ))
}

/// Step 7 without a grant that fits: default deny, with the reason why each that nearly fitted did not.
fn not_permitted(risk: Risk, call: &Call, mut misses: Vec<(&Grant, Miss<'_>)>) -> Verdict {
    if misses.is_empty() {
        let reason = Reason {
            code: ReasonCode::CapabilityNotGranted,
            message: format!(
                "no grant of the agent covers `{}`; request the capability",
                call.action
            ),
            subject: None,
        };
        return denied(risk, vec![reason], None);
    }
    misses.sort_by(|(left, _), (right, _)| precedence(left, right));
    let nearest = misses
        .iter()
        .map(|(_, miss)| Severity::of(miss.code(), risk))
        .min();
    let reasons = misses
        .iter()
        .take(REASONS_PER_STEP)
        .map(|(grant, miss)| miss.reason(grant))
        .collect();
    denied_with(risk, reasons, None, nearest.unwrap_or(Severity::Low))
}

/// Steps 8 to 10: a grant permits the action; does a person have to approve it first?
fn permitted(
    risk: Risk,
    call: &Call,
    permission: &Grant,
    policies: &ApplyingPolicies<'_>,
    grants: &ApplyingGrants<'_>,
) -> Verdict {
    let by_policies = policies
        .requiring_approval
        .iter()
        .take(REASONS_PER_STEP)
        .map(|policy| Reason {
            code: ReasonCode::PolicyApprovalRequired,
            message: format!(
                "the policy “{}” requires approval of `{}`",
                policy.name, policy.capability
            ),
            subject: Some(policy.id.to_string()),
        });
    let by_grants = grants
        .requiring_approval
        .iter()
        .take(REASONS_PER_STEP)
        .map(|grant| Reason {
            code: ReasonCode::GrantApprovalRequired,
            message: format!(
                "the grant of `{}` requires that a person approves each use",
                grant.capability
            ),
            subject: Some(grant.id.to_string()),
        });
    let by_caller = call
        .approval_requested
        .then(|| Reason::plain(ReasonCode::ApprovalRequested, None));
    let mut reasons: Vec<Reason> = by_policies.chain(by_grants).chain(by_caller).collect();
    let outcome = if reasons.is_empty() {
        Outcome::Approved
    } else {
        Outcome::Pending
    };
    if outcome == Outcome::Approved {
        reasons.push(Reason {
            code: ReasonCode::Granted,
            message: format!("granted by `{}`", permission.capability),
            subject: Some(permission.id.to_string()),
        });
    }
    let decided_by = (policies
        .requiring_approval
        .first()
        .map(|policy| by_policy(policy)))
    .or_else(|| grants.requiring_approval.first().map(|grant| by_grant(grant)))
    .unwrap_or_else(|| by_grant(permission));
    Verdict {
        outcome,
        reasons,
        decided_by: Some(decided_by),
        risk,
        severity: None,
        trust_score_impact: 0,
        counted_grant: permission.scope.rate_limit.map(|_| permission.id),
    }
}

fn by_policy(policy: &Policy) -> Decider {
    Decider {
        kind: DeciderKind::Policy,
        id: policy.id,
    }
}

fn by_grant(grant: &Grant) -> Decider {
    Decider {
        kind: DeciderKind::Grant,
        id: grant.id,
    }
}

fn denied(risk: Risk, reasons: Vec<Reason>, decided_by: Option<Decider>) -> Verdict {
    let worst = reasons.iter().map(|reason| Severity::of(reason.code, risk)).max();
    denied_with(risk, reasons, decided_by, worst.unwrap_or(Severity::Low))
}

fn denied_with(risk: Risk, reasons: Vec<Reason>, decided_by: Option<Decider>, severity: Severity) -> Verdict {
    Verdict {
        outcome: Outcome::Denied,
        reasons,
        decided_by,
        risk,
        severity: Some(severity),
        trust_score_impact: severity.trust_score_impact(),
        counted_grant: None,
    }
}
