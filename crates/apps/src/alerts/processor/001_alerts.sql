-- What is active, one row a place, lane (actual, exercise, test) and stage (alert, pre-alert).
CREATE TABLE active (
    lane TEXT NOT NULL,
    stage TEXT NOT NULL,
    location TEXT NOT NULL,
    kind TEXT NOT NULL,
    sent TEXT NOT NULL,
    ends BIGINT NOT NULL,
    since BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    on_air BIGINT NOT NULL,
    behind BIGINT NOT NULL,
    opened_by TEXT NOT NULL,
    cap TEXT NOT NULL,
    info TEXT NOT NULL,
    PRIMARY KEY (lane, stage, location)
);
CREATE INDEX active_by_end ON active (ends);

-- Reports of the last window, by their content: the same one again is no new one.
CREATE TABLE recent (
    location TEXT NOT NULL,
    content TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (location, content)
);

-- CAP messages that were seen or referred to (as lane/identity), and the areas that those which are in force speak of.
CREATE TABLE cap_seen (
    identity TEXT NOT NULL PRIMARY KEY,
    ended BIGINT NOT NULL,
    at BIGINT NOT NULL
);
CREATE INDEX cap_seen_by_time ON cap_seen (at);
CREATE TABLE cap_area (
    identity TEXT NOT NULL,
    location TEXT NOT NULL,
    PRIMARY KEY (identity, location)
);

-- What the desk has said: silences and acknowledgements, each of a place, until then.
CREATE TABLE silence (
    location TEXT NOT NULL PRIMARY KEY,
    who TEXT NOT NULL,
    reason TEXT NOT NULL,
    at BIGINT NOT NULL,
    until BIGINT NOT NULL
);
CREATE TABLE acknowledged (
    lane TEXT NOT NULL,
    location TEXT NOT NULL,
    who TEXT NOT NULL,
    reason TEXT NOT NULL,
    at BIGINT NOT NULL,
    until BIGINT NOT NULL,
    PRIMARY KEY (lane, location)
);

-- Everything that was sent, or was not and why, and everything that the desk did.
CREATE TABLE audit (
    id TEXT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    who TEXT NOT NULL,
    what TEXT NOT NULL,
    lane TEXT NOT NULL,
    location TEXT NOT NULL,
    kind TEXT NOT NULL,
    sent TEXT NOT NULL,
    ends BIGINT NOT NULL,
    opened_by TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX audit_by_time ON audit (at, id);
CREATE INDEX audit_by_what ON audit (lane, what, at);
