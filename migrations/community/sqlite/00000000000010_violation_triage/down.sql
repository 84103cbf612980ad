DROP TABLE violation_triage;
DROP TABLE violation_group_triage;
