//! The server session.
