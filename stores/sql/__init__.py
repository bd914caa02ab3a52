"""The ports of `stores` in SQLite and PostgreSQL."""
