"""`python -m gateway.stores`: brings the database of `WANNENG_DATABASE_URL` to the newest revision."""

from __future__ import annotations

import sys

from gateway.settings import SettingsError, load_settings
from gateway.stores.database import DatabaseError, run_migration


def main() -> None:
    """Exit code 1 and one sentence when it cannot be done."""
    try:
        run_migration(load_settings().database_url)
    except (SettingsError, DatabaseError) as error:
        sys.exit(f"gateway: {error}")


if __name__ == "__main__":
    main()
