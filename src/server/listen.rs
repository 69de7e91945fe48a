//! Connections: how many, how long they may take to say what they want, and how they end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::hosts::Ends;
use crate::config::{HEADER_BYTES_MAX, HEADERS_MAX, HEADERS_SECONDS_MAX};
use crate::stop::Stop;

/// Between accepting again after the machine had no room for a connection.
const ACCEPT_WAIT: Duration = Duration::from_millis(50);
/// Requests that are being answered when the server stops have this long.
const DRAIN: Duration = Duration::from_secs(4);

/// A bound port that serves until it is told to stop.
pub struct Listening {
    pub address: SocketAddr,
    listener: TcpListener,
}

/// Binds; nothing is served before [`Listening::serve`].
pub async fn listen(address: SocketAddr) -> io::Result<Listening> {
    let listener = TcpListener::bind(address).await?;
    Ok(Listening {
        address: listener.local_addr()?,
        listener,
    })
}

impl Listening {
    /// Serves until `stop`, then lets requests that are being answered finish.
    pub async fn serve(self, router: Router, connections_max: u32, stop: Stop) {
        let room = Arc::new(Semaphore::new(connections_max as usize));
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.accept(&room) => accepted,
                () = stop.asked() => break,
            };
            let (stream, peer, place) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // No descriptors left, most likely; others close theirs.
                    tracing::warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(ACCEPT_WAIT).await;
                    continue;
                }
            };
            let (router, stop) = (router.clone(), stop.clone());
            connections.spawn(async move {
                connection(stream, peer, router, stop).await;
                drop(place);
            });
        }
        drop(self.listener);
        connections.close();
        if tokio::time::timeout(DRAIN, connections.wait()).await.is_err() {
            tracing::debug!("some connections were cut off");
        }
    }

    /// Waits for room first: what nobody accepts waits in the kernel and costs nothing here.
    async fn accept(
        &self,
        room: &Arc<Semaphore>,
    ) -> io::Result<(TcpStream, SocketAddr, Option<tokio::sync::OwnedSemaphorePermit>)> {
        let place = room.clone().acquire_owned().await.ok();
        let (stream, peer) = self.listener.accept().await?;
        Ok((stream, peer, place))
    }
}

async fn connection(stream: TcpStream, peer: SocketAddr, router: Router, stop: Stop) {
    let _ = stream.set_nodelay(true);
    let Ok(local) = stream.local_addr() else { return };
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Ends { peer, local });
        router.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(HEADERS_SECONDS_MAX))
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.asked() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, "a connection broke: {error}");
    }
}
