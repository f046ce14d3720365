-- What has happened. Times are microseconds since 1970 UTC. A run is one life of the engine: its
-- serials start anew with each.
CREATE TABLE run (
    id      INTEGER PRIMARY KEY,
    started INTEGER NOT NULL,
    program TEXT    NOT NULL
) STRICT;

CREATE TABLE tunnel (
    id               INTEGER PRIMARY KEY,
    run              INTEGER NOT NULL,
    serial           INTEGER NOT NULL,
    protocol         TEXT    NOT NULL,
    confidence       TEXT    NOT NULL,
    phase            TEXT    NOT NULL,
    device           INTEGER NOT NULL,
    server           INTEGER NOT NULL,
    server_port      INTEGER NOT NULL,
    external         INTEGER NOT NULL,
    external_port    INTEGER NOT NULL,
    transport        INTEGER NOT NULL,
    passage          TEXT    NOT NULL,
    internal_id      INTEGER NOT NULL,
    external_id      INTEGER NOT NULL,
    server_name      TEXT    NOT NULL,
    product          TEXT    NOT NULL,
    started          INTEGER NOT NULL,
    ended            INTEGER NOT NULL,  -- 0 while it lives
    seen             INTEGER NOT NULL,  -- when this row was last written
    end_cause        TEXT    NOT NULL,
    end_code         INTEGER NOT NULL,
    packets_out      INTEGER NOT NULL,
    bytes_out        INTEGER NOT NULL,
    lost_out         INTEGER NOT NULL,
    packets_in       INTEGER NOT NULL,
    bytes_in         INTEGER NOT NULL,
    lost_in          INTEGER NOT NULL,
    round_trip       INTEGER NOT NULL,  -- nanoseconds
    rekeys           INTEGER NOT NULL,
    retransmissions  INTEGER NOT NULL,
    search           TEXT    NOT NULL,  -- what free text is looked for in
    UNIQUE (run, serial)
) STRICT;
CREATE INDEX tunnel_started ON tunnel (started);
CREATE INDEX tunnel_device ON tunnel (device, started);

CREATE TABLE tunnel_event (
    tunnel    INTEGER NOT NULL REFERENCES tunnel (id) ON DELETE CASCADE,
    position  INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    kind      TEXT    NOT NULL,
    lane_from TEXT    NOT NULL,
    lane_to   TEXT    NOT NULL,
    a         INTEGER NOT NULL,
    b         INTEGER NOT NULL,
    repeats   INTEGER NOT NULL,
    PRIMARY KEY (tunnel, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE tunnel_finding (
    tunnel   INTEGER NOT NULL REFERENCES tunnel (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    kind     TEXT    NOT NULL,
    a        INTEGER NOT NULL,
    b        INTEGER NOT NULL,
    proof    BLOB    NOT NULL,  -- headers, each behind a 16-bit length in network order
    PRIMARY KEY (tunnel, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE session (
    id            INTEGER PRIMARY KEY,
    run           INTEGER NOT NULL,
    serial        INTEGER NOT NULL,
    protocol      INTEGER NOT NULL,
    internal      INTEGER NOT NULL,
    internal_port INTEGER NOT NULL,
    external      INTEGER NOT NULL,
    external_port INTEGER NOT NULL,
    remote        INTEGER NOT NULL,
    remote_port   INTEGER NOT NULL,
    id_out        INTEGER NOT NULL,
    id_in         INTEGER NOT NULL,
    tcp_state     TEXT    NOT NULL,
    outbound      INTEGER NOT NULL,
    answered      INTEGER NOT NULL,
    packets_out   INTEGER NOT NULL,
    bytes_out     INTEGER NOT NULL,
    packets_in    INTEGER NOT NULL,
    bytes_in      INTEGER NOT NULL,
    started       INTEGER NOT NULL,
    ended         INTEGER NOT NULL,
    tunnel_serial INTEGER NOT NULL,
    forward_id    INTEGER NOT NULL
) STRICT;
CREATE INDEX session_started ON session (started);
CREATE INDEX session_internal ON session (internal, started);

CREATE TABLE counter_minute (
    minute          INTEGER PRIMARY KEY,  -- minutes since 1970
    packets_out     INTEGER NOT NULL,
    bytes_out       INTEGER NOT NULL,
    packets_in      INTEGER NOT NULL,
    bytes_in        INTEGER NOT NULL,
    sessions        INTEGER NOT NULL,
    tunnels         INTEGER NOT NULL
) STRICT;

CREATE TABLE drop_minute (
    minute  INTEGER NOT NULL,
    reason  TEXT    NOT NULL,
    packets INTEGER NOT NULL,
    PRIMARY KEY (minute, reason)
) STRICT, WITHOUT ROWID;
