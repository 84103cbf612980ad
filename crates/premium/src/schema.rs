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

diesel::table! {
    use aim_core::sql::{DbJson, DbTime};
    use diesel::sql_types::{BigInt, Text};

    vault_roots (slot) {
        slot -> BigInt,
        root_key_id -> Text,
        provider -> Text,
        parameters -> DbJson,
        created_at -> DbTime,
    }
}

diesel::table! {
    use aim_core::sql::{DbTime, DbUuid};
    use diesel::sql_types::{Binary, Nullable, Text};

    vault_keys (org_id, id) {
        org_id -> DbUuid,
        id -> DbUuid,
        purpose -> Text,
        root_key_id -> Text,
        wrapped -> Binary,
        created_at -> DbTime,
        retired_at -> Nullable<DbTime>,
    }
}

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Nullable, Text};

    vault_secrets (org_id, id) {
        org_id -> DbUuid,
        id -> DbUuid,
        path -> Text,
        kind -> Text,
        description -> Text,
        tags -> DbJson,
        owner -> Nullable<Text>,
        expires_at -> Nullable<DbTime>,
        max_versions -> BigInt,
        oldest_version -> BigInt,
        current_version -> BigInt,
        changes -> BigInt,
        head -> Binary,
        created_by -> Text,
        created_at -> DbTime,
        updated_at -> DbTime,
        provider -> Nullable<Text>,
    }
}

diesel::table! {
    use aim_core::sql::DbUuid;
    use diesel::sql_types::Text;

    vault_tags (org_id, tag, secret_id) {
        org_id -> DbUuid,
        tag -> Text,
        secret_id -> DbUuid,
    }
}

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Nullable, Text};

    vault_versions (org_id, secret_id, version) {
        org_id -> DbUuid,
        secret_id -> DbUuid,
        version -> BigInt,
        state -> Text,
        kind -> Text,
        field_names -> DbJson,
        key_id -> DbUuid,
        wrapped_key -> Binary,
        created_by -> Text,
        created_at -> DbTime,
        deleted_at -> Nullable<DbTime>,
        destroyed_at -> Nullable<DbTime>,
        rolled_back_from -> Nullable<BigInt>,
        ciphertext -> Binary,
    }
}

diesel::table! {
    use aim_core::sql::DbUuid;
    use diesel::sql_types::{BigInt, Binary, Text};

    vault_value_digests (org_id, digest, secret_id, version, field) {
        org_id -> DbUuid,
        digest -> Binary,
        secret_id -> DbUuid,
        version -> BigInt,
        field -> Text,
    }
}

diesel::table! {
    use aim_core::sql::{DbTime, DbUuid};

    vault_approvals_used (org_id, decision_id) {
        org_id -> DbUuid,
        decision_id -> DbUuid,
        created_at -> DbTime,
    }
}

diesel::table! {
    use aim_core::sql::{DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Nullable, Text};

    vault_history (org_id, secret_id, at, change) {
        org_id -> DbUuid,
        secret_id -> DbUuid,
        at -> DbTime,
        change -> BigInt,
        event -> Text,
        version -> BigInt,
        state -> Text,
        expires_at -> Nullable<DbTime>,
        actor -> Text,
    }
}

diesel::table! {
    use aim_core::sql::{DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Nullable, Text};

    vault_refreshes (org_id, secret_id) {
        org_id -> DbUuid,
        secret_id -> DbUuid,
        version -> BigInt,
        next_at -> Nullable<DbTime>,
        failures -> BigInt,
        last_error -> Nullable<Text>,
        refreshed_at -> Nullable<DbTime>,
        attempt_at -> Nullable<DbTime>,
        lost_at -> Nullable<DbTime>,
        attempt_id -> Nullable<DbUuid>,
    }
}

diesel::allow_tables_to_appear_in_same_query!(vault_secrets, vault_tags, vault_versions, vault_value_digests);
diesel::allow_tables_to_appear_in_same_query!(vault_secrets, vault_refreshes);
