//! One-line cases: a line of main.cf or master.cf, and what is said of it; `""` for nothing.

mod support;

/// Adds lines to a good configuration; compares the texts behind the place.
fn check(name: &str, lines: &str, expect: &str) {
    let text = match name {
        "main.cf" => format!("compatibility_level = 3.11\n{lines}\n"),
        _ => format!("{}{lines}\n", support::MASTER),
    };
    let found = support::check(&[(name, &text), ("t", "a@example.com OK\n"), ("d", "example.com x\n")]);
    let texts: Vec<&str> =
        found.iter().filter_map(|l| l.split_once(": ")?.1.split_once(": ").map(|(_, t)| t)).collect();
    assert_eq!(texts.join("|"), expect, "{lines}");
}

fn main_cf(lines: &str, expect: &str) {
    check("main.cf", lines, expect);
}

fn master_cf(lines: &str, expect: &str) {
    check("master.cf", lines, expect);
}

#[test]
fn names() {
    main_cf(
        "smtp_sasl_password_map = static:x",
        "unknown parameter smtp_sasl_password_map; did you mean \"smtp_sasl_password_maps\"?",
    );
    main_cf("mydestinations = a", "unknown parameter mydestinations; did you mean \"mydestination\"?");
    main_cf("smtpd_tls_sertificate = /x", "unknown parameter smtpd_tls_sertificate");
    main_cf("own = 1\nsmtpd_banner = $myhostname $own", "");
    main_cf(
        "slow_destination_rate_delay = 1s",
        "slow_destination_rate_delay: master.cf has no service \"slow\"",
    );
    main_cf("smtp_destination_rate_delay = 1s\nmaildrop_time_limit = 10s", "");
    main_cf(
        "virtual_maps = hash:/etc/postfix/d",
        "virtual_maps is a name of the past; use virtual_alias_maps, and virtual_alias_domains for its domains",
    );
    main_cf("smtpd_banner = $myhostname ${nobody?{x}} ${mail_name}", "");
    main_cf(
        "mydestination = $mydomian",
        "mydestination: there is no parameter \"mydomian\", so $mydomian is empty; did you mean \"mydomain\"?",
    );
}

#[test]
fn values() {
    main_cf(
        "inet_protocols = ipv4, ipv7",
        "inet_protocols: \"ipv7\" is not one of: all, ipv4, ipv6; did you mean \"ipv4\"?",
    );
    main_cf(
        "smtp_tls_security_level = mandatory",
        "smtp_tls_security_level: \"mandatory\" is not one of: none, may, encrypt, dane, dane-only, fingerprint, verify, secure",
    );
    main_cf(
        "smtpd_sasl_security_options = noanonymus",
        "smtpd_sasl_security_options: \"noanonymus\" is not one of: noplaintext, noactive, nodictionary, noanonymous, forward_secrecy, mutual_auth; did you mean \"noanonymous\"?",
    );
    main_cf(
        "notify_classes = resource, sofware",
        "notify_classes: \"sofware\" is not one of: bounce, 2bounce, data, delay, policy, protocol, resource, software; did you mean \"software\"?",
    );
    main_cf("biff = on", "bad boolean configuration: biff = on; did you mean \"yes\"?");
    main_cf(
        "queue_run_delay = 5 min",
        "parameter queue_run_delay: bad time value or unit: 5 min; did you mean \"5m\"?",
    );
    main_cf(
        "default_process_limit = ten",
        "bad numerical configuration: default_process_limit = ten; a whole number without a unit is needed",
    );
    main_cf(
        "smtpd_tls_protocols = >=TLSv1.2\nsmtp_tls_protocols = !SSLv2:!SSLv3\nsmtp_tls_mandatory_protocols=0301",
        "",
    );
    main_cf(
        "relayhost = ${nobody",
        "truncated macro reference: \"${nobody\"; braces and parentheses must be balanced",
    );
    main_cf(
        "mynetworks = 10.0.0.0/8, 2001:db8::/32",
        "mynetworks: the IPv6 address of \"2001:db8::/32\" needs brackets; did you mean \"[2001:db8::]/32\"?",
    );
    main_cf(
        "mynetworks = 10.0.0.0/33",
        "mynetworks: \"10.0.0.0/33\": the length of a network is a number up to 32",
    );
    main_cf("mynetworks = 10.0.0.0/8, 172.16.0.0/12, [::1], [fe80::]/64, host.example, !10.1.0.0/16", "");
    main_cf("myorigin = /etc/mailname", "");
    main_cf(
        "mynetworks = 172.16.0.0/4",
        "mynetworks: \"172.16.0.0/4\" has address bits behind the length of the network; did you mean \"160.0.0.0/4\"?",
    );
    main_cf(
        "mynetworks = 160.0.0.0/4",
        "mynetworks: \"160.0.0.0/4\" trusts half the world: strangers may relay; list your own networks only",
    );
    main_cf("relayhost = mail1.example, [mail2.example]:587 example.com:25", "");
    main_cf(
        "relayhost = [mail1.example]:587, mail2.example:587",
        "relayhost: the MX hosts of \"mail2.example\" are asked, not mail2.example itself; did you mean \"[mail2.example]:587\"?",
    );
    main_cf(
        "relayhost = [mail1.example:587",
        "relayhost: \"[mail1.example:587\" has no closing bracket; did you mean \"[mail1.example:587]\"?",
    );
}

#[test]
fn restrictions() {
    main_cf(
        "smtpd_recipient_restrictions = reject_multi_recipient_bounce, reject_unauth_destination",
        "smtpd_recipient_restrictions: reject_multi_recipient_bounce sees only the recipients so far: it belongs into \
         smtpd_data_restrictions",
    );
    main_cf("smtpd_data_restrictions = reject_multi_recipient_bounce", "");
    main_cf(
        "smtpd_client_restrictions = check_ccert_access { texthash:/etc/postfix/t, search_order = cert_fingerprint }",
        "",
    );
    main_cf("smtpd_helo_restrictions = REJECT_INVALID_HELO_HOSTNAME, Permit", "");
    main_cf(
        "smtpd_sender_restrictions = check_sender_access hash:/etc/postfix/t, reject_rbl_client zen.spamhaus.org",
        "",
    );
    main_cf("smtpd_sender_restrictions = hash:/etc/postfix/t", "");
    main_cf(
        "smtpd_sender_restrictions = /etc/postfix/t",
        "smtpd_sender_restrictions: unknown restriction \"/etc/postfix/t\"; a table is named with its type: \"check_client_access cidr:/etc/postfix/t\"",
    );
    main_cf(
        "smtpd_restriction_classes = k\nk = reject_unknwon_sender_domain\nsmtpd_sender_restrictions = k",
        "k: unknown restriction \"reject_unknwon_sender_domain\"; did you mean \"reject_unknown_sender_domain\"?",
    );
    main_cf(
        "smtpd_data_restrictions = reject_unauth_destination",
        "smtpd_data_restrictions: reject_unauth_destination has no effect on mail with several recipients: it belongs into smtpd_recipient_restrictions",
    );
    main_cf("smtpd_client_restrictions = reject_unknown_sender_domain", "");
    main_cf("smtpd_client_restrictions = warn_if_reject reject, permit", "");
    main_cf(
        "smtpd_client_restrictions = check_policy_service",
        "smtpd_client_restrictions: check_policy_service needs inet:host:port or unix:path behind it",
    );
    main_cf("smtpd_client_restrictions = sleep 1, reject_unauth_pipelining", "");
}

#[test]
fn relaying() {
    let open = |client: &str| {
        format!(
            "service smtp: open relay: the client {client} may send mail to somebody@elsewhere.invalid; put reject_unauth_destination in front of what permits it"
        )
    };
    main_cf(
        "smtpd_relay_restrictions = permit",
        "service smtp: nobody is refused, so the server does not run; end the list with reject_unauth_destination",
    );
    main_cf(
        "smtpd_relay_restrictions = permit, reject",
        &format!(
            "{}|smtpd_relay_restrictions: \"reject\" is behind \"permit\" and is never asked",
            open("203.0.113.77")
        ),
    );
    main_cf("relay_domains = static:all", &open("203.0.113.77"));
    main_cf(
        "smtpd_relay_restrictions =\nsmtpd_recipient_restrictions = permit_mynetworks, reject_unauth_destination",
        "",
    );
    main_cf(
        "smtpd_relay_restrictions = permit_mynetworks, warn_if_reject reject_unauth_destination",
        "service smtp: nobody is refused, so the server does not run; end the list with reject_unauth_destination",
    );
    main_cf(
        "smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, defer_unauth_destination",
        "",
    );
    // Everything stays here: no relay.
    main_cf("virtual_alias_maps = static:root@localhost", "");
    main_cf(
        "smtpd_relay_restrictions = check_sender_access texthash:/etc/postfix/t, reject_unauth_destination",
        "service smtp: everybody may relay who says that the sender is a@example.com (line 1 of /etc/postfix/t); put \
         reject_unauth_destination in front of the table, or set smtpd_relay_restrictions",
    );
    main_cf(
        "smtpd_recipient_restrictions = check_sender_access texthash:/etc/postfix/t, reject_unauth_destination",
        "",
    );
}

#[test]
fn tables() {
    main_cf(
        "virtual_alias_maps = hash:/etc/postfix/d, regexp:/etc/postfix/none",
        "virtual_alias_maps: regexp:/etc/postfix/none: /etc/postfix/none does not exist",
    );
    main_cf(
        "virtual_alias_maps = hash: /etc/postfix/d",
        "virtual_alias_maps: \"hash:\" is no table: type:name is needed; did you mean \"hash:/etc/postfix/d\"?",
    );
    main_cf(
        "smtp_tls_session_cache_database = btree:${data_directory}/none\naddress_verify_map = proxy:btree:/none/verify",
        "",
    );
    main_cf(
        "default_database_type = hsah",
        "default_database_type: there is no table type \"hsah\"; did you mean \"hash\"?",
    );
    main_cf("transport_maps = hash:/etc/postfix/d", "master.cf has no transport \"x\"");
    main_cf("relay_domains = /etc/postfix/nothing", "relay_domains: /etc/postfix/nothing does not exist");
}

#[test]
fn services() {
    master_cf(
        "2525 inet n - n - - smtpd\n -o smtpd_sasl_auth_enabled=yes",
        "unknown parameter smtpd_sasl_auth_enabled; did you mean \"smtpd_sasl_auth_enable\"?",
    );
    master_cf(
        "2525 inet n - n - - smtpd\n -o smtpd_client_restrictions=permit_mynetwork,reject",
        "smtpd_client_restrictions: unknown restriction \"permit_mynetwork\"; did you mean \"permit_mynetworks\"?",
    );
    master_cf("2525 inet n - n - - smtpd\n -o { smtpd_client_restrictions = permit_mynetworks, reject }", "");
    master_cf(
        "2525 inet n - n - - smtpd\n -o smtpd_relay_restrictions=permit,reject",
        "service 2525: open relay: the client 203.0.113.77 may send mail to somebody@elsewhere.invalid; put reject_unauth_destination in front of what permits it|smtpd_relay_restrictions: \"reject\" is behind \"permit\" and is never asked",
    );
    master_cf(
        "inet n - n - - smtpd",
        "bad field count; the name of the service is missing: for inet its port, as in \"smtp inet n - y - - smtpd\"",
    );
    master_cf(
        "submisson inet n - n - - smtpd",
        "there is no service \"submisson\" in /etc/services; did you mean \"submission\"?",
    );
    master_cf("99999 inet n - n - - smtpd", "\"99999\" is no port number");
    master_cf("mine unix - n n - - pipe\n flags=R user=vmail argv=/bin/x ${recipient} y=z", "");
    master_cf("smtps inet n - n - - smtpd\n -o smtpd_tls_wrappermode=yes", "");
    master_cf("amavis unix - - n - 2 smtp\n -o smtp_data_done_timeout=1200", "");
}

/// Passwords for databases are nobody's business.
#[test]
fn passwords() {
    let main = ("main.cf", "compatibility_level = 3.11\nvirtual_alias_maps = mysql:/etc/postfix/my.cf\n");
    let found = support::check(&[main, ("my.cf mode=644", "user = mail\npassword = secret\n")]);
    assert_eq!(
        found,
        ["warning: /etc/postfix/my.cf: anybody may read the passwords in this file; run \"chmod o-r\" on it"]
    );
    assert!(support::check(&[main, ("my.cf mode=600", "user = mail\npassword = secret\n")]).is_empty());
    assert!(support::check(&[main, ("my.cf mode=644", "user = mail\n")]).is_empty());
}

/// What a certificate has left; one that lives for days is not complained about while it is fresh.
#[test]
fn certificates() {
    let main = (
        "main.cf",
        "compatibility_level = 3.11\nsmtpd_tls_security_level = may\nsmtpd_tls_chain_files = /etc/postfix/k.pem\n",
    );
    let found = |key| support::check(&[main, ("k.pem mode=600", key)]);
    assert_eq!(
        found("@a key with ten days left"),
        [
            "warning: /etc/postfix/main.cf, line 3: smtpd_tls_chain_files: /etc/postfix/k.pem expires in 10 days"
        ]
    );
    assert_eq!(found("@a key for six days"), Vec::<String>::new());
}

/// Files of the configuration that belong to somebody else. Needs root.
#[test]
fn owners() {
    let files = [
        ("main.cf", "compatibility_level = 3.11\ntransport_maps = texthash:/etc/postfix/t\n"),
        ("t", "a x\n"),
    ];
    support::with_site(&files, |site, dir| {
        let wrong = ["main.cf", "t"].map(|name| std::path::Path::new(dir).join(name));
        if wrong.iter().any(|file| std::os::unix::fs::chown(file, Some(4711), None).is_err()) {
            assert!(std::env::var_os("HIKYAKU_PEERS_REQUIRED").is_none(), "needs root");
            return;
        }
        let found = support::lines(&mail_check::check(site), dir, false);
        for name in ["main.cf", "t"] {
            let want = format!("/etc/postfix/{name}: the owner of this file is not root");
            assert!(found.iter().any(|l| l.contains(&want)), "{found:?}");
        }
    });
}

/// A file that cannot be read at all.
#[test]
fn unreadable() {
    let found = support::check(&[("main.cf", "compatibility_level = 3.6\nno definition\n")]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("error: /etc/postfix/main.cf, line 2: missing '=' after attribute name"),
        "{found:?}"
    );
}
