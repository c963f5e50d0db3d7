//! Listens, answers, and stops when asked to.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpListener;

use crate::error::ServeError;
use crate::guard::Hosts;
use crate::library::Library;
use crate::routes;

/// Where to listen.
#[derive(Clone, Copy, Debug)]
pub struct Address {
    /// The interface; on a loopback address only loopback host names are answered.
    pub host: IpAddr,
    /// The port; 0 takes any that is free.
    pub port: u16,
}

/// Serves an atlas until Ctrl-C (or SIGTERM). `ready` is told the address that was really taken.
pub fn serve(library: Library, address: Address, ready: impl FnOnce(SocketAddr)) -> Result<(), ServeError> {
    // What the first page needs is read once before anyone waits for it; a broken atlas is found now, not later.
    library.atlas()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| ServeError::Stopped(error.to_string()))?;
    runtime.block_on(async {
        let wanted = SocketAddr::new(address.host, address.port);
        let listener = TcpListener::bind(wanted).await.map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => ServeError::InUse { address: wanted },
            _ => ServeError::Listen { address: wanted, source },
        })?;
        let taken = listener.local_addr().map_err(|error| ServeError::Stopped(error.to_string()))?;
        let hosts = if address.host.is_loopback() { Hosts::Loopback } else { Hosts::Any };
        ready(taken);
        axum::serve(listener, routes::guarded(Arc::new(library), hosts))
            .with_graceful_shutdown(stop())
            .await
            .map_err(|error| ServeError::Stopped(error.to_string()))
    })
}

/// Resolves when the program is asked to stop.
async fn stop() {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let Ok(mut terminate) = signal(SignalKind::terminate()) else {
            let _ = interrupt.await;
            return;
        };
        tokio::select! {
            _ = interrupt => {}
            _ = terminate.recv() => {}
        }
    }
    #[cfg(not(unix))]
    let _ = interrupt.await;
}
