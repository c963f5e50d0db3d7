//! The JSON API: `docs/reference/http-api.md` describes every path, parameter and field.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use glossator_atlas::AtlasError;
use glossator_model::{HookPoint, UnitId};
use serde::Deserialize;

use crate::error::ServeError;
use crate::guard::{self, Hosts};
use crate::library::{Library, UnitRequest};
use crate::page;

/// The whole server on a loopback address, ready to be driven by `axum::serve` or by a test.
pub fn router(library: Arc<Library>) -> Router {
    guarded(library, Hosts::Loopback)
}

pub(crate) fn guarded(library: Arc<Library>, hosts: Hosts) -> Router {
    let api = Router::new()
        .route("/atlas", get(atlas))
        .route("/units", get(units))
        .route("/units/{hook}/{index}", get(unit))
        .route("/random", get(random))
        .fallback(|| async { failure(StatusCode::NOT_FOUND, "there is no such path under /api/") })
        .method_not_allowed_fallback(|| async {
            failure(StatusCode::METHOD_NOT_ALLOWED, "the API only reads")
        });
    Router::new()
        .nest("/api", api)
        .fallback(get(|uri: Uri, headers: HeaderMap| async move { page::answer(uri.path(), &headers) }))
        .with_state(library)
        .layer(middleware::from_fn_with_state(hosts, guard::check_host))
        .layer(middleware::from_fn(guard::stamp))
}

async fn atlas(State(library): State<Arc<Library>>) -> Response {
    answer(library, |library| to_json("the atlas", &library.atlas()?)).await
}

async fn units(
    State(library): State<Arc<Library>>,
    request: Result<Query<UnitRequest>, axum::extract::rejection::QueryRejection>,
) -> Response {
    match request {
        Ok(Query(request)) => {
            answer(library, move |library| to_json("the list", &library.units(&request)?)).await
        }
        Err(rejection) => failure(StatusCode::BAD_REQUEST, &rejection.body_text()),
    }
}

async fn unit(State(library): State<Arc<Library>>, Path((hook, index)): Path<(String, String)>) -> Response {
    match format!("{hook}:{index}").parse::<UnitId>() {
        Ok(unit) => answer(library, move |library| library.unit_json(unit)).await,
        Err(error) => failure(StatusCode::NOT_FOUND, &error.to_string()),
    }
}

/// `hook` restricts the draw to one hook point, `explained_by` to units with an explanation by that explainer.
#[derive(Deserialize)]
struct RandomRequest {
    hook: Option<HookPoint>,
    explained_by: Option<String>,
}

async fn random(
    State(library): State<Arc<Library>>,
    request: Result<Query<RandomRequest>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let request = match request {
        Ok(Query(request)) => request,
        Err(rejection) => return failure(StatusCode::BAD_REQUEST, &rejection.body_text()),
    };
    let drawn = move |library: &Library| {
        library.random(request.hook, request.explained_by)?.map(|name| to_json("the unit", &name)).transpose()
    };
    match run(library, drawn).await {
        Ok(Some(body)) => json(body),
        Ok(None) => failure(StatusCode::NOT_FOUND, "there is no such unit"),
        Err(error) => report(&error),
    }
}

fn to_json(what: &str, value: &impl serde::Serialize) -> Result<Vec<u8>, ServeError> {
    serde_json::to_vec(value).map_err(ServeError::json(what))
}

async fn answer(
    library: Arc<Library>,
    work: impl FnOnce(&Library) -> Result<Vec<u8>, ServeError> + Send + 'static,
) -> Response {
    match run(library, work).await {
        Ok(body) => json(body),
        Err(error) => report(&error),
    }
}

/// Reads the atlas on a thread where blocking is allowed.
async fn run<T: Send + 'static>(
    library: Arc<Library>,
    work: impl FnOnce(&Library) -> Result<T, ServeError> + Send + 'static,
) -> Result<T, ServeError> {
    let done = tokio::task::spawn_blocking(move || work(&library)).await;
    done.unwrap_or_else(|error| Err(ServeError::Stopped(error.to_string())))
}

fn json(body: Vec<u8>) -> Response {
    // An atlas grows while units are being explained: ask again every time.
    ([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")], body).into_response()
}

fn report(error: &ServeError) -> Response {
    let status = if let ServeError::Atlas(AtlasError::UnknownUnit { .. }) = error {
        StatusCode::NOT_FOUND
    } else {
        tracing::error!("{error}");
        StatusCode::INTERNAL_SERVER_ERROR
    };
    failure(status, &error.to_string())
}

fn failure(status: StatusCode, message: &str) -> Response {
    (status, [(header::CACHE_CONTROL, "no-store")], Json(serde_json::json!({ "error": message })))
        .into_response()
}
