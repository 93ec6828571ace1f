//! `gradus lab`: boxes to drag, rates to turn, weights to change, and the numbers that follow.
//!
//! | ask (POST, JSON) | for | answer |
//! |---|---|---|
//! | `/api/iou` | `{a: [4], b: [4]}` | each metric's value and gradient, IoU's kinks, how the boxes lie |
//! | `/api/descent` | `{a, b, lr, start: [2], optimizer}` | factors, verdict, reason, bound, path, losses |
//! | `/api/filter` | `{weights: [[3]; 3], divisor}`, `{name}` | weights, gain, filtered picture, response |
//!
//! Every number is the library's; the page draws. A request that asks for nonsense gets 400 and the reason.

use super::http::{Request, Response};
use crate::error::{Error, Result};
use crate::image::Image;
use crate::lessons::descent::{Method, descend};
use crate::lessons::filtering::{Shown, filter, photograph, response_picture};
use crate::lessons::filters::{Border, Filter, Kernel3, Kind, find};
use crate::lessons::iou::named_kinks;
use crate::lessons::kinks::relation;
use crate::lessons::quadratic::Quadratic;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
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
        ("GET" | "HEAD", "/") => super::page(include_str!("lab.html")),
        ("POST", "/api/iou") => reply(&request.body, iou),
        ("POST", "/api/descent") => reply(&request.body, descent),
        ("POST", "/api/filter") => reply(&request.body, filtered),
        (_, "/" | "/api/iou" | "/api/descent" | "/api/filter") => {
            Response::error(405, format!("{} {} is not answered", request.method, request.path))
        }
        _ => Response::not_found(request),
    }
}

fn reply<'a, Q: Deserialize<'a>>(body: &'a [u8], work: impl Fn(Q) -> Result<Value>) -> Response {
    match serde_json::from_slice(body) {
        Ok(question) => match work(question) {
            Ok(value) => Response::json(&value),
            Err(e) => Response::error(if e.exit_code() == 2 { 400 } else { 500 }, e.to_string()),
        },
        Err(e) => Response::error(400, e.to_string()),
    }
}

fn bounded(name: &str, v: f64) -> Result<f64> {
    if v.abs() <= LARGEST { Ok(v) } else { Err(Error::input(format!("{name} = {v} is beyond {LARGEST}"))) }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Boxes {
    a: BBox<f64>,
    b: BBox<f64>,
}

fn iou(Boxes { a, b }: Boxes) -> Result<Value> {
    for side in [&a, &b] {
        check(side).map_err(Error::input)?;
        side.iter().try_for_each(|v| bounded("a coordinate", *v).map(|_| ()))?;
    }
    let metrics = Metric::ALL.map(|m| {
        let (value, a, b) = m.gradient(&a, &b);
        json!({ "metric": m.name(), "value": value, "a": a, "b": b })
    });
    let kinks = named_kinks(&a, &b);
    Ok(json!({ "metrics": metrics, "kinks": kinks, "relation": format!("{:?}", relation(&a, &b)) }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Descending {
    a: f64,
    b: f64,
    lr: f64,
    start: [f64; 2],
    optimizer: String,
}

fn descent(q: Descending) -> Result<Value> {
    for (name, v) in [("a", q.a), ("b", q.b), ("lr", q.lr), ("w1", q.start[0]), ("w2", q.start[1])] {
        bounded(name, v)?;
    }
    let method = Method::named(&q.optimizer)?;
    let bowl = Quadratic::new(vec![q.a, q.b]);
    let (report, path) = descend(&bowl, method.rule(q.lr), q.start, Some(STEPS));
    let losses: Vec<f64> = path.iter().map(|w| bowl.loss(w)).collect();
    // Of Adam nothing is proven: the page shows what it does.
    let verdict = if method == Method::Adam { "observed" } else { report.verdict };
    Ok(json!({
        "rho": report.rho, "verdict": verdict, "reason": report.reason, "bound": report.bound,
        "best": bowl.best_step(), "steps_needed": report.steps_needed, "path": path, "losses": losses,
    }))
}

/// Which filter `/api/filter` is asked for.
#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Filtering {
    /// One with these weights, divided.
    Weights {
        /// Row by row.
        weights: Kernel3,
        /// Not 0.
        divisor: i32,
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
        match q {
            Filtering::Name { name } => {
                find(&name).copied().ok_or_else(|| Error::input(format!("there is no filter `{name}`")))
            }
            Filtering::Weights { divisor: 0, .. } => Err(Error::input("the divisor is 0")),
            Filtering::Weights { weights, divisor } => {
                for v in weights.as_flattened().iter().chain([&divisor]) {
                    bounded("a weight or the divisor", f64::from(*v))?;
                }
                Ok(Filter { name: "yours", kind: Kind::Linear { weights, divisor }, why: "" })
            }
        }
    }
}

fn filtered(q: Filtering) -> Result<Value> {
    let f = Filter::try_from(q)?;
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
        assert_eq!((status, &v["verdict"], &v["bound"]), (200, &json!("alternates"), &json!(0.25)));
        assert_eq!(v["path"].as_array().map(Vec::len), Some(STEPS + 1));

        let (status, v) = post("/api/filter", r#"{"weights": [[1,1,1],[1,1,1],[1,1,1]], "divisor": 9}"#);
        assert_eq!((status, &v["gain"]), (200, &json!(1.0)));
        assert!((v["noise"].as_f64().unwrap() - 1.0 / 9.0).abs() < 1e-15);
        assert_eq!(post("/api/filter", r#"{"name": "median"}"#).1["response"], Value::Null);
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
