-- How sites are read by all who share this database: turns at them, and the pace of requests and bytes.

CREATE TABLE turns (                         -- connections to sites that want few
    id           TEXT PRIMARY KEY,
    site         TEXT NOT NULL,
    until        REAL NOT NULL               -- whoever holds it renews it; later it is anybody's
) STRICT;
CREATE INDEX turns_of_site ON turns (site, until);

CREATE TABLE paces (
    site         TEXT PRIMARY KEY,
    next_request REAL NOT NULL,              -- earlier no request is to be made
    next_bytes   REAL NOT NULL               -- until then all that may be read has been given out
) STRICT;
