//! (filled in below)
/// A token, or an address made of tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// Anything.
    Atom(String),
}
/// A header value or an address as a row of nodes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree {
    /// The nodes.
    pub nodes: Vec<Node>,
}
impl Tree {
    /// Tokens only, no address nodes.
    pub fn scan(_text: &str) -> Self {
        todo!()
    }
    /// Internal form.
    pub fn internal(&self) -> String {
        todo!()
    }
}
