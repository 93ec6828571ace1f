//! Question 5 of the homework: two two-stage detectors, compared.

use super::Page;
use crate::comparison::{Question, compare};
use crate::error::Result;

/// Adds question 5 to a page; without runs, how to make them.
///
/// # Errors
/// A run that is none, or that learned from other images than the other; unreadable data or pictures.
pub fn section(page: &mut Page, question: Option<&Question>) -> Result<()> {
    page.section("q5", "5. Two two-stage detectors");
    let Some(question) = question else {
        page.text(
            "No detectors were given to this page. Two runs of `gradus train detector` fill this section:",
        )
        .command("gradus report --detectors RUN_A RUN_B --image PHOTO -o report");
        return Ok(());
    };
    page.text(
        "Both learned from the same images. AP is COCO's average precision, the mean over IoU from 0.50 to 0.95: 1 is \
         perfect, 0 finds nothing. The pictures show both at the same scale.",
    );
    compare(question)?.show(page)?;
    let [a, b] = question.runs.each_ref().map(|run| run.display());
    let photos: Vec<String> = question.photos.iter().map(|p| format!(" --image {}", p.display())).collect();
    page.command(&format!("gradus compare {a} {b} --data {}{} -o compared", question.data, photos.concat()));
    Ok(())
}
