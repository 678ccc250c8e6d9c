//! The same configuration and seed give the same bytes, whatever is done beside.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its functions too")]

use std::fs;
use std::path::Path;

use thorndike_tests::{final_state, small_config, stderr, thorndike};

fn train(folder: &Path, results: &str, agent: &str, overrides: &[&str]) -> std::path::PathBuf {
    fs::write(folder.join("small.toml"), small_config(agent)).unwrap();
    let mut args = vec!["train", "small.toml", "--results", results];
    args.extend(overrides);
    let output = thorndike(folder, &args);
    assert!(output.status.success(), "{agent}: {}", stderr(&output));
    folder.join(results).join("small")
}

fn events(experiment: &Path, seed: u64) -> String {
    fs::read_to_string(experiment.join(format!("seed-{seed}/events.jsonl"))).unwrap()
}

#[test]
fn the_same_seed_gives_the_same_events_also_one_after_another() {
    for agent in ["q-learning", "dqn", "pqn", "r2d2"] {
        let folder = tempfile::tempdir().unwrap();
        let a = train(folder.path(), "a", agent, &[]);
        let b = train(folder.path(), "b", agent, &["--jobs", "1"]);
        assert_eq!(events(&a, 1), events(&b, 1), "{agent}");
        assert_eq!(events(&a, 2), events(&b, 2), "{agent}");
        assert_ne!(events(&a, 1), events(&a, 2), "{agent}: seeds must differ");
        assert!(
            final_state(&a, 1) == final_state(&b, 1),
            "{agent}: weights differ"
        );
    }
}

#[test]
fn evaluating_more_often_changes_no_weight() {
    for agent in ["q-learning", "dqn", "pqn", "r2d2"] {
        let folder = tempfile::tempdir().unwrap();
        let a = train(folder.path(), "a", agent, &["eval.every_steps=1000000"]);
        let b = train(folder.path(), "b", agent, &["eval.every_steps=130"]);
        assert!(
            events(&b, 1).matches("evaluated").count()
                > 2 + events(&a, 1).matches("evaluated").count()
        );
        assert!(
            final_state(&a, 1) == final_state(&b, 1),
            "{agent}: weights differ"
        );
    }
}
