"""`python -m gateway.new_key`: a key, and the lines that declare it. Stores nothing."""

from __future__ import annotations

import sys

from gateway.keys import make_key


def main() -> None:
    """The key on standard output, its lines for the declared file on standard error."""
    new = make_key()
    sys.stdout.write(f"{new.key}\n")
    # In quotes: digits alone would be a number to YAML.
    sys.stderr.write(f'- id: "{new.id}"\n  sha256: "{new.digest}"\n')


if __name__ == "__main__":
    main()
