-- What the user has decided. Addresses are stored as 32-bit numbers in host order, protocols of IP
-- by their number, everything that has a word by its word.
CREATE TABLE port_forward (
    id               INTEGER PRIMARY KEY,
    name             TEXT    NOT NULL,
    enabled          INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    protocol         INTEGER NOT NULL CHECK (protocol BETWEEN 0 AND 255),
    external_first   INTEGER NOT NULL CHECK (external_first BETWEEN 0 AND 65535),
    external_last    INTEGER NOT NULL CHECK (external_last BETWEEN external_first AND 65535),
    internal_address INTEGER NOT NULL CHECK (internal_address BETWEEN 0 AND 4294967295),
    internal_first   INTEGER NOT NULL CHECK (internal_first BETWEEN 0 AND 65535),
    hairpin          INTEGER NOT NULL CHECK (hairpin IN (0, 1)),
    remote_network   INTEGER NOT NULL CHECK (remote_network BETWEEN 0 AND 4294967295),
    remote_length    INTEGER NOT NULL CHECK (remote_length BETWEEN 0 AND 32)
) STRICT;

CREATE TABLE one_to_one (
    id               INTEGER PRIMARY KEY,
    name             TEXT    NOT NULL,
    enabled          INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    internal_address INTEGER NOT NULL CHECK (internal_address BETWEEN 0 AND 4294967295),
    external_address INTEGER NOT NULL CHECK (external_address BETWEEN 0 AND 4294967295)
) STRICT;

CREATE TABLE device_rule (
    id            INTEGER PRIMARY KEY,
    name          TEXT    NOT NULL,
    address       INTEGER NOT NULL UNIQUE CHECK (address BETWEEN 0 AND 4294967295),
    access        TEXT    NOT NULL,
    session_limit INTEGER CHECK (session_limit BETWEEN 0 AND 4294967295)
) STRICT;

CREATE TABLE passthrough_switch (
    protocol TEXT PRIMARY KEY,
    mode     TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE passthrough_exception (
    protocol       TEXT    NOT NULL,
    position       INTEGER NOT NULL,
    device_network INTEGER NOT NULL CHECK (device_network BETWEEN 0 AND 4294967295),
    device_length  INTEGER NOT NULL CHECK (device_length BETWEEN 0 AND 32),
    server_network INTEGER NOT NULL CHECK (server_network BETWEEN 0 AND 4294967295),
    server_length  INTEGER NOT NULL CHECK (server_length BETWEEN 0 AND 32),
    mode           TEXT    NOT NULL,
    PRIMARY KEY (protocol, position)
) STRICT, WITHOUT ROWID;

-- How the NAT behaves; durations in milliseconds. A name that is missing has its default.
CREATE TABLE nat_setting (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE setting (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE device_name (
    mac  TEXT PRIMARY KEY,
    name TEXT NOT NULL
) STRICT, WITHOUT ROWID;
