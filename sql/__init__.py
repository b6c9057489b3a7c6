"""Migrations and named queries as .sql files, and the little Python that runs them."""
