//! The only place that writes to standard output. A reader that went away (`aim … | head`) is no error.

use std::io::{self, Write};

use serde::Serialize;

/// Writes one line and flushes, so that whoever waits for it sees it now.
pub(crate) fn line(text: impl AsRef<str>) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{}", text.as_ref());
    let _ = out.flush();
}

/// Writes `value` as indented JSON.
pub(crate) fn json(value: &impl Serialize) {
    line(serde_json::to_string_pretty(value).unwrap_or_default());
}

/// Writes text as it is.
pub(crate) fn raw(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

/// Tells on standard error what went wrong.
pub(crate) fn complaint(text: impl AsRef<str>) {
    let _ = writeln!(io::stderr().lock(), "aim: {}", text.as_ref());
}

/// Columns that line up; the first row is the heading.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_end_without_spaces() {
        let rows = [["name", "status"], ["größer", "active"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(table(&rows), "name    status\ngrößer  active\n");
    }
}
