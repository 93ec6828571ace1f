(** Claims D1, D2, D4, D6.

    L(x, y) = (a x^2 + b y^2) / 2, step e. Each coordinate of gradient descent
    obeys w <- w - e (c w), with c = a or c = b, so w(t) = (1 - e c)^t w(0). *)

Require Import Reals Lra Lia.
Open Scope R_scope.

Definition loss (a b x y : R) : R := (a * x ^ 2 + b * y ^ 2) / 2.

(** One coordinate, t steps of size [e] along the gradient [c w]. *)
Fixpoint descend (e c w0 : R) (t : nat) : R :=
  match t with
  | O => w0
  | S n => descend e c w0 n - e * (c * descend e c w0 n)
  end.

(** ** D1: gradient, minimiser, closed form *)

Theorem d1_gradient_x a b x y : derivable_pt_lim (fun s => loss a b s y) x (a * x).
Proof.
  intros eps He. assert (Hd : 0 < eps / (Rabs a + 1)).
  { apply Rdiv_lt_0_compat; [assumption | pose proof (Rabs_pos a); lra]. }
  exists (mkposreal _ Hd). intros h Hh Hlt. cbn [pos] in Hlt. unfold loss.
  replace (_ / h - a * x) with (a * (h / 2)) by (field; assumption).
  rewrite Rabs_mult. unfold Rdiv at 1. rewrite Rabs_mult, (Rabs_pos_eq (/ 2)) by lra.
  pose proof (Rabs_pos a). pose proof (Rabs_pos_lt _ Hh).
  apply (Rmult_lt_compat_r (Rabs a + 1)) in Hlt; [| lra].
  unfold Rdiv in Hlt. rewrite Rmult_assoc, Rinv_l, Rmult_1_r in Hlt by lra. nra.
Qed.

Theorem d1_gradient_y a b x y : derivable_pt_lim (fun s => loss a b x s) y (b * y).
Proof.
  intros eps He. destruct (d1_gradient_x b a y x eps He) as [d Hd].
  exists d. intros h Hh Hlt. specialize (Hd h Hh Hlt). unfold loss in *.
  replace (a * x ^ 2 + b * (y + h) ^ 2) with (b * (y + h) ^ 2 + a * x ^ 2) by ring.
  replace (a * x ^ 2 + b * y ^ 2) with (b * y ^ 2 + a * x ^ 2) by ring. exact Hd.
Qed.

Theorem d1_unique_minimiser a b x y : 0 < a -> 0 < b ->
  loss a b 0 0 <= loss a b x y /\ (loss a b x y = loss a b 0 0 -> x = 0 /\ y = 0).
Proof.
  unfold loss; intros Ha Hb. pose proof (pow2_ge_0 x). pose proof (pow2_ge_0 y).
  split; [nra |]. intros He.
  assert (Sx : x ^ 2 = 0) by nra. assert (Sy : y ^ 2 = 0) by nra.
  split; (eapply Rsqr_0_uniq; unfold Rsqr; lra).
Qed.

Theorem d1_iterate e c w0 t : descend e c w0 t = (1 - e * c) ^ t * w0.
Proof. induction t as [| t IH]; cbn [descend pow]; [ring | rewrite IH; ring]. Qed.

(** ** D2: convergence *)

Lemma abs_lt_1 e c : Rabs (1 - e * c) < 1 <-> 0 < e * c < 2.
Proof.
  split; intros H.
  - apply Rabs_def2 in H. lra.
  - apply Rabs_def1; lra.
Qed.

(** One coordinate: from a non-zero start, w(t) tends to 0 iff |1 - e c| < 1. *)
Theorem d2_coordinate_iff e c w0 : w0 <> 0 ->
  Un_cv (descend e c w0) 0 <-> 0 < e * c < 2.
Proof.
  intros Hw. pose proof (Rabs_pos_lt _ Hw) as Hw'. rewrite <- abs_lt_1.
  split; intros H.
  - destruct (Rlt_dec (Rabs (1 - e * c)) 1) as [| Hge]; [assumption | exfalso].
    destruct (H (Rabs w0) Hw') as [N HN]. specialize (HN N (le_n N)).
    unfold R_dist in HN.
    rewrite d1_iterate, Rminus_0_r, Rabs_mult, <- RPow_abs in HN.
    pose proof (pow_R1_Rle (Rabs (1 - e * c)) N ltac:(lra)). nra.
  - intros eps He.
    destruct (pow_lt_1_zero _ H (eps / Rabs w0) ltac:(apply Rdiv_lt_0_compat; assumption))
      as [N HN].
    exists N. intros n Hn. specialize (HN n Hn).
    unfold R_dist. rewrite d1_iterate, Rminus_0_r, Rabs_mult.
    apply (Rmult_lt_compat_r (Rabs w0)) in HN; [| assumption].
    unfold Rdiv in HN. rewrite Rmult_assoc, Rinv_l, Rmult_1_r in HN by lra. exact HN.
Qed.

Lemma below_quotient e m : 0 < m -> e < 2 / m <-> e * m < 2.
Proof.
  intros Hm. assert (2 / m * m = 2) by (field; lra).
  split; intros; nra.
Qed.

Theorem d2_converges_iff a b e u v : 0 < a -> 0 < b -> u <> 0 -> v <> 0 ->
  (Un_cv (descend e a u) 0 /\ Un_cv (descend e b v) 0) <-> 0 < e < 2 / Rmax a b.
Proof.
  intros Ha Hb Hu Hv. pose proof (Rmax_l a b).
  rewrite !d2_coordinate_iff, below_quotient by (assumption || lra).
  unfold Rmax. destruct (Rle_dec a b); split; intros; nra.
Qed.

(** Controls: the same statement with a planted mistake is refuted. *)
Theorem d2_control_closed_bound :
  ~ (forall a b e u v, 0 < a -> 0 < b -> u <> 0 -> v <> 0 ->
     (Un_cv (descend e a u) 0 /\ Un_cv (descend e b v) 0) <-> 0 < e <= 2 / Rmax a b).
Proof.
  intros H. specialize (H 1 1 2 1 1 ltac:(lra) ltac:(lra) ltac:(lra) ltac:(lra)).
  rewrite Rmax_left, !d2_coordinate_iff in H by lra. lra.
Qed.

Theorem d2_control_min :
  ~ (forall a b e u v, 0 < a -> 0 < b -> u <> 0 -> v <> 0 ->
     (Un_cv (descend e a u) 0 /\ Un_cv (descend e b v) 0) <-> 0 < e < 2 / Rmin a b).
Proof.
  intros H. specialize (H 1 3 1 1 1 ltac:(lra) ltac:(lra) ltac:(lra) ltac:(lra)).
  rewrite Rmin_left, !d2_coordinate_iff in H by lra. lra.
Qed.

Theorem d2_control_one_over_l_necessary :
  ~ (forall a b e u v, 0 < a -> 0 < b -> u <> 0 -> v <> 0 ->
     Un_cv (descend e a u) 0 /\ Un_cv (descend e b v) 0 -> e <= 1 / Rmax a b).
Proof.
  intros H. specialize (H 1 1 (3 / 2) 1 1 ltac:(lra) ltac:(lra) ltac:(lra) ltac:(lra)).
  rewrite Rmax_left, !d2_coordinate_iff in H by lra. lra.
Qed.

Theorem d2_control_zero_start :
  ~ (forall a b e u v, 0 < a -> 0 < b ->
     (Un_cv (descend e a u) 0 /\ Un_cv (descend e b v) 0) <-> 0 < e < 2 / Rmax a b).
Proof.
  intros H. specialize (H 3 1 1 0 1 ltac:(lra) ltac:(lra)).
  rewrite Rmax_left in H by lra. destruct H as [H _].
  assert (C : Un_cv (descend 1 3 0) 0 /\ Un_cv (descend 1 1 1) 0).
  { split; [| apply d2_coordinate_iff; lra].
    intros eps He. exists O. intros n _. unfold R_dist.
    rewrite d1_iterate, Rmult_0_r, Rminus_0_r, Rabs_R0. exact He. }
  specialize (H C). lra.
Qed.

(** ** D4: without curvature, and with negative curvature *)

Theorem d4_flat_never_moves e w0 t : descend e 0 w0 t = w0.
Proof. induction t; cbn [descend]; [reflexivity | rewrite IHt; ring]. Qed.

Theorem d4_flat_minimisers b x : 0 < b -> forall x' y', loss 0 b x 0 <= loss 0 b x' y'.
Proof. unfold loss; intros; nra. Qed.

Theorem d4_negative_unbounded_below c b y : c < 0 -> forall m, exists x, loss c b x y < m.
Proof.
  intros Hc m. set (q := 2 * Rabs m + b * y ^ 2 + 1).
  exists ((Rabs q + 1) / - c + 1). unfold loss.
  pose proof (Rabs_pos q). pose proof (Rle_abs q). pose proof (Rle_abs (- m)).
  rewrite Rabs_Ropp in *. set (z := (Rabs q + 1) / - c).
  assert (Hz : c * z = - (Rabs q + 1)) by (unfold z; field; lra).
  assert (0 < z) by (unfold z; apply Rdiv_lt_0_compat; lra).
  assert (c * (z + 1) ^ 2 <= - (Rabs q + 1)) by nra.
  assert (q = 2 * Rabs m + b * y ^ 2 + 1) by reflexivity. lra.
Qed.

Theorem d4_negative_diverges e c w0 : c < 0 -> 0 < e -> w0 <> 0 ->
  forall m, exists n, forall t, (t >= n)%nat -> Rabs (descend e c w0 t) >= m.
Proof.
  intros Hc He Hw m. pose proof (Rabs_pos_lt _ Hw).
  destruct (Pow_x_infinity (1 - e * c) ltac:(rewrite Rabs_pos_eq; nra) (m / Rabs w0)) as [n Hn].
  exists n. intros t Ht. specialize (Hn t Ht). rewrite d1_iterate, Rabs_mult.
  assert (m / Rabs w0 * Rabs w0 = m) by (field; lra). nra.
Qed.

(** ** D6: the loss never increases *)

Theorem d6_never_increases_iff a b e : 0 < a -> 0 < b ->
  (forall x y, loss a b (x - e * (a * x)) (y - e * (b * y)) <= loss a b x y)
  <-> 0 <= e <= 2 / Rmax a b.
Proof.
  intros Ha Hb.
  assert (S : forall c, 0 < c -> (1 - e * c) ^ 2 <= 1 <-> 0 <= e /\ e * c <= 2)
    by (intros c Hc; split; [intros; split; nra | intros; assert (0 <= e * c) by nra; nra]).
  assert (Q : 0 <= e <= 2 / Rmax a b <-> 0 <= e /\ e * a <= 2 /\ e * b <= 2).
  { unfold Rmax. destruct (Rle_dec a b);
      [assert (2 / b * b = 2) by (field; lra) | assert (2 / a * a = 2) by (field; lra)];
      split; intros (He & Hm); repeat split; try destruct Hm; nra. }
  rewrite Q. split.
  - intros H. pose proof (H 1 0) as Hx. pose proof (H 0 1) as Hy. unfold loss in Hx, Hy.
    assert (Sa : (1 - e * a) ^ 2 <= 1) by (apply (Rmult_le_reg_l a); lra).
    assert (Sb : (1 - e * b) ^ 2 <= 1) by (apply (Rmult_le_reg_l b); lra).
    apply S in Sa; [| assumption]. apply S in Sb; [| assumption]. tauto.
  - intros (He & Hea & Heb) x y. unfold loss.
    pose proof (proj2 (S a Ha) (conj He Hea)). pose proof (proj2 (S b Hb) (conj He Heb)).
    replace (x - e * (a * x)) with ((1 - e * a) * x) by ring.
    replace (y - e * (b * y)) with ((1 - e * b) * y) by ring.
    rewrite !Rpow_mult_distr.
    assert (0 <= a * x ^ 2) by nra. assert (0 <= b * y ^ 2) by nra. nra.
Qed.

Definition theorems :=
  (@d1_gradient_x, @d1_gradient_y, @d1_unique_minimiser, @d1_iterate, @d2_coordinate_iff,
   @d2_converges_iff, @d2_control_closed_bound, @d2_control_min,
   @d2_control_one_over_l_necessary, @d2_control_zero_start, @d4_flat_never_moves,
   @d4_flat_minimisers, @d4_negative_unbounded_below, @d4_negative_diverges,
   @d6_never_increases_iff).

Print Assumptions theorems.
