(** Claim I9: the bounds of GIoU, DIoU and CIoU.

    GIoU = J - (H - U) / H, H the area of the smallest box around both.
    DIoU = J - rho^2 / d^2, rho the distance of the centres, d the hull's diagonal.
    CIoU = DIoU - v^2 / (1 - J + v), v in [0, 1) from the difference of the aspect ratios. *)

Require Import Reals Lra Psatz.
Open Scope R_scope.

Record box := Box { x1 : R; x2 : R; y1 : R; y2 : R }.

Definition proper (a : box) : Prop := x1 a < x2 a /\ y1 a < y2 a.
Definition overlap (p q s t : R) : R := Rmax 0 (Rmin q t - Rmax p s).
Definition extent (p q s t : R) : R := Rmax q t - Rmin p s.
Definition area (a : box) : R := (x2 a - x1 a) * (y2 a - y1 a).
Definition inter (a b : box) : R :=
  overlap (x1 a) (x2 a) (x1 b) (x2 b) * overlap (y1 a) (y2 a) (y1 b) (y2 b).
Definition union (a b : box) : R := area a + area b - inter a b.
Definition iou (a b : box) : R := inter a b / union a b.

Definition hull_width a b := extent (x1 a) (x2 a) (x1 b) (x2 b).
Definition hull_height a b := extent (y1 a) (y2 a) (y1 b) (y2 b).
Definition hull (a b : box) : R := hull_width a b * hull_height a b.

Definition giou (a b : box) : R := iou a b - (hull a b - union a b) / hull a b.

Definition distance2 (a b : box) : R :=
  ((x1 a + x2 a) / 2 - (x1 b + x2 b) / 2) ^ 2 + ((y1 a + y2 a) / 2 - (y1 b + y2 b) / 2) ^ 2.
Definition diagonal2 (a b : box) : R := hull_width a b ^ 2 + hull_height a b ^ 2.
Definition diou (a b : box) : R := iou a b - distance2 a b / diagonal2 a b.

Definition aspect (a b : box) : R :=
  4 / PI ^ 2 * (atan ((x2 b - x1 b) / (y2 b - y1 b)) - atan ((x2 a - x1 a) / (y2 a - y1 a))) ^ 2.
Definition ciou (a b : box) : R := diou a b - aspect a b ^ 2 / (1 - iou a b + aspect a b).

Ltac cases := unfold overlap, extent, Rmax, Rmin in *; repeat destruct Rle_dec; try lra.

Lemma axis p q s t : p < q -> s < t ->
  0 <= overlap p q s t /\ overlap p q s t <= q - p /\ overlap p q s t <= t - s /\
  q - p <= extent p q s t /\ t - s <= extent p q s t /\
  (q - p) + (t - s) - overlap p q s t <= extent p q s t /\
  - extent p q s t < (p + q) / 2 - (s + t) / 2 < extent p q s t.
Proof. intros; cases. Qed.

(** From the axes to the plane: |a| + |b| - |a /\ b| <= |hull|, because on each axis
    v + w - o <= e. *)
Lemma union_in_hull v w o e v' w' o' e' :
  0 <= o -> o <= v -> o <= w -> v <= e -> w <= e -> v + w - o <= e ->
  0 <= o' -> o' <= v' -> o' <= w' -> v' <= e' -> w' <= e' -> v' + w' - o' <= e' ->
  v * v' + w * w' - o * o' <= e * e'.
Proof.
  intros. assert ((v + w - o) * (v' + w' - o') <= e * e') by (apply Rmult_le_compat; lra).
  assert (0 <= (v - o) * (w' - o')) by (apply Rmult_le_pos; lra).
  assert (0 <= (w - o) * (v' - o')) by (apply Rmult_le_pos; lra). lra.
Qed.

Lemma facts a b : proper a -> proper b ->
  0 < area a /\ 0 < area b /\ 0 <= inter a b /\ 0 < union a b /\ union a b <= hull a b /\
  0 <= iou a b <= 1 /\ 0 <= distance2 a b < diagonal2 a b.
Proof.
  intros (A1 & A2) (B1 & B2).
  pose proof (axis _ _ _ _ A1 B1) as (X0 & XA & XB & XC & XD & XE & XF).
  pose proof (axis _ _ _ _ A2 B2) as (Y0 & YA & YB & YC & YD & YE & YF).
  assert (PA : 0 < area a) by (apply Rmult_lt_0_compat; lra).
  assert (PB : 0 < area b) by (apply Rmult_lt_0_compat; lra).
  assert (PI0 : 0 <= inter a b) by (apply Rmult_le_pos; assumption).
  assert (IA : inter a b <= area a) by (apply Rmult_le_compat; assumption).
  assert (IB : inter a b <= area b) by (apply Rmult_le_compat; assumption).
  assert (PU : 0 < union a b) by (unfold union; lra).
  assert (UH : union a b <= hull a b).
  { unfold union, hull, hull_width, hull_height, inter, area. apply union_in_hull; assumption. }
  assert (J : 0 <= iou a b <= 1).
  { unfold iou. split.
    - apply Rmult_le_pos; [assumption | left; apply Rinv_0_lt_compat; assumption].
    - apply (Rmult_le_reg_r (union a b)); [assumption |]. unfold Rdiv.
      rewrite Rmult_assoc, Rinv_l by lra. rewrite Rmult_1_l, Rmult_1_r.
      unfold union in *. lra. }
  repeat split; try assumption; try apply J.
  - unfold distance2. apply Rplus_le_le_0_compat; apply pow2_ge_0.
  - unfold distance2, diagonal2, hull_width, hull_height.
    assert (S : forall d e, - e < d < e -> d ^ 2 < e ^ 2) by (intros; nra).
    apply Rplus_lt_compat; apply S; assumption.
Qed.

Lemma quotient_bounds n d : 0 <= n -> n < d -> 0 <= n / d < 1.
Proof.
  intros. split.
  - apply Rmult_le_pos; [assumption | left; apply Rinv_0_lt_compat; lra].
  - apply (Rmult_lt_reg_r d); [lra |]. unfold Rdiv. rewrite Rmult_assoc, Rinv_l; lra.
Qed.

Theorem i9_giou_bounds a b : proper a -> proper b -> -1 < giou a b <= iou a b.
Proof.
  intros Ha Hb. pose proof (facts a b Ha Hb).
  pose proof (quotient_bounds (hull a b - union a b) (hull a b)). unfold giou. lra.
Qed.

Theorem i9_giou_equality a b : proper a -> proper b ->
  (giou a b = iou a b <-> union a b = hull a b).
Proof.
  intros Ha Hb. pose proof (facts a b Ha Hb). unfold giou. split; intros E.
  - assert (Z : (hull a b - union a b) / hull a b * hull a b = 0)
      by (replace ((hull a b - union a b) / hull a b) with 0 by lra; ring).
    unfold Rdiv in Z. rewrite Rmult_assoc, Rinv_l in Z by lra. lra.
  - rewrite E. field. lra.
Qed.

Theorem i9_diou_bounds a b : proper a -> proper b -> -1 < diou a b <= iou a b.
Proof.
  intros Ha Hb. pose proof (facts a b Ha Hb).
  pose proof (quotient_bounds (distance2 a b) (diagonal2 a b)). unfold diou. lra.
Qed.

Lemma aspect_bounds a b : proper a -> proper b -> 0 <= aspect a b < 1.
Proof.
  intros (A1 & A2) (B1 & B2). unfold aspect.
  assert (P : forall s t, 0 < s -> 0 < t -> 0 < atan (s / t) < PI / 2).
  { intros s t Hs Ht. split; [| apply atan_bound].
    rewrite <- atan_0. apply atan_increasing, Rdiv_lt_0_compat; assumption. }
  pose proof (P (x2 b - x1 b) (y2 b - y1 b) ltac:(lra) ltac:(lra)).
  pose proof (P (x2 a - x1 a) (y2 a - y1 a) ltac:(lra) ltac:(lra)).
  set (f := atan ((x2 b - x1 b) / (y2 b - y1 b))) in *.
  set (g := atan ((x2 a - x1 a) / (y2 a - y1 a))) in *. pose proof PI_RGT_0.
  replace (4 / PI ^ 2 * (f - g) ^ 2) with ((2 * (f - g)) ^ 2 / PI ^ 2) by (field; lra).
  apply quotient_bounds; [apply pow2_ge_0 |].
  assert (0 < (PI - 2 * (f - g)) * (PI + 2 * (f - g))) by (apply Rmult_lt_0_compat; lra). lra.
Qed.

(** [1 - J + v = 0] only for J = 1, v = 0, where the term is read as 0 (as Coq's 0 / 0 is). *)
Theorem i9_ciou_bounds a b : proper a -> proper b -> -3 / 2 < ciou a b <= diou a b.
Proof.
  intros Ha Hb. pose proof (facts a b Ha Hb) as (_ & _ & _ & _ & _ & J & D).
  pose proof (aspect_bounds a b Ha Hb) as V.
  pose proof (quotient_bounds (distance2 a b) (diagonal2 a b) ltac:(lra) ltac:(lra)) as Q.
  unfold ciou, diou. set (j := iou a b) in *. set (v := aspect a b) in *.
  destruct (Req_dec v 0) as [-> | Hv].
  { replace (0 ^ 2 / (1 - j + 0)) with 0 by (unfold Rdiv; ring). lra. }
  set (w := v ^ 2 / (1 - j + v)).
  assert (W : w * (1 - j + v) = v ^ 2) by (unfold w; field; lra).
  assert (0 <= w) by (apply Rmult_le_pos; [nra | left; apply Rinv_0_lt_compat; lra]).
  assert (w < j + 1 / 2) by nra. lra.
Qed.

(** Boxes apart along x: moving the left one towards the right one raises GIoU. *)
Theorem i9_giou_has_a_slope_when_disjoint a b s : proper a -> proper b ->
  x2 a < x1 b -> 0 < s < x1 b - x2 a ->
  giou a b < giou (Box (x1 a + s) (x2 a + s) (y1 a) (y2 a)) b.
Proof.
  intros (A1 & A2) (B1 & B2) H Hs. set (m := Box _ _ _ _).
  assert (I0 : inter a b = 0).
  { unfold inter. replace (overlap (x1 a) (x2 a) (x1 b) (x2 b)) with 0 by cases. ring. }
  assert (I1 : inter m b = 0).
  { unfold inter, m; cbn. replace (overlap (x1 a + s) (x2 a + s) (x1 b) (x2 b)) with 0 by cases.
    ring. }
  assert (Am : area m = area a) by (unfold area, m; cbn; ring).
  assert (0 < area a) by (apply Rmult_lt_0_compat; lra).
  assert (0 < area b) by (apply Rmult_lt_0_compat; lra).
  set (h := hull_height a b).
  assert (0 < h) by (unfold h, hull_height; cases).
  assert (Ha : hull a b = (x2 b - x1 a) * h)
    by (unfold hull, hull_width, h; f_equal; cases).
  assert (Hm : hull m b = (x2 b - x1 a - s) * h)
    by (unfold hull, hull_width, h, hull_height, m; cbn; f_equal; cases).
  unfold giou, iou, union. rewrite I0, I1, Am, Ha, Hm.
  set (u := area a + area b) in *. assert (0 < u) by (unfold u; lra).
  assert (E : forall w, w <> 0 -> 0 / (u - 0) - (w - (u - 0)) / w = u / w - 1)
    by (intros; field; lra).
  assert (0 < (x2 b - x1 a) * h) by (apply Rmult_lt_0_compat; lra).
  assert (0 < (x2 b - x1 a - s) * h) by (apply Rmult_lt_0_compat; lra).
  rewrite !E by lra.
  apply Rplus_lt_compat_r, Rmult_lt_compat_l; [assumption |].
  apply Rinv_lt_contravar; [apply Rmult_lt_0_compat; assumption | nra].
Qed.

(** Control: "GIoU is never negative", and "GIoU = IoU for every pair". *)
Theorem i9_control_nonnegative : ~ forall a b, proper a -> proper b -> 0 <= giou a b.
Proof.
  intros H. specialize (H (Box 0 1 0 1) (Box 3 4 0 1)). unfold proper in H; cbn in H.
  specialize (H ltac:(lra) ltac:(lra)).
  unfold giou, iou, union, hull, hull_width, hull_height, inter, area in H; cbn in H.
  replace (overlap 0 1 3 4) with 0 in H by (clear; cases).
  replace (extent 0 1 3 4) with 4 in H by (clear; cases).
  replace (extent 0 1 0 1) with 1 in H by (clear; cases). lra.
Qed.

Definition theorems :=
  (@i9_giou_bounds, @i9_giou_equality, @i9_diou_bounds, @i9_ciou_bounds,
   @i9_giou_has_a_slope_when_disjoint, @i9_control_nonnegative).

Print Assumptions theorems.
