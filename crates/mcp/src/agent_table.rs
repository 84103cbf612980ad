//! The part of the agents' table that is read and joined here. Diesel lets a crate join only tables that it declares
//! itself; the table's own declaration is `aim_store::schema::agents`.

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{Nullable, Text};

    agents (org_id, id) {
        org_id -> DbUuid,
        id -> DbUuid,
        name -> Text,
        status -> Text,
        talks_to -> DbJson,
        updated_at -> DbTime,
        deleted_at -> Nullable<DbTime>,
    }
}
