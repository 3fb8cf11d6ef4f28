//! DNS blocklists that have closed. A list that is gone costs time on every connection; some answer every question with
//! "listed" once they are gone, and all mail is refused.

/// (domain, what became of it). A domain stands for everything below it too.
#[rustfmt::skip]
pub const CLOSED: &[(&str, &str)] = &[
    ("ahbl.org", "closed in 2015; it lists everybody"),
    ("all.rbl.jp", "closed"),
    ("blackholes.easynet.nl", "closed in 2003"),
    ("blackholes.five-ten-sg.com", "closed"),
    ("blackholes.securitysage.com", "closed"),
    ("blackholes.us", "closed in 2007"),
    ("bl.spamcannibal.org", "closed in 2018; it listed everybody"),
    ("dnsbl.net.au", "closed"),
    ("dnsbl.sorbs.net", "closed in 2024"),
    ("dsbl.org", "closed in 2008"),
    ("dynablock.wirehub.net", "closed in 2003"),
    ("njabl.org", "closed in 2013"),
    ("opm.blitzed.org", "closed in 2006"),
    ("orbs.org", "closed in 2001"),
    ("ordb.org", "closed in 2006; it lists everybody"),
    ("relays.osirusoft.com", "closed in 2003; it listed everybody"),
    ("relays.visi.com", "closed"),
    ("short.rbl.jp", "closed"),
    ("virus.rbl.jp", "closed"),
];

/// Domains that are not the list but its site.
pub const SITES: &[(&str, &str)] = &[
    ("barracudacentral.org", "b.barracudacentral.org"),
    ("spamcop.net", "bl.spamcop.net"),
    ("spamhaus.org", "zen.spamhaus.org"),
];

/// What became of the list at `domain`.
pub fn closed(domain: &str) -> Option<&'static str> {
    let below =
        |list: &str| domain.strip_suffix(list).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    CLOSED.iter().find(|(list, _)| below(list)).map(|(_, fate)| *fate)
}

#[cfg(test)]
mod tests {
    #[test]
    fn subdomains() {
        assert!(super::closed("relays.ordb.org").is_some());
        assert!(super::closed("ordb.org").is_some());
        assert!(super::closed("fordb.org").is_none());
        assert!(super::closed("zen.spamhaus.org").is_none());
    }
}
