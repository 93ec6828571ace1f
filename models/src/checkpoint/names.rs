//! Names that torchvision's detectors have had: what older releases called otherwise is renamed.
//!
//! | older | today's |
//! |---|---|
//! | `backbone.fpn.inner_blocks.0.weight` (and `layer_blocks`) | `backbone.fpn.inner_blocks.0.0.weight` |
//! | `rpn.head.conv.weight` | `rpn.head.conv.0.0.weight` |
//! | `roi_heads.mask_head.mask_fcn1.weight` | `roi_heads.mask_head.0.0.weight` |

use super::StateDict;

/// Today's name of a detector's tensor.
pub fn modern_name(name: &str) -> String {
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

/// The tensors under today's names.
pub fn modernise(state: StateDict) -> StateDict {
    state.into_iter().map(|(name, tensor)| (modern_name(&name), tensor)).collect()
}

/// A detector that is told by its names and not known here: torchvision's second versions, which have batch norm in
/// pyramid and heads, two convolutions before the proposals, and four in the box head.
pub fn unread_detector<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let (mut second, mut masks) = (false, false);
    for name in names {
        second |= ["backbone.fpn.inner_blocks.0.1.", "rpn.head.conv.1.", "roi_heads.box_head.0.0."]
            .iter()
            .any(|own| name.starts_with(own));
        masks |= name.starts_with("roi_heads.mask_predictor.");
    }
    let name = if masks { "maskrcnn_resnet50_fpn_v2" } else { "fasterrcnn_resnet50_fpn_v2" };
    second.then(|| format!("torchvision's {name}, with other heads and batch norm in the pyramid"))
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
