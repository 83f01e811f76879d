-- Shares, their owners, journal ends, state of clients, housekeeping.

CREATE FUNCTION op_create_share(
    in_share uuid, in_name text, in_incarnation integer, in_fsid bigint, in_handle_key bytea, in_fold_version integer,
    in_block_size integer, in_created bigint, in_created_ns integer, keys text[], vals text[],
    root_mode integer, root_owner text, root_group text
) RETURNS SETOF answer LANGUAGE plpgsql AS $$
DECLARE
    n integer;
BEGIN
    INSERT INTO shares (share, name, incarnation, fsid, handle_key, fold_version, block_size, created, created_ns)
        VALUES (in_share, in_name, in_incarnation, in_fsid, in_handle_key, in_fold_version, in_block_size, in_created, in_created_ns)
        ON CONFLICT DO NOTHING RETURNING number INTO n;
    IF n IS NULL THEN
        RETURN NEXT refused('Exists');
        RETURN;
    END IF;
    INSERT INTO settings SELECT n, u.nth, u.key, u.value FROM unnest(keys, vals) WITH ORDINALITY u (key, value, nth);
    INSERT INTO ownership (share) VALUES (n);
    INSERT INTO usage (share) VALUES (n);
    INSERT INTO usage_deltas VALUES (n, root_owner, root_group, 0, 1);
    INSERT INTO inodes (share, kind, inode, size, allocated, atime, mtime, ctime, btime, change, born, parent, flushed_seq,
        mode_change, dos_change, last_cookie, atime_ns, mtime_ns, ctime_ns, btime_ns, mode, nlink, flags, dos, generation,
        major, minor, owner, grp)
        VALUES (n, 2, 1024, 0, 0, in_created, in_created, in_created, in_created, 0, 0, 1024, 0,
        0, 0, 0, in_created_ns, in_created_ns, in_created_ns, in_created_ns, root_mode, 2, 0, 0, in_incarnation,
        0, 0, root_owner, root_group);
    RETURN NEXT ('done', NULL, n, NULL, NULL, NULL, NULL)::answer;
END $$;

CREATE FUNCTION op_set_settings(in_share uuid, keys text[], vals text[]) RETURNS SETOF answer LANGUAGE plpgsql AS $$
DECLARE
    n integer;
BEGIN
    SELECT s.number INTO n FROM shares s WHERE s.share = in_share FOR UPDATE;
    IF n IS NULL THEN
        RETURN NEXT ('no share', NULL, NULL, NULL, NULL, NULL, NULL)::answer;
        RETURN;
    END IF;
    DELETE FROM settings t WHERE t.share = n;
    INSERT INTO settings SELECT n, u.nth, u.key, u.value FROM unnest(keys, vals) WITH ORDINALITY u (key, value, nth);
    RETURN NEXT ('done', NULL, n, NULL, NULL, NULL, NULL)::answer;
END $$;

-- Takes a share out of the store; its rows are deleted by delete_some afterwards.
CREATE FUNCTION op_delete_share(in_share uuid) RETURNS SETOF answer LANGUAGE plpgsql AS $$
DECLARE
    n integer;
BEGIN
    PERFORM pg_advisory_xact_lock(lock_of(in_share));
    DELETE FROM shares s WHERE s.share = in_share RETURNING s.number INTO n;
    IF n IS NULL THEN
        RETURN NEXT ('no share', NULL, NULL, NULL, NULL, NULL, NULL)::answer;
        RETURN;
    END IF;
    INSERT INTO doomed VALUES (n);
    PERFORM pg_notify('dfs_changes', 'share ' || in_share || ' -');
    RETURN NEXT ('done', NULL, n, NULL, NULL, NULL, NULL)::answer;
END $$;

-- Deletes rows of one deleted share; answers whether there may be more to do.
CREATE FUNCTION delete_some(at_most integer) RETURNS boolean LANGUAGE plpgsql AS $$
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
    FOREACH hot IN ARRAY ARRAY['inodes', 'dentries', 'acls', 'orphans', 'extents', 'packs', 'pack_deltas', 'usage_deltas', 'holdings', 'quotas', 'xattrs', 'replays', 'client_state']
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

-- Takes the next epoch for a gateway. Refused ('owned') while another holds the share, unless the caller has watched it for a
-- whole lease without a renewal: then it names the epoch and renewals that it saw, which must still be those. Without take_over, a share whose newest journal
-- another gateway has is left to it ('stranded').
CREATE FUNCTION op_take(
    in_share uuid, in_holder text, in_lease_ms bigint, seen_epoch integer, seen_renewals bigint, take_over boolean)
RETURNS TABLE (what text, epoch integer, holder text, renewals bigint, lease_ms bigint) LANGUAGE plpgsql AS $$
DECLARE
    n integer;
    o ownership;
BEGIN
    PERFORM pg_advisory_xact_lock(lock_of(in_share));
    SELECT s.number INTO n FROM shares s WHERE s.share = in_share;
    IF n IS NULL THEN
        RETURN QUERY SELECT 'no share'::text, 0, NULL::text, 0::bigint, 0::bigint;
        RETURN;
    END IF;
    SELECT * INTO o FROM ownership w WHERE w.share = n FOR UPDATE;
    IF o.holder <> in_holder AND (o.epoch, o.renewals) IS DISTINCT FROM (seen_epoch, seen_renewals) THEN
        RETURN QUERY SELECT 'owned'::text, o.epoch, o.holder, o.renewals, o.lease_ms;
        RETURN;
    ELSIF NOT take_over AND o.journal_of <> in_holder THEN
        RETURN QUERY SELECT 'stranded'::text, o.epoch, o.journal_of, o.renewals, o.lease_ms;
        RETURN;
    ELSIF o.epoch >= 8388607 THEN
        RETURN QUERY SELECT 'used up'::text, o.epoch, o.holder, o.renewals, o.lease_ms;
        RETURN;
    END IF;
    UPDATE ownership w SET epoch = w.epoch + 1, holder = in_holder, journal_of = in_holder, renewals = w.renewals + 1, lease_ms = in_lease_ms,
        taken_at = clock_timestamp(), renewed_at = clock_timestamp()
        WHERE w.share = n;
    PERFORM pg_notify('dfs_changes', 'share ' || in_share || ' ' || in_holder);
    RETURN QUERY SELECT 'taken'::text, o.epoch + 1, in_holder, o.renewals + 1, in_lease_ms;
END $$;

-- Renews leases; answers the shares that the gateway still owns in that epoch.
CREATE FUNCTION op_renew(in_holder text, in_shares uuid[], in_epochs integer[]) RETURNS SETOF uuid LANGUAGE sql AS $$
    UPDATE ownership o SET renewals = o.renewals + 1, renewed_at = clock_timestamp()
    FROM unnest(in_shares, in_epochs) u (share, epoch) JOIN shares s ON s.share = u.share
    WHERE o.share = s.number AND o.epoch = u.epoch AND o.holder = in_holder
    RETURNING u.share
$$;

CREATE FUNCTION op_release(in_holder text, in_share uuid, in_epoch integer) RETURNS boolean LANGUAGE sql AS $$
    WITH given AS (
        UPDATE ownership o SET holder = NULL FROM shares s
        WHERE s.share = in_share AND o.share = s.number AND o.epoch = in_epoch AND o.holder = in_holder RETURNING 1
    )
    SELECT EXISTS (SELECT 1 FROM given)
$$;

-- Lowers the ends of all older epochs to what the caller holds; answers 'end' rows: code is the epoch, number its end.
CREATE FUNCTION op_write_ends(in_share uuid, in_epoch integer, held_epochs integer[], held_ns bigint[]) RETURNS SETOF answer
LANGUAGE plpgsql AS $$
DECLARE
    e record;
    below integer;
    r record;
BEGIN
    SELECT * INTO e FROM fence(in_share, in_epoch);
    IF e.n IS NULL THEN
        RETURN NEXT e.bad;
        RETURN;
    END IF;
    SELECT o.ends_below INTO below FROM ownership o WHERE o.share = e.n FOR UPDATE;
    FOR r IN
        SELECT q.epoch, least(
            coalesce(t.n, CASE WHEN q.epoch < below THEN 0 ELSE 9223372036854775807 END),
            coalesce((SELECT u.n FROM unnest(held_epochs, held_ns) WITH ORDINALITY u (epoch, n, nth)
                WHERE u.epoch = q.epoch ORDER BY u.nth LIMIT 1), 0)) AS n
        FROM (SELECT x.epoch FROM ends x WHERE x.share = e.n UNION SELECT unnest(held_epochs)) q (epoch)
        LEFT JOIN ends t ON t.share = e.n AND t.epoch = q.epoch
        WHERE q.epoch < in_epoch ORDER BY q.epoch
    LOOP
        DELETE FROM ends x WHERE x.share = e.n AND x.epoch = r.epoch;
        IF r.n > 0 THEN
            INSERT INTO ends VALUES (e.n, r.epoch, r.n);
        END IF;
        RETURN NEXT ('end', r.epoch::text, r.n, NULL, NULL, NULL, NULL)::answer;
    END LOOP;
    UPDATE ownership o SET ends_below = greatest(o.ends_below, in_epoch) WHERE o.share = e.n;
END $$;

-- Sets or (without a grace) ends a quota.
CREATE FUNCTION op_quota_set(
    in_share uuid, in_epoch integer, bad text, in_kind integer, in_who text, in_grace bigint,
    b_soft bigint, b_hard bigint, i_soft bigint, i_hard bigint, b_over bigint, b_over_ns integer, i_over bigint, i_over_ns integer
) RETURNS SETOF answer LANGUAGE plpgsql AS $$
DECLARE
    e record;
BEGIN
    SELECT * INTO e FROM fence(in_share, in_epoch);
    IF e.n IS NULL THEN
        RETURN NEXT e.bad;
        RETURN;
    ELSIF bad IS NOT NULL THEN
        RETURN NEXT refused(bad);
        RETURN;
    END IF;
    DELETE FROM quotas q WHERE q.share = e.n AND q.kind = in_kind AND q.who = in_who;
    IF in_grace IS NOT NULL THEN
        INSERT INTO quotas VALUES (
            e.n, in_kind, in_who, b_soft, b_hard, i_soft, i_hard, in_grace, b_over, b_over_ns, i_over, i_over_ns);
    END IF;
    RETURN NEXT ('done', NULL, NULL, NULL, NULL, NULL, NULL)::answer;
END $$;

CREATE FUNCTION op_state_put(in_share uuid, in_epoch integer, in_tab integer, in_key bytea, in_value bytea) RETURNS SETOF answer
LANGUAGE plpgsql AS $$
DECLARE
    e record;
BEGIN
    SELECT * INTO e FROM fence(in_share, in_epoch);
    IF e.n IS NULL THEN
        RETURN NEXT e.bad;
        RETURN;
    END IF;
    IF in_value IS NULL THEN
        DELETE FROM client_state c WHERE c.share = e.n AND c.tab = in_tab AND c.key = in_key;
    ELSE
        INSERT INTO client_state VALUES (e.n, in_tab, in_key, in_value)
            ON CONFLICT (share, tab, key) DO UPDATE SET value = excluded.value;
    END IF;
    RETURN NEXT ('done', NULL, NULL, NULL, NULL, NULL, NULL)::answer;
END $$;

-- Deletes outcomes that nobody can ask for any more (older than ten minutes before now).
CREATE FUNCTION prune_replays(in_now bigint, at_most integer) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    gone bigint;
BEGIN
    DELETE FROM replays r WHERE r.ctid = ANY (ARRAY(
        SELECT x.ctid FROM replays x JOIN shares s ON s.number = x.share WHERE x.at < in_now - 601 LIMIT at_most));
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END $$;

-- Deletes ACLs of a share that no inode names. Alone in the share, so that none is taken up meanwhile.
CREATE FUNCTION prune_acls(in_share uuid) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    gone bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(lock_of(in_share));
    DELETE FROM acls a USING shares s WHERE s.share = in_share AND a.share = s.number
        AND NOT EXISTS (SELECT 1 FROM inodes i WHERE i.share = a.share AND i.acl = a.address);
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END $$;

-- Ends what a lost connection still runs and waits until it is over, so that its last call either has happened or never will.
CREATE FUNCTION settle(of_name text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    there boolean;
BEGIN
    SELECT coalesce(bool_and(pg_terminate_backend(a.pid, 10000)), true) INTO there
        FROM pg_stat_activity a WHERE a.application_name = of_name AND a.pid <> pg_backend_pid() AND a.usename = current_user;
    RETURN there;
END $$;
