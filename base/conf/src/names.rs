//! The names that a value of main.cf refers to, found without expanding it: for `postconf` and the configuration check,
//! which tell of names that nothing defines and of definitions that nothing uses.

/// Every name a text refers to, in all branches.
pub fn mentioned(text: &str) -> Vec<String> {
    scan(text, true)
}

/// The names whose value a text asks for, not those it only tests (`${name?…}`).
pub fn needed(text: &str) -> Vec<String> {
    scan(text, false)
}

/// What a table in a database or directory may have in main.cf when it is named without a file: `name_hosts` for
/// `mysql:name`. mysql_table(5), "OBSOLETE MAIN.CF PARAMETERS", and its like for the other types.
const TABLE_SETTINGS: &[(&str, &[&str])] = &[
    (
        "ldap",
        &[
            "server_host",
            "server_port",
            "timeout",
            "search_base",
            "query_filter",
            "result_format",
            "result_filter",
            "domain",
            "result_attribute",
            "special_result_attribute",
            "terminal_result_attribute",
            "leaf_result_attribute",
            "scope",
            "bind",
            "bind_dn",
            "bind_pw",
            "cache",
            "cache_expiry",
            "cache_size",
            "recursion_limit",
            "expansion_limit",
            "size_limit",
            "dereference",
            "chase_referrals",
            "version",
            "debuglevel",
            "sasl_mechs",
            "sasl_realm",
            "sasl_authz_id",
            "sasl_minssf",
            "start_tls",
            "tls_ca_cert_dir",
            "tls_ca_cert_file",
            "tls_cert",
            "tls_key",
            "tls_require_cert",
            "tls_random_file",
            "tls_cipher_suite",
        ],
    ),
    (
        "memcache",
        &[
            "memcache",
            "backup",
            "flags",
            "ttl",
            "key_format",
            "domain",
            "data_size_limit",
            "line_size_limit",
            "max_try",
            "retry_pause",
            "timeout",
        ],
    ),
    (
        "mysql",
        &[
            "hosts",
            "user",
            "password",
            "dbname",
            "query",
            "result_format",
            "domain",
            "expansion_limit",
            "charset",
            "option_file",
            "option_group",
            "require_result_set",
            "tls_cert_file",
            "tls_key_file",
            "tls_CAfile",
            "tls_CApath",
            "tls_verify_cert",
            "tls_ciphers",
            "idle_interval",
            "retry_interval",
            "timeout",
            "select_field",
            "table",
            "where_field",
            "additional_conditions",
        ],
    ),
    (
        "pgsql",
        &[
            "hosts",
            "user",
            "password",
            "dbname",
            "encoding",
            "query",
            "result_format",
            "domain",
            "expansion_limit",
            "idle_interval",
            "retry_interval",
            "timeout",
            "select_function",
            "select_field",
            "table",
            "where_field",
            "additional_conditions",
        ],
    ),
    (
        "sqlite",
        &[
            "dbpath",
            "query",
            "result_format",
            "domain",
            "expansion_limit",
            "timeout",
            "select_field",
            "table",
            "where_field",
            "additional_conditions",
        ],
    ),
];

/// The names of the settings that the tables in a text may have in main.cf, set or not.
pub fn of_tables(text: &str) -> Vec<String> {
    let words = text.split(|c: char| c.is_whitespace() || ",{}".contains(c));
    let tables = words.filter_map(|word| {
        let word = word.strip_prefix("proxy:").unwrap_or(word);
        let (kind, name) = word.split_once(':')?;
        let settings = TABLE_SETTINGS.iter().find(|(known, _)| *known == kind)?.1;
        (!name.is_empty() && !name.starts_with(['/', '.'])).then_some((name, settings))
    });
    tables.flat_map(|(name, all)| all.iter().map(move |setting| format!("{name}_{setting}"))).collect()
}

fn scan(text: &str, tested: bool) -> Vec<String> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('$') {
        if let Some(skipped) = after.strip_prefix('$') {
            rest = skipped;
            continue;
        }
        let inside = after.strip_prefix(['{', '(']);
        let from = inside.unwrap_or(after);
        let end = from.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(from.len());
        let (name, tail) = from.split_at(end);
        let is_test = inside.is_some() && tail.trim_start().starts_with(['?', ':']);
        if !name.is_empty() && (tested || !is_test) {
            out.push(name.to_owned());
        }
        rest = tail;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(
            mentioned("$a ${b?$c} ${{$d} == {x} ? {$(e)} : {}} $$f ${g"),
            ["a", "b", "c", "d", "e", "g"]
        );
        assert_eq!(needed("$a ${b?$c} ${d:e}"), ["a", "c"]);
    }

    #[test]
    fn names_of_tables() {
        let names = of_tables("hash:/a, proxy:sqlite:forms,mysql:/etc/x.cf unionmap:{pgsql:p} nosuch:y");
        assert!(["forms_dbpath", "forms_query", "p_hosts"].iter().all(|n| names.iter().any(|m| m == n)));
        assert!(names.iter().all(|n| n.starts_with("forms_") || n.starts_with("p_")), "{names:?}");
    }
}
