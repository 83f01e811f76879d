-- Operations on names and attributes, each one call, one transaction: tests first, then changes, then the rows before and after.

CREATE FUNCTION exists_already(i_dir inodes, d dentries, kind integer, how integer, verifier bytea) RETURNS SETOF answer
LANGUAGE plpgsql AS $$
DECLARE
    i inodes;
BEGIN
    IF d.pending THEN
        RETURN NEXT refused('DeletePending');
        RETURN;
    END IF;
    SELECT * INTO STRICT i FROM inodes WHERE inodes.share = d.share AND inodes.inode = d.inode;
    IF how <> 1 AND kind = 1 AND i.kind = 1 AND (how = 0 OR i.verifier IS NOT DISTINCT FROM verifier) THEN
        RETURN NEXT shown('existed', i, d);
        RETURN NEXT shown('dir', i_dir);
        RETURN;
    END IF;
    RETURN NEXT refused('Exists');
END $$;

-- how: 0 unchecked, 1 guarded, 2 exclusive. bad_kind, bad_owner, bad_acl: what the caller found wrong with the request itself.
-- p.mode and p.acl are those of the new object, which the caller worked out for a directory with the list seen_acl and, where
-- there is one, for a new object of the group seen_group.
CREATE FUNCTION op_create(
    cx op_context, in_dir bigint, in_name bytea, in_fold bytea, in_kind integer, how integer, in_verifier bytea,
    in_target bytea, in_major integer, in_minor integer, seen_acl bytea, seen_group text,
    bad_kind text, bad_owner text, bad_acl text, p patch
) RETURNS SETOF answer LANGUAGE plpgsql AS $$
DECLARE
    e record;
    dir inodes;
    was inodes;
    i inodes;
    d dentries;
    bad text;
    inherited text;
    member boolean;
BEGIN
    SELECT * INTO e FROM enter(cx);
    IF e.n IS NULL THEN
        RETURN NEXT e.bad;
        RETURN;
    END IF;
    dir := locked(e.n, in_dir);
    bad := CASE WHEN dir.inode IS NULL THEN 'StaleHandle' WHEN dir.kind <> 2 THEN 'NotDirectory' ELSE lacks(dir, cx, 32) END;
    IF bad IS NULL THEN
        SELECT * INTO d FROM dentries t WHERE t.share = e.n AND t.dir = in_dir AND t.name = in_name;
        IF FOUND THEN
            RETURN QUERY SELECT * FROM exists_already(dir, d, in_kind, how, in_verifier);
            RETURN;
        END IF;
        inherited := CASE WHEN dir.mode & 1024 <> 0 THEN dir.grp ELSE cx.groups[1] END;
        i.owner := coalesce(p.owner, cx.users[1]);
        i.grp := coalesce(p.grp, inherited);
        member := i.grp = ANY (cx.groups);
        bad := coalesce(
            lacks(dir, cx, CASE WHEN in_kind = 2 THEN 4 ELSE 2 END),
            CASE WHEN dir.flags & 4 <> 0 THEN 'NotPermitted' WHEN dir.flags & 1 <> 0 THEN 'NotFound' END,
            bad_kind,
            CASE WHEN NOT cx.is_root AND (i.owner <> cx.users[1] OR (i.grp <> inherited AND NOT member)) THEN 'NotPermitted' END,
            bad_owner);
        IF bad IS NULL AND dir.acl IS NOT NULL AND (dir.acl, i.grp) IS DISTINCT FROM (seen_acl, seen_group) THEN
            RETURN NEXT look(dir);
            RETURN;
        END IF;
        bad := coalesce(bad,
            bad_acl,
            CASE WHEN in_kind = 2 AND dir.nlink >= 2147483647 THEN 'TooManyLinks' END,
            CASE WHEN dir.last_cookie = 9223372036854775807 THEN 'NoSpace' END);
        IF bad IS NULL AND dir.acl IS NULL AND seen_acl IS NOT NULL THEN
            RETURN NEXT look(dir);
            RETURN;
        END IF;
    END IF;
    IF bad IS NOT NULL THEN
        RETURN NEXT refused(bad);
        RETURN;
    END IF;

    was := dir;
    i.share := e.n;
    i.inode := nextval('inode_numbers');
    SELECT s.incarnation INTO STRICT i.generation FROM shares s WHERE s.number = e.n;
    i.kind := in_kind;
    i.mode := p.mode;
    IF in_kind = 2 AND dir.mode & 1024 <> 0 THEN
        i.mode := i.mode | 1024;
    ELSIF in_kind NOT IN (2, 3) AND NOT member AND NOT cx.is_root THEN
        i.mode := i.mode & ~1024;
    END IF;
    i.nlink := CASE WHEN in_kind = 2 THEN 2 ELSE 1 END;
    i.size := coalesce(length(in_target), 0);
    i.allocated := 0;
    i.atime := CASE WHEN p.atime_how = 1 THEN p.atime ELSE cx.now END;
    i.atime_ns := CASE WHEN p.atime_how = 1 THEN p.atime_ns ELSE cx.now_ns END;
    i.mtime := CASE WHEN p.mtime_how = 1 THEN p.mtime ELSE cx.now END;
    i.mtime_ns := CASE WHEN p.mtime_how = 1 THEN p.mtime_ns ELSE cx.now_ns END;
    i.btime := CASE WHEN p.btime_how = 1 THEN p.btime ELSE cx.now END;
    i.btime_ns := CASE WHEN p.btime_how = 1 THEN p.btime_ns ELSE cx.now_ns END;
    i.ctime := cx.now;
    i.ctime_ns := cx.now_ns;
    i.change := cx.change;
    i.born := cx.change;
    i.mode_change := cx.change;
    i.dos_change := cx.change;
    i.dos := coalesce(p.dos, CASE WHEN in_kind = 1 THEN 32 ELSE 0 END);
    i.verifier := CASE WHEN how = 2 THEN in_verifier END;
    i.parent := CASE WHEN in_kind = 2 THEN in_dir ELSE 0 END;
    i.flags := CASE WHEN p.dos IS NULL THEN 0 ELSE 128 END;
    i.target := in_target;
    i.major := in_major;
    i.minor := in_minor;
    i.flushed_seq := cx.born_seq;
    i.last_cookie := 0;
    IF p.has_acl THEN
        i.acl := hold_acl(e.n, p.acl);
        i.flags := i.flags | 32;
    END IF;
    INSERT INTO inodes SELECT i.*;

    dir := touched_entries(dir, cx);
    dir.last_cookie := greatest(dir.last_cookie, 15) + 1;
    IF in_kind = 2 THEN
        dir.nlink := dir.nlink + 1;
    END IF;
    PERFORM put_dir(dir);
    d := (e.n, in_kind, false, in_dir, i.inode, dir.last_cookie, cx.change, in_name, in_fold)::dentries;
    INSERT INTO dentries SELECT d.*;
    PERFORM count_usage(i, 0, 1);
    PERFORM remember(e.n, cx, 1, i.inode, was);
    RETURN NEXT shown('inode', i, d);
    RETURN NEXT shown('dir was', was);
    RETURN NEXT shown('dir', dir);
END $$;

-- Stores what operations on its entries change of a directory.
CREATE FUNCTION put_dir(dir inodes) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE inodes SET mtime = dir.mtime, mtime_ns = dir.mtime_ns, ctime = dir.ctime, ctime_ns = dir.ctime_ns,
        change = dir.change, nlink = dir.nlink, last_cookie = dir.last_cookie, parent = dir.parent
    WHERE inodes.share = dir.share AND inodes.inode = dir.inode;
END $$;

-- Stores what operations on its names change of an inode.
CREATE FUNCTION put_named(i inodes) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE inodes SET ctime = i.ctime, ctime_ns = i.ctime_ns, change = i.change, nlink = i.nlink, flags = i.flags,
        allocated = i.allocated, parent = i.parent
    WHERE inodes.share = i.share AND inodes.inode = i.inode;
END $$;

CREATE FUNCTION op_link(cx op_context, in_inode bigint, in_dir bigint, in_name bytea, in_fold bytea) RETURNS SETOF answer
LANGUAGE plpgsql AS $$
DECLARE
    e record;
    dir inodes;
    was inodes;
    i inodes;
    i_was inodes;
    d dentries;
    bad text;
BEGIN
    SELECT * INTO e FROM enter(cx);
    IF e.n IS NULL THEN
        RETURN NEXT e.bad;
        RETURN;
    END IF;
    dir := locked(e.n, in_dir);
    i := locked(e.n, in_inode);
    bad := CASE WHEN i.inode IS NULL OR dir.inode IS NULL THEN 'StaleHandle'
        WHEN dir.kind <> 2 THEN 'NotDirectory' ELSE lacks(dir, cx, 32) END;
    IF bad IS NULL THEN
        PERFORM 1 FROM dentries t WHERE t.share = e.n AND t.dir = in_dir AND t.name = in_name;
        bad := CASE WHEN FOUND THEN 'Exists' ELSE lacks(dir, cx, 2) END;
    END IF;
    bad := coalesce(bad, CASE
        WHEN i.kind = 2 OR dir.flags & 4 <> 0 OR i.flags & 4 <> 0 THEN 'NotPermitted'
        WHEN i.flags & 1 <> 0 OR dir.flags & 1 <> 0 THEN 'NotFound'
        WHEN i.flags & 2 <> 0 THEN 'DeletePending'
        WHEN i.nlink >= 2147483647 THEN 'TooManyLinks'
        WHEN dir.last_cookie = 9223372036854775807 THEN 'NoSpace' END);
    IF bad IS NOT NULL THEN
        RETURN NEXT refused(bad);
        RETURN;
    END IF;
    was := dir;
    i_was := i;
    i := touched(i, cx);
    i.nlink := i.nlink + 1;
    dir := touched_entries(dir, cx);
    dir.last_cookie := greatest(dir.last_cookie, 15) + 1;
    PERFORM put_named(i);
    PERFORM put_dir(dir);
    d := (e.n, i.kind, false, in_dir, in_inode, dir.last_cookie, cx.change, in_name, in_fold)::dentries;
    INSERT INTO dentries SELECT d.*;
    PERFORM remember(e.n, cx, 2, in_inode, was);
    RETURN NEXT shown('inode was', i_was);
    RETURN NEXT shown('inode', i, d);
    RETURN NEXT shown('dir was', was);
    RETURN NEXT shown('dir', dir);
END $$;

-- Takes the first so many extents of an inode away and answers their bytes.
CREATE FUNCTION free_extents(n integer, of_inode bigint, at_most bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    freed bigint;
BEGIN
    WITH gone AS (
        DELETE FROM extents x WHERE x.share = n AND x.inode = of_inode AND x.start IN (
            SELECT y.start FROM extents y WHERE y.share = n AND y.inode = of_inode ORDER BY y.start LIMIT at_most)
        RETURNING x.pack, x.stored, x.len
    ), told AS (
        INSERT INTO pack_deltas SELECT n, gone.pack, -sum(gone.stored) FROM gone GROUP BY gone.pack
    )
    SELECT coalesce(sum(gone.len), 0) INTO freed FROM gone;
    RETURN freed;
END $$;

-- Deletes all extended attributes of an inode that goes.
CREATE FUNCTION free_xattrs(i inodes) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF i.flags & 256 <> 0 THEN
        DELETE FROM xattrs x WHERE x.share = i.share AND x.inode = i.inode;
    END IF;
END $$;

-- Lowers an inode's link count after one of its names went; frees or orphans it with the last one. The answer's number is its
-- fate: 0 other names remain, 1 orphan, 2 gone.
CREATE FUNCTION unlinked(cx op_context, i inodes, keep boolean, what text) RETURNS answer LANGUAGE plpgsql AS $$
DECLARE
    fate integer := 0;
    many bigint := 0;
    said answer;
BEGIN
    i.nlink := CASE WHEN i.kind = 2 THEN 0 ELSE greatest(i.nlink - 1, 0) END;
    i := touched(i, cx);
    IF i.nlink > 0 THEN
        PERFORM put_named(i);
        RETURN shown(what, i, NULL, 0);
    END IF;
    IF NOT keep AND i.kind = 1 THEN
        SELECT count(*) INTO many FROM (SELECT 1 FROM extents x WHERE x.share = i.share AND x.inode = i.inode LIMIT 129) few;
    END IF;
    IF keep OR many > 128 THEN
        i.flags := i.flags | 1;
        PERFORM put_named(i);
        INSERT INTO orphans VALUES (i.share, i.inode);
        RETURN shown(what, i, NULL, 1);
    END IF;
    many := CASE WHEN many = 0 THEN 0 ELSE free_extents(i.share, i.inode, 129) END;
    i.allocated := i.allocated - many;
    said := shown(what, i, NULL, 2);
    DELETE FROM inodes WHERE inodes.share = i.share AND inodes.inode = i.inode;
    PERFORM free_xattrs(i);
    PERFORM count_usage(i, -many, -1);
    RETURN said;
END $$;

-- in_kinds: 0 any, 1 all but directories, 2 directories.
CREATE FUNCTION op_remove(cx op_context, in_dir bigint, in_name bytea, in_kinds integer, expected bigint, keep boolean)
RETURNS SETOF answer LANGUAGE plpgsql AS $$
DECLARE
    e record;
    dir inodes;
    was inodes;
    i inodes;
    d dentries;
    bad text;
BEGIN
    SELECT * INTO e FROM enter(cx);
    IF e.n IS NULL THEN
        RETURN NEXT e.bad;
        RETURN;
    END IF;
    dir := locked(e.n, in_dir);
    bad := CASE WHEN dir.inode IS NULL THEN 'StaleHandle' WHEN dir.kind <> 2 THEN 'NotDirectory' ELSE lacks(dir, cx, 32) END;
    IF bad IS NULL THEN
        SELECT * INTO d FROM dentries t WHERE t.share = e.n AND t.dir = in_dir AND t.name = in_name;
        IF NOT FOUND THEN
            bad := 'NotFound';
        ELSIF expected <> d.inode THEN
            bad := 'Raced';
        ELSE
            i := locked(e.n, d.inode);
            bad := coalesce(lacks_delete(dir, i, cx), CASE
                WHEN dir.flags & 4 <> 0 OR i.flags & 4 <> 0 THEN 'NotPermitted'
                WHEN in_kinds = 1 AND i.kind = 2 THEN 'IsDirectory'
                WHEN in_kinds = 2 AND i.kind <> 2 THEN 'NotDirectory'
                WHEN i.kind = 2 AND EXISTS (SELECT 1 FROM dentries t WHERE t.share = e.n AND t.dir = i.inode) THEN 'NotEmpty' END);
        END IF;
    END IF;
    IF bad IS NOT NULL THEN
        RETURN NEXT refused(bad);
        RETURN;
    END IF;
    was := dir;
    DELETE FROM dentries t WHERE t.share = e.n AND t.dir = in_dir AND t.name = in_name;
    IF i.kind = 2 THEN
        dir.nlink := greatest(dir.nlink - 1, 0);
    END IF;
    dir := touched_entries(dir, cx);
    PERFORM put_dir(dir);
    PERFORM remember(e.n, cx, 3, i.inode, was);
    RETURN NEXT shown('inode was', i, d);
    RETURN NEXT unlinked(cx, i, keep, 'inode');
    RETURN NEXT shown('dir was', was);
    RETURN NEXT shown('dir', dir);
END $$;

-- NULL, or why a directory may not move below another: it is that one or above it.
CREATE FUNCTION forms_loop(moved inodes, to_dir inodes) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    here bigint := to_dir.inode;
    above bigint := to_dir.parent;
BEGIN
    FOR step IN 1..65536 LOOP
        IF here = moved.inode THEN
            RETURN 'InvalidArgument';
        ELSIF here = 1024 OR above = here THEN
            RETURN NULL;
        END IF;
        here := above;
        SELECT i.parent INTO above FROM inodes i WHERE i.share = moved.share AND i.inode = here;
        IF NOT FOUND THEN
            RETURN NULL;
        END IF;
    END LOOP;
    RAISE EXCEPTION 'the parents of directory % form a loop', to_dir.inode USING ERRCODE = 'data_corrupted';
END $$;

-- NULL, or why a name may not move; replaced is a row of NULLs where the new name is free.
CREATE FUNCTION lacks_rename(
    cx op_context, from_dir inodes, to_dir inodes, moved inodes, replaced inodes, pending boolean, how integer
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    crossed boolean := from_dir.inode <> to_dir.inode;
    bad text;
BEGIN
    bad := coalesce(
        lacks_delete(from_dir, moved, cx),
        lacks(to_dir, cx, CASE WHEN moved.kind = 2 THEN 4 ELSE 2 END));
    IF bad IS NULL AND replaced.inode IS NOT NULL THEN
        bad := coalesce(lacks_delete(to_dir, replaced, cx), CASE WHEN replaced.flags & 4 <> 0 THEN 'NotPermitted' END);
    END IF;
    IF bad IS NULL AND moved.kind = 2 AND crossed THEN
        bad := lacks(moved, cx, 4);
    END IF;
    RETURN coalesce(bad, CASE
        WHEN (moved.flags | from_dir.flags | to_dir.flags) & 4 <> 0 THEN 'NotPermitted'
        WHEN to_dir.flags & 1 <> 0 THEN 'NotFound'
        WHEN pending THEN 'DeletePending'
        WHEN replaced.kind = 2 AND how = 2 THEN 'AccessDenied'
        WHEN replaced.kind <> 2 AND moved.kind = 2 THEN 'NotDirectory'
        WHEN replaced.kind = 2 AND moved.kind <> 2 THEN 'IsDirectory'
        WHEN replaced.kind = 2 AND EXISTS (
            SELECT 1 FROM dentries t WHERE t.share = replaced.share AND t.dir = replaced.inode) THEN 'NotEmpty'
        WHEN moved.kind = 2 AND crossed AND to_dir.nlink >= 2147483647 THEN 'TooManyLinks'
        WHEN crossed AND to_dir.last_cookie = 9223372036854775807 THEN 'NoSpace' END);
END $$;

-- how: 0 never replace, 1 as POSIX, 2 as Windows. expect_target: NULL no matter, 0 no such name.
CREATE FUNCTION op_rename(
    cx op_context, in_from bigint, from_name bytea, in_to bigint, to_name bytea, to_fold bytea, how integer,
    expect_moved bigint, expect_target bigint, keep boolean
) RETURNS SETOF answer LANGUAGE plpgsql AS $$
DECLARE
    e record;
    crossed boolean := in_from <> in_to;
    alone boolean := false;
    f inodes;
    t inodes;
    f_was inodes;
    t_was inodes;
    moved inodes;
    moved_was inodes;
    victim inodes;
    d dentries;
    target dentries;
    bad text;
BEGIN
    SELECT * INTO e FROM enter(cx);
    IF e.n IS NULL THEN
        RETURN NEXT e.bad;
        RETURN;
    END IF;
    IF crossed THEN
        -- Directories change their parents one at a time, so that no two moves make a loop.
        SELECT x.kind = 2 INTO alone FROM dentries x WHERE x.share = e.n AND x.dir = in_from AND x.name = from_name;
        IF alone THEN
            PERFORM pg_advisory_xact_lock(hashtextextended(cx.share::text, 1));
        END IF;
    END IF;
    IF in_to < in_from THEN
        t := locked(e.n, in_to);
        f := locked(e.n, in_from);
    ELSE
        f := locked(e.n, in_from);
        t := CASE WHEN crossed THEN locked(e.n, in_to) ELSE f END;
    END IF;
    bad := CASE
        WHEN f.inode IS NULL THEN 'StaleHandle' WHEN f.kind <> 2 THEN 'NotDirectory'
        WHEN t.inode IS NULL THEN 'StaleHandle' WHEN t.kind <> 2 THEN 'NotDirectory'
        ELSE coalesce(lacks(f, cx, 32), lacks(t, cx, 32)) END;
    IF bad IS NULL THEN
        SELECT * INTO d FROM dentries x WHERE x.share = e.n AND x.dir = in_from AND x.name = from_name;
        SELECT * INTO target FROM dentries x WHERE x.share = e.n AND x.dir = in_to AND x.name = to_name;
        bad := CASE
            WHEN d.inode IS NULL THEN 'NotFound'
            WHEN expect_moved <> d.inode THEN 'Raced'
            WHEN expect_target <> coalesce(target.inode, 0) THEN 'Raced'
            WHEN how = 0 AND target.inode IS NOT NULL AND NOT (in_from = in_to AND from_name = to_name) THEN 'Exists' END;
    END IF;
    IF bad IS NOT NULL THEN
        RETURN NEXT refused(bad);
        RETURN;
    END IF;
    IF target.inode < d.inode THEN
        victim := locked(e.n, target.inode);
    END IF;
    moved := locked(e.n, d.inode);
    IF target.inode = d.inode THEN
        RETURN NEXT shown('same', moved, target);
        RETURN NEXT shown('from', f);
        RETURN NEXT shown('to', t);
        RETURN;
    ELSIF target.inode > d.inode THEN
        victim := locked(e.n, target.inode);
    END IF;
    IF moved.kind = 2 AND crossed THEN
        IF alone IS NOT TRUE THEN
            RAISE EXCEPTION 'the name became a directory' USING ERRCODE = 'serialization_failure';
        END IF;
        bad := forms_loop(moved, t);
    END IF;
    bad := coalesce(bad, lacks_rename(cx, f, t, moved, victim, target.pending, how));
    IF bad IS NOT NULL THEN
        RETURN NEXT refused(bad);
        RETURN;
    END IF;

    f_was := f;
    t_was := t;
    moved_was := moved;
    f := touched_entries(f, cx);
    t := CASE WHEN crossed THEN touched_entries(t, cx) ELSE f END;
    moved := touched(moved, cx);
    DELETE FROM dentries x WHERE x.share = e.n AND x.dir = in_to AND x.name = to_name;
    DELETE FROM dentries x WHERE x.share = e.n AND x.dir = in_from AND x.name = from_name;
    d.dir := in_to;
    d.name := to_name;
    d.fold := to_fold;
    IF crossed THEN
        t.last_cookie := greatest(t.last_cookie, 15) + 1;
        d.cookie := t.last_cookie;
        d.born := cx.change;
        IF moved.kind = 2 THEN
            moved.parent := in_to;
            f.nlink := greatest(f.nlink - 1, 0);
            t.nlink := t.nlink + 1;
        END IF;
    END IF;
    IF victim.kind = 2 THEN
        t.nlink := greatest(t.nlink - 1, 0);
    END IF;
    INSERT INTO dentries SELECT d.*;
    PERFORM put_named(moved);
    PERFORM put_dir(t);
    IF crossed THEN
        PERFORM put_dir(f);
    ELSE
        f := t;
    END IF;
    PERFORM remember(e.n, cx, 4, moved.inode, f_was, t_was);
    RETURN NEXT shown('moved was', moved_was);
    RETURN NEXT shown('moved', moved, d);
    RETURN NEXT shown('from was', f_was);
    RETURN NEXT shown('from', f);
    RETURN NEXT shown('to was', t_was);
    RETURN NEXT shown('to', t);
    IF victim.inode IS NOT NULL THEN
        RETURN NEXT shown('inode was', victim);
        RETURN NEXT unlinked(cx, victim, keep, 'inode');
    END IF;
END $$;

-- NULL, or why the caller may not change these attributes of an inode.
CREATE FUNCTION lacks_set_attr(cx op_context, i inodes, p patch) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    owns boolean := is_owner(i, cx);
    rights integer := granted(i, cx);
    takes boolean := cx.takes_ownership OR rights & 524288 <> 0;
    old acls;
BEGIN
    IF (p.mode IS NOT NULL OR p.has_acl) AND NOT owns AND rights & 262144 = 0 THEN
        RETURN 'NotPermitted';
    ELSIF NOT cx.is_root AND p.owner IS NOT NULL
        AND NOT ((owns AND p.owner = i.owner) OR (takes AND p.owner = ANY (cx.users)))
    THEN
        RETURN 'NotPermitted';
    ELSIF NOT cx.is_root AND p.grp IS NOT NULL
        AND NOT ((owns OR takes) AND (p.grp = i.grp OR p.grp = ANY (cx.groups)))
    THEN
        RETURN 'NotPermitted';
    END IF;
    IF p.has_acl AND NOT cx.may_audit THEN
        SELECT * INTO old FROM acls WHERE acls.share = i.share AND acls.address = i.acl;
        IF (old.sacl_kinds, old.sacl_flags, old.sacl_masks, old.sacl_whos) IS DISTINCT FROM
            ((p.acl).sacl_kinds, (p.acl).sacl_flags, (p.acl).sacl_masks, (p.acl).sacl_whos)
        THEN
            RETURN 'PrivilegeNotHeld';
        END IF;
    END IF;
    IF (p.dos IS NOT NULL OR p.btime_how <> 0) AND NOT owns AND rights & 256 = 0 THEN
        RETURN 'AccessDenied';
    ELSIF owns OR rights & 256 <> 0 OR (p.atime_how NOT IN (1, 2) AND p.mtime_how NOT IN (1, 2)) THEN
        RETURN NULL;
    ELSIF p.atime_how = 1 OR p.mtime_how = 1 THEN
        RETURN 'NotPermitted';
    END IF;
    RETURN lacks(i, cx, 2);
END $$;

-- Applies all of a patch but mode and list, which i has already.
CREATE FUNCTION patched(cx op_context, i inodes, p patch) RETURNS inodes LANGUAGE plpgsql AS $$
DECLARE
    chown boolean := p.owner IS NOT NULL OR p.grp IS NOT NULL;
    bits_set boolean := p.mode IS NOT NULL OR p.has_acl;
BEGIN
    i.owner := coalesce(p.owner, i.owner);
    i.grp := coalesce(p.grp, i.grp);
    IF chown AND i.kind <> 2 THEN
        i.mode := without_set_id(i.mode);
    END IF;
    IF bits_set AND NOT cx.is_root AND NOT i.grp = ANY (cx.groups) THEN
        i.mode := i.mode & ~1024;
    END IF;
    IF p.dos IS NOT NULL THEN
        i.dos := p.dos;
        i.flags := i.flags | 128;
        i.dos_change := cx.change;
    END IF;
    i.atime := CASE p.atime_how WHEN 1 THEN p.atime WHEN 2 THEN cx.now ELSE i.atime END;
    i.atime_ns := CASE p.atime_how WHEN 1 THEN p.atime_ns WHEN 2 THEN cx.now_ns ELSE i.atime_ns END;
    i.mtime := CASE p.mtime_how WHEN 1 THEN p.mtime WHEN 2 THEN cx.now ELSE i.mtime END;
    i.mtime_ns := CASE p.mtime_how WHEN 1 THEN p.mtime_ns WHEN 2 THEN cx.now_ns ELSE i.mtime_ns END;
    i.btime := CASE p.btime_how WHEN 1 THEN p.btime WHEN 2 THEN cx.now ELSE i.btime END;
    i.btime_ns := CASE p.btime_how WHEN 1 THEN p.btime_ns WHEN 2 THEN cx.now_ns ELSE i.btime_ns END;
    IF bits_set OR chown THEN
        i.mode_change := cx.change;
    END IF;
    i.verifier := NULL;
    RETURN touched(i, cx);
END $$;

-- guard: 0 none, 1 the ctime as NFSv3 shows it, 2 the change number. A mode for an inode with a list changes the list: the
-- caller works out both (p.mode whole, p.acl) for the row that it saw, by its list and mode; else it is shown the row.
-- trivial_file, trivial_dir: a list that was asked for says no more than its mode, acl_bits, on a file or a directory.
CREATE FUNCTION op_set_attr(
    cx op_context, in_inode bigint, guard integer, guard_number bigint, guard_ns integer,
    bad_size text, bad_owner text, bad_dos text, bad_acl text,
    seen_acl bytea, seen_mode integer, worked_out integer, worked_out_acl boolean,
    acl_bits integer, trivial_file boolean, trivial_dir boolean, p patch
) RETURNS SETOF answer LANGUAGE plpgsql AS $$
DECLARE
    e record;
    i inodes;
    was inodes;
    bad text;
    mask integer := CASE WHEN p.mode IS NULL THEN 0 ELSE coalesce(p.mode_mask, 4095) & 4095 END;
BEGIN
    SELECT * INTO e FROM enter(cx);
    IF e.n IS NULL THEN
        RETURN NEXT e.bad;
        RETURN;
    END IF;
    i := locked(e.n, in_inode);
    bad := coalesce(
        CASE WHEN i.inode IS NULL THEN 'StaleHandle'
            WHEN guard = 1 AND (least(greatest(i.ctime, 0), 4294967295) <> guard_number OR i.ctime_ns <> guard_ns)
                OR guard = 2 AND i.change <> guard_number THEN 'GuardMismatch' END,
        bad_size,
        CASE WHEN i.kind = 1 AND (p.atime_how <> 0 OR p.mtime_how <> 0) THEN 'InvalidArgument' END,
        bad_owner,
        bad_dos);
    IF bad IS NULL AND p.mode IS NULL AND p.owner IS NULL AND p.grp IS NULL AND p.dos IS NULL AND NOT p.has_acl
        AND p.atime_how IN (0, 3) AND p.mtime_how IN (0, 3) AND p.btime_how IN (0, 3)
    THEN
        RETURN NEXT shown('inode', i);
        RETURN;
    END IF;
    bad := coalesce(bad,
        CASE WHEN cx.ceiling = 0 THEN 'AccessDenied' WHEN cx.ceiling & 2 = 0 THEN 'ReadOnlyShare'
            WHEN i.flags & 4 <> 0 THEN 'NotPermitted' END,
        lacks_set_attr(cx, i, p),
        bad_acl);
    IF bad IS NOT NULL THEN
        RETURN NEXT refused(bad);
        RETURN;
    END IF;
    was := i;
    IF NOT p.has_acl AND i.acl IS NOT NULL AND mask & 511 <> 0 THEN
        IF (i.acl, i.mode) IS DISTINCT FROM (seen_acl, seen_mode) THEN
            RETURN NEXT look(i);
            RETURN;
        END IF;
        i.mode := worked_out;
        i.acl := CASE WHEN worked_out_acl THEN hold_acl(e.n, p.acl) END;
    ELSE
        i.mode := (i.mode & ~mask) | (coalesce(p.mode, 0) & mask);
        IF p.has_acl THEN
            i.mode := (i.mode & ~511) | acl_bits;
            i.acl := CASE WHEN CASE WHEN i.kind = 2 THEN trivial_dir ELSE trivial_file END THEN NULL ELSE hold_acl(e.n, p.acl) END;
        END IF;
    END IF;
    IF i.acl IS DISTINCT FROM was.acl THEN
        i.flags := (i.flags & ~32) | CASE WHEN i.acl IS NULL THEN 0 ELSE 32 END;
    END IF;
    i := patched(cx, i, p);
    UPDATE inodes SET mode = i.mode, owner = i.owner, grp = i.grp, dos = i.dos, flags = i.flags, acl = i.acl,
        atime = i.atime, atime_ns = i.atime_ns, mtime = i.mtime, mtime_ns = i.mtime_ns, btime = i.btime, btime_ns = i.btime_ns,
        ctime = i.ctime, ctime_ns = i.ctime_ns, change = i.change, mode_change = i.mode_change, dos_change = i.dos_change,
        verifier = NULL
    WHERE inodes.share = e.n AND inodes.inode = in_inode;
    IF (i.owner, i.grp) <> (was.owner, was.grp) THEN
        PERFORM count_usage(was, -was.allocated, -1);
        PERFORM count_usage(i, i.allocated, 1);
    END IF;
    PERFORM remember(e.n, cx, 5, in_inode, was);
    RETURN NEXT shown('inode was', was);
    RETURN NEXT shown('inode', i);
END $$;

-- Replaces an inode's extended attributes by what the caller worked out for the change number that it saw; else it is shown
-- the row. bad: why what was asked for cannot be.
CREATE FUNCTION op_xattr_set(
    cx op_context, in_inode bigint, seen_change bigint, bad_change text, ended bytea[], names bytea[], vals bytea[], some_left boolean
) RETURNS SETOF answer LANGUAGE plpgsql AS $$
DECLARE
    e record;
    i inodes;
    was inodes;
    bad text;
BEGIN
    SELECT * INTO e FROM enter(cx);
    IF e.n IS NULL THEN
        RETURN NEXT e.bad;
        RETURN;
    END IF;
    i := locked(e.n, in_inode);
    bad := CASE WHEN i.inode IS NULL THEN 'StaleHandle' WHEN i.kind NOT IN (1, 2) THEN 'NotPermitted' ELSE lacks(i, cx, 16) END;
    bad := coalesce(bad, CASE WHEN i.flags & 4 <> 0 THEN 'NotPermitted' END);
    IF bad IS NULL AND i.change IS DISTINCT FROM seen_change THEN
        RETURN NEXT look(i);
        RETURN;
    END IF;
    bad := coalesce(bad, bad_change);
    IF bad IS NOT NULL THEN
        RETURN NEXT refused(bad);
        RETURN;
    END IF;
    DELETE FROM xattrs x WHERE x.share = e.n AND x.inode = in_inode AND x.name = ANY (ended);
    INSERT INTO xattrs SELECT e.n, in_inode, u.name, u.value FROM unnest(names, vals) u (name, value)
        ON CONFLICT (share, inode, name) DO UPDATE SET value = excluded.value;
    was := i;
    i.flags := (i.flags & ~256) | CASE WHEN some_left THEN 256 ELSE 0 END;
    i := touched(i, cx);
    PERFORM put_named(i);
    PERFORM remember(e.n, cx, 5, in_inode, was);
    RETURN NEXT shown('inode was', was);
    RETURN NEXT shown('inode', i);
END $$;

-- Frees an orphan with bounded work. code 'done' with number 1: nothing of it is left.
CREATE FUNCTION op_reap(in_share uuid, in_epoch integer, in_inode bigint) RETURNS SETOF answer LANGUAGE plpgsql AS $$
DECLARE
    e record;
    i inodes;
    freed bigint;
    done boolean;
BEGIN
    SELECT * INTO e FROM fence(in_share, in_epoch);
    IF e.n IS NULL THEN
        RETURN NEXT e.bad;
        RETURN;
    END IF;
    i := locked(e.n, in_inode);
    IF i.inode IS NOT NULL AND i.flags & 1 = 0 THEN
        RETURN NEXT refused('InvalidArgument');
        RETURN;
    END IF;
    done := true;
    IF i.inode IS NOT NULL THEN
        freed := free_extents(e.n, in_inode, 2048);
        done := NOT EXISTS (SELECT 1 FROM extents x WHERE x.share = e.n AND x.inode = in_inode);
        IF done THEN
            DELETE FROM inodes WHERE inodes.share = e.n AND inodes.inode = in_inode;
            DELETE FROM orphans o WHERE o.share = e.n AND o.inode = in_inode;
            PERFORM free_xattrs(i);
        ELSE
            UPDATE inodes SET allocated = allocated - freed WHERE inodes.share = e.n AND inodes.inode = in_inode;
        END IF;
        PERFORM count_usage(i, -freed, CASE WHEN done THEN -1 ELSE 0 END);
    END IF;
    RETURN NEXT ('done', NULL, done::integer, NULL, NULL, NULL, NULL)::answer;
END $$;
