//! The answers of a batch while it is under way: an output and an error file, in the order of the requests, that grow by
//! whole lines. What a kill leaves of them says where to go on.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::line;
use super::object::Counts;
use crate::data;
use crate::files::CONTENT;

/// Folders of the two files, which become those of files when the batch is done.
pub(super) const OUTPUT: &str = "output";
/// As [`OUTPUT`], of what failed.
pub(super) const ERRORS: &str = "errors";

/// The two files.
#[derive(Debug)]
pub(super) struct Answers {
    output: File,
    errors: File,
}

impl Answers {
    /// Opens the files in a batch's folder. Counts the answers up to the first request that has none; lines behind that,
    /// and a last one that is torn, are cut, so that no request has two answers.
    pub(super) fn open(folder: &Path) -> io::Result<(Self, Counts)> {
        let [mut output, mut errors] = [part(folder, OUTPUT)?, part(folder, ERRORS)?];
        let mut counts = Counts::default();
        let [mut succeeded, mut failed] = [Reader::new(&output)?, Reader::new(&errors)?];
        loop {
            let next = counts.completed + counts.failed + 1;
            if succeeded.takes(next)? {
                counts.completed += 1;
            } else if failed.takes(next)? {
                counts.failed += 1;
            } else {
                break;
            }
        }
        let (end, failed_end) = (succeeded.kept, failed.kept);
        cut(&mut output, end)?;
        cut(&mut errors, failed_end)?;
        Ok((Self { output, errors }, counts))
    }

    /// Appends an answer. It is the system's when this returns, and stays if this process is killed.
    pub(super) fn push(&mut self, line: &[u8], success: bool) -> io::Result<()> {
        if success { self.output.write_all(line) } else { self.errors.write_all(line) }
    }
}

/// Makes the answers in a batch's folder outlast a power failure, before it is noted that they are complete.
pub(super) fn keep(folder: &Path) -> io::Result<()> {
    for part in [OUTPUT, ERRORS].map(|name| folder.join(name)) {
        let content = part.join(CONTENT);
        if content.exists() {
            File::open(content)?.sync_all()?;
            data::keep_names(&part)?;
        }
    }
    data::keep_names(folder)
}

fn part(folder: &Path, name: &str) -> io::Result<File> {
    let folder: PathBuf = folder.join(name);
    fs::create_dir_all(&folder)?;
    File::options().create(true).truncate(false).read(true).write(true).open(folder.join(CONTENT))
}

fn cut(file: &mut File, end: u64) -> io::Result<()> {
    file.set_len(end)?;
    file.seek(SeekFrom::Start(end)).map(|_| ())
}

/// Reads lines that were written before.
struct Reader {
    input: BufReader<File>,
    line: Vec<u8>,
    /// Where the line that was taken last ends.
    kept: u64,
    /// The request that the present line answers.
    ordinal: Option<u64>,
}

impl Reader {
    fn new(file: &File) -> io::Result<Self> {
        let mut reader = Self { input: BufReader::new(file.try_clone()?), line: Vec::new(), kept: 0, ordinal: None };
        reader.advance()?;
        Ok(reader)
    }

    fn advance(&mut self) -> io::Result<()> {
        self.line.clear();
        self.input.read_until(b'\n', &mut self.line)?;
        self.ordinal = line::ordinal(&self.line);
        Ok(())
    }

    /// Takes the present line if it answers this request.
    fn takes(&mut self, ordinal: u64) -> io::Result<bool> {
        if self.ordinal != Some(ordinal) {
            return Ok(false);
        }
        self.kept += self.line.len() as u64;
        self.advance().map(|()| true)
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::{Outcome, Refused, answer_id, answer_line};
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("probity-answers-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        folder
    }

    /// Six answers, of which the third and the fourth are errors.
    fn lines() -> Vec<(Vec<u8>, bool)> {
        (1..=6)
            .map(|ordinal| {
                let failed = ordinal == 3 || ordinal == 4;
                let outcome = match failed {
                    true => Outcome::Refused(Refused { code: "x", message: "y\n".to_owned(), line: ordinal }),
                    false => Outcome::Answered(200, serde_json::json!({"text": "\u{e4}\n"})),
                };
                let line = answer_line(&answer_id("batch_1", ordinal), None, &outcome).expect("a line");
                (line, !failed)
            })
            .collect()
    }

    fn write(folder: &Path, lines: &[(Vec<u8>, bool)]) {
        let (mut answers, _) = Answers::open(folder).expect("files");
        for (line, success) in lines {
            answers.push(line, *success).expect("written");
        }
    }

    fn contents(folder: &Path) -> [Vec<u8>; 2] {
        [OUTPUT, ERRORS].map(|name| fs::read(folder.join(name).join(CONTENT)).expect("a file"))
    }

    #[test]
    fn wherever_a_file_is_torn_the_rest_is_written_again_and_nothing_twice() {
        let (folder, lines) = (folder("torn"), lines());
        write(&folder, &lines);
        let whole = contents(&folder);
        for (name, content) in [OUTPUT, ERRORS].into_iter().zip(&whole) {
            for length in 0..=content.len() {
                for (name, content) in [OUTPUT, ERRORS].into_iter().zip(&whole) {
                    fs::write(folder.join(name).join(CONTENT), content).expect("restored");
                }
                fs::write(folder.join(name).join(CONTENT), &content[..length]).expect("torn");
                let (mut answers, counts) = Answers::open(&folder).expect("files");
                let done = (counts.completed + counts.failed) as usize;
                assert_eq!(done == 6, length == content.len(), "{name} {length}");
                for (line, success) in &lines[done..] {
                    answers.push(line, *success).expect("written");
                }
                assert!(contents(&folder) == whole, "{name} cut at {length}");
            }
        }
        let _ = fs::remove_dir_all(&folder);
    }

    #[test]
    fn what_is_no_answer_ends_what_is_kept() {
        let (folder, lines) = (folder("zeros"), lines());
        write(&folder, &lines[..2]);
        let path = folder.join(OUTPUT).join(CONTENT);
        let mut content = fs::read(&path).expect("a file");
        let length = content.len();
        // A power failure may leave room that was never written.
        content.extend([0; 100]);
        content.extend(b"\n");
        fs::write(&path, content).expect("written");
        let (_, counts) = Answers::open(&folder).expect("files");
        assert_eq!((counts.completed, fs::metadata(&path).expect("a file").len()), (2, length as u64));
        let _ = fs::remove_dir_all(&folder);
    }
}
