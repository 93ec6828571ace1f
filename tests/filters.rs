//! Snapshots of every filter: numbers on a small image, pictures of a photograph (`cargo insta review` shows
//! changes).

use gradus::image::{Image, Limits};
use gradus::lessons::filtering::{Shown, filter, response_picture};
use gradus::lessons::filters::{Border, FILTERS};
use gradus_core::Tensor;

/// A 6x5 image with a step, a spike, a ramp and a flat area.
fn small() -> Tensor<f32> {
    #[rustfmt::skip]
    let values = [
        10.0, 10.0, 10.0, 90.0, 90.0, 90.0,
        10.0, 10.0, 10.0, 90.0, 90.0, 90.0,
        10.0, 255.0, 10.0, 90.0, 90.0, 90.0,
        10.0, 10.0, 20.0, 30.0, 40.0, 50.0,
        0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
    ];
    Tensor::from_slice([1, 5, 6, 1], &values)
}

#[test]
fn numbers_of_each_filter_on_a_small_image() {
    let mut text = String::new();
    for f in &FILTERS {
        for (name, border) in [("reflect", Border::Reflect), ("zero", Border::Zero)] {
            text += &format!("{} ({name})\n", f.name);
            for row in f.apply(&small(), border).data().chunks(6) {
                let cells: Vec<String> = row.iter().map(|v| format!("{v:9.3}")).collect();
                text += &(cells.join("") + "\n");
            }
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn pictures_of_each_filter_on_a_photograph() {
    let bytes = include_bytes!("../assets/camera.png");
    let photo = Image::decode(bytes, &Limits::default()).unwrap().crop(160, 60, 160, 160);
    for f in &FILTERS {
        let shown = filter(f, &photo, Border::Reflect, Shown::Signed).image;
        insta::assert_binary_snapshot!(&format!("{}.png", f.name), shown.encode_png().unwrap());
    }
}

#[test]
fn pictures_of_responses() {
    for f in FILTERS.iter().filter(|f| ["box", "sobel-x", "sharpen-horizontal"].contains(&f.name)) {
        let picture = response_picture(f).unwrap();
        insta::assert_binary_snapshot!(&format!("{}-response.png", f.name), picture.encode_png().unwrap());
    }
}
