//! The page "Secrets": which there are, and one of them with its versions. It shows no value: seeing one is a
//! request of its own, in [`super::reveals`].
//!
//! A secret is looked at as `/secrets?path=…`, because a path may hold segments that browsers take for steps.

use actix_web::web;
use aim_core::{Error, Result};
use aim_platform::{
    Query,
    console::{
        ConsoleRegistry, Fragment, Frame, Names, NavEntry, NavSection, Page, PageResult, Panel, Viewing, ui,
    },
};
use askama::Template;
use serde::Deserialize;

use super::{
    kinds::SecretKind,
    model::{
        DEFAULT_MAX_VERSIONS, MAX_MAX_VERSIONS, SecretList, SecretQuery, SecretView, VaultStatus,
        VersionState,
    },
    past::model::{DiffQuery, FieldChange, VersionDiff},
    path::{SecretPath, check_prefix},
    permission::{SecretsRead, SecretsWrite},
    refresh::RefreshState,
    reveals::pages::{SHOWN_ONCE, SecretReveals},
    sections::{self, SECRETS},
    service::VaultService,
    tree::{Entry, Tree},
};
use crate::access::AccessService;

/// How many secrets a page shows.
const PAGE: i64 = 50;

pub(super) fn register(console: &mut ConsoleRegistry, service: &VaultService) {
    console.page("/secrets", secrets_page);
    super::vault_page::register(console);
    super::past::pages::register(console);
    super::transfer::pages::register(console);
    let vault = service.clone();
    console.navigation(
        NavEntry::new::<SecretsRead>(NavSection::Agents, "Secrets", SECRETS, "lock", 50).badge(move |ctx| {
            let vault = vault.clone();
            async move { vault.reveals_waiting_for(&ctx).await }
        }),
    );
}

/// The parameters of the page: texts, since a form sends the empty ones too.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PageQuery {
    /// The secret that is looked at.
    path: String,
    prefix: String,
    tag: String,
    search: String,
    cursor: Option<String>,
    /// `all`: whole paths instead of the tree.
    view: String,
    /// Behind which path the tree goes on.
    after: Option<String>,
    /// The versions of a secret that are compared.
    from: Option<i64>,
    to: Option<i64>,
}

impl PageQuery {
    fn query(&self) -> SecretQuery {
        let text = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        SecretQuery {
            prefix: text(&self.prefix),
            tag: text(&self.tag),
            search: text(&self.search),
            limit: Some(PAGE),
            cursor: self.cursor.clone(),
        }
    }

    /// The tree is shown unless something is looked for.
    fn is_tree(&self) -> bool {
        let prefix = self.prefix.as_str();
        self.view.is_empty()
            && self.tag.trim().is_empty()
            && self.search.trim().is_empty()
            && (prefix.is_empty() || prefix.ends_with('/'))
            && check_prefix(prefix).is_ok()
    }

    fn is_filtered(&self) -> bool {
        [&self.prefix, &self.tag, &self.search]
            .iter()
            .any(|text| !text.trim().is_empty())
    }
}

/// A field of a form that writes a secret.
struct FormField {
    name: &'static str,
    label: &'static str,
    required: bool,
    /// Several lines, as PEM has.
    long: bool,
    /// No secret, so it is shown while it is typed.
    open: bool,
}

/// A form that writes a secret of one kind.
struct KindForm {
    kind: SecretKind,
    title: &'static str,
    fields: Vec<FormField>,
}

impl KindForm {
    fn all() -> Vec<Self> {
        SecretKind::ALL.into_iter().map(Self::of).collect()
    }

    fn of(kind: SecretKind) -> Self {
        let field = |name, label| FormField {
            name,
            label,
            required: true,
            long: false,
            open: false,
        };
        let open = |name, label| FormField {
            open: true,
            ..field(name, label)
        };
        let long = |name, label| FormField {
            long: true,
            ..field(name, label)
        };
        let optional = |field: FormField| FormField {
            required: false,
            ..field
        };
        let (title, fields) = match kind {
            SecretKind::ApiKey => ("API key", vec![field("value", "Key or token")]),
            SecretKind::Aws => (
                "AWS access key",
                vec![
                    open("access_key_id", "Access key id"),
                    field("secret_access_key", "Secret access key"),
                ],
            ),
            SecretKind::Password => (
                "Password",
                vec![
                    optional(open("username", "User name")),
                    field("password", "Password"),
                ],
            ),
            SecretKind::Database => (
                "Database login",
                vec![
                    open("username", "User name"),
                    field("password", "Password"),
                    optional(open("host", "Host")),
                    optional(open("port", "Port")),
                    optional(open("database", "Database")),
                ],
            ),
            SecretKind::Oauth => (
                "OAuth 2 client",
                vec![
                    open("client_id", "Client id"),
                    optional(field("client_secret", "Client secret")),
                    optional(field("refresh_token", "Refresh token")),
                    optional(field("access_token", "Access token")),
                    optional(open("token_url", "Token endpoint, to refresh at")),
                    optional(open("scopes", "Scopes")),
                ],
            ),
            SecretKind::Certificate => (
                "Certificate",
                vec![
                    long("certificate", "Certificate (PEM)"),
                    long("private_key", "Private key (PEM)"),
                ],
            ),
            SecretKind::File => ("File", vec![long("content", "Content in base64")]),
            SecretKind::Map => ("Names and values", Vec::new()),
        };
        Self { kind, title, fields }
    }

    fn id(&self) -> String {
        format!("write-{}", self.kind.as_str())
    }

    /// The kind as the API names it.
    fn name(&self) -> &'static str {
        self.kind.as_str()
    }
}

impl SecretKind {
    /// What people call it.
    fn title(self) -> &'static str {
        KindForm::of(self).title
    }
}

#[derive(Template)]
#[template(path = "vault/list.html")]
struct SecretsPage<'a> {
    frame: &'a Frame,
    query: &'a PageQuery,
    status: Panel<VaultStatus>,
    list: SecretList,
    /// What lies directly below the prefix, unless something is looked for.
    tree: Option<Tree>,
    /// The folders that lead there.
    steps: Vec<(String, String)>,
    filtered: bool,
    forms: Vec<KindForm>,
}

impl SecretsPage<'_> {
    fn name_in_folder(&self, path: &str) -> String {
        path.strip_prefix(self.query.prefix.as_str())
            .unwrap_or(path)
            .to_owned()
    }

    fn usual_versions(&self) -> i64 {
        DEFAULT_MAX_VERSIONS
    }

    fn most_versions(&self) -> i64 {
        MAX_MAX_VERSIONS
    }
}

#[derive(Template)]
#[template(path = "vault/secret.html")]
struct SecretPage<'a> {
    frame: &'a Frame,
    view: SecretView,
    form: KindForm,
    names: Names,
    /// The parts of the path that lead to it, with the prefix that each stands for.
    steps: Vec<(String, String)>,
    /// Seeing its value, for whoever may.
    reveals: Option<SecretReveals>,
    /// Who reads it, for those who may see that.
    access: Option<Fragment>,
    /// Two versions against each other.
    diff: Option<VersionDiff>,
}

impl SecretPage<'_> {
    /// A choice of a version; what was chosen before, or the newest and the one before it.
    fn choice(&self, name: &str, label: &str) -> ui::Field {
        let place = usize::from(name == "from");
        let usual = self.view.versions.get(place).map(|version| version.version);
        let chosen = self.diff.as_ref().map(|diff| match place {
            1 => diff.from.version,
            _ => diff.to.version,
        });
        let mut field = ui::select(name, label).within("compare");
        for version in &self.view.versions {
            field = field.option(version.version, version.version);
        }
        field.value(chosen.or(usual).unwrap_or_default())
    }

    fn has_unknown(&self, diff: &VersionDiff) -> bool {
        diff.fields
            .iter()
            .any(|field| field.change == FieldChange::Unknown)
    }

    fn change_words(&self, change: &FieldChange) -> &'static str {
        match change {
            FieldChange::Unknown => "not known",
            other => other.as_str(),
        }
    }

    fn change_tone(&self, change: &FieldChange) -> &'static str {
        match change {
            FieldChange::Added => "good",
            FieldChange::Removed => "bad",
            FieldChange::Changed => "warn",
            FieldChange::Same | FieldChange::Unknown => "neutral",
        }
    }

    fn refresh_words(&self, state: &RefreshState) -> &'static str {
        match state {
            RefreshState::Scheduled => "refreshed by itself",
            RefreshState::Failing => "failing, is tried again",
            RefreshState::NeedsAttention => "needs you",
        }
    }

    fn refresh_tone(&self, state: &RefreshState) -> &'static str {
        match state {
            RefreshState::Scheduled => "good",
            RefreshState::Failing => "warn",
            RefreshState::NeedsAttention => "bad",
        }
    }

    fn is_active(&self, state: &VersionState) -> bool {
        *state == VersionState::Active
    }

    fn is_deleted(&self, state: &VersionState) -> bool {
        *state == VersionState::Deleted
    }

    fn is_destroyed(&self, state: &VersionState) -> bool {
        *state == VersionState::Destroyed
    }

    fn is_current(&self, version: &i64) -> bool {
        *version == self.view.secret.current_version
    }

    fn has_expired(&self) -> bool {
        self.view
            .secret
            .expires_at
            .is_some_and(|end| self.frame.now >= end)
    }
}

async fn secrets_page(
    viewing: Viewing<SecretsRead>,
    query: Query<PageQuery>,
    service: web::Data<VaultService>,
    accesses: web::Data<AccessService>,
) -> PageResult {
    if !query.0.path.is_empty() {
        return secret_page(&viewing, &query.0, &service, &accesses).await;
    }
    let list = service.list(&viewing.ctx, query.0.query()).await?;
    let tree = if query.0.is_tree() && !list.secrets.is_empty() {
        let (prefix, after) = (query.0.prefix.clone(), query.0.after.clone());
        Some(service.tree(&viewing.ctx, prefix, after).await?)
    } else {
        None
    };
    let status = Panel::load("Vault", &viewing, service.status(&viewing.ctx)).await;
    let page = SecretsPage {
        frame: &viewing.frame,
        list,
        tree,
        steps: steps_to(&query.0.prefix),
        filtered: query.0.is_filtered(),
        query: &query.0,
        status,
        forms: KindForm::all(),
    };
    viewing.page("Secrets", &page)
}

async fn secret_page(
    viewing: &Viewing<SecretsRead>,
    query: &PageQuery,
    service: &VaultService,
    accesses: &AccessService,
) -> PageResult {
    // What is no path is as unknown as one that is not there.
    let path = SecretPath::parse(&query.path).map_err(|_| Error::not_found())?;
    let view: Result<SecretView> = service.get(&viewing.ctx, path.clone()).await;
    let view = view?;
    let diff = match query.from {
        Some(from) => {
            let wanted = DiffQuery {
                path: path.as_str().to_owned(),
                from,
                to: query.to,
            };
            Some(service.diff(&viewing.ctx, wanted).await?)
        }
        None => None,
    };
    let names = viewing
        .names(view.versions.iter().map(|version| version.created_by.clone()))
        .await;
    let page = SecretPage {
        frame: &viewing.frame,
        form: KindForm::of(view.secret.kind),
        steps: steps_to(path.as_str()),
        reveals: SecretReveals::of(viewing, service, path.as_str()).await?,
        access: crate::access::section(accesses, viewing, &path).await?,
        view,
        names,
        diff,
    };
    viewing.page(Page::new(path.as_str()).script(SHOWN_ONCE), &page)
}

/// `payments/stripe/live`: `payments` with `payments/`, `stripe` with `payments/stripe/`.
fn steps_to(path: &str) -> Vec<(String, String)> {
    let places = path.match_indices('/').map(|(place, _)| place);
    places
        .map(|place| {
            let (before, _) = path.split_at(place);
            let name = before.rsplit('/').next().unwrap_or_default();
            (name.to_owned(), format!("{before}/"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_to_a_secret_are_its_prefixes() {
        let steps =
            |path: &str| -> Vec<String> { steps_to(path).into_iter().map(|(_, prefix)| prefix).collect() };
        assert_eq!(steps("payments/stripe/live"), ["payments/", "payments/stripe/"]);
        assert_eq!(steps("alone"), [""; 0]);
    }

    #[test]
    fn every_kind_has_a_form_with_the_fields_that_it_must_have() {
        for form in KindForm::all() {
            let fields = form.fields.iter().filter(|field| field.required);
            let json: serde_json::Map<String, serde_json::Value> = fields
                .map(|field| {
                    let value = match field.name {
                        "certificate" => "-----BEGIN CERTIFICATE-----",
                        "private_key" => "-----BEGIN PRIVATE KEY-----",
                        _ => "AAAA",
                    };
                    (field.name.to_owned(), value.into())
                })
                .collect();
            let fields = serde_json::from_value(json.into()).unwrap();
            assert_eq!(
                form.kind.check(&fields).is_ok(),
                form.kind != SecretKind::Map,
                "{}",
                form.title
            );
        }
    }
}
