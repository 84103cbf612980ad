//! One `table!` per table of this capability; the types serve both databases.

#![expect(missing_docs, reason = "the columns are described where their rows are")]

diesel::table! {
    use aim_core::sql::{DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Bool, Text};

    audit_verifications (id) {
        id -> DbUuid,
        verified_at -> DbTime,
        source -> Text,
        intact -> Bool,
        records -> BigInt,
        head -> Text,
        findings -> BigInt,
    }
}

diesel::table! {
    use aim_core::sql::{DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Nullable, Text};

    retention_settings (org_id) {
        org_id -> DbUuid,
        decision_inputs_days -> Nullable<BigInt>,
        violations_days -> Nullable<BigInt>,
        audit_details_days -> Nullable<BigInt>,
        activity_days -> Nullable<BigInt>,
        deliveries_days -> Nullable<BigInt>,
        updated_by -> Text,
        updated_at -> DbTime,
    }
}

diesel::table! {
    use aim_core::sql::{DbTime, DbUuid};
    use diesel::sql_types::{Nullable, Text};

    legal_holds (org_id, id) {
        org_id -> DbUuid,
        id -> DbUuid,
        agent_id -> Nullable<DbUuid>,
        reason -> Text,
        created_by -> Text,
        created_at -> DbTime,
        released_by -> Nullable<Text>,
        released_at -> Nullable<DbTime>,
    }
}

diesel::table! {
    use aim_core::sql::{DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Nullable, Text};

    retention_progress (org_id, name) {
        org_id -> DbUuid,
        name -> Text,
        reached -> Nullable<Text>,
        ran_at -> DbTime,
        trimmed_before -> DbTime,
        changed -> BigInt,
    }
}
