//! Holds a request until a test lets it go.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// Two gates for one request: one before it is answered, one before the answer is sent. What the tenant is at the moment
/// between them is what the answer says.
#[derive(Clone)]
pub struct Gate(Arc<[Semaphore; 4]>);

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(std::array::from_fn(|_| Semaphore::new(0))))
    }
}

impl Gate {
    async fn wait(&self, step: usize) {
        if let Ok(permit) = self.0[step].acquire().await {
            permit.forget();
        }
    }

    /// Waits until the request has come.
    pub async fn asked(&self) {
        self.wait(0).await;
    }

    /// Lets it be answered, and waits until it is.
    pub async fn answer(&self) {
        self.0[1].add_permits(1);
        self.wait(2).await;
    }

    /// Sends the answer.
    pub fn send(&self) {
        self.0[3].add_permits(1);
    }

    pub(super) async fn before_the_answer(&self) {
        self.0[0].add_permits(1);
        self.wait(1).await;
    }

    pub(super) async fn before_it_is_sent(&self) {
        self.0[2].add_permits(1);
        self.wait(3).await;
    }
}
