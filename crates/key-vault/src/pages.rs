//! The tab "Key vault" of an agent's page: the current key in every form, how long it lasts, and how it came
//! to be what it is.

use aim_core::{AgentId, Result, Timestamp, role::permission};
use aim_crypto::keys::PublicKey;
use aim_decision::KeyState;
use aim_platform::console::{AgentTab, ConsoleRegistry, Fragment, Frame, Names, Slot, Viewed, ui};
use askama::Template;
use chrono::TimeDelta;

use crate::{
    model::{KeyFormats, KeyRecord, WARNING_DAYS},
    service::KeyVaultService,
};

/// The preference under which a user's dismissal of the banner is kept.
const BANNER_PREFERENCE: &str = "secrets_banner";
/// For how long a dismissed banner stays away.
const BANNER_AWAY_DAYS: i64 = 30;

/// Registers the tab.
pub(crate) fn register(console: &mut ConsoleRegistry, service: &KeyVaultService) {
    let service = service.clone();
    console.agent_tab(AgentTab::new::<permission::KeysRead, _, _>(
        "key-vault",
        "Key vault",
        50,
        move |viewed, agent, _| {
            let service = service.clone();
            async move { tab(&service, &viewed, agent).await }
        },
    ));
}

/// A form of the public key that can be copied.
struct Form {
    id: &'static str,
    label: &'static str,
    text: String,
}

/// The current key with what the page derives from it.
struct CurrentKey<'a> {
    record: &'a KeyRecord,
    forms: Vec<Form>,
    lifetime_days: i64,
    used_days: i64,
    /// `good`, `warn` or `bad`: how near the end is.
    tone: &'static str,
    expired: bool,
}

impl<'a> CurrentKey<'a> {
    fn of(record: &'a KeyRecord, now: Timestamp) -> Result<Self> {
        let key = PublicKey::parse(&record.public_key).map_err(aim_core::Error::internal)?;
        let formats = KeyFormats::of(&key);
        let form = |id, label, text| Form { id, label, text };
        let days_left = crate::model::days_left(record.expires_at, now);
        let tone = match days_left {
            ..=7 => "bad",
            left if WARNING_DAYS.iter().any(|threshold| left <= *threshold) => "warn",
            _ => "good",
        };
        Ok(Self {
            forms: vec![
                form("base64", "Base64", formats.spki_base64),
                form("pem", "PEM", formats.pem),
                form(
                    "jwk",
                    "JWK",
                    serde_json::to_string_pretty(&formats.jwk).unwrap_or_default(),
                ),
                form("multibase", "Multibase", formats.multibase),
            ],
            lifetime_days: (record.expires_at - record.created_at).num_days(),
            used_days: (now - record.created_at).num_days(),
            tone,
            expired: now >= record.expires_at,
            record,
        })
    }
}

/// An earlier key that still works for a while.
struct InGrace<'a> {
    record: &'a KeyRecord,
    until: Timestamp,
}

/// Lines for a terminal.
struct Commands {
    rotate: String,
    aim: String,
    curl: String,
}

impl Commands {
    fn of(agent: AgentId, name: &str) -> Self {
        let name = shell_word(name);
        let curl = "curl -s -H \"X-API-Key: $AIM_API_KEY\"";
        let base = format!("$AIM_SERVER/api/v1/agents/{agent}/key-vault");
        let rotate = format!("aim agent rotate {name} --grace-hours 24 --reason 'yearly rotation'");
        Self {
            aim: format!("aim agent show {name}\n{rotate}"),
            rotate,
            curl: format!(
                "{curl} \"{base}\"\n{curl} \"{base}/formats\"\n{curl} \"{base}/history\"\n\
                 {curl} -H 'Content-Type: application/json' \\\n  \
                 -d '{{\"reason\": \"leaked in a log\"}}' \"{base}/revoke\""
            ),
        }
    }
}

#[derive(Template)]
#[template(path = "key_vault/tab.html")]
struct KeyVaultTab<'a> {
    frame: &'a Frame,
    agent: AgentId,
    name: String,
    commands: Commands,
    current: Option<CurrentKey<'a>>,
    in_grace: Vec<InGrace<'a>>,
    keys: &'a [KeyRecord],
    live_keys: usize,
    names: Names,
    /// What stands in the place of the premium part.
    slot: Option<Fragment>,
    banner: bool,
    banner_until: String,
}

impl KeyVaultTab<'_> {
    /// A key's state as its name on the wire.
    fn state_name(&self, state: &KeyState) -> &'static str {
        match state {
            KeyState::Active => "active",
            KeyState::InGrace => "in_grace",
            KeyState::Expired => "expired",
            KeyState::Retired => "retired",
            KeyState::Revoked => "revoked",
        }
    }
}

async fn tab(service: &KeyVaultService, viewed: &Viewed, agent: AgentId) -> Result<Fragment> {
    let view = service.view(&viewed.ctx, agent).await?;
    let history = service.history(&viewed.ctx, agent).await?;
    let (frame, now) = (&viewed.frame, viewed.ctx.now);
    let current = history
        .keys
        .iter()
        .find(|key| key.replaced_at.is_none() && key.revoked_at.is_none())
        .map(|record| CurrentKey::of(record, now))
        .transpose()?;
    let in_grace = history
        .keys
        .iter()
        .filter(|key| key.status == KeyState::InGrace)
        .filter_map(|record| {
            let until = record.grace_until?.min(record.expires_at);
            Some(InGrace { record, until })
        })
        .collect();
    let actors = history
        .keys
        .iter()
        .flat_map(|key| [Some(key.created_by.clone()), key.ended_by.clone()])
        .flatten();
    let names = viewed.names(actors).await;
    let slot = viewed.slot(Slot::KeyVault, agent).await;
    Fragment::of(&KeyVaultTab {
        frame,
        agent,
        commands: Commands::of(agent, &view.agent_name),
        name: view.agent_name,
        current,
        in_grace,
        live_keys: history.keys.iter().filter(|key| key.revoked_at.is_none()).count(),
        keys: &history.keys,
        names,
        banner: slot.is_none() && !is_dismissed(frame, now),
        slot,
        banner_until: (now + TimeDelta::days(BANNER_AWAY_DAYS)).to_text(),
    })
}

/// Whether this user sent the banner away and its time is not over.
fn is_dismissed(frame: &Frame, now: Timestamp) -> bool {
    frame
        .preference(BANNER_PREFERENCE)
        .and_then(|value| value.as_str().and_then(Timestamp::parse))
        .is_some_and(|until| until > now)
}

/// The text as one word of a POSIX shell.
fn shell_word(text: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_one_word_in_a_shell() {
        assert_eq!(shell_word("billing-1.x"), "billing-1.x");
        assert_eq!(shell_word("the clerk"), "'the clerk'");
        assert_eq!(shell_word("a'; rm -rf ~"), r"'a'\''; rm -rf ~'");
    }
}
