//! Texts that end an answer, found in text that comes in pieces.

/// Looks for the texts, and holds back what might be the beginning of one.
///
/// What is found does not depend on how the text is cut into pieces: the text that is complete first ends the answer,
/// of those that are complete at once the one that begins first.
#[derive(Clone, Debug)]
pub(crate) struct StopFinder {
    stops: Vec<String>,
    held: String,
}

impl StopFinder {
    /// None of the texts is empty.
    pub(crate) fn new(stops: &[String]) -> Self {
        Self { stops: stops.to_vec(), held: String::new() }
    }

    /// Takes a piece; returns the text that is certain now, and whether the answer ends with it.
    pub(crate) fn push(&mut self, piece: &str) -> (String, bool) {
        self.held.push_str(piece);
        if let Some(start) = self.found() {
            self.held.truncate(start);
            return (std::mem::take(&mut self.held), true);
        }
        let rest = self.held.split_off(self.certain());
        (std::mem::replace(&mut self.held, rest), false)
    }

    /// The text that was held back, when nothing follows it.
    pub(crate) fn rest(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Where the text begins that is complete first.
    fn found(&self) -> Option<usize> {
        let ends = self.stops.iter().filter_map(|stop| {
            let start = self.held.find(stop.as_str())?;
            Some((start + stop.len(), start))
        });
        ends.min().map(|(_, start)| start)
    }

    /// How many bytes cannot be part of one of the texts.
    fn certain(&self) -> usize {
        let begins_one = |start: &usize| self.stops.iter().any(|stop| stop.starts_with(&self.held[*start..]));
        self.held.char_indices().map(|(start, _)| start).find(begins_one).unwrap_or(self.held.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text before a stop, however it is cut into two or three pieces.
    fn before(stops: &[&str], text: &str) -> Option<String> {
        let stops: Vec<String> = stops.iter().map(|stop| (*stop).to_owned()).collect();
        let places: Vec<usize> = text.char_indices().map(|(place, _)| place).chain([text.len()]).collect();
        let mut results = Vec::new();
        for &first in &places {
            for &second in places.iter().filter(|second| **second >= first) {
                let mut finder = StopFinder::new(&stops);
                let (mut said, mut ended) = (String::new(), false);
                for piece in [&text[..first], &text[first..second], &text[second..]] {
                    if !ended {
                        let (certain, end) = finder.push(piece);
                        said += &certain;
                        ended = end;
                    }
                }
                if !ended {
                    said += &finder.rest();
                    assert_eq!(said, text, "nothing is lost");
                }
                results.push(ended.then_some(said));
            }
        }
        results.dedup();
        assert_eq!(results.len(), 1, "{stops:?} {text:?}: {results:?}");
        results.pop().flatten()
    }

    #[test]
    fn stops_are_found_across_pieces() {
        assert_eq!(before(&["\n\n"], "one\n\ntwo").as_deref(), Some("one"));
        assert_eq!(before(&["aab"], "aaab").as_deref(), Some("a"));
        assert_eq!(before(&["END", "é"], "caf\u{e9} END").as_deref(), Some("caf"));
        assert_eq!(before(&["x"], "x").as_deref(), Some(""));
        assert_eq!(before(&["abc"], "ab ab").as_deref(), None);
        assert_eq!(before(&[], "text").as_deref(), None);
    }

    #[test]
    fn the_stop_that_is_complete_first_counts() {
        assert_eq!(before(&["abc", "b"], "xabc").as_deref(), Some("xa"));
        assert_eq!(before(&["bc", "abc"], "xabc").as_deref(), Some("x"));
    }

    #[test]
    fn only_what_might_begin_a_stop_is_held_back() {
        let mut finder = StopFinder::new(&["###".to_owned()]);
        assert_eq!(finder.push("a#"), ("a".to_owned(), false));
        assert_eq!(finder.push("#b"), ("##b".to_owned(), false));
        assert_eq!(finder.push("c"), ("c".to_owned(), false));
    }
}
