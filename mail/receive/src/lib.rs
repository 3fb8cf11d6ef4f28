//! Receiving mail: smtpd(8), and pickup(8) for what `sendmail` left in the maildrop.
//!
//! [`SmtpServer::serve`] drives the pure session of proto/smtp over one connection: client names, limits and rates,
//! restrictions, the Received: header, content into [`Submit`](base_calls::Submit), log lines. A client's `250` after its
//! message is sent only when the message is durable. Whatever the client does ends in a reply or a closed
//! connection, never in an error for the caller; every wait for it has a time limit.
//! A waiting connection holds no buffers. RFC 5321, smtpd(8), pickup(8).

mod anvil;
mod auth;
mod chat;
mod client;
mod commands;
mod config;
mod connection;
mod content;
mod escape;
mod filter;
mod greeting;
mod message;
mod milters;
mod pickup;
mod proxy;
mod received;
mod reply;
mod sasl;
mod screen;
mod server;
mod starttls;
mod tls;
mod transcript;
mod users;
mod xclient;

pub use anvil::Anvil;
pub use config::SmtpConfig;
pub use pickup::{Pickup, PickupConfig, Scanned, Scans};
pub use screen::{Screen, ScreenConfig};
pub use server::{Deps, Flush, FlushDomain, SmtpServer, StartError};

#[cfg(test)]
mod tests;
