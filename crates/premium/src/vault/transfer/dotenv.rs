//! Lines of `NAME=value`, as `.env` files have them.
//!
//! Ours, because the crates for such files put variables of the process's own environment into the values (`${HOME}`):
//! on a server that would hand out what stands in its environment, and everywhere it would change values. Here nothing is put in:
//! a value that refers to a variable is refused by its line.
//!
//! What is read: `NAME=value`, `export ` before it, comments, values without quotes (up to ` #`, trimmed), in single quotes
//! (as they are), and in double quotes with `\n`, `\r`, `\t`, `\"`, `\\`, `\$`; both kinds of quotes may go over lines.

use aim_crypto::secret::SecretString;
use zeroize::Zeroizing;

/// Names with their values, in their order.
///
/// # Errors
/// The line at fault, without what stands there.
pub(super) fn parse(text: &str) -> Result<Vec<(String, SecretString)>, String> {
    let mut reader = Reader {
        rest: text.strip_prefix('\u{feff}').unwrap_or(text),
        line: 1,
    };
    let mut pairs = Vec::new();
    while reader.skip_to_entry() {
        pairs.push(reader.entry()?);
    }
    Ok(pairs)
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
}

impl Reader<'_> {
    fn refuse<T>(&self, problem: &str) -> Result<T, String> {
        Err(format!("line {}: {problem}", self.line))
    }

    fn next(&mut self) -> Option<char> {
        let mut characters = self.rest.chars();
        let next = characters.next()?;
        self.rest = characters.as_str();
        if next == '\n' {
            self.line += 1;
        }
        Some(next)
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn skip_line(&mut self) {
        while self.next().is_some_and(|next| next != '\n') {}
    }

    /// Skips what is blank or a comment; answers whether there is more.
    fn skip_to_entry(&mut self) -> bool {
        loop {
            match self.peek() {
                None => return false,
                Some('#') => self.skip_line(),
                Some(next) if next.is_whitespace() => {
                    self.next();
                }
                Some(_) => return true,
            }
        }
    }

    fn skip_blanks(&mut self) {
        while self.peek().is_some_and(|next| next == ' ' || next == '\t') {
            self.next();
        }
    }

    fn entry(&mut self) -> Result<(String, SecretString), String> {
        if let Some(rest) = self.rest.strip_prefix("export ") {
            self.rest = rest;
            self.skip_blanks();
        }
        let mut name = String::new();
        while let Some(next) = self
            .peek()
            .filter(|next| next.is_ascii_alphanumeric() || matches!(next, '_' | '.' | '-'))
        {
            name.push(next);
            self.next();
        }
        if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
            return self.refuse("this does not begin with a name");
        }
        self.skip_blanks();
        if self.peek() != Some('=') {
            return self.refuse("there is no '=' behind the name");
        }
        self.next();
        self.skip_blanks();
        let value = match self.peek() {
            Some('\'') => self.single()?,
            Some('"') => self.double()?,
            _ => return Ok((name, self.plain()?)),
        };
        self.skip_blanks();
        match self.peek() {
            None | Some('\n' | '\r') => {}
            Some('#') => self.skip_line(),
            Some(_) => return self.refuse("something stands behind the closing quote"),
        }
        Ok((name, value))
    }

    fn plain(&mut self) -> Result<SecretString, String> {
        let end = self.rest.find('\n').unwrap_or(self.rest.len());
        let (line, _) = self.rest.split_at(end);
        let comment = if line.starts_with('#') {
            Some(0)
        } else {
            line.find(" #").or_else(|| line.find("\t#"))
        };
        let value = line.get(..comment.unwrap_or(line.len())).unwrap_or(line).trim();
        if value.contains("${") {
            return self.refuse(REFERS);
        }
        let value = SecretString::from(value);
        self.skip_line();
        Ok(value)
    }

    fn single(&mut self) -> Result<SecretString, String> {
        self.next();
        let Some(end) = self.rest.find('\'') else {
            return self.refuse("the quote is not closed");
        };
        let (value, _) = self.rest.split_at(end);
        let (value, lines) = (SecretString::from(value), value.matches('\n').count());
        self.rest = self.rest.get(end + 1..).unwrap_or_default();
        self.line += lines;
        Ok(value)
    }

    fn double(&mut self) -> Result<SecretString, String> {
        self.next();
        let Some(end) = closing_quote(self.rest) else {
            return self.refuse("the quote is not closed");
        };
        // Sized in advance: a growing text would leave copies behind.
        let mut value = Zeroizing::new(String::with_capacity(end));
        loop {
            match self.next() {
                None => return self.refuse("the quote is not closed"),
                Some('"') => return Ok(SecretString::from(value.as_str())),
                Some('$') if self.peek() == Some('{') => return self.refuse(REFERS),
                Some('\\') => match self.next() {
                    Some('n') => value.push('\n'),
                    Some('r') => value.push('\r'),
                    Some('t') => value.push('\t'),
                    Some(same @ ('"' | '\\' | '$' | '\'')) => value.push(same),
                    Some('\n') => {}
                    _ => return self.refuse("after '\\' stands n, r, t, a quote, '$' or '\\'"),
                },
                Some(next) => value.push(next),
            }
        }
    }
}

/// Where the next double quote stands that no backslash stands before.
fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })
}

const REFERS: &str = "the value refers to a variable, which is not put in; if it is meant as it stands, write it in single quotes";

#[cfg(test)]
mod tests {
    use super::parse;

    fn read(text: &str) -> Vec<(String, String)> {
        let pairs = parse(text).unwrap();
        let pairs = pairs.into_iter();
        pairs
            .map(|(name, value)| (name, value.expose().to_owned()))
            .collect()
    }

    #[test]
    fn values_are_read_as_they_are_meant() {
        for (text, value) in [
            ("A=b", "b"),
            ("A = b c ", "b c"),
            ("export A=b", "b"),
            ("\u{feff}A=b\r\n", "b"),
            ("# first\n\nA=b # comment", "b"),
            ("A=b#c", "b#c"),
            ("A=", ""),
            ("A= # nothing", ""),
            ("A='b # ${c} \\n'", "b # ${c} \\n"),
            ("A=\"b\\n\\\"c\\\" \\${d} \\\\\" # comment", "b\n\"c\" ${d} \\"),
            ("A=\"-----BEGIN\nline\n-----END\"", "-----BEGIN\nline\n-----END"),
            ("A='one\ntwo'", "one\ntwo"),
            ("A=pa$$word=", "pa$$word="),
            ("A=\"ä$b\"", "ä$b"),
        ] {
            assert_eq!(read(text), [("A".to_owned(), value.to_owned())], "{text:?}");
        }
        let names: Vec<String> = read("A=1\nB.b-1=2\n_c=3")
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names, ["A", "B.b-1", "_c"]);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_its_line_and_not_repeated() {
        for (text, line) in [
            ("A=1\ncanary", 2),
            ("A=1\n\n=canary", 3),
            ("1A=canary", 1),
            ("A='one\ntwo'\nB=\"canary", 3),
            ("A='canary", 1),
            ("A='x' canary", 1),
            ("A=\"canary\\x\"", 1),
            ("A=1\nB=${HOME}canary", 2),
            ("A=\"canary${HOME}\"", 1),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(&format!("line {line}: ")), "{text:?}: {error}");
            assert!(!error.contains("canary"));
        }
    }
}
