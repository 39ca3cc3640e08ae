//! What the aggregator refuses, as the API's errors.

use logweir_proto::api::ErrorCode;
pub use logweir_runtime::http_error::ApiError;

use crate::auth::Denial;
use crate::receive::admission::Refusal;
use crate::receive::writer::WriteError;

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
