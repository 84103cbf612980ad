//! Places at which a test ends the process as a power cut would. In what ships there is nothing behind them: the feature
//! `fail-points` is in no edition.

/// Ends the process here, if the test asks for it (`FAILPOINTS=name=return`).
#[cfg(feature = "fail-points")]
pub(super) fn reached(name: &'static str) {
    static SCENARIO: std::sync::LazyLock<fail::FailScenario<'static>> =
        std::sync::LazyLock::new(fail::FailScenario::setup);
    let _ = &*SCENARIO;
    if fail::eval(name, |_| ()).is_some() {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

/// Nothing.
#[cfg(not(feature = "fail-points"))]
pub(super) const fn reached(_: &'static str) {}
