//! A walker: head, torso, legs and arms of a person in mid-step, in clothes of their own.
//!
//! All lengths are parts of the body's height. The limbs hang from hip and shoulder as double pendulums:
//! thighs swing by sin(phase), one half a step after the other, knees bend while a leg comes forward, arms
//! swing against the legs.

use std::f32::consts::PI;

use gradus_core::elementary;
use gradus_core::random::Rng;

use super::canvas::{Canvas, Color, Point, Shape, shade};

const SKINS: [Color; 6] = [
    [0.96, 0.80, 0.69],
    [0.91, 0.71, 0.56],
    [0.80, 0.58, 0.42],
    [0.64, 0.44, 0.30],
    [0.46, 0.30, 0.20],
    [0.33, 0.21, 0.15],
];
const HAIRS: [Color; 6] = [
    [0.10, 0.08, 0.07],
    [0.25, 0.16, 0.10],
    [0.45, 0.28, 0.14],
    [0.75, 0.60, 0.35],
    [0.55, 0.20, 0.10],
    [0.70, 0.70, 0.70],
];

/// What hangs from the waist.
enum Lower {
    Trousers,
    Skirt,
    /// A coat or a dress, in the torso's color.
    Coat,
}

/// A walker's body and clothes.
pub(super) struct Walker {
    /// Where the feet are.
    x: f32,
    pub(super) foot: f32,
    height: f32,
    /// How far the body is turned: −1 walks to the left, 1 to the right, 0 towards or away from us.
    turn: f32,
    phase: f32,
    stride: f32,
    stout: f32,
    skin: Color,
    hair: Color,
    top: Color,
    bottom: Color,
    shoes: Color,
    lower: Lower,
    long_hair: bool,
    hat: Option<Color>,
    bag: Option<Color>,
    from_behind: bool,
}

impl Walker {
    /// A random walker of that height whose feet are at (x, foot).
    pub(super) fn random(rng: &mut Rng, x: f32, foot: f32, height: f32) -> Self {
        let turn = [-1.0, -1.0, 1.0, 1.0, 0.0][rng.below(5)];
        let lower = [Lower::Trousers, Lower::Trousers, Lower::Trousers, Lower::Skirt, Lower::Coat];
        Walker {
            x,
            foot,
            height,
            turn,
            phase: rng.range(0.0, 2.0 * f64::from(PI)) as f32,
            stride: rng.range(0.25, 0.6) as f32,
            stout: rng.range(0.85, 1.25) as f32,
            skin: SKINS[rng.below(SKINS.len())],
            hair: HAIRS[rng.below(HAIRS.len())],
            top: cloth(rng),
            bottom: if rng.chance(0.5) {
                shade([0.22, 0.25, 0.35], rng.range(0.5, 1.6) as f32)
            } else {
                cloth(rng)
            },
            shoes: shade([0.3, 0.25, 0.22], rng.range(0.3, 2.5) as f32),
            lower: lower.into_iter().nth(rng.below(5)).expect("five kinds"),
            long_hair: rng.chance(0.4),
            hat: rng.chance(0.2).then(|| cloth(rng)),
            bag: rng.chance(0.25).then(|| cloth(rng)),
            from_behind: rng.chance(0.5),
        }
    }

    /// A point of the body's frame, in heights from the feet's middle, upwards.
    fn at(&self, right: f32, up: f32) -> Point {
        [self.x + right * self.height, self.foot - up * self.height]
    }

    pub(super) fn paint(&self, canvas: &mut Canvas) {
        let h = self.height;
        canvas.tint(&Shape::ellipse(self.x, self.foot, 0.2 * h, 0.035 * h), [0.05; 3], 0.35);
        // The far arm and leg, darker; then the torso; then the near ones.
        let legs = [self.leg(0), self.leg(1)];
        let lift = legs.iter().map(|l| l[2][1]).fold(f32::MAX, f32::min);
        let [near, far] = legs.map(|leg| leg.map(|[x, y]| self.at(x, y - lift)));
        self.paint_arm(canvas, 1, lift, 0.8);
        self.paint_leg(canvas, far, 0.75);
        self.paint_leg(canvas, near, 1.0);
        self.paint_torso(canvas, lift);
        self.paint_head(canvas, lift);
        self.paint_arm(canvas, 0, lift, 1.08);
    }

    /// Hip, knee and ankle of a leg.
    fn leg(&self, side: usize) -> [Point; 3] {
        let phase = self.phase + PI * side as f32;
        let swing = self.stride * elementary::sin(phase);
        let bend = 0.15 + 0.9 * self.stride * elementary::cos(phase).max(0.0);
        let spread = if self.turn == 0.0 { [0.055, -0.055][side] * self.stout } else { 0.0 };
        let face = self.turn;
        // Seen from the front a lifted leg is shorter instead of turned.
        let short = if face == 0.0 { 0.25 * bend } else { 0.0 };
        let hip = [spread, 0.5];
        let knee = [hip[0] + face * 0.24 * elementary::sin(swing), hip[1] - 0.24 * elementary::cos(swing)];
        let shin = swing - bend;
        [
            hip,
            knee,
            [
                knee[0] + face * 0.22 * elementary::sin(shin),
                knee[1] - (0.22 - 0.2 * short) * elementary::cos(shin),
            ],
        ]
    }

    fn paint_leg(&self, canvas: &mut Canvas, [hip, knee, ankle]: [Point; 3], light: f32) {
        let h = self.height;
        let toe = [ankle[0] + (0.07 * self.turn) * h, ankle[1] + 0.012 * h];
        canvas.paint(&Shape::limb(ankle, toe, 0.024 * h, 0.018 * h), shade(self.shoes, light));
        let bare = matches!(self.lower, Lower::Skirt);
        let color = shade(if bare { self.skin } else { self.bottom }, light);
        let width = h * self.stout * if bare { 0.85 } else { 1.0 };
        canvas.paint(&Shape::limb(knee, ankle, 0.036 * width, 0.027 * width), color);
        canvas.paint(&Shape::limb(hip, knee, 0.058 * width, 0.042 * width), color);
    }

    fn paint_torso(&self, canvas: &mut Canvas, lift: f32) {
        let h = self.height;
        let at = |right: f32, up: f32| self.at(right, up - lift);
        // Wider from the front than from the side.
        let wide = self.stout * if self.turn == 0.0 { 1.0 } else { 0.68 };
        let trapezoid = |top: f32, up: f32, bottom: f32, down: f32| {
            [at(-top * wide, up), at(top * wide, up), at(bottom * wide, down), at(-bottom * wide, down)]
        };
        match self.lower {
            Lower::Trousers => {}
            Lower::Skirt => {
                canvas.paint(&Shape::polygon(trapezoid(0.07, 0.55, 0.13, 0.27), 0.02 * h), self.bottom)
            }
            Lower::Coat => canvas
                .paint(&Shape::polygon(trapezoid(0.08, 0.6, 0.12, 0.24), 0.02 * h), shade(self.top, 0.95)),
        }
        canvas.paint(&Shape::polygon(trapezoid(0.105, 0.795, 0.078, 0.5), 0.032 * h), self.top);
        canvas.tint(&Shape::polygon(trapezoid(0.10, 0.62, 0.085, 0.5), 0.02 * h), shade(self.top, 0.6), 0.3);
        if let Some(color) = self.bag {
            let side = if self.turn == 0.0 { 0.15 } else { -0.12 * self.turn };
            let [x, y] = at(side, if self.turn == 0.0 { 0.45 } else { 0.66 });
            let (rx, ry) = (0.035 * h, 0.07 * h);
            canvas.paint(
                &Shape::polygon(
                    [[x - rx, y - ry], [x + rx, y - ry], [x + rx, y + ry], [x - rx, y + ry]],
                    0.02 * h,
                ),
                color,
            );
        }
    }

    fn paint_head(&self, canvas: &mut Canvas, lift: f32) {
        let h = self.height;
        let lean = 0.012 * self.turn;
        let at = |right: f32, up: f32| self.at(right + lean, up - lift);
        canvas
            .paint(&Shape::limb(at(0.0, 0.82), at(0.0, 0.88), 0.028 * h, 0.028 * h), shade(self.skin, 0.85));
        let [x, y] = at(0.0, 0.925);
        let hair = |canvas: &mut Canvas| {
            let back = -0.016 * self.turn * h;
            canvas.paint(&Shape::ellipse(x + back, y - 0.018 * h, 0.058 * h, 0.062 * h), self.hair);
            if self.long_hair {
                let ends = [[x + 1.5 * back, y], [x + 2.0 * back, y + 0.09 * h]];
                canvas.paint(&Shape::limb(ends[0], ends[1], 0.048 * h, 0.04 * h), self.hair);
            }
        };
        let behind = self.turn == 0.0 && self.from_behind;
        if !behind {
            hair(canvas);
        }
        let forward = 0.012 * self.turn * h;
        canvas.paint(&Shape::ellipse(x + forward, y + 0.01 * h, 0.048 * h, 0.06 * h), self.skin);
        if behind {
            hair(canvas);
        } else if self.turn == 0.0 {
            for eye in [-0.018, 0.018] {
                let pupil = Shape::ellipse(x + eye * h, y + 0.005 * h, 0.007 * h, 0.009 * h);
                canvas.tint(&pupil, [0.05; 3], 0.9);
            }
        } else {
            let nose = [x + 0.05 * self.turn * h, y + 0.014 * h];
            canvas.paint(&Shape::ellipse(nose[0], nose[1], 0.015 * h, 0.012 * h), self.skin);
        }
        if let Some(color) = self.hat {
            let brim = [at(-0.07, 0.955), at(0.07 + 0.02 * self.turn.abs(), 0.955)];
            canvas.paint(&Shape::limb(brim[0], brim[1], 0.012 * h, 0.012 * h), shade(color, 0.8));
            canvas.paint(&Shape::ellipse(x, y - 0.05 * h, 0.055 * h, 0.04 * h), color);
        }
    }

    fn paint_arm(&self, canvas: &mut Canvas, side: usize, lift: f32, light: f32) {
        let h = self.height;
        let swing = -0.9 * self.stride * elementary::sin(self.phase + PI * side as f32);
        let (shoulder, elbow, hand) = if self.turn == 0.0 {
            let out = [1.0, -1.0][side] * self.stout;
            let short = 0.03 * swing;
            ([0.118 * out, 0.785], [0.145 * out, 0.63 + short], [0.14 * out, 0.48 + 2.0 * short])
        } else {
            let elbow = [self.turn * 0.15 * elementary::sin(swing), 0.78 - 0.15 * elementary::cos(swing)];
            let bent = swing + 0.35;
            let hand = [
                elbow[0] + self.turn * 0.15 * elementary::sin(bent),
                elbow[1] - 0.15 * elementary::cos(bent),
            ];
            ([0.0, 0.78], elbow, hand)
        };
        let [shoulder, elbow, hand] = [shoulder, elbow, hand].map(|[x, y]| self.at(x, y - lift));
        let sleeve = shade(self.top, light);
        canvas
            .paint(&Shape::ellipse(hand[0], hand[1], 0.024 * h, 0.026 * h), shade(self.skin, light.min(1.0)));
        canvas.paint(&Shape::limb(elbow, hand, 0.029 * h, 0.022 * h), sleeve);
        canvas.paint(&Shape::limb(shoulder, elbow, 0.038 * h, 0.03 * h), sleeve);
    }
}

/// A color of clothes: any hue, mostly muted.
fn cloth(rng: &mut Rng) -> Color {
    let value = rng.range(0.12, 0.95) as f32;
    let vivid = rng.range(0.0, 0.85) as f32;
    let hue = rng.range(0.0, 6.0) as f32;
    [0.0, 2.0, 4.0].map(|offset| {
        let distance = (hue + offset) % 6.0;
        let part = ((distance - 3.0).abs() - 1.0).clamp(0.0, 1.0);
        value * (1.0 - vivid + vivid * part)
    })
}
