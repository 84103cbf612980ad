//! How good the detectors are on a synthetic week whose every observation is labelled: precision and recall
//! by detector, and what was missed or wrongly found. The seed is fixed, so the figures are the same each time.

#![expect(clippy::print_stdout, reason = "this program prints its figures")]

mod score;
mod simulation;

fn main() {
    let week = simulation::Week::simulate(score::SEED);
    let score = score::Score::of(&week);
    print!("{}", score.report());
}
