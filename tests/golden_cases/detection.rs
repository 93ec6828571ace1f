//! The parts of two-stage detectors.

use super::Op;
use super::run::{IMAGE, Run, plain};
use gradus_core::{Element, Tensor, Var};
use gradus_models::detection::anchors::AnchorGenerator;
use gradus_models::detection::boxes::{BBox, boxes};
use gradus_models::detection::coder::BoxCoder;
use gradus_models::detection::matcher::{Match, Matcher};
use gradus_models::detection::pooler::{Levels, Maps};
use gradus_models::detection::roi_heads::mask_head::project_masks;
use gradus_models::detection::transform::{Transform, resize_boxes};
use gradus_models::detection::{Masks, Target, paste_mask};
use gradus_models::scalar::Dual;

pub fn table<E: Element>() -> Vec<Op<E>> {
    vec![
        Op::new("anchor_generator", anchor_generator, 0.0),
        Op::new("box_decode", decode, 16.0),
        Op::new("box_encode", encode, 16.0),
        Op::new("matcher", matcher, 0.0),
        Op::new("multiscale_roi_align", multiscale_roi_align, 256.0),
        Op::new("paste_masks_in_image", paste_masks, 256.0),
        Op::new("project_masks_on_boxes", project, 256.0),
        Op::new("rcnn_transform", transform, 256.0),
        Op::new("resize_boxes", resized_boxes, 8.0),
    ]
}

/// A list of lists of numbers.
fn lists<E: Element>(run: &Run<E>, name: &str) -> Vec<Vec<f64>> {
    let outer = run.case.attr(name).and_then(|v| v.as_array()).unwrap_or_else(|| panic!("{name}"));
    let list = |v: &serde_json::Value| v.as_array().map(|l| l.iter().filter_map(|v| v.as_f64()).collect());
    outer.iter().map(|v| list(v).unwrap_or_else(|| panic!("{name}"))).collect()
}

fn sizes<E: Element>(run: &Run<E>, name: &str) -> Vec<[usize; 2]> {
    lists(run, name).iter().map(|s| [s[0] as usize, s[1] as usize]).collect()
}

fn tensor<E: Element>(b: &[BBox<E>]) -> Var<E> {
    Tensor::from_slice([b.len(), 4], b.as_flattened()).into()
}

fn anchor_generator<E: Element>(run: &mut Run<E>) {
    let whole = |l: &Vec<f64>| l.iter().map(|&v| v as usize).collect();
    let of_level: Vec<Vec<usize>> = lists(run, "sizes").iter().map(whole).collect();
    let ratios = lists(run, "aspect_ratios");
    assert!(ratios.iter().all(|r| *r == ratios[0]), "ratios differ between levels");
    let generator = AnchorGenerator::<E>::new(&of_level, &ratios[0]);
    for (k, cell) in generator.cells.iter().enumerate() {
        run.output_plain(&format!("cell_anchors.{k}"), &tensor(cell));
    }
    let anchors = generator.generate(run.case.pair("image_size"), &sizes(run, "grid_sizes"));
    run.output_plain("anchors", &tensor(&anchors.boxes));
}

fn coder<E: Element>(run: &Run<E>) -> BoxCoder {
    BoxCoder { weights: run.case.numbers("weights").try_into().expect("four weights") }
}

/// The library decodes values alone; the gradient is the formula's, by dual numbers.
fn decode<E: Element>(run: &mut Run<E>) {
    let (coder, codes, references) = (coder(run), run.plain("rel_codes"), run.constant("boxes"));
    let [n, width] = codes.value.dims("decode");
    let each = width / 4;
    let decoded: Vec<[Dual<E, 4>; 4]> = (0..n * each)
        .map(|i| {
            let code = &codes.value.data()[4 * i..][..4];
            let constant = |v: E| Dual { value: v, d: [E::ZERO; 4] };
            let code = std::array::from_fn(|k| Dual::variable(code[k], k));
            coder.decode(&code, &boxes(&references)[i / each].map(constant))
        })
        .collect();
    let y = Tensor::from_fn([n, each, 4], |i| decoded[i / 4][i % 4].value);
    for (i, b) in decoded.iter().enumerate() {
        let code: [E; 4] = std::array::from_fn(|k| codes.value.data()[4 * i + k]);
        assert_eq!(coder.decode(&code, &boxes(&references)[i / each]), b.map(|v| v.value), "values alone");
    }
    let node = codes.node;
    let y = run.tape.record("decode", y, &[node], move |g, slots| {
        let derivative =
            |i: usize| (0..4).map(|k| g.data()[i / 4 * 4 + k] * decoded[i / 4][k].d[i % 4]).sum();
        slots.add(node, || Tensor::from_fn([n, 4 * each], derivative));
    });
    run.output_plain("y", &y);
}

fn encode<E: Element>(run: &mut Run<E>) {
    let (coder, b, references) = (coder(run), run.constant("reference"), run.constant("proposals"));
    let pairs = boxes(&b).iter().zip(boxes(&references));
    let codes: Vec<[E; 4]> = pairs.map(|(b, r)| coder.encode(b, r)).collect();
    run.output_plain("y", &tensor(&codes));
}

fn matcher<E: Element>(run: &mut Run<E>) {
    let case = run.case;
    let matcher = Matcher {
        high: case.number("high"),
        low: case.number("low"),
        allow_low_quality: case.flag("allow_low_quality_matches"),
    };
    let number = |m: Match| match m {
        Match::Object(i) => i as i64,
        Match::Background => -1,
        Match::Between => -2,
    };
    let matches: Vec<i64> = matcher.matrix(&run.constant("quality")).into_iter().map(number).collect();
    run.integers("matches", &[matches.len()], matches);
}

fn multiscale_roi_align<E: Element>(run: &mut Run<E>) {
    let [side, across] = run.case.pair("output_size");
    assert!(side == across && run.case.integer("sampling_ratio") == 2, "what detectors use");
    let image_shapes = sizes(run, "image_shapes");
    let maps: Vec<Var<E>> =
        (0..run.case.integer("num_levels")).map(|k| run.images(&format!("feat{k}"))).collect();
    let regions: Vec<Tensor<E>> =
        (0..image_shapes.len()).map(|k| run.constant(&format!("boxes{k}"))).collect();
    let grids: Vec<[usize; 2]> = maps.iter().map(|m| [m.shape()[1], m.shape()[2]]).collect();
    let levels = Levels::new(&grids, &image_shapes);
    let of: Vec<i64> = regions.iter().flat_map(|r| boxes(r).iter().map(|b| levels.of(b) as i64)).collect();
    run.integers("levels", &[of.len()], of);
    run.numbers("scales", &[levels.scales.len()], levels.scales);
    let maps = Maps { levels: &maps, sizes: &image_shapes };
    let y = maps.pool(&mut run.tape, &regions, side);
    run.output("y", &y, IMAGE);
}

fn paste_masks<E: Element>(run: &mut Run<E>) {
    assert_eq!(run.case.integer("padding"), 1, "what detectors use");
    let (masks, b) = (run.constant("masks"), run.constant("boxes"));
    let y = pasted(&masks, &b, run.case.pair("img_shape"));
    run.output_plain("y", &y.into());
}

/// Masks [n, 1, side, side] in whole images [n, 1, h, w].
pub fn pasted<E: Element>(masks: &Tensor<E>, b: &Tensor<E>, [h, w]: [usize; 2]) -> Tensor<E> {
    let [n, _, side, _] = masks.dims("masks");
    let mut y = Tensor::zeros([n, 1, h, w]);
    for (i, b) in boxes(b).iter().enumerate() {
        let part = paste_mask(&masks.data()[i * side * side..][..side * side], side, b, [h, w]);
        for (k, &v) in part.values.iter().enumerate() {
            let (row, column) = (part.y + k / part.width, part.x + k % part.width);
            y.data_mut()[(i * h + row) * w + column] = v;
        }
    }
    y
}

/// Bitmaps of a case.
pub fn masks<E: Element>(run: &Run<E>, name: &str) -> Masks {
    let &[n, height, width] = run.shape(name) else { panic!("{name}: [N, H, W]") };
    Masks { n, height, width, bits: run.case.integers(name).iter().map(|&v| v as u8).collect() }
}

fn project<E: Element>(run: &mut Run<E>) {
    let matched: Vec<usize> = run.case.integers("matched_idxs").iter().map(|&i| i as usize).collect();
    let side = usize::try_from(run.case.integer("M")).expect("a size");
    let y = project_masks(&masks(run, "masks"), boxes(&run.constant("boxes")), &matched, side);
    run.output_plain("y", &y.into());
}

/// An image [C, H, W] of a case as [h, w, 3].
pub fn image<E: Element>(run: &Run<E>, k: i64) -> Tensor<E> {
    run.read(run.case.tensor(&format!("in.image{k}")), &[1, 2, 0])
}

fn transform<E: Element>(run: &mut Run<E>) {
    let case = run.case;
    let number = |name: &str| usize::try_from(case.integer(name)).expect("a size");
    let three = |name: &str| case.numbers(name).try_into().expect("three channels");
    let transform = Transform {
        min_size: number("min_size"),
        max_size: number("max_size"),
        mean: three("image_mean"),
        std: three("image_std"),
        size_divisible: number("size_divisible"),
    };
    let images: Vec<Tensor<E>> = (0..case.integer("num_images")).map(|k| image(run, k)).collect();
    let batch = transform.batch(&images);
    run.output("batched", &batch.images.into(), IMAGE);
    let sizes: Vec<i64> = batch.sizes.iter().flatten().map(|&v| v as i64).collect();
    run.integers("image_sizes", &[images.len(), 2], sizes);
    for (k, image) in images.iter().enumerate().filter(|(k, _)| case.has(&format!("in.boxes{k}"))) {
        let name = format!("masks{k}");
        let target = Target {
            boxes: run.constant(&format!("boxes{k}")),
            labels: Vec::new(),
            masks: run.has(&name).then(|| masks(run, &name)),
        };
        let scaled = transform.target(&target, [image.shape()[0], image.shape()[1]]);
        run.output_plain(&format!("boxes{k}"), &scaled.boxes.into());
        if let Some(m) = scaled.masks {
            run.integers(&name, &[m.n, m.height, m.width], m.bits.iter().map(|&v| v.into()).collect());
        }
    }
}

fn resized_boxes<E: Element>(run: &mut Run<E>) {
    let [from, to] = ["original_size", "new_size"].map(|name| run.case.pair(name));
    let y = resize_boxes(&run.constant("boxes"), from, to);
    run.output("y", &y.into(), &plain(2));
}
