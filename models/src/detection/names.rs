//! The names of a detector's tensors, which tell what it is. They are torchvision's; what older releases
//! called otherwise is renamed:
//!
//! | older | today's |
//! |---|---|
//! | `backbone.fpn.inner_blocks.0.weight` (and `layer_blocks`) | `backbone.fpn.inner_blocks.0.0.weight` |
//! | `rpn.head.conv.weight` | `rpn.head.conv.0.0.weight` |
//! | `roi_heads.mask_head.mask_fcn1.weight` | `roi_heads.mask_head.0.0.weight` |

use crate::checkpoint::{Problem, StateDict};
use indexmap::IndexMap;

/// The second stage, which every detector has and no other network.
const SECOND_STAGE: &str = "roi_heads.";
/// What predicts classes and boxes.
pub(super) const BOX_PREDICTOR: &str = "roi_heads.box_predictor.";
/// What predicts masks.
pub(super) const MASK_PREDICTOR: &str = "roi_heads.mask_predictor.";
/// Has an element a class, the background included.
pub(super) const CLASSES: &str = "roi_heads.box_predictor.cls_score.bias";

/// Whether these are the tensors of a whole detector.
pub fn is_detector(state: &StateDict) -> bool {
    any_begins_with(state.keys(), SECOND_STAGE)
}

/// Whether a tensor of this name is one of those by which [`is_detector`] tells a detector, and is short: a
/// bias of the second stage.
pub fn tells_detector(name: &str) -> bool {
    name.starts_with(SECOND_STAGE) && name.ends_with(".bias")
}

/// The number of classes that a detector tells apart, the background included.
pub fn num_classes(state: &StateDict) -> Option<usize> {
    state.get(CLASSES).map(|bias| bias.numel())
}

/// Whether a detector predicts masks.
pub fn has_masks(state: &StateDict) -> bool {
    any_begins_with(state.keys(), MASK_PREDICTOR)
}

fn any_begins_with<'a>(names: impl IntoIterator<Item = &'a String>, start: &str) -> bool {
    names.into_iter().any(|name| name.starts_with(start))
}

/// Today's name of a detector's tensor.
pub(super) fn modern_name(name: &str) -> String {
    let parts: Vec<&str> = name.split('.').collect();
    match parts[..] {
        [.., blocks @ ("inner_blocks" | "layer_blocks"), k, what] => {
            let before = &name[..name.len() - blocks.len() - k.len() - what.len() - 2];
            format!("{before}{blocks}.{k}.0.{what}")
        }
        ["rpn", "head", "conv", what] => format!("rpn.head.conv.0.0.{what}"),
        ["roi_heads", "mask_head", layer, what] => match mask_layer(layer) {
            Some(k) => format!("roi_heads.mask_head.{k}.0.{what}"),
            None => name.to_string(),
        },
        _ => name.to_string(),
    }
}

/// 0 to 3 for `mask_fcn1` to `mask_fcn4`.
fn mask_layer(name: &str) -> Option<usize> {
    let number: usize = name.strip_prefix("mask_fcn")?.parse().ok()?;
    (1..=4).contains(&number).then(|| number - 1)
}

/// Tensors, or what is known of them, under today's names.
pub fn modernise<T>(named: IndexMap<String, T>) -> IndexMap<String, T> {
    named.into_iter().map(|(name, one)| (modern_name(&name), one)).collect()
}

/// That a detector with these names is none of torchvision's second versions, which have batch norm in
/// pyramid and heads, two convolutions before the proposals, and four in the box head.
///
/// # Errors
/// [`Problem::UnknownNetwork`].
pub fn must_be_known<'a>(names: impl Iterator<Item = &'a String> + Clone) -> Result<(), Problem> {
    let own = ["backbone.fpn.inner_blocks.0.1.", "rpn.head.conv.1.", "roi_heads.box_head.0.0."];
    if !own.iter().any(|start| any_begins_with(names.clone(), start)) {
        return Ok(());
    }
    let kind = if any_begins_with(names, MASK_PREDICTOR) { "maskrcnn" } else { "fasterrcnn" };
    Err(Problem::UnknownNetwork {
        what: format!("torchvision's {kind}_resnet50_fpn_v2, with other heads and batch norm in the pyramid"),
        remedy: "Take the weights of fasterrcnn_resnet50_fpn or maskrcnn_resnet50_fpn (`gradus fetch list`)",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_names_become_todays_and_todays_stay() {
        for (older, today) in [
            ("backbone.fpn.inner_blocks.0.weight", "backbone.fpn.inner_blocks.0.0.weight"),
            ("backbone.fpn.layer_blocks.3.bias", "backbone.fpn.layer_blocks.3.0.bias"),
            ("fpn.inner_blocks.2.bias", "fpn.inner_blocks.2.0.bias"),
            ("inner_blocks.1.weight", "inner_blocks.1.0.weight"),
            ("rpn.head.conv.weight", "rpn.head.conv.0.0.weight"),
            ("roi_heads.mask_head.mask_fcn1.weight", "roi_heads.mask_head.0.0.weight"),
            ("roi_heads.mask_head.mask_fcn4.bias", "roi_heads.mask_head.3.0.bias"),
        ] {
            assert_eq!(modern_name(older), today);
            assert_eq!(modern_name(today), today);
        }
        for other in
            ["rpn.head.cls_logits.weight", "roi_heads.mask_head.mask_fcn5.bias", "conv1.weight", "", "."]
        {
            assert_eq!(modern_name(other), other);
        }
    }
}
