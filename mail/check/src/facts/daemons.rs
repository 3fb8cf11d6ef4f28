//! The programs that master.cf may name, and the services that a mail system needs. master(5) and its manual pages.

/// Programs of master.cf.
pub const DAEMONS: &[&str] = &[
    "anvil",
    "bounce",
    "cleanup",
    "discard",
    "dnsblog",
    "error",
    "flush",
    "lmtp",
    "local",
    "nbdb_reindexd",
    "nqmgr",
    "oqmgr",
    "pickup",
    "pipe",
    "postlogd",
    "postscreen",
    "proxymap",
    "qmgr",
    "qmqpd",
    "scache",
    "showq",
    "smtp",
    "smtpd",
    "spawn",
    "tlsmgr",
    "tlsproxy",
    "trivial-rewrite",
    "verify",
    "virtual",
];

/// Programs that take arguments of their own.
pub const WITH_ARGUMENTS: &[&str] = &["pipe", "spawn"];

/// Services without which mail stops: (name, what for).
pub const NEEDED: &[(&str, &str)] = &[
    ("bounce", "notices about failed mail"),
    ("cleanup", "mail that comes in"),
    ("defer", "notices about delayed mail"),
    ("local", "deliveries to local users"),
    ("pickup", "mail from the sendmail command"),
    ("qmgr", "all deliveries"),
    ("rewrite", "address rewriting"),
    ("smtp", "mail to other systems"),
];
