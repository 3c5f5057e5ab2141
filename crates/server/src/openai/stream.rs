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
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;

use super::answer::Envelope;
use super::choice::Piece;
use super::plan::{Dialect, Plan};
use super::run::Run;
use super::{chat, completion, error};
use crate::gate::Place;
use crate::{ApiError, State};

/// What ends a stream.
const DONE: &[u8] = b"data: [DONE]\n\n";

/// Begins to answer; returns when there is a first piece, so that a request that fails at once has a status of its own.
///
/// # Errors
/// Why there is no first piece.
pub(crate) async fn stream(state: &Arc<State>, plan: Plan, patience: Duration) -> Result<Response, ApiError> {
    let (sender, frames) = mpsc::unbounded_channel();
    let (begun, beginning) = oneshot::channel();
    // The answer takes up a place until its end, as others do.
    let place = Place::further(state);
    tokio::spawn(async move {
        let _place = place;
        let events = Events { plan: &plan, envelope: Envelope::new(&plan), sender: &sender };
        tokio::select! {
            () = events.send(begun, patience) => {}
            // The caller went away: what is dropped here gives the answers up.
            () = sender.closed() => {}
        }
    });
    beginning.await.map_err(|_| ApiError::Internal)??;
    let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-cache")];
    Ok((headers, Body::new(Frames(frames))).into_response())
}

/// The events of one stream.
struct Events<'s> {
    plan: &'s Plan,
    envelope: Envelope,
    sender: &'s UnboundedSender<Bytes>,
}

impl Events<'_> {
    async fn send(&self, begun: oneshot::Sender<Result<(), ApiError>>, patience: Duration) {
        let mut run = match Run::start(self.plan, Some(patience)) {
            Ok(run) => run,
            Err(refusal) => return drop(begun.send(Err(refusal))),
        };
        let first = match run.next().await {
            Ok(first) => first,
            Err(refusal) => return drop(begun.send(Err(refusal))),
        };
        // Nobody is left to hear it if this fails, which `closed` tells.
        let _ = begun.send(Ok(()));
        self.begin();
        if let Err(refusal) = self.pieces(&mut run, first).await {
            self.event(&error::body(&refusal, None));
        } else if self.plan.usage {
            match self.plan.dialect {
                Dialect::Chat => self.event(&chat::usage(self.envelope.clone(), run.usage())),
                Dialect::Completion => self.event(&completion::usage(self.envelope.clone(), run.usage())),
            }
        }
        let _ = self.sender.send(Bytes::from_static(DONE));
    }

    /// Says whose turn it is, in each answer of a chat.
    fn begin(&self) {
        if self.plan.dialect == Dialect::Chat {
            (0..self.plan.requests.len()).for_each(|index| self.event(&chat::beginning(self.envelope.clone(), index)));
        }
    }

    async fn pieces(&self, run: &mut Run<'_>, first: Option<Piece>) -> Result<(), ApiError> {
        let mut next = first;
        while let Some(piece) = next {
            match self.plan.dialect {
                Dialect::Chat => self.chat(piece),
                Dialect::Completion => self.event(&completion::chunk(self.plan, self.envelope.clone(), piece)),
            }
            next = run.next().await?;
        }
        Ok(())
    }

    /// The end of an answer has a piece of its own.
    fn chat(&self, mut piece: Piece) {
        let end =
            piece.finish.take().map(|finish| Piece { choice: piece.choice, finish: Some(finish), ..Piece::default() });
        let says = !piece.text.is_empty() || !piece.tokens.is_empty();
        for piece in says.then_some(piece).into_iter().chain(end) {
            self.event(&chat::chunk(self.plan, self.envelope.clone(), piece));
        }
    }

    fn event(&self, content: &impl Serialize) {
        let mut text = b"data: ".to_vec();
        // Strings and numbers alone: this cannot fail.
        let _ = serde_json::to_writer(&mut text, content);
        text.extend_from_slice(b"\n\n");
        let _ = self.sender.send(text.into());
    }
}

/// A body that ends when its sender does.
struct Frames(UnboundedReceiver<Bytes>);

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
