//! What a command finds in its environment besides its delivery: `export_environment`, out of what `import_environment`
//! leaves of the server's own (postconf(5)). Nothing else of the server's environment reaches a command.

use base_conf::{Config, Error, list};

/// Names and values. PATH is what a command gets from Postfix, whatever the list says.
pub fn exported(config: &Config) -> Result<Vec<(String, String)>, Error> {
    let own = |name: &str| std::env::var(name).ok();
    let mut imported = pairs(&config.str("import_environment")?, &own);
    imported.push(("MAIL_CONFIG".to_owned(), config.dir().display().to_string()));
    let known = |name: &str| imported.iter().rfind(|(n, _)| n == name).map(|(_, value)| value.clone());
    let mut out = pairs(&config.str("export_environment")?, &known);
    out.retain(|(name, _)| name != "PATH");
    out.push(("PATH".to_owned(), "/usr/bin:/bin".to_owned()));
    Ok(out)
}

/// `name=value` as it stands, `name` with its value if it has one; the last one counts.
fn pairs(text: &str, value: &dyn Fn(&str) -> Option<String>) -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> = Vec::new();
    for item in list::split(text).into_iter().map(list::unbrace) {
        let pair = match item.split_once('=') {
            Some((name, value)) => Some((name.trim().to_owned(), value.trim().to_owned())),
            None => value(item).map(|v| (item.to_owned(), v)),
        };
        let Some((name, value)) = pair.filter(|(name, _)| !name.is_empty()) else { continue };
        out.retain(|(n, _)| *n != name);
        out.push((name, value));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values() {
        let check = |main: &str, want: &[(&str, &str)]| {
            let found = exported(&Config::from_text(main)).unwrap();
            let found: Vec<_> = found.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            assert_eq!(found, want, "{main}");
        };
        check("import_environment =\nexport_environment = TZ HOME\n", &[("PATH", "/usr/bin:/bin")]);
        check(
            "import_environment = LANG=C, { X = a, b }\nexport_environment = LANG X PATH=/x { Y = c d } LANG=D\n",
            &[("X", "a, b"), ("Y", "c d"), ("LANG", "D"), ("PATH", "/usr/bin:/bin")],
        );
    }
}
