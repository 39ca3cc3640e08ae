//! Errors as every client reads them: `{"error":{…}}` with the status of its code.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use logweir_proto::api::{ErrorBody, ErrorCode, ErrorDetail};

use crate::auth::Denial;
use crate::receive::admission::Refusal;
use crate::receive::writer::WriteError;

/// An error on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    pub detail: ErrorDetail,
    pub retry_after_s: Option<u64>,
}

impl ApiError {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> ApiError {
        let detail = ErrorDetail { code, message: message.into(), pos: None, len: None, hint: None };
        ApiError { detail, retry_after_s: None }
    }

    pub fn bad_request(message: impl Into<String>) -> ApiError {
        ApiError::new(ErrorCode::BadRequest, message)
    }

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

impl From<Denial> for ApiError {
    fn from(denial: Denial) -> ApiError {
        let code = if denial.is_unauthenticated() { ErrorCode::Unauthorized } else { ErrorCode::Forbidden };
        ApiError::new(code, denial.message())
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> ApiError {
        ApiError::new(ErrorCode::RateLimited, refusal.reason()).retry_after(refusal.retry_after_s())
    }
}

impl From<WriteError> for ApiError {
    fn from(error: WriteError) -> ApiError {
        let message = error.to_string();
        match error {
            WriteError::Busy => ApiError::new(ErrorCode::RateLimited, message).retry_after(1),
            WriteError::Failed(_) => ApiError::new(ErrorCode::Unavailable, message).retry_after(5),
            WriteError::Poisoned(_) => ApiError::new(ErrorCode::Unavailable, message).retry_after(30),
            WriteError::Closed => ApiError::new(ErrorCode::Unavailable, message).retry_after(5),
        }
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
