//! Our stages and their rivals do the same work: the same hits, the same verdicts, as many packets out.
//! How long they take is not asked.

use std::process::Command;

#[test]
fn both_ways_come_to_the_same_answers() {
    let ran = Command::new(env!("CARGO_BIN_EXE_rivals")).arg("--smoke").output().unwrap();
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{errors}");
    let report: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    let outcomes = report["outcomes"].as_array().unwrap();
    let stages =
        ["buffers", "parse", "classify: rows", "classify: sources", "police", "EDF", "egress DRR"];
    for stage in stages {
        let of_stage: Vec<_> = outcomes.iter().filter(|one| one["stage"] == stage).collect();
        assert!(!of_stage.is_empty(), "{stage} is there: {outcomes:?}");
        for outcome in of_stage {
            assert!(outcome["packets"].as_u64().unwrap() > 0, "{outcome}");
            assert_eq!(outcome["halves"].as_array().unwrap().len(), 2, "{outcome}");
        }
    }
}
