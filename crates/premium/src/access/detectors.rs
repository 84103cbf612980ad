//! What is looked for in accesses to secrets, as threat detection lists it.

use aim_threats::{AddedDetector, detector::Response};

const fn detector(
    name: &'static str,
    title: &'static str,
    owasp: &'static str,
    mitre: &'static str,
    rule: &'static str,
) -> AddedDetector {
    AddedDetector {
        name,
        title,
        owasp,
        mitre,
        rule,
        strongest: Response::Suspend,
    }
}

const IDENTITY: &str = "ASI03 Identity and Privilege Abuse";
const ROGUE: &str = "ASI10 Rogue Agents";

/// The detectors of this module.
pub static DETECTORS: &[AddedDetector] = &[
    detector(
        "secret_honeytoken",
        "Honeytoken secret touched",
        ROGUE,
        "T1555 Credentials from Password Stores",
        "An agent asked for a secret that exists only to be noticed, whether it was handed over or not.",
    ),
    detector(
        "secret_after_denials",
        "Secret read after denials",
        IDENTITY,
        "T1555 Credentials from Password Stores",
        "An agent got a secret minutes after it was denied many.",
    ),
    detector(
        "secret_first_reader",
        "New reader of a secret",
        IDENTITY,
        "T1078 Valid Accounts",
        "An agent read a secret for the first time that others have been reading for long.",
    ),
    detector(
        "secret_unusual_volume",
        "Unusual number of reads",
        ROGUE,
        "T1119 Automated Collection",
        "An agent read a secret far more often within an hour than in its own history with that secret.",
    ),
    detector(
        "secret_unusual_hour",
        "Secret read at an unusual hour",
        ROGUE,
        "T1078 Valid Accounts",
        "An agent read a secret at a time of day, or on a day of the week, at which it never did before.",
    ),
    AddedDetector {
        name: "secret_wrap_reused",
        title: "Wrap token used twice",
        owasp: IDENTITY,
        mitre: "T1528 Steal Application Access Token",
        rule: "A wrap token was brought a second time: one of the two who had it was not meant to.",
        // Which of the two that was is not known, and the token needs no key of an agent.
        strongest: Response::Alert,
    },
    AddedDetector {
        name: "secret_refresh_failed",
        title: "OAuth refresh failed",
        owasp: IDENTITY,
        mitre: "T1528 Steal Application Access Token",
        rule: "An OAuth token was refused by its endpoint, which is so when somebody else used it up, or its refresh failed three times in a row or lost its answer.",
        // About a secret and no agent.
        strongest: Response::Alert,
    },
];

/// The places of the detectors in [`DETECTORS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Honeytoken,
    AfterDenials,
    FirstReader,
    UnusualVolume,
    UnusualHour,
    WrapReused,
    RefreshFailed,
}

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Honeytoken => "secret_honeytoken",
            Self::AfterDenials => "secret_after_denials",
            Self::FirstReader => "secret_first_reader",
            Self::UnusualVolume => "secret_unusual_volume",
            Self::UnusualHour => "secret_unusual_hour",
            Self::WrapReused => "secret_wrap_reused",
            Self::RefreshFailed => "secret_refresh_failed",
        }
    }

    pub(super) fn detector(self) -> Option<&'static AddedDetector> {
        DETECTORS.iter().find(|detector| detector.name == self.name())
    }
}

#[cfg(test)]
mod tests {
    use aim_threats::detector::Detector;

    use super::*;

    #[test]
    fn every_kind_has_its_detector_and_none_takes_a_name_of_another() {
        let kinds = [
            Kind::Honeytoken,
            Kind::AfterDenials,
            Kind::FirstReader,
            Kind::UnusualVolume,
            Kind::UnusualHour,
            Kind::WrapReused,
            Kind::RefreshFailed,
        ];
        assert_eq!(kinds.len(), DETECTORS.len());
        assert!(kinds.iter().all(|kind| kind.detector().is_some()));
        assert!(
            DETECTORS
                .iter()
                .all(|added| Detector::parse(added.name).is_none())
        );
    }
}
