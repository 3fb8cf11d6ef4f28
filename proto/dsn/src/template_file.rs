//! The file of `bounce_template_file` (bounce(5)): templates with headers and text, in front of the built-in ones.
//!
//! Called by mail/bounce for notices and by `postconf -b` and `-t`. A template that cannot be used is left out with a warning, and the
//! built-in one stays; a file that cannot be understood at all is an [`Unreadable`]. Warnings and errors are Postfix's sentences.

use crate::Template;

/// The four templates, and what was wrong with the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Templates {
    /// `failure_template`
    pub failure: Template,
    /// `delay_template`
    pub delay: Template,
    /// `success_template`
    pub success: Template,
    /// `verify_template`
    pub verify: Template,
    /// What was left out, and why.
    pub warnings: Vec<String>,
}

/// Why no template could be read; the text names file and line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub String);

impl Default for Templates {
    fn default() -> Self {
        Self {
            failure: Template::failure(),
            delay: Template::delay(),
            success: Template::success(),
            verify: Template::verify(),
            warnings: Vec::new(),
        }
    }
}

impl Templates {
    /// Reads the text of the file called `file`.
    pub fn parse(text: &str, file: &str) -> Result<Self, Unreadable> {
        let mut reader =
            Reader { lines: text.split_inclusive('\n').peekable(), number: 1, file, warnings: Vec::new() };
        let mut out = Self::default();
        while let Some((name, value)) = reader.definition()? {
            match out.slot(&name) {
                Some((kind, slot)) => match fill(slot, kind, &value, file) {
                    Ok(template) => *slot = template,
                    Err(mut warnings) => reader.warnings.append(&mut warnings),
                },
                None => reader.warn(&format!("unknown template name: {name} -- ignoring this template")),
            }
        }
        out.warnings = reader.warnings;
        Ok(out)
    }

    /// Each with its name in front of `_template`, in the order of `postconf -t`.
    pub fn all(&self) -> [(&'static str, &Template); 4] {
        [
            ("failure", &self.failure),
            ("delay", &self.delay),
            ("success", &self.success),
            ("verify", &self.verify),
        ]
    }

    fn slot(&mut self, name: &str) -> Option<(&'static str, &mut Template)> {
        Some(match name {
            "failure_template" => ("failure", &mut self.failure),
            "delay_template" => ("delay", &mut self.delay),
            "success_template" => ("success", &mut self.success),
            "verify_template" => ("verify", &mut self.verify),
            _ => return None,
        })
    }
}

/// A blank line or a comment.
fn skip(line: &str) -> bool {
    let content = line.trim_start();
    content.is_empty() || content.starts_with('#')
}

/// Definitions as they stand in the file.
struct Reader<'a> {
    lines: std::iter::Peekable<std::str::SplitInclusive<'a, char>>,
    /// Of the line that is read next.
    number: u32,
    file: &'a str,
    warnings: Vec<String>,
}

impl<'a> Reader<'a> {
    fn warn(&mut self, what: &str) {
        self.warnings.push(format!("{}, line {}: {what}", self.file, self.number));
    }

    fn line(&mut self) -> Option<&'a str> {
        self.number += 1;
        let line = self.lines.next()?;
        Some(line.strip_suffix('\n').unwrap_or(line))
    }

    /// A line with its continuation lines; blank lines and comments are skipped.
    fn logical(&mut self) -> Option<String> {
        let mut out = loop {
            let line = self.line()?;
            if !skip(line) {
                break line.to_owned();
            }
        };
        while let Some(next) = self.lines.peek().copied() {
            if !skip(next) && !next.starts_with([' ', '\t']) {
                break;
            }
            if let Some(line) = self.line()
                && !skip(line)
            {
                out.push_str(line);
            }
        }
        Some(out)
    }

    fn definition(&mut self) -> Result<Option<(String, String)>, Unreadable> {
        // A text in `<<` starts on the very next line, so that it must not be taken for continuation lines.
        while self.lines.peek().is_some_and(|l| skip(l)) {
            self.line();
        }
        let Some(first) = self.lines.peek().copied() else { return Ok(None) };
        let whole = if first.contains("<<") { self.line().map(str::to_owned) } else { self.logical() };
        let whole = whole.unwrap_or_default();
        let whole = whole.trim();
        let fail =
            |number: u32, what: String| Err(Unreadable(format!("{}, line {number}: {what}", self.file)));
        let Some((name, value)) = whole.split_once('=') else {
            return fail(self.number, format!("missing '=' after attribute name: \"{whole}\""));
        };
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() {
            return fail(self.number, format!("missing attribute name: \"{whole}\""));
        }
        let Some(end) = value.strip_prefix("<<") else {
            return Ok(Some((name.to_owned(), format!("{value}\n"))));
        };
        let end = end.trim();
        if end.is_empty() {
            return fail(self.number, "missing end marker after <<".to_owned());
        }
        Ok(Some((name.to_owned(), self.text(end))))
    }

    fn text(&mut self, end: &str) -> String {
        let mut out = String::new();
        while let Some(line) = self.line() {
            if line.strip_suffix('\r').unwrap_or(line) == end {
                return out;
            }
            out.push_str(line);
            out.push('\n');
        }
        self.number -= 1;
        self.warn(&format!("missing \"{end}\" end marker"));
        out
    }
}

/// A template with what `value` says instead of the built-in words.
fn fill(built_in: &Template, kind: &str, value: &str, file: &str) -> Result<Template, Vec<String>> {
    let mut out = Template { source: file.to_owned(), ..built_in.clone() };
    let ignored = |what: String| vec![format!("{file}: {what} in {kind} template -- ignoring this template")];
    let mut rest = value;
    while let Some((line, after)) = rest.split_once('\n') {
        if line.is_empty() {
            rest = after;
            break;
        }
        let Some((label, content)) = header(line) else { break };
        let field = match label.to_ascii_lowercase().as_str() {
            "charset" => &mut out.charset,
            "from" => &mut out.from,
            "subject" => &mut out.subject,
            "postmaster-subject" => &mut out.postmaster_subject,
            _ => return Err(ignored(format!("unknown \"{label}\" header label"))),
        };
        if content.is_empty() {
            return Err(ignored(format!("empty \"{label}\" header value")));
        }
        if !content.is_ascii() || content.contains('\0') {
            return Err(ignored(format!("non-ASCII \"{label}\" header value")));
        }
        content.clone_into(field);
        rest = after;
    }
    if rest.is_empty() {
        return Err(ignored("missing message text".to_owned()));
    }
    if !rest.is_ascii() && out.charset.eq_ignore_ascii_case("us-ascii") {
        return Err(vec![
            format!("{file}: 8-bit message text in {kind} template"),
            "please specify a charset value other than us-ascii".to_owned(),
            "-- ignoring this template for now".to_owned(),
        ]);
    }
    rest.clone_into(&mut out.text);
    Ok(out)
}

/// `Label: content`; a line that is none begins the text.
fn header(line: &str) -> Option<(&str, &str)> {
    let (label, content) = line.split_once(':')?;
    let label = label.trim_end_matches([' ', '\t']);
    let good = !label.is_empty() && label.bytes().all(|b| b.is_ascii_graphic());
    good.then(|| (label, content.trim_start_matches([' ', '\t'])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str) {
        let shown = match Templates::parse(text, "f") {
            Err(e) => format!("fatal: {e}"),
            Ok(t) => {
                let own = t.all().into_iter().filter(|(_, t)| t.source == "f");
                let own =
                    own.map(|(k, t)| format!("{k} {}|{}|{}|{:?}", t.charset, t.from, t.subject, t.text));
                own.chain(t.warnings.iter().cloned()).collect::<Vec<_>>().join("\n")
            }
        };
        assert_eq!(shown, expect, "{text}");
    }

    const FROM: &str = "Mail Delivery System <MAILER-DAEMON>";

    #[test]
    fn templates() {
        check("", "");
        check(
            "# c\n\nfailure_template = <<EOF\nsubject:  Hi \n\nT $x\n#y\n\n z\nEOF\n",
            &format!("failure us-ascii|{FROM}|Hi |\"T $x\\n#y\\n\\n z\\n\""),
        );
        check(
            "verify_template=<<E\nCharset: utf-8\nFrom: x\nSubject: s\nüber\nE\n",
            "verify utf-8|x|s|\"über\\n\"",
        );
        check(
            "delay_template = abc\n",
            &format!("delay us-ascii|{FROM}|Delayed Mail (still being retried)|\"abc\\n\""),
        );
        check(
            "delay_template = <<E\nSubject: a\n folded\nE",
            &format!("delay us-ascii|{FROM}|a|\" folded\\n\""),
        );
        check(
            "delay_template = <<E\nSubject: a\n\nx\nE\ndelay_template = << E \nSubject: b\n\ny\nE",
            &format!("delay us-ascii|{FROM}|b|\"y\\n\""),
        );
    }

    #[test]
    fn left_out() {
        let left = |what: &str| format!("f: {what} in failure template -- ignoring this template");
        check("failure_template = <<E\nFoo: x\n\nT\nE\n", &left("unknown \"Foo\" header label"));
        check("failure_template = <<E\nSubject: x\nE\n", &left("missing message text"));
        check("failure_template = <<E\nSubject:\n\nT\nE\n", &left("empty \"Subject\" header value"));
        check("failure_template = <<E\nSubject: ü\n\nT\nE\n", &left("non-ASCII \"Subject\" header value"));
        check(
            "failure_template = <<E\n\nü\nE\n",
            "f: 8-bit message text in failure template\nplease specify a charset value other than us-ascii\n-- ignoring this template for now",
        );
        check(
            "x_template = <<E\n\nT\nE\n",
            "f, line 5: unknown template name: x_template -- ignoring this template",
        );
        check(
            "x_template = <<E\n\nT\n",
            "f, line 4: missing \"E\" end marker\nf, line 4: unknown template name: x_template -- ignoring this template",
        );
    }

    #[test]
    fn unreadable() {
        check(
            "failure_template\n",
            "fatal: f, line 2: missing '=' after attribute name: \"failure_template\"",
        );
        check("= <<E\nE\n", "fatal: f, line 2: missing attribute name: \"= <<E\"");
        check("a = <<\nE\n", "fatal: f, line 2: missing end marker after <<");
    }
}
