(** Claims I1, I3, I4, I7.

    A box is [x1, x2] x [y1, y2]. The overlap of two intervals is
    max(0, min(ends) - max(starts)), I the product of both overlaps, U = A + B - I,
    and IoU = I / U. Per axis 0 <= overlap <= both lengths; so 0 <= I <= min(A, B) <= U. *)

Require Import Reals Lra.
Open Scope R_scope.

Record box := Box { x1 : R; x2 : R; y1 : R; y2 : R }.

Definition proper (a : box) : Prop := x1 a < x2 a /\ y1 a < y2 a.
Definition ordered (a : box) : Prop := x1 a <= x2 a /\ y1 a <= y2 a.

Definition overlap (p q s t : R) : R := Rmax 0 (Rmin q t - Rmax p s).
Definition area (a : box) : R := (x2 a - x1 a) * (y2 a - y1 a).
Definition inter (a b : box) : R :=
  overlap (x1 a) (x2 a) (x1 b) (x2 b) * overlap (y1 a) (y2 a) (y1 b) (y2 b).
Definition union (a b : box) : R := area a + area b - inter a b.
Definition iou (a b : box) : R := inter a b / union a b.

Ltac cases := unfold overlap, Rmax, Rmin in *; repeat destruct Rle_dec; try lra.

(** ** One axis *)

Lemma overlap_bounds p q s t : p <= q -> s <= t ->
  0 <= overlap p q s t /\ overlap p q s t <= q - p /\ overlap p q s t <= t - s.
Proof. intros; cases. Qed.

Lemma overlap_sym p q s t : overlap p q s t = overlap s t p q.
Proof. cases. Qed.

Lemma overlap_self p q : p <= q -> overlap p q p q = q - p.
Proof. intros; cases. Qed.

Lemma overlap_full p q s t : p < q -> s < t ->
  overlap p q s t = q - p -> overlap p q s t = t - s -> p = s /\ q = t.
Proof. intros; cases. Qed.

Lemma overlap_nested p q s t : s <= p -> p <= q -> q <= t -> overlap p q s t = q - p.
Proof. intros; cases. Qed.

Lemma overlap_apart p q s t : q <= s -> p <= q -> s <= t -> overlap p q s t = 0.
Proof. intros; cases. Qed.

(** ** I1 *)

Lemma ordered_of_proper a : proper a -> ordered a.
Proof. intros (H & K); split; lra. Qed.

Lemma inter_bounds a b : ordered a -> ordered b ->
  0 <= inter a b /\ inter a b <= area a /\ inter a b <= area b.
Proof.
  intros (Ha & Ha') (Hb & Hb').
  pose proof (overlap_bounds _ _ _ _ Ha Hb) as (X0 & XA & XB).
  pose proof (overlap_bounds _ _ _ _ Ha' Hb') as (Y0 & YA & YB).
  unfold inter, area. repeat split;
    [apply Rmult_le_pos | apply Rmult_le_compat | apply Rmult_le_compat]; assumption.
Qed.

Lemma area_pos a : proper a -> 0 < area a.
Proof. intros (H & K). apply Rmult_lt_0_compat; lra. Qed.

Lemma union_pos a b : proper a -> proper b -> 0 < union a b.
Proof.
  intros Ha Hb. pose proof (area_pos a Ha). pose proof (area_pos b Hb).
  pose proof (inter_bounds a b (ordered_of_proper a Ha) (ordered_of_proper b Hb)).
  unfold union. lra.
Qed.

(** Degenerate boxes are allowed, as long as the union has positive area. *)
Theorem i1_bounds a b : ordered a -> ordered b -> 0 < union a b -> 0 <= iou a b <= 1.
Proof.
  intros Ha Hb HU. pose proof (inter_bounds a b Ha Hb) as (H0 & HA & HB).
  assert (HI : inter a b <= union a b) by (unfold union; lra).
  unfold iou. split.
  - apply Rmult_le_pos; [assumption | left; apply Rinv_0_lt_compat; assumption].
  - apply (Rmult_le_reg_r (union a b)); [assumption |]. unfold Rdiv.
    rewrite Rmult_assoc, Rinv_l by lra. lra.
Qed.

Theorem i1_bounds_proper a b : proper a -> proper b -> 0 <= iou a b <= 1.
Proof.
  intros Ha Hb. apply i1_bounds; [| | apply union_pos]; auto using ordered_of_proper.
Qed.

(** Control: without the clamp at 0, two boxes apart on both axes count as overlapping
    and the quotient leaves [0, 1]. *)
Theorem i1_control_no_clamp :
  let free p q s t := Rmin q t - Rmax p s in
  ~ forall a b, proper a -> proper b ->
    let i := free (x1 a) (x2 a) (x1 b) (x2 b) * free (y1 a) (y2 a) (y1 b) (y2 b) in
    0 <= i / (area a + area b - i) <= 1.
Proof.
  intros free H. specialize (H (Box 0 1 0 1) (Box 3 4 3 4)). unfold free, proper in H.
  cbn [x1 x2 y1 y2] in H. specialize (H ltac:(lra) ltac:(lra)). unfold area in H.
  cbn [x1 x2 y1 y2] in H. rewrite Rmin_left, Rmax_right in H by lra. lra.
Qed.

(** ** I3 and I4 *)

Theorem i3_symmetric a b : iou a b = iou b a.
Proof.
  unfold iou, union, inter. rewrite (overlap_sym (x1 a)), (overlap_sym (y1 a)).
  f_equal. ring.
Qed.

Theorem i3_self a : proper a -> iou a a = 1.
Proof.
  intros Ha. pose proof (area_pos a Ha). destruct Ha as (H1 & H2).
  unfold iou, union, inter. rewrite !overlap_self by lra. fold (area a). field. lra.
Qed.

Lemma iou_one a b : proper a -> proper b -> iou a b = 1 ->
  inter a b = area a /\ inter a b = area b.
Proof.
  intros Ha Hb H. pose proof (union_pos a b Ha Hb) as HU.
  pose proof (inter_bounds a b (ordered_of_proper a Ha) (ordered_of_proper b Hb)).
  assert (E : inter a b = union a b).
  { transitivity (iou a b * union a b); [unfold iou; field; lra | rewrite H; ring]. }
  unfold union in E. lra.
Qed.

Theorem i4_one_iff_equal a b : proper a -> proper b -> (iou a b = 1 <-> a = b).
Proof.
  intros Ha Hb. split; [| intros <-; apply i3_self; assumption].
  intros H. destruct (iou_one a b Ha Hb H) as (EA & EB).
  destruct Ha as (A1 & A2), Hb as (B1 & B2).
  pose proof (overlap_bounds (x1 a) (x2 a) (x1 b) (x2 b) ltac:(lra) ltac:(lra)) as (X0 & XA & XB).
  pose proof (overlap_bounds (y1 a) (y2 a) (y1 b) (y2 b) ltac:(lra) ltac:(lra)) as (Y0 & YA & YB).
  unfold inter, area in EA, EB.
  set (p := overlap (x1 a) (x2 a) (x1 b) (x2 b)) in *.
  set (q := overlap (y1 a) (y2 a) (y1 b) (y2 b)) in *.
  assert (p = x2 a - x1 a /\ q = y2 a - y1 a) as (P & Q) by (split; nra).
  assert (p = x2 b - x1 b /\ q = y2 b - y1 b) as (P' & Q') by (split; nra).
  destruct (overlap_full (x1 a) (x2 a) (x1 b) (x2 b)) as (E1 & E2); try assumption.
  destruct (overlap_full (y1 a) (y2 a) (y1 b) (y2 b)) as (E3 & E4); try assumption.
  destruct a, b; cbn in *; congruence.
Qed.

Theorem i4_touching a b : ordered a -> ordered b -> x2 a <= x1 b -> iou a b = 0.
Proof.
  intros (Ha & _) (Hb & _) H. unfold iou, inter. rewrite overlap_apart by assumption.
  unfold Rdiv. ring.
Qed.

Theorem i4_nested a b : proper a -> proper b ->
  x1 b <= x1 a -> x2 a <= x2 b -> y1 b <= y1 a -> y2 a <= y2 b ->
  iou a b = area a / area b.
Proof.
  intros Ha Hb. intros. pose proof (area_pos b Hb). destruct Ha.
  unfold iou, union, inter. rewrite !overlap_nested by lra. fold (area a).
  replace (area a + area b - area a) with (area b) by ring. reflexivity.
Qed.

Theorem i4_ratio_of_areas a b : proper a -> proper b ->
  iou a b <= Rmin (area a) (area b) / Rmax (area a) (area b).
Proof.
  intros Ha Hb. pose proof (area_pos a Ha). pose proof (area_pos b Hb).
  pose proof (inter_bounds a b (ordered_of_proper a Ha) (ordered_of_proper b Hb)) as (I0 & IA & IB).
  unfold iou, Rdiv. apply Rmult_le_compat; try assumption.
  - left. apply Rinv_0_lt_compat, union_pos; assumption.
  - apply Rmin_glb; assumption.
  - apply Rinv_le_contravar; unfold union, Rmax; destruct Rle_dec; lra.
Qed.

(** ** I7: a box strictly inside another can move a little, and IoU does not change;
    boxes apart can move a little, and IoU stays 0. *)

Definition shift (a : box) (s t : R) : box := Box (x1 a + s) (x2 a + s) (y1 a + t) (y2 a + t).

Theorem i7_nested_plateau a b : proper a -> proper b ->
  x1 b < x1 a -> x2 a < x2 b -> y1 b < y1 a -> y2 a < y2 b ->
  exists d, 0 < d /\ forall s t, Rabs s < d -> Rabs t < d -> iou (shift a s t) b = iou a b.
Proof.
  intros Ha Hb Hx1 Hx2 Hy1 Hy2.
  exists (Rmin (Rmin (x1 a - x1 b) (x2 b - x2 a)) (Rmin (y1 a - y1 b) (y2 b - y2 a))).
  split; [repeat apply Rmin_glb_lt; lra |]. intros s t Hs Ht.
  apply Rabs_def2 in Hs. apply Rabs_def2 in Ht.
  pose proof (Rmin_l (Rmin (x1 a - x1 b) (x2 b - x2 a)) (Rmin (y1 a - y1 b) (y2 b - y2 a))).
  pose proof (Rmin_r (Rmin (x1 a - x1 b) (x2 b - x2 a)) (Rmin (y1 a - y1 b) (y2 b - y2 a))).
  pose proof (Rmin_l (x1 a - x1 b) (x2 b - x2 a)). pose proof (Rmin_r (x1 a - x1 b) (x2 b - x2 a)).
  pose proof (Rmin_l (y1 a - y1 b) (y2 b - y2 a)). pose proof (Rmin_r (y1 a - y1 b) (y2 b - y2 a)).
  assert (proper (shift a s t)) by (destruct Ha; split; cbn; lra).
  rewrite !i4_nested by (assumption || cbn; lra).
  unfold area, shift; cbn. f_equal. ring.
Qed.

Theorem i7_disjoint_plateau a b : proper a -> proper b -> x2 a < x1 b ->
  forall s t, Rabs s < x1 b - x2 a -> iou (shift a s t) b = iou a b.
Proof.
  intros Ha Hb H s t Hs. apply Rabs_def2 in Hs. destruct Ha, Hb.
  rewrite !i4_touching; try (split; cbn; lra); cbn; lra.
Qed.

Definition theorems :=
  (@i1_bounds, @i1_bounds_proper, @i1_control_no_clamp, @i3_symmetric, @i3_self,
   @i4_one_iff_equal, @i4_touching, @i4_nested, @i4_ratio_of_areas, @i7_nested_plateau,
   @i7_disjoint_plateau).

Print Assumptions theorems.
