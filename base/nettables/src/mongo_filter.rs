//! The filter of a `mongodb:` table: JSON in whose strings parts of the key stand (`query_filter`, mongodb_table(5)).
//!
//! The text is read once, before any key is known; a key is filled into the strings that were read, so that no key can
//! add a field or an operator. In `$regex` it matches itself only; in `$expr` it cannot name a field; a filter that would
//! put it into a program (`$where`, `$function`) or into the name of a field cannot be read.

use crate::template::Template;
use serde_json::{Map, Value};

/// A filter.
#[derive(Debug)]
pub struct Filter(Node);

#[derive(Debug)]
enum Node {
    Fixed(Value),
    Text(Template, Role),
    List(Vec<Node>),
    Fields(Vec<(String, Node)>),
}

/// What a string means to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Value,
    Pattern,
    Expression,
    Program,
}

impl Role {
    /// Below a field of this name.
    fn below(self, name: &str) -> Role {
        match name {
            "$regex" | "$regularExpression" => Role::Pattern,
            "$expr" => Role::Expression,
            "$where" | "$function" | "$accumulator" | "$code" => Role::Program,
            _ => self,
        }
    }
}

impl Filter {
    /// Reads a filter; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Filter, String> {
        match serde_json::from_str(text) {
            Ok(Value::Object(fields)) => fields_of(fields, Role::Value).map(Filter),
            Ok(_) => Err("not a JSON object".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The filter for a key; `None` when the key lacks a part that is named, or cannot stand where it would.
    pub fn for_key(&self, key: &[u8]) -> Option<Value> {
        self.0.fill(key)
    }
}

fn node(value: Value, role: Role) -> Result<Node, String> {
    match value {
        Value::Object(fields) => fields_of(fields, role),
        Value::Array(items) => {
            items.into_iter().map(|item| node(item, role)).collect::<Result<_, _>>().map(Node::List)
        }
        Value::String(text) => {
            let template = read(&text)?;
            let has_key = !template.texts_before_places().is_empty();
            match role {
                Role::Program if has_key => Err(format!("the key cannot stand in a program: {text}")),
                // `$name` is what the field holds.
                Role::Expression if has_key && text.starts_with('$') => Err(in_name(&text)),
                _ => Ok(Node::Text(template, role)),
            }
        }
        other => Ok(Node::Fixed(other)),
    }
}

fn fields_of(fields: Map<String, Value>, role: Role) -> Result<Node, String> {
    let mut read_fields = Vec::new();
    for (name, value) in fields {
        let template = read(&name)?;
        if !template.texts_before_places().is_empty() {
            return Err(in_name(&name));
        }
        let name = filled(&template, b"", Role::Value).unwrap_or(name);
        let value = node(value, role.below(&name))?;
        read_fields.push((name, value));
    }
    Ok(Node::Fields(read_fields))
}

fn in_name(text: &str) -> String {
    format!("the key cannot stand in the name of a field: {text}")
}

fn read(text: &str) -> Result<Template, String> {
    Template::parse(text).ok_or_else(|| format!("Invalid query template: {text}"))
}

impl Node {
    fn fill(&self, key: &[u8]) -> Option<Value> {
        Some(match self {
            Node::Fixed(value) => value.clone(),
            Node::Text(template, role) => Value::String(filled(template, key, *role)?),
            Node::List(items) => items.iter().map(|item| item.fill(key)).collect::<Option<Vec<_>>>()?.into(),
            Node::Fields(fields) => Value::Object(
                fields
                    .iter()
                    .map(|(name, value)| Some((name.clone(), value.fill(key)?)))
                    .collect::<Option<_>>()?,
            ),
        })
    }
}

/// The text for a key.
fn filled(template: &Template, key: &[u8], role: Role) -> Option<String> {
    let begins_with_key = template.texts_before_places().first().is_some_and(|before| before.is_empty());
    let text = template.query(key, |_, part| {
        Some(match role {
            Role::Pattern => literal(part),
            _ => part.to_vec(),
        })
    })?;
    let names_field = role == Role::Expression && begins_with_key && text.starts_with(b"$");
    (!names_field).then(|| String::from_utf8(text).ok()).flatten()
}

/// A pattern that matches just this.
fn literal(part: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(part.len() + 8);
    for &byte in part {
        if byte.is_ascii_punctuation() {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn filters() {
        let cases = [
            (r#"{"a":"%s","n":1}"#, "u@d.ex", Some(json!({"a": "u@d.ex", "n": 1}))),
            (
                r#"{"$or":[{"u":"%u"},{"d":"x.%d"}]}"#,
                "u@d.ex",
                Some(json!({"$or":[{"u":"u"},{"d":"x.d.ex"}]})),
            ),
            (r#"{"d":"%d"}"#, "u", None),
            (r#"{"t":"%2-%1","p":"100%%"}"#, "u@d.ex", Some(json!({"t":"d-ex","p":"100%"}))),
            (r#"{"a":"%s"}"#, r#"x","$where":"1"#, Some(json!({"a": r#"x","$where":"1"#}))),
            (r#"{"a":"%s"}"#, r#"{"$ne":1}"#, Some(json!({"a": r#"{"$ne":1}"#}))),
            (r#"{"a":{"$regex":"^%u$"}}"#, "a.*b", Some(json!({"a":{"$regex":"^a\\.\\*b$"}}))),
            (r#"{"$expr":{"$eq":["$a","%s"]}}"#, "b", Some(json!({"$expr":{"$eq":["$a","b"]}}))),
            (r#"{"$expr":{"$eq":["$a","%s"]}}"#, "$a", None),
            (r#"{"a":"%s"}"#, "$a", Some(json!({"a":"$a"}))),
        ];
        for (text, key, want) in cases {
            assert_eq!(Filter::parse(text).unwrap().for_key(key.as_bytes()), want, "{text} {key}");
        }
        assert_eq!(Filter::parse(r#"{"a":"%s"}"#).unwrap().for_key(b"\xff"), None);
    }

    #[test]
    fn unfit() {
        let cases = [
            (r#"{"a":%s}"#, "expected value at line 1 column 6"),
            (r#"["%s"]"#, "not a JSON object"),
            (r#"{"a":"%q"}"#, "Invalid query template: %q"),
            (r#"{"%s":1}"#, "the key cannot stand in the name of a field: %s"),
            (r#"{"$expr":{"$eq":["$%u",1]}}"#, "the key cannot stand in the name of a field: $%u"),
            (
                r#"{"$expr":{"$eq":["$users.%u",1]}}"#,
                "the key cannot stand in the name of a field: $users.%u",
            ),
            (r#"{"$where":"this.a == '%s'"}"#, "the key cannot stand in a program: this.a == '%s'"),
            (
                r#"{"$expr":{"$function":{"body":"f","args":["%s"]}}}"#,
                "the key cannot stand in a program: %s",
            ),
        ];
        for (text, want) in cases {
            assert_eq!(Filter::parse(text).unwrap_err(), want, "{text}");
        }
    }

    proptest! {
        /// Whatever the key, what the server reads has the fields of the filter, and the key as one value.
        #[test]
        fn a_key_stays_a_value(key in "[a-z'\"\\\\{}\\[\\]:,$%\n\u{0}ä]{0,16}") {
            let filter = Filter::parse(r#"{"$or": [{"a": "%s"}, {"b": "<%S>"}], "active": 1}"#).unwrap();
            let sent = filter.for_key(key.as_bytes()).unwrap().to_string();
            let read: Value = serde_json::from_str(&sent).unwrap();
            prop_assert_eq!(read, json!({"$or": [{"a": key}, {"b": format!("<{key}>")}], "active": 1}));
        }

        /// A pattern made of a key matches the key and nothing else.
        #[test]
        fn a_key_in_a_pattern_matches_itself(key in "[a-c.*+?()\\[\\]{}|^$\\\\-]{1,8}", other in "[a-c.*]{1,8}") {
            let filter = Filter::parse(r#"{"a": {"$regex": "^%s$"}}"#).unwrap().for_key(key.as_bytes()).unwrap();
            let pattern = regex::Regex::new(filter["a"]["$regex"].as_str().unwrap()).unwrap();
            prop_assert!(pattern.is_match(&key));
            prop_assert_eq!(pattern.is_match(&other), other == key);
        }
    }
}
