//! The files that main.cf and master.cf name: `/path`, and `type:/path` for a table.
//!
//! Master opens these for the worker, and no others; the worker's folders follow from them.

use base_conf::{Config, MasterCf, params};
use std::path::PathBuf;

/// A path in a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The type, when it names a table.
    pub table: Option<String>,
    /// As written.
    pub path: PathBuf,
}

/// All paths that the values name, with the parameter; a value that cannot be expanded names none.
pub fn of_configuration(config: &Config, master: &MasterCf) -> Vec<(String, Named)> {
    let mut all = Vec::new();
    let mut add = |name: &str, text: &str| {
        all.extend(named_in(text).into_iter().map(|named| (name.to_owned(), named)));
    };
    let built_in = params::ALL.iter().map(|p| p.name);
    for name in built_in.chain(config.main_cf().names()) {
        config.str(name).iter().for_each(|text| add(name, text));
    }
    for service in &master.services {
        let view = config.service(&service.name, &service.overrides);
        for (name, _) in &service.overrides {
            view.str(name).iter().for_each(|text| add(name, text));
        }
    }
    all
}

/// The paths in a value: those that start an item, or follow the `type:` of a table.
pub fn named_in(text: &str) -> Vec<Named> {
    let items = text.split(|c: char| c.is_whitespace() || ",{}=\"".contains(c));
    items.filter_map(named).collect()
}

fn named(item: &str) -> Option<Named> {
    let (before, path) = item.split_at(item.find('/')?);
    let path = PathBuf::from(path);
    if let Some(types) = before.strip_suffix(':') {
        let table = types.rsplit(':').next().unwrap_or(types).trim_start_matches('!');
        return Some(Named { table: Some(table.to_owned()), path });
    }
    before.chars().all(|c| c == '!').then_some(Named { table: None, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_in_values() {
        let cases: &[(&str, &[&str])] = &[
            ("/etc/a", &["/etc/a"]),
            ("!/etc/a, b/c", &["/etc/a"]),
            ("proxy:hash:/etc/a !regexp:/etc/b", &["hash:/etc/a", "regexp:/etc/b"]),
            ("unionmap:{hash:/a,{lmdb:/b}}", &["hash:/a", "lmdb:/b"]),
            ("cafile=/x", &["/x"]),
            ("127.0.0.0/8 [::1]/128 submit/x", &[]),
            ("", &[]),
        ];
        for (text, want) in cases {
            let found: Vec<String> = named_in(text)
                .iter()
                .map(|n| {
                    format!(
                        "{}{}",
                        n.table.iter().map(|t| format!("{t}:")).collect::<String>(),
                        n.path.display()
                    )
                })
                .collect();
            assert_eq!(found, *want, "{text}");
        }
    }

    #[test]
    fn from_both_files() {
        let config = Config::from_text("smtpd_tls_key_file = $mine\nmine = /etc/k\nx = ${broken\n");
        let master = MasterCf::parse(
            "smtp inet n - n - - smtpd\n  -o smtpd_sender_login_maps=hash:/etc/postfix/logins\n",
        )
        .unwrap();
        let all = of_configuration(&config, &master);
        for (name, path) in
            [("smtpd_tls_key_file", "/etc/k"), ("smtpd_sender_login_maps", "/etc/postfix/logins")]
        {
            assert!(
                all.iter().any(|(n, named)| n == name && named.path.as_path() == std::path::Path::new(path)),
                "{name}"
            );
        }
    }
}
