//! What happens while the node runs: signals, and the secret for DNS cookies growing old.

use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::log;
use super::notify::notify;
use crate::config::Config;
use crate::failure::Failure;

/// How often a node does what is to be done from time to time.
const MINUTE: Duration = Duration::from_secs(60);

/// The signals that the node listens to.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Listens from now on. Has to be called within the runtime.
    pub(crate) fn new() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|error| Failure::io("listen to signals", &error));
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }
}

enum Event {
    Stop(&'static str),
    Reload,
    Minute,
}

/// What runs until a signal comes.
pub(crate) trait Running {
    /// Takes over a configuration that was read anew.
    fn reload(&mut self, config: Config);
    /// Does what is to be done from time to time.
    fn each_minute(&mut self);
}

/// Serves until a signal says to stop. `configuration` reads the configuration anew.
pub(crate) fn serve<N: Running>(
    mut signals: Signals,
    mut node: N,
    runtime: &Runtime,
    log: &log::Handle,
    configuration: impl Fn() -> Result<Config, Failure>,
) -> N {
    loop {
        let event = runtime.block_on(async {
            tokio::select! {
                _ = signals.terminate.recv() => Event::Stop("SIGTERM"),
                _ = signals.interrupt.recv() => Event::Stop("SIGINT"),
                _ = signals.hangup.recv() => Event::Reload,
                () = tokio::time::sleep(MINUTE) => Event::Minute,
            }
        });
        match event {
            Event::Stop(signal) => {
                tracing::info!("{signal}: stopping when all requests and queries under way are done");
                return node;
            }
            Event::Reload => {
                notify("RELOADING=1");
                match configuration() {
                    Ok(config) => {
                        log::set_level(log, &config.log_level);
                        node.reload(config);
                    }
                    Err(failure) => {
                        tracing::error!(
                            "the configuration was not loaded, and nothing has changed: {}",
                            failure.message()
                        );
                    }
                }
                notify("READY=1");
            }
            Event::Minute => node.each_minute(),
        }
    }
}
