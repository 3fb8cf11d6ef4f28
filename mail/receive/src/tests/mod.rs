//! Dialogues through the real driver over an in-memory connection, with a fake queue and a fake router.

mod content;
mod dialogue;
mod guessing;
mod restrictions;
mod screen;
mod users;
mod world;
