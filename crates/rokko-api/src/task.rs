//! The way from async handlers to the blocking control plane.

use rokko_control::{Committed, Control, ControlError, Identity};
use rokko_model::Request;
use tokio::sync::oneshot;

/// Submits requests as one change set and waits, without a thread, until it is durable and answered.
///
/// If the caller goes away meanwhile the change is carried out all the same.
pub async fn submit(
    control: &Control,
    who: &Identity,
    reason: &str,
    requests: Vec<Request>,
) -> Result<Vec<Committed>, ControlError> {
    let (sender, receiver) = oneshot::channel();
    control.submit(who, reason, requests, move |done| {
        // The receiver is gone if the client is; there is nobody left to tell.
        let _ = sender.send(done);
    });
    let done = receiver.await.unwrap_or(Err(ControlError::Stopping))?;
    for one in &done {
        crate::serve::note(one.revision);
    }
    Ok(done)
}

/// Submits one request; otherwise as [`submit`].
pub(crate) async fn submit_one(
    control: &Control,
    who: &Identity,
    reason: &str,
    request: Request,
) -> Result<Committed, ControlError> {
    let mut done = submit(control, who, reason, vec![request]).await?;
    Ok(done.pop().expect("a change set of one request comes back with one result"))
}

/// Runs blocking work on a thread of its own kind. A panic of the work goes on in the caller.
pub async fn blocking<T, F>(work: F) -> T
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down, and so nobody polls this any more.
            Err(_) => std::future::pending().await,
        },
    }
}

/// Reads from the control plane off the async threads.
pub async fn read<T, F>(control: &Control, work: F) -> Result<T, ControlError>
where
    T: Send + 'static,
    F: FnOnce(&Control) -> Result<T, ControlError> + Send + 'static,
{
    let control = control.clone();
    blocking(move || work(&control)).await
}
