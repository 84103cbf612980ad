//! One `table!` per table of the console's accounts; the types serve both databases.

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

    user_preferences (org_id, user_id, name) {
        org_id -> DbUuid,
        user_id -> DbUuid,
        name -> Text,
        value -> DbJson,
        updated_at -> DbTime,
    }
}

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

    sign_in_links (org_id, id) {
        org_id -> DbUuid,
        id -> DbUuid,
        user_id -> DbUuid,
        token_digest -> Binary,
        created_at -> DbTime,
        expires_at -> DbTime,
    }
}
