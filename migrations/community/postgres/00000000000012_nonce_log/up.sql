-- PostgreSQL keeps nonces under their unique key: several nodes claim them, each in transactions of its own.
SELECT 1;
