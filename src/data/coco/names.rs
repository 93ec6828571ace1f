//! The names of COCO's 80 categories by their ids, 1 to 90: what detectors with 91 classes tell apart.

use crate::metrics::coco::Category;

/// By commas, in the order of the ids. Ids that stand for nothing have no name.
const NAMES: &str = "\
    person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,,stop sign,\
    parking meter,bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,,backpack,umbrella,,,\
    handbag,tie,suitcase,frisbee,skis,snowboard,sports ball,kite,baseball bat,baseball glove,\
    skateboard,surfboard,tennis racket,bottle,,wine glass,cup,fork,knife,spoon,bowl,banana,apple,\
    sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,potted plant,bed,,\
    dining table,,,toilet,,tv,laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,\
    refrigerator,,book,clock,vase,scissors,teddy bear,hair drier,toothbrush";

/// The categories of labels 1 to `labels`: COCO's where there are 90, else numbered ones.
pub fn categories(labels: usize) -> Vec<Category> {
    let names: Vec<&str> = NAMES.split(',').collect();
    let name = |id: usize| match names.get(id - 1).filter(|n| labels == names.len() && !n.is_empty()) {
        Some(name) => name.to_string(),
        None => format!("class {id}"),
    };
    (1..=labels).map(|id| Category { id: id as i64, name: name(id) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_cocos() {
        let all = categories(90);
        for (id, name) in
            [(1, "person"), (18, "dog"), (44, "bottle"), (62, "chair"), (72, "tv"), (90, "toothbrush")]
        {
            assert_eq!((all[id - 1].id, all[id - 1].name.as_str()), (id as i64, name));
        }
        assert_eq!(all.iter().filter(|c| !c.name.starts_with("class ")).count(), 80);
        assert_eq!(categories(1)[0].name, "class 1");
    }
}
