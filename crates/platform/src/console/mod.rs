//! The console's page shell and components. A capability writes pages and agent tabs; the frame around
//! them (navigation, header, theme, errors, security headers) is made here.
//!
//! # A page, whole
//! `Cargo.toml`: `askama.workspace = true`. `askama.toml`, beside the crate's `Cargo.toml`:
//! ```toml
//! [general]
//! dirs = ["templates", "../platform/templates"]
//! ```
//! `pages.rs`:
//! ```ignore
//! use aim_core::{AgentId, Error, role::permission::AgentsRead};
//! use aim_platform::{Query, console::{AgentTab, ConsoleRegistry, Fragment, NavEntry, NavSection, PageResult, Panel,
//!     TabQuery, Viewed, Viewing, ui}};
//! use askama::Template;
//!
//! #[derive(Template)]
//! #[template(path = "things/list.html")]
//! struct ThingsPage<'a> { frame: &'a Frame, things: Vec<ThingView>, totals: Panel<Totals>, next: Option<String> }
//!
//! // The first argument is `Viewing<P>`: P is the page's permission. Then whatever else (`Query`, `PathId`, `web::Data`).
//! // Handlers answer `PageResult`; `?` turns an `aim_core::Error` into a page that says what, and the request id.
//! async fn things_page(viewing: Viewing<AgentsRead>, query: Query<ThingsQuery>, things: web::Data<ThingService>) -> PageResult {
//!     let list = things.list(&viewing.ctx, query.0.page()?).await?;
//!     let totals = Panel::load("Totals", &viewing, things.totals(&viewing.ctx)).await;
//!     let page = ThingsPage { frame: &viewing.frame, things: list.things, totals, next: list.next_cursor };
//!     viewing.page("Things", &page)
//! }
//!
//! // In `impl Module`:
//! fn console(&self, console: &mut ConsoleRegistry) {
//!     console.page("/things", things_page); // the permission is the one in the handler's `Viewing<P>`
//!     console.navigation(NavEntry::new::<AgentsRead>(NavSection::Agents, "Things", "/things", "server", 40));
//!     let service = self.service.clone();
//!     console.agent_tab(AgentTab::new::<AgentsRead, _, _>("things", "Things", 55, move |viewed: Viewed, agent: AgentId, query: TabQuery| {
//!         let service = service.clone();
//!         async move {
//!             let query: ThingsQuery = query.parse()?;
//!             let things = service.of_agent(&viewed.ctx, agent, query.page()?).await?;
//!             Fragment::of(&ThingsTab { frame: &viewed.frame, things })
//!         }
//!     }));
//! }
//! ```
//! `templates/things/list.html`, only what stands inside the frame (`ui` is in scope because `pages.rs` uses it):
//! ```html
//! {%- import "kit.html" as kit -%}
//! {% call kit::header("Things", "What they are, in one sentence") %}
//!   {% if frame.can::<AgentsWrite>() %}<button class="button primary" data-open="new-thing">New thing</button>{% endif %}
//! {% endcall %}
//! {% match totals %}{% when Panel::Ready with (totals) %}…{% when Panel::Failed with (why) %}{{ why }}{% endmatch %}
//! {% call kit::table("Things") %}
//!   <thead><tr><th>Name</th><th class="number">Uses</th><th>State</th><th>Last used</th></tr></thead>
//!   <tbody>{% for thing in things %}<tr>
//!     <td><a class="row-link" href="/things/{{ thing.id }}">{{ thing.name }}</a></td>
//!     <td class="number">{{ ui::number(thing.uses) }}</td><td>{{ ui::status(thing.status) }}</td>
//!     <td>{{ ui::time(frame, thing.used_at) }}</td>
//!   </tr>{% endfor %}</tbody>
//! {% endcall %}
//! {{ ui::pager(frame, next.as_deref()) }}
//! {% call kit::dialog("new-thing", "New thing") %}
//!   <form data-api="POST /api/v1/things" data-then="goto:/things/{id}">
//!     {{ ui::input("name", "Name").required().hint("Lower case") }}
//!     {{ ui::submit("Create") }}
//!   </form>
//! {% endcall %}
//! ```
//!
//! # Rules
//! - Pages read. Whatever changes something is a route of the API; `forms.js` calls it (`data-api`, below). Paths of
//!   pages lie outside `/api`, answer GET only, and stand in no OpenAPI document.
//! - No inline style or script, no `style` attribute, no `on…` attribute: the policy (CSP) refuses them. Classes only.
//! - Whoever is not signed in is sent to `/sign-in?next=…`; a missing permission is a 403 page that names it, an unknown id a
//!   404 page. Never build these yourself: return the `Error`.
//! - A list's filters and cursor live in the URL: `<form method="get" class="filters">`, [`Frame::with`], [`ui::pager`].
//!
//! # Who calls what
//! | | |
//! |---|---|
//! | [`ConsoleRegistry::page`] | a page; first argument [`Viewing<P>`](Viewing) |
//! | [`ConsoleRegistry::public_page`] | a page without sign-in; first argument [`Visiting`] |
//! | [`ConsoleRegistry::navigation`] | an entry of the navigation; [`NavEntry::badge`] adds a count |
//! | [`ConsoleRegistry::agent_tab`] | a tab of `/agents/{id}`; the shell renders header, tab bar and then your fragment |
//! | [`ConsoleRegistry::fill`] | fills a [`Slot`]; ask with [`Viewed::slot`] |
//! | [`ConsoleRegistry::agent_header`], [`ConsoleRegistry::viewer`] | identity's: who the agent and the viewer are |
//! | [`ConsoleRegistry::names`] | identity's: the names of actors; ask with [`Viewed::names`], show with [`Names::show`] |
//! | [`Panel`] | a part of a page that may fail without the page failing |
//! | [`Page`] | title, and modules beyond the common ones: `viewing.page(Page::new("Agents").script("register.js"), &t)` |
//! | [`ui`] | leaf components: badges, times, numbers, copy buttons, tiles, inputs, pager |
//! | `kit.html` | components around content (`{% call kit::… %}…{% endcall %}`): header, card, table, dialog, drawer, banner, menu |
//! | [`chart`] | charts as SVG |
//!
//! Orders in the navigation: Monitor: Overview 10, Live feed 20, Alerts 30, Threats 40, Violations 50 · Agents: Agents 10,
//! Requests 20, MCP servers 30, Trust trends 40 · Govern: Audit log 10, Compliance 20, Policies 30 · Administer: Users 10, API keys
//! 20, Webhooks 30, Settings 40. Orders of agent tabs: summary 10, activity 20, capabilities 30, violations 40, key-vault
//! 50, secrets 55 (premium), trust 60, mcp-servers 70, audit 80. Icons: the ids in `assets/icons.svg`.
//!
//! # `data-api`: forms and buttons that call the API
//! `<form data-api="POST /api/v1/agents/{{ id }}/suspend" data-then="reload">` sends its fields as JSON (session cookie, same
//! origin), disables itself meanwhile, puts each problem at the field that it names and keeps what was typed.
//! - `name="scope.resource"` makes nested members; a field without a name is not sent.
//! - `data-type` on a field, words may be combined: `string` (default), `int`, `number`, `bool` (also for checkboxes, which
//!   otherwise send their value when checked), `list` (lines or commas; or several checkboxes of one name), `json`,
//!   `base64` (a text whose bytes are sent so), `time` (a `datetime-local` in the viewer's time, sent as RFC 3339), `omit-empty` (left out when empty),
//!   `null-empty` (null when empty).
//! - `data-then`: `reload` (default), `goto:/path/{id}` (`{member}` from the reply), `toast:Text`, `show:#dialog` (opens the dialog;
//!   elements in it with `data-reply="member"` are filled from the reply), `none`; several joined by `|`. Each fires the
//!   event `aim:done` (detail: the reply) on the form.
//! - In a form, a submit button with a `name` adds its value to the body, and its own `data-then` counts. In what `show:` opens,
//!   `data-rows="member"` repeats the `<template>` in it for each entry of a list. `<input type="file" data-into="id">` puts a
//!   file's text into a field.
//! - A button works alike: `<button data-api="DELETE /api/v1/x/1" data-body='{"reason":"…"}' data-confirm="Delete x?" data-then="reload">`.
//!   `data-confirm-word="name"` asks to type it. `data-undo="POST /api/v1/…"` with `data-undo-body` shows a toast with Undo for 10 s,
//!   on the next page too; `{member}` in it is the reply's member as JSON. A form's `data-confirm` may name `{count}` and `{names}` (the
//!   `data-name` of the boxes that are checked). With `data-pages` the call is sent again with each `next_cursor` of the reply until
//!   there is none: numbers are added up, lists are those of the first page.
//! - `data-open="id"` opens the dialog or drawer of that id; `data-close` closes the one around it; `data-copy="text"` or
//!   `data-copy-from="#id"` copies; `<table data-select>` gives rows with `<input type="checkbox" name="ids" value="…">` a select-all and
//!   shows the element `[data-selection]` with a count; a form around them sends the checked ones.

mod agent;
mod assets;
pub mod chart;
mod errors;
mod fragment;
mod frame;
mod names;
mod page;
mod registry;
pub mod ui;

pub(crate) use assets::{serve as serve_asset, serve_icon};
pub(crate) use errors::{About, error_page};
pub use fragment::{Fragment, Panel};
pub use frame::{Frame, Links, NavGroup, NavLink, Theme, Viewed, Viewer, Viewing, Visiting};
pub use names::Names;
pub use page::{Html, Page, PageError, PageResult};
pub use registry::{
    AgentHeader, AgentTab, Console, ConsoleRegistry, NavEntry, NavSection, PageArguments, PageInfo, Slot,
    TabQuery, VisitArguments,
};
