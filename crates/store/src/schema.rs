//! One `table!` per table of the community edition; the types serve both databases.

#![expect(missing_docs, reason = "the columns are described where their rows are")]

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

    installation (name) {
        name -> Text,
        value -> Binary,
        created_at -> DbTime,
    }
}

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

    organizations (id) {
        id -> DbUuid,
        name -> Text,
        policy_epoch -> BigInt,
        created_at -> DbTime,
    }
}

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

    users (org_id, id) {
        org_id -> DbUuid,
        id -> DbUuid,
        email -> Text,
        name -> Text,
        role -> Text,
        password_hash -> Text,
        status -> Text,
        created_at -> DbTime,
        updated_at -> DbTime,
        last_login_at -> Nullable<DbTime>,
    }
}

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

    sessions (org_id, id) {
        org_id -> DbUuid,
        id -> DbUuid,
        user_id -> DbUuid,
        token_digest -> Binary,
        created_at -> DbTime,
        expires_at -> DbTime,
        last_seen_at -> DbTime,
        revoked_at -> Nullable<DbTime>,
        source_ip -> Nullable<Text>,
        user_agent -> Nullable<Text>,
    }
}

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

    sign_in_attempts (subject) {
        subject -> Binary,
        failures -> BigInt,
        window_started_at -> DbTime,
        locked_until -> Nullable<DbTime>,
    }
}

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

    setup_tokens (token_digest) {
        token_digest -> Binary,
        created_at -> DbTime,
        expires_at -> DbTime,
        used_at -> Nullable<DbTime>,
    }
}

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

    api_keys (org_id, id) {
        org_id -> DbUuid,
        id -> DbUuid,
        name -> Text,
        role -> Text,
        prefix -> Text,
        token_digest -> Binary,
        created_by -> Text,
        created_at -> DbTime,
        expires_at -> Nullable<DbTime>,
        disabled_at -> Nullable<DbTime>,
        last_used_at -> Nullable<DbTime>,
    }
}

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

    agents (org_id, id) {
        org_id -> DbUuid,
        id -> DbUuid,
        name -> Text,
        display_name -> Text,
        description -> Text,
        agent_type -> Text,
        version -> Text,
        status -> Text,
        owner_id -> Nullable<DbUuid>,
        tags -> DbJson,
        talks_to -> DbJson,
        repository_url -> Nullable<Text>,
        documentation_url -> Nullable<Text>,
        trust_score -> Nullable<BigInt>,
        epoch -> BigInt,
        created_by -> Text,
        created_at -> DbTime,
        updated_at -> DbTime,
        deleted_at -> Nullable<DbTime>,
    }
}

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

    agent_keys (org_id, agent_id, fingerprint) {
        org_id -> DbUuid,
        agent_id -> DbUuid,
        fingerprint -> Text,
        public_key -> Binary,
        sequence -> BigInt,
        created_at -> DbTime,
        expires_at -> DbTime,
        replaced_at -> Nullable<DbTime>,
        grace_until -> Nullable<DbTime>,
        revoked_at -> Nullable<DbTime>,
        end_reason -> Nullable<Text>,
        created_by -> Text,
        created_reason -> Text,
        ended_by -> Nullable<Text>,
        generated_by -> Text,
    }
}

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

    key_expiry_warnings (org_id, agent_id, fingerprint, days_left) {
        org_id -> DbUuid,
        agent_id -> DbUuid,
        fingerprint -> Text,
        days_left -> BigInt,
        expires_at -> DbTime,
        created_at -> DbTime,
    }
}

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

    challenges (org_id, id) {
        org_id -> DbUuid,
        id -> DbUuid,
        purpose -> Text,
        agent_id -> Nullable<DbUuid>,
        created_at -> DbTime,
        expires_at -> DbTime,
        used_at -> Nullable<DbTime>,
    }
}

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

    grants (org_id, id) {
        org_id -> DbUuid,
        id -> DbUuid,
        agent_id -> DbUuid,
        capability -> Text,
        effect -> Text,
        scope -> DbJson,
        reason -> Text,
        granted_by -> Text,
        granted_at -> DbTime,
        expires_at -> Nullable<DbTime>,
        revoked_at -> Nullable<DbTime>,
        revoked_by -> Nullable<Text>,
        last_used_at -> Nullable<DbTime>,
    }
}

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

    grant_uses (org_id, grant_id, window_start) {
        org_id -> DbUuid,
        grant_id -> DbUuid,
        window_start -> DbTime,
        uses -> BigInt,
    }
}

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

    capability_requests (org_id, id) {
        org_id -> DbUuid,
        id -> DbUuid,
        agent_id -> DbUuid,
        capability -> Text,
        scope -> DbJson,
        reason -> Text,
        metadata -> DbJson,
        status -> Text,
        digest -> Text,
        requested_by -> Text,
        requested_at -> DbTime,
        reviewed_by -> Nullable<Text>,
        reviewed_at -> Nullable<DbTime>,
        review_note -> Nullable<Text>,
        grant_id -> Nullable<DbUuid>,
    }
}

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

    policies (org_id, id) {
        org_id -> DbUuid,
        id -> DbUuid,
        name -> Text,
        effect -> Text,
        capability -> Text,
        resources -> DbJson,
        agent_types -> DbJson,
        trust_below -> Nullable<BigInt>,
        created_by -> Text,
        created_at -> DbTime,
    }
}

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

    snapshots (org_id, digest) {
        org_id -> DbUuid,
        digest -> Binary,
        body -> Text,
        created_at -> DbTime,
        last_used_at -> Nullable<DbTime>,
    }
}

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

    nonces (org_id, digest) {
        org_id -> DbUuid,
        digest -> Binary,
        expires_at -> DbTime,
    }
}

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

    decisions (org_id, id) {
        org_id -> DbUuid,
        id -> DbUuid,
        agent_id -> DbUuid,
        created_at -> DbTime,
        action -> Text,
        resource -> Nullable<Text>,
        status -> Text,
        outcome -> Text,
        reason_codes -> DbJson,
        decider -> Nullable<Text>,
        grant_id -> Nullable<DbUuid>,
        risk -> Text,
        credential -> Text,
        scheme -> Text,
        source_ip -> Nullable<Text>,
        snapshot_digest -> Binary,
        inputs -> Text,
        verdict -> Text,
        salt -> Binary,
        leaf_index -> BigInt,
        expires_at -> Nullable<DbTime>,
        resolved_at -> Nullable<DbTime>,
        resolved_by -> Nullable<Text>,
        resolution_note -> Nullable<Text>,
    }
}

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

    decision_results (org_id, decision_id) {
        org_id -> DbUuid,
        decision_id -> DbUuid,
        outcome -> Text,
        summary -> Nullable<Text>,
        error_message -> Nullable<Text>,
        authenticated -> Bool,
        reported_at -> DbTime,
    }
}

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

    violations (org_id, id) {
        org_id -> DbUuid,
        id -> DbUuid,
        agent_id -> DbUuid,
        agent_name -> Text,
        decision_id -> DbUuid,
        attempted_capability -> Text,
        resource -> Nullable<Text>,
        registered_capabilities -> DbJson,
        severity -> Text,
        trust_score_impact -> BigInt,
        is_blocked -> Bool,
        source_ip -> Nullable<Text>,
        request_metadata -> DbJson,
        reason_codes -> DbJson,
        created_at -> DbTime,
    }
}

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

    violation_groups (org_id, agent_id, attempted_capability, reason_code) {
        org_id -> DbUuid,
        agent_id -> DbUuid,
        agent_name -> Text,
        attempted_capability -> Text,
        reason_code -> Text,
        severity -> Text,
        first_seen_at -> DbTime,
        last_seen_at -> DbTime,
        last_violation_id -> DbUuid,
        count -> BigInt,
    }
}

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

    violation_counts (org_id, agent_id, granularity, bucket, severity, attempted_capability, is_blocked) {
        org_id -> DbUuid,
        agent_id -> DbUuid,
        granularity -> Text,
        bucket -> DbTime,
        severity -> Text,
        attempted_capability -> Text,
        is_blocked -> Bool,
        count -> BigInt,
    }
}

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

    audit_head (id) {
        id -> BigInt,
        size -> BigInt,
        link -> Binary,
    }
}

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

    audit_log (leaf_index) {
        leaf_index -> BigInt,
        org_id -> DbUuid,
        id -> DbUuid,
        created_at -> DbTime,
        kind -> Text,
        action -> Text,
        actor_kind -> Text,
        actor_id -> Nullable<Text>,
        agent_id -> Nullable<DbUuid>,
        target_kind -> Text,
        target_id -> Nullable<Text>,
        outcome -> Text,
        leaf -> Text,
        leaf_hash -> Binary,
        link -> Binary,
        details -> Nullable<DbJson>,
        salt -> Nullable<Binary>,
    }
}

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

    jobs (name) {
        name -> Text,
        due_at -> DbTime,
        lease_owner -> Nullable<Text>,
        lease_until -> Nullable<DbTime>,
        fencing -> BigInt,
        attempts -> BigInt,
        last_error -> Nullable<Text>,
        last_run_at -> Nullable<DbTime>,
        dead_at -> Nullable<DbTime>,
    }
}

diesel::allow_tables_to_appear_in_same_query!(
    installation,
    organizations,
    users,
    sessions,
    sign_in_attempts,
    setup_tokens,
    api_keys,
    agents,
    agent_keys,
    key_expiry_warnings,
    challenges,
    grants,
    grant_uses,
    capability_requests,
    policies,
    snapshots,
    nonces,
    decisions,
    decision_results,
    violations,
    violation_groups,
    violation_counts,
    audit_head,
    audit_log,
    jobs,
);

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

    followers (name) {
        name -> Text,
        next_index -> BigInt,
        lease_owner -> Nullable<Text>,
        lease_until -> Nullable<DbTime>,
    }
}

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

    agent_activity (org_id, agent_id, hour) {
        org_id -> DbUuid,
        agent_id -> DbUuid,
        hour -> DbTime,
        approved -> BigInt,
        denied -> BigInt,
        pending -> BigInt,
        refused -> BigInt,
    }
}

diesel::table! {
    use aim_core::sql::{DbJson, DbTime, DbUuid};
    use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

    agent_restrictions (org_id, id) {
        org_id -> DbUuid,
        id -> DbUuid,
        agent_id -> DbUuid,
        reason -> Text,
        created_by -> Text,
        created_at -> DbTime,
        expires_at -> DbTime,
    }
}
