//! What a database itself says that it has.

use aim_store::{Scope, Store, each};
use diesel::{
    QueryableByName, RunQueryDsl,
    sql_types::{BigInt, Text},
};

/// A column, as the database knows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Column {
    /// Its table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// Its type, in the database's words.
    pub kind: String,
    /// Whether it may be null.
    pub nullable: bool,
}

#[derive(QueryableByName)]
struct ColumnRow {
    #[diesel(sql_type = Text)]
    table_name: String,
    #[diesel(sql_type = Text)]
    column_name: String,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = BigInt)]
    nullable: i64,
}

#[derive(QueryableByName)]
struct NameRow {
    #[diesel(sql_type = Text)]
    name: String,
}

const SQLITE_COLUMNS: &str = "SELECT m.name AS table_name, p.name AS column_name, p.type AS kind, \
     1 - p.\"notnull\" AS nullable FROM sqlite_master m, pragma_table_info(m.name) p \
     WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite!_%' ESCAPE '!' AND m.name NOT LIKE '!_!_diesel%' ESCAPE '!'";
const POSTGRES_COLUMNS: &str = "SELECT table_name::text, column_name::text, data_type::text AS kind, \
     (CASE is_nullable WHEN 'YES' THEN 1 ELSE 0 END)::bigint AS nullable FROM information_schema.columns \
     WHERE table_schema = 'public' AND table_name NOT LIKE '!_!_diesel%' ESCAPE '!'";
/// Without those that a primary key or a unique constraint makes.
const SQLITE_INDEXES: &str = "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL";
const POSTGRES_INDEXES: &str = "SELECT c.relname::text AS name FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
     JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'public' \
     AND NOT EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = i.indexrelid)";

/// Every column of our tables, in a fixed order.
pub async fn columns(store: &Store) -> Vec<Column> {
    let query = if store.is_postgres() {
        POSTGRES_COLUMNS
    } else {
        SQLITE_COLUMNS
    };
    let rows: Vec<ColumnRow> = store
        .read(Scope::Installation, move |db| {
            Ok(each!(db, c => diesel::sql_query(query).load(c))?)
        })
        .await
        .unwrap();
    let mut columns: Vec<Column> = rows
        .into_iter()
        .map(|row| Column {
            table: row.table_name,
            name: row.column_name,
            kind: row.kind,
            nullable: row.nullable == 1,
        })
        .collect();
    columns.sort();
    columns
}

/// The names of our indexes, in a fixed order.
pub async fn indexes(store: &Store) -> Vec<String> {
    let query = if store.is_postgres() {
        POSTGRES_INDEXES
    } else {
        SQLITE_INDEXES
    };
    let rows: Vec<NameRow> = store
        .read(Scope::Installation, move |db| {
            Ok(each!(db, c => diesel::sql_query(query).load(c))?)
        })
        .await
        .unwrap();
    let mut names: Vec<String> = rows.into_iter().map(|row| row.name).collect();
    names.sort();
    names
}
