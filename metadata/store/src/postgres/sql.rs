//! The statements: one per operation, prepared on every connection.

use std::fmt::Write;
use std::sync::LazyLock;

/// Columns of `dentries` that rows are read from.
const DENTRY: &[&str] = &["dir", "name", "inode", "kind", "cookie", "born", "pending"];
/// Columns of `inodes`.
const INODE: &[&str] = &[
    "inode",
    "kind",
    "size",
    "allocated",
    "atime",
    "atime_ns",
    "mtime",
    "mtime_ns",
    "ctime",
    "ctime_ns",
    "btime",
    "btime_ns",
    "change",
    "born",
    "parent",
    "flushed_seq",
    "mode_change",
    "dos_change",
    "mode",
    "nlink",
    "flags",
    "dos",
    "generation",
    "major",
    "minor",
    "owner",
    "grp",
    "verifier",
    "target",
];
/// Columns of `acls`.
const ACL: &[&str] = &[
    "address",
    "control",
    "dacl_kinds",
    "dacl_flags",
    "dacl_masks",
    "dacl_whos",
    "sacl_kinds",
    "sacl_flags",
    "sacl_masks",
    "sacl_whos",
];
/// Columns of `replays`.
const OUTCOME: &[&str] = &[
    "op",
    "inode",
    "dir",
    "dir_size",
    "dir_mtime",
    "dir_mtime_ns",
    "dir_ctime",
    "dir_ctime_ns",
    "dir_change",
    "to_dir",
    "to_size",
    "to_mtime",
    "to_mtime_ns",
    "to_ctime",
    "to_ctime_ns",
    "to_change",
    "at",
    "at_ns",
];
/// Columns of `extents`.
const EXTENT: &[&str] = &[
    "start",
    "len",
    "pack",
    "first_block",
    "pack_offset",
    "skip",
    "seq",
    "born",
    "tail",
    "stored_lens",
    "decoded_lens",
    "compressions",
    "hashes",
];

/// A statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Query {
    Inode,
    Inodes,
    Lookup,
    LookupFold,
    ReadDir,
    ReadDirRows,
    LastCookie,
    NamesOf,
    Extents,
    Usage,
    Orphans,
    Packs,
    Pack,
    Replayed,
    StateList,
    Shares,
    Create,
    Link,
    Remove,
    Rename,
    SetAttr,
    Reap,
    Place,
    PackBegin,
    PacksBury,
    PacksForget,
    StatePut,
    WriteEnds,
    CreateShare,
    SetSettings,
    DeleteShare,
    Take,
    Abandon,
    Owner,
    Stranded,
    Renew,
    Release,
    Fold,
    DeleteSome,
    PruneReplays,
    PruneAcls,
    Settle,
    Xattrs,
    XattrSet,
    Quotas,
    QuotaSet,
    Clone,
    SnapshotCreate,
    SnapshotDelete,
    SnapshotReap,
    Snapshots,
    SnapshotBytes,
    PastInode,
    PastLookup,
    PastReadDir,
    PastLastCookie,
    PastExtents,
    PastXattrs,
}

/// Every statement with its text, in the order of [`Query`].
pub static TEXTS: LazyLock<Vec<String>> = LazyLock::new(|| {
    use Query::*;
    let all = [
        Inode,
        Inodes,
        Lookup,
        LookupFold,
        ReadDir,
        ReadDirRows,
        LastCookie,
        NamesOf,
        Extents,
        Usage,
        Orphans,
        Packs,
        Pack,
        Replayed,
        StateList,
        Shares,
        Create,
        Link,
        Remove,
        Rename,
        SetAttr,
        Reap,
        Place,
        PackBegin,
        PacksBury,
        PacksForget,
        StatePut,
        WriteEnds,
        CreateShare,
        SetSettings,
        DeleteShare,
        Take,
        Abandon,
        Owner,
        Stranded,
        Renew,
        Release,
        Fold,
        DeleteSome,
        PruneReplays,
        PruneAcls,
        Settle,
        Xattrs,
        XattrSet,
        Quotas,
        QuotaSet,
        Clone,
        SnapshotCreate,
        SnapshotDelete,
        SnapshotReap,
        Snapshots,
        SnapshotBytes,
        PastInode,
        PastLookup,
        PastReadDir,
        PastLastCookie,
        PastExtents,
        PastXattrs,
    ];
    all.into_iter().map(text).collect()
});

/// `prefix.column, …`.
fn columns(prefix: &str, names: &[&str]) -> String {
    names.iter().map(|name| format!("{prefix}.{name}")).collect::<Vec<_>>().join(", ")
}

/// `$first, …` for `count` parameters.
fn params(first: usize, count: usize) -> String {
    (first..first + count).map(|nth| format!("${nth}")).collect::<Vec<_>>().join(", ")
}

/// A composite value of the type from parameters of these types.
fn composite(first: usize, of: &str, types: &[&str]) -> String {
    let mut text = String::from("ROW(");
    for (nth, kind) in types.iter().enumerate() {
        let _ = write!(text, "{}${}::{kind}", if nth == 0 { "" } else { ", " }, first + nth);
    }
    text + ")::" + of
}

fn context() -> String {
    let types = [
        "uuid", "integer", "text[]", "text[]", "text[]", "boolean", "integer", "bigint", "integer", "bigint",
        "bigint", "bytea", "bytea", "boolean", "boolean",
    ];
    composite(1, "op_context", &types)
}

fn patch(first: usize) -> String {
    let time = "integer, bigint, integer";
    let plain = format!("integer, integer, text, text, {time}, {time}, {time}, integer, boolean");
    let list = ["smallint[]", "integer[]", "integer[]", "text[]"];
    let mut text = String::from("ROW(");
    let mut next = first;
    for kind in plain.split(", ") {
        let _ = write!(text, "${next}::{kind}, ");
        next += 1;
    }
    let _ = write!(text, "ROW(0, ''::bytea, ${next}::integer");
    for kind in list.iter().chain(&list) {
        next += 1;
        let _ = write!(text, ", ${next}::{kind}");
    }
    text + ")::acls)::patch"
}

/// Reads the answers of an operation.
fn answers(call: &str) -> String {
    let parts = [
        columns("(a.dentry)", DENTRY),
        columns("(a.inode)", INODE),
        columns("(a.acl)", ACL),
        columns("(a.outcome)", OUTCOME),
    ];
    format!("SELECT a.what, a.code, a.number, {} FROM {call} a", parts.join(", "))
}

fn inode_columns() -> String {
    format!("{}, {}", columns("i", INODE), columns("c", ACL))
}

/// The share's usage first, then everybody who holds something or has a quota.
const QUOTAS: &str = "WITH n AS (SELECT number FROM shares WHERE share = $1), parts AS (\
    SELECT 0 AS kind, '' AS who, u.bytes, u.inodes FROM n JOIN usage u ON u.share = n.number UNION ALL \
    SELECT b.kind, b.who, d.bytes, d.inodes FROM n JOIN usage_deltas d ON d.share = n.number \
    CROSS JOIN LATERAL (VALUES (0, ''), (1, d.owner), (2, d.grp)) b (kind, who) UNION ALL \
    SELECT h.side, h.who, h.bytes, h.inodes FROM n JOIN holdings h ON h.share = n.number), held AS (\
    SELECT p.kind, p.who, sum(p.bytes)::bigint AS bytes, sum(p.inodes)::bigint AS inodes FROM parts p GROUP BY p.kind, p.who \
    HAVING sum(p.bytes) <> 0 OR sum(p.inodes) <> 0 OR p.kind = 0), given AS (\
    SELECT q.* FROM n JOIN quotas q ON q.share = n.number) \
    SELECT coalesce(h.kind, q.kind)::smallint, coalesce(h.who, q.who), coalesce(h.bytes, 0), coalesce(h.inodes, 0), q.grace, \
    q.bytes_soft, q.bytes_hard, q.inodes_soft, q.inodes_hard, q.bytes_over, q.bytes_over_ns, q.inodes_over, q.inodes_over_ns \
    FROM held h FULL JOIN given q ON q.kind = h.kind AND q.who = h.who ORDER BY 1, 2";

const ACL_OF_INODE: &str = "LEFT JOIN acls c ON c.share = i.share AND c.address = i.acl";

fn text(query: Query) -> String {
    match query {
        Query::Inode | Query::Inodes | Query::Lookup | Query::LookupFold | Query::ReadDir | Query::ReadDirRows => names(query),
        Query::LastCookie => "SELECT i.kind, i.last_cookie FROM shares s LEFT JOIN inodes i ON i.share = s.number AND i.inode = $2 \
            WHERE s.share = $1".into(),
        Query::NamesOf => "SELECT d.dir, d.name FROM shares s LEFT JOIN LATERAL (SELECT x.dir, x.name, x.cookie FROM dentries x \
            WHERE x.share = s.number AND x.inode = $2 ORDER BY x.dir, x.cookie LIMIT $3) d ON true \
            WHERE s.share = $1 ORDER BY d.dir, d.cookie".into(),
        Query::Extents => format!(
            "SELECT {} FROM shares s JOIN extents e ON e.share = s.number AND e.inode = $2 AND e.start < $4 AND e.start >= coalesce((\
            SELECT max(y.start) FROM extents y WHERE y.share = s.number AND y.inode = $2 AND y.start <= $3), 0) \
            AND e.start + e.len > $3 WHERE s.share = $1 ORDER BY e.start LIMIT $5",
            columns("e", EXTENT)
        ),
        Query::Usage => "SELECT u.bytes + coalesce((SELECT sum(x.bytes) FROM usage_deltas x WHERE x.share = u.share), 0)::bigint, \
            u.inodes + coalesce((SELECT sum(x.inodes) FROM usage_deltas x WHERE x.share = u.share), 0)::bigint \
            FROM shares s JOIN usage u ON u.share = s.number WHERE s.share = $1".into(),
        Query::Orphans => "SELECT o.inode FROM shares s LEFT JOIN LATERAL (SELECT x.inode FROM orphans x \
            WHERE x.share = s.number AND x.inode > $2 ORDER BY x.inode LIMIT $3) o ON true WHERE s.share = $1 ORDER BY o.inode".into(),
        Query::Packs => packs("x.pack > $2 OR $2 IS NULL", "LIMIT $3"),
        Query::Pack => packs("x.pack = $2", ""),
        Query::Replayed => format!(
            "SELECT {} FROM shares s JOIN replays r ON r.share = s.number AND r.slot = $2 AND r.key = $3 WHERE s.share = $1",
            columns("r", OUTCOME)
        ),
        Query::StateList => "SELECT c.key, c.value FROM shares s LEFT JOIN client_state c ON c.share = s.number AND c.tab = $2 \
            WHERE s.share = $1 ORDER BY c.key".into(),
        Query::Shares => "SELECT s.share, s.name, s.incarnation, s.fsid, s.handle_key, s.fold_version, s.block_size, s.created, \
            s.created_ns, o.epoch, ARRAY(SELECT t.key FROM settings t WHERE t.share = s.number ORDER BY t.position), \
            ARRAY(SELECT t.value FROM settings t WHERE t.share = s.number ORDER BY t.position) \
            FROM shares s JOIN ownership o ON o.share = s.number WHERE s.share = $1 OR $1 IS NULL ORDER BY s.share".into(),
        Query::Xattrs => "SELECT i.change, i.flags, x.name, x.value FROM shares s \
            LEFT JOIN inodes i ON i.share = s.number AND i.inode = $2 \
            LEFT JOIN xattrs x ON x.share = i.share AND x.inode = i.inode AND i.flags & 256 <> 0 \
            AND (cardinality($3::bytea[]) = 0 OR x.name = ANY ($3)) WHERE s.share = $1 ORDER BY x.name".into(),
        Query::Quotas => QUOTAS.into(),
        Query::Snapshots | Query::SnapshotBytes | Query::PastInode | Query::PastLookup | Query::PastReadDir => past(query),
        Query::PastLastCookie | Query::PastExtents | Query::PastXattrs => past(query),
        other => call(other),
    }
}

fn packs(which: &str, end: &str) -> String {
    format!(
        "SELECT p.pack, p.state, p.len, p.live + coalesce((SELECT sum(z.live) FROM pack_deltas z \
        WHERE z.share = p.share AND z.pack = p.pack), 0)::bigint, p.since, p.since_ns, p.epoch \
        FROM shares s LEFT JOIN LATERAL (SELECT * FROM packs x WHERE x.share = s.number AND ({which}) ORDER BY x.pack {end}) p ON true \
        WHERE s.share = $1 ORDER BY p.pack"
    )
}

fn names(query: Query) -> String {
    let dentry = columns("d", DENTRY);
    let found = format!(
        "LEFT JOIN inodes i ON i.share = s.number AND i.inode = d.inode {ACL_OF_INODE} WHERE s.share = $1"
    );
    let inode = inode_columns();
    let page = "FROM shares s LEFT JOIN inodes p ON p.share = s.number AND p.inode = $2 LEFT JOIN LATERAL (SELECT * FROM dentries x \
        WHERE x.share = s.number AND x.dir = $2 AND x.cookie > $3 AND x.cookie <= $4 ORDER BY x.cookie LIMIT $5) d ON true";
    match query {
        Query::Inodes => format!(
            "SELECT {inode} FROM shares s LEFT JOIN unnest($2::bigint[]) WITH ORDINALITY u (inode, nth) ON true \
            LEFT JOIN inodes i ON i.share = s.number AND i.inode = u.inode {ACL_OF_INODE} WHERE s.share = $1 ORDER BY u.nth"
        ),
        Query::Lookup => format!(
            "SELECT {dentry}, {inode} FROM shares s \
            LEFT JOIN dentries d ON d.share = s.number AND d.dir = $2 AND d.name = $3 {found}"
        ),
        Query::LookupFold => format!(
            "SELECT {dentry}, {inode} FROM shares s LEFT JOIN LATERAL (SELECT * FROM dentries x WHERE x.share = s.number \
            AND x.dir = $2 AND x.fold = $4 ORDER BY x.name = $3 DESC, x.cookie LIMIT 1) d ON true {found}"
        ),
        Query::ReadDir => format!("SELECT p.kind, {dentry} {page} WHERE s.share = $1 ORDER BY d.cookie"),
        Query::ReadDirRows => format!("SELECT p.kind, {dentry}, {inode} {page} {found} ORDER BY d.cookie"),
        _ => format!(
            "SELECT {inode} FROM shares s LEFT JOIN inodes i ON i.share = s.number AND i.inode = $2 {ACL_OF_INODE} \
            WHERE s.share = $1"
        ),
    }
}

/// Snapshots, and what they show; the last parameter is the snapshot.
fn past(query: Query) -> String {
    let (dentry, inode) = (columns("d", DENTRY), inode_columns());
    let row = "LEFT JOIN LATERAL past_inode(s.number, $3, $2) i ON true";
    match query {
        Query::Snapshots => "SELECT x.snapshot, x.name, x.origin, x.taken, x.taken_ns, x.change, x.inodes_below FROM shares s \
            LEFT JOIN snapshots x ON x.share = s.number AND NOT x.deleted WHERE s.share = $1 ORDER BY x.snapshot".into(),
        Query::SnapshotBytes => "SELECT coalesce((SELECT sum(r.len) FROM retained_extents r WHERE r.share = s.number \
            AND r.snapshot = $2), 0)::bigint FROM shares s WHERE s.share = $1".into(),
        Query::PastLookup => format!(
            "SELECT {dentry}, {inode} FROM shares s LEFT JOIN LATERAL past_dentry(s.number, $4, $2, $3) d ON true \
            LEFT JOIN LATERAL past_inode(s.number, $4, d.inode) i ON true {ACL_OF_INODE} WHERE s.share = $1"
        ),
        Query::PastReadDir => format!(
            "SELECT p.kind, {dentry}, {inode} FROM shares s LEFT JOIN LATERAL past_inode(s.number, $6, $2) p ON true \
            LEFT JOIN LATERAL past_page(s.number, $6, $2, $3, $4, $5) d ON true \
            LEFT JOIN LATERAL past_inode(s.number, $6, d.inode) i ON true {ACL_OF_INODE} WHERE s.share = $1 ORDER BY d.cookie"
        ),
        Query::PastLastCookie => format!("SELECT i.kind, i.last_cookie FROM shares s {row} WHERE s.share = $1"),
        Query::PastExtents => format!(
            "SELECT {} FROM shares s JOIN LATERAL past_runs(s.number, $6, $2, $3, $4) e ON true WHERE s.share = $1 \
            ORDER BY e.start LIMIT $5",
            columns("e", EXTENT)
        ),
        Query::PastXattrs => format!(
            "SELECT i.change, x.name, x.value FROM shares s {row} \
            LEFT JOIN LATERAL past_xattrs(s.number, $3, $2) x ON i.flags & 256 <> 0 WHERE s.share = $1 ORDER BY x.name"
        ),
        _ => format!("SELECT {inode} FROM shares s {row} {ACL_OF_INODE} WHERE s.share = $1"),
    }
}

fn call(query: Query) -> String {
    let op = |name: &str, count: usize| answers(&format!("{name}({})", params(1, count)));
    let with_context = |name: &str, count: usize, rest: &str| {
        answers(&format!("{name}({}, {}{rest})", context(), params(16, count)))
    };
    match query {
        Query::Create => with_context("op_create", 14, &format!(", {}", patch(30))),
        Query::Link => with_context("op_link", 4, ""),
        Query::Remove => with_context("op_remove", 5, ""),
        Query::Rename => with_context("op_rename", 9, ""),
        Query::SetAttr => with_context("op_set_attr", 15, &format!(", {}", patch(31))),
        Query::XattrSet => with_context("op_xattr_set", 7, ""),
        Query::Clone => with_context("op_clone", 9, ""),
        Query::QuotaSet => op("op_quota_set", 14),
        Query::Reap => op("op_reap", 3),
        Query::Place => op("op_place", 37),
        Query::SnapshotCreate => op("op_snapshot_create", 8),
        Query::SnapshotDelete => op("op_snapshot_delete", 3),
        Query::SnapshotReap => op("op_snapshot_reap", 3),
        Query::PackBegin => op("op_pack_begin", 6),
        Query::PacksBury => op("op_packs_bury", 5),
        Query::PacksForget => op("op_packs_forget", 3),
        Query::StatePut => op("op_state_put", 5),
        Query::WriteEnds => op("op_write_ends", 4),
        Query::CreateShare => op("op_create_share", 14),
        Query::SetSettings => op("op_set_settings", 3),
        Query::DeleteShare => op("op_delete_share", 1),
        Query::Take => {
            "SELECT what, epoch, holder, renewals, lease_ms, bytes, files FROM op_take($1, $2, $3, $4, $5)".into()
        }
        Query::Abandon => {
            "SELECT what, epoch, holder, renewals, lease_ms, bytes, files FROM op_abandon($1, $2, $3, $4)".into()
        }
        Query::Owner => "SELECT o.epoch, o.holder, o.journal_of, o.renewals, o.lease_ms, o.unplaced_bytes, o.unplaced_files \
            FROM shares s JOIN ownership o ON o.share = s.number WHERE s.share = $1"
            .into(),
        Query::Stranded => "SELECT t.gateway, t.bytes, t.files FROM shares s JOIN stranded t ON t.share = s.number \
            WHERE s.share = $1 ORDER BY t.since, t.gateway"
            .into(),
        Query::Renew => "SELECT op_renew($1, $2, $3, $4, $5)".into(),
        Query::Release => "SELECT op_release($1, $2, $3, $4, $5, $6)".into(),
        Query::Fold => "SELECT fold_deltas($1)".into(),
        Query::DeleteSome => "SELECT delete_some($1)".into(),
        Query::PruneReplays => "SELECT prune_replays($1, $2)".into(),
        Query::PruneAcls => "SELECT prune_acls($1)".into(),
        _ => "SELECT settle($1)".into(),
    }
}
