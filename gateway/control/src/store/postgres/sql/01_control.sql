-- The control plane's rows. One table per kind: key, the row as JSON, and the revision of the commit that wrote it. Gateways
-- that share the database read what is newer than the revision that they have seen. Secrets are sealed by the gateways.

-- One row. Commits lock it, and so come one after the other.
CREATE TABLE state (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    revision bigint NOT NULL,
    -- Removals of commits up to this one may be forgotten: whoever has seen less reads everything.
    forgotten bigint NOT NULL,
    -- Opens with the key of the secrets that sealed the rows.
    mark text
);
INSERT INTO state (revision, forgotten) VALUES (0, 0);

-- The last commits: one whose answer was lost is found here by its id.
CREATE TABLE commits (
    revision bigint PRIMARY KEY,
    id text NOT NULL UNIQUE,
    at timestamptz NOT NULL DEFAULT now()
);

-- Rows that were removed, so that other gateways hear of it.
CREATE TABLE removals (
    kind text NOT NULL,
    key text COLLATE "C" NOT NULL,
    revision bigint NOT NULL,
    PRIMARY KEY (kind, key)
);
CREATE INDEX removals_revision ON removals (revision);

-- Who did what, from where; times in milliseconds since 1970.
CREATE TABLE audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at bigint NOT NULL,
    user_name text NOT NULL,
    role text,
    address text NOT NULL,
    request_id text NOT NULL,
    action text NOT NULL,
    target text NOT NULL,
    result text NOT NULL,
    problem text,
    before json,
    after json
);
CREATE INDEX audit_at ON audit (at);
CREATE INDEX audit_user ON audit (user_name, id);
CREATE INDEX audit_action ON audit (action text_pattern_ops, id);
CREATE INDEX audit_target ON audit (target, id);

CREATE TABLE users (
    key text COLLATE "C" PRIMARY KEY,
    "row" json NOT NULL,
    revision bigint NOT NULL
);
CREATE INDEX users_revision ON users (revision);
COMMENT ON TABLE users IS 'people who manage the gateway or use its shares; password hashes, the NT hash sealed';

CREATE TABLE groups (
    key text COLLATE "C" PRIMARY KEY,
    "row" json NOT NULL,
    revision bigint NOT NULL
);
CREATE INDEX groups_revision ON groups (revision);
COMMENT ON TABLE groups IS 'groups of users; members are in users.row->''groups''';

CREATE TABLE grants (
    key text COLLATE "C" PRIMARY KEY,
    "row" json NOT NULL,
    revision bigint NOT NULL
);
CREATE INDEX grants_revision ON grants (revision);
COMMENT ON TABLE grants IS 'share/user/NAME or share/group/NAME: what they may do there';

CREATE TABLE identity_mappings (
    key text COLLATE "C" PRIMARY KEY,
    "row" json NOT NULL,
    revision bigint NOT NULL
);
CREATE INDEX identity_mappings_revision ON identity_mappings (revision);
COMMENT ON TABLE identity_mappings IS 'principals of protocols that stand for a user';

CREATE TABLE netgroups (
    key text COLLATE "C" PRIMARY KEY,
    "row" json NOT NULL,
    revision bigint NOT NULL
);
CREATE INDEX netgroups_revision ON netgroups (revision);
COMMENT ON TABLE netgroups IS 'machines under one name';

CREATE TABLE metadata_stores (
    key text COLLATE "C" PRIMARY KEY,
    "row" json NOT NULL,
    revision bigint NOT NULL
);
CREATE INDEX metadata_stores_revision ON metadata_stores (revision);
COMMENT ON TABLE metadata_stores IS 'where names are kept';

CREATE TABLE cold_stores (
    key text COLLATE "C" PRIMARY KEY,
    "row" json NOT NULL,
    revision bigint NOT NULL
);
CREATE INDEX cold_stores_revision ON cold_stores (revision);
COMMENT ON TABLE cold_stores IS 'where packs go; secret keys sealed';

CREATE TABLE shares (
    key text COLLATE "C" PRIMARY KEY,
    "row" json NOT NULL,
    revision bigint NOT NULL
);
CREATE INDEX shares_revision ON shares (revision);
COMMENT ON TABLE shares IS 'shares as they are configured';

CREATE TABLE adapters (
    key text COLLATE "C" PRIMARY KEY,
    "row" json NOT NULL,
    revision bigint NOT NULL
);
CREATE INDEX adapters_revision ON adapters (revision);
COMMENT ON TABLE adapters IS 'protocols and their settings';

CREATE TABLE settings (
    key text COLLATE "C" PRIMARY KEY,
    "row" json NOT NULL,
    revision bigint NOT NULL
);
CREATE INDEX settings_revision ON settings (revision);
COMMENT ON TABLE settings IS 'settings that were changed while the gateway ran';

CREATE TABLE sessions (
    key text COLLATE "C" PRIMARY KEY,
    "row" json NOT NULL,
    revision bigint NOT NULL
);
CREATE INDEX sessions_revision ON sessions (revision);
COMMENT ON TABLE sessions IS 'USER/ID: who is logged in; hashes of tokens';

CREATE TABLE idempotency (
    key text COLLATE "C" PRIMARY KEY,
    "row" json NOT NULL,
    revision bigint NOT NULL
);
CREATE INDEX idempotency_revision ON idempotency (revision);
COMMENT ON TABLE idempotency IS 'answers of requests that may be sent again';
