//! COCO evaluation: detections of a folder against its ground truth, and pycocotools' statistics.

use gradus::data::coco::json::Instances;
use gradus::metrics::coco::{Kind, NAMES, evaluate};
use serde_json::Value;
use std::path::Path;

/// pycocotools sums in another order.
const TOLERANCE: f64 = 1e-9;

/// Runs one case folder; says what differs.
pub fn check(dir: &Path) -> Result<(), String> {
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
