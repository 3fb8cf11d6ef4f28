//! The configuration, zone and mailboxes that every scenario starts from; its own `@main`, `@master` and `@dns` replace or add to them.

/// main.cf.
pub const MAIN_CF: &str = "\
compatibility_level = 3.6
myhostname = mail.example.com
mydomain = example.com
myorigin = example.com
mydestination = $myhostname, localhost.$mydomain, localhost, $mydomain
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1, 198.51.100.1
inet_protocols = ipv4
alias_maps = hash:/etc/postfix/aliases
alias_database = hash:/etc/postfix/aliases
relay_domains =
smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination
smtpd_forbid_bare_newline = no
smtpd_forbid_unauth_pipelining = no
smtpd_error_sleep_time = 0
smtp_connection_cache_on_demand = no
smtp_tls_security_level =
smtp_connect_timeout = 5
mail_spool_directory = /var/mail
biff = no
";

/// Every service of a usual master.cf but the listener. The measurements of `bench` use the same file.
pub const SERVICES: &str = include_str!("../../services.cf");

/// The listener.
pub const LISTENER: &str = "smtp inet n - n - - smtpd\n";

/// The zone.
pub const DNS: &[&str] = &[
    "192.0.2.10 PTR client.example.net",
    "client.example.net A 192.0.2.10",
    "192.0.2.11 PTR noforward.example.net",
    "example.com MX 10 mail.example.com",
    "mail.example.com A 198.51.100.1",
    "example.net MX 10 mx.example.net",
    "mx.example.net A 198.51.100.30",
    "example.org MX 10 mx.example.org",
    "mx.example.org A 198.51.100.25",
    "two.example MX 10 mx1.two.example",
    "two.example MX 20 mx2.two.example",
    "mx1.two.example A 198.51.100.26",
    "mx2.two.example A 198.51.100.27",
    "nullmx.example MX 0 .",
    "onlya.example A 198.51.100.25",
    "notxt.example TXT nothing",
    "tempfail.example MX !SERVFAIL",
    "tempfail.example A !SERVFAIL",
    "dead.example A 198.51.100.77",
];

/// Folders whose new files are the delivered mail.
pub const MAIL_DIRS: &[&str] = &["/var/mail", "/mnt/home", "/mnt/vmail", "/mnt/out"];
