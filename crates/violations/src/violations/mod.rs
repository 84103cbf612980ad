//! Violations: every denied attempt is a row, counted and grouped, and read by page, as totals or whole.
//!
//! Who denies writes them, in the transaction of the decision; nothing here decides.

pub mod counts;
pub mod groups;
pub mod model;
mod pages;
pub mod routes;
pub mod service;
pub mod store;
pub mod triage;
pub mod window;

use aim_store::{Db, Result};

pub use model::{Filter, GroupFilter, ViolationGroupList, ViolationList, ViolationView};
pub use service::ViolationService;
pub use triage::{TriageFilter, TriageService, TriageState, TriageView};

pub(crate) use pages::register as register_pages;

/// Stores violations and brings totals and groups along, inside the caller's transaction.
///
/// # Errors
/// The database's.
pub fn record(db: &mut Db, rows: &[store::ViolationRow]) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    store::insert_many(db, rows)?;
    groups::upsert(db, &groups::GroupChange::tally(rows))?;
    counts::add(db, &counts::CountKey::tally(rows))
}
