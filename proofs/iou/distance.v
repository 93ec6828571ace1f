(** Claim I4: 1 - IoU satisfies the triangle inequality.

    D(a, b) = |a| + |b| - 2 |a /\ b| is the area of the symmetric difference, and
    1 - IoU = 2 D / (|a| + |b| + D), which is Steinhaus' transform of D by the empty set.
    So two triangle inequalities remain: that of D for boxes, and that of the transform. *)

Require Import Reals Lra Psatz.
Open Scope R_scope.

Record box := Box { x1 : R; x2 : R; y1 : R; y2 : R }.

Definition proper (a : box) : Prop := x1 a < x2 a /\ y1 a < y2 a.
Definition overlap (p q s t : R) : R := Rmax 0 (Rmin q t - Rmax p s).
Definition area (a : box) : R := (x2 a - x1 a) * (y2 a - y1 a).
Definition inter (a b : box) : R :=
  overlap (x1 a) (x2 a) (x1 b) (x2 b) * overlap (y1 a) (y2 a) (y1 b) (y2 b).
Definition union (a b : box) : R := area a + area b - inter a b.
Definition iou (a b : box) : R := inter a b / union a b.
Definition D (a b : box) : R := area a + area b - 2 * inter a b.

Ltac cases := unfold overlap, Rmax, Rmin in *; repeat destruct Rle_dec; try lra.

Lemma overlap_bounds p q s t : p <= q -> s <= t ->
  0 <= overlap p q s t /\ overlap p q s t <= q - p /\ overlap p q s t <= t - s.
Proof. intros; cases. Qed.

(** Intervals: |a /\ b| + |b /\ c| <= |b| + |a /\ c|. *)
Lemma interval_triangle p q s t v w : p <= q -> s <= t -> v <= w ->
  overlap p q s t + overlap s t v w <= (t - s) + overlap p q v w.
Proof. intros; cases. Qed.

(** The same for products of intervals: from each axis to the plane. *)
Lemma product_triangle p q w r p' q' w' r' :
  0 <= p <= w -> 0 <= q <= w -> 0 <= r -> p + q <= w + r ->
  0 <= p' <= w' -> 0 <= q' <= w' -> 0 <= r' -> p' + q' <= w' + r' ->
  p * p' + q * q' <= w * w' + r * r'.
Proof.
  intros Hp Hq Hr H Hp' Hq' Hr' H'.
  assert (0 <= r * r') by (apply Rmult_le_pos; lra).
  destruct (Rle_dec (p + q) w).
  { assert (p * p' <= p * w') by (apply Rmult_le_compat_l; lra).
    assert (q * q' <= q * w') by (apply Rmult_le_compat_l; lra).
    assert ((p + q) * w' <= w * w') by (apply Rmult_le_compat_r; lra). lra. }
  destruct (Rle_dec (p' + q') w').
  { assert (p * p' <= w * p') by (apply Rmult_le_compat_r; lra).
    assert (q * q' <= w * q') by (apply Rmult_le_compat_r; lra).
    assert (w * (p' + q') <= w * w') by (apply Rmult_le_compat_l; lra). lra. }
  assert ((p + q - w) * (p' + q' - w') <= r * r') by (apply Rmult_le_compat; lra).
  assert (0 <= (w - p) * (w' - q')) by (apply Rmult_le_pos; lra).
  assert (0 <= (w - q) * (w' - p')) by (apply Rmult_le_pos; lra). lra.
Qed.

Theorem i4_difference_triangle a b c : proper a -> proper b -> proper c ->
  D a c <= D a b + D b c.
Proof.
  intros (A1 & A2) (B1 & B2) (C1 & C2).
  pose proof (product_triangle
    (overlap (x1 a) (x2 a) (x1 b) (x2 b)) (overlap (x1 b) (x2 b) (x1 c) (x2 c))
    (x2 b - x1 b) (overlap (x1 a) (x2 a) (x1 c) (x2 c))
    (overlap (y1 a) (y2 a) (y1 b) (y2 b)) (overlap (y1 b) (y2 b) (y1 c) (y2 c))
    (y2 b - y1 b) (overlap (y1 a) (y2 a) (y1 c) (y2 c))) as P.
  pose proof (overlap_bounds (x1 a) (x2 a) (x1 b) (x2 b) ltac:(lra) ltac:(lra)).
  pose proof (overlap_bounds (x1 b) (x2 b) (x1 c) (x2 c) ltac:(lra) ltac:(lra)).
  pose proof (overlap_bounds (x1 a) (x2 a) (x1 c) (x2 c) ltac:(lra) ltac:(lra)).
  pose proof (overlap_bounds (y1 a) (y2 a) (y1 b) (y2 b) ltac:(lra) ltac:(lra)).
  pose proof (overlap_bounds (y1 b) (y2 b) (y1 c) (y2 c) ltac:(lra) ltac:(lra)).
  pose proof (overlap_bounds (y1 a) (y2 a) (y1 c) (y2 c) ltac:(lra) ltac:(lra)).
  unfold D, inter, area in *.
  enough (overlap (x1 a) (x2 a) (x1 b) (x2 b) * overlap (y1 a) (y2 a) (y1 b) (y2 b)
    + overlap (x1 b) (x2 b) (x1 c) (x2 c) * overlap (y1 b) (y2 b) (y1 c) (y2 c)
    <= (x2 b - x1 b) * (y2 b - y1 b)
    + overlap (x1 a) (x2 a) (x1 c) (x2 c) * overlap (y1 a) (y2 a) (y1 c) (y2 c)) by lra.
  apply P; try lra; apply interval_triangle; lra.
Qed.

(** The Steinhaus transform of any semimetric d by a point p keeps the triangle inequality:
    below, dxp = d(x, p) and so on. *)
Theorem i4_steinhaus dxy dyz dxz dxp dyp dzp :
  0 <= dxy -> 0 <= dyz -> 0 <= dxz -> 0 < dxp -> 0 < dyp -> 0 < dzp ->
  dxz <= dxy + dyz -> dyp <= dxy + dxp -> dyp <= dyz + dzp ->
  2 * dxz / (dxp + dzp + dxz) <=
  2 * dxy / (dxp + dyp + dxy) + 2 * dyz / (dyp + dzp + dyz).
Proof.
  intros. set (s := dxy + dyz).
  assert (Q : forall n u v, 0 <= n -> 0 < u -> u <= v -> n / v <= n / u).
  { intros n u v Hn Hu Huv. apply Rmult_le_compat_l; [assumption |].
    apply Rinv_le_contravar; assumption. }
  (* t / (k + t) grows with t *)
  assert (S1 : 2 * dxz / (dxp + dzp + dxz) <= 2 * s / (dxp + dzp + s)).
  { assert (L : forall t, 0 <= t -> 2 * t / (dxp + dzp + t) = 2 - 2 * (dxp + dzp) / (dxp + dzp + t))
      by (intros; field; lra).
    rewrite !L by (unfold s; lra). pose proof (Q (2 * (dxp + dzp)) (dxp + dzp + dxz)
      (dxp + dzp + s) ltac:(lra) ltac:(lra) ltac:(unfold s; lra)). lra. }
  assert (S2 : 2 * s / (dxp + dzp + s) = 2 * dxy / (dxp + dzp + s) + 2 * dyz / (dxp + dzp + s))
    by (unfold s; field; lra).
  pose proof (Q (2 * dxy) (dxp + dyp + dxy) (dxp + dzp + s) ltac:(lra) ltac:(lra) ltac:(unfold s; lra)).
  pose proof (Q (2 * dyz) (dyp + dzp + dyz) (dxp + dzp + s) ltac:(lra) ltac:(lra) ltac:(unfold s; lra)).
  unfold s in *. lra.
Qed.

Theorem i4_triangle a b c : proper a -> proper b -> proper c ->
  1 - iou a c <= (1 - iou a b) + (1 - iou b c).
Proof.
  intros Ha Hb Hc.
  assert (S : forall a b, proper a -> proper b ->
    0 < area a /\ 0 < area b /\ inter a b <= area a /\ inter a b <= area b /\
    1 - iou a b = 2 * D a b / (area a + area b + D a b)).
  { clear. intros a b (A1 & A2) (B1 & B2).
    pose proof (overlap_bounds (x1 a) (x2 a) (x1 b) (x2 b) ltac:(lra) ltac:(lra)) as (X0 & XA & XB).
    pose proof (overlap_bounds (y1 a) (y2 a) (y1 b) (y2 b) ltac:(lra) ltac:(lra)) as (Y0 & YA & YB).
    assert (PA : 0 < area a) by (apply Rmult_lt_0_compat; lra).
    assert (PB : 0 < area b) by (apply Rmult_lt_0_compat; lra).
    assert (IA : inter a b <= area a) by (apply Rmult_le_compat; assumption).
    assert (IB : inter a b <= area b) by (apply Rmult_le_compat; assumption).
    repeat split; try assumption. unfold iou, union, D. field. split; lra. }
  destruct (S a b Ha Hb) as (A0 & B0 & Iab & Iba & ->).
  destruct (S b c Hb Hc) as (_ & C0 & Ibc & Icb & ->).
  destruct (S a c Ha Hc) as (_ & _ & Iac & Ica & ->).
  pose proof (i4_difference_triangle a b c Ha Hb Hc).
  apply i4_steinhaus; try assumption; unfold D in *; lra.
Qed.

(** Control: IoU itself is not a distance; and "IoU(a,c) >= IoU(a,b) IoU(b,c)", another
    inequality one might hope for, is false: b = [0,2], a = [0,1], c = [1,2] (height 1). *)
Theorem i4_control_product :
  ~ forall a b c, proper a -> proper b -> proper c -> iou a b * iou b c <= iou a c.
Proof.
  intros H. specialize (H (Box 0 1 0 1) (Box 0 2 0 1) (Box 1 2 0 1)).
  unfold proper in H. cbn in H. specialize (H ltac:(lra) ltac:(lra) ltac:(lra)).
  unfold iou, union, inter, area in H. cbn in H.
  replace (overlap 0 1 0 2) with 1 in H by (clear; cases).
  replace (overlap 0 2 1 2) with 1 in H by (clear; cases).
  replace (overlap 0 1 1 2) with 0 in H by (clear; cases).
  replace (overlap 0 1 0 1) with 1 in H by (clear; cases). lra.
Qed.

Definition theorems :=
  (@i4_difference_triangle, @i4_steinhaus, @i4_triangle, @i4_control_product).

Print Assumptions theorems.
