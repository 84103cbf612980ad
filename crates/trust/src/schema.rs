//! One `table!` per table of trust; the types serve both databases.

#![expect(missing_docs, reason = "the columns are described where their rows are")]

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Nullable, Text};

    trust_scores (org_id, agent_id) {
        org_id -> DbUuid,
        agent_id -> DbUuid,
        score -> Nullable<BigInt>,
        level -> Text,
        inputs -> Nullable<DbJson>,
        computed_at -> Nullable<DbTime>,
        changed_at -> Nullable<DbTime>,
        next_at -> Nullable<DbTime>,
        marks -> BigInt,
    }
}

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Nullable, Text};

    trust_history (org_id, id) {
        org_id -> DbUuid,
        id -> DbUuid,
        agent_id -> DbUuid,
        score -> Nullable<BigInt>,
        previous_score -> Nullable<BigInt>,
        causes -> DbJson,
        inputs -> DbJson,
        created_at -> DbTime,
    }
}

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Nullable, Text};

    trust_days (org_id, day, agent_id) {
        org_id -> DbUuid,
        day -> DbTime,
        agent_id -> DbUuid,
        score -> Nullable<BigInt>,
    }
}

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Nullable, Text};

    trust_events (org_id, agent_id, leaf_index) {
        org_id -> DbUuid,
        agent_id -> DbUuid,
        leaf_index -> BigInt,
        action -> Text,
        points -> BigInt,
        created_at -> DbTime,
    }
}

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Nullable, Text};

    trust_adjustments (org_id, id) {
        org_id -> DbUuid,
        id -> DbUuid,
        agent_id -> DbUuid,
        delta -> BigInt,
        reason -> Text,
        created_by -> Text,
        created_at -> DbTime,
        expires_at -> DbTime,
        withdrawn_at -> Nullable<DbTime>,
        withdrawn_by -> Nullable<Text>,
    }
}

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Nullable, Text};

    trust_policies (org_id) {
        org_id -> DbUuid,
        alert_below -> Nullable<BigInt>,
        restrict_policy_id -> Nullable<DbUuid>,
        suspend_below -> Nullable<BigInt>,
        updated_by -> Text,
        updated_at -> DbTime,
    }
}
