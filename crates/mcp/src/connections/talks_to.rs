//! The names in an agent's `talks_to`: those that people wrote there, and those of the servers it is connected to.

use aim_core::{Error, Result};

/// The most names; registration of an agent has the same limit.
pub(crate) const MOST: usize = 64;

/// The list without `removed` and with `connected`, each name once, in the order in which they came.
///
/// # Errors
/// `request.field_invalid` at `mcp_server_ids` when there would be too many.
pub(crate) fn updated(present: &[String], removed: &[String], connected: &[String]) -> Result<Vec<String>> {
    let mut names: Vec<String> = Vec::with_capacity(present.len() + connected.len());
    // A name that goes away with one server stays if another one has it.
    let kept = present.iter().filter(|name| !removed.contains(name));
    for name in kept.chain(connected) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    let grows = names.len() > present.len();
    if grows && names.len() > MOST {
        return Err(Error::field(
            "mcp_server_ids",
            format!("an agent talks to at most {MOST}; remove some first"),
        ));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn names_that_people_wrote_stay_and_those_of_servers_come_and_go() {
        for (present, removed, connected, expected) in [
            ("", "", "files", "files"),
            ("billing", "", "files mail", "billing files mail"),
            ("billing files", "files", "", "billing"),
            ("files billing", "files", "files", "billing files"),
            ("files", "", "files files", "files"),
            ("", "files", "", ""),
        ] {
            let updated = updated(&names(present), &names(removed), &names(connected)).unwrap();
            assert_eq!(updated, names(expected), "{present} - {removed} + {connected}");
        }
    }

    #[test]
    fn there_is_room_for_64_and_a_list_that_is_too_long_may_still_shrink() {
        let many: Vec<String> = (0..64).map(|n| format!("s{n}")).collect();
        assert!(updated(&many, &[], &names("one-more")).is_err());
        assert_eq!(
            updated(&many, &names("s0"), &names("one-more")).unwrap().len(),
            64
        );
        let too_many: Vec<String> = (0..70).map(|n| format!("s{n}")).collect();
        assert_eq!(updated(&too_many, &names("s1"), &[]).unwrap().len(), 69);
    }
}
