(** Claim C1: the error of a sum of products, in any order of summation.

    Each product and each sum is rounded with a relative error of at most u. A sum of
    products is a tree; a term at depth k passes k additions and its own product, so it is
    computed with a relative error of at most (1 + u)^(k + 1) - 1 <= gamma (k + 1), where
    gamma n = n u / (1 - n u). A fused multiply-add is a product without a rounding
    (error 0 <= u), so the bound covers it. *)

Require Import Reals Lra Lia.
Open Scope R_scope.

Inductive tree :=
  | Product (x : R)
  | Sum (s t : tree).

Fixpoint exact (t : tree) : R :=
  match t with Product x => x | Sum s t => exact s + exact t end.

Fixpoint magnitude (t : tree) : R :=
  match t with Product x => Rabs x | Sum s t => magnitude s + magnitude t end.

Fixpoint roundings (t : tree) : nat :=
  match t with Product _ => 1 | Sum s t => S (Nat.max (roundings s) (roundings t)) end.

Fixpoint terms (t : tree) : nat :=
  match t with Product _ => 1 | Sum s t => terms s + terms t end.

(** [computed u t v]: v may be the result in arithmetic with unit u. *)
Inductive computed (u : R) : tree -> R -> Prop :=
  | computed_product x d : Rabs d <= u -> computed u (Product x) (x * (1 + d))
  | computed_sum s t v w d : computed u s v -> computed u t w -> Rabs d <= u ->
      computed u (Sum s t) ((v + w) * (1 + d)).

Lemma magnitude_pos t : 0 <= magnitude t.
Proof. induction t; cbn; [apply Rabs_pos | lra]. Qed.

Lemma exact_le_magnitude t : Rabs (exact t) <= magnitude t.
Proof. induction t; cbn; [lra |]. eapply Rle_trans; [apply Rabs_triang |]. lra. Qed.

Lemma power_grows u k l : 0 <= u -> (k <= l)%nat -> (1 + u) ^ k <= (1 + u) ^ l.
Proof. intros. apply Rle_pow; [lra | assumption]. Qed.

Theorem c1_error_by_depth u t v : 0 <= u -> computed u t v ->
  Rabs (v - exact t) <= ((1 + u) ^ roundings t - 1) * magnitude t.
Proof.
  intros Hu H. induction H as [x d Hd | s t v w d Hs IHs Ht IHt Hd].
  - cbn [exact magnitude roundings pow]. replace (x * (1 + d) - x) with (d * x) by ring.
    rewrite Rabs_mult. pose proof (Rmult_le_compat_r (Rabs x) _ _ (Rabs_pos x) Hd). lra.
  - cbn [exact magnitude roundings]. set (k := Nat.max (roundings s) (roundings t)).
    pose proof (power_grows u (roundings s) k Hu ltac:(lia)).
    pose proof (power_grows u (roundings t) k Hu ltac:(lia)).
    pose proof (magnitude_pos s). pose proof (magnitude_pos t).
    pose proof (exact_le_magnitude s). pose proof (exact_le_magnitude t).
    set (P := (1 + u) ^ k) in *. cbn [pow].
    replace ((v + w) * (1 + d) - (exact s + exact t))
      with (((v - exact s) + (w - exact t)) * (1 + d) + (exact s + exact t) * d) by ring.
    eapply Rle_trans; [apply Rabs_triang |]. rewrite !Rabs_mult.
    set (M := magnitude s + magnitude t) in *.
    assert (E : Rabs ((v - exact s) + (w - exact t)) <= (P - 1) * M).
    { eapply Rle_trans; [apply Rabs_triang |]. unfold M.
      assert (((1 + u) ^ roundings s - 1) * magnitude s <= (P - 1) * magnitude s)
        by (apply Rmult_le_compat_r; lra).
      assert (((1 + u) ^ roundings t - 1) * magnitude t <= (P - 1) * magnitude t)
        by (apply Rmult_le_compat_r; lra). lra. }
    assert (F : Rabs (exact s + exact t) <= M)
      by (eapply Rle_trans; [apply Rabs_triang |]; unfold M; lra).
    assert (D : Rabs (1 + d) <= 1 + u).
    { eapply Rle_trans; [apply Rabs_triang |]. rewrite Rabs_R1. lra. }
    pose proof (Rmult_le_compat _ _ _ _ (Rabs_pos _) (Rabs_pos _) E D).
    pose proof (Rmult_le_compat _ _ _ _ (Rabs_pos _) (Rabs_pos _) F Hd). fold P. lra.
Qed.

(** ** (1 + u)^n - 1 <= gamma n *)

Definition gamma (u : R) (n : nat) : R := INR n * u / (1 - INR n * u).

Lemma bernoulli u n : 0 <= u <= 1 -> 1 - INR n * u <= (1 - u) ^ n.
Proof.
  intros Hu. induction n as [| n IH]; [cbn; lra |].
  rewrite S_INR. cbn [pow]. pose proof (pos_INR n).
  assert (0 <= INR n * (u * u)) by (apply Rmult_le_pos; nra).
  destruct (Rle_dec 0 (1 - INR n * u)).
  - pose proof (Rmult_le_compat_l (1 - u) _ _ ltac:(lra) IH). lra.
  - pose proof (pow_le (1 - u) n ltac:(lra)) as P.
    pose proof (Rmult_le_pos (1 - u) _ ltac:(lra) P). lra.
Qed.

Theorem c1_gamma u n : 0 <= u -> INR n * u < 1 -> (1 + u) ^ n - 1 <= gamma u n.
Proof.
  intros Hu Hn. unfold gamma.
  replace (INR n * u / (1 - INR n * u)) with (/ (1 - INR n * u) - 1) by (field; lra).
  apply Rplus_le_compat_r. destruct n as [| n].
  { cbn. rewrite Rmult_0_l, Rminus_0_r, Rinv_1. lra. }
  assert (U1 : u <= 1).
  { rewrite S_INR in Hn. pose proof (Rmult_le_pos _ _ (pos_INR n) Hu). lra. }
  pose proof (bernoulli u (S n) ltac:(lra)) as B.
  apply (Rmult_le_reg_r (1 - INR (S n) * u)); [lra |]. rewrite Rinv_l by lra.
  assert (Q : (1 + u) ^ S n * (1 - u) ^ S n <= 1).
  { rewrite <- Rpow_mult_distr. eapply Rle_trans; [apply pow_incr with (y := 1) | rewrite pow1; lra].
    pose proof (Rle_0_sqr u). unfold Rsqr in *. split; [apply Rmult_le_pos |]; lra. }
  pose proof (pow_le (1 + u) (S n) ltac:(lra)) as P.
  pose proof (Rmult_le_compat_l _ _ _ P B). lra.
Qed.

Lemma roundings_le_terms t : (roundings t <= terms t)%nat.
Proof.
  assert (Pos : forall t, (1 <= terms t)%nat) by (induction t0; cbn; lia).
  induction t; cbn; [lia |]. pose proof (Pos t1). pose proof (Pos t2). lia.
Qed.

(** The bound for a dot product of n terms, in whatever order it is summed. *)
Theorem c1_dot_product u t v n : 0 <= u -> (terms t <= n)%nat -> INR n * u < 1 ->
  computed u t v -> Rabs (v - exact t) <= gamma u n * magnitude t.
Proof.
  intros Hu Ht Hn H. eapply Rle_trans; [apply (c1_error_by_depth u t v Hu H) |].
  apply Rmult_le_compat_r; [apply magnitude_pos |].
  pose proof (roundings_le_terms t).
  pose proof (power_grows u (roundings t) n Hu ltac:(lia)).
  pose proof (c1_gamma u n Hu Hn). lra.
Qed.

(** Control: the bound without the sum of magnitudes, gamma |exact|, is false (1 - 1). *)
Theorem c1_control_relative : ~ forall u t v, 0 <= u -> computed u t v ->
  Rabs (v - exact t) <= gamma u (terms t) * Rabs (exact t).
Proof.
  intros H. set (t := Sum (Product 1) (Product (-1))).
  assert (C : computed (1 / 8) t ((1 * (1 + 1 / 8) + -1 * (1 + 0)) * (1 + 0))).
  { unfold t. apply computed_sum; [apply computed_product | apply computed_product |];
      rewrite ?Rabs_R0, ?(Rabs_pos_eq (1 / 8)); lra. }
  specialize (H (1 / 8) t _ ltac:(lra) C). unfold t in H. cbn in H.
  replace (1 + -1) with 0 in H by lra. rewrite Rabs_R0, Rmult_0_r, Rabs_pos_eq in H; lra.
Qed.

Definition theorems :=
  (@c1_error_by_depth, @c1_gamma, @c1_dot_product, @c1_control_relative).

Print Assumptions theorems.
