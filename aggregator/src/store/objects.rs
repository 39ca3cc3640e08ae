//! Objects for threads that may block: `object_store` behind a plain interface.
//!
//! A put is durable when it returns: a local object is fsynced with its directories. Reads of a local object are
//! positioned reads of its open file, which stays readable when the object is deleted meanwhile.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path as FsPath;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::TryStreamExt;
use logweir_runtime::durable;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{GetOptions, GetResultPayload, ObjectStore, PutMode, PutOptions, PutPayload};
use tokio::runtime::{Builder, Handle, Runtime};

/// An object could not be written or read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ObjectError {
    #[error("object {path}: {reason}")]
    Failed { path: String, reason: String },
    #[error("object {path} is not there")]
    Missing { path: String },
    #[error("object {path} exists already")]
    Exists { path: String },
}

/// An object as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub path: String,
    pub bytes: u64,
    pub modified_ns: i64,
}

/// A store of objects and the runtime that its requests run on. Every method blocks: never call one on the runtime.
#[derive(Debug, Clone)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    runtime: Handle,
    /// Kept running for as long as anybody uses the store.
    _own: Option<Arc<OwnRuntime>>,
}

/// A runtime that may be dropped anywhere, on another runtime too.
#[derive(Debug)]
struct OwnRuntime(Option<Runtime>);

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Objects {
    pub fn new(store: Arc<dyn ObjectStore>, runtime: Handle) -> Objects {
        Objects { store, runtime, _own: None }
    }

    /// Objects as files below a directory, which is created.
    pub fn local(dir: &FsPath) -> io::Result<Objects> {
        durable::create_private_dir(dir)?;
        remove_staged(dir, DEPTH_MAX)?;
        let store = LocalFileSystem::new_with_prefix(dir)?;
        let runtime = Builder::new_current_thread().build()?;
        let handle = runtime.handle().clone();
        Ok(Objects { store: Arc::new(store), runtime: handle, _own: Some(Arc::new(OwnRuntime(Some(runtime)))) })
    }

    /// Writes an object, replacing one of the same name, and makes it durable.
    pub fn put(&self, path: &str, bytes: Bytes) -> Result<(), ObjectError> {
        self.put_with(path, bytes, PutMode::Overwrite)
    }

    /// Writes an object only if there is none of this name.
    pub fn create(&self, path: &str, bytes: Bytes) -> Result<(), ObjectError> {
        self.put_with(path, bytes, PutMode::Create)
    }

    fn put_with(&self, path: &str, bytes: Bytes, mode: PutMode) -> Result<(), ObjectError> {
        let location = Path::from(path);
        let options = PutOptions { mode, ..PutOptions::default() };
        let put = self.store.put_opts(&location, PutPayload::from_bytes(bytes), options);
        self.runtime.block_on(put).map_err(|error| failed(path, error))?;
        let found = self.runtime.block_on(self.store.get_opts(&location, about()));
        match found.map_err(|error| failed(path, error))?.payload {
            GetResultPayload::File(file, at) => sync(&file, &at, path).map_err(|error| failed_io(path, &error)),
            // A remote store answers when the object is durable.
            GetResultPayload::Stream(_) => Ok(()),
        }
    }

    /// Opens an object for reading ranges of it.
    pub fn open(&self, path: &str) -> Result<Object, ObjectError> {
        let location = Path::from(path);
        let found = self.runtime.block_on(self.store.get_opts(&location, about()));
        let found = found.map_err(|error| failed(path, error))?;
        let bytes = found.meta.size;
        let source = match found.payload {
            GetResultPayload::File(file, _) => Source::File(file),
            GetResultPayload::Stream(_) => Source::Remote(self.clone(), location),
        };
        Ok(Object { path: path.to_owned(), bytes, source, bytes_read: AtomicU64::new(0) })
    }

    /// The whole of a small object.
    pub fn get(&self, path: &str) -> Result<Bytes, ObjectError> {
        let object = self.open(path)?;
        object.read(0..object.bytes())
    }

    /// Deletes an object; one that is not there is deleted already.
    pub fn delete(&self, path: &str) -> Result<(), ObjectError> {
        match self.runtime.block_on(self.store.delete(&Path::from(path))) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed(path, error)),
        }
    }

    /// All objects whose names begin with the folder `prefix`.
    pub fn list(&self, prefix: &str) -> Result<Vec<Listed>, ObjectError> {
        let listed = self.store.list(Some(&Path::from(prefix))).try_collect::<Vec<_>>();
        let listed = self.runtime.block_on(listed).map_err(|error| failed(prefix, error))?;
        let entry = |meta: object_store::ObjectMeta| Listed {
            path: meta.location.to_string(),
            bytes: meta.size,
            modified_ns: meta.last_modified.timestamp_nanos_opt().unwrap_or(i64::MAX),
        };
        Ok(listed.into_iter().map(entry).collect())
    }
}

/// What an object is, without its bytes; a local one comes as its open file all the same.
fn about() -> GetOptions {
    GetOptions { head: true, ..GetOptions::default() }
}

fn failed(path: &str, error: object_store::Error) -> ObjectError {
    match error {
        object_store::Error::NotFound { .. } => ObjectError::Missing { path: path.to_owned() },
        object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. } => {
            ObjectError::Exists { path: path.to_owned() }
        }
        error => ObjectError::Failed { path: path.to_owned(), reason: error.to_string() },
    }
}

fn failed_io(path: &str, error: &io::Error) -> ObjectError {
    ObjectError::Failed { path: path.to_owned(), reason: error.to_string() }
}

/// How deep objects lie below the directory: `splits/<day>/<name>`.
const DEPTH_MAX: u32 = 4;

/// Removes what a crash in the middle of a put leaves: files that `object_store` names `<object>#<number>`.
fn remove_staged(dir: &FsPath, depth: u32) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let staged = name.to_str().and_then(|name| name.rsplit_once('#'));
        if entry.file_type()?.is_dir() {
            if depth > 0 {
                remove_staged(&entry.path(), depth - 1)?;
            }
        } else if staged.is_some_and(|(_, number)| number.bytes().all(|b| b.is_ascii_digit())) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Makes a file and the folders of its name durable: any of them may have been created with it.
fn sync(file: &File, at: &FsPath, path: &str) -> io::Result<()> {
    file.sync_all()?;
    for place in at.ancestors().take(path.split('/').count()) {
        durable::sync_parent(place)?;
    }
    Ok(())
}

/// An open object.
#[derive(Debug)]
pub struct Object {
    path: String,
    bytes: u64,
    source: Source,
    bytes_read: AtomicU64,
}

#[derive(Debug)]
enum Source {
    File(File),
    Remote(Objects, Path),
}

impl Object {
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Its length.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    /// Reads a range, all of it or an error.
    pub fn read(&self, range: Range<u64>) -> Result<Bytes, ObjectError> {
        match &self.source {
            Source::File(file) => {
                let mut buffer = vec![0; self.taken(&range)?];
                self.read_file(file, &mut buffer, range.start)?;
                Ok(buffer.into())
            }
            Source::Remote(objects, location) => self.fetch(objects, location, range),
        }
    }

    /// The same into a buffer, which grows to the longest of the ranges: for who reads many in turn.
    pub fn read_to<'b>(&self, range: Range<u64>, buffer: &'b mut Vec<u8>) -> Result<&'b [u8], ObjectError> {
        match &self.source {
            Source::File(file) => {
                let len = self.taken(&range)?;
                if buffer.len() < len {
                    buffer.resize(len, 0);
                }
                self.read_file(file, &mut buffer[..len], range.start)?;
                Ok(&buffer[..len])
            }
            Source::Remote(objects, location) => {
                *buffer = self.fetch(objects, location, range)?.into();
                Ok(buffer)
            }
        }
    }

    /// The length of a range that is about to be read.
    fn taken(&self, range: &Range<u64>) -> Result<usize, ObjectError> {
        if range.start > range.end || range.end > self.bytes {
            let reason = format!("bytes {} to {} of {} were asked for", range.start, range.end, self.bytes);
            return Err(ObjectError::Failed { path: self.path.clone(), reason });
        }
        let len = range.end - range.start;
        self.bytes_read.fetch_add(len, Ordering::Relaxed);
        Ok(len as usize)
    }

    fn read_file(&self, file: &File, buffer: &mut [u8], from: u64) -> Result<(), ObjectError> {
        file.read_exact_at(buffer, from).map_err(|error| failed_io(&self.path, &error))
    }

    fn fetch(&self, objects: &Objects, location: &Path, range: Range<u64>) -> Result<Bytes, ObjectError> {
        let len = self.taken(&range)?;
        let got = objects.runtime.block_on(objects.store.get_range(location, range));
        let got = got.map_err(|error| failed(&self.path, error))?;
        if got.len() == len {
            Ok(got)
        } else {
            let reason = format!("{} bytes came back for {len}", got.len());
            Err(ObjectError::Failed { path: self.path.clone(), reason })
        }
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    #[test]
    fn what_a_crash_left_half_written_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        Objects::local(dir.path()).unwrap().put("splits/day/one", Bytes::from_static(b"1")).unwrap();
        let staged = dir.path().join("splits/day/two#1");
        std::fs::write(&staged, b"half").unwrap();
        let objects = Objects::local(dir.path()).unwrap();
        assert!(!staged.exists());
        assert_eq!(objects.list("splits").unwrap().len(), 1);
    }

    #[test]
    fn objects_are_written_read_listed_and_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let local = Objects::local(dir.path()).unwrap();
        for objects in [local, Objects::new(Arc::new(InMemory::new()), runtime.handle().clone())] {
            objects.put("a/b/one", Bytes::from_static(b"0123456789")).unwrap();
            assert!(matches!(objects.create("a/b/one", Bytes::new()), Err(ObjectError::Exists { .. })));
            let object = objects.open("a/b/one").unwrap();
            assert_eq!(&object.read(2..5).unwrap()[..], b"234");
            assert_eq!(object.bytes_read(), 3);
            assert!(object.read(5..11).is_err());
            let mut buffer = Vec::new();
            for (range, want) in [(0..10, "0123456789"), (4..6, "45"), (6..9, "678")] {
                assert_eq!(object.read_to(range, &mut buffer).unwrap(), want.as_bytes());
            }
            assert!(object.read_to(5..11, &mut buffer).is_err());
            assert_eq!(object.bytes_read(), 18);
            assert_eq!(objects.list("a").unwrap()[0].path, "a/b/one");
            objects.delete("a/b/one").unwrap();
            objects.delete("a/b/one").unwrap();
            assert!(matches!(objects.open("a/b/one"), Err(ObjectError::Missing { .. })));
            assert!(objects.list("a").unwrap().is_empty());
        }
    }
}
