//! The client of programs/courier.
