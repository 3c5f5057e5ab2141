//! Standard input and output: data on stdout, words on stderr.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use anyhow::Context;

/// A note, a summary or a warning for the person at the terminal.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// An error message.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "error: {text}");
}

/// The file, or standard input for `-` and for nothing.
pub(crate) fn input(path: Option<&Path>) -> anyhow::Result<Box<dyn BufRead + Send>> {
    const BUFFER: usize = 1 << 18;
    match path {
        Some(path) if path != Path::new("-") => {
            let file = File::open(path).with_context(|| format!("failed to open {}", path.display()))?;
            Ok(Box::new(BufReader::with_capacity(BUFFER, file)))
        }
        _ => Ok(Box::new(BufReader::with_capacity(BUFFER, io::stdin()))),
    }
}

/// Standard output, buffered.
pub(crate) fn output() -> BufWriter<io::Stdout> {
    BufWriter::with_capacity(1 << 18, io::stdout())
}

/// Writes a text to standard output.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Writes a file whole, so that nobody sees half of it.
pub(crate) fn write_file(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    lm::replace(path, content).with_context(|| format!("failed to write {}", path.display()))
}
