//! COCO evaluation against pycocotools' values: every case folder (`gt.json`, `dt_bbox.json`, `dt_segm.json`,
//! `expected.json`) below `tests/golden/coco_eval`, or below `GOLDEN_DIR/coco_eval` where that is set.

use std::path::{Path, PathBuf};

use gradus::data::coco::json::Instances;
use gradus::metrics::coco::{Kind, NAMES, evaluate};
use serde_json::Value;

/// pycocotools sums in another order.
const TOLERANCE: f64 = 1e-9;

/// Runs one case folder; says what differs.
fn check_case(dir: &Path) -> Result<(), String> {
    let at = |name: &str| dir.join(name);
    let instances = Instances::read(&at("gt.json")).map_err(|e| e.to_string())?;
    let expected = std::fs::read(at("expected.json")).map_err(|e| e.to_string())?;
    let expected: Value = serde_json::from_slice(&expected).map_err(|e| e.to_string())?;
    let mut differences = Vec::new();
    for (kind, name) in [(Kind::Box, "bbox"), (Kind::Mask, "segm")] {
        let Some(expected) = expected.get(name) else { continue };
        let detections =
            instances.read_results(&at(&format!("dt_{name}.json"))).map_err(|e| e.to_string())?;
        let truth = instances.ground_truth(kind == Kind::Mask).map_err(|e| e.to_string())?;
        let result = evaluate(&truth, &detections, kind).map_err(|e| e.to_string())?;
        let mut compare = |what: String, got: f64, want: &Value| {
            if !want.as_f64().is_some_and(|want| (got - want).abs() <= TOLERANCE) {
                differences.push(format!("{name} {what}: {got}, expected {want}"));
            }
        };
        for (stat, got) in NAMES.iter().zip(result.stats) {
            compare(stat.to_string(), got, &expected["stats"][stat]);
        }
        let per_category = expected["per_category"].as_array().ok_or("no per_category")?;
        for (c, want) in result.categories.iter().zip(per_category) {
            let id = c.category.id;
            compare(format!("category {id} id"), id as f64, &want["category_id"]);
            let stats = c.stats();
            for (i, stat) in [(0, "AP"), (1, "AP50"), (8, "AR100")] {
                compare(format!("category {id} {stat}"), stats[i], &want[stat]);
            }
        }
        if per_category.len() != result.categories.len() {
            differences.push(format!("{name}: {} categories", result.categories.len()));
        }
    }
    if differences.is_empty() { Ok(()) } else { Err(differences.join("\n")) }
}

#[test]
fn equals_pycocotools() {
    let golden = std::env::var_os("GOLDEN_DIR").map_or_else(|| PathBuf::from("tests/golden"), PathBuf::from);
    let mut cases: Vec<PathBuf> =
        std::fs::read_dir(golden.join("coco_eval")).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(!cases.is_empty(), "no cases");
    let failures: Vec<String> =
        cases.iter().filter_map(|c| Some(format!("{}:\n{}", c.display(), check_case(c).err()?))).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
