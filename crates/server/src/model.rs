//! A model that is loaded, and loaded again, while requests are answered.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use decision::Identity;

use crate::{ApiError, LoadError};

/// What the server must know of every model, whatever it decides.
pub trait Model: Send + Sync {
    /// How health, version and metrics call it.
    fn name(&self) -> &str;

    /// What is loaded; nothing while the first load is under way.
    fn identity(&self) -> Option<Identity>;

    /// The files it is made of.
    fn files(&self) -> &[PathBuf];

    /// Loads, and puts what was loaded in the old one's place. Requests under way keep the old one.
    ///
    /// # Errors
    /// Why it cannot be loaded; the old one stays.
    fn load(&self) -> Result<(), LoadError>;

    /// Whether the last load failed.
    fn failed(&self) -> bool;
}

type Load<T> = Box<dyn Fn() -> Result<(T, Identity), LoadError> + Send + Sync>;

/// The place of one model.
pub struct Slot<T> {
    name: String,
    files: Vec<PathBuf>,
    load: Load<T>,
    current: RwLock<Option<(Arc<T>, Identity)>>,
    failed: AtomicBool,
}

impl<T> Slot<T> {
    /// An empty place, and how it is filled.
    pub fn new(
        name: impl Into<String>,
        files: &[&Path],
        load: impl Fn() -> Result<(T, Identity), LoadError> + Send + Sync + 'static,
    ) -> Self {
        let files = files.iter().map(|path| path.to_path_buf()).collect();
        Self {
            name: name.into(),
            files,
            load: Box::new(load),
            current: RwLock::default(),
            failed: AtomicBool::new(false),
        }
    }

    /// What is loaded. A request holds on to it until it is answered.
    ///
    /// # Errors
    /// While the first load is under way.
    pub fn get(&self) -> Result<Arc<T>, ApiError> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.as_ref().map(|(model, _)| Arc::clone(model)).ok_or(ApiError::Loading(self.name.clone()))
    }
}

impl<T: Send + Sync> Model for Slot<T> {
    fn name(&self) -> &str {
        &self.name
    }

    fn identity(&self) -> Option<Identity> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.as_ref().map(|(_, identity)| identity.clone())
    }

    fn files(&self) -> &[PathBuf] {
        &self.files
    }

    fn load(&self) -> Result<(), LoadError> {
        let loaded = (self.load)();
        self.failed.store(loaded.is_err(), Ordering::Relaxed);
        let (model, identity) = loaded?;
        let old = {
            let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
            current.replace((Arc::new(model), identity))
        };
        // Dropped after the lock is given back: freeing a large model takes time.
        drop(old);
        Ok(())
    }

    fn failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }
}
