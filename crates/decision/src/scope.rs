//! What narrows a grant: resources, context, hours, rate. An empty scope narrows nothing.

use crate::constraint::Constraint;
use crate::invalid::Invalid;
use crate::resource::ResourcePattern;
use crate::time_window::{RateLimit, TimeWindow};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// The most resource patterns of one scope or policy.
pub const SCOPE_RESOURCES_MAX: usize = 64;
/// The most constraints of one scope.
pub const SCOPE_CONSTRAINTS_MAX: usize = 32;

/// What a matching grant or policy does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The action may happen.
    Allow,
    /// The action may happen once a person has approved it.
    RequireApproval,
    /// The action may not happen, whatever else is granted.
    Deny,
}

impl Effect {
    /// The effect as it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::RequireApproval => "require_approval",
            Self::Deny => "deny",
        }
    }
}

/// What narrows a grant; every part that is given must fit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Scope {
    /// The resource must match one of these; none means any resource, or no resource at all.
    #[schema(max_items = 64)]
    pub resources: Vec<ResourcePattern>,
    /// All of these must hold for the context of the call.
    #[schema(max_items = 32)]
    pub context: Vec<Constraint>,
    /// The hours in which the grant holds.
    pub time_window: Option<TimeWindow>,
    /// How often the grant may be used; not for `deny`.
    pub rate_limit: Option<RateLimit>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenScope {
    #[serde(default)]
    resources: Vec<ResourcePattern>,
    #[serde(default)]
    context: Vec<Constraint>,
    #[serde(default)]
    time_window: Option<TimeWindow>,
    #[serde(default)]
    rate_limit: Option<RateLimit>,
}

/// Reads an object and nothing else. A derived reader takes a list as well, by position, and an empty list
/// would become the scope that narrows nothing.
struct ObjectOnly;

impl<'de> Visitor<'de> for ObjectOnly {
    type Value = Scope;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("an object, such as {\"resources\": [\"customers/*\"]}")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Scope, A::Error> {
        let written = WrittenScope::deserialize(MapAccessDeserializer::new(members))?;
        Scope::try_from(written).map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectOnly)
    }
}

impl TryFrom<WrittenScope> for Scope {
    type Error = Invalid;

    fn try_from(written: WrittenScope) -> Result<Self, Invalid> {
        let WrittenScope {
            resources,
            context,
            time_window,
            rate_limit,
        } = written;
        if resources.len() > SCOPE_RESOURCES_MAX {
            return Err(Invalid::value(format!(
                "`resources` has {} patterns; use at most {SCOPE_RESOURCES_MAX}, or a wider pattern",
                resources.len()
            )));
        }
        if context.len() > SCOPE_CONSTRAINTS_MAX {
            return Err(Invalid::value(format!(
                "`context` has {} constraints; use at most {SCOPE_CONSTRAINTS_MAX}",
                context.len()
            )));
        }
        Ok(Self {
            resources,
            context,
            time_window,
            rate_limit,
        })
    }
}

impl Scope {
    /// Reads a scope and names the place of an error, such as `scope.resources[0]`.
    ///
    /// # Errors
    /// If the document is not a scope; the error says where and what to write instead.
    pub fn from_json(value: &Value) -> Result<Self, Invalid> {
        serde_path_to_error::deserialize(value).map_err(|error| {
            let path = error.path().to_string();
            let field = match path.as_str() {
                "." => "scope".to_owned(),
                inside => format!("scope.{inside}"),
            };
            Invalid::value(error.into_inner().to_string()).at(field)
        })
    }

    /// Whether the scope narrows nothing.
    #[must_use]
    pub fn is_unrestricted(&self) -> bool {
        *self == Self::default()
    }

    /// Refuses a scope that makes no sense for the effect.
    ///
    /// # Errors
    /// If a `deny` carries a rate limit, which a decision would not apply.
    pub fn check_for(&self, effect: Effect) -> Result<(), Invalid> {
        if effect == Effect::Deny && self.rate_limit.is_some() {
            return Err(Invalid::value(
                "a grant with the effect `deny` has no rate; leave it out, or limit the grant that allows",
            )
            .at("scope.rate_limit"));
        }
        Ok(())
    }
}
