//! What goes wrong while talking to a peer, and the words of the C library for it.
//!
//! Log lines and replies show `strerror` texts ("Connection refused") as Postfix does; [`os_text`] gives them
//! without Rust's " (os error 111)".

use std::io;

/// Why a read or write did not happen.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The peer closed the connection, or it broke.
    #[error("lost connection")]
    Closed,
    /// The time limit of the operation or of the whole request passed.
    #[error("timeout")]
    TimedOut,
    /// Anything else from the operating system.
    #[error("{}", os_text(.0))]
    Io(io::Error),
}

impl From<io::Error> for NetError {
    fn from(e: io::Error) -> Self {
        use io::ErrorKind as K;
        match e.kind() {
            K::UnexpectedEof
            | K::ConnectionReset
            | K::ConnectionAborted
            | K::BrokenPipe
            | K::NotConnected => Self::Closed,
            K::TimedOut => Self::TimedOut,
            _ => Self::Io(e),
        }
    }
}

/// The operating system's words for an error: `Connection refused`.
pub fn os_text(e: &io::Error) -> String {
    if e.kind() == io::ErrorKind::TimedOut {
        return "Connection timed out".to_owned();
    }
    let text = e.to_string();
    match text.rfind(" (os error ") {
        Some(at) if text.ends_with(')') => text.get(..at).unwrap_or(&text).to_owned(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_c_library() {
        for (errno, want) in [
            (111, "Connection refused"),
            (110, "Connection timed out"),
            (101, "Network is unreachable"),
            (2, "No such file or directory"),
        ] {
            assert_eq!(os_text(&io::Error::from_raw_os_error(errno)), want);
        }
        assert_eq!(os_text(&io::ErrorKind::TimedOut.into()), "Connection timed out");
        assert_eq!(os_text(&io::Error::other("own words")), "own words");
    }

    #[test]
    fn kinds() {
        assert!(matches!(NetError::from(io::Error::from_raw_os_error(104)), NetError::Closed));
        assert!(matches!(NetError::from(io::Error::from_raw_os_error(32)), NetError::Closed));
        assert!(matches!(NetError::from(io::Error::from_raw_os_error(5)), NetError::Io(_)));
    }
}
