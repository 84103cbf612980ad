//! What changed between two texts, line by line, as a page shows it.

/// Texts of more lines than this are shown whole, the earlier before the later.
const MOST_LINES: usize = 400;
/// How many unchanged lines stand around a change.
const AROUND: usize = 2;

/// A line, and whether it went (`-`), came (`+`), stayed (` `), or stands for lines that were left out (`…`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// `-`, `+`, a space or `…`.
    pub(super) sign: char,
    /// The line.
    pub(super) text: String,
}

impl Line {
    fn new(sign: char, text: &str) -> Self {
        Self {
            sign,
            text: text.to_owned(),
        }
    }

    /// The class of its row.
    pub(super) const fn class(&self) -> &'static str {
        match self.sign {
            '-' => "diff-removed",
            '+' => "diff-added",
            _ => "diff-same",
        }
    }

    /// What a screen reader says before it.
    pub(super) const fn spoken(&self) -> &'static str {
        match self.sign {
            '-' => "Removed: ",
            '+' => "Added: ",
            _ => "",
        }
    }
}

/// What changed from `before` to `after`.
pub(super) fn between(before: &str, after: &str) -> Vec<Line> {
    let (before, after): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    if before.len() > MOST_LINES || after.len() > MOST_LINES {
        let gone = before.iter().map(|line| Line::new('-', line));
        return gone
            .chain(after.iter().map(|line| Line::new('+', line)))
            .collect();
    }
    shortened(&aligned(&before, &after))
}

/// The longest common subsequence, with what is not in it.
fn aligned(before: &[&str], after: &[&str]) -> Vec<Line> {
    // lengths[i][j]: how many lines before[i..] and after[j..] have in common.
    let width = after.len() + 1;
    let mut lengths = vec![0_usize; (before.len() + 1) * width];
    let at = |lengths: &[usize], i: usize, j: usize| lengths.get(i * width + j).copied().unwrap_or(0);
    for (i, line) in before.iter().enumerate().rev() {
        for (j, other) in after.iter().enumerate().rev() {
            let length = if line == other {
                at(&lengths, i + 1, j + 1) + 1
            } else {
                at(&lengths, i + 1, j).max(at(&lengths, i, j + 1))
            };
            if let Some(place) = lengths.get_mut(i * width + j) {
                *place = length;
            }
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    loop {
        match (before.get(i), after.get(j)) {
            (Some(line), Some(other)) if line == other => {
                lines.push(Line::new(' ', line));
                (i, j) = (i + 1, j + 1);
            }
            (Some(line), other) if other.is_none() || at(&lengths, i + 1, j) >= at(&lengths, i, j + 1) => {
                lines.push(Line::new('-', line));
                i += 1;
            }
            (_, Some(other)) => {
                lines.push(Line::new('+', other));
                j += 1;
            }
            (Some(line), None) => {
                lines.push(Line::new('-', line));
                i += 1;
            }
            (None, None) => return lines,
        }
    }
}

/// Leaves out what did not change, but for the lines around changes.
fn shortened(lines: &[Line]) -> Vec<Line> {
    let near = |place: usize| {
        let window = lines
            .iter()
            .skip(place.saturating_sub(AROUND))
            .take(AROUND + AROUND.min(place) + 1);
        window.into_iter().any(|line| line.sign != ' ')
    };
    let mut shown: Vec<Line> = Vec::new();
    for (place, line) in lines.iter().enumerate() {
        if near(place) {
            shown.push(line.clone());
        } else if shown.last().is_none_or(|last| last.sign != '…') {
            shown.push(Line::new('…', ""));
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(before: &str, after: &str) -> String {
        between(before, after)
            .iter()
            .map(|line| format!("{}{}", line.sign, line.text))
            .collect::<Vec<_>>()
            .join("|")
    }

    #[test]
    fn lines_that_stayed_stand_between_those_that_went_and_came() {
        assert_eq!(shown("a\nb\nc", "a\nx\nc"), " a|-b|+x| c");
        assert_eq!(shown("", "a"), "+a");
        assert_eq!(shown("a", ""), "-a");
        assert_eq!(shown("one line", "another line"), "-one line|+another line");
        assert_eq!(shown("a\nb", "b\na"), "-a| b|+a");
    }

    #[test]
    fn what_is_far_from_a_change_is_left_out() {
        assert_eq!(shown("1\n2\n3\n4\n5\n6", "1\n2\n3\n4\n5\n7"), "…| 4| 5|-6|+7");
        assert_eq!(shown("0\n2\n3\n4\n5\n6", "1\n2\n3\n4\n5\n6"), "-0|+1| 2| 3|…");
        assert_eq!(shown("same", "same"), "…");
    }

    #[test]
    fn texts_that_are_too_long_to_compare_are_shown_whole() {
        let long = "x\n".repeat(401);
        assert_eq!(between(&long, "x").len(), 402);
    }
}
