(** Claims I6, I5.

    Move one edge of a box by t and follow J = I / U. Where the moving edge passes an edge
    of the other box, I changes its slope in t, and J has two different one-sided
    derivatives: a kink. The gap is ih (A + B) / U^2 at a tie, ih / (A + B) at a touch. *)

Require Import Reals Lra.
Open Scope R_scope.

Definition overlap (p q s t : R) : R := Rmax 0 (Rmin q t - Rmax p s).

Ltac cases := unfold overlap, Rmax, Rmin in *; repeat destruct Rle_dec; try lra.

(** ** One-sided derivatives *)

(** [l] is the derivative of [f] at 0 from the side of the sign [s] (1 or -1). *)
Definition one_sided (f : R -> R) (s l : R) : Prop :=
  exists g d, 0 < d /\ (forall h, 0 <= h < d -> f (s * h) = g (s * h)) /\ derivable_pt_lim g 0 l.

Lemma derivative_is_one_sided f s l l' : s <> 0 ->
  derivable_pt_lim f 0 l -> one_sided f s l' -> l = l'.
Proof.
  intros Hs Hf (g & d & Hd & Hfg & Hg). destruct (Req_dec l l') as [| Hne]; [assumption | exfalso].
  assert (He : 0 < Rabs (l - l') / 2) by (pose proof (Rabs_pos_lt (l - l') ltac:(lra)); lra).
  destruct (Hf _ He) as (d1 & H1). destruct (Hg _ He) as (d2 & H2).
  pose proof (cond_pos d1). pose proof (cond_pos d2). pose proof (Rabs_pos_lt s Hs) as Hs'.
  set (m := Rmin d (Rmin (d1 / Rabs s) (d2 / Rabs s)) / 2).
  assert (P1 : 0 < d1 / Rabs s) by (apply Rdiv_lt_0_compat; assumption).
  assert (P2 : 0 < d2 / Rabs s) by (apply Rdiv_lt_0_compat; assumption).
  assert (M : 0 < m /\ m < d /\ m < d1 / Rabs s /\ m < d2 / Rabs s)
    by (unfold m, Rmin; repeat destruct Rle_dec; lra).
  destruct M as (M0 & Md & M1 & M2).
  assert (Hm : s * m <> 0) by (apply Rmult_integral_contrapositive; lra).
  assert (B : forall x, m < x / Rabs s -> Rabs (s * m) < x).
  { intros x Hx. rewrite Rabs_mult, (Rabs_pos_eq m) by lra.
    apply (Rmult_lt_compat_l (Rabs s)) in Hx; [| assumption].
    replace (Rabs s * (x / Rabs s)) with x in Hx by (field; lra). exact Hx. }
  specialize (H1 (s * m) Hm (B _ M1)). specialize (H2 (s * m) Hm (B _ M2)).
  rewrite Rplus_0_l in H1, H2. pose proof (Hfg 0 ltac:(lra)) as E0. rewrite Rmult_0_r in E0.
  rewrite Hfg, E0 in H1 by lra.
  apply Rabs_def2 in H1. apply Rabs_def2 in H2.
  unfold Rabs in *. destruct Rcase_abs; lra.
Qed.

Lemma kink f l r : one_sided f (-1) l -> one_sided f 1 r -> l <> r ->
  ~ exists d, derivable_pt_lim f 0 d.
Proof.
  intros Hl Hr Hne (d & Hd). apply Hne.
  rewrite <- (derivative_is_one_sided f (-1) d l) by (lra || assumption).
  apply (derivative_is_one_sided f 1); (lra || assumption).
Qed.

(** The derivative at 0 of a quotient of affine functions. *)
Lemma mobius i p u q : u <> 0 ->
  derivable_pt_lim (fun t => (i + p * t) / (u + q * t)) 0 ((p * u - i * q) / u ^ 2).
Proof.
  intros Hu. assert (L : forall c k, derivable_pt_lim (fun t => c + k * t) 0 k).
  { intros c k eps He. exists (mkposreal 1 Rlt_0_1). intros h Hh _.
    replace ((c + k * (0 + h) - (c + k * 0)) / h - k) with 0 by (field; assumption).
    rewrite Rabs_R0. assumption. }
  replace ((p * u - i * q) / u ^ 2)
    with ((p * (u + q * 0) - q * (i + p * 0)) / Rsqr (u + q * 0))
    by (unfold Rsqr; field; assumption).
  apply (derivable_pt_lim_div (fun t => i + p * t) (fun t => u + q * t)); [apply L | apply L |].
  replace (u + q * 0) with u by ring. assumption.
Qed.

(** ** I6: the unit square against itself shifted by t *)

Definition shifted (t : R) : R :=
  let i := overlap t (t + 1) 0 1 * overlap 0 1 0 1 in i / (1 + 1 - i).

Theorem i6_shifted_square : ~ exists l, derivable_pt_lim shifted 0 l.
Proof.
  assert (O1 : overlap 0 1 0 1 = 1) by cases.
  apply (kink shifted 2 (-2)); [| | lra].
  - exists (fun t => (1 + 1 * t) / (1 + -1 * t)), 1. split; [lra | split].
    + intros h Hh. unfold shifted. rewrite O1.
      replace (overlap (-1 * h) (-1 * h + 1) 0 1) with (1 + -1 * h) by cases. field. lra.
    + replace 2 with ((1 * 1 - 1 * -1) / 1 ^ 2) by field. apply mobius. lra.
  - exists (fun t => (1 + -1 * t) / (1 + 1 * t)), 1. split; [lra | split].
    + intros h Hh. unfold shifted. rewrite O1.
      replace (overlap (1 * h) (1 * h + 1) 0 1) with (1 + -1 * h) by cases. field. lra.
    + replace (-2) with ((-1 * 1 - 1 * 1) / 1 ^ 2) by field. apply mobius. lra.
Qed.

(** ** I6 in general, along one edge

    The moving box has the x-interval [u1 + t, x2] and height h; the other [u1, u2] and
    area B; the overlap's height is ih. *)

Definition along_left_edge (x2 u1 u2 h ih B t : R) : R :=
  let i := overlap (u1 + t) x2 u1 u2 * ih in
  i / ((x2 - (u1 + t)) * h + B - i).

(** Moving the right edge x2 = u1 + t over the start u1 of the other box. *)
Definition along_right_edge (x1 u1 u2 h ih B t : R) : R :=
  let i := overlap x1 (u1 + t) u1 u2 * ih in
  i / ((u1 + t - x1) * h + B - i).

Section Tie.
  Variables x2 u1 u2 h ih B : R.
  Hypothesis Hx : u1 < x2.
  Hypothesis Hu : u1 < u2.
  Hypothesis Hih : 0 < ih <= h.
  Hypothesis HB : (u2 - u1) * ih <= B.

  Let W := Rmin x2 u2 - u1.
  Let A := (x2 - u1) * h.
  Let U := A + B - W * ih.

  Lemma W_bounds : 0 < W /\ W <= x2 - u1 /\ W <= u2 - u1.
  Proof. unfold W; cases. Qed.

  Lemma U_pos : 0 < U /\ 0 < A + B.
  Proof. unfold U, A. pose proof W_bounds. split; nra. Qed.

  Lemma tie_left : one_sided (along_left_edge x2 u1 u2 h ih B) (-1) (W * ih * h / U ^ 2).
  Proof.
    pose proof U_pos. exists (fun t => (W * ih + 0 * t) / (U + - h * t)), 1.
    split; [lra | split].
    - intros s Hs. unfold along_left_edge.
      replace (overlap (u1 + -1 * s) x2 u1 u2) with W by (unfold W; cases).
      f_equal; [ring | unfold U, A; ring].
    - replace (W * ih * h / U ^ 2) with ((0 * U - W * ih * - h) / U ^ 2) by (field; lra).
      apply mobius. lra.
  Qed.

  Lemma tie_right :
    one_sided (along_left_edge x2 u1 u2 h ih B) 1 ((W * ih * (h - ih) - ih * U) / U ^ 2).
  Proof.
    pose proof U_pos. pose proof W_bounds.
    exists (fun t => (W * ih + - ih * t) / (U + (ih - h) * t)), W.
    split; [lra | split].
    - intros s Hs. unfold along_left_edge.
      replace (overlap (u1 + 1 * s) x2 u1 u2) with (W - s) by (unfold W in *; cases).
      f_equal; [ring | unfold U, A; ring].
    - replace ((W * ih * (h - ih) - ih * U) / U ^ 2)
        with ((- ih * U - W * ih * (ih - h)) / U ^ 2) by (field; lra).
      apply mobius. lra.
  Qed.

  (** The gap between the one-sided derivatives. *)
  Theorem i6_tie_gap :
    W * ih * h / U ^ 2 - (W * ih * (h - ih) - ih * U) / U ^ 2 = ih * (A + B) / U ^ 2.
  Proof. pose proof U_pos. assert (A + B = U + W * ih) as -> by (unfold U; ring). field. lra. Qed.

  Theorem i6_tie_is_a_kink : ~ exists l, derivable_pt_lim (along_left_edge x2 u1 u2 h ih B) 0 l.
  Proof.
    apply (kink _ _ _ tie_left tie_right). intros E. pose proof i6_tie_gap as G. pose proof U_pos.
    assert (0 < ih * (A + B) / U ^ 2); [| lra].
    apply Rdiv_lt_0_compat; [apply Rmult_lt_0_compat; lra | apply pow_lt; lra].
  Qed.
End Tie.

Section Touch.
  Variables x1 u1 u2 h ih B : R.
  Hypothesis Hx : x1 < u1.
  Hypothesis Hu : u1 < u2.
  Hypothesis Hih : 0 < ih <= h.
  Hypothesis HB : (u2 - u1) * ih <= B.

  Let A := (u1 - x1) * h.

  Lemma AB_pos : 0 < A + B.
  Proof. unfold A. nra. Qed.

  Lemma touch_left : one_sided (along_right_edge x1 u1 u2 h ih B) (-1) 0.
  Proof.
    pose proof AB_pos. exists (fun t => (0 + 0 * t) / (A + B + h * t)), 1.
    split; [lra | split].
    - intros s Hs. unfold along_right_edge.
      replace (overlap x1 (u1 + -1 * s) u1 u2) with 0 by cases.
      unfold Rdiv. ring.
    - pose proof (mobius 0 0 (A + B) h ltac:(lra)) as M.
      replace ((0 * (A + B) - 0 * h) / (A + B) ^ 2) with 0 in M by (field; lra). exact M.
  Qed.

  Lemma touch_right : one_sided (along_right_edge x1 u1 u2 h ih B) 1 (ih / (A + B)).
  Proof.
    pose proof AB_pos. exists (fun t => (0 + ih * t) / (A + B + (h - ih) * t)), (u2 - u1).
    split; [lra | split].
    - intros s Hs. unfold along_right_edge.
      replace (overlap x1 (u1 + 1 * s) u1 u2) with s by cases.
      f_equal; [ring | unfold A; ring].
    - replace (ih / (A + B)) with ((ih * (A + B) - 0 * (h - ih)) / (A + B) ^ 2) by (field; lra).
      apply mobius. lra.
  Qed.

  Theorem i6_touch_is_a_kink : ~ exists l, derivable_pt_lim (along_right_edge x1 u1 u2 h ih B) 0 l.
  Proof.
    apply (kink _ _ _ touch_left touch_right). pose proof AB_pos.
    assert (0 < ih / (A + B)) by (apply Rdiv_lt_0_compat; lra). lra.
  Qed.
End Touch.

(** ** I6: what is not a kink

    Two unit squares that touch at a corner, one moved by t along the diagonal: I <= t^2. *)

Definition corner (t : R) : R :=
  let i := overlap t (t + 1) 1 2 * overlap t (t + 1) 1 2 in i / (1 + 1 - i).

Theorem i6_corner_is_smooth : derivable_pt_lim corner 0 0.
Proof.
  intros eps He. assert (Hd : 0 < Rmin eps 1) by (apply Rmin_glb_lt; lra).
  exists (mkposreal _ Hd). intros t Ht Hlt. cbn [pos] in Hlt.
  assert (Rabs t < eps /\ Rabs t < 1) as (H1 & H2)
    by (pose proof (Rmin_l eps 1); pose proof (Rmin_r eps 1); lra).
  assert (C0 : corner 0 = 0).
  { unfold corner. replace (overlap 0 (0 + 1) 1 2) with 0 by cases. field. }
  rewrite Rplus_0_l, C0, !Rminus_0_r. apply Rabs_def2 in H2.
  destruct (Rle_dec t 0).
  - assert (E : corner t = 0).
    { unfold corner. replace (overlap t (t + 1) 1 2) with 0 by cases. field. }
    rewrite E. unfold Rdiv. rewrite Rmult_0_l, Rabs_R0. assumption.
  - assert (E : corner t / t = t / (2 - t * t)).
    { unfold corner. replace (overlap t (t + 1) 1 2) with t by cases. field. nra. }
    rewrite Rabs_pos_eq in H1 by lra.
    rewrite E, Rabs_pos_eq by (left; apply Rdiv_lt_0_compat; nra).
    apply Rle_lt_trans with t; [| assumption].
    apply (Rmult_le_reg_r (2 - t * t)); [nra |].
    replace (t / (2 - t * t) * (2 - t * t)) with t by (field; nra). nra.
Qed.

(** ** I5: no value at the degenerate pair makes IoU continuous

    Two boxes of side s at the same place, and two side by side: both pairs tend to the same
    pair of points as s tends to 0, with IoU 1 and 0. *)

Definition pair_at (dx s : R) : R :=
  let i := overlap 0 s dx (dx + s) * overlap 0 s 0 s in i / (s * s + s * s - i).

Theorem i5_no_continuous_value :
  ~ exists v, forall eps, 0 < eps -> exists d, 0 < d /\
      forall dx s, Rabs dx < d -> 0 < s < d -> Rabs (pair_at dx s - v) < eps.
Proof.
  intros (v & H). destruct (H (1 / 2) ltac:(lra)) as (d & Hd & Hlim).
  pose proof (Hlim 0 (d / 2) ltac:(rewrite Rabs_R0; lra) ltac:(lra)) as H1.
  pose proof (Hlim (d / 2) (d / 2) ltac:(rewrite Rabs_pos_eq; lra) ltac:(lra)) as H0.
  unfold pair_at in H0, H1. cbv zeta in H0, H1.
  replace (overlap 0 (d / 2) 0 (0 + d / 2)) with (d / 2) in H1 by (clear - Hd; cases).
  replace (overlap 0 (d / 2) (d / 2) (d / 2 + d / 2)) with 0 in H0 by (clear - Hd; cases).
  replace (overlap 0 (d / 2) 0 (d / 2)) with (d / 2) in * by (clear - Hd; cases).
  replace (_ * _ / _) with 1 in H1 by (field; nra).
  replace (_ * _ / _) with 0 in H0 by (field; nra).
  apply Rabs_def2 in H0. apply Rabs_def2 in H1. lra.
Qed.

Definition theorems :=
  (@i6_shifted_square, @i6_tie_gap, @i6_tie_is_a_kink, @i6_touch_is_a_kink,
   @i6_corner_is_smooth, @i5_no_continuous_value).

Print Assumptions theorems.
