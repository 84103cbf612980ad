//! Which grants and policies apply to a call, and how well: the part of the decision that looks at scopes.
//! It knows nothing of outcomes.

use crate::call::Call;
use crate::constraint::{Constraint, Truth};
use crate::reason::{Reason, ReasonCode};
use crate::resource::CanonicalResource;
use crate::scope::Effect;
use crate::snapshot::{Grant, Policy, PolicyEffect, Snapshot, compare_bytes};
use std::cmp::Ordering;

/// The policies that apply to the call, by effect and in order of precedence.
pub(crate) struct ApplyingPolicies<'a> {
    pub(crate) denying: Vec<&'a Policy>,
    pub(crate) requiring_approval: Vec<&'a Policy>,
}

impl<'a> ApplyingPolicies<'a> {
    pub(crate) fn collect(
        snapshot: &'a Snapshot,
        call: &Call,
        resource: Option<CanonicalResource<'_>>,
    ) -> Self {
        let mut applying = Self {
            denying: Vec::new(),
            requiring_approval: Vec::new(),
        };
        for policy in &snapshot.policies {
            if policy.capability.matches(&call.action) && policy_covers(policy, snapshot, resource) {
                match policy.effect {
                    PolicyEffect::Deny => applying.denying.push(policy),
                    PolicyEffect::RequireApproval => applying.requiring_approval.push(policy),
                }
            }
        }
        applying
            .denying
            .sort_by(|left, right| policy_precedence(left, right));
        applying
            .requiring_approval
            .sort_by(|left, right| policy_precedence(left, right));
        applying
    }
}

fn policy_covers(policy: &Policy, snapshot: &Snapshot, resource: Option<CanonicalResource<'_>>) -> bool {
    // A call that does not name its resource may mean any, so a restriction on some of them covers it.
    let resource_covered = policy.resources.is_empty()
        || resource.is_none_or(|resource| policy.resources.iter().any(|pattern| pattern.matches(resource)));
    let type_covered = policy.agent_types.is_empty() || policy.agent_types.contains(&snapshot.agent_type);
    let trust_covered = policy
        .trust_below
        .is_none_or(|threshold| snapshot.trust_score.is_none_or(|score| score < threshold));
    resource_covered && type_covered && trust_covered
}

/// What the agent's grants say about the call.
pub(crate) struct ApplyingGrants<'a> {
    /// Deny, and not certainly out of scope; in order of precedence.
    pub(crate) denying: Vec<&'a Grant>,
    /// Require approval, and not certainly out of scope; in order of precedence.
    pub(crate) requiring_approval: Vec<&'a Grant>,
    /// Allow or require approval, and fit in every part.
    pub(crate) permissions: Vec<&'a Grant>,
    /// Allow or require approval, cover the action, and do not fit.
    pub(crate) misses: Vec<(&'a Grant, Miss<'a>)>,
}

impl<'a> ApplyingGrants<'a> {
    pub(crate) fn collect(
        snapshot: &'a Snapshot,
        call: &Call,
        resource: Option<CanonicalResource<'_>>,
    ) -> Self {
        let mut applying = Self {
            denying: Vec::new(),
            requiring_approval: Vec::new(),
            permissions: Vec::new(),
            misses: Vec::new(),
        };
        for grant in snapshot
            .grants
            .iter()
            .filter(|grant| grant.capability.matches(&call.action))
        {
            let fit = Fit::of(grant, call, resource);
            match grant.effect {
                Effect::Deny if !fit.excluded => applying.denying.push(grant),
                Effect::RequireApproval if !fit.excluded => applying.requiring_approval.push(grant),
                Effect::Deny | Effect::RequireApproval | Effect::Allow => {}
            }
            match fit.miss {
                _ if grant.effect == Effect::Deny => {}
                None => applying.permissions.push(grant),
                Some(miss) => applying.misses.push((grant, miss)),
            }
        }
        applying.denying.sort_by(|left, right| precedence(left, right));
        applying
            .requiring_approval
            .sort_by(|left, right| precedence(left, right));
        applying
    }
}

/// The first part of a grant that does not fit the call.
pub(crate) enum Miss<'a> {
    Expired,
    Resource,
    Context(&'a Constraint),
    TimeWindow,
    RateLimit,
}

impl Miss<'_> {
    pub(crate) fn code(&self) -> ReasonCode {
        match self {
            Self::Expired => ReasonCode::GrantExpired,
            Self::Resource => ReasonCode::ScopeResource,
            Self::Context(_) => ReasonCode::ScopeContext,
            Self::TimeWindow => ReasonCode::ScopeTimeWindow,
            Self::RateLimit => ReasonCode::ScopeRateLimit,
        }
    }

    pub(crate) fn reason(&self, grant: &Grant) -> Reason {
        let capability = &grant.capability;
        let message = match self {
            Self::Expired => format!("the grant of `{capability}` has expired; request it again"),
            Self::Resource => {
                format!(
                    "the grant of `{capability}` covers certain resources, and the call names none of them"
                )
            }
            Self::Context(constraint) => format!(
                "the grant of `{capability}` needs the context field `{}` to satisfy `{}`",
                constraint.field().as_str(),
                constraint.op().as_str()
            ),
            Self::TimeWindow => format!("the grant of `{capability}` does not hold at this time of the week"),
            Self::RateLimit => format!(
                "the grant of `{capability}` has been used as often as its rate allows; try again later"
            ),
        };
        Reason {
            code: self.code(),
            message,
            subject: Some(grant.id.to_string()),
        }
    }
}

/// How a grant that covers the action fits the rest of the call. A permission needs every part to fit
/// (`miss` is none); a restriction holds unless some part certainly does not (`excluded`), so that an agent
/// gains nothing by leaving out a resource or a context field.
struct Fit<'a> {
    miss: Option<Miss<'a>>,
    excluded: bool,
}

impl<'a> Fit<'a> {
    fn of(grant: &'a Grant, call: &Call, resource: Option<CanonicalResource<'_>>) -> Self {
        let mut fit = Self {
            miss: None,
            excluded: false,
        };
        let scope = &grant.scope;
        if grant.expires_at.is_some_and(|end| call.now >= end) {
            fit.note(Miss::Expired, true);
        }
        if !scope.resources.is_empty() {
            match resource {
                None => fit.note(Miss::Resource, false),
                Some(resource) if scope.resources.iter().any(|pattern| pattern.matches(resource)) => {}
                Some(_) => fit.note(Miss::Resource, true),
            }
        }
        for constraint in &scope.context {
            match constraint.check(&call.context) {
                Truth::Holds => {}
                Truth::Fails => fit.note(Miss::Context(constraint), true),
                Truth::CannotTell => fit.note(Miss::Context(constraint), false),
            }
        }
        if scope
            .time_window
            .as_ref()
            .is_some_and(|window| !window.contains(call.now))
        {
            fit.note(Miss::TimeWindow, true);
        }
        if let Some(limit) = &scope.rate_limit {
            let uses = call.uses.get(&grant.id).copied().unwrap_or(0);
            if uses >= limit.max() {
                // A used-up grant permits nothing more, yet goes on restricting.
                fit.note(Miss::RateLimit, false);
            }
        }
        fit
    }

    fn note(&mut self, miss: Miss<'a>, certain: bool) {
        self.excluded |= certain;
        self.miss.get_or_insert(miss);
    }
}

/// The most specific capability first, then the grant given first, then the smaller id.
pub(crate) fn precedence(left: &Grant, right: &Grant) -> Ordering {
    (right.capability.specificity().cmp(&left.capability.specificity()))
        .then_with(|| left.granted_at.cmp(&right.granted_at))
        .then_with(|| left.id.cmp(&right.id))
        .then_with(|| compare_bytes(left, right))
}

/// The most specific capability first, then the smaller id.
fn policy_precedence(left: &Policy, right: &Policy) -> Ordering {
    (right.capability.specificity().cmp(&left.capability.specificity()))
        .then_with(|| left.id.cmp(&right.id))
        .then_with(|| compare_bytes(left, right))
}
