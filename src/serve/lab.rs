//! `gradus lab`: boxes to drag, rates to turn, weights to change, and the numbers that follow.
//!
//! | ask (POST, JSON) | for | answer |
//! |---|---|---|
//! | `/api/iou` | `{a: [4], b: [4]}` | each metric's value and gradient, IoU's kinks, where GIoU pushes a |
//! | `/api/descent` | `{a, b, lr, start: [2], optimizer}` | verdict, reason, path, losses, what holds of the method |
//! | `/api/filter` | `{weights: [[3]; 3], divisor}`, `{name}` | weights, gain, filtered picture, response |
//!
//! Every number is the library's, and so is the judgement of the exercises, which comes with each answer; the
//! page draws. A request that asks for nonsense gets 400, the reason and, where one is to blame, the field.

use super::http::{Request, Response};
use crate::error::{Error, Result};
use crate::image::Image;
use crate::lessons::descent::{Method, descend};
use crate::lessons::exercises::{self, Descent, mark};
use crate::lessons::filtering::{Shown, filter, photograph, response_picture};
use crate::lessons::filters::{Border, FILTERS, Filter, Kernel3, Kind, find};
use crate::lessons::iou::{named_kinks, push};
use crate::lessons::kinks::relation;
use crate::lessons::quadratic::{Quadratic, limit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gradus_core::Rule;
use gradus_models::detection::boxes::{BBox, Metric, check};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::LazyLock;

/// Steps of a path that is drawn.
const STEPS: usize = 80;
/// No coordinate, rate, curvature or weight is larger.
const LARGEST: f64 = 1e6;
/// The side of the photograph that is filtered, in pixels.
const PHOTO: usize = 240;

/// Answers a request of the page.
pub fn answer(request: &Request) -> Response {
    let asked = (request.method.as_str(), request.path.as_str());
    match asked {
        ("GET" | "HEAD", "/") => page(),
        ("POST", "/api/iou") => reply(&request.body, iou),
        ("POST", "/api/descent") => reply(&request.body, descent),
        ("POST", "/api/filter") => reply(&request.body, filtered),
        (_, "/" | "/api/iou" | "/api/descent" | "/api/filter") => {
            Response::error(405, format!("{} {} is not answered", request.method, request.path))
        }
        _ => Response::not_found(request),
    }
}

fn page() -> Response {
    let filters: String = FILTERS.iter().map(|filter| format!("<option>{}</option>", filter.name)).collect();
    let page = include_str!("lab.html").replace("<!-- filters -->", &filters);
    super::page(&page.replace("/* script */", include_str!("lab.js")))
}

/// Why a question is not answered, and the field that is to blame.
struct Refusal {
    field: Option<String>,
    error: Error,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Refusal { field: None, error }
    }
}

impl Refusal {
    fn of(field: &str, why: impl Into<String>) -> Self {
        Refusal { field: Some(field.into()), error: Error::input(why) }
    }
}

fn reply<'a, Q, W>(body: &'a [u8], work: W) -> Response
where
    Q: Deserialize<'a>,
    W: Fn(Q) -> Result<Value, Refusal>,
{
    match serde_json::from_slice(body).map(work) {
        Ok(Ok(value)) => Response::json(&value),
        Ok(Err(Refusal { field, error })) => {
            let status = if error.exit_code() == 2 { 400 } else { 500 };
            Response { status, ..Response::json(&json!({ "error": error.to_string(), "field": field })) }
        }
        Err(e) => Response::error(400, e.to_string()),
    }
}

/// What stands in a field, if it is a number of sensible size.
fn bounded(field: &str, v: Option<f64>) -> Result<f64, Refusal> {
    let name = if field == "lr" { "the learning rate" } else { field };
    match v {
        Some(v) if v.abs() <= LARGEST => Ok(v),
        Some(v) => Err(Refusal::of(field, format!("{name} = {v} is beyond {LARGEST}"))),
        None => Err(Refusal::of(field, format!("{name} is missing: write a number"))),
    }
}

fn whole(field: &str, v: Option<f64>) -> Result<i32, Refusal> {
    match bounded(field, v)? {
        v if v.fract() == 0.0 => Ok(v as i32),
        v => Err(Refusal::of(field, format!("{field} = {v} is not a whole number"))),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Boxes {
    a: BBox<f64>,
    b: BBox<f64>,
}

fn iou(Boxes { a, b }: Boxes) -> Result<Value, Refusal> {
    for (name, side) in [("a", &a), ("b", &b)] {
        check(side).map_err(|why| Refusal::of(name, why))?;
        side.iter().try_for_each(|v| bounded(name, Some(*v)).map(|_| ()))?;
    }
    let metrics = Metric::ALL.map(|m| {
        let (value, a, b) = m.gradient(&a, &b);
        json!({ "metric": m.name(), "value": value, "a": a, "b": b })
    });
    Ok(json!({
        "metrics": metrics, "kinks": named_kinks(&a, &b), "relation": format!("{:?}", relation(&a, &b)),
        "push": push(&a, &b), "exercises": mark(&exercises::BOXES, &[a, b]),
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Descending {
    a: Option<f64>,
    b: Option<f64>,
    lr: Option<f64>,
    start: [f64; 2],
    optimizer: String,
}

fn descent(q: Descending) -> Result<Value, Refusal> {
    let [a, b, lr] = [bounded("a", q.a)?, bounded("b", q.b)?, bounded("lr", q.lr)?];
    let start = [bounded("w1", Some(q.start[0]))?, bounded("w2", Some(q.start[1]))?];
    let method =
        Method::named(&q.optimizer).map_err(|e| Refusal { field: Some("optimizer".into()), error: e })?;
    let asked = Descent { bowl: Quadratic::new(vec![a, b]), method, lr, start };
    let (bowl, rule) = (&asked.bowl, method.rule(lr));
    let (report, path) = descend(bowl, rule, start, Some(STEPS));
    let losses: Vec<f64> = path.iter().map(|w| bowl.loss(w)).collect();
    // Nothing of Adam is proven: the page shows what it does.
    let verdict = if method == Method::Adam { "observed" } else { report.verdict };
    let mut value = json!({
        "verdict": verdict, "reason": report.reason, "steps_needed": report.steps_needed, "path": path,
        "losses": losses, "exercises": mark(&exercises::DESCENT, &asked),
    });
    if let Rule::Sgd(sgd) = rule {
        // A rate converges from every start iff rate * curvature lies below this along both weights.
        let over = limit(&sgd);
        value["limit"] = json!(bowl.condition().map(|_| json!({ "over": over, "rate": over / a.max(b) })));
        if method == Method::Gd {
            value["factors"] = json!(report.rho);
            value["best"] = json!(bowl.best_step());
        } else {
            value["roots"] = json!(bowl.roots(&sgd));
        }
    }
    Ok(value)
}

/// Which filter `/api/filter` is asked for.
#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Filtering {
    /// One with these weights, divided.
    Weights {
        /// Row by row; whole numbers.
        weights: [[Option<f64>; 3]; 3],
        /// A whole number, not 0.
        divisor: Option<f64>,
    },
    /// One of the lesson's.
    Name {
        /// What it is called there.
        name: String,
    },
}

static PHOTOGRAPH: LazyLock<Result<Image, String>> =
    LazyLock::new(|| photograph(PHOTO).map_err(|e| e.to_string()));

impl TryFrom<Filtering> for Filter {
    type Error = Error;

    fn try_from(q: Filtering) -> Result<Self> {
        read(q).map_err(|refusal| refusal.error)
    }
}

fn read(q: Filtering) -> Result<Filter, Refusal> {
    match q {
        Filtering::Name { name } => {
            find(&name).copied().ok_or_else(|| Refusal::of("name", format!("there is no filter `{name}`")))
        }
        Filtering::Weights { weights, divisor } => {
            let mut own = Kernel3::default();
            for (i, to) in own.as_flattened_mut().iter_mut().enumerate() {
                *to = whole(&format!("weight {}", i + 1), weights.as_flattened()[i])?;
            }
            let divisor = whole("divisor", divisor)?;
            if divisor == 0 {
                return Err(Refusal::of("divisor", "the divisor is 0: nothing can be divided by it"));
            }
            Ok(Filter { name: "yours", kind: Kind::Linear { weights: own, divisor }, why: "" })
        }
    }
}

fn filtered(q: Filtering) -> Result<Value, Refusal> {
    let f = read(q)?;
    let photo = PHOTOGRAPH.as_ref().map_err(|e| Error::failure(e.as_str()))?;
    let result = filter(&f, photo, Border::Reflect, Shown::Signed);
    let picture = |image: &Image| image.encode_png().map(|png| STANDARD.encode(png));
    let response = response_picture(&f).as_ref().map(picture).transpose()?;
    let (weights, divisor) = match f.kind {
        Kind::Linear { weights, divisor } => (json!(weights), json!(divisor)),
        _ => (Value::Null, Value::Null),
    };
    Ok(json!({
        "weights": weights, "divisor": divisor, "why": f.why, "gain": f.gain(), "noise": f.noise_gain(),
        "min": result.min, "max": result.max,
        "before": picture(photo)?, "after": picture(&result.image)?, "response": response,
        "exercises": mark(&exercises::FILTERS, &f),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(path: &str, body: &str) -> (u16, Value) {
        let request = Request { method: "POST".into(), path: path.into(), body: body.into() };
        let response = answer(&request);
        (response.status, serde_json::from_slice(&response.body).unwrap())
    }

    #[test]
    fn numbers_are_the_librarys() {
        let (status, v) = post("/api/iou", r#"{"a": [0, 0, 4, 2], "b": [1, 1, 5, 3]}"#);
        let (value, da, _) = Metric::Giou.gradient(&[0.0, 0.0, 4.0, 2.0], &[1.0, 1.0, 5.0, 3.0]);
        assert_eq!(
            (status, v["metrics"][1]["value"].as_f64(), v["metrics"][0]["value"].as_f64()),
            (200, Some(value), Some(3.0 / 13.0))
        );
        assert_eq!(v["metrics"][1]["a"], json!(da));
        assert_eq!(v["relation"], "Overlapping");
        let (_, v) = post("/api/iou", r#"{"a": [0, 0, 2, 2], "b": [0, 1, 2, 3]}"#);
        assert_eq!(v["kinks"].as_array().map(Vec::len), Some(2));

        let ask = r#"{"a": 1, "b": 8, "lr": 0.25, "start": [1, 1], "optimizer": "gd"}"#;
        let (status, v) = post("/api/descent", ask);
        assert_eq!((status, &v["verdict"], &v["limit"]["rate"]), (200, &json!("alternates"), &json!(0.25)));
        assert_eq!(v["path"].as_array().map(Vec::len), Some(STEPS + 1));

        let (status, v) = post("/api/filter", r#"{"weights": [[1,1,1],[1,1,1],[1,1,1]], "divisor": 9}"#);
        assert_eq!((status, &v["gain"]), (200, &json!(1.0)));
        assert!((v["noise"].as_f64().unwrap() - 1.0 / 9.0).abs() < 1e-15);
        assert_eq!(post("/api/filter", r#"{"name": "median"}"#).1["response"], Value::Null);
    }

    /// What holds of gradient descent is not said of another method.
    #[test]
    fn each_method_has_its_own_facts() {
        let facts = |optimizer: &str| {
            let ask = json!({ "a": 1, "b": 8, "lr": 0.3, "start": [1, 1], "optimizer": optimizer });
            let v = post("/api/descent", &ask.to_string()).1;
            let known = ["factors", "best", "roots", "limit"].map(|fact| !v[fact].is_null());
            (known, v["verdict"].as_str().unwrap().to_string(), v)
        };
        let (known, verdict, v) = facts("gd");
        assert_eq!((known, verdict.as_str()), ([true, true, false, true], "diverges"));
        assert_eq!(v["best"], 2.0 / 9.0);
        let (known, verdict, v) = facts("momentum");
        assert_eq!((known, verdict.as_str()), ([false, false, true, true], "converges"));
        assert_eq!(
            (&v["limit"]["rate"], v["roots"][1].as_array().map(Vec::len)),
            (&json!(3.8 / 8.0), Some(2))
        );
        let (known, _, v) = facts("nesterov");
        assert_eq!((known, v["limit"]["over"].as_f64()), ([false, false, true, true], Some(3.8 / 2.8)));
        let (known, verdict, v) = facts("adam");
        assert_eq!((known, verdict.as_str()), ([false; 4], "observed"));
        assert!(v["steps_needed"].is_null());
        let saddle = r#"{"a": -1, "b": 8, "lr": 0.2, "start": [1, 1], "optimizer": "gd"}"#;
        let (_, v) = post("/api/descent", saddle);
        assert!(v["limit"].is_null() && v["best"].is_null() && !v["factors"].is_null());
    }

    #[test]
    fn answers_tell_which_exercises_they_solve() {
        let solved = |path: &str, body: &str| {
            let (_, v) = post(path, body);
            let marks = v["exercises"].as_array().unwrap().iter();
            marks
                .filter(|m| m["solved"] == true)
                .map(|m| m["name"].as_str().unwrap().to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(solved("/api/iou", r#"{"a": [0, 0, 1, 1], "b": [1, 1, 2, 2]}"#), ["corner", "plateau"]);
        let ask = r#"{"a": 1, "b": 8, "lr": 0.3, "start": [1, 1], "optimizer": "momentum"}"#;
        assert_eq!(solved("/api/descent", ask), ["momentum"]);
        assert_eq!(solved("/api/filter", r#"{"name": "sobel-y"}"#), ["edges"]);
        assert!(solved("/api/filter", r#"{"name": "median"}"#).is_empty());
    }

    #[test]
    fn the_field_to_blame_is_named() {
        let zeros = "[0,0,0],[0,0,0]";
        for (path, body, field) in [
            ("/api/iou", r#"{"a": [0, 0, 1, 1], "b": [1, 1, 0, 2]}"#.to_string(), "b"),
            ("/api/iou", r#"{"a": [0, 0, 1, 1e7], "b": [1, 1, 2, 2]}"#.into(), "a"),
            (
                "/api/descent",
                r#"{"a": 1, "b": null, "lr": 1, "start": [1, 1], "optimizer": "gd"}"#.into(),
                "b",
            ),
            (
                "/api/descent",
                r#"{"a": 1, "b": 1, "lr": 1e9, "start": [1, 1], "optimizer": "gd"}"#.into(),
                "lr",
            ),
            (
                "/api/descent",
                r#"{"a": 1, "b": 1, "lr": 1, "start": [1, 1], "optimizer": ""}"#.into(),
                "optimizer",
            ),
            ("/api/filter", format!(r#"{{"weights": [[0,0,null],{zeros}], "divisor": 1}}"#), "weight 3"),
            ("/api/filter", format!(r#"{{"weights": [{zeros},[1.5,0,0]], "divisor": 1}}"#), "weight 7"),
            ("/api/filter", format!(r#"{{"weights": [{zeros},[0,0,1e9]], "divisor": 1}}"#), "weight 9"),
            ("/api/filter", format!(r#"{{"weights": [{zeros},[0,0,0]], "divisor": 0}}"#), "divisor"),
            ("/api/filter", format!(r#"{{"weights": [{zeros},[0,0,0]], "divisor": null}}"#), "divisor"),
        ] {
            let (status, v) = post(path, &body);
            assert_eq!((status, &v["field"]), (400, &json!(field)), "{path} {body}: {v}");
        }
    }

    #[test]
    fn nonsense_gets_its_4xx() {
        for (path, body) in [
            ("/api/iou", ""),
            ("/api/iou", r#"{"a": [0, 0, 4], "b": [1, 1, 5, 3]}"#),
            ("/api/iou", r#"{"a": [4, 0, 0, 2], "b": [1, 1, 5, 3]}"#),
            ("/api/iou", r#"{"a": [0, 0, 1e400, 2], "b": [1, 1, 5, 3]}"#),
            ("/api/descent", r#"{"a": 1, "b": 1, "lr": 1e9, "start": [1, 1], "optimizer": "gd"}"#),
            ("/api/descent", r#"{"a": 1, "b": 1, "lr": 1, "start": [1, 1], "optimizer": "luck"}"#),
            ("/api/filter", r#"{"weights": [[1,1,1],[1,1,1],[1,1,1]], "divisor": 0}"#),
            ("/api/filter", r#"{"weights": [[1,1,1],[1,1,1],[1,1,2147483647]], "divisor": 1}"#),
            ("/api/filter", r#"{"name": "../../etc/passwd"}"#),
        ] {
            let (status, v) = post(path, body);
            assert_eq!(status, 400, "{path} {body}: {v}");
            assert!(v["error"].is_string());
        }
        assert_eq!((post("/api", "{}").0, post("/", "").0), (404, 405));
    }
}
