//! What is measured when `/metrics` is asked: the state of the queue, the jobs and those who follow the log.
//! It is read then, so that it is right even where the loop that should move it hangs.

use aim_store::{Scope, followers, jobs};

use crate::{Kernel, follow::records_count};

/// Brings the gauges up to date. While the database does not answer, all but `aim_database_up` stand still.
pub(crate) async fn refresh(kernel: &Kernel) {
    let now = kernel.now();
    metrics::gauge!("aim_writer_queue_depth").set(as_float(kernel.store.queue_depth()));
    let read = kernel
        .store
        .read(Scope::Installation, |db| {
            Ok((jobs::list(db)?, followers::list(db)?, records_count(db)?))
        })
        .await;
    metrics::gauge!("aim_database_up").set(if read.is_ok() { 1.0 } else { 0.0 });
    let Ok((jobs, followers, size)) = read else {
        return;
    };
    let mut dead = 0_u32;
    for job in jobs {
        // The probe of /health/ready has a row, and is no job.
        if job.name == crate::shell::PROBE {
            continue;
        }
        dead += u32::from(job.dead_at.is_some());
        let late = (now - job.due_at).as_seconds_f64().max(0.0);
        metrics::gauge!("aim_job_lag_seconds", "job" => job.name.clone()).set(late);
        metrics::gauge!("aim_job_failures", "job" => job.name).set(job.attempts as f64);
    }
    metrics::gauge!("aim_jobs_dead").set(dead);
    metrics::gauge!("aim_audit_log_records").set(size as f64);
    for (name, next) in followers {
        metrics::gauge!("aim_follower_next_index", "follower" => name.clone()).set(next as f64);
        metrics::gauge!("aim_follower_lag_records", "follower" => name).set((size - next).max(0) as f64);
    }
}

fn as_float(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// What the numbers mean, for `/metrics` itself.
pub(crate) fn describe() {
    use metrics::{describe_counter as counter, describe_gauge as gauge, describe_histogram as histogram};
    counter!("aim_http_requests_total", "Requests, by route, method and status");
    histogram!(
        "aim_http_request_seconds",
        "How long requests took, by route and method"
    );
    counter!("aim_decisions_total", "Decisions, by outcome and first reason");
    histogram!("aim_decision_batch_size", "Decisions in one transaction");
    gauge!(
        "aim_decision_queue_depth",
        "Actions that wait for the next transaction"
    );
    histogram!(
        "aim_writer_batch_size",
        "Pieces of work in one transaction of SQLite's writer"
    );
    histogram!(
        "aim_writer_commit_seconds",
        "How long a transaction of SQLite's writer took"
    );
    gauge!(
        "aim_writer_queue_depth",
        "Pieces of work that wait for SQLite's writer, or callers for a connection to PostgreSQL"
    );
    counter!(
        "aim_authentication_failures_total",
        "Refused credentials, by code"
    );
    gauge!(
        "aim_database_up",
        "Whether the database answered when these were asked for"
    );
    gauge!("aim_job_lag_seconds", "For how long a job has been due");
    gauge!("aim_job_failures", "Failures of a job in a row");
    gauge!(
        "aim_jobs_dead",
        "Jobs that failed too often and wait for somebody to look"
    );
    gauge!("aim_audit_log_records", "Records in the audit log");
    gauge!(
        "aim_audit_intact",
        "What the last whole check of the log on this node found: 1 is intact"
    );
    gauge!(
        "aim_follower_next_index",
        "The record that a follower of the log reads next"
    );
    gauge!(
        "aim_follower_lag_records",
        "Records that a follower has still to read"
    );
    gauge!("aim_sse_clients", "Clients of the live feed on this node");
}
