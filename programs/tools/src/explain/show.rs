//! Steps of a decision as text and as JSON, each with its place: the line of main.cf, the file and line of a table's text.

use base_conf::{Config, main_cf::logical_lines};
use base_tables::{Tables, Usage, block_on};
use mail_restrict::Step;
use serde_json::{Value, json};

/// One line for each step. Without a configuration nothing has a place: the present one need not be that of the past.
pub fn lines(steps: &[Step], config: Option<&Config>) -> Vec<String> {
    let place =
        |name: &str| line_in(config, name).map(|l| format!(" (main.cf, line {l})")).unwrap_or_default();
    let line = |step: &Step| match step {
        Step::List(name) => format!("{name}{}", place(name)),
        Step::Class(name) => format!("  {name}: a class{}", place(name)),
        Step::Asked(name, argument) => format!("  {name} {argument}").trim_end().to_owned(),
        Step::Lookup(table, key, answer) => format!("    {key}: {}", found(table, key, answer)),
        Step::Said(text) => format!("    {text}"),
        Step::Action(text) => format!("    action: {text}"),
        Step::Cut => "    …".to_owned(),
    };
    steps.iter().map(line).collect()
}

/// One object for each step.
pub fn values(steps: &[Step], config: Option<&Config>) -> Vec<Value> {
    let value = |step: &Step| match step {
        Step::List(name) => json!({"list": name, "line": line_in(config, name)}),
        Step::Class(name) => json!({"class": name, "line": line_in(config, name)}),
        Step::Asked(name, argument) => json!({"restriction": name, "argument": argument}),
        Step::Lookup(table, key, answer) => {
            let found = answer.as_ref().ok().and_then(Option::as_ref);
            json!({
                "table": table,
                "key": key,
                "found": found,
                "failed": answer.is_err(),
                "line": found.and_then(|a| line_of(table, key, a)).map(|(_, line)| line),
            })
        }
        Step::Said(text) => json!({"verdict": text}),
        Step::Action(text) => json!({"action": text}),
        Step::Cut => json!({"cut": true}),
    };
    steps.iter().map(value).collect()
}

/// What is done to the message.
pub fn actions(steps: &[Step]) -> Vec<&str> {
    steps
        .iter()
        .filter_map(|step| if let Step::Action(text) = step { Some(text.as_str()) } else { None })
        .collect()
}

fn line_in(config: Option<&Config>, name: &str) -> Option<u32> {
    config?.main_cf().get(name).map(|e| e.line)
}

fn found(table: &str, key: &str, answer: &Result<Option<String>, ()>) -> String {
    match answer {
        Err(()) => "the table cannot be asked".to_owned(),
        Ok(None) => "not there".to_owned(),
        Ok(Some(value)) => match line_of(table, key, value) {
            Some((file, line)) => format!("\"{value}\" ({file}, line {line})"),
            None => format!("\"{value}\""),
        },
    }
}

/// Longest text that is searched.
const MAX_TEXT: u64 = 16 << 20;

/// The file and the line of a table's text that gives the answer.
fn line_of(table: &str, key: &str, value: &str) -> Option<(String, u32)> {
    let (kind, file) = table.trim_start_matches("proxy:").split_once(':')?;
    let size = std::fs::metadata(file).ok().filter(|m| m.is_file()).map(|m| m.len())?;
    if size > MAX_TEXT {
        return None;
    }
    let text = String::from_utf8_lossy(&std::fs::read(file).ok()?).into_owned();
    let patterns = matches!(kind, "regexp" | "pcre" | "cidr");
    let line = logical_lines(&text).into_iter().find(|l| match patterns {
        true => alone(kind, &l.text, key).is_some_and(|answer| answer == value),
        false => l
            .text
            .split_once(char::is_whitespace)
            .is_some_and(|(k, v)| k.eq_ignore_ascii_case(key) && v.trim() == value),
    })?;
    Some((file.to_owned(), line.line))
}

/// What a line of a pattern table gives when it is alone.
fn alone(kind: &str, line: &str, key: &str) -> Option<String> {
    let tables = Tables::new(base_tables::Options::default());
    let table = tables.try_open(&format!("{kind}:{{{{{line}}}}}"), Usage::LOOKUP).ok()?;
    let value = block_on(table.lookup(key.as_bytes())).ok()??;
    Some(String::from_utf8_lossy(&value).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_answer() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("t");
        let spec = |kind: &str| format!("{kind}:{}", file.display());
        std::fs::write(&file, "# c\na.example OK\n192.0.2.7 REJECT go\n  away\n").unwrap();
        let line = |kind: &str, key: &str, value: &str| line_of(&spec(kind), key, value).map(|(_, l)| l);
        assert_eq!(line("hash", "192.0.2.7", "REJECT go  away"), Some(3));
        assert_eq!(line("hash", "192.0.2.8", "OK"), None);
        std::fs::write(&file, "/^x/ OK\n/^(.)@b/ REJECT $1 no\n").unwrap();
        assert_eq!(line("pcre", "a@b", "REJECT a no"), Some(2));
        std::fs::write(&file, "10.0.0.0/8 OK\n192.0.2.0/24 REJECT\n").unwrap();
        assert_eq!(line("cidr", "192.0.2.7", "REJECT"), Some(2));
    }
}
