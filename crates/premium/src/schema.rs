//! One `table!` per table of the premium edition; the types serve both databases.

#![expect(missing_docs, reason = "the columns are described where their rows are")]

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

    agent_api_keys (org_id, id) {
        org_id -> DbUuid,
        id -> DbUuid,
        agent_id -> DbUuid,
        name -> Text,
        prefix -> Text,
        token_digest -> Binary,
        capabilities -> DbJson,
        created_by -> Text,
        created_at -> DbTime,
        expires_at -> DbTime,
        last_used_at -> Nullable<DbTime>,
        revoked_at -> Nullable<DbTime>,
    }
}
