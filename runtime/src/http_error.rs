//! Errors as every client reads them: `{"error":{…}}` with the status of its code, and counted.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use logweir_proto::api::{ErrorBody, ErrorCode, ErrorDetail};

/// An error on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    pub detail: ErrorDetail,
    pub retry_after_s: Option<u64>,
}

impl ApiError {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> ApiError {
        let detail = ErrorDetail { code, message: message.into(), pos: None, len: None, hint: None, missing: None };
        ApiError { detail, retry_after_s: None }
    }

    pub fn bad_request(message: impl Into<String>) -> ApiError {
        ApiError::new(ErrorCode::BadRequest, message)
    }

    /// Overload, or something that is away: the client comes again after this time.
    pub fn retry_after(mut self, seconds: u64) -> ApiError {
        self.retry_after_s = Some(seconds);
        self
    }
}

impl From<ErrorDetail> for ApiError {
    fn from(detail: ErrorDetail) -> ApiError {
        ApiError { detail, retry_after_s: None }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.detail.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        metrics::counter!("logweir_http_errors_total", "status" => status.as_str().to_owned()).increment(1);
        let mut response = (status, Json(ErrorBody { error: self.detail })).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_and_the_time_to_come_again_are_in_the_head() {
        for (code, seconds, status, header) in
            [(ErrorCode::NotFound, None, 404, None), (ErrorCode::Unavailable, Some(5), 503, Some("5"))]
        {
            let mut error = ApiError::new(code, "why");
            if let Some(seconds) = seconds {
                error = error.retry_after(seconds);
            }
            let response = error.into_response();
            let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            assert_eq!((response.status().as_u16(), retry_after), (status, header));
        }
    }
}
