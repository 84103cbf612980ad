//! Whose API key a secret is, and how keys of theirs look. What looks otherwise is warned of and never refused: providers
//! change their forms, and tests use others.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::kinds::Fields;

/// Whose API key it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// Stripe.
    Stripe,
    /// OpenAI.
    Openai,
    /// Anthropic.
    Anthropic,
    /// GitHub.
    Github,
    /// Anybody else.
    Generic,
}

impl Provider {
    /// Every provider, in the order of the docs.
    pub const ALL: [Self; 5] = [
        Self::Stripe,
        Self::Openai,
        Self::Anthropic,
        Self::Github,
        Self::Generic,
    ];

    /// Its name on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stripe => "stripe",
            Self::Openai => "openai",
            Self::Anthropic => "anthropic",
            Self::Github => "github",
            Self::Generic => "generic",
        }
    }

    /// What people call it.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Stripe => "Stripe",
            Self::Openai => "OpenAI",
            Self::Anthropic => "Anthropic",
            Self::Github => "GitHub",
            Self::Generic => "Another",
        }
    }

    /// The provider of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| provider.as_str() == name)
    }

    /// How its keys begin.
    const fn beginnings(self) -> &'static [&'static str] {
        match self {
            Self::Stripe => &["sk_live_", "sk_test_", "rk_live_", "rk_test_", "whsec_"],
            Self::Openai => &["sk-"],
            Self::Anthropic => &["sk-ant-"],
            Self::Github => &["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"],
            Self::Generic => &[],
        }
    }

    /// What looks wrong with a key, without the key.
    #[must_use]
    pub fn doubt(self, fields: &Fields) -> Option<String> {
        let value = fields.0.get("value")?.expose();
        let (title, beginnings) = (self.title(), self.beginnings());
        if value.trim().len() != value.len() || value.contains(['\n', '\r']) {
            return Some("the value has white space around it, which keys rarely have".to_owned());
        }
        // OpenAI's beginning is the beginning of Anthropic's too.
        let of_another = self == Self::Openai && value.starts_with("sk-ant-");
        let fits = beginnings.is_empty() || beginnings.iter().any(|start| value.starts_with(start));
        (!fits || of_another).then(|| {
            format!(
                "this does not look like a key of {title}: theirs begin with {}",
                beginnings.join(", ")
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_another_form_is_doubted_and_not_repeated() {
        let doubt = |provider: Provider, value: &str| {
            let json = serde_json::json!({ "value": value }).to_string();
            provider.doubt(&serde_json::from_str(&json).unwrap())
        };
        for (provider, value, fits) in [
            (Provider::Stripe, "sk_live_abc", true),
            (Provider::Stripe, "sk-canary", false),
            (Provider::Openai, "sk-proj-abc", true),
            (Provider::Openai, "sk-ant-canary", false),
            (Provider::Anthropic, "sk-ant-abc", true),
            (Provider::Github, "github_pat_abc", true),
            (Provider::Github, "canary", false),
            (Provider::Generic, "anything", true),
            (Provider::Generic, "canary\n", false),
        ] {
            let said = doubt(provider, value);
            assert_eq!(said.is_none(), fits, "{provider:?} {value}");
            assert!(!said.unwrap_or_default().contains("canary"));
        }
    }
}
