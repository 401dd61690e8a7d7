-- A journal that version 1 wrote: sqlite3 .dump, with the two pragmas that a dump leaves out.
PRAGMA application_id = 1886547818;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE attempts (
    task_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    state TEXT NOT NULL,
    name TEXT,
    queue TEXT,
    worker TEXT,
    arguments TEXT NOT NULL,
    retries INTEGER NOT NULL,
    redelivered INTEGER NOT NULL,
    eta REAL,
    sent REAL,
    received REAL,
    started REAL,
    finished REAL,
    runtime_s REAL,
    run TEXT,
    UNIQUE (task_id, number)
);
INSERT INTO "attempts" VALUES('a',0,'succeeded','proj.tasks.work','task_queue','w@h','(''one.'',)',0,0,NULL,NULL,101.0,101.1,102.1,1.0,'old');
INSERT INTO "attempts" VALUES('b',0,'succeeded','proj.tasks.work','task_queue','w@h','(''two..'',)',0,0,NULL,NULL,102.2,102.3,104.3,2.0,'old');
CREATE TABLE gaps (
    began REAL NOT NULL,
    ended REAL NOT NULL,
    events INTEGER,
    reason TEXT NOT NULL,
    UNIQUE (began, ended, reason)
);
CREATE TABLE heartbeats (
    worker TEXT PRIMARY KEY,
    pid INTEGER,
    time REAL NOT NULL,
    processed INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    missing INTEGER NOT NULL
);
INSERT INTO "heartbeats" VALUES('w@h',7,106.0,2,0,0);
CREATE TABLE notes (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
INSERT INTO "notes" VALUES('queue','celeryev.journal');
CREATE TABLE runs (
    name TEXT PRIMARY KEY,
    dispatch TEXT,
    began REAL NOT NULL,
    ended REAL,
    settings TEXT NOT NULL,
    machine TEXT NOT NULL
);
INSERT INTO "runs" VALUES('old','fair',100.0,110.0,'{"workload": "two"}','{"host": "h"}');
CREATE TABLE samples (
    time REAL NOT NULL,
    queue TEXT NOT NULL,
    ready INTEGER NOT NULL,
    unacknowledged INTEGER,
    consumers INTEGER NOT NULL,
    PRIMARY KEY (time, queue)
) WITHOUT ROWID;
INSERT INTO "samples" VALUES(101.0,'task_queue',1,1,1);
CREATE TABLE workers (
    name TEXT PRIMARY KEY,
    slots INTEGER,
    queues TEXT NOT NULL,
    dispatch TEXT,
    skew_s REAL,
    processed INTEGER,
    started_seen INTEGER NOT NULL
);
INSERT INTO "workers" VALUES('w@h',1,'["task_queue"]','fair',-1.00000000000051159076e-02,2,2);
COMMIT;