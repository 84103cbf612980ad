//! `/policies`: the organisation's guard rails, in words.

use actix_web::web;
use aim_core::role::permission::{PoliciesRead, PoliciesWrite};
use aim_decision::PolicyEffect;
use aim_platform::{
    Query,
    console::{ConsoleRegistry, Fragment, Frame, Names, NavEntry, NavSection, PageResult, Viewing, ui},
};
use askama::Template;

use super::{
    PolicyService,
    model::{PolicyFilter, PolicyList, PolicyView},
};

/// Registers the page.
pub(crate) fn register(console: &mut ConsoleRegistry) {
    console.page("/policies", policies_page);
    console.navigation(NavEntry::new::<PoliciesRead>(
        NavSection::Govern,
        "Policies",
        "/policies",
        "policy",
        30,
    ));
}

#[derive(Template)]
#[template(path = "policies/list.html")]
struct PoliciesPage<'a> {
    frame: &'a Frame,
    list: PolicyList,
    names: Names,
}

impl PoliciesPage<'_> {
    fn effect(&self, policy: &PolicyView) -> Fragment {
        match policy.effect {
            PolicyEffect::Deny => ui::badge("Deny", "bad"),
            PolicyEffect::RequireApproval => ui::badge("Require approval", "warn"),
        }
    }

    /// Whom and what it covers, in one sentence.
    fn words(&self, policy: &PolicyView) -> String {
        words(policy)
    }
}

fn words(policy: &PolicyView) -> String {
    let verb = match policy.effect {
        PolicyEffect::Deny => "Denies",
        PolicyEffect::RequireApproval => "Has a person approve",
    };
    let agents = match policy.agent_types.as_slice() {
        [] => "every agent".to_owned(),
        types => format!("agents of type {}", types.join(" or ")),
    };
    let mut text = format!("{verb} {} by {agents}", policy.capability);
    if !policy.resources.is_empty() {
        text.push_str(&format!(", on {}", policy.resources.join(" or ")));
    }
    if let Some(score) = policy.trust_below {
        text.push_str(&format!(", while its trust is below {score} or unscored"));
    }
    text.push('.');
    text
}

async fn policies_page(
    viewing: Viewing<PoliciesRead>,
    filter: Query<PolicyFilter>,
    service: web::Data<PolicyService>,
) -> PageResult {
    let list = service.list(&viewing.ctx, filter.0).await?;
    let makers = list.policies.iter().map(|policy| policy.created_by.clone());
    let names = viewing.names(makers).await;
    let page = PoliciesPage {
        frame: &viewing.frame,
        list,
        names,
    };
    viewing.page("Policies", &page)
}

#[cfg(test)]
mod tests {
    use aim_core::{Id, Timestamp};

    use super::*;

    #[test]
    fn a_policy_is_told_in_one_sentence() {
        let mut policy = PolicyView {
            id: Id::from_uuid(uuid::Uuid::nil()),
            name: "no refunds".to_owned(),
            effect: PolicyEffect::Deny,
            capability: "payments:*".to_owned(),
            resources: Vec::new(),
            agent_types: Vec::new(),
            trust_below: None,
            created_by: "user:1".to_owned(),
            created_at: Timestamp::parse("2026-01-01T00:00:00Z").unwrap(),
        };
        assert_eq!(words(&policy), "Denies payments:* by every agent.");
        policy.effect = PolicyEffect::RequireApproval;
        policy.agent_types = vec!["robot".to_owned(), "assistant".to_owned()];
        policy.resources = vec!["refunds/eu/**".to_owned()];
        policy.trust_below = Some(50);
        assert_eq!(
            words(&policy),
            "Has a person approve payments:* by agents of type robot or assistant, on refunds/eu/**, \
             while its trust is below 50 or unscored."
        );
    }
}
