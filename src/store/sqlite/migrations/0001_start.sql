CREATE TABLE notes (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE repos (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    forge          TEXT NOT NULL,
    name           TEXT NOT NULL COLLATE NOCASE,
    clone_url      TEXT,
    default_branch TEXT,
    webhook_secret BLOB,
    dialect        TEXT,
    added_by       TEXT NOT NULL,
    added_ms       INTEGER NOT NULL,
    UNIQUE (forge, name)
);

-- repo 0: for all repositories
CREATE TABLE secrets (
    repo           INTEGER NOT NULL,
    name           TEXT NOT NULL,
    sealed         BLOB NOT NULL,
    protected_only INTEGER NOT NULL,
    updated_ms     INTEGER NOT NULL,
    PRIMARY KEY (repo, name)
) WITHOUT ROWID;

CREATE TABLE tokens (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT NOT NULL,
    hash       BLOB NOT NULL UNIQUE,
    scope      TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER
);

CREATE TABLE deliveries (
    repo        INTEGER NOT NULL,
    delivery    TEXT NOT NULL,
    pipeline    INTEGER NOT NULL,
    received_ms INTEGER NOT NULL,
    PRIMARY KEY (repo, delivery)
) WITHOUT ROWID;
CREATE INDEX deliveries_by_age ON deliveries (received_ms);

-- status, why, started_ms, finished_ms and last_seq are a fold over events, kept in the same transaction
CREATE TABLE pipelines (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    repo         INTEGER NOT NULL,
    forge        TEXT NOT NULL,
    repo_name    TEXT NOT NULL COLLATE NOCASE,
    event        TEXT NOT NULL,
    branch       TEXT,
    tag          TEXT,
    -- branch or tag under which GitLab files a status
    git_name     TEXT,
    pull_request INTEGER,
    git_ref      TEXT NOT NULL,
    sha          TEXT NOT NULL,
    title        TEXT NOT NULL,
    actor        TEXT NOT NULL,
    trust        TEXT NOT NULL,
    status       TEXT NOT NULL,
    why          TEXT,
    created_ms   INTEGER NOT NULL,
    started_ms   INTEGER,
    finished_ms  INTEGER,
    last_seq     INTEGER NOT NULL DEFAULT 0,
    rerun_of     INTEGER,
    approved_by  TEXT,
    fence        INTEGER NOT NULL DEFAULT 0,
    tries        INTEGER NOT NULL DEFAULT 0,
    runner       TEXT,
    lease_ms     INTEGER,
    cancel_by    TEXT,
    trigger      BLOB NOT NULL
);
CREATE INDEX pipelines_open ON pipelines (status, id) WHERE status IN ('queued', 'waiting', 'running');
CREATE INDEX pipelines_by_repo ON pipelines (repo_name, id);
CREATE INDEX pipelines_by_end ON pipelines (finished_ms);

CREATE TABLE approvals (
    repo        INTEGER NOT NULL,
    sha         TEXT NOT NULL,
    by          TEXT NOT NULL,
    at_ms       INTEGER NOT NULL,
    config_hash TEXT,
    PRIMARY KEY (repo, sha)
) WITHOUT ROWID;

CREATE TABLE events (
    pipeline INTEGER NOT NULL,
    seq      INTEGER NOT NULL,
    at_ms    INTEGER NOT NULL,
    body     TEXT NOT NULL,
    PRIMARY KEY (pipeline, seq)
) WITHOUT ROWID;

-- consecutive log lines of one job's attempt; run is the fence under which they were written
CREATE TABLE chunks (
    id         INTEGER PRIMARY KEY,
    pipeline   INTEGER NOT NULL,
    run        INTEGER NOT NULL,
    job        TEXT NOT NULL,
    attempt    INTEGER NOT NULL,
    first_seq  INTEGER NOT NULL,
    last_seq   INTEGER NOT NULL,
    first_line INTEGER NOT NULL,
    lines      INTEGER NOT NULL,
    body       BLOB NOT NULL
);
CREATE INDEX chunks_by_seq ON chunks (pipeline, last_seq);
CREATE INDEX chunks_by_line ON chunks (pipeline, job, run, attempt, first_line);

CREATE TABLE outbox (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    repo        INTEGER NOT NULL,
    forge       TEXT NOT NULL,
    repo_name   TEXT NOT NULL,
    sha         TEXT NOT NULL,
    context     TEXT NOT NULL,
    git_name    TEXT,
    pipeline    INTEGER NOT NULL,
    status      TEXT NOT NULL,
    description TEXT NOT NULL,
    version     INTEGER NOT NULL DEFAULT 1,
    tries       INTEGER NOT NULL DEFAULT 0,
    since_ms    INTEGER NOT NULL,
    -- null: nothing to do any more
    due_ms      INTEGER,
    last_error  TEXT,
    UNIQUE (repo, sha, context)
);
CREATE INDEX outbox_due ON outbox (due_ms) WHERE due_ms IS NOT NULL;
