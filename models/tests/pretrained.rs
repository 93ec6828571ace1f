//! Detectors that start from other networks' weights, and what is said about it.

use gradus_core::{Module, Rng, Slot, Visitor};
use gradus_models::checkpoint::{self, Metadata, RawTensor, StateDict, state_dict};
use gradus_models::detection::{
    Backbone, BackboneKind, Config, Detector, NORM_EPS, Pretrained, Source, load_pretrained, pretrain,
};
use gradus_models::resnet::Depth;
use gradus_models::{MobileNetV2, Norm, ResNet};

fn detector(kind: BackboneKind, classes: usize, masks: bool, seed: u64) -> Detector {
    let config = Config { masks, ..Config::new(kind, classes) };
    Detector::new(config, &mut Rng::seed(seed))
}

/// A backbone under the name that detectors have for it.
struct Alone(Backbone);

impl Module for Alone {
    fn visit(&mut self, v: &mut Visitor<'_, f32>) {
        v.child("backbone", &mut self.0);
    }
}

fn alone(kind: BackboneKind, norm: Norm) -> Alone {
    Alone(Backbone::new(kind, 3, norm, &mut Rng::seed(1)))
}

/// Every element another number, so that nothing is taken for its like.
fn mark(net: &mut impl Module) {
    let mut next = 0.0;
    net.for_each(|_, slot| {
        let t = match slot {
            Slot::Param(p) => &mut p.value,
            Slot::Buffer(t) => t,
        };
        next += 1.0;
        t.data_mut().iter_mut().enumerate().for_each(|(i, v)| *v = next + (i % 1000) as f32 / 1024.0);
    });
}

fn bytes<'a>(state: &'a StateDict, name: &str) -> &'a [u8] {
    state.get(name).unwrap_or_else(|| panic!("no {name}")).bytes()
}

fn said(report: &Pretrained) -> String {
    report.to_string()
}

#[test]
fn a_classifier_becomes_the_backbone() {
    let mut classifier = ResNet::<f32>::new(Depth::R18, 10, &mut Rng::seed(0));
    mark(&mut classifier);
    let theirs = state_dict(&mut classifier);
    let mut net = detector(BackboneKind::Resnet18Fpn, 2, false, 1);
    let before = state_dict(&mut net);
    let report = load_pretrained(&mut net, theirs.clone()).unwrap();
    let ours = state_dict(&mut net);

    assert_eq!((report.source, report.loaded.len(), report.classes), (Source::Classifier, 100, None));
    assert_eq!(report.ignored, ["fc.weight", "fc.bias"]);
    assert_eq!(report.random.len(), 130 - 100);
    for name in &report.loaded {
        assert!(bytes(&ours, name) == bytes(&theirs, name.strip_prefix("backbone.body.").unwrap()), "{name}");
    }
    for name in &report.random {
        assert!(bytes(&ours, name) == bytes(&before, name), "{name}");
    }
    assert_eq!(
        said(&report),
        "a classifier's weights, for the backbone: 100 tensors loaded\n\
         not in the file, left random: backbone.fpn (16), rpn.head (6), roi_heads.box_head (4), \
         roi_heads.box_predictor (4)\n\
         in the file, not used: fc (2)"
    );
}

#[test]
fn resnet34_becomes_its_backbone_and_no_other() {
    let mut classifier = ResNet::<f32>::new(Depth::R34, 10, &mut Rng::seed(0));
    mark(&mut classifier);
    let theirs = state_dict(&mut classifier);
    let mut net = alone(BackboneKind::Resnet34Fpn, Norm::Frozen);
    let report = load_pretrained(&mut net, theirs.clone()).unwrap();
    // 36 convolutions of four tensors of batch norm each; the counters of batches are not among them.
    assert_eq!((report.loaded.len(), report.random.len(), report.ignored.len()), (36 * 5, 16, 2), "{report}");
    let ours = state_dict(&mut net);
    for name in &report.loaded {
        assert!(bytes(&ours, name) == bytes(&theirs, name.strip_prefix("backbone.body.").unwrap()), "{name}");
    }
    let problem = load_pretrained(&mut alone(BackboneKind::Resnet50Fpn, Norm::Frozen), theirs).unwrap_err();
    let said = problem.at("x.pth".as_ref()).to_string();
    assert!(said.contains("has shape"), "{said}");
}

#[test]
fn mobilenets_features_become_either_backbone() {
    let mut classifier = MobileNetV2::<f32>::new(10, &mut Rng::seed(0));
    mark(&mut classifier);
    let mut theirs = state_dict(&mut classifier);
    for (kind, norm, prefix, tensors) in [
        (BackboneKind::MobilenetV2, Norm::Trained, "backbone.", 312),
        (BackboneKind::MobilenetV2, Norm::Frozen, "backbone.", 260),
        (BackboneKind::MobilenetV2Fpn, Norm::Frozen, "backbone.body.", 260),
    ] {
        let mut net = alone(kind, norm);
        let report = load_pretrained(&mut net, theirs.clone()).unwrap();
        assert_eq!((report.loaded.len(), report.ignored.len()), (tensors, 2), "{kind}: {report}");
        let ours = state_dict(&mut net);
        for name in &report.loaded {
            let feature = format!("features.{}", name.strip_prefix(prefix).unwrap());
            assert!(bytes(&ours, name) == bytes(&theirs, &feature), "{name}");
        }
    }
    // Files from before PyTorch 0.4.1 count no batches.
    theirs.retain(|name, _| !name.ends_with("num_batches_tracked"));
    let report = load_pretrained(&mut alone(BackboneKind::MobilenetV2, Norm::Trained), theirs).unwrap();
    assert_eq!((report.loaded.len(), report.random.len()), (260, 0));
}

/// As torchvision named things before its release 0.13, with counters that frozen batch norm has not.
fn aged(state: StateDict) -> StateDict {
    let mut old: StateDict = state
        .into_iter()
        .map(|(name, tensor)| {
            let mut name = name.replace("rpn.head.conv.0.0.", "rpn.head.conv.");
            for k in 0..4 {
                name = name.replace(&format!("_blocks.{k}.0."), &format!("_blocks.{k}."));
                name = name.replace(&format!("mask_head.{k}.0."), &format!("mask_head.mask_fcn{}.", k + 1));
            }
            (name, tensor)
        })
        .collect();
    old.insert("backbone.body.bn1.num_batches_tracked".into(), RawTensor::from_i64(&[], &[7]));
    old
}

#[test]
fn a_detector_for_other_classes_gives_all_but_its_predictors() {
    let mut source = detector(BackboneKind::Resnet18Fpn, 5, true, 0);
    mark(&mut source);
    let theirs = state_dict(&mut source);
    let old = aged(theirs.clone());
    assert!(old.contains_key("roi_heads.mask_head.mask_fcn4.bias") && old.contains_key("rpn.head.conv.bias"));

    let mut net = detector(BackboneKind::Resnet18Fpn, 2, true, 1);
    let before = state_dict(&mut net);
    let report = load_pretrained(&mut net, old.clone()).unwrap();
    let ours = state_dict(&mut net);
    assert_eq!((report.source, report.classes), (Source::Detector, Some([5, 2])));
    assert_eq!((report.loaded.len(), report.replaced.len()), (before.len() - 8, 8));
    assert!(report.random.is_empty() && report.ignored.is_empty(), "{report}");
    assert!(report.loaded.iter().all(|name| bytes(&ours, name) == bytes(&theirs, name)));
    assert!(report.replaced.iter().all(|name| bytes(&ours, name) == bytes(&before, name)));
    assert!(
        said(&report).ends_with(
            "fresh, for 2 classes where the file has 5: roi_heads.box_predictor (4), roi_heads.mask_predictor (4)"
        ),
        "{report}"
    );

    // For the same classes all is taken; without masks theirs have no use.
    let report = load_pretrained(&mut detector(BackboneKind::Resnet18Fpn, 5, true, 2), old.clone()).unwrap();
    assert_eq!((report.loaded.len(), report.classes), (theirs.len(), None));
    let report = load_pretrained(&mut detector(BackboneKind::Resnet18Fpn, 5, false, 2), old).unwrap();
    assert_eq!((report.loaded.len(), report.ignored.len()), (130, 12));
}

#[test]
fn another_networks_weights_are_refused() {
    let refused = |net: &mut Alone, state: StateDict| load_pretrained(net, state).unwrap_err();
    let said = |problem: checkpoint::Problem| problem.at("x.pth".as_ref()).to_string();
    let resnet = state_dict(&mut ResNet::<f32>::new(Depth::R18, 10, &mut Rng::seed(0)));
    let mut net = alone(BackboneKind::Resnet50Fpn, Norm::Frozen);
    let message = said(refused(&mut net, resnet.clone()));
    assert!(message.contains("backbone.body.layer1.0.conv1.weight has shape [64, 64, 3, 3]"), "{message}");
    let message = said(refused(&mut alone(BackboneKind::MobilenetV2, Norm::Frozen), resnet.clone()));
    assert!(message.contains("backbone.0.0.weight is not among its 122 tensors"), "{message}");
    let mut part = resnet;
    part.shift_remove("layer4.1.conv2.weight");
    let message = said(refused(&mut alone(BackboneKind::Resnet18Fpn, Norm::Frozen), part));
    assert!(message.contains("backbone.body.layer4.1.conv2.weight is not among"), "{message}");
}

#[test]
fn a_detector_with_other_heads_is_refused_by_name() {
    let names = |masks: bool| {
        let all = include_str!("data/torchvision/maskrcnn_resnet50_fpn_v2.txt").lines();
        all.filter_map(|line| line.split(' ').next()).filter(move |name| masks || !name.contains(".mask_"))
    };
    for (masks, what) in [
        (false, "torchvision's fasterrcnn_resnet50_fpn_v2"),
        (true, "torchvision's maskrcnn_resnet50_fpn_v2"),
    ] {
        // The same tensors as the first version's, as far as they are, would fit.
        let mut net = detector(BackboneKind::Resnet50Fpn, 91, masks, 0);
        let mut state = state_dict(&mut net);
        names(masks).for_each(|name| {
            state.entry(name.into()).or_insert_with(|| RawTensor::from_f32(&[1], &[0.0]));
        });
        let said = load_pretrained(&mut net, state).unwrap_err().at("v2.pth".as_ref()).to_string();
        assert!(said.contains(what) && said.contains("not known here"), "{said}");
    }
}

#[test]
fn eps_comes_with_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("detector.safetensors");
    let mut net = detector(BackboneKind::Resnet18Fpn, 2, false, 0);
    let state = state_dict(&mut net);
    let mut eps_from = |metadata: Metadata| {
        checkpoint::save(&path, &state, &metadata).unwrap();
        pretrain(&mut net, &path).map(|_| net.backbone.norm_eps())
    };
    assert_eq!(eps_from(Metadata::from([(NORM_EPS.into(), "0".into())])).unwrap(), 0.0);
    assert_eq!(eps_from(Metadata::new()).unwrap(), 1e-5);
    let said = eps_from(Metadata::from([(NORM_EPS.into(), "tiny".into())])).unwrap_err().to_string();
    assert!(said.contains("detector.safetensors") && said.contains("tiny"), "{said}");
}
