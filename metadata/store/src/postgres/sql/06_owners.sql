-- Ownership by class, hand-over, abandoning, and what only a journal has.

ALTER TABLE ownership ADD COLUMN unplaced_bytes bigint NOT NULL DEFAULT 0, ADD COLUMN unplaced_files bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN ownership.journal_of IS 'The gateway whose data folder has the journal of the newest epoch: what it acknowledged may be nowhere else. NULL: handed over, everything is in the object store.';
COMMENT ON COLUMN ownership.unplaced_bytes IS 'Bytes that only that journal has, and of how many files, as of the last renewal.';

CREATE TABLE stranded (
    share integer NOT NULL REFERENCES shares (number) ON DELETE CASCADE,
    gateway text NOT NULL,
    epoch integer NOT NULL,
    bytes bigint NOT NULL,
    files bigint NOT NULL,
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (share, gateway)
);
COMMENT ON TABLE stranded IS 'Journals that a share was taken without, with what only they had as of their gateway''s last renewal. Gone when that gateway takes the share again: the ends drop what it still holds.';

DROP FUNCTION op_take(uuid, text, bigint, integer, bigint, boolean);
DROP FUNCTION op_renew(text, uuid[], integer[]);
DROP FUNCTION op_release(text, uuid, integer);

-- Whether everything that a share acknowledges is in the object store, so that its journal may be left behind.
CREATE FUNCTION outlives_its_box(n integer) RETURNS boolean LANGUAGE sql AS $$
    SELECT EXISTS (SELECT 1 FROM settings t WHERE t.share = n AND t.key = 'durability' AND t.value = 'remote')
$$;

-- Notes the journal that a share is taken without.
CREATE FUNCTION leave_behind(o ownership, taker text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO stranded (share, gateway, epoch, bytes, files)
        SELECT o.share, o.journal_of, o.epoch, o.unplaced_bytes, o.unplaced_files WHERE o.journal_of <> taker
        ON CONFLICT (share, gateway) DO UPDATE SET epoch = excluded.epoch, bytes = excluded.bytes, files = excluded.files, since = excluded.since
$$;

-- Takes the next epoch for a gateway. Refused ('owned') while another holds the share, unless the caller has watched it for a
-- whole lease without a renewal: then it names the epoch and renewals that it saw, which must still be those. A share whose
-- newest journal another gateway has is left to it ('stranded') unless its class says that nothing is lost by that.
CREATE FUNCTION op_take(in_share uuid, in_holder text, in_lease_ms bigint, seen_epoch integer, seen_renewals bigint)
RETURNS TABLE (what text, epoch integer, holder text, renewals bigint, lease_ms bigint, bytes bigint, files bigint)
LANGUAGE plpgsql AS $$
DECLARE
    n integer;
    o ownership;
BEGIN
    PERFORM pg_advisory_xact_lock(lock_of(in_share));
    SELECT s.number INTO n FROM shares s WHERE s.share = in_share;
    IF n IS NULL THEN
        RETURN QUERY SELECT 'no share'::text, 0, NULL::text, 0::bigint, 0::bigint, 0::bigint, 0::bigint;
        RETURN;
    END IF;
    SELECT * INTO o FROM ownership w WHERE w.share = n FOR UPDATE;
    IF o.holder <> in_holder AND (o.epoch, o.renewals) IS DISTINCT FROM (seen_epoch, seen_renewals) THEN
        RETURN QUERY SELECT 'owned'::text, o.epoch, o.holder, o.renewals, o.lease_ms, o.unplaced_bytes, o.unplaced_files;
        RETURN;
    ELSIF o.journal_of <> in_holder AND NOT outlives_its_box(n) THEN
        RETURN QUERY SELECT 'stranded'::text, o.epoch, o.journal_of, o.renewals, o.lease_ms, o.unplaced_bytes, o.unplaced_files;
        RETURN;
    ELSIF o.epoch >= 8388607 THEN
        RETURN QUERY SELECT 'used up'::text, o.epoch, o.holder, o.renewals, o.lease_ms, 0::bigint, 0::bigint;
        RETURN;
    END IF;
    PERFORM leave_behind(o, in_holder);
    DELETE FROM stranded t WHERE t.share = n AND t.gateway = in_holder;
    UPDATE ownership w SET epoch = w.epoch + 1, holder = in_holder, journal_of = in_holder, renewals = w.renewals + 1, lease_ms = in_lease_ms,
        taken_at = clock_timestamp(), renewed_at = clock_timestamp(), unplaced_bytes = 0, unplaced_files = 0
        WHERE w.share = n;
    PERFORM pg_notify('dfs_changes', 'share ' || in_share || ' ' || in_holder);
    RETURN QUERY SELECT 'taken'::text, o.epoch + 1, in_holder, o.renewals + 1, in_lease_ms, 0::bigint, 0::bigint;
END $$;

-- Gives up the journal that another gateway has, by an explicit command: what only it has is lost. Refused ('owned') as in op_take;
-- 'nothing' where no journal is elsewhere. Answers what is given up, as of that gateway's last renewal.
CREATE FUNCTION op_abandon(in_share uuid, in_holder text, seen_epoch integer, seen_renewals bigint)
RETURNS TABLE (what text, epoch integer, holder text, renewals bigint, lease_ms bigint, bytes bigint, files bigint)
LANGUAGE plpgsql AS $$
DECLARE
    n integer;
    o ownership;
BEGIN
    PERFORM pg_advisory_xact_lock(lock_of(in_share));
    SELECT s.number INTO n FROM shares s WHERE s.share = in_share;
    IF n IS NULL THEN
        RETURN QUERY SELECT 'no share'::text, 0, NULL::text, 0::bigint, 0::bigint, 0::bigint, 0::bigint;
        RETURN;
    END IF;
    SELECT * INTO o FROM ownership w WHERE w.share = n FOR UPDATE;
    IF o.holder <> in_holder AND (o.epoch, o.renewals) IS DISTINCT FROM (seen_epoch, seen_renewals) THEN
        RETURN QUERY SELECT 'owned'::text, o.epoch, o.holder, o.renewals, o.lease_ms, o.unplaced_bytes, o.unplaced_files;
        RETURN;
    ELSIF o.journal_of IS NULL OR o.journal_of = in_holder THEN
        RETURN QUERY SELECT 'nothing'::text, o.epoch, o.journal_of, o.renewals, o.lease_ms, 0::bigint, 0::bigint;
        RETURN;
    END IF;
    PERFORM leave_behind(o, in_holder);
    UPDATE ownership w SET holder = NULL, journal_of = NULL, unplaced_bytes = 0, unplaced_files = 0, renewals = w.renewals + 1
        WHERE w.share = n;
    RETURN QUERY SELECT 'abandoned'::text, o.epoch, o.journal_of, o.renewals, o.lease_ms, o.unplaced_bytes, o.unplaced_files;
END $$;

-- Renews leases and notes what only the journals have; answers the shares that the gateway still owns in that epoch.
CREATE FUNCTION op_renew(in_holder text, in_shares uuid[], in_epochs integer[], in_bytes bigint[], in_files bigint[])
RETURNS SETOF uuid LANGUAGE sql AS $$
    UPDATE ownership o SET renewals = o.renewals + 1, renewed_at = clock_timestamp(), unplaced_bytes = u.bytes, unplaced_files = u.files
    FROM unnest(in_shares, in_epochs, in_bytes, in_files) u (share, epoch, bytes, files) JOIN shares s ON s.share = u.share
    WHERE o.share = s.number AND o.epoch = u.epoch AND o.holder = in_holder
    RETURNING u.share
$$;

-- Gives a share back; clean: everything is placed, and no journal is needed any more.
CREATE FUNCTION op_release(in_holder text, in_share uuid, in_epoch integer, clean boolean, in_bytes bigint, in_files bigint)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    given integer;
BEGIN
    PERFORM pg_advisory_xact_lock(lock_of(in_share));
    UPDATE ownership o SET holder = NULL, journal_of = CASE WHEN clean THEN NULL ELSE o.journal_of END,
        unplaced_bytes = CASE WHEN clean THEN 0 ELSE in_bytes END, unplaced_files = CASE WHEN clean THEN 0 ELSE in_files END
        FROM shares s
        WHERE s.share = in_share AND o.share = s.number AND o.epoch = in_epoch AND o.holder = in_holder;
    GET DIAGNOSTICS given = ROW_COUNT;
    IF given > 0 THEN
        PERFORM pg_notify('dfs_changes', 'share ' || in_share || ' -');
    END IF;
    RETURN given > 0;
END $$;

-- As before, and tells other gateways.
CREATE OR REPLACE FUNCTION op_set_settings(in_share uuid, keys text[], vals text[]) RETURNS SETOF answer LANGUAGE plpgsql AS $$
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
    PERFORM pg_notify('dfs_changes', 'share ' || in_share || ' -');
    RETURN NEXT ('done', NULL, n, NULL, NULL, NULL, NULL)::answer;
END $$;
