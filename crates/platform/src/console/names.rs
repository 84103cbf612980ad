//! Who did something, by name: records keep `user:0190…`, people read "Ada Lovelace".

use std::collections::HashMap;

use super::{Fragment, ui::Escaped};

/// The names of those whom a page speaks of; see [`super::Viewed::names`].
#[derive(Debug, Clone, Default)]
pub struct Names(pub(super) HashMap<String, String>);

impl Names {
    /// The name of `actor` (`kind:id`), with the id as its title.
    #[must_use]
    pub fn show(&self, actor: &str) -> Fragment {
        Fragment::trusted(format!(
            "<span class=\"actor\" title=\"{}\">{}</span>",
            Escaped(actor),
            Escaped(self.plain(actor))
        ))
    }

    /// The same, of somebody who may be nobody.
    #[must_use]
    pub fn show_any(&self, actor: Option<&str>) -> Fragment {
        actor.map_or_else(
            || Fragment::trusted("<span class=\"none\">–</span>".to_owned()),
            |actor| self.show(actor),
        )
    }

    /// The name in plain text; what kind of actor it is where nobody knows a name.
    #[must_use]
    pub fn plain(&self, actor: &str) -> String {
        if let Some(name) = self.0.get(actor) {
            return name.clone();
        }
        let (kind, id) = actor.split_once(':').unwrap_or((actor, ""));
        let skipped = id.chars().count().saturating_sub(8);
        let end: String = id.chars().skip(skipped).collect();
        match kind {
            "user" => format!("User …{end}"),
            "api_key" => format!("API key …{end}"),
            "agent" => format!("Agent …{end}"),
            "system" => format!("AIM ({id})"),
            "anonymous" => "Nobody signed in".to_owned(),
            _ => actor.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_actor_has_a_name_and_an_unknown_one_the_end_of_its_id() {
        let names = Names(HashMap::from([(
            "user:1".to_owned(),
            "Ada <Lovelace>".to_owned(),
        )]));
        assert_eq!(
            names.show("user:1").as_str(),
            "<span class=\"actor\" title=\"user:1\">Ada &lt;Lovelace&gt;</span>"
        );
        assert_eq!(names.plain("user:0190f3a0-0000"), "User …3a0-0000");
        assert_eq!(names.plain("system:keys.warn"), "AIM (keys.warn)");
        assert!(names.show_any(None).as_str().contains('–'));
    }
}
