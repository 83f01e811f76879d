-- Operations on file maps and packs.

-- The part of a run within [lo, hi), with the blocks that it needs; a row of NULLs where they share no byte.
CREATE FUNCTION sliced(x extents, lo bigint, hi bigint) RETURNS extents IMMUTABLE LANGUAGE plpgsql AS $$
DECLARE
    at bigint := x.start - x.skip;
    first integer;
    last integer;
BEGIN
    lo := greatest(lo, x.start);
    hi := least(hi, x.start + x.len);
    IF lo >= hi THEN
        RETURN NULL;
    END IF;
    FOR k IN 1..array_length(x.decoded_lens, 1) LOOP
        IF first IS NULL AND at + x.decoded_lens[k] > lo THEN
            first := k;
            x.skip := lo - at;
        ELSIF first IS NULL THEN
            x.pack_offset := x.pack_offset + x.stored_lens[k];
        END IF;
        last := k;
        at := at + x.decoded_lens[k];
        EXIT WHEN at >= hi;
    END LOOP;
    x.start := lo;
    x.len := hi - lo;
    x.first_block := x.first_block + first - 1;
    x.stored_lens := x.stored_lens[first:last];
    x.decoded_lens := x.decoded_lens[first:last];
    x.compressions := x.compressions[first:last];
    x.hashes := x.hashes[first:last];
    SELECT sum(s) INTO x.stored FROM unnest(x.stored_lens) s;
    RETURN x;
END $$;

-- Takes [lo, hi) out of a file's map; answers how many bytes of data that took.
CREATE FUNCTION cleared(n integer, of_inode bigint, lo bigint, hi bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    x extents;
    before extents;
    behind extents;
    lost bigint := 0;
BEGIN
    IF lo >= hi THEN
        RETURN 0;
    END IF;
    FOR x IN
        SELECT e.* FROM extents e
        WHERE e.share = n AND e.inode = of_inode AND e.start < hi AND e.start + e.len > lo
            AND e.start >= coalesce((
                SELECT max(y.start) FROM extents y WHERE y.share = n AND y.inode = of_inode AND y.start <= lo), 0)
        ORDER BY e.start
    LOOP
        DELETE FROM extents e WHERE e.share = n AND e.inode = of_inode AND e.start = x.start;
        before := sliced(x, 0, lo);
        behind := sliced(x, hi, 9223372036854775807);
        IF before.share IS NOT NULL THEN
            INSERT INTO extents SELECT before.*;
        END IF;
        IF behind.share IS NOT NULL THEN
            INSERT INTO extents SELECT behind.*;
        END IF;
        INSERT INTO pack_deltas VALUES (n, x.pack, coalesce(before.stored, 0) + coalesce(behind.stored, 0) - x.stored);
        lost := lost + x.len - coalesce(before.len, 0) - coalesce(behind.len, 0);
    END LOOP;
    RETURN lost;
END $$;

-- Makes dirty state clean. The p_ arrays have one element per part, the z_ per zero range, the x_ per run and the b_ per block;
-- parts and blocks are counted from 1. All runs lie in in_packs. Answers one row per part: number is the part, what is 'placed',
-- 'late' (the row's flushed_seq was not from) or 'absent'. Parts of one inode are placed in their order, one turn each.
CREATE FUNCTION op_place(
    in_share uuid, in_epoch integer, in_packs uuid[],
    p_inode bigint[], p_from bigint[], p_to bigint[], p_low bigint[], p_size bigint[],
    p_atime bigint[], p_atime_ns integer[], p_mtime bigint[], p_mtime_ns integer[], p_ctime bigint[], p_ctime_ns integer[],
    p_change bigint[], p_clear bigint[], p_archive bigint[],
    z_part integer[], z_start bigint[], z_end bigint[],
    x_part integer[], x_start bigint[], x_len bigint[], x_pack uuid[], x_pack_offset bigint[], x_stored bigint[],
    x_seq bigint[], x_born bigint[], x_first_block integer[], x_skip integer[], x_tail bytea[], x_block integer[], x_blocks integer[],
    b_stored integer[], b_decoded integer[], b_compression smallint[], b_hash bigint[]
) RETURNS SETOF answer LANGUAGE plpgsql AS $$
DECLARE
    e record;
    turns integer[];
    good integer[];
    change_of_bytes bigint[] := array_fill(0::bigint, ARRAY[coalesce(array_length(p_inode, 1), 0)]);
    k integer;
BEGIN
    SELECT * INTO e FROM fence(in_share, in_epoch);
    IF e.n IS NULL THEN
        RETURN NEXT e.bad;
        RETURN;
    END IF;
    PERFORM 1 FROM inodes i WHERE i.share = e.n AND i.inode = ANY (p_inode) ORDER BY i.inode FOR NO KEY UPDATE;
    PERFORM 1 FROM packs pk WHERE pk.share = e.n AND pk.pack = ANY (in_packs) ORDER BY pk.pack FOR NO KEY UPDATE;
    IF (SELECT count(*) FROM packs pk WHERE pk.share = e.n AND pk.pack = ANY (in_packs) AND pk.state = 1)
        <> (SELECT count(DISTINCT u) FROM unnest(in_packs) u)
    THEN
        RETURN NEXT refused('Internal');
        RETURN;
    ELSIF EXISTS (SELECT 1 FROM inodes i WHERE i.share = e.n AND i.inode = ANY (p_inode) AND i.kind <> 1) THEN
        RETURN NEXT refused('InvalidArgument');
        RETURN;
    END IF;
    UPDATE packs pk SET state = 2 WHERE pk.share = e.n AND pk.pack = ANY (in_packs);
    SELECT array_agg(q.turn ORDER BY q.nth) INTO turns FROM (
        SELECT u.nth, row_number() OVER (PARTITION BY u.inode ORDER BY u.nth) AS turn
        FROM unnest(p_inode) WITH ORDINALITY u (inode, nth)) q;

    FOR this_turn IN 1..(SELECT coalesce(max(u), 0) FROM unnest(turns) u) LOOP
        good := ARRAY(
            SELECT u.nth FROM unnest(p_inode, p_from, turns) WITH ORDINALITY u (inode, seq, turn, nth)
            JOIN inodes i ON i.share = e.n AND i.inode = u.inode
            WHERE u.turn = this_turn AND i.flushed_seq = u.seq);
        RETURN QUERY
            SELECT CASE WHEN i.inode IS NULL THEN 'absent' ELSE 'late' END, NULL::text, u.nth,
                NULL::dentries, i, NULL::acls, NULL::replays
            FROM unnest(p_inode, turns) WITH ORDINALITY u (inode, turn, nth)
            LEFT JOIN inodes i ON i.share = e.n AND i.inode = u.inode
            WHERE u.turn = this_turn AND u.nth <> ALL (good);
        -- A file that was never placed has nothing to take out.
        FOR k IN
            SELECT g FROM unnest(good) g
            WHERE EXISTS (SELECT 1 FROM extents x WHERE x.share = e.n AND x.inode = p_inode[g])
        LOOP
            change_of_bytes[k] := change_of_bytes[k] - cleared(e.n, p_inode[k], p_low[k], 9223372036854775807)
                - coalesce((
                    SELECT sum(cleared(e.n, p_inode[k], z.lo, z.hi)) FROM unnest(z_part, z_start, z_end) z (part, lo, hi)
                    WHERE z.part = k), 0)
                - coalesce((
                    SELECT sum(cleared(e.n, p_inode[k], x.lo, x.lo + x.len)) FROM unnest(x_part, x_start, x_len) x (part, lo, len)
                    WHERE x.part = k), 0);
        END LOOP;
        INSERT INTO extents (share, inode, start, len, pack, pack_offset, stored, seq, born, first_block, skip, tail,
            stored_lens, decoded_lens, compressions, hashes)
            SELECT e.n, p_inode[x.part], x.start, x.len, x.pack, x.pack_offset, x.stored, x.seq, x.born, x.first_block, x.skip, x.tail,
                b_stored[x.block:x.block + x.blocks - 1], b_decoded[x.block:x.block + x.blocks - 1],
                b_compression[x.block:x.block + x.blocks - 1], b_hash[x.block:x.block + x.blocks - 1]
            FROM unnest(x_part, x_start, x_len, x_pack, x_pack_offset, x_stored, x_seq, x_born, x_first_block, x_skip, x_tail,
                x_block, x_blocks)
                AS x (part, start, len, pack, pack_offset, stored, seq, born, first_block, skip, tail, block, blocks)
            WHERE x.part = ANY (good);
        UPDATE packs pk SET live = pk.live + added.stored
            FROM (SELECT x.pack, sum(x.stored) AS stored FROM unnest(x_part, x_pack, x_stored) x (part, pack, stored)
                WHERE x.part = ANY (good) GROUP BY x.pack) added
            WHERE pk.share = e.n AND pk.pack = added.pack;
        FOR k IN SELECT DISTINCT x FROM unnest(x_part) x WHERE x = ANY (good) LOOP
            change_of_bytes[k] := change_of_bytes[k]
                + (SELECT sum(x.len) FROM unnest(x_part, x_len) x (part, len) WHERE x.part = k);
        END LOOP;
        UPDATE inodes i SET
            size = p_size[g], allocated = i.allocated + change_of_bytes[g], flushed_seq = p_to[g],
            atime = coalesce(p_atime[g], i.atime),
            atime_ns = CASE WHEN p_atime[g] IS NULL THEN i.atime_ns ELSE p_atime_ns[g] END,
            mtime = coalesce(p_mtime[g], i.mtime),
            mtime_ns = CASE WHEN p_mtime[g] IS NULL THEN i.mtime_ns ELSE p_mtime_ns[g] END,
            ctime = CASE WHEN (p_ctime[g], p_ctime_ns[g]) > (i.ctime, i.ctime_ns) THEN p_ctime[g] ELSE i.ctime END,
            ctime_ns = CASE WHEN (p_ctime[g], p_ctime_ns[g]) > (i.ctime, i.ctime_ns) THEN p_ctime_ns[g] ELSE i.ctime_ns END,
            change = greatest(i.change, p_change[g]),
            mode = CASE WHEN p_clear[g] > i.mode_change THEN without_set_id(i.mode) ELSE i.mode END,
            dos = CASE WHEN p_archive[g] > i.dos_change THEN i.dos | 32 ELSE i.dos END
            FROM unnest(good) g
            WHERE i.share = e.n AND i.inode = p_inode[g];
        INSERT INTO usage_deltas
            SELECT e.n, i.owner, i.grp, sum(change_of_bytes[g]), 0
            FROM unnest(good) g JOIN inodes i ON i.share = e.n AND i.inode = p_inode[g]
            WHERE change_of_bytes[g] <> 0 GROUP BY i.owner, i.grp;
        RETURN QUERY
            SELECT 'placed'::text, NULL::text, g::bigint, NULL::dentries, i, (shown('placed', i)).acl, NULL::replays
            FROM unnest(good) g JOIN inodes i ON i.share = e.n AND i.inode = p_inode[g];
    END LOOP;
END $$;

CREATE FUNCTION op_pack_begin(
    in_share uuid, in_epoch integer, in_pack uuid, in_len bigint, in_now bigint, in_now_ns integer
) RETURNS SETOF answer LANGUAGE plpgsql AS $$
DECLARE
    e record;
BEGIN
    SELECT * INTO e FROM fence(in_share, in_epoch);
    IF e.n IS NULL THEN
        RETURN NEXT e.bad;
        RETURN;
    END IF;
    INSERT INTO packs (share, state, pack, len, live, since, since_ns, epoch)
        VALUES (e.n, 1, in_pack, in_len, 0, in_now, in_now_ns, in_epoch) ON CONFLICT DO NOTHING;
    IF FOUND THEN
        RETURN NEXT ('done', NULL, NULL, NULL, NULL, NULL, NULL)::answer;
    ELSE
        RETURN NEXT refused('Exists');
    END IF;
END $$;

-- Buries packs where the rules allow; answers 'dead' rows with the position (from 1) of those that are dead now.
CREATE FUNCTION op_packs_bury(
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
            pk.state = 2 AND NOT EXISTS (SELECT 1 FROM extents x WHERE x.share = e.n AND x.pack = pk.pack)));
    RETURN QUERY
        SELECT 'dead'::text, NULL::text, u.nth, NULL::dentries, NULL::inodes, NULL::acls, NULL::replays
        FROM unnest(in_packs) WITH ORDINALITY u (pack, nth)
        JOIN packs pk ON pk.share = e.n AND pk.pack = u.pack WHERE pk.state = 3 ORDER BY u.nth;
END $$;

CREATE FUNCTION op_packs_forget(in_share uuid, in_epoch integer, in_packs uuid[]) RETURNS SETOF answer LANGUAGE plpgsql AS $$
DECLARE
    e record;
BEGIN
    SELECT * INTO e FROM fence(in_share, in_epoch);
    IF e.n IS NULL THEN
        RETURN NEXT e.bad;
        RETURN;
    END IF;
    DELETE FROM packs pk WHERE pk.share = e.n AND pk.pack = ANY (in_packs) AND pk.state = 3;
    RETURN NEXT ('done', NULL, NULL, NULL, NULL, NULL, NULL)::answer;
END $$;

-- Folds some deltas into their totals; answers how many there were. Several gateways may do it at once.
CREATE FUNCTION fold_deltas(at_most integer) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    folded bigint;
    more bigint;
BEGIN
    WITH gone AS (
        DELETE FROM usage_deltas WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM usage_deltas LIMIT at_most FOR UPDATE SKIP LOCKED)) RETURNING *
    ), sums AS (
        SELECT g.share, sum(g.bytes) AS bytes, sum(g.inodes) AS inodes, count(*) AS many FROM gone g GROUP BY g.share
    ), kept AS (
        UPDATE usage u SET bytes = u.bytes + s.bytes, inodes = u.inodes + s.inodes FROM sums s WHERE u.share = s.share
    ), held AS (
        INSERT INTO holdings
            SELECT g.share, b.side, b.who, sum(g.bytes), sum(g.inodes)
            FROM gone g CROSS JOIN LATERAL (VALUES (1, g.owner), (2, g.grp)) b (side, who)
            GROUP BY g.share, b.side, b.who ORDER BY g.share, b.side, b.who
            ON CONFLICT (share, side, who) DO UPDATE
            SET bytes = holdings.bytes + excluded.bytes, inodes = holdings.inodes + excluded.inodes
    )
    SELECT coalesce(sum(many), 0) INTO folded FROM sums;
    WITH gone AS (
        DELETE FROM pack_deltas WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM pack_deltas LIMIT at_most FOR UPDATE SKIP LOCKED)) RETURNING *
    ), sums AS (
        SELECT g.share, g.pack, sum(g.live) AS live, count(*) AS many FROM gone g GROUP BY g.share, g.pack
    ), kept AS (
        UPDATE packs pk SET live = pk.live + s.live FROM sums s WHERE pk.share = s.share AND pk.pack = s.pack
    )
    SELECT coalesce(sum(many), 0) INTO more FROM sums;
    RETURN folded + more;
END $$;
