//! The operating system behind small safe functions: the only crate of Hikyaku that may contain `unsafe`.
//!
//! - [`users`]: the password and group databases; [`privilege`]: becoming another user, for good.
//! - [`locks`]: flock, fcntl and dot locks (postconf(5) `mailbox_delivery_lock`).
//! - [`handoff`]: what master tells worker and courier (listening sockets, reload, stop) over an inherited socket.
//! - [`opener`]: opening files for reading, also through master ("open for me").
//! - [`fds`]: descriptors over Unix sockets, memory files, close-on-exec.
//! - [`process`]: starting children, waiting for them, signals as a descriptor; [`daemon`]: going to the background.
//! - [`regex`]: POSIX regular expressions; [`lmdb`]: reading LMDB files.
//! - [`limits`]: umask and resource limits; [`disk`]: free space; [`mapping`]: a file as memory; [`sandbox`]: giving up what a process will never need.
//!
//! Every function reports failure as an `io::Error` of the system call, with what was attempted in the text where
//! that is not obvious. No function changes global state of the process unless its name says so.

pub mod daemon;
pub mod disk;
pub mod effective;
pub mod fds;
pub mod handoff;
pub mod limits;
pub mod lmdb;
pub mod locks;
pub mod mapping;
pub mod opener;
pub mod privilege;
pub mod process;
pub mod regex;
pub mod sandbox;
pub mod users;

pub use users::{Group, User};

/// An `io::Error` with what was attempted before the system's reason.
pub(crate) fn explain(what: impl std::fmt::Display, error: impl Into<std::io::Error>) -> std::io::Error {
    let error = error.into();
    std::io::Error::new(error.kind(), format!("{what}: {}", system_text(&error)))
}

/// The system's text for an error without Rust's ` (os error N)`, as `strerror` gives it: `No such file or directory`.
pub fn system_text(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(at) if error.raw_os_error().is_some() => text[..at].to_owned(),
        _ => text,
    }
}
