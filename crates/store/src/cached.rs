//! Statements that are prepared once.

use diesel::{
    QueryResult, RunQueryDsl,
    backend::{Backend, DieselReserveSpecialization},
    connection::LoadConnection,
    expression::QueryMetadata,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::Untyped,
};

/// A statement that is kept prepared, although Diesel would prepare it anew at each use: it does so with every `UPDATE`, every
/// `DO UPDATE` and every `IN`, since their text may depend on their values.
///
/// For statements of hot paths whose text has few forms: each form stays in memory as long as the connection. A query, or a
/// statement with `RETURNING`, is used by `load` and `get_result`; a statement without it by [`Cached::run`], since Diesel's
/// `execute` would prepare it anew all the same.
#[derive(Debug, Clone, Copy)]
pub struct Cached<Q>(
    /// The statement.
    pub Q,
);

impl<Q> Cached<Q> {
    /// Runs a statement that returns no rows.
    ///
    /// # Errors
    /// The database's.
    pub fn run<C>(self, connection: &mut C) -> QueryResult<()>
    where
        C: LoadConnection,
        C::Backend: DieselReserveSpecialization + QueryMetadata<Untyped>,
        Q: QueryFragment<C::Backend>,
    {
        connection
            .load(Statement(self.0))?
            .try_for_each(|row| row.map(|_| ()))
    }
}

/// A statement that is used like a query, whose rows nobody looks at.
struct Statement<Q>(Q);

impl<DB, Q> QueryFragment<DB> for Statement<Q>
where
    DB: Backend + DieselReserveSpecialization,
    Q: QueryFragment<DB>,
{
    fn walk_ast<'b>(&'b self, pass: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        self.0.walk_ast(pass)
    }

    fn is_safe_to_cache_prepared(&self, _: &DB) -> QueryResult<bool> {
        Ok(true)
    }
}

impl<Q> QueryId for Statement<Q> {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Q> Query for Statement<Q> {
    type SqlType = Untyped;
}

impl<DB, Q> QueryFragment<DB> for Cached<Q>
where
    DB: Backend + DieselReserveSpecialization,
    Q: QueryFragment<DB>,
{
    fn walk_ast<'b>(&'b self, pass: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        self.0.walk_ast(pass)
    }

    fn is_safe_to_cache_prepared(&self, _: &DB) -> QueryResult<bool> {
        Ok(true)
    }
}

impl<Q> QueryId for Cached<Q> {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Q: Query> Query for Cached<Q> {
    type SqlType = Q::SqlType;
}

impl<Conn, Q> RunQueryDsl<Conn> for Cached<Q> {}

/// `ids` with its last repeated, so that an `IN` over them has one of few lengths: the powers of two.
///
/// ```
/// assert_eq!(aim_store::padded(vec![1, 2, 3]), [1, 2, 3, 3]);
/// assert!(aim_store::padded(Vec::<i32>::new()).is_empty());
/// ```
#[must_use]
pub fn padded<T: Clone>(mut ids: Vec<T>) -> Vec<T> {
    if let Some(last) = ids.last().cloned() {
        ids.resize(ids.len().next_power_of_two(), last);
    }
    ids
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use diesel::{
        Connection as _, ExpressionMethods as _, QueryDsl as _, RunQueryDsl as _,
        connection::{InstrumentationEvent, SimpleConnection as _},
        sqlite::SqliteConnection,
    };

    use super::{Cached, padded};

    diesel::table! {
        things (id) {
            id -> BigInt,
            name -> Text,
        }
    }

    #[test]
    fn a_statement_is_prepared_once_and_does_the_same() {
        let mut db = SqliteConnection::establish(":memory:").unwrap();
        db.batch_execute("CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT NOT NULL); INSERT INTO things VALUES (1, 'a'), (2, 'b'), (3, 'c')")
            .unwrap();
        let kept = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&kept);
        db.set_instrumentation(move |event: InstrumentationEvent<'_>| {
            if let InstrumentationEvent::CacheQuery { sql, .. } = event {
                noted
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(sql.to_owned());
            }
        });
        let rename =
            |id: i64, name: &'static str| diesel::update(things::table.find(id)).set(things::name.eq(name));
        rename(1, "x").execute(&mut db).unwrap();
        assert!(
            kept.lock().unwrap().is_empty(),
            "Diesel keeps updates by itself: this module can go"
        );
        for (id, name) in [(1, "y"), (2, "z")] {
            Cached(rename(id, name)).run(&mut db).unwrap();
        }
        let of_ids = |ids: Vec<i64>| {
            Cached(
                things::table
                    .filter(things::id.eq_any(padded(ids)))
                    .order(things::id)
                    .select(things::name),
            )
        };
        let two: Vec<String> = of_ids(vec![1, 2]).load(&mut db).unwrap();
        let also_two: Vec<String> = of_ids(vec![2, 3]).load(&mut db).unwrap();
        let three: Vec<String> = of_ids(vec![1, 2, 3]).load(&mut db).unwrap();
        assert_eq!(
            (two, also_two),
            (vec!["y".into(), "z".into()], vec!["z".into(), "c".into()])
        );
        assert_eq!(three, ["y", "z", "c"]);
        let kept = kept.lock().unwrap();
        assert_eq!(kept.len(), 3, "{kept:?}");
    }
}
