//! What the capabilities put into the console.

use std::{collections::HashMap, fmt, future::Future, pin::Pin, sync::Arc};

use actix_web::{FromRequest, Handler, web};
use aim_core::{AgentId, Ctx, Permission, RequiredPermission, Result};
use serde::de::DeserializeOwned;

use super::{Fragment, PageResult, Viewed, Viewer, Viewing, Visiting};
use crate::Module;

type Answering<T> = Pin<Box<dyn Future<Output = Result<T>>>>;
type Mount = Arc<dyn Fn(&mut web::ServiceConfig) + Send + Sync>;
type CountBadge = Arc<dyn Fn(Ctx) -> Answering<u64> + Send + Sync>;
type RenderTab = Arc<dyn Fn(Viewed, AgentId, TabQuery) -> Answering<Fragment> + Send + Sync>;
type RenderSlot = Arc<dyn Fn(Viewed, AgentId) -> Answering<Fragment> + Send + Sync>;
type FindAgent = Arc<dyn Fn(Viewed, AgentId) -> Answering<AgentHeader> + Send + Sync>;
type FindNames = Arc<dyn Fn(Ctx, Vec<String>) -> Answering<HashMap<String, String>> + Send + Sync>;
type FindViewer = Arc<dyn Fn(Ctx) -> Answering<Viewer> + Send + Sync>;

/// A page, as data: for tests that walk all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageInfo {
    /// Its path, with `{…}` where an id stands.
    pub path: &'static str,
    /// What it takes to see it; none for pages without sign-in.
    pub permission: Option<Permission>,
}

/// The arguments of a page's handler: [`Viewing<P>`](Viewing) first.
pub trait PageArguments {
    /// The permission of the page.
    const PERMISSION: Permission;
}

/// The arguments of the handler of a page without sign-in: [`Visiting`] first.
pub trait VisitArguments {}

macro_rules! arguments {
    ($($more:ident)*) => {
        impl<P: RequiredPermission, $($more),*> PageArguments for (Viewing<P>, $($more,)*) {
            const PERMISSION: Permission = P::PERMISSION;
        }
        impl<$($more),*> VisitArguments for (Visiting, $($more,)*) {}
    };
}
arguments!();
arguments!(A);
arguments!(A B);
arguments!(A B C);
arguments!(A B C D);
arguments!(A B C D E);
arguments!(A B C D E F);
arguments!(A B C D E F G);

/// A part of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NavSection {
    /// What happens.
    Monitor,
    /// The agents and what they talk to.
    Agents,
    /// Evidence and rules.
    Govern,
    /// People, keys and settings.
    Administer,
}

impl NavSection {
    /// Its heading.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Monitor => "Monitor",
            Self::Agents => "Agents",
            Self::Govern => "Govern",
            Self::Administer => "Administer",
        }
    }
}

/// An entry of the navigation; shown to whoever has its permission.
#[derive(Clone)]
pub struct NavEntry {
    pub(super) section: NavSection,
    pub(super) label: &'static str,
    pub(super) path: &'static str,
    pub(super) icon: &'static str,
    pub(super) order: u16,
    pub(super) permission: Permission,
    pub(super) count: Option<CountBadge>,
}

impl NavEntry {
    /// An entry; `icon` is an id in `assets/icons.svg`.
    #[must_use]
    pub fn new<P: RequiredPermission>(
        section: NavSection,
        label: &'static str,
        path: &'static str,
        icon: &'static str,
        order: u16,
    ) -> Self {
        Self {
            section,
            label,
            path,
            icon,
            order,
            permission: P::PERMISSION,
            count: None,
        }
    }

    /// With a count beside it. It is asked for on every page, so it must be quick; 0 and failures show nothing.
    #[must_use]
    pub fn badge<F, Fut>(mut self, count: F) -> Self
    where
        F: Fn(Ctx) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<u64>> + 'static,
    {
        self.count = Some(Arc::new(move |ctx| Box::pin(count(ctx))));
        self
    }
}

/// A tab of an agent's page.
#[derive(Clone)]
pub struct AgentTab {
    pub(super) slug: &'static str,
    pub(super) label: &'static str,
    pub(super) order: u16,
    pub(super) permission: Permission,
    pub(super) render: RenderTab,
}

impl AgentTab {
    /// A tab at `/agents/{id}/{slug}`, for whoever has the permission `P`. The shell has looked the agent up
    /// in the viewer's organisation before it asks for the tab.
    #[must_use]
    pub fn new<P, F, Fut>(slug: &'static str, label: &'static str, order: u16, render: F) -> Self
    where
        P: RequiredPermission,
        F: Fn(Viewed, AgentId, TabQuery) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Fragment>> + 'static,
    {
        Self {
            slug,
            label,
            order,
            permission: P::PERMISSION,
            render: Arc::new(move |viewed, agent, query| Box::pin(render(viewed, agent, query))),
        }
    }
}

/// The query string of an agent's tab.
#[derive(Debug, Clone, Default)]
pub struct TabQuery(pub(super) String);

impl TabQuery {
    /// Reads it as [`crate::Query`] does.
    ///
    /// # Errors
    /// `request.invalid`, naming the parameter.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        crate::extract::parse_query(&self.0)
    }
}

/// A place in a page that another capability may fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Slot {
    /// Below the keys on an agent's key-vault tab.
    KeyVault,
}

/// Who an agent is, for the head of its page.
#[derive(Debug, Clone, Default)]
pub struct AgentHeader {
    /// Its name for people.
    pub name: String,
    /// Its name for machines, when that is another.
    pub handle: Option<String>,
    /// `active`, `suspended`, …
    pub status: String,
    /// `ai_agent`, …
    pub kind: String,
    /// Whose it is.
    pub owner: Option<String>,
    /// Its trust from 0 to 100, if it has a score.
    pub trust: Option<f64>,
    /// Buttons and menus.
    pub actions: Fragment,
}

/// What modules register themselves with; see [`crate::console`].
#[derive(Default)]
pub struct ConsoleRegistry {
    pub(super) pages: Vec<PageInfo>,
    pub(super) mounts: Vec<Mount>,
    pub(super) navigation: Vec<NavEntry>,
    pub(super) tabs: Vec<AgentTab>,
    pub(super) slots: HashMap<Slot, RenderSlot>,
    pub(super) find_agent: Option<FindAgent>,
    pub(super) find_viewer: Option<FindViewer>,
    pub(super) find_names: Option<FindNames>,
}

impl fmt::Debug for ConsoleRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsoleRegistry")
            .field("pages", &self.pages)
            .finish_non_exhaustive()
    }
}

impl ConsoleRegistry {
    /// A page at `path`, with the permission that its handler's [`Viewing<P>`](Viewing) names.
    pub fn page<H, Args>(&mut self, path: &'static str, handler: H)
    where
        H: Handler<Args, Output = PageResult> + Send + Sync,
        Args: FromRequest + PageArguments + 'static,
    {
        self.mount(path, Some(Args::PERMISSION), handler);
    }

    /// A page that needs no sign-in.
    pub fn public_page<H, Args>(&mut self, path: &'static str, handler: H)
    where
        H: Handler<Args, Output = PageResult> + Send + Sync,
        Args: FromRequest + VisitArguments + 'static,
    {
        self.mount(path, None, handler);
    }

    fn mount<H, Args>(&mut self, path: &'static str, permission: Option<Permission>, handler: H)
    where
        H: Handler<Args, Output = PageResult> + Send + Sync,
        Args: FromRequest + 'static,
    {
        self.pages.push(PageInfo { path, permission });
        self.mounts.push(Arc::new(move |config| {
            config.service(web::resource(path).route(web::get().to(handler.clone())));
        }));
    }

    /// An entry of the navigation.
    pub fn navigation(&mut self, entry: NavEntry) {
        self.navigation.push(entry);
    }

    /// A tab of `/agents/{id}`.
    pub fn agent_tab(&mut self, tab: AgentTab) {
        self.tabs.push(tab);
    }

    /// Fills a slot; the last one that does has it.
    pub fn fill<F, Fut>(&mut self, slot: Slot, render: F)
    where
        F: Fn(Viewed, AgentId) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Fragment>> + 'static,
    {
        let render: RenderSlot = Arc::new(move |viewed, agent| Box::pin(render(viewed, agent)));
        self.slots.insert(slot, render);
    }

    /// Who an agent is; `resource.not_found` for one that the viewer's organisation does not have.
    pub fn agent_header<F, Fut>(&mut self, find: F)
    where
        F: Fn(Viewed, AgentId) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<AgentHeader>> + 'static,
    {
        self.find_agent = Some(Arc::new(move |viewed, agent| Box::pin(find(viewed, agent))));
    }

    /// Who is looking.
    pub fn viewer<F, Fut>(&mut self, find: F)
    where
        F: Fn(Ctx) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Viewer>> + 'static,
    {
        self.find_viewer = Some(Arc::new(move |ctx| Box::pin(find(ctx))));
    }

    /// The names of actors (`kind:id`) of the viewer's organisation; those without one are left out.
    pub fn names<F, Fut>(&mut self, find: F)
    where
        F: Fn(Ctx, Vec<String>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<HashMap<String, String>>> + 'static,
    {
        self.find_names = Some(Arc::new(move |ctx, actors| Box::pin(find(ctx, actors))));
    }
}

/// The console of all modules together.
#[derive(Debug, Clone)]
pub struct Console(pub(super) Arc<ConsoleRegistry>);

impl Console {
    /// What `modules` registered.
    #[must_use]
    pub fn of(modules: &[Arc<dyn Module>]) -> Self {
        let mut registry = ConsoleRegistry::default();
        for module in modules {
            module.console(&mut registry);
        }
        // After the capabilities' own pages, so that theirs come before an id in the same place.
        super::agent::register(&mut registry);
        registry
            .navigation
            .sort_by_key(|entry| (entry.section, entry.order));
        registry.tabs.sort_by_key(|tab| tab.order);
        Self(Arc::new(registry))
    }

    /// Every page.
    #[must_use]
    pub fn pages(&self) -> &[PageInfo] {
        &self.0.pages
    }

    /// Every tab of an agent's page with its permission.
    #[must_use]
    pub fn agent_tabs(&self) -> Vec<(&'static str, Permission)> {
        self.0.tabs.iter().map(|tab| (tab.slug, tab.permission)).collect()
    }

    /// Whether there is a page of that pattern.
    #[must_use]
    pub fn has_page(&self, pattern: &str) -> bool {
        self.0.pages.iter().any(|page| page.path == pattern)
    }

    pub(crate) fn configure(&self, config: &mut web::ServiceConfig) {
        config
            .route("/assets/{hash}/{name}", web::get().to(super::serve_asset))
            .route("/favicon.ico", web::get().to(super::serve_icon));
        for mount in &self.0.mounts {
            mount(config);
        }
    }
}
