//! One `table!` per table of threat detection; the types serve both databases.

#![expect(missing_docs, reason = "the columns are described where their rows are")]

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

    threat_findings (org_id, id) {
        org_id -> DbUuid,
        id -> DbUuid,
        agent_id -> Nullable<DbUuid>,
        agent_name -> Nullable<Text>,
        detector -> Text,
        subject -> Text,
        severity -> Text,
        status -> Text,
        response -> Text,
        evidence -> DbJson,
        count -> BigInt,
        first_seen_at -> DbTime,
        last_seen_at -> DbTime,
        quiet_until -> Nullable<DbTime>,
        reviewed_by -> Nullable<Text>,
        reviewed_at -> Nullable<DbTime>,
        review_note -> Nullable<Text>,
    }
}

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

    threat_policies (org_id, detector) {
        org_id -> DbUuid,
        detector -> Text,
        response -> Text,
        updated_by -> Text,
        updated_at -> DbTime,
    }
}

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

    threat_honeytokens (org_id, capability) {
        org_id -> DbUuid,
        capability -> Text,
        note -> Text,
        created_by -> Text,
        created_at -> DbTime,
    }
}

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

    threat_sources (org_id, agent_id, network) {
        org_id -> DbUuid,
        agent_id -> DbUuid,
        network -> Text,
        first_seen_at -> DbTime,
        last_seen_at -> DbTime,
    }
}
