//! Bands for which a recall holds on new cases, with a stated confidence.
//!
//! Bands that are chosen for what they miss on some cases miss more of others, and the more bands there are to choose
//! from, the more. So one part of the cases draws up candidates and puts them in an order, the safest first; the other
//! parts accept them one by one, each as a test of the hypothesis that it misses too many, up to the first that is not
//! accepted. Since the order was fixed before, all that were accepted hold together with the confidence of a single test,
//! whatever the stages, the scores and the bands (fixed-sequence testing, Maurer et al., 1995; Angelopoulos et al.,
//! "Learn then test", 2021).

use deciders::cascade::{Band, Fitted, Seen, fit};
use evaluate::Tolerance;

use crate::learning::parts::PARTS;

/// What a cascade must reach.
#[derive(Clone, Copy)]
pub(crate) struct Aim {
    pub(crate) tolerance: Tolerance,
    /// Share of the other cases that may be taken for positive; of the cases at hand, and not assured.
    pub(crate) false_positive_rate: Option<f64>,
}

impl Aim {
    /// Whether figures keep the limit to false positives, if there is one.
    pub(crate) fn keeps(&self, figures: &Figures) -> bool {
        self.false_positive_rate.is_none_or(|rate| figures.false_positive_rate <= rate)
    }
}

/// What a stage says of a case.
#[derive(Clone, Copy)]
pub(super) struct Judged {
    pub(super) score: Option<f64>,
    pub(super) positive: bool,
}

/// A case as all stages see it.
pub(super) struct Witness {
    pub(super) truth: bool,
    pub(super) stages: Vec<Judged>,
    pub(super) part: u64,
}

impl Witness {
    /// Whether the cascade finds the case positive from a stage on, whose band is the first of these.
    fn is_found(&self, stage: usize, bands: &[Band]) -> bool {
        let judged = self.stages[stage];
        match bands.split_first() {
            Some((band, later)) if band.passes_on(judged.score) => self.is_found(stage + 1, later),
            _ => judged.positive,
        }
    }
}

/// What a cascade comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Figures {
    /// Share of cases that the first stage passes on.
    pub(crate) share: f64,
    /// Share of the positive cases that are found.
    pub(crate) recall: f64,
    /// Share of the others that are taken for positive.
    pub(crate) false_positive_rate: f64,
}

/// Cases that were counted.
#[derive(Clone, Copy, Default)]
struct Counts {
    passed: usize,
    /// Taken for positive, and all: negative ones, then positive ones.
    kinds: [[usize; 2]; 2],
}

impl Counts {
    fn of<'w>(cases: impl Iterator<Item = &'w Witness>, bands: &[Band]) -> Self {
        cases.fold(Self::default(), |mut counts, case| {
            counts.passed += usize::from(bands[0].passes_on(case.stages[0].score));
            let [found, all] = &mut counts.kinds[usize::from(case.truth)];
            *found += usize::from(case.is_found(0, bands));
            *all += 1;
            counts
        })
    }

    fn add(mut self, other: Self) -> Self {
        self.passed += other.passed;
        for (own, other) in self.kinds.as_flattened_mut().iter_mut().zip(other.kinds.as_flattened()) {
            *own += other;
        }
        self
    }

    fn missed(&self) -> usize {
        let [_, [found, all]] = self.kinds;
        all - found
    }

    fn figures(&self) -> Figures {
        let share = |part: usize, whole: usize| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
        let [false_positive_rate, recall] = self.kinds.map(|[found, all]| share(found, all));
        Figures { share: share(self.passed, self.kinds[0][1] + self.kinds[1][1]), recall, false_positive_rate }
    }
}

/// Bands that were chosen, and what stands for them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Chosen {
    /// In the order of the stages; the last one has none.
    pub(crate) bands: Vec<Band>,
    /// Positive cases of the parts that accept.
    pub(crate) positives: usize,
    /// How many of them bands may miss. None if they are too few to assure the recall.
    pub(crate) misses: Option<usize>,
    /// Whether the recall is assured. If it is not, the bands are those that miss the fewest of the cases at hand.
    pub(crate) assured: bool,
}

/// Chooses the bands that pass on the fewest cases of those that are accepted; the part of this number draws them up.
/// Where there is a limit to false positives, only bands that keep it on all of the cases are tried: since that looks at
/// negative cases alone, it tells nothing of what the positive ones are then a test of. Nothing if there are no positive
/// cases.
pub(super) fn choose(cases: &[&Witness], aim: &Aim, drawing: u64) -> Option<Chosen> {
    let (drawn, accepting): (Vec<&Witness>, Vec<&Witness>) = cases.iter().partition(|case| case.part == drawing);
    let positives = accepting.iter().filter(|case| case.truth).count();
    let misses = aim.tolerance.misses(positives);
    let accepts = |bands: &Vec<Band>| {
        misses.is_some_and(|misses| Counts::of(accepting.iter().copied(), bands).missed() <= misses)
    };
    let keeps = |bands: &Vec<Band>| aim.keeps(&Counts::of(cases.iter().copied(), bands).figures());
    let accepted = candidates(&drawn, aim).into_iter().filter(keeps).take_while(accepts);
    let cheapest = accepted.min_by(|one, other| {
        let share = |bands: &[Band]| Counts::of(cases.iter().copied(), bands).passed;
        share(one).cmp(&share(other))
    });
    let assured = cheapest.is_some();
    let bands = match cheapest {
        Some(bands) => bands,
        None => fit_bands(cases, 0, aim.false_positive_rate)?,
    };
    Some(Chosen { bands, positives, misses, assured })
}

/// How far from a half the ends of those bands lie that are candidates whatever the cases say.
const REACHES: [f64; 10] = [0.4999, 0.499, 0.498, 0.495, 0.49, 0.48, 0.45, 0.4, 0.3, 0.2];

/// Bands that are fitted to be candidates, about: each to another number of misses.
const FITTED: usize = 32;

/// Bands of all stages to choose from: the fewer positive cases they miss, the earlier, and among these, the more they pass
/// on.
fn candidates(cases: &[&Witness], aim: &Aim) -> Vec<Vec<Band>> {
    let Some(first) = cases.first() else { return Vec::new() };
    let positives = cases.iter().filter(|case| case.truth).count();
    // Twice what may be missed on the average, and a little: nothing beyond would be accepted.
    let most = 3 + (2.0 * (1.0 - aim.tolerance.recall) * positives as f64).ceil() as usize;
    let around_half = REACHES.map(|reach| Band { low: 0.5 - reach, high: 0.5 + reach });
    let plain = std::iter::once(Band::ALL).chain(around_half).map(|band| vec![band; first.stages.len() - 1]);
    let fitted = (0..=most).step_by(most.div_ceil(FITTED));
    let fitted = fitted.filter_map(|misses| fit_bands(cases, misses, aim.false_positive_rate));
    let counted = plain.chain(fitted).map(|bands| (Counts::of(cases.iter().copied(), &bands), bands));
    let mut all: Vec<(Counts, Vec<Band>)> = counted.collect();
    all.sort_by_key(|(counts, _)| (counts.missed(), std::cmp::Reverse(counts.passed)));
    all.into_iter().map(|(_, bands)| bands).collect()
}

/// Bands from the last stage but one to the first, each fitted to what comes after it, so that it misses so many at most;
/// in the order of the stages. Nothing if there are no positive cases.
fn fit_bands(cases: &[&Witness], misses: usize, false_positive_rate: Option<f64>) -> Option<Vec<Band>> {
    let stages = cases.first()?.stages.len();
    let mut bands: Vec<Band> = Vec::new();
    for stage in (0..stages - 1).rev() {
        let seen = |case: &&Witness| Seen {
            truth: case.truth,
            score: case.stages[stage].score,
            first: case.stages[stage].positive,
            next: case.is_found(stage + 1, &bands),
        };
        let Fitted { band, .. } = fit(&cases.iter().map(seen).collect::<Vec<_>>(), misses, false_positive_rate)?;
        bands.insert(0, band);
    }
    Some(bands)
}

/// What bands come to on the cases themselves.
pub(super) fn figures(cases: &[Witness], bands: &[Band]) -> Figures {
    Counts::of(cases.iter(), bands).figures()
}

/// What a cascade with bands that were chosen in the same way comes to on new cases: on each part of the cases with bands
/// that were chosen by the others. None where positive cases are too few, or where a part's bands were accepted and those
/// of all cases were not, or the other way round: then they are bands of another kind than the file has.
pub(super) fn expected(cases: &[Witness], aim: &Aim, assured: bool) -> Option<Figures> {
    let mut counts = Counts::default();
    for part in 0..PARTS {
        let (held, others): (Vec<&Witness>, Vec<&Witness>) = cases.iter().partition(|case| case.part == part);
        let chosen = choose(&others, aim, (part + 1) % PARTS).filter(|chosen| chosen.assured == assured)?;
        counts = counts.add(Counts::of(held.into_iter(), &chosen.bands));
    }
    Some(counts.figures())
}

#[cfg(test)]
mod tests {
    use decision::mixing;

    use super::*;

    fn aim(recall: f64, confidence: f64) -> Aim {
        Aim { tolerance: Tolerance { recall, confidence }, false_positive_rate: None }
    }

    /// A hundred cases with scores of their own, of which the dear stage alone knows which are positive: those from 50
    /// on and, among the others, one in ten.
    fn witnesses() -> Vec<Witness> {
        let witness = |at: u64| {
            let truth = at >= 50 || at % 10 == 9;
            let cheap = Judged { score: Some(at as f64 / 100.0), positive: at >= 50 };
            Witness { truth, stages: vec![cheap, Judged { score: None, positive: truth }], part: at % PARTS }
        };
        (0..100).map(witness).collect()
    }

    #[test]
    fn what_new_cases_can_expect_is_not_what_the_bands_were_fitted_to() {
        let all = witnesses();
        let chosen = choose(&all.iter().collect::<Vec<_>>(), &aim(1.0, 0.95), 0).expect("positive cases");
        // No number of cases assures that none is missed; the bands miss none of these.
        assert_eq!((chosen.assured, chosen.misses), (false, None));
        let fitted = figures(&all, &chosen.bands);
        assert_eq!((fitted.recall, fitted.share), (1.0, 0.41));
        // All of the hidden cases are in one part: bands that were fitted without them pass none of them on.
        let expected = expected(&all, &aim(1.0, 0.95), false).expect("positive cases");
        assert_eq!(expected.recall, 50.0 / 55.0);
        assert_eq!(super::expected(&all[..9], &aim(1.0, 0.95), false), None);
    }

    #[test]
    fn nothing_is_expected_of_parts_that_choose_otherwise_than_all_cases() {
        let cases = drawn(7, 160);
        let positives =
            |accepting: &dyn Fn(u64) -> bool| cases.iter().filter(|case| case.truth && accepting(case.part)).count();
        // Four parts are enough to accept, and three of them, as without one part, are not.
        let aim = aim(0.95, 0.95);
        let fewest = aim.tolerance.fewest_positives().expect("some number");
        assert!(positives(&|part| part != 0) >= fewest && positives(&|part| part > 1) < fewest);
        let chosen = choose(&cases.iter().collect::<Vec<_>>(), &aim, 0).expect("positive cases");
        assert!(chosen.assured, "{chosen:?}");
        assert_eq!(expected(&cases, &aim, chosen.assured), None);
        let many = drawn(7, 800);
        assert!(expected(&many, &aim, true).is_some());
    }

    #[test]
    fn a_limit_to_false_positives_is_kept_on_all_cases() {
        let rate = |cases: &[Witness], chosen: &Chosen| figures(cases, &chosen.bands).false_positive_rate;
        let mut over = 0;
        for seed in 0..50 {
            let cases = drawn(mixing::mix(seed + 1), 800);
            let all: Vec<&Witness> = cases.iter().collect();
            let free = rate(&cases, &choose(&all, &aim(0.9, 0.9), 0).expect("positive cases"));
            // The first stage alone takes a tenth of the low scores for positive.
            let limited = Aim { false_positive_rate: Some(0.02), ..aim(0.9, 0.9) };
            let chosen = choose(&all, &limited, 0).expect("positive cases");
            assert!(chosen.assured && rate(&cases, &chosen) <= 0.02, "{seed}: {chosen:?}");
            over += usize::from(free > 0.02);
        }
        assert!(over > 0, "the limit changes nothing here");
    }

    #[test]
    fn three_stages_are_fitted_from_the_last_to_the_first() {
        let mut all = witnesses();
        for (at, case) in all.iter_mut().enumerate() {
            // A middle stage that is right from 20 on.
            let middle = Judged { score: Some(at as f64 / 100.0), positive: at >= 20 && case.truth };
            case.stages.insert(1, middle);
        }
        let bands = fit_bands(&all.iter().collect::<Vec<_>>(), 0, None).expect("positive cases");
        assert_eq!(figures(&all, &bands), Figures { share: 0.41, recall: 1.0, false_positive_rate: 0.0 });
        assert_eq!(all.iter().filter(|case| bands[1].passes_on(case.stages[1].score)).count(), 11);
        assert!(all.iter().all(|case| case.is_found(0, &bands) == case.truth));
    }

    #[test]
    fn a_last_stage_that_misses_too_many_assures_nothing() {
        let mut all = witnesses();
        all.iter_mut().for_each(|case| case.stages[1].positive &= !case.stages[0].positive);
        let chosen = choose(&all.iter().collect::<Vec<_>>(), &aim(0.9, 0.9), 0).expect("positive cases");
        assert!(!chosen.assured && chosen.misses.is_some(), "{chosen:?}");
    }

    /// Cases whose scores are multiples of a hundredth. A first stage finds positive what scores a half or more, but for
    /// every tenth case; the next is always right. A positive case scores so much or more with the square root of what is
    /// left of 1: low scores are rare among them.
    fn drawn(seed: u64, count: u64) -> Vec<Witness> {
        let draw = |case: u64| {
            let [truth, place, first, part] =
                [1, 2, 3, 4].map(|number| (mixing::drawn(seed, 4 * case + number) >> 11) as f64 / (1u64 << 53) as f64);
            let truth = truth < 0.5;
            let score = ((if truth { place.sqrt() } else { place * place }) * 100.0).floor() / 100.0;
            let first = Judged { score: Some(score), positive: (score >= 0.5) != (first < 0.1) };
            let stages = vec![first, Judged { score: None, positive: truth }];
            Witness { truth, stages, part: (part * PARTS as f64) as u64 }
        };
        (0..count).map(draw).collect()
    }

    /// The recall of bands over all cases that [`drawn`] could draw.
    fn recall_of(band: Band) -> f64 {
        let missed = (0..100u32).map(|place| {
            let score = f64::from(place) / 100.0;
            // Of positive cases, the share with this score: squares of uniform numbers' roots.
            let share = (f64::from(place + 1) / 100.0).powi(2) - score.powi(2);
            let kept_wrongly = if score >= 0.5 { 0.1 } else { 0.9 };
            if band.passes_on(Some(score)) { 0.0 } else { share * kept_wrongly }
        });
        1.0 - missed.sum::<f64>()
    }

    #[test]
    fn a_recall_that_is_assured_holds_on_new_cases() {
        let aim = aim(0.95, 0.9);
        let (mut held, mut saved) = (0, 0);
        for seed in 0..400 {
            let cases = drawn(mixing::mix(seed + 1), 800);
            let chosen = choose(&cases.iter().collect::<Vec<_>>(), &aim, 0).expect("positive cases");
            assert!(chosen.assured, "{chosen:?}");
            held += usize::from(recall_of(chosen.bands[0]) >= 0.95);
            saved += usize::from(figures(&cases, &chosen.bands).share < 0.9);
        }
        // Three deviations of a share of 400 below 0.9; and not for passing on everything.
        assert!(held >= 342 && saved >= 300, "{held} held, {saved} saved");
    }
}
