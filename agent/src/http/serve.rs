//! The port, and a task for each connection.

use std::convert::Infallible;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use super::figures::Figures;
use super::moving::Moving;
use super::pages::Pages;
use crate::metrics::{self, Turned};
use crate::own_thread::OwnThread;
use crate::tasks::{Stop, Tasks};

/// At a time. Who comes then is served all the same: it may ask for the process' health.
const CONNECTIONS_MAX: usize = 64;
/// What is read of a request: its head, no larger than that, and in that time from when the one before was answered. A body is
/// not waited for (`pages`).
const HEAD_BYTES_MAX: usize = 16 * 1024;
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);

/// Answers until told to stop. `renderer` has no work that others wait for.
pub(crate) async fn serve(
    listener: TcpListener,
    pages: Pages,
    renderer: OwnThread,
    tasks: Tasks,
    mut stop: Stop,
) -> anyhow::Result<()> {
    let (mut connections, figures) = (Moving::default(), Figures::new(renderer));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.requested() => return Ok(()),
        };
        let Ok((socket, _)) = accepted else {
            // Out of file descriptors, most likely: give it time.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (socket, make_room, full) = connections.keep(socket, CONNECTIONS_MAX);
        if full {
            metrics::count_turned(Turned::Http);
        }
        let (pages, figures) = (pages.clone(), figures.clone());
        let mut stop = tasks.stopping();
        tasks.spawn("http connection", async move {
            let service = service_fn(move |request| {
                let (pages, figures) = (pages.clone(), figures.clone());
                async move { Ok::<_, Infallible>(pages.answer(&request, &figures).await) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIME_MAX)
                .max_buf_size(HEAD_BYTES_MAX)
                .serve_connection(TokioIo::new(socket), service);
            tokio::select! {
                // A scraper that misbehaves is its own problem.
                _ = connection => {}
                () = make_room.wanted() => {}
                () = stop.requested() => {}
            }
            Ok(())
        });
    }
}
