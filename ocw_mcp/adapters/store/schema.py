"""The tables that are not projections: the book's stamp, the journal itself, the checkpoint and the summary."""

SCHEMA_VERSION = 3
"""Version of these tables and of the events' payloads; a book with a higher one belongs to a newer OCW."""
DIGESTS_SINCE = 2
"""Version from which on the digest of each checkpoint is journaled; a book of an earlier one is taken over as it is."""

TABLES = (
    """CREATE TABLE book (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        schema INTEGER NOT NULL,
        book TEXT NOT NULL,
        stamp TEXT NOT NULL,
        created_at INTEGER NOT NULL
    )""",
    """CREATE TABLE events (
        row INTEGER PRIMARY KEY,
        seq INTEGER UNIQUE,
        at INTEGER NOT NULL,
        kind TEXT NOT NULL,
        version INTEGER NOT NULL,
        payload TEXT NOT NULL,
        digest TEXT,
        chain TEXT NOT NULL,
        CHECK ((seq IS NULL) = (digest IS NULL))
    )""",
    """CREATE TRIGGER events_are_not_updated BEFORE UPDATE ON events
       BEGIN SELECT RAISE(ABORT, 'the journal is append-only: an event is never changed'); END""",
    """CREATE TRIGGER events_are_not_deleted BEFORE DELETE ON events
       BEGIN SELECT RAISE(ABORT, 'the journal is append-only: an event is never deleted'); END""",
    """CREATE TABLE checkpoint (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        market_at INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        engine BLOB NOT NULL,
        venue BLOB NOT NULL
    )""",
    """CREATE TABLE summary (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        json TEXT NOT NULL
    )""",
)

ADD_EVENT = "INSERT INTO events (row, seq, at, kind, version, payload, digest, chain) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
PUT_CHECKPOINT = "INSERT OR REPLACE INTO checkpoint (id, market_at, seq, engine, venue) VALUES (1, ?, ?, ?, ?)"
PUT_SUMMARY = "INSERT OR REPLACE INTO summary (id, json) VALUES (1, ?)"

SET_SCHEMA = "UPDATE book SET schema = ? WHERE id = 1"
GET_BOOK = "SELECT schema, book, stamp, created_at FROM book WHERE id = 1"
GET_CHECKPOINT = "SELECT market_at, seq, engine, venue FROM checkpoint WHERE id = 1"
GET_SUMMARY = "SELECT json FROM summary WHERE id = 1"
LAST_ROW = "SELECT row, at, chain, version FROM events ORDER BY row DESC LIMIT 1"
LAST_DOMAIN_EVENT = "SELECT seq, digest FROM events WHERE seq IS NOT NULL ORDER BY seq DESC LIMIT 1"
ALL_EVENTS = "SELECT row, seq, at, kind, version, payload, digest, chain FROM events ORDER BY row"
ROWS_AFTER = "SELECT row, at, payload FROM events WHERE row > ? ORDER BY row LIMIT ?"
DOMAIN_ROWS_AFTER = "SELECT row, seq, at, payload FROM events WHERE seq > ? ORDER BY seq LIMIT ?"
