//! `cleanup_replace_stray_cr_lf`: a CR that does not end a line becomes a blank, so that no server downstream can take it
//! for a line end (postconf(5), RFC 5321 2.3.8).
//!
//! Content comes in chunks that may end anywhere; a CR at the end of one is held back until the next byte is known. Chunks
//! without a stray CR pass as they are.

use std::borrow::Cow;

/// Watches for stray CRs.
#[derive(Debug, Default)]
pub(crate) struct StrayCr {
    held: bool,
}

impl StrayCr {
    /// The chunk as it is to be passed on.
    pub(crate) fn push<'a>(&mut self, chunk: &'a [u8]) -> Cow<'a, [u8]> {
        let Some(last) = chunk.last() else { return Cow::Borrowed(chunk) };
        let ends_in_cr = *last == b'\r';
        if !self.held && !ends_in_cr && !has_stray(chunk) {
            return Cow::Borrowed(chunk);
        }
        let mut out = Vec::with_capacity(chunk.len() + 1);
        if std::mem::replace(&mut self.held, ends_in_cr) {
            out.push(b'\r');
        }
        out.extend_from_slice(chunk);
        if ends_in_cr {
            out.pop();
        }
        blank(&mut out, self.held);
        Cow::Owned(out)
    }

    /// The end of the content: what was held back.
    pub(crate) fn finish(&mut self) -> &'static [u8] {
        if std::mem::take(&mut self.held) { b" " } else { b"" }
    }
}

fn has_stray(bytes: &[u8]) -> bool {
    memchr::memchr_iter(b'\r', bytes).any(|i| bytes.get(i + 1) != Some(&b'\n'))
}

/// Replaces what is stray. `more`: a CR follows these bytes.
fn blank(bytes: &mut [u8], more: bool) {
    for i in 0..bytes.len() {
        let next = bytes.get(i + 1).copied().or(more.then_some(b'\r'));
        if let Some(b) = bytes.get_mut(i)
            && *b == b'\r'
            && next != Some(b'\n')
        {
            *b = b' ';
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(content: &str, size: usize) -> String {
        let (mut stray, mut out) = (StrayCr::default(), Vec::new());
        for chunk in content.as_bytes().chunks(size) {
            out.extend_from_slice(&stray.push(chunk));
        }
        out.extend_from_slice(stray.finish());
        String::from_utf8(out).unwrap().replace("\r\n", "|")
    }

    #[test]
    fn replaces_what_is_stray() {
        for (content, want) in [
            ("", ""),
            ("a\r\nb\r\n", "a|b|"),
            ("a\rb\r\n", "a b|"),
            ("\r\r\n\r", " | "),
            ("a\r\r\rb\r\n\r\n", "a   b||"),
        ] {
            for size in [1, 2, 3, 1000] {
                assert_eq!(run(content, size), want, "{content:?} by {size}");
            }
        }
    }
}
