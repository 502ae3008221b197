"""Changes of a closed book's database that no public interface makes: damage, and tables of earlier versions."""

import sqlite3
from contextlib import closing
from pathlib import Path

from ocw_mcp.adapters.store.database import JOURNAL


def run_sql(state: Path, statement: str) -> None:
    """Execute and commit one SQL statement on the book of a state directory."""
    with closing(sqlite3.connect(state / JOURNAL)) as connection:
        connection.execute(statement)
        connection.commit()
