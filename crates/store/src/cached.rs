//! Statements that are prepared once.

use std::marker::PhantomData;

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

/// A statement whose text is always the same, found among the prepared ones by its place in the code: neither is the text built at
/// each use, nor is the statement searched for what might change it, which takes as long as a small statement itself.
///
/// [`fixed!`](crate::fixed) makes it. Debug builds compare the text at each use.
#[derive(Debug, Clone, Copy)]
pub struct Fixed<K, Q>(Q, PhantomData<fn() -> K>);

/// Makes a [`Fixed`]: the place of this macro stands for the text of the statement. So nothing may stand in it by which the text
/// differs from use to use: no `IN` over a list, no boxed query, not several rows at once.
#[macro_export]
macro_rules! fixed {
    ($query:expr) => {{
        struct Place;
        $crate::Fixed::<Place, _>::at($query)
    }};
}

impl<K, Q> Fixed<K, Q> {
    /// The statement at the place `K`, which is no other statement's: see [`fixed!`](crate::fixed).
    #[must_use]
    pub const fn at(statement: Q) -> Self {
        Self(statement, PhantomData)
    }
}

impl<K: 'static, Q> Fixed<K, Q> {
    /// Runs a statement that returns no rows.
    ///
    /// # Errors
    /// The database's.
    pub fn run<C>(self, connection: &mut C) -> QueryResult<()>
    where
        C: LoadConnection,
        C::Backend: DieselReserveSpecialization + QueryMetadata<Untyped>,
        <C::Backend as Backend>::QueryBuilder: Default,
        Q: QueryFragment<C::Backend>,
    {
        run(self, connection)
    }
}

impl<DB, K: 'static, Q> QueryFragment<DB> for Fixed<K, Q>
where
    DB: Backend + DieselReserveSpecialization,
    DB::QueryBuilder: Default,
    Q: QueryFragment<DB>,
{
    fn walk_ast<'b>(&'b self, pass: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        self.0.walk_ast(pass)
    }

    fn is_safe_to_cache_prepared(&self, backend: &DB) -> QueryResult<bool> {
        #[cfg(debug_assertions)]
        assert_same_text::<K, DB>(&self.0, backend)?;
        let _ = backend;
        Ok(true)
    }
}

impl<K: 'static, Q> QueryId for Fixed<K, Q> {
    type QueryId = K;
}

impl<K, Q: Query> Query for Fixed<K, Q> {
    type SqlType = Q::SqlType;
}

impl<Conn, K, Q> RunQueryDsl<Conn> for Fixed<K, Q> {}

/// Two texts at one place would be a statement that does what another one says.
#[cfg(debug_assertions)]
fn assert_same_text<K: 'static, DB>(statement: &impl QueryFragment<DB>, backend: &DB) -> QueryResult<()>
where
    DB: Backend,
    DB::QueryBuilder: Default,
{
    use std::{
        any::{TypeId, type_name},
        collections::HashMap,
        sync::{LazyLock, Mutex, PoisonError},
    };

    use diesel::query_builder::QueryBuilder as _;

    type Texts = HashMap<(TypeId, &'static str), String>;
    static TEXTS: LazyLock<Mutex<Texts>> = LazyLock::new(Mutex::default);

    let mut builder = DB::QueryBuilder::default();
    statement.to_sql(&mut builder, backend)?;
    let text = builder.finish();
    let mut texts = TEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    let first = texts
        .entry((TypeId::of::<K>(), type_name::<DB>()))
        .or_insert_with(|| text.clone());
    assert_eq!(*first, text, "one place in the code has two statements");
    Ok(())
}

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
        run(self, connection)
    }
}

fn run<C, Q>(statement: Q, connection: &mut C) -> QueryResult<()>
where
    C: LoadConnection,
    C::Backend: QueryMetadata<Untyped>,
    Q: QueryFragment<C::Backend> + QueryId,
{
    connection
        .load(Statement(statement))?
        .try_for_each(|row| row.map(|_| ()))
}

/// A statement that is used like a query, whose rows nobody looks at.
struct Statement<Q>(Q);

impl<DB: Backend, Q: QueryFragment<DB>> QueryFragment<DB> for Statement<Q> {
    fn walk_ast<'b>(&'b self, pass: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        self.0.walk_ast(pass)
    }

    fn is_safe_to_cache_prepared(&self, backend: &DB) -> QueryResult<bool> {
        self.0.is_safe_to_cache_prepared(backend)
    }
}

impl<Q: QueryId> QueryId for Statement<Q> {
    type QueryId = Q::QueryId;

    const HAS_STATIC_QUERY_ID: bool = Q::HAS_STATIC_QUERY_ID;
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

    #[test]
    fn a_fixed_statement_is_prepared_once_for_its_place() {
        let mut db = SqliteConnection::establish(":memory:").unwrap();
        db.batch_execute("CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT NOT NULL); INSERT INTO things VALUES (1, 'a'), (2, 'b')")
            .unwrap();
        let kept = Arc::new(Mutex::new(0));
        let noted = Arc::clone(&kept);
        db.set_instrumentation(move |event: InstrumentationEvent<'_>| {
            if let InstrumentationEvent::CacheQuery { .. } = event {
                *noted.lock().unwrap_or_else(PoisonError::into_inner) += 1;
            }
        });
        for (id, name) in [(1, "x"), (2, "y"), (1, "z")] {
            crate::fixed!(diesel::update(things::table.find(id)).set(things::name.eq(name)))
                .run(&mut db)
                .unwrap();
        }
        let name_of = |db: &mut SqliteConnection, id: i64| -> String {
            crate::fixed!(things::table.find(id).select(things::name))
                .get_result(db)
                .unwrap()
        };
        assert_eq!(
            (name_of(&mut db, 1), name_of(&mut db, 2)),
            ("z".into(), "y".into())
        );
        assert_eq!(*kept.lock().unwrap(), 2);
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "two statements")]
    fn two_texts_at_one_place_are_found() {
        let mut db = SqliteConnection::establish(":memory:").unwrap();
        db.batch_execute("CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT NOT NULL)")
            .unwrap();
        for ids in [vec![1_i64], vec![1, 2]] {
            let _: Vec<String> =
                crate::fixed!(things::table.filter(things::id.eq_any(ids)).select(things::name))
                    .load(&mut db)
                    .unwrap();
        }
    }
}
