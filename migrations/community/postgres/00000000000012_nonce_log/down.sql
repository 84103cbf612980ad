-- PostgreSQL keeps statistics by itself.
SELECT 1;
