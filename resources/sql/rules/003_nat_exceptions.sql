-- Destinations that are reached without translation (RFC 6888 REQ-6).
CREATE TABLE untranslated (
    position   INTEGER PRIMARY KEY,
    network    INTEGER NOT NULL CHECK (network BETWEEN 0 AND 4294967295),
    length     INTEGER NOT NULL CHECK (length BETWEEN 0 AND 32),
    first_port INTEGER NOT NULL CHECK (first_port BETWEEN 0 AND 65535),
    last_port  INTEGER NOT NULL CHECK (last_port BETWEEN first_port AND 65535)
) STRICT;

-- Devices and internal ports whose NAT type is another; the first that matches wins.
CREATE TABLE behaviour_exception (
    position   INTEGER PRIMARY KEY,
    network    INTEGER NOT NULL CHECK (network BETWEEN 0 AND 4294967295),
    length     INTEGER NOT NULL CHECK (length BETWEEN 0 AND 32),
    first_port INTEGER NOT NULL CHECK (first_port BETWEEN 0 AND 65535),
    last_port  INTEGER NOT NULL CHECK (last_port BETWEEN first_port AND 65535),
    mapping    TEXT    NOT NULL,
    filtering  TEXT    NOT NULL
) STRICT;
