-- Clones of files (the twin of ops/clone.rs).

-- The file whose extents a clone takes.
CREATE FUNCTION clone_source(n integer, of_inode bigint) RETURNS inodes STABLE LANGUAGE sql AS $$
    SELECT i FROM inodes i WHERE i.share = n AND i.inode = of_inode
$$;

-- Runs of a clone's source that touch [lo, hi).
CREATE FUNCTION clone_runs(n integer, of_inode bigint, lo bigint, hi bigint) RETURNS SETOF extents STABLE LANGUAGE sql AS $$
    SELECT e.* FROM extents e WHERE e.share = n AND e.inode = of_inode AND e.start < hi AND e.start + e.len > lo
        AND e.start >= coalesce((
            SELECT max(y.start) FROM extents y WHERE y.share = n AND y.inode = of_inode AND y.start <= lo), 0)
$$;

-- The part of a run within [lo, hi), moved to another file and place.
CREATE FUNCTION moved_run(x extents, lo bigint, hi bigint, to_inode bigint, by bigint, to_seq bigint, to_born bigint) RETURNS extents
IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
    x := sliced(x, lo, hi);
    x.inode := to_inode;
    x.start := x.start + by;
    x.seq := to_seq;
    x.born := to_born;
    RETURN x;
END $$;

-- Gives a file the extents of another. in_len is NULL for all of the source. drained_from, drained_to: flushed_seq that the rows
-- must have, NULL for any.
CREATE FUNCTION op_clone(
    cx op_context, in_from bigint, in_to bigint, from_offset bigint, to_offset bigint, in_len bigint,
    drained_from bigint, drained_to bigint, clear_suid boolean, valid boolean
) RETURNS SETOF answer LANGUAGE plpgsql AS $$
DECLARE
    e record;
    bad text;
    src inodes;
    dst inodes;
    was inodes;
    hi bigint;
    gained bigint;
    runs extents[];
BEGIN
    SELECT * INTO e FROM enter(cx);
    IF e.n IS NULL THEN
        RETURN NEXT e.bad;
        RETURN;
    END IF;
    PERFORM 1 FROM inodes i WHERE i.share = e.n AND i.inode IN (in_from, in_to) ORDER BY i.inode FOR NO KEY UPDATE;
    src := clone_source(e.n, in_from);
    SELECT * INTO dst FROM inodes i WHERE i.share = e.n AND i.inode = in_to;
    bad := CASE
        WHEN NOT valid THEN 'InvalidArgument'
        WHEN in_len IS NOT NULL AND (from_offset % b.block_size <> 0 OR to_offset % b.block_size <> 0) THEN 'InvalidArgument'
        WHEN src.inode IS NULL OR dst.inode IS NULL THEN 'StaleHandle'
        WHEN cx.ceiling & 2 = 0 THEN 'ReadOnlyShare'
        WHEN src.kind <> 1 OR dst.kind <> 1 THEN 'InvalidArgument'
        WHEN dst.flags & 4 <> 0 THEN 'NotPermitted'
        WHEN src.flushed_seq <> drained_from OR dst.flushed_seq <> drained_to THEN 'Raced'
        WHEN from_offset + in_len > src.size THEN 'InvalidArgument' END
        FROM shares b WHERE b.number = e.n;
    IF bad IS NOT NULL THEN
        RETURN NEXT refused(bad);
        RETURN;
    END IF;
    was := dst;
    hi := coalesce(from_offset + in_len, src.size);
    runs := ARRAY(
        SELECT moved_run(x, from_offset, hi, in_to, to_offset - from_offset, cx.born_seq, cx.change)
        FROM clone_runs(e.n, in_from, from_offset, hi) x);
    -- Held against a burial, which does not see what is not committed yet.
    PERFORM 1 FROM packs pk WHERE pk.share = e.n AND pk.pack IN (SELECT r.pack FROM unnest(runs) r) ORDER BY pk.pack FOR SHARE;
    IF EXISTS (SELECT 1 FROM unnest(runs) r LEFT JOIN packs pk ON pk.share = e.n AND pk.pack = r.pack WHERE pk.state IS DISTINCT FROM 2) THEN
        RETURN NEXT refused('Raced');
        RETURN;
    END IF;
    gained := -cleared(e.n, in_to, to_offset, CASE WHEN in_len IS NULL THEN 9223372036854775807 ELSE to_offset + in_len END);
    INSERT INTO extents SELECT r.* FROM unnest(runs) r;
    INSERT INTO pack_deltas SELECT e.n, r.pack, sum(r.stored) FROM unnest(runs) r GROUP BY r.pack;
    gained := gained + coalesce((SELECT sum(r.len) FROM unnest(runs) r), 0);
    dst := touched(dst, cx);
    dst.allocated := dst.allocated + gained;
    dst.flushed_seq := cx.born_seq;
    dst.verifier := NULL;
    dst.dos := dst.dos | 32;
    IF clear_suid THEN
        dst.mode := without_set_id(dst.mode);
    END IF;
    IF in_len IS NULL THEN
        dst.size := src.size;
        dst.mtime := src.mtime;
        dst.mtime_ns := src.mtime_ns;
    ELSE
        dst.size := greatest(dst.size, to_offset + in_len);
        dst.mtime := dst.ctime;
        dst.mtime_ns := dst.ctime_ns;
    END IF;
    UPDATE inodes i SET size = dst.size, allocated = dst.allocated, flushed_seq = dst.flushed_seq, verifier = NULL, dos = dst.dos,
        mode = dst.mode, mtime = dst.mtime, mtime_ns = dst.mtime_ns, ctime = dst.ctime, ctime_ns = dst.ctime_ns, change = dst.change
        WHERE i.share = e.n AND i.inode = in_to;
    PERFORM count_usage(dst, gained, 0);
    PERFORM remember(e.n, cx, 5, in_to, was);
    RETURN NEXT shown('from', src, NULL, hi - from_offset);
    RETURN NEXT shown('inode was', was);
    RETURN NEXT shown('inode', dst);
END $$;
