//! `/api/v1/exports`: everything that a query finds, written to a file in the background.
//!
//! A job is durable from the answer to its `POST` on: a restart goes on behind the last whole page. There is no cap on
//! rows; the files together have one, `limits.export_bytes`, and each goes `limits.export_keep` after it was finished.
//! A token has one export under way at a time, and sees only its own.

mod job;
mod worker;

use std::collections::BTreeMap;
use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::header::{ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use http::{HeaderMap, Request, StatusCode};
use logweir_proto::api::{ErrorCode, Export, ExportRequest, ExportState, Exports as ExportList, QueryRequest};
use logweir_runtime::clock::{self, Clock, Nanos};
use logweir_runtime::drain::Drain;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use self::job::Job;
use self::worker::Worker;
use super::App;
use super::error::ApiError;
use super::extract;
use super::query::{Asked, read_request};
use crate::auth::Scope;
use crate::search::plan;
use crate::store::service::Store;

/// Exports that are kept at a time, of all tokens.
pub const EXPORTS_MAX: usize = 200;
/// Read from the file at once for a client.
const CHUNK_BYTES: usize = 256 << 10;

/// What the configuration says.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    pub bytes_max: u64,
    pub keep: Duration,
    pub memory_bytes: usize,
}

/// The exports of a server. Cheap to clone; clones share them.
#[derive(Debug, Clone)]
pub struct Exports(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    settings: Settings,
    jobs: Mutex<Jobs>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Jobs {
    /// By id, which rises with time.
    by_id: BTreeMap<String, Job>,
    running: Option<(String, Arc<AtomicBool>)>,
    stop: bool,
}

impl Exports {
    /// Brings back what the folder holds and starts the thread that writes.
    pub fn start(
        dir: &Path,
        settings: Settings,
        store: Store,
        clock: Clock,
        drain: Drain,
    ) -> std::io::Result<(Exports, JoinHandle<()>)> {
        let by_id = job::load(dir)?.into_iter().map(|job| (job.shown.id.clone(), job)).collect();
        let jobs = Mutex::new(Jobs { by_id, ..Jobs::default() });
        let exports = Exports(Arc::new(Shared { dir: dir.to_owned(), settings, jobs, wake: Condvar::new() }));
        let worker = Worker { exports: exports.clone(), store, clock, drain, dir: dir.to_owned(), settings };
        let thread = std::thread::Builder::new().name("export".to_owned()).spawn(move || worker.run())?;
        Ok((exports, thread))
    }

    /// The thread ends after the page that it is at.
    pub fn stop(&self) {
        let mut jobs = self.jobs();
        jobs.stop = true;
        if let Some((_, cancel)) = &jobs.running {
            cancel.store(true, Ordering::Relaxed);
        }
        self.0.wake.notify_all();
    }

    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.0.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, job: Job) -> Result<Export, ApiError> {
        let mut jobs = self.jobs();
        if let Some(other) = jobs.by_id.values().find(|other| other.who == job.who && other.is_active()) {
            let message =
                format!("the export {} of this token is under way: wait for it, or delete it", other.shown.id);
            return Err(ApiError::new(ErrorCode::RateLimited, message).retry_after(10));
        }
        if jobs.by_id.len() >= EXPORTS_MAX {
            let message = format!("EXPORTS_MAX: {EXPORTS_MAX} exports are kept; delete one");
            return Err(ApiError::new(ErrorCode::LimitExceeded, message));
        }
        job.save(&self.0.dir).map_err(|error| {
            ApiError::new(ErrorCode::Unavailable, format!("cannot write the export down: {error}")).retry_after(5)
        })?;
        let shown = job.shown.clone();
        jobs.by_id.insert(shown.id.clone(), job);
        self.0.wake.notify_all();
        Ok(shown)
    }

    fn list(&self, who: &str) -> Vec<Export> {
        let jobs = self.jobs();
        jobs.by_id.values().rev().filter(|job| job.who == who).map(|job| job.shown.clone()).collect()
    }

    fn get(&self, id: &str, who: &str) -> Option<Job> {
        self.jobs().by_id.get(id).filter(|job| job.who == who).cloned()
    }

    fn delete(&self, id: &str, who: &str) -> bool {
        let mut jobs = self.jobs();
        if jobs.by_id.get(id).is_none_or(|job| job.who != who) {
            return false;
        }
        let Some(job) = jobs.by_id.remove(id) else { return false };
        match &jobs.running {
            // The thread deletes the files when it sees that the job is gone.
            Some((running, cancel)) if running == id => cancel.store(true, Ordering::Relaxed),
            _ => job.remove(&self.0.dir),
        }
        true
    }

    /// The oldest job that waits.
    fn begin(&self) -> Option<(Job, Arc<AtomicBool>)> {
        let mut jobs = self.jobs();
        let job = jobs.by_id.values_mut().find(|job| job.shown.state == ExportState::Queued)?;
        job.shown.state = ExportState::Running;
        let job = job.clone();
        let cancel = Arc::new(AtomicBool::new(false));
        jobs.running = Some((job.shown.id.clone(), Arc::clone(&cancel)));
        Some((job, cancel))
    }

    /// Waits for work; `true` when there will be none.
    fn wait(&self, most: Duration) -> bool {
        let jobs = self.jobs();
        if jobs.stop {
            return true;
        }
        self.0.wake.wait_timeout(jobs, most).map_or(true, |(jobs, _)| jobs.stop)
    }

    fn finished(&self) {
        let mut jobs = self.jobs();
        let Some((id, _)) = jobs.running.take() else { return };
        // Deleted while its last page was searched for.
        if !jobs.by_id.contains_key(&id) {
            for extension in ["json", "data"] {
                let _ = std::fs::remove_file(self.0.dir.join(format!("{id}.{extension}")));
            }
        }
    }

    /// Makes the state of a running job visible; `false` when it was deleted.
    fn update(&self, job: &Job) -> bool {
        let mut jobs = self.jobs();
        jobs.by_id.get_mut(&job.shown.id).map(|known| *known = job.clone()).is_some()
    }

    fn expire(&self, now_ns: Nanos) {
        let mut jobs = self.jobs();
        let settings = self.0.settings;
        jobs.by_id.retain(|_, job| {
            let is_over = job.ended_ns.is_some_and(|ended| settings.expires_ns(ended) <= now_ns);
            if is_over {
                job.remove(&self.0.dir);
            }
            !is_over
        });
    }

    /// Bytes that the files may still grow by.
    fn room(&self) -> u64 {
        let used: u64 = self.jobs().by_id.values().map(|job| job.shown.bytes).sum();
        self.0.settings.bytes_max.saturating_sub(used)
    }

    fn disk_free(&self) -> u64 {
        rustix::fs::statvfs(&self.0.dir).map_or(u64::MAX, |stat| stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// `POST /api/v1/exports`
pub async fn create(
    State(app): State<App>,
    headers: HeaderMap,
    request: Request<Body>,
) -> Result<(StatusCode, Json<Export>), ApiError> {
    let who = app.auth.allow(&headers, Scope::Query)?.name;
    let request: ExportRequest = read_request(request).await?;
    let ExportRequest { query, from, to, format, fields } = request;
    let asked = Asked::new(&QueryRequest { query, from, to, ..QueryRequest::default() }, &who, &app)?;
    let range = plan::range(&asked.query, asked.from_ns, asked.to_ns, asked.now_ns);
    let to_ns = if range.last_ns == i64::MAX { asked.now_ns } else { range.last_ns.saturating_add(1) };
    let shown = Export {
        id: ulid::Ulid::new().to_string(),
        state: ExportState::Queued,
        query: asked.text,
        from: clock::rfc3339(range.first_ns),
        to: clock::rfc3339(to_ns),
        format: format.unwrap_or_default(),
        fields: fields.filter(|fields| !fields.trim().is_empty()),
        rows: 0,
        bytes: 0,
        covered_to: clock::rfc3339(range.first_ns),
        complete: false,
        missing: Vec::new(),
        warnings: Vec::new(),
        error: None,
        created: clock::rfc3339(asked.now_ns),
        ended: None,
        expires: None,
    };
    let job = Job {
        version: job::VERSION,
        who,
        now_ns: asked.now_ns,
        from_ns: range.first_ns,
        to_ns,
        cursor: None,
        columns: None,
        ended_ns: None,
        shown,
    };
    // It syncs a file.
    let exports = app.exports.clone();
    let added = app.query_pool.run(move || exports.add(job)).await.map_err(super::query::busy)?;
    added.map(|export| (StatusCode::ACCEPTED, Json(export)))
}

/// `GET /api/v1/exports`
pub async fn list(State(app): State<App>, headers: HeaderMap) -> Result<Json<ExportList>, ApiError> {
    let who = app.auth.allow(&headers, Scope::Query)?.name;
    Ok(Json(ExportList { exports: app.exports.list(&who) }))
}

/// `GET /api/v1/exports/{id}`
pub async fn show(
    State(app): State<App>,
    extract::Path(id): extract::Path<String>,
    headers: HeaderMap,
) -> Result<Json<Export>, ApiError> {
    let who = app.auth.allow(&headers, Scope::Query)?.name;
    app.exports.get(&id, &who).map(|job| Json(job.shown)).ok_or_else(missing)
}

/// `DELETE /api/v1/exports/{id}`: ends it when it runs.
pub async fn delete(
    State(app): State<App>,
    extract::Path(id): extract::Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    let who = app.auth.allow(&headers, Scope::Query)?.name;
    if app.exports.delete(&id, &who) { Ok(StatusCode::NO_CONTENT) } else { Err(missing()) }
}

/// `GET /api/v1/exports/{id}/data`: the file, or the rest of it.
pub async fn data(
    State(app): State<App>,
    extract::Path(id): extract::Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let who = app.auth.allow(&headers, Scope::Query)?.name;
    let job = app.exports.get(&id, &who).ok_or_else(missing)?;
    if job.shown.state != ExportState::Done {
        return Err(ApiError::new(ErrorCode::NotFound, "the file is not there: ask for the state of the export"));
    }
    let size = job.shown.bytes;
    let Some((first, last)) = part(&headers, size) else {
        let unsatisfied = [(CONTENT_RANGE, format!("bytes */{size}"))];
        return Ok((StatusCode::RANGE_NOT_SATISFIABLE, unsatisfied).into_response());
    };
    let path = job.data_path(&app.exports.0.dir);
    let gone = |_| ApiError::new(ErrorCode::NotFound, "the file is gone");
    let mut file = tokio::fs::File::open(path).await.map_err(gone)?;
    file.seek(SeekFrom::Start(first)).await.map_err(gone)?;
    let length = (last + 1).saturating_sub(first);
    let body = stream::unfold((file, length), |(mut file, left)| async move {
        if left == 0 {
            return None;
        }
        let mut chunk = vec![0; CHUNK_BYTES.min(usize::try_from(left).unwrap_or(usize::MAX))];
        match file.read(&mut chunk).await {
            Ok(0) => Some((Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof)), (file, 0))),
            Ok(read) => {
                chunk.truncate(read);
                Some((Ok(Bytes::from(chunk)), (file, left - read as u64)))
            }
            Err(error) => Some((Err(error), (file, 0))),
        }
    });
    let name = format!("attachment; filename=\"{id}.{}.zst\"", job.shown.format.as_str());
    let head = [
        (CONTENT_TYPE, "application/zstd".to_owned()),
        (CONTENT_DISPOSITION, name),
        (ACCEPT_RANGES, "bytes".to_owned()),
        (CONTENT_LENGTH, length.to_string()),
    ];
    let body = Body::from_stream(body);
    if headers.contains_key(RANGE) {
        let range = [(CONTENT_RANGE, format!("bytes {first}-{last}/{size}"))];
        return Ok((StatusCode::PARTIAL_CONTENT, head, range, body).into_response());
    }
    Ok((head, body).into_response())
}

/// First and last byte of what is asked for, one range as RFC 9110 has it; `None` when the file has none of it. A
/// header that says something else counts as none at all.
fn part(headers: &HeaderMap, size: u64) -> Option<(u64, u64)> {
    let all = (0, size.saturating_sub(1));
    let text = headers.get(RANGE).and_then(|range| range.to_str().ok());
    let Some((first, last)) = text.and_then(|text| text.strip_prefix("bytes=")?.split_once('-')) else {
        return (text.is_none() || size > 0).then_some(all);
    };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    match (number(first), number(last)) {
        (Some(first), last) if first < size => {
            let last = last.unwrap_or(u64::MAX).min(size - 1);
            (first <= last).then_some((first, last))
        }
        (None, Some(count)) if first.trim().is_empty() && count > 0 => Some((size.saturating_sub(count), all.1)),
        _ => None,
    }
}

fn missing() -> ApiError {
    ApiError::new(ErrorCode::NotFound, "this token has no such export: it expired, or never was")
}

#[cfg(test)]
mod tests;
