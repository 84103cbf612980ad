//! The figures in docs/BENCHMARKS.md are those of the labelled week.

#[path = "../examples/week/score.rs"]
mod score;
#[path = "../examples/week/simulation.rs"]
mod simulation;

#[test]
fn the_published_figures_of_the_labelled_week_are_fresh() {
    let report = score::Score::of(&simulation::Week::simulate(score::SEED)).report();
    let published = include_str!("../../../docs/BENCHMARKS.md");
    assert!(
        published.contains(report.trim()),
        "put into docs/BENCHMARKS.md what `cargo run -p aim-threats --example week` prints:\n{report}"
    );
}

#[test]
fn the_documented_detectors_are_the_ones_that_there_are() {
    let documented = include_str!("../../../docs/THREATS.md");
    for detector in aim_threats::detector::Detector::ALL {
        let row = format!(
            "| `{}` | {} | {} | {} | {} |",
            detector.as_str(),
            detector.title(),
            detector.rule(),
            detector.owasp(),
            detector.mitre()
        );
        assert!(documented.contains(&row), "docs/THREATS.md lacks: {row}");
    }
}
