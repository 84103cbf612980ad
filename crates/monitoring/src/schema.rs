//! One `table!` per table of monitoring; the types serve both databases.

#![expect(missing_docs, reason = "the columns are described where their rows are")]

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

    alert_rules (org_id, kind) {
        org_id -> DbUuid,
        kind -> Text,
        enabled -> Bool,
        severity -> Nullable<Text>,
        cooldown_minutes -> BigInt,
        threshold -> BigInt,
        window_minutes -> BigInt,
        updated_by -> Text,
        updated_at -> DbTime,
    }
}

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

    alerts (org_id, id) {
        org_id -> DbUuid,
        id -> DbUuid,
        agent_id -> Nullable<DbUuid>,
        kind -> Text,
        severity -> Text,
        title -> Text,
        detail -> DbJson,
        dedupe_key -> Text,
        open_key -> Nullable<Text>,
        status -> Text,
        count -> BigInt,
        first_seen_at -> DbTime,
        last_seen_at -> DbTime,
        notified_at -> DbTime,
        assigned_to -> Nullable<DbUuid>,
        acknowledged_by -> Nullable<Text>,
        acknowledged_at -> Nullable<DbTime>,
        resolved_by -> Nullable<Text>,
        resolved_at -> Nullable<DbTime>,
        note -> Nullable<Text>,
    }
}

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

    webhooks (org_id, id) {
        org_id -> DbUuid,
        id -> DbUuid,
        name -> Text,
        format -> Text,
        url -> Text,
        events -> DbJson,
        minimum_severity -> Text,
        enabled -> Bool,
        sealed_secret -> Binary,
        failures -> BigInt,
        last_success_at -> Nullable<DbTime>,
        last_failure_at -> Nullable<DbTime>,
        created_by -> Text,
        created_at -> DbTime,
        updated_at -> DbTime,
    }
}

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

    webhook_deliveries (org_id, id) {
        org_id -> DbUuid,
        id -> DbUuid,
        webhook_id -> DbUuid,
        event -> Text,
        body -> Text,
        status -> Text,
        attempts -> BigInt,
        due_at -> DbTime,
        lease_until -> Nullable<DbTime>,
        response_status -> Nullable<BigInt>,
        last_error -> Nullable<Text>,
        last_attempt_at -> Nullable<DbTime>,
        replay_of -> Nullable<DbUuid>,
        created_at -> DbTime,
    }
}
