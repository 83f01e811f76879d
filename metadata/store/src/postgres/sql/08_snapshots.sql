-- Snapshots of a share (the twin of ops/snapshots.rs, ops/retain.rs and ops/as_of.rs).
--
-- Triggers keep the form that the newest snapshot shows of a row before the row changes, once per snapshot; a row that was not
-- there is kept as NULL. Seen from snapshot s, the first kept form at or after s decides, else the live row. Nothing is kept of
-- what belongs to inodes born after the newest snapshot.

CREATE TABLE snapshots (
    share integer NOT NULL,
    snapshot bigint NOT NULL,
    name bytea NOT NULL,
    origin smallint NOT NULL,
    deleted boolean NOT NULL DEFAULT false,
    taken bigint NOT NULL,
    taken_ns integer NOT NULL,
    change bigint NOT NULL,
    inodes_below bigint NOT NULL,
    PRIMARY KEY (share, snapshot)
);
CREATE UNIQUE INDEX snapshots_by_name ON snapshots (share, name) WHERE NOT deleted;
COMMENT ON TABLE snapshots IS 'Snapshots; of a deleted one the kept rows are being given back.';
COMMENT ON COLUMN snapshots.origin IS '0 asked for, 1 by the schedule, 2 before a restore';

CREATE TABLE snapshot_marks (
    share integer PRIMARY KEY,
    last bigint NOT NULL,
    newest bigint NOT NULL,
    inodes_below bigint NOT NULL
);
COMMENT ON TABLE snapshot_marks IS 'Per share that has or had snapshots: the last number given out, the newest one that is there (0: none), and the first inode born after it.';

CREATE TABLE retained_inodes (share integer NOT NULL, inode bigint NOT NULL, snapshot bigint NOT NULL, acl bytea, old inodes,
    PRIMARY KEY (share, inode, snapshot));
CREATE INDEX retained_inodes_of ON retained_inodes (share, snapshot);
CREATE INDEX retained_inodes_by_acl ON retained_inodes (share, acl) WHERE acl IS NOT NULL;
CREATE TABLE retained_dentries (share integer NOT NULL, dir bigint NOT NULL, name bytea NOT NULL, snapshot bigint NOT NULL,
    cookie bigint, old dentries, PRIMARY KEY (share, dir, name, snapshot));
CREATE INDEX retained_dentries_of ON retained_dentries (share, snapshot);
CREATE INDEX retained_dentries_by_cookie ON retained_dentries (share, dir, cookie);
CREATE TABLE retained_extents (share integer NOT NULL, inode bigint NOT NULL, start bigint NOT NULL, snapshot bigint NOT NULL,
    pack uuid, stored bigint NOT NULL, len bigint NOT NULL, old extents, PRIMARY KEY (share, inode, start, snapshot));
CREATE INDEX retained_extents_of ON retained_extents (share, snapshot);
CREATE INDEX retained_extents_by_pack ON retained_extents (share, pack) WHERE pack IS NOT NULL;
CREATE TABLE retained_xattrs (share integer NOT NULL, inode bigint NOT NULL, name bytea NOT NULL, snapshot bigint NOT NULL,
    old xattrs, PRIMARY KEY (share, inode, name, snapshot));
CREATE INDEX retained_xattrs_of ON retained_xattrs (share, snapshot);
COMMENT ON TABLE retained_inodes IS 'Forms of rows that snapshots show and the share no longer has; NULL: there was none.';

CREATE FUNCTION retain_inode() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    m snapshot_marks;
BEGIN
    SELECT * INTO m FROM snapshot_marks k WHERE k.share = coalesce(OLD.share, NEW.share) AND k.newest > 0;
    IF FOUND AND coalesce(OLD.inode, NEW.inode) < m.inodes_below THEN
        INSERT INTO retained_inodes SELECT m.share, coalesce(OLD.inode, NEW.inode), m.newest, OLD.acl, OLD
            WHERE NOT EXISTS (SELECT 1 FROM retained_inodes r
                WHERE r.share = m.share AND r.inode = coalesce(OLD.inode, NEW.inode) AND r.snapshot >= m.newest);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER retain AFTER INSERT OR UPDATE OR DELETE ON inodes FOR EACH ROW EXECUTE FUNCTION retain_inode();

CREATE FUNCTION retain_dentry() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    m snapshot_marks;
BEGIN
    SELECT * INTO m FROM snapshot_marks k WHERE k.share = coalesce(OLD.share, NEW.share) AND k.newest > 0;
    IF FOUND AND coalesce(OLD.dir, NEW.dir) < m.inodes_below THEN
        INSERT INTO retained_dentries SELECT m.share, coalesce(OLD.dir, NEW.dir), coalesce(OLD.name, NEW.name), m.newest, OLD.cookie, OLD
            WHERE NOT EXISTS (SELECT 1 FROM retained_dentries r WHERE r.share = m.share AND r.dir = coalesce(OLD.dir, NEW.dir)
                AND r.name = coalesce(OLD.name, NEW.name) AND r.snapshot >= m.newest);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER retain AFTER INSERT OR UPDATE OR DELETE ON dentries FOR EACH ROW EXECUTE FUNCTION retain_dentry();

CREATE FUNCTION retain_extent() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    m snapshot_marks;
BEGIN
    SELECT * INTO m FROM snapshot_marks k WHERE k.share = coalesce(OLD.share, NEW.share) AND k.newest > 0;
    IF FOUND AND coalesce(OLD.inode, NEW.inode) < m.inodes_below THEN
        INSERT INTO retained_extents SELECT m.share, coalesce(OLD.inode, NEW.inode), coalesce(OLD.start, NEW.start), m.newest,
                OLD.pack, coalesce(OLD.stored, 0), coalesce(OLD.len, 0), OLD
            WHERE NOT EXISTS (SELECT 1 FROM retained_extents r WHERE r.share = m.share AND r.inode = coalesce(OLD.inode, NEW.inode)
                AND r.start = coalesce(OLD.start, NEW.start) AND r.snapshot >= m.newest);
        IF FOUND AND OLD.pack IS NOT NULL THEN
            INSERT INTO pack_deltas VALUES (m.share, OLD.pack, OLD.stored);
        END IF;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER retain AFTER INSERT OR UPDATE OR DELETE ON extents FOR EACH ROW EXECUTE FUNCTION retain_extent();

CREATE FUNCTION retain_xattr() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    m snapshot_marks;
BEGIN
    SELECT * INTO m FROM snapshot_marks k WHERE k.share = coalesce(OLD.share, NEW.share) AND k.newest > 0;
    IF FOUND AND coalesce(OLD.inode, NEW.inode) < m.inodes_below THEN
        INSERT INTO retained_xattrs SELECT m.share, coalesce(OLD.inode, NEW.inode), coalesce(OLD.name, NEW.name), m.newest, OLD
            WHERE NOT EXISTS (SELECT 1 FROM retained_xattrs r WHERE r.share = m.share AND r.inode = coalesce(OLD.inode, NEW.inode)
                AND r.name = coalesce(OLD.name, NEW.name) AND r.snapshot >= m.newest);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER retain AFTER INSERT OR UPDATE OR DELETE ON xattrs FOR EACH ROW EXECUTE FUNCTION retain_xattr();

-- The share's number and the epoch of its owner, alone in the share: changes under way end first, and what comes later sees what
-- this transaction did.
CREATE FUNCTION fence_alone(wanted uuid, ours integer, OUT n integer, OUT bad answer) LANGUAGE plpgsql AS $$
DECLARE
    e record;
BEGIN
    PERFORM pg_advisory_xact_lock(lock_of(wanted));
    SELECT * INTO e FROM fence(wanted, ours);
    n := e.n;
    bad := e.bad;
END $$;

CREATE FUNCTION op_snapshot_create(
    in_share uuid, in_epoch integer, in_name bytea, in_origin integer, in_now bigint, in_now_ns integer, in_change bigint, at_most bigint
) RETURNS SETOF answer LANGUAGE plpgsql AS $$
DECLARE
    e record;
    below bigint;
    number bigint;
BEGIN
    SELECT * INTO e FROM fence_alone(in_share, in_epoch);
    IF e.n IS NULL THEN
        RETURN NEXT e.bad;
        RETURN;
    ELSIF EXISTS (SELECT 1 FROM snapshots s WHERE s.share = e.n AND s.name = in_name AND NOT s.deleted) THEN
        RETURN NEXT refused('Exists');
        RETURN;
    END IF;
    SELECT q.last_value + q.is_called::integer INTO below FROM inode_numbers q;
    number := coalesce((SELECT k.last FROM snapshot_marks k WHERE k.share = e.n), 0) + 1;
    IF below >= 4398046511104 OR number >= 1048576
        OR (SELECT count(*) FROM snapshots s WHERE s.share = e.n AND NOT s.deleted) >= at_most
    THEN
        RETURN NEXT refused('Limit');
        RETURN;
    END IF;
    INSERT INTO snapshots VALUES (e.n, number, in_name, in_origin, false, in_now, in_now_ns, in_change, below);
    INSERT INTO snapshot_marks VALUES (e.n, number, number, below)
        ON CONFLICT (share) DO UPDATE SET last = number, newest = number, inodes_below = below;
    RETURN NEXT ('done', NULL, number, NULL, NULL, NULL, NULL)::answer;
END $$;

CREATE FUNCTION op_snapshot_delete(in_share uuid, in_epoch integer, in_snapshot bigint) RETURNS SETOF answer LANGUAGE plpgsql AS $$
DECLARE
    e record;
BEGIN
    SELECT * INTO e FROM fence_alone(in_share, in_epoch);
    IF e.n IS NULL THEN
        RETURN NEXT e.bad;
        RETURN;
    END IF;
    UPDATE snapshots s SET deleted = true WHERE s.share = e.n AND s.snapshot = in_snapshot AND NOT s.deleted;
    IF NOT FOUND THEN
        RETURN NEXT refused('NotFound');
        RETURN;
    END IF;
    UPDATE snapshot_marks k SET newest = coalesce(s.snapshot, 0), inodes_below = coalesce(s.inodes_below, 0)
        FROM (SELECT 1) one LEFT JOIN LATERAL (
            SELECT x.snapshot, x.inodes_below FROM snapshots x WHERE x.share = e.n AND NOT x.deleted ORDER BY x.snapshot DESC LIMIT 1) s ON true
        WHERE k.share = e.n;
    RETURN NEXT ('done', NULL, NULL, NULL, NULL, NULL, NULL)::answer;
END $$;

-- Gives back some of what a deleted snapshot kept: it passes to the one before it where that shows it. number 1: nothing is left.
CREATE FUNCTION op_snapshot_reap(in_share uuid, in_epoch integer, at_most integer) RETURNS SETOF answer LANGUAGE plpgsql AS $$
DECLARE
    e record;
    gone bigint;
    heir snapshots;
    hot text;
    same text;
    what text;
    done bigint;
    more boolean := false;
BEGIN
    SELECT * INTO e FROM fence(in_share, in_epoch);
    IF e.n IS NULL THEN
        RETURN NEXT e.bad;
        RETURN;
    END IF;
    SELECT min(s.snapshot) INTO gone FROM snapshots s WHERE s.share = e.n AND s.deleted;
    IF gone IS NULL THEN
        RETURN NEXT ('done', NULL, 1, NULL, NULL, NULL, NULL)::answer;
        RETURN;
    END IF;
    SELECT * INTO heir FROM snapshots s WHERE s.share = e.n AND NOT s.deleted AND s.snapshot < gone ORDER BY s.snapshot DESC LIMIT 1;
    FOREACH hot IN ARRAY ARRAY['inodes', 'dentries', 'extents', 'xattrs'] LOOP
        same := CASE hot WHEN 'inodes' THEN 'q.inode = r.inode' WHEN 'dentries' THEN 'q.dir = r.dir AND q.name = r.name'
            WHEN 'extents' THEN 'q.inode = r.inode AND q.start = r.start' ELSE 'q.inode = r.inode AND q.name = r.name' END;
        what := format('SELECT r.ctid FROM retained_%1$s r WHERE r.share = $1 AND r.snapshot = $2 AND %2$s ($3 IS NOT NULL AND r.%3$s < $4
            AND NOT EXISTS (SELECT 1 FROM retained_%1$s q WHERE q.share = r.share AND %4$s AND q.snapshot >= $3 AND q.snapshot < $2)) LIMIT $5',
            hot, '%s', CASE hot WHEN 'dentries' THEN 'dir' ELSE 'inode' END, same);
        EXECUTE format('UPDATE retained_%s SET snapshot = $3 WHERE ctid = ANY (ARRAY(' || format(what, '') || '))', hot)
            USING e.n, gone, heir.snapshot, heir.inodes_below, at_most;
        GET DIAGNOSTICS done = ROW_COUNT;
        more := more OR done = at_most;
        IF hot = 'extents' THEN
            EXECUTE 'WITH dead AS (DELETE FROM retained_extents WHERE ctid = ANY (ARRAY(' || format(what, 'NOT') || ')) RETURNING pack, stored),
                told AS (INSERT INTO pack_deltas SELECT $1, d.pack, -sum(d.stored) FROM dead d WHERE d.pack IS NOT NULL GROUP BY d.pack)
                SELECT count(*) FROM dead' INTO done USING e.n, gone, heir.snapshot, heir.inodes_below, at_most;
        ELSE
            EXECUTE format('DELETE FROM retained_%s WHERE ctid = ANY (ARRAY(' || format(what, 'NOT') || '))', hot)
                USING e.n, gone, heir.snapshot, heir.inodes_below, at_most;
            GET DIAGNOSTICS done = ROW_COUNT;
        END IF;
        more := more OR done = at_most;
    END LOOP;
    IF NOT more THEN
        DELETE FROM snapshots s WHERE s.share = e.n AND s.snapshot = gone;
        more := EXISTS (SELECT 1 FROM snapshots s WHERE s.share = e.n AND s.deleted);
    END IF;
    RETURN NEXT ('done', NULL, (NOT more)::integer, NULL, NULL, NULL, NULL)::answer;
END $$;

-- First inode that a snapshot does not show; NULL where the snapshot is not there.
CREATE FUNCTION past_below(n integer, s bigint) RETURNS bigint STABLE LANGUAGE sql AS $$
    SELECT x.inodes_below FROM snapshots x WHERE x.share = n AND x.snapshot = s AND NOT x.deleted
$$;

CREATE FUNCTION past_inode(n integer, s bigint, of_inode bigint) RETURNS inodes STABLE LANGUAGE plpgsql AS $$
DECLARE
    r retained_inodes;
    i inodes;
BEGIN
    IF coalesce(of_inode >= past_below(n, s), true) THEN
        RETURN NULL;
    END IF;
    SELECT * INTO r FROM retained_inodes x WHERE x.share = n AND x.inode = of_inode AND x.snapshot >= s ORDER BY x.snapshot LIMIT 1;
    IF FOUND THEN
        RETURN r.old;
    END IF;
    SELECT * INTO i FROM inodes x WHERE x.share = n AND x.inode = of_inode;
    RETURN i;
END $$;

CREATE FUNCTION past_dentry(n integer, s bigint, of_dir bigint, of_name bytea) RETURNS dentries STABLE LANGUAGE plpgsql AS $$
DECLARE
    r retained_dentries;
    d dentries;
BEGIN
    IF coalesce(of_dir >= past_below(n, s), true) THEN
        RETURN NULL;
    END IF;
    SELECT * INTO r FROM retained_dentries x WHERE x.share = n AND x.dir = of_dir AND x.name = of_name AND x.snapshot >= s
        ORDER BY x.snapshot LIMIT 1;
    IF FOUND THEN
        RETURN r.old;
    END IF;
    SELECT * INTO d FROM dentries x WHERE x.share = n AND x.dir = of_dir AND x.name = of_name;
    RETURN d;
END $$;

-- Names of a directory as of a snapshot, in the order of their cookies.
CREATE FUNCTION past_page(n integer, s bigint, of_dir bigint, after bigint, up_to bigint, at_most bigint) RETURNS SETOF dentries
STABLE LANGUAGE sql AS $$
    SELECT (p.d).* FROM (
        (SELECT x AS d, x.cookie FROM dentries x WHERE x.share = n AND x.dir = of_dir AND x.cookie > after AND x.cookie <= up_to
            AND NOT EXISTS (SELECT 1 FROM retained_dentries r
                WHERE r.share = n AND r.dir = of_dir AND r.name = x.name AND r.snapshot >= s)
            ORDER BY x.cookie LIMIT at_most)
        UNION ALL
        (SELECT r.old, r.cookie FROM retained_dentries r WHERE r.share = n AND r.dir = of_dir AND r.cookie > after AND r.cookie <= up_to
            AND r.snapshot >= s AND NOT EXISTS (SELECT 1 FROM retained_dentries q
                WHERE q.share = n AND q.dir = of_dir AND q.name = r.name AND q.snapshot >= s AND q.snapshot < r.snapshot)
            ORDER BY r.cookie LIMIT at_most)
    ) p WHERE of_dir < past_below(n, s) ORDER BY p.cookie LIMIT at_most
$$;

-- Runs of a file as of a snapshot that touch [lo, hi), in order.
CREATE FUNCTION past_runs(n integer, s bigint, of_inode bigint, lo bigint, hi bigint) RETURNS SETOF extents STABLE LANGUAGE sql AS $$
    SELECT (p.x).* FROM (
        SELECT e AS x FROM extents e WHERE e.share = n AND e.inode = of_inode AND e.start < hi AND e.start + e.len > lo
            AND e.start >= lo - 67108864 AND NOT EXISTS (
                SELECT 1 FROM retained_extents r WHERE r.share = n AND r.inode = of_inode AND r.start = e.start AND r.snapshot >= s)
        UNION ALL
        SELECT r.old FROM retained_extents r WHERE r.share = n AND r.inode = of_inode AND r.start < hi AND r.start + r.len > lo
            AND r.start >= lo - 67108864 AND r.snapshot >= s AND r.pack IS NOT NULL AND NOT EXISTS (
                SELECT 1 FROM retained_extents q
                WHERE q.share = n AND q.inode = of_inode AND q.start = r.start AND q.snapshot >= s AND q.snapshot < r.snapshot)
    ) p WHERE of_inode < past_below(n, s) ORDER BY (p.x).start
$$;

CREATE FUNCTION past_xattrs(n integer, s bigint, of_inode bigint) RETURNS SETOF xattrs STABLE LANGUAGE sql AS $$
    SELECT (p.x).* FROM (
        SELECT x FROM xattrs x WHERE x.share = n AND x.inode = of_inode AND NOT EXISTS (
            SELECT 1 FROM retained_xattrs r WHERE r.share = n AND r.inode = of_inode AND r.name = x.name AND r.snapshot >= s)
        UNION ALL
        SELECT r.old FROM retained_xattrs r WHERE r.share = n AND r.inode = of_inode AND r.snapshot >= s AND r.old IS DISTINCT FROM NULL
            AND NOT EXISTS (SELECT 1 FROM retained_xattrs q
                WHERE q.share = n AND q.inode = of_inode AND q.name = r.name AND q.snapshot >= s AND q.snapshot < r.snapshot)
    ) p WHERE of_inode < past_below(n, s) AND (p.x).name IS NOT NULL
$$;

-- The snapshot and the inode's own number, of a number that is of a snapshot.
CREATE FUNCTION past_of(of_inode bigint, OUT s bigint, OUT own bigint) IMMUTABLE LANGUAGE sql AS $$
    SELECT CASE WHEN of_inode & (1::bigint << 62) <> 0 THEN (of_inode # (1::bigint << 62)) >> 42 ELSE 0 END, of_inode & ((1::bigint << 42) - 1)
$$;

CREATE OR REPLACE FUNCTION clone_source(n integer, of_inode bigint) RETURNS inodes STABLE LANGUAGE plpgsql AS $$
DECLARE
    p record := past_of(of_inode);
    i inodes;
BEGIN
    IF p.s > 0 THEN
        RETURN past_inode(n, p.s, p.own);
    END IF;
    SELECT * INTO i FROM inodes x WHERE x.share = n AND x.inode = of_inode;
    RETURN i;
END $$;

CREATE OR REPLACE FUNCTION clone_runs(n integer, of_inode bigint, lo bigint, hi bigint) RETURNS SETOF extents STABLE LANGUAGE plpgsql AS $$
DECLARE
    p record := past_of(of_inode);
BEGIN
    IF p.s > 0 THEN
        RETURN QUERY SELECT * FROM past_runs(n, p.s, p.own, lo, hi);
        RETURN;
    END IF;
    RETURN QUERY SELECT e.* FROM extents e WHERE e.share = n AND e.inode = of_inode AND e.start < hi AND e.start + e.len > lo
        AND e.start >= coalesce((
            SELECT max(y.start) FROM extents y WHERE y.share = n AND y.inode = of_inode AND y.start <= lo), 0);
END $$;

-- As before, and no pack that a snapshot shows.
CREATE OR REPLACE FUNCTION op_packs_bury(
    in_share uuid, in_epoch integer, in_packs uuid[], in_now bigint, in_now_ns integer
) RETURNS SETOF answer LANGUAGE plpgsql AS $$
DECLARE
    e record;
BEGIN
    SELECT * INTO e FROM fence(in_share, in_epoch);
    IF e.n IS NULL THEN
        RETURN NEXT e.bad;
        RETURN;
    END IF;
    PERFORM 1 FROM packs pk WHERE pk.share = e.n AND pk.pack = ANY (in_packs) ORDER BY pk.pack FOR NO KEY UPDATE;
    UPDATE packs pk SET state = 3, since = in_now, since_ns = in_now_ns
        WHERE pk.share = e.n AND pk.pack = ANY (in_packs) AND (pk.state = 1 OR (
            pk.state = 2 AND NOT EXISTS (SELECT 1 FROM extents x WHERE x.share = e.n AND x.pack = pk.pack)
            AND NOT EXISTS (SELECT 1 FROM retained_extents r WHERE r.share = e.n AND r.pack = pk.pack)));
    RETURN QUERY
        SELECT 'dead'::text, NULL::text, u.nth, NULL::dentries, NULL::inodes, NULL::acls, NULL::replays
        FROM unnest(in_packs) WITH ORDINALITY u (pack, nth)
        JOIN packs pk ON pk.share = e.n AND pk.pack = u.pack WHERE pk.state = 3 ORDER BY u.nth;
END $$;

-- As before, and no ACL that a kept inode names.
CREATE OR REPLACE FUNCTION prune_acls(in_share uuid) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    gone bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(lock_of(in_share));
    DELETE FROM acls a USING shares s WHERE s.share = in_share AND a.share = s.number
        AND NOT EXISTS (SELECT 1 FROM inodes i WHERE i.share = a.share AND i.acl = a.address)
        AND NOT EXISTS (SELECT 1 FROM retained_inodes r WHERE r.share = a.share AND r.acl = a.address);
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END $$;

-- As before, with the snapshots of the share, whose mark goes first: nothing is kept of what is deleted.
CREATE OR REPLACE FUNCTION delete_some(at_most integer) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    n integer;
    hot text;
    gone bigint;
    full_chunk boolean := false;
BEGIN
    SELECT d.share INTO n FROM doomed d LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF n IS NULL THEN
        RETURN false;
    END IF;
    DELETE FROM snapshot_marks k WHERE k.share = n;
    FOREACH hot IN ARRAY ARRAY['inodes', 'dentries', 'acls', 'orphans', 'extents', 'packs', 'pack_deltas', 'usage_deltas', 'holdings', 'quotas', 'xattrs', 'replays', 'client_state', 'snapshots', 'retained_inodes', 'retained_dentries', 'retained_extents', 'retained_xattrs']
    LOOP
        EXECUTE format('DELETE FROM %I WHERE ctid = ANY (ARRAY(SELECT ctid FROM %I WHERE share = $1 LIMIT $2))', hot, hot) USING n, at_most;
        GET DIAGNOSTICS gone = ROW_COUNT;
        full_chunk := full_chunk OR gone = at_most;
    END LOOP;
    IF NOT full_chunk THEN
        DELETE FROM doomed d WHERE d.share = n;
    END IF;
    RETURN true;
END $$;
