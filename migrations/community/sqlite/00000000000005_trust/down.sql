DROP TABLE trust_policies;
DROP TABLE trust_adjustments;
DROP TABLE trust_events;
DROP TABLE trust_days;
DROP TABLE trust_history;
DROP TABLE trust_scores;
