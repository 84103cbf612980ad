//! Places at which a test ends the process as a power cut would. In what ships there is nothing behind them: the feature
//! `fail-points` is in no edition.

/// Ends the process here, if the test asks for it (`FAILPOINTS=name=return`).
#[cfg(feature = "fail-points")]
pub(super) fn reached(name: &'static str) {
    static SET_UP: std::sync::Once = std::sync::Once::new();
    // Dropped, it would forget what the environment says.
    SET_UP.call_once(|| std::mem::forget(fail::FailScenario::setup()));
    if fail::eval(name, |_| ()).is_some() {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

/// Nothing.
#[cfg(not(feature = "fail-points"))]
pub(super) const fn reached(_: &'static str) {}
