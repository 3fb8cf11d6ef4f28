//! Who may list and flush the queue (`authorized_mailq_users`, `authorized_flush_users`).
//!
//! Patterns: a login name, `static:` anything, `/file` with patterns, each with `!` in front to exclude. Other table types
//! would need the table code, which this setgid program does not link: they match nobody, and the message says so.

use super::Fatal;
use base_conf::Config;
use base_sys::{privilege, users::User};

/// Refuses the request unless the caller is in the list. The super-user and the mail owner always are.
pub fn check(cfg: &Config, parameter: &str, what: &str) -> Result<(), Fatal> {
    let uid = privilege::real_uid();
    let list = cfg.list(parameter).map_err(|e| Fatal::new(e.to_string()))?;
    let name = User::by_id(uid).ok().flatten().map_or_else(|| "unknown".to_owned(), |u| u.name);
    let is_owner = cfg.str("mail_owner").is_ok_and(|owner| owner == name);
    if uid == 0 || is_owner || is_listed(&list, &name, 0) {
        return Ok(());
    }
    Err(Fatal::new(format!("User {name}({uid}) is not allowed to {what}")))
}

/// The first pattern that matches decides.
fn is_listed(list: &[String], name: &str, depth: u32) -> bool {
    list.iter().find_map(|pattern| verdict(pattern, name, depth)).unwrap_or(false)
}

fn verdict(pattern: &str, name: &str, depth: u32) -> Option<bool> {
    if let Some(rest) = pattern.strip_prefix('!') {
        return verdict(rest, name, depth).map(|v| !v);
    }
    if pattern.starts_with('/') {
        let text = std::fs::read_to_string(pattern).ok().filter(|_| depth < 10)?;
        let items: Vec<String> = base_conf::list::split(&text).into_iter().map(str::to_owned).collect();
        return is_listed(&items, name, depth + 1).then_some(true);
    }
    let matches = pattern.starts_with("static:") || pattern.eq_ignore_ascii_case(name);
    matches.then_some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_match_decides() {
        for (list, name, want) in [
            ("static:anyone", "bob", true),
            ("", "bob", false),
            ("root alice", "alice", true),
            ("root alice", "bob", false),
            ("!bob static:all", "bob", false),
            ("!bob static:all", "eve", true),
            ("hash:/nowhere", "bob", false),
            ("/nowhere/file", "bob", false),
        ] {
            let list: Vec<String> = list.split_whitespace().map(str::to_owned).collect();
            assert_eq!(is_listed(&list, name, 0), want, "{list:?} {name}");
        }
    }
}
