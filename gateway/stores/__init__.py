"""Where tenants and keys are kept: SQLite on one machine, PostgreSQL where gateways are many."""
