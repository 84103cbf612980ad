//! The page "Reveals": who saw or wants to see which value, what waits for an answer, and whether people may see values
//! at all; and what stands of it on a secret's own page.

use actix_web::web;
use aim_core::{Actor, RequiredPermission, Result};
use aim_platform::{
    Query,
    console::{ConsoleRegistry, Frame, Names, Page, PageResult, Viewing, ui},
};
use askama::Template;
use serde::Deserialize;

use super::model::{
    MAX_REASON, MIN_REASON, RevealMode, RevealQuery, RevealSettings, RevealState, RevealView,
    TAKEN_WITHIN_MINUTES,
};
use crate::vault::{
    VaultService,
    permission::{SecretsRead, SecretsReveal, VaultRevealMode},
    sections,
};

/// How many reveals a page shows.
const PAGE: i64 = 50;
/// The module that shows a value once.
pub(in crate::vault) const SHOWN_ONCE: &str = "shown-once.js";

pub(in crate::vault) fn register(console: &mut ConsoleRegistry, _: &VaultService) {
    console.page("/secrets/reveals", reveals_page);
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PageQuery {
    state: String,
    path: String,
    cursor: Option<String>,
}

impl PageQuery {
    fn state(&self) -> Result<Option<RevealState>> {
        let states = [
            RevealState::Pending,
            RevealState::Approved,
            RevealState::Rejected,
            RevealState::Taken,
            RevealState::Expired,
        ];
        match states.into_iter().find(|state| state.as_str() == self.state) {
            None if !self.state.is_empty() => Err(aim_core::Error::field("state", "no such state")),
            state => Ok(state),
        }
    }
}

/// A reveal and what the viewer can do with it.
struct Row {
    view: RevealView,
    mine: bool,
}

impl Row {
    fn of(view: RevealView, me: &str) -> Self {
        Self {
            mine: view.asked_by == me,
            view,
        }
    }

    fn is_answerable(&self) -> bool {
        self.view.state == RevealState::Pending && !self.mine
    }

    fn is_takeable(&self) -> bool {
        self.view.state == RevealState::Approved && self.mine
    }
}

#[derive(Template)]
#[template(path = "vault/reveals.html")]
struct RevealsPage<'a> {
    frame: &'a Frame,
    query: &'a PageQuery,
    settings: RevealSettings,
    filtered: bool,
    rows: Vec<Row>,
    next: Option<String>,
    names: Names,
}

impl RevealsPage<'_> {
    fn mode_field(&self) -> ui::Field {
        ui::select("mode", "Values are shown")
            .within("reveal-mode")
            .option("off", "to nobody")
            .option("reason", "to administrators who give a reason")
            .option(
                "second_person",
                "to administrators who give a reason, once another one approves",
            )
            .value(self.settings.mode.as_str())
    }
}

async fn reveals_page(
    viewing: Viewing<SecretsReveal>,
    query: Query<PageQuery>,
    service: web::Data<VaultService>,
) -> PageResult {
    let wanted = RevealQuery {
        state: query.0.state()?,
        path: Some(query.0.path.trim().to_owned()),
        limit: Some(PAGE),
        cursor: query.0.cursor.clone(),
    };
    let list = service.list_reveals(&viewing.ctx, wanted).await?;
    let actors = list.reveals.iter().flat_map(|view| {
        [Some(view.asked_by.clone()), view.answered_by.clone()]
            .into_iter()
            .flatten()
    });
    let names = viewing.names(actors.collect::<Vec<_>>()).await;
    let me = viewing.ctx.actor_text();
    let page = RevealsPage {
        frame: &viewing.frame,
        filtered: !query.0.state.is_empty() || !query.0.path.is_empty(),
        query: &query.0,
        settings: service.reveal_settings(&viewing.ctx).await?,
        rows: list.reveals.into_iter().map(|view| Row::of(view, &me)).collect(),
        next: list.next_cursor,
        names,
    };
    viewing.page(Page::new("Reveals").script(SHOWN_ONCE), &page)
}

/// What stands of reveals on a secret's page, for whoever may see values.
pub(in crate::vault) struct SecretReveals {
    pub(in crate::vault) mode: RevealMode,
    /// What the viewer asked for and can take.
    pub(in crate::vault) mine: Vec<RevealView>,
}

impl SecretReveals {
    /// None for whoever may not see values.
    pub(in crate::vault) async fn of(
        viewing: &Viewing<SecretsRead>,
        service: &VaultService,
        path: &str,
    ) -> Result<Option<Self>> {
        let may = viewing.frame.allows(SecretsReveal::PERMISSION);
        if !may || !matches!(viewing.ctx.actor, Actor::User { .. }) {
            return Ok(None);
        }
        let mode = service.reveal_settings(&viewing.ctx).await?.mode;
        let wanted = RevealQuery {
            state: Some(RevealState::Approved),
            path: Some(path.to_owned()),
            ..RevealQuery::default()
        };
        let me = viewing.ctx.actor_text();
        let mut mine = service.list_reveals(&viewing.ctx, wanted).await?.reveals;
        mine.retain(|view| view.asked_by == me);
        Ok(Some(Self { mode, mine }))
    }

    pub(in crate::vault) fn is_off(&self) -> bool {
        self.mode == RevealMode::Off
    }

    pub(in crate::vault) fn wants_second(&self) -> bool {
        self.mode == RevealMode::SecondPerson
    }

    pub(in crate::vault) fn shortest(&self) -> usize {
        MIN_REASON
    }

    pub(in crate::vault) fn longest(&self) -> usize {
        MAX_REASON
    }

    pub(in crate::vault) fn minutes(&self) -> i64 {
        TAKEN_WITHIN_MINUTES
    }
}
