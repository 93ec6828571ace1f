(** Claims D2 and D3 in floating point: the bound that the tests of D2 carry.

    With rounding to nearest, unit u, one update computes
    w' = w (1 - e c (1 + d1)(1 + d2)) (1 + d3), |d_i| <= u, so its factor lies within
    eps = |e c| (2 u + 3 u^2 + u^3) + u |rho| of rho = 1 - e c; and T such factors
    multiply to within (|rho| + eps)^T - |rho|^T of rho^T. *)

Require Import Reals Lra Lia.
Open Scope R_scope.

Definition eps (u ec : R) : R :=
  Rabs ec * (2 * u + 3 * u ^ 2 + u ^ 3) + u * Rabs (1 - ec).

Theorem d2_rounding_one_step u ec d1 d2 d3 :
  Rabs d1 <= u -> Rabs d2 <= u -> Rabs d3 <= u ->
  Rabs ((1 - ec * (1 + d1) * (1 + d2)) * (1 + d3) - (1 - ec)) <= eps u ec.
Proof.
  intros H1 H2 H3. unfold eps.
  replace (_ - (1 - ec)) with (- (ec * ((d1 + d2 + d1 * d2) * (1 + d3))) + d3 * (1 - ec)) by ring.
  eapply Rle_trans; [apply Rabs_triang |].
  rewrite Rabs_Ropp, !Rabs_mult.
  pose proof (Rabs_pos d1). pose proof (Rabs_pos d2). pose proof (Rabs_pos d3).
  pose proof (Rabs_pos ec). pose proof (Rabs_pos (1 - ec)).
  assert (S : Rabs (d1 + d2 + d1 * d2) <= 2 * u + u ^ 2).
  { eapply Rle_trans; [apply Rabs_triang |]. rewrite Rabs_mult.
    pose proof (Rabs_triang d1 d2). nra. }
  assert (P : Rabs (1 + d3) <= 1 + u).
  { eapply Rle_trans; [apply Rabs_triang |]. rewrite Rabs_R1. lra. }
  pose proof (Rabs_pos (d1 + d2 + d1 * d2)). pose proof (Rabs_pos (1 + d3)).
  assert (Q : Rabs (d1 + d2 + d1 * d2) * Rabs (1 + d3) <= (2 * u + u ^ 2) * (1 + u))
    by (apply Rmult_le_compat; assumption).
  apply Rplus_le_compat.
  - apply Rmult_le_compat_l; [assumption | lra].
  - apply Rmult_le_compat_r; assumption.
Qed.

(** The product of the factors f 0, ..., f (T - 1). *)
Fixpoint product (f : nat -> R) (T : nat) : R :=
  match T with O => 1 | S n => product f n * f n end.

Theorem d2_rounding_bound (f : nat -> R) rho e T : 0 <= e ->
  (forall t, Rabs (f t - rho) <= e) ->
  Rabs (product f T - rho ^ T) <= (Rabs rho + e) ^ T - Rabs rho ^ T.
Proof.
  intros He Hf. induction T as [| n IH]; cbn [product pow].
  - rewrite !Rminus_diag_eq, Rabs_R0 by reflexivity. lra.
  - replace (product f n * f n - rho * rho ^ n)
      with ((product f n - rho ^ n) * f n + rho ^ n * (f n - rho)) by ring.
    eapply Rle_trans; [apply Rabs_triang |]. rewrite !Rabs_mult, <- RPow_abs.
    specialize (Hf n). pose proof (Rabs_pos rho).
    assert (F : Rabs (f n) <= Rabs rho + e).
    { replace (f n) with (rho + (f n - rho)) by ring.
      eapply Rle_trans; [apply Rabs_triang |]. lra. }
    pose proof (Rabs_pos (product f n - rho ^ n)). pose proof (Rabs_pos (f n)).
    pose proof (pow_le (Rabs rho) n ltac:(assumption)).
    assert (G : Rabs (product f n - rho ^ n) * Rabs (f n)
      <= ((Rabs rho + e) ^ n - Rabs rho ^ n) * (Rabs rho + e))
      by (apply Rmult_le_compat; assumption).
    pose proof (Rmult_le_compat_l (Rabs rho ^ n) _ _ ltac:(assumption) Hf). lra.
Qed.

(** So the floats keep the verdict of D2 while | |rho| - 1 | > eps. *)
Theorem d2_rounding_verdict (f : nat -> R) rho e T : 0 <= e ->
  (forall t, Rabs (f t - rho) <= e) ->
  (Rabs rho + e < 1 -> Rabs (product f T) <= (Rabs rho + e) ^ T) /\
  (1 < Rabs rho - e -> (Rabs rho - e) ^ T <= Rabs (product f T)).
Proof.
  intros He Hf. split; intros H; induction T as [| n IH]; cbn [product pow];
    try (rewrite Rabs_R1; lra); rewrite Rabs_mult, (Rmult_comm (Rabs (product f n)));
    specialize (Hf n).
  - apply Rmult_le_compat; [apply Rabs_pos | apply Rabs_pos | | assumption].
    pose proof (Rabs_triang_inv (f n) rho). lra.
  - apply Rmult_le_compat; [lra | apply pow_le; lra | | assumption].
    rewrite Rabs_minus_sym in Hf. pose proof (Rabs_triang_inv rho (f n)). lra.
Qed.

Definition theorems :=
  (@d2_rounding_one_step, @d2_rounding_bound, @d2_rounding_verdict).

Print Assumptions theorems.
