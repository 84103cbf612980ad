//! The detectors by name: what each looks for, how bad that is, and where the public catalogues file it.
//! The rule of each is one sentence here, and code in [`crate::detect`].

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

macro_rules! detectors {
    ($($name:ident = $slug:literal, $title:literal, $owasp:literal, $mitre:literal, $rule:literal;)+) => {
        /// What looks for one sort of threat.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Detector {
            $(#[doc = $rule] $name,)+
        }

        impl Detector {
            /// Every detector, in the order of the docs.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The stable name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $slug,)+ }
            }

            /// The name for people.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)+ }
            }

            /// The entry of the OWASP Top 10 for Agentic Applications.
            #[must_use]
            pub const fn owasp(self) -> &'static str {
                match self { $(Self::$name => $owasp,)+ }
            }

            /// The technique in MITRE ATT&CK (`T…`) or ATLAS (`AML.…`).
            #[must_use]
            pub const fn mitre(self) -> &'static str {
                match self { $(Self::$name => $mitre,)+ }
            }

            /// When it speaks up.
            #[must_use]
            pub const fn rule(self) -> &'static str {
                match self { $(Self::$name => $rule,)+ }
            }
        }
    };
}

detectors! {
    ForgedSignature = "forged_signature", "Forged signature",
        "ASI03 Identity and Privilege Abuse", "T1606 Forge Web Credentials",
        "A request named a registered agent or key, and its signature was not that key's.";
    ReplayedSignature = "replayed_signature", "Replayed signature",
        "ASI03 Identity and Privilege Abuse", "T1550 Use Alternate Authentication Material",
        "A signed request was sent again. From a network that the agent uses it is most likely a client that repeats itself; from another one it is not.";
    EndedKey = "ended_key", "Use of an ended key",
        "ASI03 Identity and Privilege Abuse", "T1078 Valid Accounts",
        "Something was signed with a key that is revoked, expired or past its grace period.";
    DenialBurst = "denial_burst", "Burst of denials",
        "ASI10 Rogue Agents", "T1110 Brute Force",
        "An agent was denied often within a few minutes, and not only because it does a lot.";
    CapabilityProbing = "capability_probing", "Capability probing",
        "ASI03 Identity and Privilege Abuse", "T1069 Permission Groups Discovery",
        "An agent asked for many different capabilities that it was never given.";
    UnusualVolume = "unusual_volume", "Unusual volume",
        "ASI10 Rogue Agents", "T1496 Resource Hijacking",
        "An agent did far more within an hour than in its own history, at this time of day too.";
    UnusualHour = "unusual_hour", "Unusual hour",
        "ASI10 Rogue Agents", "T1078 Valid Accounts",
        "An agent acted at a time of day, or on a day of the week, at which it never did before.";
    NewSource = "new_source", "New source address",
        "ASI03 Identity and Privilege Abuse", "T1078 Valid Accounts",
        "An agent's key was used from a network that the agent never called from.";
    DormantAgent = "dormant_agent", "Dormant agent awake",
        "ASI10 Rogue Agents", "T1078 Valid Accounts",
        "An agent acted after a long time without any action.";
    SharedKey = "shared_key", "Key in two hands",
        "ASI03 Identity and Privilege Abuse", "T1552.004 Private Keys",
        "One key was used in turn from two networks within minutes, one of them new to the agent.";
    McpDrift = "mcp_drift", "MCP manifest drift",
        "ASI04 Agentic Supply Chain Vulnerabilities", "T1195 Supply Chain Compromise",
        "An MCP server's tools were added or changed after it was attested.";
    Honeytoken = "honeytoken", "Honeytoken touched",
        "ASI10 Rogue Agents", "T1083 File and Directory Discovery",
        "An agent asked for a capability that exists only to be noticed.";
}

impl Detector {
    /// The strongest response that it may have. What somebody without a valid key can set off must not stop the
    /// agent: forging signatures in its name would be a way to do so. A drift is about a server and no agent.
    #[must_use]
    pub const fn strongest(self) -> Response {
        match self {
            Self::ForgedSignature | Self::ReplayedSignature | Self::EndedKey | Self::McpDrift => {
                Response::Alert
            }
            _ => Response::Suspend,
        }
    }

    /// The detector of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|detector| detector.as_str() == name)
    }
}

/// A detector that an edition adds. It follows the log itself, and hands what it sees to [`crate::report()`]; what that leads
/// to is set, told and kept as for AIM's own.
#[derive(Debug, PartialEq, Eq)]
pub struct AddedDetector {
    /// The stable name. It is none of [`Detector::ALL`].
    pub name: &'static str,
    /// The name for people.
    pub title: &'static str,
    /// The entry of the OWASP Top 10 for Agentic Applications.
    pub owasp: &'static str,
    /// The technique in MITRE ATT&CK or ATLAS.
    pub mitre: &'static str,
    /// When it speaks up.
    pub rule: &'static str,
    /// The strongest response that it may have.
    pub strongest: Response,
}

/// A detector, whoever brought it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnyDetector {
    /// One of AIM's own.
    Own(Detector),
    /// One that an edition adds.
    Added(&'static AddedDetector),
}

impl AnyDetector {
    /// All of them: AIM's own, then `added`.
    pub fn all(added: &'static [AddedDetector]) -> impl Iterator<Item = Self> {
        Detector::ALL
            .iter()
            .copied()
            .map(Self::Own)
            .chain(added.iter().map(Self::Added))
    }

    /// The detector of that name.
    #[must_use]
    pub fn parse(name: &str, added: &'static [AddedDetector]) -> Option<Self> {
        Self::all(added).find(|detector| detector.as_str() == name)
    }

    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Own(detector) => detector.as_str(),
            Self::Added(detector) => detector.name,
        }
    }

    /// The name for people.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Own(detector) => detector.title(),
            Self::Added(detector) => detector.title,
        }
    }

    /// The entry of the OWASP Top 10 for Agentic Applications.
    #[must_use]
    pub const fn owasp(self) -> &'static str {
        match self {
            Self::Own(detector) => detector.owasp(),
            Self::Added(detector) => detector.owasp,
        }
    }

    /// The technique in MITRE ATT&CK or ATLAS.
    #[must_use]
    pub const fn mitre(self) -> &'static str {
        match self {
            Self::Own(detector) => detector.mitre(),
            Self::Added(detector) => detector.mitre,
        }
    }

    /// When it speaks up.
    #[must_use]
    pub const fn rule(self) -> &'static str {
        match self {
            Self::Own(detector) => detector.rule(),
            Self::Added(detector) => detector.rule,
        }
    }

    /// The strongest response that it may have.
    #[must_use]
    pub const fn strongest(self) -> Response {
        match self {
            Self::Own(detector) => detector.strongest(),
            Self::Added(detector) => detector.strongest,
        }
    }
}

/// What a finding leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// Nothing is found and nothing happens.
    Off,
    /// An alert.
    Alert,
    /// An alert; and for a day, a person approves whatever the agent does.
    RequireApproval,
    /// An alert, and the agent is suspended until somebody reactivates it.
    Suspend,
}

impl Response {
    /// Every response, the mildest first.
    pub const ALL: [Self; 4] = [Self::Off, Self::Alert, Self::RequireApproval, Self::Suspend];

    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Alert => "alert",
            Self::RequireApproval => "require_approval",
            Self::Suspend => "suspend",
        }
    }

    /// The response of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|response| response.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_ones_on_the_wire() {
        for detector in Detector::ALL {
            assert_eq!(serde_json::to_value(detector).unwrap(), detector.as_str());
            assert_eq!(Detector::parse(detector.as_str()), Some(*detector));
        }
        for response in Response::ALL {
            assert_eq!(serde_json::to_value(response).unwrap(), response.as_str());
        }
    }
}
