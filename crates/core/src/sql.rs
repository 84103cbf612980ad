//! SQL types that both databases have under different names: uuid, UTC time (µs) and JSON.

use std::ops::Deref;

use chrono::{DateTime, Utc};
use diesel::{
    backend::Backend,
    deserialize::{self, FromSql, FromSqlRow},
    expression::AsExpression,
    pg::Pg,
    query_builder::QueryId,
    serialize::{self, IsNull, Output, ToSql},
    sql_types::{self, SqlType},
    sqlite::Sqlite,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::{Id, Timestamp};

/// `uuid`, or a BLOB of 16 bytes, which sorts alike.
#[derive(SqlType, QueryId, Clone, Copy, Default, Debug)]
#[diesel(postgres_type(oid = 2950, array_oid = 2951), sqlite_type(name = "Binary"))]
pub struct DbUuid;

/// `timestamptz`, or an INTEGER of microseconds since 1970.
#[derive(SqlType, QueryId, Clone, Copy, Default, Debug)]
#[diesel(postgres_type(oid = 1184, array_oid = 1185), sqlite_type(name = "Long"))]
pub struct DbTime;

impl sql_types::SqlOrd for DbTime {}

/// `jsonb`, or TEXT that is valid JSON.
#[derive(SqlType, QueryId, Clone, Copy, Default, Debug)]
#[diesel(postgres_type(oid = 3802, array_oid = 3807), sqlite_type(name = "Text"))]
pub struct DbJson;

/// JSON in a column.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, AsExpression, FromSqlRow)]
#[diesel(sql_type = DbJson)]
#[serde(transparent)]
pub struct Json(pub Value);

impl Deref for Json {
    type Target = Value;
    fn deref(&self) -> &Value {
        &self.0
    }
}

impl Json {
    /// The JSON of `value`; `null` where it has none.
    #[must_use]
    pub fn of(value: &impl Serialize) -> Self {
        Self(serde_json::to_value(value).unwrap_or_default())
    }

    /// The bytes that a digest covers: JSON without white space whose members are sorted, whatever order the map that
    /// some crate's feature (`serde_json/preserve_order`) gives us keeps, and whatever `jsonb` gave back.
    #[must_use]
    pub fn canonical(value: &Value) -> Vec<u8> {
        serde_json::to_vec(&sorted(value)).unwrap_or_default()
    }

    /// A list of strings, as tags are.
    #[must_use]
    pub fn strings(&self) -> Vec<String> {
        let items = self.0.as_array().map(Vec::as_slice).unwrap_or_default();
        items
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    }
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<(&String, &Value)> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            let members = members
                .into_iter()
                .map(|(name, member)| (name.clone(), sorted(member)));
            Value::Object(members.collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

impl<K> ToSql<DbUuid, Pg> for Id<K> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        let uuid = self.uuid();
        ToSql::<sql_types::Uuid, Pg>::to_sql(&uuid, &mut out.reborrow())
    }
}
impl<K> ToSql<DbUuid, Sqlite> for Id<K> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(self.uuid().as_bytes().to_vec());
        Ok(IsNull::No)
    }
}
impl<K> FromSql<DbUuid, Pg> for Id<K> {
    fn from_sql(bytes: <Pg as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        <Uuid as FromSql<sql_types::Uuid, Pg>>::from_sql(bytes).map(Self::from_uuid)
    }
}
impl<K> FromSql<DbUuid, Sqlite> for Id<K> {
    fn from_sql(bytes: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        let bytes = <Vec<u8> as FromSql<sql_types::Binary, Sqlite>>::from_sql(bytes)?;
        Ok(Self::from_uuid(Uuid::from_slice(&bytes)?))
    }
}

impl ToSql<DbTime, Pg> for Timestamp {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        ToSql::<sql_types::Timestamptz, Pg>::to_sql(&**self, &mut out.reborrow())
    }
}
impl ToSql<DbTime, Sqlite> for Timestamp {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(self.timestamp_micros());
        Ok(IsNull::No)
    }
}
impl FromSql<DbTime, Pg> for Timestamp {
    fn from_sql(bytes: <Pg as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        <DateTime<Utc> as FromSql<sql_types::Timestamptz, Pg>>::from_sql(bytes).map(Self::new)
    }
}
impl FromSql<DbTime, Sqlite> for Timestamp {
    fn from_sql(bytes: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        let micros = <i64 as FromSql<sql_types::BigInt, Sqlite>>::from_sql(bytes)?;
        DateTime::from_timestamp_micros(micros)
            .map(Self::new)
            .ok_or_else(|| "time out of range".into())
    }
}

impl ToSql<DbJson, Pg> for Json {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        ToSql::<sql_types::Jsonb, Pg>::to_sql(&self.0, &mut out.reborrow())
    }
}
impl ToSql<DbJson, Sqlite> for Json {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(serde_json::to_string(&self.0)?);
        Ok(IsNull::No)
    }
}
impl FromSql<DbJson, Pg> for Json {
    fn from_sql(bytes: <Pg as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        <Value as FromSql<sql_types::Jsonb, Pg>>::from_sql(bytes).map(Self)
    }
}
impl FromSql<DbJson, Sqlite> for Json {
    fn from_sql(bytes: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        let text = <String as FromSql<sql_types::Text, Sqlite>>::from_sql(bytes)?;
        Ok(Self(serde_json::from_str(&text)?))
    }
}
