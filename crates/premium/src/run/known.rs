//! What a running command has, and what was heard of it since.

use std::collections::{BTreeMap, BTreeSet};

use super::secrets::Key;

/// What the command was given.
#[derive(Default)]
pub(super) struct Given {
    pub(super) versions: BTreeMap<Key, i64>,
    /// Those of which a person approved the read.
    pub(super) by_person: BTreeSet<Key>,
}

impl Given {
    pub(super) fn uses(&self, path: &str) -> bool {
        self.versions.keys().any(|(used, _)| used == path)
    }

    /// The paths of those that are another version than the command has.
    pub(super) fn different(&self, versions: &BTreeMap<Key, i64>) -> Vec<String> {
        let changed = versions
            .iter()
            .filter(|(key, version)| self.versions.get(key) != Some(version));
        changed.map(|((path, _), _)| path.clone()).collect()
    }

    /// Whether it has an older version where it wants the newest.
    fn is_older(&self, path: &str, version: i64) -> bool {
        let mut versions = self.versions.iter();
        versions.any(|((used, named), has)| used == path && named.is_none() && *has < version)
    }
}

/// What was heard and not yet looked at.
#[derive(Default)]
pub(super) struct Heard {
    /// The newest version of each path that was written.
    written: BTreeMap<String, i64>,
    /// Something of which only a read tells what it means.
    anything: bool,
}

impl Heard {
    pub(super) fn anything(&mut self) {
        self.anything = true;
    }

    pub(super) fn change(&mut self, path: &str, version: Option<i64>, change: &str) {
        match version {
            Some(version) if change == "written" => {
                let newest = self.written.entry(path.to_owned()).or_default();
                *newest = version.max(*newest);
            }
            _ => self.anything(),
        }
    }

    /// Whether it is more than a version that the command has by now: a read of that would be one too many, and may be a question
    /// to a person.
    pub(super) fn is_new(&self, given: &Given) -> bool {
        let mut written = self.written.iter();
        self.anything || written.any(|(path, version)| given.is_older(path, *version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_command_has_by_now_is_no_news() {
        let given = Given {
            versions: BTreeMap::from([(("a".to_owned(), None), 3), (("b".to_owned(), Some(1)), 1)]),
            by_person: BTreeSet::new(),
        };
        let is_new = |changes: &[(&str, Option<i64>, &str)]| {
            let mut heard = Heard::default();
            for (path, version, change) in changes {
                heard.change(path, *version, change);
            }
            heard.is_new(&given)
        };
        assert!(!is_new(&[]));
        assert!(!is_new(&[("a", Some(3), "written"), ("a", Some(2), "written")]));
        assert!(is_new(&[("a", Some(4), "written"), ("a", Some(2), "written")]));
        assert!(!is_new(&[("b", Some(2), "written")]), "it wants version 1");
        assert!(is_new(&[("a", None, "written")]));
        assert!(is_new(&[("b", Some(1), "destroyed")]));
        let mut heard = Heard::default();
        heard.anything();
        assert!(heard.is_new(&given));
    }
}
