//! The pictures that runs leave, and what they show.

/// Names of files, and captions.
pub const PICTURES: [(&str, &str); 8] = [
    ("val_batch0_pred.png", "Validation images and what the network takes them for"),
    ("val_batch0_labels.png", "The same images and what they are"),
    ("train_batch0.png", "The first training batch, as the network sees it"),
    ("confusion_matrix.png", "Which class was taken for which, on the test images"),
    ("top_losses.png", "The test images that the network is most wrong about"),
    ("PR_curve.png", "Precision over recall"),
    ("F1_curve.png", "Precision, recall and F1 over the confidence from which detections count"),
    ("results.png", "All curves, as the run draws them"),
];
