//! One `table!` per table of this crate; the types serve both databases.

#![expect(missing_docs, reason = "the columns are described where their rows are")]

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

    mcp_servers (org_id, id) {
        org_id -> DbUuid,
        id -> DbUuid,
        name -> Text,
        url -> Text,
        description -> Text,
        version -> Text,
        owner_id -> Nullable<DbUuid>,
        tags -> DbJson,
        status -> Text,
        status_reason -> Nullable<Text>,
        public_key -> Nullable<Binary>,
        verified_at -> Nullable<DbTime>,
        last_check_at -> Nullable<DbTime>,
        last_check_problem -> Nullable<Text>,
        manifest_version -> BigInt,
        manifest_digest -> Nullable<Text>,
        manifest_at -> Nullable<DbTime>,
        tool_count -> BigInt,
        resource_count -> BigInt,
        prompt_count -> BigInt,
        created_by -> Text,
        created_at -> DbTime,
        updated_at -> DbTime,
        deleted_at -> Nullable<DbTime>,
    }
}

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

    mcp_manifests (org_id, server_id, version) {
        org_id -> DbUuid,
        server_id -> DbUuid,
        version -> BigInt,
        digest -> Text,
        document -> DbJson,
        tool_count -> BigInt,
        resource_count -> BigInt,
        prompt_count -> BigInt,
        recorded_by -> Text,
        recorded_at -> DbTime,
    }
}

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

    mcp_attestations (org_id, server_id, agent_id, manifest_version) {
        org_id -> DbUuid,
        server_id -> DbUuid,
        agent_id -> DbUuid,
        manifest_version -> BigInt,
        id -> DbUuid,
        manifest_digest -> Text,
        fingerprint -> Nullable<Text>,
        scheme -> Text,
        note -> Nullable<Text>,
        first_attested_at -> DbTime,
        attested_at -> DbTime,
        times -> BigInt,
    }
}

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

    mcp_connections (org_id, agent_id, server_id) {
        org_id -> DbUuid,
        agent_id -> DbUuid,
        server_id -> DbUuid,
        source -> Text,
        created_by -> Text,
        created_at -> DbTime,
    }
}

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

    mcp_detections (org_id, agent_id, name, method) {
        org_id -> DbUuid,
        agent_id -> DbUuid,
        name -> Text,
        method -> Text,
        confidence -> BigInt,
        details -> DbJson,
        sdk_version -> Nullable<Text>,
        first_seen_at -> DbTime,
        last_seen_at -> DbTime,
        times -> BigInt,
    }
}

use crate::agent_table::agents;

diesel::allow_tables_to_appear_in_same_query!(mcp_attestations, agents);
diesel::allow_tables_to_appear_in_same_query!(mcp_connections, agents);
diesel::allow_tables_to_appear_in_same_query!(mcp_connections, mcp_servers);
