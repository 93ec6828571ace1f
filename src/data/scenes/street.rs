//! The street: sky, buildings, ground, and the things that stand about, some of them as upright as people.

use gradus_core::random::Rng;

use super::canvas::{Canvas, Color, Point, Shape, blend, shade};

pub(super) fn f(rng: &mut Rng, low: f32, high: f32) -> f32 {
    rng.range(f64::from(low), f64::from(high)) as f32
}

fn pick<T: Copy>(rng: &mut Rng, of: &[T]) -> T {
    of[rng.below(of.len())]
}

/// The street's geometry: a ground plane seen from above it, so that what stands at row y has a size
/// proportional to y − horizon.
pub(super) struct Street {
    pub(super) horizon: f32,
    /// Where the directions of the street meet.
    pub(super) vanishing: f32,
    /// Rows of the road's far and near edge where it runs across; none where it runs away from us.
    pub(super) road: Option<[f32; 2]>,
}

impl Street {
    pub(super) fn random(rng: &mut Rng, w: f32, h: f32) -> Self {
        let horizon = h * f(rng, 0.3, 0.45);
        let far = horizon + (h - horizon) * f(rng, 0.15, 0.3);
        let near = horizon + (h - horizon) * f(rng, 0.6, 0.85);
        let road = rng.chance(0.6).then_some([far, near]);
        Street { horizon, vanishing: w * f(rng, 0.25, 0.75), road }
    }

    /// The column, at row y, of the line on the ground that is u wide beside the vanishing point.
    fn column(&self, u: f32, y: f32) -> f32 {
        self.vanishing + u * (y - self.horizon)
    }

    /// A piece of the ground between two such lines and two rows.
    fn ground(&self, u: [f32; 2], y: [f32; 2]) -> Shape {
        let corner = |i: usize, j: usize| [self.column(u[i], y[j]), y[j]];
        Shape::polygon([corner(0, 0), corner(1, 0), corner(1, 1), corner(0, 1)], 0.0)
    }

    pub(super) fn paint(&self, rng: &mut Rng, canvas: &mut Canvas) {
        let (w, h) = (canvas.width as f32, canvas.height as f32);
        self.paint_sky(rng, canvas);
        self.paint_buildings(rng, canvas);
        let stone = pick(rng, &[[0.62, 0.60, 0.57], [0.55, 0.55, 0.58], [0.66, 0.58, 0.50]]);
        let paving = shade(stone, f(rng, 0.7, 1.15));
        let asphalt = shade([0.30, 0.30, 0.32], f(rng, 0.6, 1.4));
        let horizon = self.horizon;
        canvas.fill(horizon as usize..canvas.height, |_, y| {
            shade(paving, 0.85 + 0.25 * (y as f32 - horizon) / (h - horizon))
        });
        self.paint_joints(rng, canvas, shade(paving, 0.8));
        let white = shade([0.92, 0.92, 0.88], f(rng, 0.75, 1.05));
        let zebra = rng.chance(0.55);
        match self.road {
            Some([far, near]) => {
                canvas.paint(&Shape::rectangle([0.0, far, w, near]), asphalt);
                canvas.paint(&Shape::rectangle([0.0, near, w, near + 0.015 * h]), shade(paving, 0.65));
                canvas.paint(&Shape::rectangle([0.0, far - 0.008 * h, w, far]), shade(paving, 0.65));
                if zebra {
                    // Across this road we look along the stripes' short sides.
                    let first = f(rng, -3.0, -1.0);
                    for k in 0..pick(rng, &[5, 7, 9]) {
                        let u = first + 0.6 * k as f32;
                        canvas.paint(&self.ground([u, u + 0.3], [far + 0.02 * h, near - 0.02 * h]), white);
                    }
                } else {
                    let middle = far + 0.42 * (near - far);
                    for k in 0..8 {
                        let x = w * (k as f32 / 8.0 + 0.02);
                        canvas.paint(&Shape::rectangle([x, middle, x + 0.07 * w, middle + 0.012 * h]), white);
                    }
                }
            }
            None => {
                let [left, right] = [f(rng, -1.8, -0.7), f(rng, 0.7, 1.8)];
                canvas.paint(&self.ground([left, right], [horizon, h + 1.0]), asphalt);
                for edge in [left, right] {
                    let kerb = self.ground([edge - 0.04, edge + 0.04], [horizon, h + 1.0]);
                    canvas.paint(&kerb, shade(paving, 0.65));
                }
                let start = horizon + (h - horizon) * f(rng, 0.35, 0.6);
                let end = start + (h - horizon) * f(rng, 0.15, 0.3);
                let stripes = if zebra { 6 } else { 0 };
                for k in 0..stripes {
                    let step = (right - left) / stripes as f32;
                    let u = left + step * (k as f32 + 0.25);
                    canvas.paint(&self.ground([u, u + 0.5 * step], [start, end]), white);
                }
                if !zebra {
                    canvas.paint(&self.ground([-0.03, 0.03], [horizon, h + 1.0]), white);
                }
            }
        }
    }

    fn paint_sky(&self, rng: &mut Rng, canvas: &mut Canvas) {
        let (w, horizon) = (canvas.width as f32, self.horizon);
        let [high, low]: [Color; 2] = pick(
            rng,
            &[
                [[0.35, 0.55, 0.85], [0.75, 0.85, 0.95]],
                [[0.70, 0.72, 0.75], [0.85, 0.86, 0.87]],
                [[0.50, 0.50, 0.65], [0.95, 0.75, 0.60]],
                [[0.45, 0.65, 0.90], [0.90, 0.93, 0.95]],
            ],
        );
        canvas.fill(0..horizon as usize + 1, |_, y| blend(high, low, y as f32 / horizon));
        for _ in 0..rng.below(4) {
            let (x, y) = (f(rng, 0.0, w), f(rng, 0.0, 0.5 * horizon));
            for _ in 0..4 {
                let size = f(rng, 0.03, 0.08) * w;
                let cloud = Shape::ellipse(x + f(rng, -1.0, 1.0) * size, y, size, 0.35 * size);
                canvas.tint(&cloud, [0.97, 0.97, 0.98], 0.6);
            }
        }
    }

    fn paint_buildings(&self, rng: &mut Rng, canvas: &mut Canvas) {
        let (w, h) = (canvas.width as f32, canvas.height as f32);
        let mut x = -f(rng, 0.0, 0.2) * w;
        while x < w {
            let width = f(rng, 0.12, 0.4) * w;
            // Where the street runs away from us, buildings are lower towards its end.
            let distance =
                if self.road.is_some() { 1.0 } else { ((x + 0.5 * width - self.vanishing) / w).abs() * 1.6 };
            let roof = self.horizon - f(rng, 0.5, 1.1) * self.horizon * distance.clamp(0.15, 1.0);
            let base = self.horizon + 0.01 * h;
            if rng.chance(0.15) {
                for _ in 0..6 {
                    let size = f(rng, 0.05, 0.1) * w;
                    let green = shade([0.25, 0.42, 0.20], f(rng, 0.6, 1.2));
                    let bush = Shape::ellipse(x + f(rng, 0.0, width), base - 0.4 * size, size, 0.7 * size);
                    canvas.paint(&bush, green);
                }
            } else {
                paint_building(rng, canvas, [x, roof, x + width, base]);
            }
            x += width * f(rng, 0.9, 1.1);
        }
    }

    /// Lines between slabs, in perspective.
    fn paint_joints(&self, rng: &mut Rng, canvas: &mut Canvas, color: Color) {
        let h = canvas.height as f32;
        let mut y = self.horizon + 0.06 * (h - self.horizon);
        while y < h {
            canvas.tint(&Shape::rectangle([0.0, y, canvas.width as f32, y + 0.004 * h + 0.3]), color, 0.6);
            y = self.horizon + (y - self.horizon) * 1.28;
        }
        let step = f(rng, 0.3, 0.5);
        for k in -14..15 {
            let u = k as f32 * step;
            canvas.tint(&self.ground([u, u + 0.012], [self.horizon + 2.0, h + 1.0]), color, 0.6);
        }
    }
}

fn paint_building(rng: &mut Rng, canvas: &mut Canvas, [x0, y0, x1, y1]: [f32; 4]) {
    const WALLS: [Color; 5] =
        [[0.70, 0.45, 0.36], [0.80, 0.75, 0.65], [0.60, 0.60, 0.62], [0.75, 0.68, 0.55], [0.50, 0.42, 0.40]];
    let wall = shade(pick(rng, &WALLS), f(rng, 0.65, 1.15));
    canvas.paint(&Shape::rectangle([x0, y0, x1, y1]), wall);
    let (w, h) = (x1 - x0, y1 - y0);
    canvas.paint(&Shape::rectangle([x0, y0, x1, y0 + 0.04 * h]), shade(wall, 0.75));
    let glass =
        shade(pick(rng, &[[0.35, 0.42, 0.50], [0.20, 0.24, 0.30], [0.85, 0.80, 0.60]]), f(rng, 0.8, 1.2));
    let (columns, rows) = (2 + rng.below(4), 1 + rng.below(4));
    for row in 0..rows {
        for column in 0..columns {
            let (cw, ch) = (w / columns as f32, 0.72 * h / rows as f32);
            let (x, y) = (x0 + cw * (column as f32 + 0.25), y0 + 0.07 * h + ch * (row as f32 + 0.2));
            let light = f(rng, 0.8, 1.2);
            canvas.paint(&Shape::rectangle([x, y, x + 0.5 * cw, y + 0.62 * ch]), shade(glass, light));
        }
    }
    // The ground floor: doors, dark and upright, or a shop.
    let floor = y1 - 0.2 * h;
    if rng.chance(0.5) {
        let x = x0 + w * f(rng, 0.1, 0.8);
        let door = Shape::rectangle([x, floor, x + 0.1 * w, y1]);
        canvas.paint(&door, shade([0.35, 0.22, 0.16], f(rng, 0.5, 1.5)));
    } else {
        canvas.paint(&Shape::rectangle([x0 + 0.06 * w, floor, x1 - 0.06 * w, y1]), shade(glass, 0.6));
        let color = [f(rng, 0.2, 0.9), f(rng, 0.1, 0.6), f(rng, 0.1, 0.6)];
        let awning = [x0 + 0.04 * w, floor - 0.05 * h, x1 - 0.04 * w, floor + 0.02 * h];
        canvas.paint(&Shape::rectangle(awning), color);
    }
}

/// What stands about; each has its foot at (x, y) and a size in pixels: a person's height there.
#[derive(Clone, Copy)]
pub(super) enum Thing {
    Car,
    Tree,
    Lamp,
    Sign,
    PillarBox,
    Bollard,
    Bin,
}

pub(super) const THINGS: [Thing; 6] =
    [Thing::Tree, Thing::Lamp, Thing::Sign, Thing::PillarBox, Thing::Bollard, Thing::Bin];

impl Thing {
    pub(super) fn paint(self, rng: &mut Rng, canvas: &mut Canvas, [x, y]: Point, size: f32) {
        let s = size;
        let at = |right: f32, up: f32| [x + right * s, y - up * s];
        let block = |left: f32, top: f32, right: f32, bottom: f32, round: f32| {
            Shape::polygon([at(left, top), at(right, top), at(right, bottom), at(left, bottom)], round * s)
        };
        let shadow = |canvas: &mut Canvas, width: f32| {
            canvas.tint(&Shape::ellipse(x, y, width * s, 0.03 * s), [0.05; 3], 0.35);
        };
        let metal = shade([0.35, 0.37, 0.38], f(rng, 0.5, 1.5));
        match self {
            Thing::Car => paint_car(rng, canvas, [x, y], s),
            Thing::Tree => {
                shadow(canvas, 0.3);
                paint_tree(rng, canvas, [x, y], s);
            }
            Thing::Lamp => {
                shadow(canvas, 0.08);
                canvas.paint(&Shape::limb(at(0.0, 0.0), at(0.0, 2.1), 0.035 * s, 0.02 * s), metal);
                canvas.paint(&Shape::limb(at(0.0, 2.1), at(0.3, 2.15), 0.02 * s, 0.02 * s), metal);
                canvas.paint(&block(0.22, 2.17, 0.38, 2.12, 0.02), [0.9, 0.88, 0.75]);
            }
            Thing::Sign => {
                shadow(canvas, 0.06);
                canvas.paint(&Shape::limb(at(0.0, 0.0), at(0.0, 1.0), 0.022 * s, 0.022 * s), metal);
                let (color, [cx, cy]) =
                    (pick(rng, &[[0.80, 0.15, 0.12], [0.15, 0.30, 0.70], [0.9, 0.8, 0.2]]), at(0.0, 1.05));
                canvas.paint(&Shape::ellipse(cx, cy, 0.13 * s, 0.13 * s), color);
                canvas.paint(&Shape::ellipse(cx, cy, 0.085 * s, 0.085 * s), [0.92; 3]);
            }
            Thing::PillarBox => {
                shadow(canvas, 0.16);
                let color = pick(rng, &[[0.72, 0.10, 0.10], [0.15, 0.35, 0.22], [0.75, 0.65, 0.15]]);
                canvas.paint(&block(-0.11, 0.72, 0.11, 0.02, 0.02), color);
                let [cx, cy] = at(0.0, 0.74);
                canvas.paint(&Shape::ellipse(cx, cy, 0.15 * s, 0.06 * s), shade(color, 0.8));
                canvas.paint(&block(-0.07, 0.6, 0.07, 0.57, 0.0), [0.05; 3]);
            }
            Thing::Bollard => {
                shadow(canvas, 0.08);
                canvas.paint(&Shape::limb(at(0.0, 0.0), at(0.0, 0.42), 0.05 * s, 0.04 * s), metal);
                let [cx, cy] = at(0.0, 0.48);
                canvas.paint(&Shape::ellipse(cx, cy, 0.06 * s, 0.06 * s), shade(metal, 1.3));
            }
            Thing::Bin => {
                shadow(canvas, 0.16);
                let color = shade([0.25, 0.35, 0.28], f(rng, 0.5, 1.6));
                let corners = [at(-0.13, 0.45), at(0.13, 0.45), at(0.1, 0.02), at(-0.1, 0.02)];
                canvas.paint(&Shape::polygon(corners, 0.02 * s), color);
                canvas.paint(&block(-0.14, 0.5, 0.14, 0.45, 0.01), shade(color, 0.6));
            }
        }
    }
}

fn paint_tree(rng: &mut Rng, canvas: &mut Canvas, [x, y]: Point, s: f32) {
    let at = |right: f32, up: f32| [x + right * s, y - up * s];
    let trunk = shade([0.40, 0.30, 0.22], f(rng, 0.6, 1.2));
    canvas.paint(&Shape::limb(at(0.0, 0.0), at(0.03, 1.3), 0.09 * s, 0.05 * s), trunk);
    let green = pick(rng, &[[0.25, 0.45, 0.18], [0.35, 0.48, 0.20], [0.62, 0.42, 0.18]]);
    let leaf = shade(green, f(rng, 0.6, 1.2));
    for _ in 0..9 {
        let [cx, cy] = at(f(rng, -0.45, 0.5), f(rng, 1.2, 2.0));
        let r = f(rng, 0.2, 0.38) * s;
        let light = f(rng, 0.75, 1.2);
        canvas.paint(&Shape::ellipse(cx, cy, r, 0.85 * r), shade(leaf, light));
    }
}

fn paint_car(rng: &mut Rng, canvas: &mut Canvas, [x, y]: Point, s: f32) {
    let face = pick(rng, &[-1.0, 1.0]);
    let at = |right: f32, up: f32| [x + face * right * s, y - up * s];
    const PAINTS: [Color; 6] = [
        [0.75, 0.15, 0.12],
        [0.20, 0.30, 0.60],
        [0.80, 0.80, 0.82],
        [0.12, 0.12, 0.14],
        [0.85, 0.75, 0.30],
        [0.30, 0.45, 0.35],
    ];
    let paint = shade(pick(rng, &PAINTS), f(rng, 0.75, 1.15));
    canvas.tint(&Shape::ellipse(x, y, 1.35 * s, 0.06 * s), [0.03; 3], 0.5);
    let body = [at(-1.2, 0.2), at(-1.22, 0.45), at(-0.7, 0.5), at(0.55, 0.5), at(1.2, 0.42), at(1.25, 0.2)];
    let cabin = [at(-0.85, 0.5), at(-0.55, 0.82), at(0.25, 0.82), at(0.6, 0.5)];
    canvas.paint(&Shape::polygon(cabin, 0.03 * s), shade(paint, 0.95));
    canvas.paint(&Shape::polygon(body, 0.05 * s), paint);
    let rear = [at(-0.72, 0.53), at(-0.5, 0.77), at(-0.18, 0.77), at(-0.18, 0.53)];
    let front = [at(-0.1, 0.53), at(-0.1, 0.77), at(0.2, 0.77), at(0.46, 0.53)];
    for window in [rear, front] {
        canvas.paint(&Shape::polygon(window, 0.0), [0.25, 0.30, 0.36]);
    }
    for wheel in [-0.75, 0.75] {
        let [cx, cy] = at(wheel, 0.16);
        canvas.paint(&Shape::ellipse(cx, cy, 0.2 * s, 0.2 * s), [0.07; 3]);
        canvas.paint(&Shape::ellipse(cx, cy, 0.1 * s, 0.1 * s), [0.6; 3]);
    }
    let [cx, cy] = at(1.22, 0.36);
    canvas.paint(&Shape::ellipse(cx, cy, 0.05 * s, 0.05 * s), [0.95, 0.92, 0.75]);
}
