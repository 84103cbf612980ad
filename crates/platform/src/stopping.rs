//! Told once when the server stops, so that answers without an end (the live feed) come to theirs.

use std::sync::Arc;

use tokio::sync::watch;

/// Whether this node is stopping; cloning is cheap, and every clone hears of it.
#[derive(Debug, Clone)]
pub struct Stopping(Arc<watch::Sender<bool>>);

impl Default for Stopping {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Stopping {
    /// Tells everybody. Telling it again changes nothing.
    pub fn begin(&self) {
        self.0.send_replace(true);
    }

    /// Whether it has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        *self.0.borrow()
    }

    /// Resolves when it has begun.
    pub async fn begun(&self) {
        // The sender lives as long as `self` does.
        let _ = self.0.subscribe().wait_for(|begun| *begun).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_waits_is_told_and_whoever_comes_later_too() {
        let stopping = Stopping::default();
        let waiting = tokio::spawn({
            let stopping = stopping.clone();
            async move { stopping.begun().await }
        });
        assert!(!stopping.has_begun());
        stopping.begin();
        waiting.await.unwrap();
        stopping.begun().await;
        assert!(stopping.has_begun());
    }
}
