"""``python -m tests.sample --url postgresql://… [--size full|small] [--replace]``."""

from __future__ import annotations

import argparse
import sys

import psycopg2

from tests.sample.loader import DEFAULT_PASSWORD, SampleExists, load
from tests.sample.sizes import SIZES


def main() -> int:
    """Load the sample database that the command line describes; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.sample", description=__doc__)
    parser.add_argument("--url", required=True, help="superuser's URL of the database to fill")
    parser.add_argument("--size", choices=sorted(SIZES), default="full")
    parser.add_argument("--password", default=DEFAULT_PASSWORD, help="of the login roles (default: %(default)s)")
    parser.add_argument("--replace", action="store_true", help="drop every schema of that database first")
    options = parser.parse_args()
    try:
        connection = psycopg2.connect(options.url)
    except psycopg2.OperationalError as error:
        print(f"Nothing was loaded: {error}", file=sys.stderr)
        return 1
    try:
        summary = load(connection, options.size, password=options.password, replace=options.replace)
    except SampleExists as error:
        print(f"Nothing was loaded: {error}.", file=sys.stderr)
        return 1
    finally:
        connection.close()
    print(f"{summary.tables} tables, {summary.rows:,} rows in {summary.seconds:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
