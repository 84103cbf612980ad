//! Parts of pages.

use std::{fmt, future::Future};

use aim_core::{Error, Result};
use askama::{Template, filters::HtmlSafe};

use super::{Viewed, ui};

/// HTML that was rendered by a template or a component, and is put into others as it stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fragment(String);

impl Fragment {
    /// Renders a template.
    ///
    /// # Errors
    /// `server.internal` when a value in it refuses to be shown.
    pub fn of(template: &impl Template) -> Result<Self> {
        template.render().map(Self).map_err(Error::internal)
    }

    /// HTML that its maker has escaped where it had to be.
    #[must_use]
    pub fn trusted(html: String) -> Self {
        Self(html)
    }

    /// Text, which is escaped.
    #[must_use]
    pub fn text(text: impl fmt::Display) -> Self {
        Self(ui::Escaped(text).to_string())
    }

    /// The HTML.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.trim().is_empty()
    }
}

impl fmt::Display for Fragment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl HtmlSafe for Fragment {}

/// A part of a page that loads on its own: when it fails it says which, why, and offers another try,
/// and the rest of the page stands.
#[derive(Debug, Clone)]
pub enum Panel<T> {
    /// It loaded.
    Ready(T),
    /// It did not; what to show in its place.
    Failed(Fragment),
}

impl<T> Panel<T> {
    /// Waits for `work`; `name` is what the panel is called on the page.
    pub async fn load(name: &str, viewed: &Viewed, work: impl Future<Output = Result<T>>) -> Self {
        match work.await {
            Ok(value) => Self::Ready(value),
            Err(error) => Self::Failed(failure(name, viewed, &error)),
        }
    }

    /// The part, rendered from what was loaded; or what stands in its place.
    ///
    /// # Errors
    /// What `render` answers.
    pub fn view(&self, render: impl FnOnce(&T) -> Result<Fragment>) -> Result<Fragment> {
        match self {
            Self::Ready(value) => render(value),
            Self::Failed(why) => Ok(why.clone()),
        }
    }
}

#[derive(Template)]
#[template(path = "panel_failed.html")]
struct PanelFailed<'a> {
    name: &'a str,
    why: String,
    request_id: uuid::Uuid,
    retry: &'a str,
}

/// What stands in the place of a part that did not load.
pub(super) fn failure(name: &str, viewed: &Viewed, error: &Error) -> Fragment {
    let request_id = viewed.ctx.request_id;
    tracing::warn!(%request_id, ?error, panel = name, "a part of a page did not load");
    let failed = PanelFailed {
        name,
        why: super::errors::in_words(error),
        request_id,
        retry: &viewed.frame.target,
    };
    Fragment::of(&failed).unwrap_or_default()
}
