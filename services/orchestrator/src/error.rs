//! How a refusal is answered over HTTP.
use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use dub_proto::status::ErrorCode;
use serde_json::json;

/// Header that carries the correlation id of a request.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Lays the correlation id over an answer.
fn answer(status: StatusCode, request_id: &str, body: serde_json::Value) -> Response {
    let mut response = (status, Json(body)).into_response();
    if let Ok(value) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// The answer to an accepted event.
pub fn accepted(request_id: &str) -> Response {
    answer(
        StatusCode::ACCEPTED,
        request_id,
        json!({ "requestId": request_id }),
    )
}

/// The answer to a refused one.
pub fn refused(code: ErrorCode, message: &str, request_id: &str) -> Response {
    let status = StatusCode::from_u16(code.http()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer(
        status,
        request_id,
        json!({ "code": code.as_str(), "message": message, "requestId": request_id }),
    )
}
