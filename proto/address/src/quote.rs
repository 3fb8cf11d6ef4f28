//! Internal (unquoted) to external (quoted) form and back. RFC 5322 3.4.1, RFC 5321 4.1.2, RFC 6532.
//!
//! Used wherever an envelope address meets a wire: SMTP commands, header lines, log lines show the external form.

use crate::{split_domain, token::Tree};
use std::borrow::Cow;

/// Characters that end an atom, apart from blanks and control characters (RFC 5322 3.2.3).
fn is_special(b: u8) -> bool {
    matches!(b, b'(' | b')' | b'<' | b'>' | b'[' | b']' | b':' | b';' | b'@' | b'\\' | b',' | b'"')
}

/// Whether `local` can stand unquoted: atoms with single dots between them; not empty. Bytes over 127 count as text.
pub fn is_dot_string(local: &str) -> bool {
    let plain = |b: u8| b > b' ' && b != 0x7f && !is_special(b);
    !local.is_empty()
        && local.bytes().all(plain)
        && !local.starts_with('.')
        && !local.ends_with('.')
        && !local.contains("..")
}

/// External form of a local part.
pub fn external_local(local: &str) -> Cow<'_, str> {
    if is_dot_string(local) {
        return Cow::Borrowed(local);
    }
    let mut out = String::with_capacity(local.len() + 4);
    out.push('"');
    for c in local.chars() {
        if matches!(c, '"' | '\\' | '\r') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    Cow::Owned(out)
}

/// External form of an address: its local part (all before the last `@`) quoted where needed.
/// The null address stays empty.
pub fn external(address: &str) -> Cow<'_, str> {
    if address.is_empty() {
        return Cow::Borrowed("");
    }
    let (local, domain) = split_domain(address);
    match (external_local(local), domain) {
        (Cow::Borrowed(_), _) => Cow::Borrowed(address),
        (Cow::Owned(local), None) => Cow::Owned(local),
        (Cow::Owned(local), Some(domain)) => Cow::Owned(local + "@" + domain),
    }
}

/// Internal form of an address in external form: quotes and backslashes removed.
pub fn internal(address: &str) -> Cow<'_, str> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'@' | b'.' | b'-' | b'_' | b'+' | b'=');
    if address.bytes().all(plain) {
        return Cow::Borrowed(address);
    }
    Cow::Owned(Tree::scan(address).internal())
}
