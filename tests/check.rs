//! `gradus check` on data sets as people have them: it names what each is, and what is wrong with it.

use gradus::image::Image;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder in which data sets are made.
struct Bench {
    root: tempfile::TempDir,
}

impl Bench {
    fn at(&self, path: &str) -> PathBuf {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    fn picture(&self, path: &str, [width, height]: [usize; 2]) {
        Image::filled(width, height, [90, 120, 200]).save_png(self.at(path)).unwrap();
    }

    fn text(&self, path: &str, text: &str) {
        fs::write(self.at(path), text).unwrap();
    }

    /// Class folders, each of so many pictures.
    fn classes(&self, folder: &str, classes: &[(&str, usize)]) {
        for (class, pictures) in classes {
            fs::create_dir_all(self.at(&format!("{folder}/{class}/x"))).unwrap();
            fs::remove_dir(self.at(&format!("{folder}/{class}/x"))).unwrap();
            (0..*pictures).for_each(|k| self.picture(&format!("{folder}/{class}/{k}.png"), [8, 8]));
        }
    }

    /// COCO's instances of two pictures of 40 x 30 pixels with these annotations.
    fn coco(&self, folder: &str, annotations: Value) -> String {
        let image = |id: i64| json!({"id": id, "file_name": format!("{id}.png"), "width": 40, "height": 30});
        (1..=2).for_each(|id| self.picture(&format!("{folder}/images/{id}.png"), [40, 30]));
        let instances = json!({
            "images": [image(1), image(2)],
            "annotations": annotations,
            "categories": [{"id": 1, "name": "cat"}, {"id": 7, "name": "dog"}],
        });
        self.text(&format!("{folder}/instances.json"), &instances.to_string());
        format!("{folder}/instances.json:{folder}/images")
    }

    /// What the command says of a data set, on both outputs, and its exit code; as text and as JSON.
    fn check(&self, source: &str) -> (Option<i32>, String, Value) {
        let run = |json: &[&str]| {
            Command::new(env!("CARGO_BIN_EXE_gradus"))
                .args(["check", source])
                .args(json)
                .current_dir(self.root.path())
                .output()
                .unwrap()
        };
        let out = run(&[]);
        let said = String::from_utf8([out.stdout, out.stderr].concat()).unwrap();
        let value = serde_json::from_slice(&run(&["--json"]).stdout).unwrap();
        (out.status.code(), said, value)
    }
}

fn annotation(id: i64, image: i64, category: i64, bbox: [f64; 4]) -> Value {
    json!({"id": id, "image_id": image, "category_id": category, "bbox": bbox, "area": bbox[2] * bbox[3], "iscrowd": 0})
}

/// Each with its exit code and words that are said of it.
fn sets(bench: &Bench) -> Vec<(String, i32, Vec<&'static str>)> {
    let mut sets: Vec<(String, i32, Vec<&'static str>)> = Vec::new();
    let mut add =
        |source: &str, code, words: &[&'static str]| sets.push((source.into(), code, words.to_vec()));

    add("synthetic:30", 0, &["train ", "10 classes"]);
    add("synthetic:9:64x48", 0, &["all 9 images", "1 class: person"]);
    add("synthetic:1", 2, &["synthetic:1 is no data set"]);
    bench.classes("plain", &[("cat", 3), ("dog", 2)]);
    add("plain", 0, &["class folders", "all 5 images", "2 classes: cat 3, dog 2", "nothing is wrong"]);
    bench.classes("split/train", &[("cat", 3), ("dog", 3)]);
    bench.classes("split/val", &[("cat", 1), ("dog", 1)]);
    add("split", 0, &["train 6 images; val 2 images", "nothing is wrong"]);
    bench.classes("notes", &[("cat", 3), ("dog", 3)]);
    bench.text("notes/cat/readme.txt", "mine");
    add("notes", 0, &[".txt files are no images (1 left out): cat/readme.txt"]);
    bench.classes("broken", &[("cat", 3), ("dog", 3)]);
    bench.text("broken/dog/9.jpg", "no picture");
    add("broken", 0, &["images cannot be read (1 left out)", "dog/9.jpg", "refused without"]);
    bench.classes("cut", &[("cat", 4), ("dog", 3)]);
    let whole = fs::read(bench.at("cut/cat/0.png")).unwrap();
    fs::write(bench.at("cut/cat/0.png"), &whole[..whole.len() - 20]).unwrap();
    add("cut", 0, &["images cannot be read (1 left out)", "cat/0.png"]);
    bench.classes("empty-class", &[("cat", 3), ("dog", 0)]);
    add("empty-class", 2, &["classes have no image (1): dog"]);
    bench.classes("alike", &[("cat", 3), ("Cat", 3)]);
    add("alike", 0, &["differ from another by case or spaces alone (1): Cat / cat"]);
    bench.picture("loose/1.png", [8, 8]);
    add("loose", 2, &["loose", "sub-folder"]);
    fs::create_dir(bench.at("nothing")).unwrap();
    add("nothing", 2, &["nothing", "sub-folder"]);
    add("not-there", 2, &["not-there", "cannot be read"]);
    bench.text("page.tar.gz", "<!doctype html><html>");
    add("page.tar.gz", 2, &["page.tar.gz", "web page"]);

    let cat = annotation(1, 1, 1, [2.0, 3.0, 10.0, 8.0]);
    let one = |name: &str, annotations: Value| bench.coco(name, annotations);
    add(&one("coco", json!([cat])), 0, &["COCO instances", "cat 1 in 1 image", "1 image without an object"]);
    let corners = json!([annotation(1, 1, 1, [20.0, 15.0, 38.0, 28.0])]);
    add(&one("corners", corners), 2, &["boxes are corners", "x, y, width, height are wanted"]);
    let parts = json!([annotation(1, 1, 1, [0.1, 0.2, 0.5, 0.5])]);
    add(&one("parts", parts), 2, &["boxes are in parts of the image"]);
    let beyond = json!([cat, annotation(2, 2, 7, [30.0, 20.0, 20.0, 9.0])]);
    add(&one("beyond", beyond), 0, &["boxes reach beyond their image, and are cut there (1 mended)"]);
    let flat = json!([cat, annotation(2, 2, 7, [3.0, 3.0, 0.0, 9.0])]);
    add(&one("flat", flat), 0, &["boxes have no width or no height, and are not learned (1 left out)"]);
    add(&one("bare", json!([])), 2, &["an object to learn from"]);
    let source = one("missing", json!([cat, annotation(2, 2, 7, [3.0, 3.0, 5.0, 9.0])]));
    fs::remove_file(bench.at("missing/images/2.png")).unwrap();
    add(&source, 0, &["images' files are not in", "left out", "2.png"]);
    let source = one("resized", json!([cat]));
    bench.picture("resized/images/1.png", [80, 60]);
    add(&source, 2, &["images are of another size than their entry says", "80 x 60"]);
    add("coco/instances.json", 2, &["the folder of its images is missing", "instances.json:IMAGES"]);

    yolo(bench, &mut add);
    voc(bench, &mut add);
    roboflow(bench, &mut add);

    bench.picture("penn/PNGImages/a.png", [20, 16]);
    let labels = (0..20 * 16).map(|i| u8::from(i % 20 > 4 && i % 20 < 12)).collect();
    let mask = Image::from_u8(20, 16, 1, labels);
    mask.save_png(bench.at("penn/PedMasks/a_mask.png")).unwrap();
    add("penn", 0, &["all 1 image with 1 object"]);
    bench.picture("unmasked/PNGImages/a.png", [20, 16]);
    fs::create_dir(bench.at("unmasked/PedMasks")).unwrap();
    add("unmasked", 2, &["unmasked"]);
    sets
}

/// YOLO's form: two pictures of 40 x 30 pixels, the first with these labels.
fn yolo(bench: &Bench, add: &mut dyn FnMut(&str, i32, &[&'static str])) {
    let make = |name: &str, yaml: &str, labels: &str| {
        (1..=2).for_each(|k| bench.picture(&format!("{name}/images/{k}.png"), [40, 30]));
        bench.text(&format!("{name}/labels/1.txt"), labels);
        bench.text(&format!("{name}/data.yaml"), yaml);
        name.to_string()
    };
    let yaml = "train: images\nnames: [cat, dog]\n";
    let cat = "0 0.5 0.5 0.25 0.5\n";
    let words = [
        "YOLO labels",
        "train 2 images with 1 object",
        "cat 1 in 1 image, dog 0",
        "1 image without a label file",
    ];
    add(&make("yolo", yaml, cat), 0, &[&words[..], &["nothing is wrong"]].concat());
    add("yolo/data.yaml", 0, &words);
    let both = "train: images\nval: images\nnames: {0: cat, 1: dog}\nnc: 2";
    let words = ["train 2 images", "val 2 images", "images to train on are also tested on (2): images/1.png"];
    add(&make("yolo-both", both, cat), 0, &words);
    let words = ["label lines are neither", "(1): labels/1.txt, line 2: 0 0.5 0.5"];
    add(&make("yolo-short", yaml, &format!("{cat}0 0.5 0.5\n")), 2, &words);
    let words = ["of classes that data.yaml does not name (1): labels/1.txt, line 1: 2 "];
    add(&make("yolo-class", yaml, "2 0.5 0.5 0.25 0.5"), 2, &words);
    let words = ["in pixels, where parts of the image (0 to 1) are wanted (1): labels/1.txt, line 1"];
    add(&make("yolo-pixels", yaml, "0 20 15 10 15"), 2, &words);
    let words = ["in pixels, where parts of the image (0 to 1) are wanted (1): labels/1.txt, line 3"];
    add(&make("yolo-a-line-in-pixels", yaml, &format!("{cat}1 0.5 0.5 0.2 0.2\n0 20 15 10 15")), 2, &words);
    let words = [
        "label lines are corners (x1, y1, x2, y2), where centre, width and height are wanted (1): labels/1.txt, line 1",
    ];
    add(&make("yolo-corners", yaml, "0 0.5 0.6 0.9 0.95"), 2, &words);
    let words = [
        "label lines stand twice (1 left out): labels/1.txt, line 2",
        "boxes reach beyond their image",
        "labels/1.txt, line 3",
    ];
    add(&make("yolo-odd", yaml, &format!("{cat}{cat}1 0.9 0.5 0.4 0.5")), 0, &words);
    let words = [
        "`path` is no folder",
        "parts begin with ../",
        "are not where data.yaml says (1 left out): test: gone",
    ];
    add(&make("yolo-paths", "path: /nowhere/x\ntrain: ../images\ntest: gone\nnames: [cat]", cat), 0, &words);
    add(
        &make("yolo-gone", "train: gone\nnames: [cat]", cat),
        2,
        &["not where data.yaml says (1): train: gone"],
    );
    add(
        &(make("yolo-nc", "train: images\nnames: [cat]\nnc: 2", cat) + "/data.yaml"),
        2,
        &["`nc` is 2, and `names` are 1"],
    );
    let laughs = "train: images\nnames: &a [cat]\nx: [*a, *a]";
    add("yolo-laughs/data.yaml", 2, &["refers from one place to another"]);
    make("yolo-laughs", laughs, cat);
    let polygon = "0 0.1 0.1 0.9 0.1 0.9 0.9\n";
    add(
        &make("yolo-mixed", yaml, &format!("{polygon}{cat}")),
        0,
        &["with 2 objects", "1 object without a mask"],
    );
}

/// Pascal VOC's form: a picture of 40 x 30 pixels with these elements in its annotation.
fn voc(bench: &Bench, add: &mut dyn FnMut(&str, i32, &[&'static str])) {
    let make = |name: &str, elements: &str| {
        bench.picture(&format!("{name}/JPEGImages/1.png"), [40, 30]);
        let size = "<size><width>40</width><height>30</height></size>";
        bench.text(
            &format!("{name}/Annotations/1.xml"),
            &format!("<annotation>{size}{elements}</annotation>"),
        );
        name.to_string()
    };
    let object = |name: &str, [x1, y1, x2, y2]: [i32; 4]| {
        format!(
            "<object><name>{name}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
        )
    };
    let cat = object("cat", [3, 4, 20, 30]);
    add(
        &make("voc", &cat),
        0,
        &["Pascal VOC", "all 1 image with 1 object", "1 class: cat", "nothing is wrong"],
    );
    make("kit/VOCdevkit/VOC2012", &cat);
    add("kit", 0, &["Pascal VOC", "1 class: cat"]);
    let zero = object("Cat", [0, 4, 20, 30]);
    let words = ["differ from another by case", "begin at pixel 0", "(1): Annotations/1.xml, object 2"];
    add(&make("voc-odd", &format!("{cat}{zero}")), 0, &words);
    let beyond = object("cat", [3, 4, 60, 30]);
    add(&make("voc-beyond", &beyond), 0, &["reach beyond their image", "Annotations/1.xml, object 1"]);
    let bare = "<object><name>cat</name></object>";
    add(&make("voc-bare", bare), 2, &["objects have no `bndbox` (1): Annotations/1.xml, object 1"]);
    add(&make("voc-cut", "<object>"), 2, &["files are no annotations (1): Annotations/1.xml", "is no XML"]);
    let attributes: String = (0..3000).map(|k| format!(" a{k}='x'")).collect();
    add(&make("voc-attributes", &format!("<object{attributes}/>")), 2, &["too many attributes"]);
    make("voc-laughs", &cat);
    let laughs = "<!DOCTYPE a [<!ENTITY x \"xx\"><!ENTITY y \"&x;&x;\">]><annotation>&y;</annotation>";
    bench.text("voc-laughs/Annotations/2.xml", laughs);
    add("voc-laughs", 2, &["files are no annotations (1): Annotations/2.xml", "DTD"]);
    make("voc-lists", &cat);
    bench.text("voc-lists/ImageSets/Main/train.txt", "1\n2\n");
    bench.picture("voc-lists/JPEGImages/3.png", [40, 30]);
    let words = [
        "train 1 image",
        "have no annotation (1 left out): train.txt: 2",
        "pictures have no annotation (1 left out)",
    ];
    add("voc-lists", 0, &words);
    make("voc-missing", &cat);
    bench.text("voc-missing/Annotations/2.xml", &format!("<annotation>{cat}</annotation>"));
    add("voc-missing", 0, &["images' files are not in", "(1 left out): JPEGImages/2.jpg"]);
}

/// Roboflow's folders with an instances file each.
fn roboflow(bench: &Bench, add: &mut dyn FnMut(&str, i32, &[&'static str])) {
    let make = |name: &str, part: &str, categories: Value, category: i64| {
        bench.picture(&format!("{name}/{part}/a.png"), [40, 30]);
        let instances = json!({
            "images": [{"id": 0, "file_name": "a.png", "width": 40, "height": 30}],
            "annotations": [annotation(0, 0, category, [2.0, 3.0, 10.0, 8.0])],
            "categories": categories,
        });
        bench.text(&format!("{name}/{part}/_annotations.coco.json"), &instances.to_string());
    };
    let pets = || json!([{"id": 0, "name": "pets"}, {"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]);
    make("roboflow", "train", pets(), 1);
    make("roboflow", "valid", pets(), 2);
    let words = [
        "Roboflow",
        "train 1 image with 1 object; val 1 image",
        "2 classes: cat 1",
        "category 0 (pets)",
        "nothing is wrong",
    ];
    add("roboflow", 0, &words);
    add("roboflow/valid", 0, &["COCO instances", "3 classes: pets 0", "category 0 (pets) has no object"]);
    // Where boxes have it, it is a class.
    make("roboflow-used", "train", pets(), 0);
    add("roboflow-used", 0, &["3 classes: pets 1"]);
    make("roboflow-other", "train", pets(), 1);
    make("roboflow-other", "test", json!([{"id": 1, "name": "bird"}]), 1);
    add("roboflow-other", 2, &["classes are not those of the first folder (1): test: bird"]);
}

#[test]
fn each_data_set_is_named_with_what_is_wrong_with_it() {
    let bench = Bench { root: tempfile::tempdir().unwrap() };
    let sets = sets(&bench);
    assert!(sets.len() >= 45, "{}", sets.len());
    for (source, code, words) in &sets {
        let (got, said, json) = bench.check(source);
        assert_eq!(got, Some(*code), "{source}: {said}");
        for word in words {
            assert!(said.contains(word), "{source} says nothing of `{word}`: {said}");
        }
        // A program gets the same.
        match code {
            0 => assert!(json["kind"].is_string() && json["faults"].is_array(), "{source}: {json}"),
            _ => assert_eq!(json["error"]["kind"], "input", "{source}: {json}"),
        }
    }
    assert!(Path::new(&bench.at("plain/cat/0.png")).is_file(), "nothing is changed");
}
