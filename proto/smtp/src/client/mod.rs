//! The client session (written by mail/deliver's author).
