//! Answers piece by piece, as server-sent events.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::body::Frame;
use serde::Serialize;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::oneshot;

use super::answer::Envelope;
use super::choice::Piece;
use super::plan::{Dialect, Plan};
use super::run::Run;
use super::{chat, completion, error};
use crate::gate::Place;
use crate::{ApiError, State};

/// Frames that a caller may be behind.
const BEHIND: usize = 256;

/// What ends a stream.
const DONE: &[u8] = b"data: [DONE]\n\n";

/// Begins to answer; returns when there is a first piece, so that a request that fails at once has a status of its own.
///
/// # Errors
/// Why there is no first piece.
pub(crate) async fn stream(state: &Arc<State>, plan: Plan, patience: Duration) -> Result<Response, ApiError> {
    let (sender, frames) = mpsc::channel(BEHIND);
    let (begun, beginning) = oneshot::channel();
    let state = Arc::clone(state);
    tokio::spawn(async move {
        let events =
            Events { plan: &plan, envelope: Envelope::new(&plan), outlet: Outlet { sender: &sender, patience } };
        tokio::select! {
            // A caller that went away, or reads no more: what is dropped here gives the answers up.
            _ = events.send(&state, begun) => {}
            () = sender.closed() => {}
        }
    });
    beginning.await.map_err(|_| ApiError::Internal)??;
    let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-cache")];
    Ok((headers, Body::new(Frames(frames))).into_response())
}

/// The caller reads no more.
#[derive(Debug, PartialEq, Eq)]
struct Gone;

/// Where the frames go.
struct Outlet<'s> {
    sender: &'s Sender<Bytes>,
    /// How long the caller may read nothing.
    patience: Duration,
}

impl Outlet<'_> {
    async fn send(&self, frame: Bytes) -> Result<(), Gone> {
        tokio::time::timeout(self.patience, self.sender.send(frame)).await.map_err(|_| Gone)?.map_err(|_| Gone)
    }
}

/// The events of one stream.
struct Events<'s> {
    plan: &'s Plan,
    envelope: Envelope,
    outlet: Outlet<'s>,
}

impl Events<'_> {
    async fn send(&self, state: &Arc<State>, begun: oneshot::Sender<Result<(), ApiError>>) -> Result<(), Gone> {
        let mut run = match Run::start(self.plan, Some(self.outlet.patience)) {
            Ok(run) => run,
            Err(refusal) => return begun.send(Err(refusal)).map_err(|_| Gone),
        };
        let first = match run.next().await {
            Ok(first) => first,
            Err(refusal) => return begun.send(Err(refusal)).map_err(|_| Gone),
        };
        // The answer takes up a place until its end, as others do; until now the request had one.
        let _place = Place::further(state);
        begun.send(Ok(())).map_err(|_| Gone)?;
        self.begin().await?;
        if let Some(refusal) = self.pieces(&mut run, first).await? {
            self.event(&error::body(&refusal, None)).await?;
        } else if self.plan.usage {
            match self.plan.dialect {
                Dialect::Chat => self.event(&chat::usage(self.envelope.clone(), run.usage())).await?,
                Dialect::Completion => self.event(&completion::usage(self.envelope.clone(), run.usage())).await?,
            }
        }
        self.outlet.send(Bytes::from_static(DONE)).await
    }

    /// Says whose turn it is, in each answer of a chat.
    async fn begin(&self) -> Result<(), Gone> {
        if self.plan.dialect == Dialect::Chat {
            for index in 0..self.plan.choices() {
                self.event(&chat::beginning(self.envelope.clone(), index)).await?;
            }
        }
        Ok(())
    }

    /// All pieces; why there are no more, if the engine failed.
    async fn pieces(&self, run: &mut Run<'_>, first: Option<Piece>) -> Result<Option<ApiError>, Gone> {
        let mut next = first;
        while let Some(piece) = next {
            match self.plan.dialect {
                Dialect::Chat => self.chat(piece).await?,
                Dialect::Completion => {
                    self.event(&completion::chunk(self.plan, self.envelope.clone(), piece)).await?;
                }
            }
            next = match run.next().await {
                Ok(next) => next,
                Err(refusal) => return Ok(Some(refusal)),
            };
        }
        Ok(None)
    }

    /// The end of an answer has a piece of its own.
    async fn chat(&self, mut piece: Piece) -> Result<(), Gone> {
        let end =
            piece.finish.take().map(|finish| Piece { choice: piece.choice, finish: Some(finish), ..Piece::default() });
        let says = !piece.text.is_empty() || !piece.tokens.is_empty();
        for piece in says.then_some(piece).into_iter().chain(end) {
            self.event(&chat::chunk(self.plan, self.envelope.clone(), piece)).await?;
        }
        Ok(())
    }

    async fn event(&self, content: &impl Serialize) -> Result<(), Gone> {
        let mut text = b"data: ".to_vec();
        // Strings and numbers alone: this cannot fail.
        let _ = serde_json::to_writer(&mut text, content);
        text.extend_from_slice(b"\n\n");
        self.outlet.send(text.into()).await
    }
}

/// A body that ends when its sender does.
struct Frames(Receiver<Bytes>);

impl HttpBody for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_that_reads_no_more_is_given_up() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let (sender, mut frames) = mpsc::channel(1);
        let outlet = Outlet { sender: &sender, patience: Duration::from_millis(10) };
        let send = || runtime.block_on(outlet.send(Bytes::from_static(DONE)));
        assert_eq!((send(), send()), (Ok(()), Err(Gone)));
        assert!(frames.blocking_recv().is_some());
        assert_eq!(send(), Ok(()));
        drop(frames);
        assert_eq!(send(), Err(Gone));
    }
}
