//! Folding keys to lower case without allocating in the usual case.

/// Calls `f` with `key` in lower case: ASCII by byte, other text by Unicode when it is valid UTF-8.
pub fn folded<T>(key: &[u8], f: impl FnOnce(&[u8]) -> T) -> T {
    if key.is_ascii() {
        if !key.iter().any(u8::is_ascii_uppercase) {
            return f(key);
        }
        let mut buffer = [0u8; 256];
        if let Some(copy) = buffer.get_mut(..key.len()) {
            copy.copy_from_slice(key);
            copy.make_ascii_lowercase();
            return f(copy);
        }
        return f(&key.to_ascii_lowercase());
    }
    match std::str::from_utf8(key) {
        Ok(text) => f(text.to_lowercase().as_bytes()),
        Err(_) => f(&key.to_ascii_lowercase()),
    }
}

/// [`folded`] when `fold` is set, else the key as it is.
pub fn fold_if<T>(fold: bool, key: &[u8], f: impl FnOnce(&[u8]) -> T) -> T {
    if fold { folded(key, f) } else { f(key) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn folds() {
        let long = "X".repeat(1000);
        for (from, to) in [("abc", "abc"), ("aBc", "abc"), ("ÄB", "äb"), (&long, &long.to_lowercase())] {
            assert_eq!(super::folded(from.as_bytes(), <[u8]>::to_vec), to.as_bytes());
        }
        assert_eq!(super::folded(b"A\xff", <[u8]>::to_vec), b"a\xff");
        assert_eq!(super::fold_if(false, b"A", <[u8]>::to_vec), b"A");
    }
}
