//! Models as the server opens them: artifacts of a desk decide, and checkpoints write. And what else decides.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use deciders::artifact::{Kind, Manifest};
use deciders::decoder::Decoder;
use deciders::multihead::Multihead;
use decision::{Decider, Desk};
use desks::transactions::Transactions;
use lm::inference::{Host, HostOptions};
use server::{LoadError, NamedDecider, Opened, Settings, Slot, model_name};

use super::{decoder, multihead};
use crate::commands;
use crate::commands::decide::Means;

/// Places for the deciders that the settings name. Whatever `decide --with` takes is one.
pub(crate) fn deciders(settings: &Settings) -> Vec<Slot<Opened>> {
    let threads = match settings.serve_threads {
        0 => commands::generate::threads(),
        threads => threads,
    };
    let means = Means { threads, max_firings: Some(settings.max_firings) };
    let place = |NamedDecider { name, with }: NamedDecider| {
        let files = commands::decide::files(&with);
        let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
        Slot::new(name.clone(), &files, move || {
            // What kind of error it is decides on the exit code.
            let decider = commands::decide::decider(&with, &Transactions, means)
                .map_err(anyhow::Error::reallocate_into_boxed_dyn_error_without_backtrace)?;
            let decider: Arc<dyn Decider> = decider.into();
            let identity = decider.identity().clone();
            let desk = Some(Transactions.name());
            Ok((
                Opened { name: name.clone(), host: None, desk, decider: Some(decider), identity: identity.clone() },
                identity,
            ))
        })
    };
    settings.decider.iter().cloned().map(place).collect()
}

/// Opens the model of a folder. An artifact runs in the precision that it was measured in; one that writes can be asked
/// for text, too. If its weights are held in fewer bits than they were measured in, its identity is another.
///
/// # Errors
/// When the folder has no model that this program can run.
pub(crate) fn open(folder: &Path, options: &HostOptions) -> Result<Opened, LoadError> {
    if !Manifest::is_in(folder) {
        return Opened::checkpoint(folder, options);
    }
    let manifest = Manifest::open(folder, Transactions.name())?;
    let (host, decider): (Option<Arc<Host>>, Arc<dyn Decider>) = match manifest.kind {
        Kind::Multihead => {
            let threads = options.service.threads;
            (None, Arc::new(Multihead::open(folder, &manifest, multihead::READING, threads)?))
        }
        Kind::Decoder => {
            let options = HostOptions { precision: manifest.precision, ..*options };
            let host = Arc::new(Host::open(&folder.join(deciders::MODEL), &options)?);
            let decider = Decoder::over(Arc::clone(&host), options.storage, folder, &manifest, decoder::READING)?;
            (Some(host), Arc::new(decider))
        }
    };
    let identity = decider.identity().clone();
    Ok(Opened { name: model_name(folder), host, desk: Some(Transactions.name()), decider: Some(decider), identity })
}
