//! aliases(5): what stands on the right side of an alias, taken apart.
//!
//! Addresses, `|command`, `/file/name`, `:include:/file/name`, and `\user` (the user, not the alias), separated by commas;
//! quoting, comments and phrases as in a header. Nothing is looked up here.

use proto_address::Tree;

/// One member of an alias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Member {
    /// An address in internal form; a local part without domain is of this machine.
    Address(String),
    /// `\user`: the mailbox of that user.
    User(String),
    /// `|command`.
    Command(String),
    /// `/file/name` or `/folder/`.
    File(String),
    /// `:include:/file/name`.
    Include(String),
}

/// At most so many members; more is an administrator's mistake or an attack on memory.
pub const MAX_MEMBERS: usize = 100_000;

/// At most so many tokens in one member.
const MAX_TOKENS: usize = 10_240;

/// Takes a right side apart.
pub fn members(text: &str) -> Vec<Member> {
    split(text).filter(|p| !p.is_empty()).take(MAX_MEMBERS).flat_map(|p| member(&p)).collect()
}

/// Cuts at commas that are not quoted, in a comment or between angle brackets.
fn split(text: &str) -> impl Iterator<Item = String> {
    let (mut out, mut part) = (Vec::new(), String::new());
    let (mut quoted, mut escaped, mut depth) = (false, false, 0u32);
    for c in text.chars() {
        let special = !escaped;
        escaped = special && c == '\\';
        match c {
            ',' if special && !quoted && depth == 0 => {
                out.push(std::mem::take(&mut part).trim().to_owned());
                continue;
            }
            '"' if special && depth == 0 => quoted = !quoted,
            '(' if special && !quoted => depth += 1,
            ')' if special && !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        part.push(c);
    }
    out.push(part.trim().to_owned());
    out.into_iter()
}

fn member(part: &str) -> Vec<Member> {
    let bare = unquoted(part);
    let bare = bare.as_str();
    if let Some(file) = strip_include(bare) {
        return vec![Member::Include(unquoted(file.trim()))];
    }
    if let Some(command) = bare.strip_prefix('|') {
        // Both "|command words" and |"command words" are written.
        return vec![Member::Command(unquoted(command.trim()).trim().to_owned())];
    }
    if bare.starts_with('/') && !bare.contains('@') {
        return vec![Member::File(bare.to_owned())];
    }
    if let Some(user) = part.strip_prefix('\\') {
        return vec![Member::User(user.to_owned())];
    }
    Tree::parse(part, MAX_TOKENS).addresses().filter(|a| !a.is_empty()).map(Member::Address).collect()
}

fn strip_include(text: &str) -> Option<&str> {
    const WORD: &str = ":include:";
    let (head, rest) = text.split_at_checked(WORD.len())?;
    head.eq_ignore_ascii_case(WORD).then_some(rest)
}

/// The inside of a part that is one quoted string as a whole.
fn unquoted(part: &str) -> String {
    let Some(inside) = part.strip_prefix('"').and_then(|p| p.strip_suffix('"')) else {
        return part.to_owned();
    };
    let mut out = String::with_capacity(inside.len());
    let mut chars = inside.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            '"' => return part.to_owned(),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str) {
        let list: Vec<String> = members(text)
            .into_iter()
            .map(|m| match m {
                Member::Address(a) => a,
                Member::User(u) => format!("\\{u}"),
                Member::Command(c) => format!("|{c}"),
                Member::File(f) => format!("file {f}"),
                Member::Include(f) => format!("include {f}"),
            })
            .collect();
        assert_eq!(list.join(" ; "), expect, "{text}");
    }

    #[test]
    fn right_sides() {
        check("alice", "alice");
        check("alice, bob@example.com", "alice ; bob@example.com");
        check("\"alice\"@example.com, <bob>", "alice@example.com ; bob");
        check("\"a, b\"@example.com", "a, b@example.com");
        check("Bob Test <bob@example.com> (one, two), \\carol", "bob@example.com ; \\carol");
        check("\"|/usr/bin/vacation -a \\\"x\\\" user\", user", "|/usr/bin/vacation -a \"x\" user ; user");
        check("|cat", "|cat");
        check("|\"cat -n\", | \"echo \\\"q  r\\\"\"", "|cat -n ; |echo \"q  r\"");
        check("|echo \"a b\"", "|echo \"a b\"");
        check(":include:\"/etc/a b\"", "include /etc/a b");
        check("/var/box, /var/md/, \"/a b\"", "file /var/box ; file /var/md/ ; file /a b");
        check(":include:/etc/list, \":Include:/etc/other\"", "include /etc/list ; include /etc/other");
        check("", "");
        check(" , ,", "");
        check("/o=x/c=us@example.com", "/o=x/c=us@example.com");
    }

    #[test]
    fn odd_input_is_survived() {
        for text in ["\"", "\\", "(", "a (b", "<", ">,<", "\"a\\", "|", ":include:", "\"|\"", ",\\,"] {
            let _ = members(text);
        }
    }
}
