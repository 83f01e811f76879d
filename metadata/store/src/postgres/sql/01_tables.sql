-- Tables of the metadata store. Numbers that the model keeps unsigned and that may use their top bit (file system id, hash of a
-- block, 32-bit flags) are stored as the same bits signed; all others are plain. A time is seconds and nanoseconds. An owner is
-- 'uid:N', 'gid:N', 'sid:HEX', 'who:N' (a special subject) or 'name:HEX@HEX'. Hot tables have no foreign keys: testing one takes a
-- row lock on the share, which every operation of it would fight for.

CREATE TABLE shares (
    number integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    share uuid NOT NULL UNIQUE,
    name text NOT NULL,
    incarnation integer NOT NULL,
    fsid bigint NOT NULL,
    handle_key bytea NOT NULL,
    fold_version integer NOT NULL,
    block_size integer NOT NULL,
    created bigint NOT NULL,
    created_ns integer NOT NULL
);
COMMENT ON TABLE shares IS 'Exported trees; every other table names a share by its number, which is never used again.';

CREATE TABLE settings (
    share integer NOT NULL REFERENCES shares (number) ON DELETE CASCADE,
    position integer NOT NULL,
    key text NOT NULL,
    value text NOT NULL,
    PRIMARY KEY (share, position)
);
COMMENT ON TABLE settings IS 'Settings kept with a share.';

CREATE TABLE ownership (
    share integer PRIMARY KEY REFERENCES shares (number) ON DELETE CASCADE,
    epoch integer NOT NULL DEFAULT 0,
    ends_below integer NOT NULL DEFAULT 0,
    holder text,
    journal_of text,
    renewals bigint NOT NULL DEFAULT 0,
    lease_ms bigint NOT NULL DEFAULT 0,
    taken_at timestamptz,
    renewed_at timestamptz
);
COMMENT ON TABLE ownership IS 'Which gateway serves a share. The epoch fences every write of older owners; the two times are for people only.';
COMMENT ON COLUMN ownership.journal_of IS 'The gateway whose data folder has the journal of the newest epoch: what it acknowledged may be nowhere else.';

CREATE TABLE doomed (share integer PRIMARY KEY);
COMMENT ON TABLE doomed IS 'Numbers of deleted shares whose rows are still being deleted.';

CREATE SEQUENCE inode_numbers AS bigint MINVALUE 1025 START 1025 NO CYCLE;

CREATE TABLE inodes (
    share integer NOT NULL,
    kind smallint NOT NULL,
    inode bigint NOT NULL,
    size bigint NOT NULL,
    allocated bigint NOT NULL,
    atime bigint NOT NULL,
    mtime bigint NOT NULL,
    ctime bigint NOT NULL,
    btime bigint NOT NULL,
    change bigint NOT NULL,
    born bigint NOT NULL,
    parent bigint NOT NULL,
    flushed_seq bigint NOT NULL,
    mode_change bigint NOT NULL,
    dos_change bigint NOT NULL,
    last_cookie bigint NOT NULL,
    atime_ns integer NOT NULL,
    mtime_ns integer NOT NULL,
    ctime_ns integer NOT NULL,
    btime_ns integer NOT NULL,
    mode integer NOT NULL,
    nlink integer NOT NULL,
    flags integer NOT NULL,
    dos integer NOT NULL,
    generation integer NOT NULL,
    major integer NOT NULL,
    minor integer NOT NULL,
    owner text NOT NULL,
    grp text NOT NULL,
    verifier bytea,
    acl bytea,
    target bytea,
    PRIMARY KEY (share, inode)
) WITH (fillfactor = 85);
CREATE INDEX inodes_by_acl ON inodes (share, acl) WHERE acl IS NOT NULL;
COMMENT ON COLUMN inodes.kind IS '1 file, 2 directory, 3 symlink, 4 block device, 5 character device, 6 fifo, 7 socket';
COMMENT ON COLUMN inodes.flags IS '1 orphan, 2 delete pending, 4 immutable, 8 append only, 16 has streams, 32 has ACL, 64 any case, 128 DOS bits explicit, 256 has extended attributes';
COMMENT ON COLUMN inodes.flushed_seq IS 'Every journal record up to here is in this row.';

CREATE TABLE dentries (
    share integer NOT NULL,
    kind smallint NOT NULL,
    pending boolean NOT NULL,
    dir bigint NOT NULL,
    inode bigint NOT NULL,
    cookie bigint NOT NULL,
    born bigint NOT NULL,
    name bytea NOT NULL,
    fold bytea NOT NULL,
    PRIMARY KEY (share, dir, name)
);
CREATE UNIQUE INDEX dentries_by_cookie ON dentries (share, dir, cookie);
CREATE INDEX dentries_by_fold ON dentries (share, dir, fold, cookie);
CREATE INDEX dentries_by_inode ON dentries (share, inode, dir, cookie);
COMMENT ON TABLE dentries IS 'Names; the cookie is a name''s place in listings, fold its form in any case.';

CREATE TABLE acls (
    share integer NOT NULL,
    address bytea NOT NULL,
    control integer NOT NULL,
    dacl_kinds smallint[],
    dacl_flags integer[],
    dacl_masks integer[],
    dacl_whos text[],
    sacl_kinds smallint[],
    sacl_flags integer[],
    sacl_masks integer[],
    sacl_whos text[],
    PRIMARY KEY (share, address)
);
COMMENT ON TABLE acls IS 'ACLs by content. The n-th entries of the four arrays make the n-th entry; NULL: no such list.';

CREATE TABLE orphans (
    share integer NOT NULL,
    inode bigint NOT NULL,
    PRIMARY KEY (share, inode)
);
COMMENT ON TABLE orphans IS 'Inodes without a name that still have rows.';

CREATE TABLE extents (
    share integer NOT NULL,
    skip integer NOT NULL,
    inode bigint NOT NULL,
    start bigint NOT NULL,
    len bigint NOT NULL,
    pack uuid NOT NULL,
    pack_offset bigint NOT NULL,
    stored bigint NOT NULL,
    seq bigint NOT NULL,
    born bigint NOT NULL,
    first_block integer NOT NULL,
    stored_lens integer[] NOT NULL,
    decoded_lens integer[] NOT NULL,
    compressions smallint[] NOT NULL,
    hashes bigint[] NOT NULL,
    tail bytea NOT NULL,
    PRIMARY KEY (share, inode, start)
);
CREATE INDEX extents_by_pack ON extents (share, pack);
COMMENT ON TABLE extents IS 'Runs of a file''s bytes: consecutive blocks of one pack, of each its stored and decoded length, compression (0 none, 1 lz4, 2 zstd) and hash.';

CREATE TABLE packs (
    share integer NOT NULL,
    state smallint NOT NULL,
    pack uuid NOT NULL,
    len bigint NOT NULL,
    live bigint NOT NULL,
    since bigint NOT NULL,
    since_ns integer NOT NULL,
    epoch integer NOT NULL,
    PRIMARY KEY (share, pack)
);
COMMENT ON COLUMN packs.state IS '1 up (its upload may be under way), 2 live, 3 dead';
COMMENT ON COLUMN packs.live IS 'Stored bytes that extents refer to, without what is still in pack_deltas.';

CREATE TABLE pack_deltas (share integer NOT NULL, pack uuid NOT NULL, live bigint NOT NULL);
CREATE INDEX pack_deltas_by_pack ON pack_deltas (share, pack);
COMMENT ON TABLE pack_deltas IS 'Changes of packs.live that are not folded in yet.';

CREATE TABLE usage (
    share integer PRIMARY KEY REFERENCES shares (number) ON DELETE CASCADE,
    bytes bigint NOT NULL DEFAULT 0,
    inodes bigint NOT NULL DEFAULT 0
);
CREATE TABLE holdings (
    share integer NOT NULL,
    side smallint NOT NULL,
    who text NOT NULL,
    bytes bigint NOT NULL,
    inodes bigint NOT NULL,
    PRIMARY KEY (share, side, who)
);
CREATE TABLE usage_deltas (share integer NOT NULL, owner text NOT NULL, grp text NOT NULL, bytes bigint NOT NULL, inodes bigint NOT NULL);
CREATE INDEX usage_deltas_by_share ON usage_deltas (share);
COMMENT ON TABLE usage IS 'What a share holds, without what is still in usage_deltas.';
COMMENT ON TABLE holdings IS 'What a user (side 1) or a group (side 2) holds, without what is still in usage_deltas.';

CREATE TABLE quotas (
    share integer NOT NULL,
    kind smallint NOT NULL,
    who text NOT NULL,
    bytes_soft bigint,
    bytes_hard bigint,
    inodes_soft bigint,
    inodes_hard bigint,
    grace bigint NOT NULL,
    bytes_over bigint,
    bytes_over_ns integer,
    inodes_over bigint,
    inodes_over_ns integer,
    PRIMARY KEY (share, kind, who)
);
COMMENT ON COLUMN quotas.kind IS '0 the share, 1 a user, 2 a group, 3 every user without his own, 4 every group without its own';

CREATE TABLE xattrs (
    share integer NOT NULL,
    inode bigint NOT NULL,
    name bytea NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (share, inode, name)
);
COMMENT ON TABLE xattrs IS 'Extended attributes.';

CREATE TABLE replays (
    share integer NOT NULL,
    slot bytea NOT NULL,
    key bytea NOT NULL,
    op smallint NOT NULL,
    inode bigint NOT NULL,
    dir bigint NOT NULL,
    dir_size bigint NOT NULL,
    dir_mtime bigint NOT NULL,
    dir_mtime_ns integer NOT NULL,
    dir_ctime bigint NOT NULL,
    dir_ctime_ns integer NOT NULL,
    dir_change bigint NOT NULL,
    to_dir bigint,
    to_size bigint,
    to_mtime bigint,
    to_mtime_ns integer,
    to_ctime bigint,
    to_ctime_ns integer,
    to_change bigint,
    at bigint NOT NULL,
    at_ns integer NOT NULL,
    PRIMARY KEY (share, slot)
);
CREATE INDEX replays_by_age ON replays (share, at);
COMMENT ON TABLE replays IS 'Outcomes of name operations, so that a repeat gets the same answer.';

CREATE TABLE ends (
    share integer NOT NULL REFERENCES shares (number) ON DELETE CASCADE,
    epoch integer NOT NULL,
    n bigint NOT NULL,
    PRIMARY KEY (share, epoch)
);
COMMENT ON TABLE ends IS 'The last journal number accepted of an older epoch; no row below ownership.ends_below: 0.';

CREATE TABLE client_state (
    share integer NOT NULL,
    tab smallint NOT NULL,
    key bytea NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (share, tab, key)
);
COMMENT ON COLUMN client_state.tab IS '1 clients, 2 persistent opens, 3 monitored hosts, 4 grace';

CREATE VIEW tree AS
    SELECT s.name AS share, d.dir, encode(d.name, 'escape') AS name, d.inode,
        (ARRAY['file', 'directory', 'symlink', 'block device', 'character device', 'fifo', 'socket'])[i.kind] AS kind,
        to_char(i.mode >> 9, 'FM0') || (i.mode >> 6 & 7) || (i.mode >> 3 & 7) || (i.mode & 7) AS mode,
        i.nlink, i.owner, i.grp, i.size, to_timestamp(i.mtime) AS mtime, to_timestamp(i.ctime) AS ctime
    FROM dentries d
    JOIN shares s ON s.number = d.share
    JOIN inodes i ON i.share = d.share AND i.inode = d.inode;
COMMENT ON VIEW tree IS 'Names with the attributes of what they lead to, for people.';
