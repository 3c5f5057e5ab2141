//! Files, in OpenAI's form: uploaded, listed, read, deleted.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, HttpBody};
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{self, DefaultBodyLimit, FromRequest, Multipart, Path, Request};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::channel::Channel;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::api_error::Refusals;
use crate::body::Asked;
use crate::data::{Page, Window, on_disk};
use crate::files::{About, FileObject, Incoming};
use crate::{ApiError, State};

/// Bytes that are written to the disk, or sent, at once.
const PIECE: usize = 1 << 20;

/// Fields of a form.
const FIELDS: usize = 16;

/// Bytes of a field that is no file.
const FIELD_BYTES: usize = 1 << 10;

/// Bytes of a form beside those of its file.
const BESIDE: u64 = 1 << 20;

/// Bytes that a caller has to send in a second, on the whole.
const LEAST_PACE: u64 = 1 << 17;

/// What files may be for.
const PURPOSES: [&str; 2] = ["batch", "fine-tune"];

/// A file to upload.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the form is read piece by piece; this is its description")]
pub(crate) struct UploadForm {
    #[schema(value_type = String, format = Binary)]
    file: (),
    /// `batch`, or `fine-tune` for data and recipes of training jobs.
    #[schema(example = "batch")]
    purpose: String,
}

/// What was deleted.
#[derive(Serialize, ToSchema)]
pub(crate) struct Deleted {
    id: String,
    #[schema(example = "file")]
    object: &'static str,
    deleted: bool,
}

/// Which files are asked for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Purpose {
    /// Only those for this.
    purpose: Option<String>,
}

/// Uploads a file.
#[utoipa::path(
    post, path = "/v1/files", tag = "batches", operation_id = "upload_file",
    request_body(content = UploadForm, content_type = "multipart/form-data"),
    responses((status = 200, body = FileObject), Refusals),
)]
pub(crate) async fn upload(
    extract::State(state): extract::State<Arc<State>>,
    mut request: Request,
) -> Result<Json<FileObject>, ApiError> {
    let data = state.data()?;
    let _place = data.uploads.try_acquire().map_err(|_| ApiError::Busy)?;
    let most = data.file_bytes.saturating_add(BESIDE);
    let stated = request.body().size_hint().upper();
    if stated.is_some_and(|stated| stated > most) {
        return Err(too_large(data.file_bytes));
    }
    DefaultBodyLimit::max(usize::try_from(most).unwrap_or(usize::MAX)).apply(&mut request);
    let form = Multipart::from_request(request, &()).await;
    let form = form.map_err(|rejection| ApiError::invalid("content-type", rejection.body_text()))?;
    let time = state.limits.request_timeout + Duration::from_secs(stated.unwrap_or(most) / LEAST_PACE);
    let Parts { file, purpose } =
        tokio::time::timeout(time, read(&state, form)).await.map_err(|_| ApiError::BodyTimeout)??;
    let purpose = purpose.ok_or_else(|| ApiError::invalid("purpose", "the field is missing"))?;
    if !PURPOSES.contains(&purpose.as_str()) {
        return Err(ApiError::invalid("purpose", format!("files are for {}", PURPOSES.join(" or "))));
    }
    let (filename, incoming) = file.ok_or_else(|| ApiError::invalid("file", "the field is missing"))?;
    let finish = move || incoming.finish(About { filename, purpose }).map_err(|error| ApiError::fault(&error));
    on_disk(finish).await.map(Json)
}

/// What a form has.
#[derive(Default)]
struct Parts {
    file: Option<(String, Incoming)>,
    purpose: Option<String>,
}

async fn read(state: &State, mut form: Multipart) -> Result<Parts, ApiError> {
    let mut parts = Parts::default();
    for _ in 0..=FIELDS {
        let Some(field) = arrived(state, form.next_field()).await? else { return Ok(parts) };
        match field.name() {
            Some("file") if parts.file.is_some() => return Err(ApiError::invalid("file", "there are several")),
            Some("file") => {
                let name = field.file_name().unwrap_or("upload").chars().take(255).collect::<String>();
                let files = state.data()?.files.clone();
                let incoming = on_disk(move || files.receive().map_err(|error| ApiError::fault(&error))).await?;
                parts.file = Some((name, receive(state, incoming, field).await?));
            }
            Some("purpose") => parts.purpose = Some(text(state, field).await?),
            // Clients may send more, all of it short.
            _ => drop(text(state, field).await?),
        }
    }
    Err(ApiError::invalid("body", format!("the form has more than {FIELDS} fields")))
}

fn too_large(limit: u64) -> ApiError {
    ApiError::TooLarge { limit: usize::try_from(limit).unwrap_or(usize::MAX) }
}

/// The next part of a form, which has as much time as a whole request elsewhere.
async fn arrived<T>(state: &State, part: impl Future<Output = Result<T, MultipartError>>) -> Result<T, ApiError> {
    match tokio::time::timeout(state.limits.request_timeout, part).await {
        Ok(part) => part.map_err(|error| match (error.status(), state.data()) {
            (StatusCode::PAYLOAD_TOO_LARGE, Ok(data)) => too_large(data.file_bytes),
            _ => ApiError::invalid("body", error.body_text()),
        }),
        Err(_) => Err(ApiError::BodyTimeout),
    }
}

/// Writes a file as it comes, a piece at a time. One that is a little too large is heard out, so that its sender reads
/// why it is refused.
async fn receive(state: &State, mut incoming: Incoming, mut field: Field<'_>) -> Result<Incoming, ApiError> {
    let limit = state.data()?.file_bytes;
    let (mut piece, mut length) = (Vec::new(), 0);
    while let Some(bytes) = arrived(state, field.chunk()).await? {
        length += bytes.len() as u64;
        if length > limit {
            piece = Vec::new();
            continue;
        }
        piece.extend_from_slice(&bytes);
        if piece.len() >= PIECE {
            (incoming, piece) = write(incoming, piece).await?;
        }
    }
    if length > limit {
        return Err(too_large(limit));
    }
    Ok(write(incoming, piece).await?.0)
}

async fn write(mut incoming: Incoming, mut piece: Vec<u8>) -> Result<(Incoming, Vec<u8>), ApiError> {
    on_disk(move || {
        incoming.write(&piece).map_err(|error| ApiError::fault(&error))?;
        piece.clear();
        Ok((incoming, piece))
    })
    .await
}

async fn text(state: &State, mut field: Field<'_>) -> Result<String, ApiError> {
    let name = field.name().unwrap_or_default().to_owned();
    let mut text = Vec::new();
    while let Some(bytes) = arrived(state, field.chunk()).await? {
        text.extend_from_slice(&bytes);
        if text.len() > FIELD_BYTES {
            return Err(ApiError::invalid(&name, "it is too long"));
        }
    }
    String::from_utf8(text).map_err(|_| ApiError::invalid(&name, "it is not UTF-8"))
}

/// The uploaded files, and those that batches have written.
#[utoipa::path(
    get, path = "/v1/files", tag = "batches", operation_id = "list_files", params(Window, Purpose),
    responses((status = 200, body = Page<FileObject>), Refusals),
)]
pub(crate) async fn list(
    extract::State(state): extract::State<Arc<State>>,
    Asked(window): Asked<Window>,
    Asked(purpose): Asked<Purpose>,
) -> Result<Json<Page<FileObject>>, ApiError> {
    let files = state.data()?.files.clone();
    let list = move || files.list(&window, purpose.purpose.as_deref()).map_err(|error| ApiError::fault(&error));
    on_disk(list).await.map(Json)
}

/// What is known of a file.
#[utoipa::path(
    get, path = "/v1/files/{file_id}", tag = "batches", operation_id = "get_file", params(("file_id" = String, Path)),
    responses((status = 200, body = FileObject), Refusals),
)]
pub(crate) async fn get(
    extract::State(state): extract::State<Arc<State>>,
    Path(id): Path<String>,
) -> Result<Json<FileObject>, ApiError> {
    let files = state.data()?.files.clone();
    on_disk(move || files.get(&id).map_err(|error| ApiError::of_item(&error, "file", &id))).await.map(Json)
}

/// Deletes a file. Batches and jobs that were begun with it go on.
#[utoipa::path(
    delete, path = "/v1/files/{file_id}", tag = "batches", operation_id = "delete_file",
    params(("file_id" = String, Path)),
    responses((status = 200, body = Deleted), Refusals),
)]
pub(crate) async fn delete(
    extract::State(state): extract::State<Arc<State>>,
    Path(id): Path<String>,
) -> Result<Json<Deleted>, ApiError> {
    let files = state.data()?.files.clone();
    let delete = move || match files.delete(&id) {
        Ok(()) => Ok(Deleted { id, object: "file", deleted: true }),
        Err(error) => Err(ApiError::of_item(&error, "file", &id)),
    };
    on_disk(delete).await.map(Json)
}

/// The content of a file.
#[utoipa::path(
    get, path = "/v1/files/{file_id}/content", tag = "batches", operation_id = "get_file_content",
    params(("file_id" = String, Path)),
    responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>), Refusals),
)]
pub(crate) async fn content(
    extract::State(state): extract::State<Arc<State>>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let files = state.data()?.files.clone();
    let open = move || {
        let file = files.content(&id).and_then(|file| Ok((file.metadata()?.len(), file)));
        file.map_err(|error| ApiError::of_item(&error, "file", &id))
    };
    let (length, file) = on_disk(open).await?;
    let headers = [(CONTENT_TYPE, "application/octet-stream".to_owned()), (CONTENT_LENGTH, length.to_string())];
    Ok((headers, stream(file, length)).into_response())
}

/// A file as a body, read only as fast as it is taken.
fn stream(file: std::fs::File, length: u64) -> Body {
    let (mut sender, body) = Channel::<Bytes, io::Error>::new(2);
    tokio::spawn(async move {
        let mut file = file.take(length);
        loop {
            let piece = tokio::task::spawn_blocking(move || {
                let mut piece = Vec::with_capacity(PIECE);
                file.by_ref().take(PIECE as u64).read_to_end(&mut piece).map(|_| (file, piece))
            });
            let (rest, piece) = match piece.await {
                Ok(Ok(read)) => read,
                Ok(Err(error)) => return sender.abort(error),
                Err(error) => return sender.abort(io::Error::other(error)),
            };
            // A receiver that is gone wants no more.
            if piece.is_empty() || sender.send_data(Bytes::from(piece)).await.is_err() {
                return;
            }
            file = rest;
        }
    });
    Body::new(body)
}
