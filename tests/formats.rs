//! The same objects written as COCO, YOLO, Pascal VOC and Roboflow write them are the same data.

use gradus::data::detection::{DetectionDataset, Object};
use gradus::data::{Images, Reading, open_annotated, open_detection};
use gradus::image::Image;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

/// Columns and rows: parts of them with two digits are whole pixels.
const SIZE: [usize; 2] = [200, 100];
const CLASSES: [&str; 3] = ["bicycle", "car", "person"];

/// An image's name, its part, and its objects: class, and corners in pixels.
const IMAGES: [(&str, &str, &[(usize, [usize; 4])]); 5] = [
    ("a", "train", &[(2, [10, 20, 50, 90]), (0, [0, 0, 200, 100])]),
    ("b", "train", &[]),
    ("c", "train", &[(1, [100, 30, 180, 60])]),
    ("d", "val", &[(2, [150, 5, 199, 98]), (2, [2, 2, 30, 40]), (1, [60, 50, 120, 80])]),
    ("e", "test", &[(0, [20, 10, 120, 70])]),
];

fn picture(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    Image::filled(SIZE[0], SIZE[1], [90, 120, 200]).save_png(path).unwrap();
}

fn text(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn area([x1, y1, x2, y2]: [usize; 4]) -> usize {
    (x2 - x1) * (y2 - y1)
}

/// An instances file of the images of these parts, numbered from 0 by their places in the whole.
fn instances(parts: &[&str], first: usize) -> Value {
    let own = || IMAGES.iter().enumerate().filter(|(_, (_, part, _))| parts.contains(part));
    let image = |(i, (name, ..)): (usize, &(&str, &str, _))| json!({"id": i, "file_name": format!("{name}.png"), "width": SIZE[0], "height": SIZE[1]});
    let objects = own().flat_map(|(i, (_, _, objects))| objects.iter().map(move |o| (i, o)));
    let object = |(k, (i, &(class, corners))): (usize, (usize, &(usize, [usize; 4])))| {
        let [x1, y1, x2, y2] = corners;
        json!({"id": k + 1, "image_id": i, "category_id": class + first, "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": area(corners), "iscrowd": 0})
    };
    let category = |(k, name)| json!({"id": k + first, "name": name});
    json!({
        "images": own().map(image).collect::<Vec<_>>(),
        "annotations": objects.enumerate().map(object).collect::<Vec<_>>(),
        "categories": CLASSES.iter().enumerate().map(category).collect::<Vec<_>>(),
    })
}

fn coco(root: &Path) -> String {
    for (name, ..) in IMAGES {
        picture(&root.join(format!("images/{name}.png")));
    }
    text(&root.join("all.json"), &instances(&["train", "val", "test"], 1).to_string());
    format!("{0}/all.json:{0}/images", root.display())
}

/// With the class of all classes that Roboflow adds.
fn roboflow(root: &Path) -> String {
    for (part, folder) in [("train", "train"), ("val", "valid"), ("test", "test")] {
        for (name, ..) in IMAGES.iter().filter(|(_, own, _)| *own == part) {
            picture(&root.join(format!("{folder}/{name}.png")));
        }
        let mut instances = instances(&[part], 1);
        instances["categories"].as_array_mut().unwrap().insert(0, json!({"id": 0, "name": "traffic"}));
        text(&root.join(folder).join("_annotations.coco.json"), &instances.to_string());
    }
    root.display().to_string()
}

/// A line of YOLO's: a box, or the box as a polygon.
fn yolo_line(&(class, [x1, y1, x2, y2]): &(usize, [usize; 4]), polygon: bool) -> String {
    let [w, h] = SIZE.map(|v| v as f64);
    let [x1, y1, x2, y2] = [x1 as f64 / w, y1 as f64 / h, x2 as f64 / w, y2 as f64 / h];
    match polygon {
        true => format!("{class} {x1} {y1} {x2} {y1} {x2} {y2} {x1} {y2}\n"),
        false => format!("{class} {} {} {} {}\n", (x1 + x2) / 2.0, (y1 + y2) / 2.0, x2 - x1, y2 - y1),
    }
}

fn yolo(root: &Path, polygon: bool) -> String {
    for (name, part, objects) in IMAGES {
        picture(&root.join(format!("images/{part}/{name}.png")));
        if !objects.is_empty() {
            let lines: String = objects.iter().map(|o| yolo_line(o, polygon)).collect();
            text(&root.join(format!("labels/{part}/{name}.txt")), &lines);
        }
    }
    let yaml = "train: images/train\nval: images/val\ntest: images/test\nnames:\n  0: bicycle\n  1: car\n  2: person\n";
    text(&root.join("data.yaml"), yaml);
    format!("{}/data.yaml", root.display())
}

fn voc(root: &Path) -> String {
    for (name, _, objects) in IMAGES {
        picture(&root.join(format!("JPEGImages/{name}.png")));
        let object = |&(class, [x1, y1, x2, y2]): &(usize, [usize; 4])| {
            format!(
                "<object><name>{}</name><difficult>0</difficult><part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>\
                 <bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>",
                CLASSES[class],
                x1 + 1,
                y1 + 1
            )
        };
        let objects: String = objects.iter().map(object).collect();
        let [w, h] = SIZE;
        let xml = format!(
            "<?xml version=\"1.0\"?>\n<annotation><filename>{name}.png</filename><size><width>{w}</width><height>{h}</height>\
             <depth>3</depth></size>{objects}</annotation>"
        );
        text(&root.join(format!("Annotations/{name}.xml")), &xml);
    }
    for (list, names) in
        [("train", "a\nb\nc\n"), ("val", "d\n"), ("trainval", "a\nb\nc\nd\n"), ("test", "e\n")]
    {
        text(&root.join(format!("ImageSets/Main/{list}.txt")), names);
    }
    root.display().to_string()
}

fn open(source: &str) -> Arc<dyn DetectionDataset> {
    open_detection(source, Reading { strict: true, ..Reading::default() }).unwrap()
}

/// For each image its file's stem, and boxes, labels and areas.
fn told(data: &dyn DetectionDataset) -> Vec<(String, Vec<([f32; 4], usize, f64, bool)>)> {
    let stem = |i| Path::new(&data.name(i)).file_stem().unwrap().to_str().unwrap().to_string();
    let near = |v: f32| (v * 1e4).round() / 1e4;
    let object = |o: &Object| (o.bbox.map(near), o.label, (o.area * 1e6).round() / 1e6, o.crowd);
    let one = |i| (stem(i), data.load(i).unwrap().objects.iter().map(object).collect());
    let mut all: Vec<_> = (0..data.len()).map(one).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

#[test]
fn the_same_objects_are_the_same_data_in_every_form() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let first = open(&coco(&at("coco")));
    let want = told(&*first);
    assert_eq!(want[0].1[0], ([10.0, 20.0, 50.0, 90.0], 3, 2800.0, false));
    for source in
        [roboflow(&at("roboflow")), yolo(&at("yolo"), false), yolo(&at("polygons"), true), voc(&at("voc"))]
    {
        let data = open(&source);
        assert_eq!(told(&*data), want, "{source}");
        let names =
            |data: &dyn DetectionDataset| data.classes().iter().map(|c| c.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&*data), CLASSES, "{source}");
        // Its own parts are those that it was written with.
        for part in ["train", "val", "test"] {
            let own = data.part(part).unwrap().into_iter().map(|i| data.name(i));
            let stems: Vec<_> =
                own.map(|n| Path::new(&n).file_stem().unwrap().to_str().unwrap().to_string()).collect();
            let want: Vec<_> = IMAGES.iter().filter(|(_, p, _)| *p == part).map(|(name, ..)| *name).collect();
            assert_eq!(stems, want, "{source}");
        }
        // What is judged is what is learned.
        let truth = data.ground_truth(&(0..data.len()).collect::<Vec<_>>()).unwrap();
        let areas: f64 = truth.truths.iter().map(|t| t.area).sum();
        let sum: usize =
            IMAGES.iter().flat_map(|(_, _, o)| o.iter()).map(|&(_, corners)| area(corners)).sum();
        assert!((areas - sum as f64).abs() < 1e-6, "{source}: {areas} of {sum}");
        // What was changed is other data; what was moved is not.
        let before = data.checksum().unwrap();
        let moved = at("moved");
        let root = Path::new(&source).ancestors().find(|p| p.is_dir()).unwrap();
        fs::rename(root, &moved).unwrap();
        let there = source.replace(root.to_str().unwrap(), moved.to_str().unwrap());
        assert_eq!(open(&there).checksum().unwrap(), before, "{source}");
        fs::rename(&moved, root).unwrap();
    }
    assert!(first.part("train").is_none());
    // Polygons are masks, each of as many pixels as its box has here.
    let polygons = open(&format!("{}/data.yaml", at("polygons").display()));
    let all: Vec<usize> = (0..polygons.len()).collect();
    assert!(polygons.without_mask(&all, &|_| true).is_empty());
    for object in (0..polygons.len()).flat_map(|i| polygons.load(i).unwrap().objects) {
        assert_eq!(object.mask.unwrap().area() as f64, object.area.round());
    }
    assert!(!open(&format!("{}/data.yaml", at("yolo").display())).without_mask(&all, &|_| true).is_empty());
}

#[test]
fn changed_labels_and_lists_are_other_data() {
    let dir = tempfile::tempdir().unwrap();
    let (yolo, voc) = (yolo(&dir.path().join("yolo"), false), voc(&dir.path().join("voc")));
    let sum = |source: &str| open_detection(source, Reading::default()).unwrap().checksum().unwrap();
    for (source, file, from, to) in [
        (&yolo, "yolo/labels/train/c.txt", "1 0.7", "2 0.7"),
        (&yolo, "yolo/data.yaml", "test: images/test", "test:"),
        (&yolo, "yolo/data.yaml", "2: person", "2: walker"),
        (&voc, "voc/Annotations/a.xml", "person", "Person"),
        (&voc, "voc/ImageSets/Main/val.txt", "d", "e"),
    ] {
        let (file, before) = (dir.path().join(file), sum(source));
        let own = fs::read_to_string(&file).unwrap();
        fs::write(&file, own.replace(from, to)).unwrap();
        assert_ne!(sum(source), before, "{}", file.display());
        fs::write(&file, own).unwrap();
        assert_eq!(sum(source), before);
    }
}

/// `difficult` is learned, and to be judged as pycocotools judges crowds; a part that others lack is told.
#[test]
fn difficult_objects_are_learned_and_not_judged() {
    let dir = tempfile::tempdir().unwrap();
    let source = voc(dir.path());
    let file = dir.path().join("Annotations/d.xml");
    let own = fs::read_to_string(&file).unwrap();
    fs::write(&file, own.replacen("<difficult>0", "<difficult>1", 1)).unwrap();
    let data = open(&source);
    let crowds = |part: &str| {
        let truth = data.ground_truth(&data.part(part).unwrap()).unwrap();
        truth.truths.iter().map(|t| t.crowd).collect::<Vec<_>>()
    };
    assert_eq!((crowds("val"), crowds("test")), (vec![true, false, false], vec![false]));
    let own = data.part("val").unwrap()[0];
    assert!(data.load(own).unwrap().objects.iter().all(|o| !o.crowd) && data.labels(own).unwrap().len() == 3);
    assert_eq!(
        data.notes(),
        ["1 difficult object (learned, and ignored in judging)", "7 objects without a mask"]
    );
}

#[test]
fn lists_of_images_and_odd_paths_are_followed() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let want = told(&*open(&yolo(&at("plain"), false)));
    // Lists: relative to themselves with ./, to the root without.
    yolo(&at("lists"), false);
    text(&at("lists/lists/train.txt"), "images/train/a.png\nimages/train/b.png\n\nimages/train/c.png\n");
    text(&at("lists/val.txt"), "./images/val/d.png\n");
    text(
        &at("lists/data.yaml"),
        "train: [lists/train.txt]\nval: val.txt\ntest: images/test\nnames: [bicycle, car, person]",
    );
    assert_eq!(told(&*open(&at("lists").display().to_string())), want, "a folder that holds one description");
    // Roboflow's: ../ before what lies beside data.yaml, images and labels in each part; and `path` that is not there.
    for (name, part, _) in IMAGES {
        let (from, to) = (at("plain"), at("export").join(part));
        picture(&to.join(format!("images/{name}.png")));
        if let Ok(labels) = fs::read_to_string(from.join(format!("labels/{part}/{name}.txt"))) {
            text(&to.join(format!("labels/{name}.txt")), &labels);
        }
    }
    let yaml = "path: ../elsewhere\ntrain: ../train/images\nval: ../val/images\ntest: ../test/images\nnames: [bicycle, car, person]";
    text(&at("export/data.yaml"), yaml);
    let data = open_detection(&at("export").display().to_string(), Reading::default()).unwrap();
    assert_eq!(told(&*data), want);
    let said: Vec<String> = data.faults().iter().map(|f| f.what.clone()).collect();
    assert!(
        said.len() == 2 && said[0].contains("`path` is no folder") && said[1].contains("../"),
        "{said:?}"
    );
    // Labels beside their images.
    for (name, part, _) in IMAGES {
        picture(&at(&format!("beside/{part}/{name}.png")));
        let labels = at(&format!("plain/labels/{part}/{name}.txt"));
        let _ = fs::copy(labels, at(&format!("beside/{part}/{name}.txt")));
    }
    text(&at("beside/d.yml"), "train: train\nval: val\ntest: test\nnames: [bicycle, car, person]");
    assert_eq!(told(&*open(&at("beside").display().to_string())), want);
    // Two descriptions: which one?
    text(&at("beside/e.yaml"), "train: train\nnames: [bicycle, car, person]");
    let error =
        open_detection(&at("beside").display().to_string(), Reading::default()).err().unwrap().to_string();
    assert!(error.contains("d.yml") && error.contains("e.yaml") && error.contains("name one"), "{error}");
}

#[test]
fn numbers_of_roboflows_parts_say_where_to_look() {
    let dir = tempfile::tempdir().unwrap();
    let source = roboflow(dir.path());
    let data = open_annotated(&source, Reading::default()).unwrap();
    let all: Vec<usize> = (0..data.len()).collect();
    let ids: Vec<i64> = data.instances(&all).images.iter().map(|i| i.id).collect();
    assert_eq!(ids, [0, 1, 2, 13, 24]);
    assert!(data.notes()[0].contains("category 0 (traffic)"), "{:?}", data.notes());
    assert_eq!(data.image_name(13).file.as_deref(), Some("valid/d.png"));
    // A part alone is a data set, in which that category is one.
    let part = open(&format!("{source}/valid"));
    assert_eq!((part.len(), part.classes().len()), (1, 4));
    assert!(part.notes()[0].contains("category 0 (traffic) has no object"), "{:?}", part.notes());
    // Another class in one of them cannot be meant.
    let file = dir.path().join("test/_annotations.coco.json");
    let own = fs::read_to_string(&file).unwrap();
    fs::write(&file, own.replace("bicycle", "tricycle")).unwrap();
    let error = open_detection(&source, Reading::default()).err().unwrap().to_string();
    assert!(error.contains("not those of the first folder (1): test: tricycle"), "{error}");
}

fn gradus(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gradus")).args(args).output().unwrap()
}

#[track_caller]
fn json_of(args: &[&str]) -> Value {
    let out = gradus(&[args, &["--json"]].concat());
    assert!(out.status.success(), "gradus {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

/// The command ends with 2, and its one message has all these words.
#[track_caller]
fn fails(args: &[&str], words: &[&str]) {
    let out = gradus(args);
    let said = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(2), "gradus {args:?}: {said}");
    for word in words {
        assert!(said.contains(word), "gradus {args:?} says nothing of `{word}`: {said}");
    }
}

const SMALL: [&str; 12] = [
    "train",
    "detector",
    "--lr",
    "0.0005",
    "--backbone",
    "mobilenet-v2-fpn",
    "--min-size",
    "32",
    "--max-size",
    "64",
    "--epochs",
    "1",
];

fn args_of(run: &str) -> Value {
    serde_json::from_slice(&fs::read(Path::new(run).join("args.json")).unwrap()).unwrap()
}

/// A run on data that mark their images: it is tested on the marked ones, and everything that judges it later
/// finds the same ones.
#[test]
fn marked_images_are_learned_from_and_tested_on() {
    let dir = tempfile::tempdir().unwrap();
    let data = yolo(&dir.path().join("yolo"), true);
    let run = dir.path().join("run").display().to_string();
    let options =
        ["--max-detections", "7", "--score-threshold", "0.01", "--nms-threshold", "0.4", "--no-flip"];
    let anchors = ["--anchors", "8,16,32,64,128", "--model", "maskrcnn"];
    let summary = json_of(&[&SMALL[..], &["--data", &data, "--out", &run], &options, &anchors].concat());
    let args = args_of(&run);
    assert_eq!((&args["test_split"], &args["flip"]), (&json!("own"), &json!(false)));
    let config = &args["config"];
    assert_eq!(config["anchor_sizes"], json!([[8], [16], [32], [64], [128]]));
    assert_eq!((&config["box_detections_per_img"], &config["box_score_thresh"]), (&json!(7), &json!(0.01)));
    assert_eq!(config["box_nms_thresh"], 0.4);
    let judged = json_of(&["evaluate", &run, "--data", &data]);
    assert_eq!((&judged["box"], &judged["mask"]), (&summary["test"]["box"], &summary["test"]["mask"]));
    assert_eq!((&judged["split"], &judged["images"]), (&json!("val"), &json!(1)));
    for (split, images) in [("train", 3), ("val", 1), ("test", 1), ("all", 5)] {
        let judged = json_of(&["evaluate", &run, "--data", &data, "--split", split]);
        assert_eq!((&judged["split"], &judged["images"]), (&json!(split), &json!(images)));
    }
    // What it left is judged without it as it judged itself.
    let results = format!("{run}/detections.json");
    let judged = json_of(&["evaluate", "--detections", &results, "--data", &data, "--split", "val"]);
    assert_eq!((&judged["box"], &judged["images"]), (&summary["test"]["box"], &json!(1)));
    let other = voc(&dir.path().join("voc"));
    let judged = json_of(&["evaluate", &run, "--data", &other]);
    assert_eq!((&judged["split"], &judged["images"]), (&json!("test"), &json!(1)));
    // Its settings are its own.
    let resume = [&SMALL[..4], &["--data", &data, "--out", &run, "--resume"]].concat();
    fails(&[&resume[..], &["--anchors", "8,16,32,64,256"]].concat(), &["config.anchor_sizes"]);
    fails(&[&resume[..], &["--max-detections", "8"]].concat(), &["config.box_detections_per_img 7, not 8"]);
    fails(
        &[&SMALL[..], &["--data", &data, "--anchors", "8,16"]].concat(),
        &["--anchors names 2 sizes", "5 levels"],
    );
    fails(&[&SMALL[..], &["--data", &data, "--score-threshold", "2"]].concat(), &["from 0 to 1"]);
}

/// Data to test on are of their own form, have their own order of classes, and are kept with the run.
#[test]
fn other_data_are_tested_on_and_some_classes_learned() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let (data, val) = (coco(&at("coco")), at("val").display().to_string());
    voc(&at("val"));
    let run = at("run").display().to_string();
    let train = [&SMALL[..], &["--data", &data, "--out", &run]].concat();
    fails(&[&train[..], &["--val", &val, "--test-split", "last:1"]].concat(), &["--val", "--test-split"]);
    fails(
        &[&train[..], &["--classes", "person,carr"]].concat(),
        &["no class \"carr\"", "did you mean \"car\"?"],
    );
    let strange = at("strange");
    voc(&strange);
    let file = strange.join("Annotations/d.xml");
    fs::write(&file, fs::read_to_string(&file).unwrap().replace("person", "walker")).unwrap();
    let strange = strange.display().to_string();
    let words = ["strange", "the training data have not: walker", "its classes are", "the others' are"];
    fails(&[&train[..], &["--val", &strange]].concat(), &words);
    assert!(!Path::new(&run).exists());

    let summary = json_of(&[&train[..], &["--val", &val, "--classes", "person,Car"]].concat());
    let args = args_of(&run);
    assert_eq!((&args["val"], &args["only"]), (&json!(val), &json!(["car", "person"])));
    assert_eq!(args["classes"], json!([{"id": 2, "name": "car"}, {"id": 3, "name": "person"}]));
    assert_eq!(args["config"]["num_classes"], 3);
    let judged = json_of(&["evaluate", &run, "--data", &val]);
    assert_eq!((&judged["split"], &judged["images"]), (&json!("test"), &json!(1)));
    assert_eq!(judged["box"], summary["test"]["box"]);
    let judged = json_of(&["evaluate", &run, "--data", &data, "--split", "train"]);
    assert_eq!((&judged["split"], &judged["images"]), (&json!("train"), &json!(5)));
    fails(&["evaluate", &run, "--data", &data], &["is what the run learned from", "--split train"]);

    // It goes on where the data are the same, wherever they are.
    let moved = at("moved").display().to_string();
    fs::rename(&val, &moved).unwrap();
    let resume = ["train", "--resume", &run, "--epochs", "2"];
    fails(&resume, &["name the place where it is now with --val"]);
    fails(&[&resume[..], &["--val", &strange]].concat(), &["other data to test on", "--val SRC"]);
    let summary = json_of(&[&resume[..], &["--val", &moved]].concat());
    assert_eq!(summary["epochs"], 2);
    let args = args_of(&run);
    assert_eq!((&args["val"], &args["changes"][0]["val"]), (&json!(moved), &json!([val, moved])));
    let begun = ["train", "detector", "--out", &run, "--resume", "--classes", "car"];
    fails(&begun, &["was begun with"]);
}

/// Few images are not all tested on.
#[test]
fn a_third_of_few_images_is_tested_on_and_that_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let (data, run) = (coco(&dir.path().join("coco")), dir.path().join("run").display().to_string());
    // Five images, four of them with objects: one is tested on.
    let out = gradus(&[&SMALL[..], &["--data", &data, "--out", &run, "--seed", "3"]].concat());
    let said = String::from_utf8(out.stderr).unwrap();
    assert!(said.contains("of 5 images a third, 1, are tested on: --test-split random:K"), "{said}");
    fails(&[&SMALL[..], &["--data", &data, "--test-split", "random:5"]].concat(), &["leaves 0 for training"]);
}
