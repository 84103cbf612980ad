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
        secret_paths -> Nullable<DbJson>,
        addresses -> Nullable<DbJson>,
        last_used_from -> Nullable<Text>,
        rotated_from -> Nullable<DbUuid>,
        retires_at -> Nullable<DbTime>,
    }
}

diesel::table! {
    use aim_core::sql::{DbTime, DbUuid};
    use diesel::sql_types::Text;

    vault_reveal_settings (org_id) {
        org_id -> DbUuid,
        mode -> Text,
        changed_by -> Text,
        changed_at -> DbTime,
    }
}

diesel::table! {
    use aim_core::sql::{DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Nullable, Text};

    vault_reveals (org_id, id) {
        org_id -> DbUuid,
        id -> DbUuid,
        secret_id -> DbUuid,
        path -> Text,
        version -> BigInt,
        reason -> Text,
        state -> Text,
        asked_by -> DbUuid,
        asked_at -> DbTime,
        expires_at -> DbTime,
        answered_by -> Nullable<DbUuid>,
        answered_at -> Nullable<DbTime>,
        note -> Nullable<Text>,
        taken_at -> Nullable<DbTime>,
    }
}

diesel::table! {
    use aim_core::sql::{DbJson, DbTime};
    use diesel::sql_types::{BigInt, Nullable, Text};

    vault_roots (slot) {
        slot -> BigInt,
        root_key_id -> Text,
        provider -> Text,
        parameters -> DbJson,
        created_at -> DbTime,
        sealed_at -> Nullable<DbTime>,
        epoch -> BigInt,
    }
}

diesel::table! {
    use aim_core::sql::{DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Nullable, Text};

    vault_keys (org_id, id) {
        org_id -> DbUuid,
        id -> DbUuid,
        purpose -> Text,
        root_key_id -> Text,
        wrapped -> Binary,
        created_at -> DbTime,
        retired_at -> Nullable<DbTime>,
        done_until -> Nullable<DbUuid>,
        stuck -> BigInt,
        tried_at -> Nullable<DbTime>,
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
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Nullable, Text};

    vault_accesses (org_id, id) {
        org_id -> DbUuid,
        id -> DbUuid,
        decision_id -> Nullable<DbUuid>,
        path -> Text,
        agent_id -> Nullable<DbUuid>,
        actor -> Text,
        at -> DbTime,
        outcome -> Text,
        version -> Nullable<BigInt>,
        delivery -> Nullable<Text>,
        decided_by -> Nullable<Text>,
        reasons -> DbJson,
        source_ip -> Nullable<Text>,
        leaf_index -> BigInt,
    }
}

diesel::table! {
    use aim_core::sql::DbUuid;
    use diesel::sql_types::{BigInt, Binary};

    vault_access_index (org_id, kind, key, id) {
        org_id -> DbUuid,
        kind -> BigInt,
        key -> Binary,
        id -> DbUuid,
    }
}

diesel::table! {
    use aim_core::sql::DbUuid;
    use diesel::sql_types::BigInt;

    vault_access_indexed (org_id) {
        org_id -> DbUuid,
        through -> DbUuid,
        trims -> BigInt,
    }
}

diesel::table! {
    use aim_core::sql::{DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Nullable, Text};

    vault_access_pairs (org_id, path, agent_id) {
        org_id -> DbUuid,
        path -> Text,
        agent_id -> DbUuid,
        approved -> BigInt,
        denied -> BigInt,
        first_read_at -> Nullable<DbTime>,
        last_read_at -> Nullable<DbTime>,
        last_denied_at -> Nullable<DbTime>,
        hours_seen -> BigInt,
        hour -> Nullable<DbTime>,
        hour_approved -> BigInt,
        hour_denied -> BigInt,
        hour_pending -> BigInt,
    }
}

diesel::table! {
    use aim_core::sql::{DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Text};

    vault_access_hours (org_id, path, agent_id, hour) {
        org_id -> DbUuid,
        path -> Text,
        agent_id -> DbUuid,
        hour -> DbTime,
        approved -> BigInt,
        denied -> BigInt,
        pending -> BigInt,
    }
}

diesel::table! {
    use aim_core::sql::{DbTime, DbUuid};
    use diesel::sql_types::Text;

    vault_honeytokens (org_id, path) {
        org_id -> DbUuid,
        path -> Text,
        shape -> Text,
        note -> Text,
        created_by -> Text,
        created_at -> DbTime,
    }
}

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::Text;

    vault_access_settings (org_id) {
        org_id -> DbUuid,
        settings -> DbJson,
        updated_by -> Text,
        updated_at -> DbTime,
    }
}

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::Text;

    sdk_namespaces (org_id, id) {
        org_id -> DbUuid,
        id -> DbUuid,
        agent_id -> DbUuid,
        namespace -> Text,
        operations -> DbJson,
        url_patterns -> DbJson,
        created_by -> Text,
        created_at -> DbTime,
    }
}

diesel::table! {
    use aim_core::sql::{DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Nullable, Text};

    vault_wraps (org_id, id) {
        org_id -> DbUuid,
        id -> DbUuid,
        token_digest -> Binary,
        path -> Text,
        version -> BigInt,
        for_agent -> Nullable<DbUuid>,
        made_by_agent -> Nullable<DbUuid>,
        decision_id -> Nullable<DbUuid>,
        created_by -> Text,
        created_at -> DbTime,
        expires_at -> DbTime,
        used_at -> Nullable<DbTime>,
        reason -> Nullable<Text>,
        revoked_at -> Nullable<DbTime>,
        revoked_by -> Nullable<Text>,
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
diesel::allow_tables_to_appear_in_same_query!(vault_accesses, vault_access_index);
