//! The loop from input lines to output lines: bounded memory, any number of threads, order kept.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};

use crate::{Case, DecideError, Decider, Decision, DecisionLine, Desk, Identity, Worker};

/// A longer line is answered with an error and skipped without being held.
pub const MAXIMUM_LINE: usize = 16 << 20;

/// Lines that travel to a thread together: so few that threads end at about the same time.
const CHUNK_LINES: usize = 128;
const CHUNK_BYTES: usize = 1 << 20;

/// Chunks under way for each thread: enough that none waits for the reader or the writer.
const CHUNKS_EACH: usize = 4;

/// What came of an input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Lines read, blank ones left out.
    pub lines: u64,
    /// Lines answered with an error.
    pub failed: u64,
}

/// A line as it was read.
#[derive(Clone, Copy, Debug)]
pub enum Line<'l> {
    /// Its bytes, without the line break.
    Text(&'l [u8]),
    /// It is longer than [`MAXIMUM_LINE`].
    TooLong,
}

/// Answers one line: appends exactly one line to the output and says whether it was a success.
pub trait Answer {
    /// `number` is one-based. The answer must not contain a line break.
    fn answer(&mut self, number: u64, line: Line<'_>, out: &mut Vec<u8>) -> bool;

    /// Answers lines together, where that is cheaper than one by one: each with a line break behind it. Returns how
    /// many were no success; nothing, and then nothing is appended, where lines are answered one by one.
    fn answer_together(&mut self, lines: &[(u64, Line<'_>)], out: &mut Vec<u8>) -> Option<u64> {
        let _ = (lines, out);
        None
    }
}

impl<F: FnMut(u64, Line<'_>, &mut Vec<u8>) -> bool> Answer for F {
    fn answer(&mut self, number: u64, line: Line<'_>, out: &mut Vec<u8>) -> bool {
        self(number, line, out)
    }
}

/// Lines on their way from the reader through a worker to the writer, and back for the next lines: there are
/// only so many chunks, which bounds the memory, and each keeps its buffers.
#[derive(Default)]
struct Chunk {
    index: u64,
    text: Vec<u8>,
    /// End of each line in `text`; `None` for a line that was too long.
    ends: Vec<Option<usize>>,
    numbers: Vec<u64>,
    /// The answers.
    out: Vec<u8>,
    failed: u64,
}

impl Chunk {
    /// Answers all lines, together if the worker does that. A fault of ours stays on its line: the worker, whose state
    /// it may have spoilt, is replaced, and lines that were to be answered together are answered one by one.
    fn answer<'s>(&mut self, worker: &mut Box<dyn Answer + 's>, make: &dyn Fn() -> Box<dyn Answer + 's>) {
        let Self { text, ends, numbers, out, failed, .. } = self;
        let mut start = 0;
        let lines = ends.iter().map(|end| match end {
            Some(end) => Line::Text(&text[std::mem::replace(&mut start, *end)..*end]),
            None => Line::TooLong,
        });
        let lines: Vec<(u64, Line<'_>)> = numbers.iter().copied().zip(lines).collect();
        out.clear();
        match catch_unwind(AssertUnwindSafe(|| worker.answer_together(&lines, out))) {
            Ok(Some(count)) => return *failed = count,
            Ok(None) => {}
            Err(_) => *worker = make(),
        }
        out.clear();
        *failed = 0;
        for (number, line) in lines {
            let begin = out.len();
            match catch_unwind(AssertUnwindSafe(|| worker.answer(number, line, out))) {
                Ok(true) => {}
                Ok(false) => *failed += 1,
                Err(_) => {
                    out.truncate(begin);
                    let _ = write!(out, r#"{{"case_id":"line:{number}","line":{number},"error":"internal fault"}}"#);
                    *worker = make();
                    *failed += 1;
                }
            }
            out.push(b'\n');
        }
    }
}

/// Reads chunks of lines.
struct Chunks<R> {
    input: R,
    next_index: u64,
    next_number: u64,
}

impl<R: BufRead> Chunks<R> {
    /// Fills a chunk with the next lines; false at the end.
    fn next(&mut self, chunk: &mut Chunk) -> io::Result<bool> {
        let first = self.next_number;
        chunk.index = self.next_index;
        // What one long line took is given back.
        for buffer in [&mut chunk.text, &mut chunk.out] {
            buffer.clear();
            buffer.shrink_to(2 * CHUNK_BYTES);
        }
        chunk.ends.clear();
        chunk.numbers.clear();
        while chunk.ends.len() < CHUNK_LINES && chunk.text.len() < CHUNK_BYTES {
            let start = chunk.text.len();
            let Some(complete) = read_line(&mut self.input, &mut chunk.text)? else { break };
            let number = self.next_number;
            self.next_number += 1;
            if chunk.text.last() == Some(&b'\r') {
                chunk.text.pop();
            }
            if !complete {
                chunk.text.truncate(start);
                chunk.ends.push(None);
            } else if chunk.text[start..].iter().all(u8::is_ascii_whitespace) {
                chunk.text.truncate(start);
                continue;
            } else {
                chunk.ends.push(Some(chunk.text.len()));
            }
            chunk.numbers.push(number);
        }
        self.next_index += 1;
        Ok(!chunk.ends.is_empty() || self.next_number > first)
    }
}

/// Appends a line without its break. `None` at the end, `Some(false)` if it is longer than [`MAXIMUM_LINE`]: then it is
/// passed over, and nothing of it kept.
///
/// # Errors
/// When reading fails.
pub fn read_line(input: &mut impl BufRead, text: &mut Vec<u8>) -> io::Result<Option<bool>> {
    let start = text.len();
    let (mut any, mut complete) = (false, true);
    loop {
        let buffer = match input.fill_buf() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if buffer.is_empty() {
            return Ok(any.then_some(complete));
        }
        any = true;
        let at = memchr::memchr(b'\n', buffer);
        let part = &buffer[..at.unwrap_or(buffer.len())];
        if text.len() - start + part.len() > MAXIMUM_LINE {
            complete = false;
            text.truncate(start);
        }
        if complete {
            text.extend_from_slice(part);
        }
        let used = part.len() + usize::from(at.is_some());
        input.consume(used);
        if at.is_some() {
            return Ok(Some(complete));
        }
    }
}

/// Answers every line of `input` on `output`, in order, on `threads` threads.
///
/// # Errors
/// When reading or writing fails; a closed pipe is `ErrorKind::BrokenPipe`.
pub fn answer_lines<'s>(
    input: impl BufRead + Send,
    output: &mut (impl Write + Send),
    threads: usize,
    worker: &(impl Fn() -> Box<dyn Answer + 's> + Sync),
) -> io::Result<Summary> {
    let mut chunks = Chunks { input, next_index: 0, next_number: 1 };
    if threads > 1 {
        return answer_on_threads(&mut chunks, output, threads, worker);
    }
    let mut summary = Summary::default();
    let mut held = worker();
    let mut chunk = Chunk::default();
    while chunks.next(&mut chunk)? {
        chunk.answer(&mut held, worker);
        summary.lines += chunk.ends.len() as u64;
        summary.failed += chunk.failed;
        output.write_all(&chunk.out)?;
    }
    output.flush()?;
    Ok(summary)
}

fn answer_on_threads<'s, R: BufRead + Send>(
    chunks: &mut Chunks<R>,
    output: &mut (impl Write + Send),
    threads: usize,
    worker: &(impl Fn() -> Box<dyn Answer + 's> + Sync),
) -> io::Result<Summary> {
    let (free, freed) = channel::<Chunk>();
    let (filled, waiting) = channel::<Chunk>();
    let (done, answered) = channel::<Chunk>();
    let waiting = Mutex::new(waiting);
    for _ in 0..threads * CHUNKS_EACH {
        // The receiver is held below.
        let _ = free.send(Chunk::default());
    }
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (waiting, done) = (&waiting, done.clone());
            scope.spawn(move || work(waiting, &done, worker));
        }
        drop(done);
        let writer = scope.spawn(move || write_in_order(&answered, &free, output));
        let mut failure = None;
        // No chunk comes back any more when the writer failed; its error says why.
        while let Ok(mut chunk) = freed.recv() {
            match chunks.next(&mut chunk) {
                Ok(true) => {
                    if filled.send(chunk).is_err() {
                        break;
                    }
                }
                Ok(false) => break,
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        drop(filled);
        let written = writer.join().map_err(|_| io::Error::other("the writer panicked"))?;
        match failure {
            Some(error) => Err(error),
            None => written,
        }
    })
}

fn work<'s>(
    waiting: &Mutex<Receiver<Chunk>>,
    done: &Sender<Chunk>,
    worker: &(impl Fn() -> Box<dyn Answer + 's> + Sync),
) {
    let mut held = worker();
    loop {
        // A statement of its own: the lock is not held while the chunk is answered.
        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(mut chunk) = next else { return };
        chunk.answer(&mut held, worker);
        if done.send(chunk).is_err() {
            return;
        }
    }
}

fn write_in_order(answered: &Receiver<Chunk>, free: &Sender<Chunk>, output: &mut impl Write) -> io::Result<Summary> {
    let mut summary = Summary::default();
    let mut early = BTreeMap::new();
    let mut next = 0;
    for chunk in answered {
        early.insert(chunk.index, chunk);
        while let Some(chunk) = early.remove(&next) {
            output.write_all(&chunk.out)?;
            summary.lines += chunk.ends.len() as u64;
            summary.failed += chunk.failed;
            next += 1;
            // The reader may have come to its end.
            let _ = free.send(chunk);
        }
    }
    output.flush()?;
    Ok(summary)
}

/// Decides every line of `input`: one [`DecisionLine`] each, in order.
///
/// # Errors
/// When reading or writing fails.
pub fn decide_lines(
    desk: &dyn Desk,
    decider: &dyn Decider,
    input: impl BufRead + Send,
    output: &mut (impl Write + Send),
    threads: usize,
) -> io::Result<Summary> {
    let worker = || -> Box<dyn Answer + '_> { Box::new(CaseAnswers { desk, decider, worker: decider.worker() }) };
    answer_lines(input, output, threads, &worker)
}

/// Answers lines with decisions: those of a chunk together, if the decider prefers that.
struct CaseAnswers<'d> {
    desk: &'d dyn Desk,
    decider: &'d dyn Decider,
    worker: Box<dyn Worker + 'd>,
}

impl CaseAnswers<'_> {
    /// Appends the line of each case, and returns how many are no decisions.
    fn write(&mut self, lines: &[(u64, Line<'_>)], out: &mut Vec<u8>, end: &[u8]) -> u64 {
        let cases = lines.iter().map(|(number, line)| (*number, read(*number, *line))).collect();
        let mut failed = 0;
        for line in decide_cases(self.desk, self.decider.identity(), &mut *self.worker, cases) {
            // Writing to memory cannot fail, and every part of a line serialises.
            let _ = serde_json::to_writer(&mut *out, &line);
            out.extend_from_slice(end);
            failed += u64::from(line.error.is_some());
        }
        failed
    }
}

impl Answer for CaseAnswers<'_> {
    fn answer(&mut self, number: u64, line: Line<'_>, out: &mut Vec<u8>) -> bool {
        self.write(&[(number, line)], out, b"") == 0
    }

    fn answer_together(&mut self, lines: &[(u64, Line<'_>)], out: &mut Vec<u8>) -> Option<u64> {
        self.decider.prefers_batches().then(|| self.write(lines, out, b"\n"))
    }
}

/// Decides cases together: one line for each, in order, also for those that could not be read. They come with their
/// one-based numbers, `by` is the worker's decider.
pub fn decide_cases(
    desk: &dyn Desk,
    by: &Identity,
    worker: &mut dyn Worker,
    cases: Vec<(u64, Result<Case<'_>, String>)>,
) -> Vec<DecisionLine> {
    let mut read = Vec::with_capacity(cases.len());
    let failures: Vec<(u64, Option<String>)> =
        cases.into_iter().map(|(number, case)| (number, case.map(|case| read.push(case)).err())).collect();
    let results = if read.is_empty() { Vec::new() } else { worker.decide(&read) };
    let mut results = results.into_iter();
    let mut ids = read.into_iter().map(|case| case.case_id.into_owned());
    let mut line = |(number, unread): (u64, Option<String>)| match unread {
        Some(problem) => failure(format!("line:{number}"), number, problem),
        None => {
            let case_id = ids.next().unwrap_or_default();
            match results.next() {
                Some(Ok(decision)) if !desk.outcomes().contains(&decision.outcome.as_str()) => {
                    failure(case_id, number, DecideError::UnknownOutcome(decision.outcome).to_string())
                }
                Some(Ok(decision)) => decided(desk, by, case_id, decision),
                Some(Err(error)) => failure(case_id, number, error.to_string()),
                None => failure(case_id, number, "the decider gave no answer".to_owned()),
            }
        }
    };
    failures.into_iter().map(&mut line).collect()
}

/// The line of a decision.
fn decided(desk: &dyn Desk, by: &Identity, case_id: String, mut decision: Decision) -> DecisionLine {
    let stage = decision.stage.take();
    let cascade = stage.as_ref().map(|_| by.clone());
    DecisionLine {
        case_id,
        decided_by: Some(stage.unwrap_or_else(|| by.clone())),
        cascade,
        decision: Some(desk.canonical(decision)),
        line: None,
        error: None,
    }
}

/// The case of a line, or why there is none.
fn read(number: u64, line: Line<'_>) -> Result<Case<'_>, String> {
    match line {
        Line::Text(text) => Case::read(text, number).map_err(|error| error.to_string()),
        Line::TooLong => Err(format!("the line is longer than {MAXIMUM_LINE} bytes")),
    }
}

fn failure(case_id: String, number: u64, error: String) -> DecisionLine {
    DecisionLine { case_id, decided_by: None, cascade: None, decision: None, line: Some(number), error: Some(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo(threads: usize, input: &[u8]) -> (Vec<u8>, Summary) {
        let mut out = Vec::new();
        let worker = || -> Box<dyn Answer> {
            Box::new(|number: u64, line: Line<'_>, out: &mut Vec<u8>| match line {
                Line::Text(text) => {
                    out.extend_from_slice(format!("{number}:").as_bytes());
                    out.extend_from_slice(text);
                    !text.starts_with(b"bad")
                }
                Line::TooLong => {
                    out.extend_from_slice(b"too long");
                    false
                }
            })
        };
        let summary = answer_lines(input, &mut out, threads, &worker).expect("memory does not fail");
        (out, summary)
    }

    #[test]
    fn every_line_is_answered_once_in_order_on_any_number_of_threads() {
        let input: String =
            (0..5000).map(|i| if i % 7 == 0 { format!("bad{i}\r\n") } else { format!("{i}\n") }).collect();
        let (one, summary) = echo(1, input.as_bytes());
        assert_eq!(summary, Summary { lines: 5000, failed: 715 });
        for threads in [2, 3, 8] {
            assert_eq!(echo(threads, input.as_bytes()), (one.clone(), summary));
        }
    }

    #[test]
    fn a_fault_stays_on_its_line() {
        let worker = || -> Box<dyn Answer> {
            Box::new(|_: u64, line: Line<'_>, out: &mut Vec<u8>| {
                out.extend_from_slice(b"half");
                assert!(!matches!(line, Line::Text(b"bad")), "a fault made for this test");
                true
            })
        };
        let mut out = Vec::new();
        let summary = answer_lines(&b"a\nbad\nb\n"[..], &mut out, 1, &worker).expect("memory does not fail");
        let text = String::from_utf8(out).expect("UTF-8");
        assert_eq!(summary, Summary { lines: 3, failed: 1 });
        assert_eq!(text.lines().nth(1), Some(r#"{"case_id":"line:2","line":2,"error":"internal fault"}"#));
        assert_eq!(text.lines().nth(2), Some("half"));
    }

    /// Decides cases together and breaks on some.
    struct Fragile(crate::Identity);

    impl Decider for Fragile {
        fn identity(&self) -> &crate::Identity {
            &self.0
        }

        fn worker(&self) -> Box<dyn Worker + '_> {
            struct One(bool);
            impl Worker for One {
                fn decide(&mut self, cases: &[Case<'_>]) -> Vec<Result<Decision, DecideError>> {
                    let fit = |case: &Case<'_>| {
                        assert!(!std::mem::replace(&mut self.0, case.case_id == "bad"), "a worker that broke is kept");
                        assert!(!self.0, "a fault made for this test");
                        Ok(Decision { outcome: format!("{}", cases.len().min(2)), ..Decision::default() })
                    };
                    cases.iter().map(fit).collect()
                }
            }
            Box::new(One(false))
        }

        fn prefers_batches(&self) -> bool {
            true
        }
    }

    struct Numbers;

    impl Desk for Numbers {
        fn name(&self) -> &'static str {
            "numbers"
        }

        fn outcomes(&self) -> &'static [&'static str] {
            &["1", "2"]
        }

        fn truth(&self, _: &[u8]) -> Option<crate::Truth> {
            None
        }
    }

    #[test]
    fn cases_are_decided_together_and_one_by_one_where_that_fails() {
        let identity = crate::Identity { name: "fragile".into(), version: "1".into(), hash: "0".into() };
        let decide = |ids: &[&str]| -> Vec<(String, Option<String>)> {
            let input: String = ids.iter().map(|id| format!("{{\"case_id\":\"{id}\"}}\n[]\n")).collect();
            let mut out = Vec::new();
            let summary =
                decide_lines(&Numbers, &Fragile(identity.clone()), input.as_bytes(), &mut out, 1).expect("memory");
            let lines: Vec<DecisionLine> =
                out.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
            assert_eq!(summary.failed, lines.iter().filter(|line| line.error.is_some()).count() as u64);
            lines.into_iter().map(|line| (line.case_id, line.decision.map(|d| d.outcome))).collect()
        };
        let line = |id: &str, outcome: &str| (id.to_owned(), (!outcome.is_empty()).then(|| outcome.to_owned()));
        let together = [line("a", "2"), line("line:2", ""), line("b", "2"), line("line:4", "")];
        assert_eq!(decide(&["a", "b"]), together);
        let alone = [line("a", "1"), line("line:2", ""), line("line:3", ""), line("line:4", ""), line("b", "1")];
        assert_eq!(decide(&["a", "bad", "b"])[..5], alone);
    }

    #[test]
    fn blank_lines_keep_their_number_and_give_no_answer() {
        let (out, summary) = echo(1, b"a\n\n  \nb");
        assert_eq!((out.as_slice(), summary.lines), (&b"1:a\n4:b\n"[..], 2));
    }

    #[test]
    fn a_line_that_is_too_long_fails_alone() {
        let mut input = vec![b'x'; MAXIMUM_LINE + 1];
        input.extend_from_slice(b"\nnext\n");
        let (out, summary) = echo(1, &input);
        assert_eq!((out.as_slice(), summary), (&b"too long\n2:next\n"[..], Summary { lines: 2, failed: 1 }));
    }
}
