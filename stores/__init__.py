"""What both planes keep and read: tenants, API keys, label sets, files, batches and usage.

Each module here has the records and the port of one kind; `sql/` implements the ports in SQLite and PostgreSQL,
`tenants_file/` in a YAML file that is only read.
"""
