//! The frame around a page: who is looking, where they can go, and how they like it.

use std::{collections::BTreeMap, future::Future, marker::PhantomData, ops::Deref, pin::Pin, sync::Arc};

use actix_web::{FromRequest, HttpMessage, HttpRequest, dev::Payload, web};
use aim_core::{Actor, AgentId, Code, Ctx, Error, Permission, RequiredPermission, Result, Role, Timestamp};
use askama::Template;
use futures_util::future::join_all;
use serde_json::Value;
use uuid::Uuid;

use super::{
    Console, Fragment, Html, Names, Page, PageError, PageResult, Slot, assets, errors::About,
    fragment::failure, ui,
};
use crate::{EditionInfo, Kernel, Shell, extract::authenticated, shell::RequestFacts};

/// Who is looking.
#[derive(Debug, Clone, Default)]
pub struct Viewer {
    /// The name.
    pub name: String,
    /// The e-mail address.
    pub email: String,
    /// The name of the organisation.
    pub organization: String,
    /// What the viewer asked us to remember.
    pub preferences: BTreeMap<String, Value>,
}

/// Light, dark, or as the system has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Theme {
    /// As the system has it.
    #[default]
    Auto,
    /// Light.
    Light,
    /// Dark.
    Dark,
}

impl Theme {
    /// Its name, as the cookie and the page have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    pub(super) fn parse(name: &str) -> Self {
        match name {
            "light" => Self::Light,
            "dark" => Self::Dark,
            _ => Self::Auto,
        }
    }
}

/// Addresses outside of the console, as the configuration has them.
#[derive(Debug, Clone, Default)]
pub struct Links {
    /// Where "Learn more" leads.
    pub learn_more: String,
    /// Where "Upgrade to Pro" leads.
    pub upgrade: String,
}

/// A section of the navigation.
#[derive(Debug, Clone)]
pub struct NavGroup {
    /// Its heading.
    pub title: &'static str,
    /// Its entries.
    pub links: Vec<NavLink>,
}

/// An entry of the navigation, as it is shown.
#[derive(Debug, Clone)]
pub struct NavLink {
    /// What it is called.
    pub label: &'static str,
    /// Where it leads.
    pub path: &'static str,
    /// Its icon.
    pub icon: &'static str,
    /// Whether the present page belongs to it.
    pub current: bool,
    /// The count beside it.
    pub badge: Option<u64>,
}

/// Everything that templates need to know about the page's surroundings.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Who is looking; none before sign-in.
    pub viewer: Option<Viewer>,
    /// The viewer's role.
    pub role: Option<Role>,
    /// Where the viewer can go.
    pub navigation: Vec<NavGroup>,
    /// `community`, `premium`: to be shown, not to be decided on.
    pub edition: String,
    /// The version of AIM.
    pub version: String,
    /// Light or dark.
    pub theme: Theme,
    /// Whether times are shown in UTC instead of the viewer's own zone.
    pub utc: bool,
    /// The path of this page.
    pub path: String,
    /// Path and query of this page.
    pub target: String,
    /// Addresses outside.
    pub links: Links,
    /// The moment of the request.
    pub now: Timestamp,
    /// The id of the request.
    pub request_id: Uuid,
}

impl Frame {
    /// Whether the viewer has the permission `P`: `{% if frame.can::<AgentsWrite>() %}`.
    #[must_use]
    pub fn can<P: RequiredPermission>(&self) -> bool {
        self.allows(P::PERMISSION)
    }

    /// Whether the viewer has the permission.
    #[must_use]
    pub fn allows(&self, permission: Permission) -> bool {
        self.role.is_some_and(|role| role >= permission.minimum)
    }

    /// The moment so many days from now, as RFC 3339: for what is hidden until then.
    #[must_use]
    pub fn in_days(&self, days: i64) -> String {
        (self.now + chrono::TimeDelta::days(days)).to_text()
    }

    /// Something that the viewer asked us to remember.
    #[must_use]
    pub fn preference(&self, name: &str) -> Option<&Value> {
        self.viewer.as_ref()?.preferences.get(name)
    }

    /// The address of an asset.
    #[must_use]
    pub fn asset(&self, name: &str) -> String {
        assets::url(name)
    }

    /// This page's address with the parameter set, and on its first page of results.
    #[must_use]
    pub fn with(&self, name: &str, value: impl std::fmt::Display) -> String {
        self.changed(&[name, "cursor", "offset"], Some((name, value.to_string())))
    }

    /// This page's address without the parameter, and on its first page of results.
    #[must_use]
    pub fn without(&self, name: &str) -> String {
        self.changed(&[name, "cursor", "offset"], None)
    }

    /// This page's address on another path, with the same query: for exports.
    #[must_use]
    pub fn query_at(&self, path: &str) -> String {
        match self.target.split_once('?') {
            Some((_, query)) => format!("{path}?{query}"),
            None => path.to_owned(),
        }
    }

    /// A parameter of this page's address.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<String> {
        self.parameters()
            .into_iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value)
    }

    fn parameters(&self) -> Vec<(String, String)> {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        serde_html_form::from_str(query).unwrap_or_default()
    }

    fn changed(&self, dropped: &[&str], added: Option<(&str, String)>) -> String {
        let mut pairs = self.parameters();
        pairs.retain(|(name, value)| !dropped.contains(&name.as_str()) && !value.is_empty());
        pairs.extend(added.map(|(name, value)| (name.to_owned(), value)));
        let query = serde_html_form::to_string(&pairs).unwrap_or_default();
        if query.is_empty() {
            self.path.clone()
        } else {
            format!("{}?{query}", self.path)
        }
    }
}

/// The frame of a request.
pub(super) async fn frame(console: &Console, ctx: &Ctx, about: &About) -> Frame {
    let role = match &ctx.actor {
        Actor::User { role, .. } => Some(*role),
        _ => None,
    };
    let entries: Vec<_> = console
        .0
        .navigation
        .iter()
        .filter(|entry| role.is_some_and(|role| role >= entry.permission.minimum))
        .collect();
    let counts = join_all(entries.iter().map(|entry| async {
        let count = entry.count.as_ref()?(ctx.clone()).await;
        count.ok().filter(|count| *count > 0)
    }))
    .await;
    let viewer = match (&console.0.find_viewer, role) {
        (Some(find), Some(_)) => find(ctx.clone()).await.ok(),
        _ => None,
    };
    // The longest path that the page lies under has the mark.
    let current = entries
        .iter()
        .map(|entry| entry.path)
        .filter(|path| is_under(&about.path, path))
        .max_by_key(|path| path.len());
    let mut navigation: Vec<NavGroup> = Vec::new();
    for (entry, badge) in entries.iter().zip(counts) {
        let title = entry.section.title();
        if navigation.last().is_none_or(|group| group.title != title) {
            navigation.push(NavGroup {
                title,
                links: Vec::new(),
            });
        }
        if let Some(group) = navigation.last_mut() {
            group.links.push(NavLink {
                label: entry.label,
                path: entry.path,
                icon: entry.icon,
                current: current == Some(entry.path),
                badge,
            });
        }
    }
    Frame {
        viewer,
        role,
        navigation,
        edition: about.edition.edition.clone(),
        version: about.edition.version.clone(),
        theme: about.theme,
        utc: about.utc,
        path: about.path.clone(),
        target: about.target.clone(),
        links: about.links.clone(),
        now: ctx.now,
        request_id: ctx.request_id,
    }
}

fn is_under(path: &str, entry: &str) -> bool {
    path.strip_prefix(entry)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[derive(Template)]
#[template(path = "base.html")]
struct Document<'a> {
    frame: &'a Frame,
    page: &'a Page,
    content: &'a Fragment,
}

/// The whole document of a page.
pub(super) fn document(frame: &Frame, page: &Page, content: &Fragment) -> Result<String> {
    Document { frame, page, content }
        .render()
        .map_err(Error::internal)
}

/// A signed-in user's look at a page: the context of the call, and the frame. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Viewed {
    /// The context, for services.
    pub ctx: Ctx,
    /// The frame, for templates.
    pub frame: Arc<Frame>,
    pub(super) console: Console,
}

impl Viewed {
    /// The page, in its frame.
    ///
    /// # Errors
    /// When the template fails.
    pub fn page(&self, page: impl Into<Page>, content: &impl Template) -> PageResult {
        self.page_of(page, &Fragment::of(content)?)
    }

    /// The same, of a content that is rendered already.
    ///
    /// # Errors
    /// When the frame's template fails.
    pub fn page_of(&self, page: impl Into<Page>, content: &Fragment) -> PageResult {
        Ok(Html::document(document(&self.frame, &page.into(), content)?))
    }

    /// What another capability put into the slot; none when no capability of this binary fills it.
    pub async fn slot(&self, slot: Slot, agent: AgentId) -> Option<Fragment> {
        let render = self.console.0.slots.get(&slot)?;
        Some(match render(self.clone(), agent).await {
            Ok(fragment) => fragment,
            Err(error) => failure("This part", self, &error),
        })
    }

    /// The names of these actors (`kind:id`), for a page that tells who did something.
    pub async fn names(&self, actors: impl IntoIterator<Item = String>) -> Names {
        let distinct: std::collections::BTreeSet<String> = actors.into_iter().collect();
        let Some(find) = self
            .console
            .0
            .find_names
            .as_ref()
            .filter(|_| !distinct.is_empty())
        else {
            return Names::default();
        };
        // A page without names is still a page: it shows the ends of the ids.
        let found = find(self.ctx.clone(), distinct.into_iter().collect()).await;
        found.map(Names).unwrap_or_default()
    }

    /// Whether this console has a page of that path.
    #[must_use]
    pub fn has_page(&self, pattern: &str) -> bool {
        self.console.has_page(pattern)
    }

    /// Whether this console has a page of that path, and the viewer may see it.
    #[must_use]
    pub fn may_open(&self, pattern: &str) -> bool {
        self.console.pages().iter().any(|page| {
            page.path == pattern
                && page
                    .permission
                    .is_none_or(|permission| self.frame.allows(permission))
        })
    }
}

/// The first argument of a page's handler: somebody who is signed in and has the permission `P`.
#[derive(Debug)]
pub struct Viewing<P> {
    viewed: Viewed,
    permission: PhantomData<fn() -> P>,
}

impl<P> Deref for Viewing<P> {
    type Target = Viewed;
    fn deref(&self) -> &Viewed {
        &self.viewed
    }
}

impl<P> Viewing<P> {
    /// Without the permission in its type.
    #[must_use]
    pub fn into_viewed(self) -> Viewed {
        self.viewed
    }
}

type Extracting<T> = Pin<Box<dyn Future<Output = Result<T, PageError>>>>;

fn surroundings(request: &HttpRequest) -> Result<(Console, About)> {
    let shell = request.app_data::<web::Data<Shell>>();
    let kernel = request.app_data::<web::Data<Kernel>>();
    let edition = request.app_data::<web::Data<EditionInfo>>();
    let (Some(shell), Some(kernel), Some(edition)) = (shell, kernel, edition) else {
        return Err(Error::internal("the request did not come through the shell"));
    };
    let about = About::of(request.headers(), request.uri(), kernel, edition);
    Ok((shell.console().clone(), about))
}

impl<P: RequiredPermission> FromRequest for Viewing<P> {
    type Error = PageError;
    type Future = Extracting<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let found = authenticated(request).and_then(|(ctx, _)| Ok((ctx, surroundings(request)?)));
        Box::pin(async move {
            let (ctx, (console, about)) = found?;
            match &ctx.actor {
                Actor::User { role, .. } if *role >= P::PERMISSION.minimum => {}
                Actor::User { .. } => return Err(Error::forbidden(P::PERMISSION.name).into()),
                _ => {
                    let detail = "the console is for people; programs use the API";
                    return Err(Error::new(Code::Forbidden, detail).into());
                }
            }
            let frame = Arc::new(frame(&console, &ctx, &about).await);
            Ok(Self {
                viewed: Viewed { ctx, frame, console },
                permission: PhantomData,
            })
        })
    }
}

/// The first argument of the handler of a page without sign-in.
#[derive(Debug)]
pub struct Visiting {
    /// The context; its actor is anonymous unless a valid session came along.
    pub ctx: Ctx,
    /// The frame; without navigation unless a valid session came along.
    pub frame: Arc<Frame>,
    console: Console,
}

impl Visiting {
    /// The page, on its own: without navigation.
    ///
    /// # Errors
    /// When the template fails.
    pub fn page(&self, page: impl Into<Page>, content: &impl Template) -> PageResult {
        let mut bare = Frame::clone(&self.frame);
        bare.navigation.clear();
        bare.viewer = None;
        bare.role = None;
        Ok(Html::document(document(
            &bare,
            &page.into(),
            &Fragment::of(content)?,
        )?))
    }

    /// Whether somebody is signed in.
    #[must_use]
    pub fn is_signed_in(&self) -> bool {
        matches!(self.ctx.actor, Actor::User { .. })
    }

    /// Whether this console has a page of that path.
    #[must_use]
    pub fn has_page(&self, pattern: &str) -> bool {
        self.console.has_page(pattern)
    }
}

impl FromRequest for Visiting {
    type Error = PageError;
    type Future = Extracting<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let known = authenticated(request).map(|(ctx, _)| ctx);
        let ctx = known.or_else(|_| {
            let extensions = request.extensions();
            let facts = extensions.get::<RequestFacts>();
            facts
                .map(|facts| facts.ctx.clone())
                .ok_or_else(|| Error::internal("the request did not come through the shell"))
        });
        let found = ctx.and_then(|ctx| Ok((ctx, surroundings(request)?)));
        Box::pin(async move {
            let (ctx, (console, about)) = found?;
            let frame = Arc::new(frame(&console, &ctx, &about).await);
            Ok(Self { ctx, frame, console })
        })
    }
}
