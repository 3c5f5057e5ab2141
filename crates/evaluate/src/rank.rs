//! How well lists are ordered.

/// Normalised discounted cumulative gain of lists at a cut (Järvelin and Kekäläinen, 2002): for each list,
/// scores and whole grades, gain `2^grade - 1`. Lists without anything relevant are left out. Nothing where
/// none is left.
pub fn ndcg(lists: &[Vec<(f64, f64)>], at: usize) -> Option<f64> {
    let gain = |grade: f64, rank: usize| (grade.exp2() - 1.0) / (rank as f64 + 2.0).log2();
    let total = |list: &[(f64, f64)]| {
        list.iter().take(at).enumerate().map(|(rank, (_, grade))| gain(*grade, rank)).sum::<f64>()
    };
    let (mut sum, mut count) = (0.0, 0.0);
    for list in lists {
        let mut best = list.clone();
        best.sort_by(|a, b| b.1.total_cmp(&a.1));
        let ideal = total(&best);
        if ideal > 0.0 {
            let mut ranked = list.clone();
            ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
            sum += total(&ranked) / ideal;
            count += 1.0;
        }
    }
    (count > 0.0).then(|| sum / count)
}

/// The share of pairs of a positive and a negative item that are in the right order, ties half (Mann and
/// Whitney, 1947). Nothing where either kind is missing.
pub fn auc(scored: &[(f64, bool)]) -> Option<f64> {
    crate::curves::ranking(scored, &[], None).map(|ranking| ranking.auc)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_order_has_one_and_a_worse_one_less() {
        let best = vec![(3.0, 2.0), (2.0, 1.0), (1.0, 0.0)];
        assert_eq!(ndcg(&[best], 3), Some(1.0));
        let turned = vec![(3.0, 0.0), (2.0, 1.0), (1.0, 2.0)];
        let expected = (1.0 / 3f64.log2() + 3.0 / 2.0) / (3.0 + 1.0 / 3f64.log2());
        assert!((ndcg(&[turned], 3).expect("relevant") - expected).abs() < 1e-12);
        assert_eq!(ndcg(&[vec![(1.0, 0.0)]], 5), None);
    }
}
