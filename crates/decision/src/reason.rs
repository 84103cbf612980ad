//! The reasons of a verdict: one table of stable codes. A code is a promise to programs and never changes
//! its meaning; the message is for people. Both are part of the record that a replay compares, so a change
//! of any text here is a new record version.

use serde::{Deserialize, Serialize};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, schema::Type};
use utoipa::{PartialSchema, ToSchema};

macro_rules! reason_codes {
    ($($(#[$note:meta])* $name:ident = $slug:literal, $text:literal;)+) => {
        /// Why a verdict came out as it did. Serialised as its slug.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum ReasonCode {
            $(
                #[doc = concat!("`", $slug, "`: ", $text, ".")]
                #[serde(rename = $slug)]
                $name,
            )+
        }

        impl ReasonCode {
            const TABLE: &'static [Self] = &[$(Self::$name),+];

            /// The stable identifier, such as `agent.suspended`.
            #[must_use]
            pub fn slug(self) -> &'static str {
                match self { $(Self::$name => $slug),+ }
            }

            /// What the code means, for people.
            #[must_use]
            pub fn text(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }
        }
    };
}

reason_codes! {
    AgentRevoked = "agent.revoked", "the agent has been deleted and can never act again";
    AgentSuspended = "agent.suspended", "the agent is suspended; somebody must reactivate it first";
    KeyUnknown = "key.unknown", "the signing key is not a key of this agent; register it or sign with a registered key";
    KeyRevoked = "key.revoked", "the signing key has been revoked; sign with the agent's current key";
    KeyGraceEnded = "key.grace_ended", "the signing key was replaced and its grace period has ended; sign with the new key";
    KeyExpired = "key.expired", "the signing key has expired; rotate the agent's key";
    CredentialCapabilityNotIncluded = "credential.capability_not_included", "the credential does not include this capability; use one that does";
    CredentialSecretNotIncluded = "credential.secret_not_included", "the credential does not include the path of this secret; use one that does";
    CredentialAddressNotAllowed = "credential.address_not_allowed", "the credential may not be used from this address; use it where it belongs";
    ResourceNotCanonical = "resource.not_canonical", "the resource is empty, too long, or contains a control character or a `..` segment; name it plainly, or leave it out";
    PolicyDenied = "policy.denied", "a policy of the organisation denies the action";
    CapabilityDenied = "capability.denied", "a grant with the effect deny covers the action";
    CapabilityNotGranted = "capability.not_granted", "no grant of the agent covers the action; request the capability";
    GrantExpired = "grant.expired", "the grant that covers the action has expired";
    ScopeResource = "scope.resource", "the grant that covers the action does not cover the resource";
    ScopeContext = "scope.context", "the context of the call does not satisfy the grant that covers the action";
    ScopeTimeWindow = "scope.time_window", "the grant that covers the action does not hold at this time";
    ScopeRateLimit = "scope.rate_limit", "the grant that covers the action has been used as often as its rate allows";
    PolicyApprovalRequired = "policy.approval_required", "a policy of the organisation requires that a person approves the action";
    GrantApprovalRequired = "grant.approval_required", "the grant that covers the action requires that a person approves it";
    ApprovalRequested = "approval.requested", "the caller asked that a person approves the action";
    Granted = "granted", "a grant of the agent covers the action";
}

impl ReasonCode {
    /// Every code, in the order in which the decision evaluates them.
    #[must_use]
    pub fn all() -> &'static [Self] {
        Self::TABLE
    }
}

// By hand: utoipa's derive does not see a rename that comes out of a macro's argument.
impl PartialSchema for ReasonCode {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(Self::all().iter().map(|code| code.slug())))
            .description(Some("Why a verdict came out as it did; stable."))
            .into()
    }
}

impl ToSchema for ReasonCode {}

impl std::fmt::Display for ReasonCode {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.slug())
    }
}

/// One reason of a verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// For programs.
    pub code: ReasonCode,
    /// For people. It never repeats values from the call.
    pub message: String,
    /// The id of what the reason is about: the grant, the policy, the agent or the credential, or the
    /// fingerprint of the key.
    pub subject: Option<String>,
}

impl Reason {
    /// The reason with the text of its code.
    pub(crate) fn plain(code: ReasonCode, subject: Option<String>) -> Self {
        Self {
            code,
            message: code.text().to_owned(),
            subject,
        }
    }
}

/// The texts of all reason codes in a verdict, as a list of slugs.
#[must_use]
pub fn slugs(reasons: &[Reason]) -> Vec<&'static str> {
    reasons.iter().map(|reason| reason.code.slug()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_code_is_serialised_as_its_slug() {
        for code in ReasonCode::all() {
            assert_eq!(
                serde_json::to_value(code).unwrap(),
                serde_json::json!(code.slug())
            );
        }
    }

    #[test]
    fn slugs_are_unique_and_texts_are_sentences_without_a_full_stop() {
        let unique: BTreeSet<_> = ReasonCode::all().iter().map(|code| code.slug()).collect();
        assert_eq!(unique.len(), ReasonCode::all().len());
        for code in ReasonCode::all() {
            assert!(
                code.text().starts_with(char::is_lowercase) && !code.text().ends_with('.'),
                "{code}"
            );
        }
    }
}
