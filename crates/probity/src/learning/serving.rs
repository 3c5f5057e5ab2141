//! Models as the server opens them: artifacts of a desk decide, and checkpoints write.

use std::path::Path;
use std::sync::Arc;

use deciders::artifact::{Kind, Manifest};
use deciders::decoder::Decoder;
use deciders::multihead::Multihead;
use decision::{Decider, Desk};
use desks::transactions::Transactions;
use lm::inference::{Host, HostOptions};
use server::{LoadError, Opened, model_name};

use super::{decoder, multihead};

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
