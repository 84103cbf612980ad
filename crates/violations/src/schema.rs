//! The `table!`s of what people made of violations; the types serve both databases.

#![expect(missing_docs, reason = "the columns are described where their rows are")]

diesel::table! {
    use aim_core::sql::{DbTime, DbUuid};
    use diesel::sql_types::{Nullable, Text};

    violation_group_triage (org_id, agent_id, attempted_capability, reason_code) {
        org_id -> DbUuid,
        agent_id -> DbUuid,
        attempted_capability -> Text,
        reason_code -> Text,
        state -> Text,
        note -> Text,
        until -> Nullable<DbTime>,
        through_id -> Nullable<DbUuid>,
        changed_by -> Text,
        changed_at -> DbTime,
    }
}

diesel::table! {
    use aim_core::sql::{DbTime, DbUuid};
    use diesel::sql_types::{Nullable, Text};

    violation_triage (org_id, violation_id) {
        org_id -> DbUuid,
        violation_id -> DbUuid,
        agent_id -> DbUuid,
        attempted_capability -> Text,
        reason_code -> Text,
        state -> Text,
        note -> Text,
        until -> Nullable<DbTime>,
        changed_by -> Text,
        changed_at -> DbTime,
    }
}
