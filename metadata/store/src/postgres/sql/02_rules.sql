-- What the operations have in common: the fence, rights (the twin of dfs-model's access.rs), stamps, replays, ACLs.
--
-- Order of locks: the share's advisory lock (shared: an operation; exclusive: a new epoch), the advisory lock of renames across
-- directories, rows of directories in order of their numbers, rows of files likewise, packs.

CREATE TYPE op_context AS (
    share uuid,
    epoch integer,
    users text[],
    groups text[],
    specials text[],
    is_root boolean,
    ceiling integer,
    now bigint,
    now_ns integer,
    change bigint,
    born_seq bigint,
    slot bytea,
    key bytea,
    takes_ownership boolean,
    may_audit boolean
);

-- What create and set_attr may set; NULL leaves a field. A time's "how": 0 keep, 1 set, 2 the operation's time, 3 an open's affair.
CREATE TYPE patch AS (
    mode integer,
    mode_mask integer,
    owner text,
    grp text,
    atime_how integer,
    atime bigint,
    atime_ns integer,
    mtime_how integer,
    mtime bigint,
    mtime_ns integer,
    btime_how integer,
    btime bigint,
    btime_ns integer,
    dos integer,
    has_acl boolean,
    acl acls
);

CREATE TYPE answer AS (
    what text,
    code text,
    number bigint,
    dentry dentries,
    inode inodes,
    acl acls,
    outcome replays
);

CREATE FUNCTION lock_of(share uuid) RETURNS bigint IMMUTABLE LANGUAGE sql AS $$
    SELECT hashtextextended(share::text, 0)
$$;

CREATE FUNCTION refused(code text) RETURNS answer IMMUTABLE LANGUAGE sql AS $$
    SELECT 'refused', code, NULL::bigint, NULL::dentries, NULL::inodes, NULL::acls, NULL::replays
$$;

-- A row to show, with its ACL.
CREATE FUNCTION shown(what text, i inodes, d dentries DEFAULT NULL, number bigint DEFAULT NULL) RETURNS answer
LANGUAGE plpgsql AS $$
DECLARE
    a acls;
BEGIN
    IF i.acl IS NOT NULL THEN
        SELECT * INTO a FROM acls WHERE acls.share = i.share AND acls.address = i.acl;
    END IF;
    RETURN (what, NULL, number, d, i, a, NULL)::answer;
END $$;

-- Enters the share for the length of the transaction; n is NULL where bad tells why not. Run as a statement of its own, it sees
-- the epoch as of after the lock was taken.
CREATE FUNCTION fence(wanted uuid, ours integer, OUT n integer, OUT bad answer) LANGUAGE plpgsql AS $$
DECLARE
    current integer;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(lock_of(wanted));
    SELECT s.number, o.epoch INTO n, current
        FROM shares s JOIN ownership o ON o.share = s.number WHERE s.share = wanted;
    IF n IS NULL THEN
        bad := ('no share', NULL, NULL, NULL, NULL, NULL, NULL)::answer;
    ELSIF current <> ours THEN
        n := NULL;
        bad := ('fenced', NULL, current, NULL, NULL, NULL, NULL)::answer;
    END IF;
END $$;

-- Fence and replay cache: an operation that was done within ten minutes is answered with its outcome.
CREATE FUNCTION enter(cx op_context, OUT n integer, OUT bad answer) LANGUAGE plpgsql AS $$
DECLARE
    entered record;
    found_row replays;
BEGIN
    SELECT * INTO entered FROM fence(cx.share, cx.epoch);
    n := entered.n;
    bad := entered.bad;
    IF n IS NULL OR cx.slot IS NULL THEN
        RETURN;
    END IF;
    SELECT * INTO found_row FROM replays r
        WHERE r.share = n AND r.slot = cx.slot AND r.key = cx.key
        AND (cx.now, cx.now_ns) <= (r.at + 600, r.at_ns);
    IF FOUND THEN
        n := NULL;
        bad := ('replayed', NULL, NULL, NULL, NULL, NULL, found_row)::answer;
    END IF;
END $$;

CREATE FUNCTION remember(n integer, cx op_context, op integer, inode bigint, dir inodes, to_dir inodes DEFAULT NULL)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF cx.slot IS NULL THEN
        RETURN;
    END IF;
    INSERT INTO replays VALUES (
        n, cx.slot, cx.key, op, inode,
        dir.inode, dir.size, dir.mtime, dir.mtime_ns, dir.ctime, dir.ctime_ns, dir.change,
        to_dir.inode, to_dir.size, to_dir.mtime, to_dir.mtime_ns, to_dir.ctime, to_dir.ctime_ns, to_dir.change,
        cx.now, cx.now_ns)
    ON CONFLICT (share, slot) DO UPDATE SET
        key = excluded.key, op = excluded.op, inode = excluded.inode,
        dir = excluded.dir, dir_size = excluded.dir_size,
        dir_mtime = excluded.dir_mtime, dir_mtime_ns = excluded.dir_mtime_ns,
        dir_ctime = excluded.dir_ctime, dir_ctime_ns = excluded.dir_ctime_ns, dir_change = excluded.dir_change,
        to_dir = excluded.to_dir, to_size = excluded.to_size,
        to_mtime = excluded.to_mtime, to_mtime_ns = excluded.to_mtime_ns,
        to_ctime = excluded.to_ctime, to_ctime_ns = excluded.to_ctime_ns, to_change = excluded.to_change,
        at = excluded.at, at_ns = excluded.at_ns;
END $$;

-- Marks something of an inode as changed: ctime and change grow, whatever the clock says.
CREATE FUNCTION touched(i inodes, cx op_context) RETURNS inodes LANGUAGE plpgsql AS $$
BEGIN
    IF (cx.now, cx.now_ns) > (i.ctime, i.ctime_ns) THEN
        i.ctime := cx.now;
        i.ctime_ns := cx.now_ns;
    ELSIF i.ctime_ns = 999999999 THEN
        i.ctime := i.ctime + 1;
        i.ctime_ns := 0;
    ELSE
        i.ctime_ns := i.ctime_ns + 1;
    END IF;
    i.change := greatest(i.change + 1, cx.change);
    RETURN i;
END $$;

-- As touched, of a directory whose entries changed.
CREATE FUNCTION touched_entries(i inodes, cx op_context) RETURNS inodes LANGUAGE plpgsql AS $$
BEGIN
    i := touched(i, cx);
    i.mtime := i.ctime;
    i.mtime_ns := i.ctime_ns;
    RETURN i;
END $$;

CREATE FUNCTION without_set_id(mode integer) RETURNS integer IMMUTABLE LANGUAGE sql AS $$
    SELECT CASE WHEN mode & 8 <> 0 THEN mode & ~3072 ELSE mode & ~2048 END
$$;

CREATE FUNCTION is_owner(i inodes, cx op_context) RETURNS boolean IMMUTABLE LANGUAGE sql AS $$
    SELECT cx.is_root OR i.owner = ANY (cx.users)
$$;

-- Rights in the bits that NT and NFSv4 share: read 1, write 2, append 4, named attributes 8 and 16, execute 32, delete child 64,
-- read attributes 128, write attributes 256, delete 65536, read ACL 131072, write ACL 262144, write owner 524288, synchronize
-- 1048576, all 2032127.
CREATE FUNCTION granted_by_mode(i inodes, cx op_context) RETURNS integer IMMUTABLE LANGUAGE plpgsql AS $$
DECLARE
    owns boolean;
    bits integer;
    rights integer := 1179776;
BEGIN
    IF cx.is_root THEN
        RETURN CASE WHEN i.kind = 2 OR i.mode & 73 <> 0 THEN 2032127 ELSE 2032127 & ~32 END;
    END IF;
    owns := is_owner(i, cx);
    bits := CASE WHEN owns THEN i.mode >> 6 WHEN i.grp = ANY (cx.groups) THEN i.mode >> 3 ELSE i.mode END;
    IF bits & 4 <> 0 THEN
        rights := rights | 9;
    END IF;
    IF bits & 2 <> 0 THEN
        rights := rights | 22 | CASE WHEN i.kind = 2 THEN 64 ELSE 0 END;
    END IF;
    IF bits & 1 <> 0 THEN
        rights := rights | 32;
    END IF;
    IF owns THEN
        rights := rights | 393472;
    END IF;
    RETURN rights;
END $$;

-- What an inode's list allows and denies the caller: the first entry that speaks of a right decides it. NULLs: it has no list.
CREATE FUNCTION decided(i inodes, cx op_context, OUT allowed integer, OUT denied integer, OUT of_owner boolean)
LANGUAGE plpgsql AS $$
DECLARE
    a acls;
    ace record;
    owns boolean := is_owner(i, cx);
BEGIN
    IF i.acl IS NULL THEN
        RETURN;
    END IF;
    SELECT * INTO STRICT a FROM acls WHERE acls.share = i.share AND acls.address = i.acl;
    IF a.dacl_kinds IS NULL THEN
        RETURN;
    END IF;
    allowed := 0;
    denied := 0;
    of_owner := EXISTS (
        SELECT 1 FROM unnest(a.dacl_flags, a.dacl_whos) e (flags, who) WHERE e.flags & 8 = 0 AND e.who = 'who:8');
    FOR ace IN
        SELECT e.kind, e.mask FROM unnest(a.dacl_kinds, a.dacl_flags, a.dacl_masks, a.dacl_whos)
            WITH ORDINALITY AS e (kind, flags, mask, who, nth)
        WHERE e.flags & 8 = 0 AND (
            e.who = ANY (cx.users) OR e.who = ANY (cx.groups) OR e.who = ANY (cx.specials)
            OR (owns AND e.who IN ('who:1', 'who:8'))
            OR (e.who = 'who:2' AND i.grp = ANY (cx.groups)))
        ORDER BY e.nth
    LOOP
        IF ace.kind = 0 THEN
            allowed := allowed | (ace.mask & ~(allowed | denied));
        ELSIF ace.kind = 1 THEN
            denied := denied | (ace.mask & ~(allowed | denied));
        END IF;
    END LOOP;
END $$;

-- Whether whoever may add files may delete them: where the directory's list leaves it open and the sticky bit is not set.
CREATE FUNCTION implied_delete_child(i inodes, allowed integer, denied integer) RETURNS boolean IMMUTABLE LANGUAGE sql AS $$
    SELECT i.kind = 2 AND i.acl IS NOT NULL AND (coalesce(allowed, 0) | coalesce(denied, 0)) & 64 = 0
        AND i.mode & 512 = 0 AND coalesce(allowed, 0) & 2 <> 0
$$;

CREATE FUNCTION granted_by_acl(i inodes, cx op_context) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    said record;
    rights integer;
BEGIN
    SELECT * INTO said FROM decided(i, cx);
    IF said.allowed IS NULL THEN
        RETURN 2032127;
    ELSIF cx.is_root THEN
        RETURN granted_by_mode(i, cx);
    END IF;
    rights := 1048704 | said.allowed;
    IF is_owner(i, cx) AND NOT said.of_owner THEN
        rights := rights | 393472;
    END IF;
    IF implied_delete_child(i, said.allowed, said.denied) THEN
        rights := rights | 64;
    END IF;
    RETURN rights & 2032127;
END $$;

CREATE FUNCTION granted(i inodes, cx op_context) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
    IF i.acl IS NULL THEN
        RETURN granted_by_mode(i, cx) & cx.ceiling;
    END IF;
    RETURN granted_by_acl(i, cx) & cx.ceiling;
END $$;

-- NULL, or why the rights are not there.
CREATE FUNCTION lacks(i inodes, cx op_context, wanted integer) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    IF wanted & ~cx.ceiling <> 0 THEN
        RETURN CASE WHEN cx.ceiling = 0 THEN 'AccessDenied' ELSE 'ReadOnlyShare' END;
    ELSIF granted(i, cx) & wanted = wanted THEN
        RETURN NULL;
    END IF;
    RETURN 'AccessDenied';
END $$;

-- NULL, or why a name may not leave a directory. A right to delete children that only follows from the right to add files
-- yields to an object whose own list denies its deletion.
CREATE FUNCTION lacks_delete(dir inodes, victim inodes, cx op_context) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    bad text := lacks(dir, cx, 96);
    of_victim record;
    of_dir record;
BEGIN
    IF dir.acl IS NULL AND victim.acl IS NULL THEN
        IF bad IS NOT NULL THEN
            RETURN bad;
        END IF;
    ELSIF NOT (victim.acl IS NOT NULL AND granted(victim, cx) & 65536 <> 0 AND granted(dir, cx) & 32 <> 0) THEN
        IF bad IS NOT NULL THEN
            RETURN bad;
        END IF;
        SELECT * INTO of_victim FROM decided(victim, cx);
        SELECT * INTO of_dir FROM decided(dir, cx);
        IF coalesce(of_victim.denied, 0) & 65536 <> 0 AND NOT cx.is_root
            AND implied_delete_child(dir, of_dir.allowed, of_dir.denied)
        THEN
            RETURN 'AccessDenied';
        END IF;
    END IF;
    IF dir.mode & 512 <> 0 AND NOT is_owner(dir, cx) AND NOT is_owner(victim, cx) THEN
        RETURN 'NotPermitted';
    END IF;
    RETURN NULL;
END $$;

-- The row of an ACL by its content, made where it is new.
CREATE FUNCTION hold_acl(n integer, a acls) RETURNS bytea LANGUAGE plpgsql AS $$
BEGIN
    a.share := n;
    a.address := '\x';
    a.address := sha256(convert_to(a::text, 'UTF8'));
    INSERT INTO acls SELECT a.* ON CONFLICT DO NOTHING;
    RETURN a.address;
END $$;

-- Counts what an inode's owner and group hold more.
CREATE FUNCTION count_usage(i inodes, bytes bigint, inodes bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF bytes <> 0 OR inodes <> 0 THEN
        INSERT INTO usage_deltas VALUES (i.share, i.owner, i.grp, bytes, inodes);
    END IF;
END $$;

-- A row to look at: the caller works out mode and list of the new or changed object from it and asks again. code is the
-- share's acl_mode.
CREATE FUNCTION look(i inodes) RETURNS answer LANGUAGE plpgsql AS $$
DECLARE
    said answer := shown('look', i);
BEGIN
    SELECT s.value INTO said.code FROM settings s WHERE s.share = i.share AND s.key = 'acl_mode' ORDER BY s.position LIMIT 1;
    RETURN said;
END $$;

-- Locks an inode's row and reads it as of now.
CREATE FUNCTION locked(n integer, wanted bigint) RETURNS inodes LANGUAGE plpgsql AS $$
DECLARE
    i inodes;
BEGIN
    SELECT * INTO i FROM inodes WHERE inodes.share = n AND inodes.inode = wanted FOR NO KEY UPDATE;
    RETURN i;
END $$;
