//! Request limits: a token bucket a caller, in this node's memory.

use std::num::NonZeroU32;

use aim_core::{Code, Error, Result};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock as _};

/// A limit of requests a second for each key, with a burst of four seconds' worth.
pub struct Limiter(Option<DefaultKeyedRateLimiter<u64>>);

impl Limiter {
    /// A limiter; 0 is no limit.
    #[must_use]
    pub fn new(per_second: u32) -> Self {
        Self(NonZeroU32::new(per_second).map(|rate| {
            let burst = rate.saturating_mul(NonZeroU32::new(4).unwrap_or(NonZeroU32::MIN));
            RateLimiter::keyed(Quota::per_second(rate).allow_burst(burst))
        }))
    }

    /// Takes one token of `key`.
    ///
    /// # Errors
    /// `limit.requests` with the seconds to wait.
    pub fn check(&self, key: u64) -> Result<()> {
        let Some(limiter) = &self.0 else { return Ok(()) };
        limiter.check_key(&key).map_err(|refusal| {
            let wait = refusal.wait_time_from(governor::clock::DefaultClock::default().now());
            Error::new(Code::RateLimited, "this caller sends more requests than it may")
                .retry_after(wait.as_secs().max(1))
        })
    }

    /// Forgets callers that have been quiet.
    pub fn tidy(&self) {
        if let Some(limiter) = &self.0 {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}
