(** Claim D7.

    Heavy ball on one coordinate: w(t+1) = w(t) - e c w(t) + beta (w(t) - w(t-1)),
    started at rest, w(-1) = w(0). With r = (sqrt(kappa) - 1) / (sqrt(kappa) + 1),
    beta = r^2 and e chosen best, e c = (1 - r)^2 at the flat end of the spectrum and
    e c = (1 + r)^2 at the steep end. There the recurrence has a double root, +r or -r:
    w(t) = (1 + (1 - s) t) s^t w(0), s the root. So the rate r comes with a factor
    1 + t that cannot be dropped. *)

Require Import Reals Lra Lia.
Open Scope R_scope.

(** The pair (w(t), w(t-1)). *)
Fixpoint heavy (ec beta w0 : R) (t : nat) : R * R :=
  match t with
  | O => (w0, w0)
  | S n => let (w, p) := heavy ec beta w0 n in (w - ec * w + beta * (w - p), w)
  end.

(** The best parameters put both ends of the spectrum on a double root. *)
Theorem d7_best_parameters m kappa :
  0 < m -> 1 <= kappa ->
  let q := sqrt kappa in
  let r := (q - 1) / (q + 1) in
  let e := 4 / (m * (q + 1) ^ 2) in
  e * m = (1 - r) ^ 2 /\ e * (kappa * m) = (1 + r) ^ 2 /\ 0 <= r < 1.
Proof.
  intros Hm Hk q r e.
  assert (Hq : 1 <= q) by (rewrite <- sqrt_1; apply sqrt_le_1_alt; assumption).
  assert (Hqq : q * q = kappa) by (apply sqrt_sqrt; lra).
  unfold e, r. rewrite <- Hqq. repeat split; try (field; lra).
  - apply Rmult_le_pos; [lra | left; apply Rinv_0_lt_compat; lra].
  - apply (Rmult_lt_reg_r (q + 1)); [lra |]. unfold Rdiv.
    rewrite Rmult_assoc, Rinv_l by lra. lra.
Qed.

Lemma double_root s w0 t : s <> 0 ->
  heavy ((1 - s) ^ 2) (s ^ 2) w0 t =
  ((1 + (1 - s) * INR t) * s ^ t * w0,
   match t with O => w0 | S n => (1 + (1 - s) * INR n) * s ^ n * w0 end).
Proof.
  intros Hs. induction t as [| t IH].
  - cbn. f_equal; ring.
  - cbn [heavy]. rewrite IH. f_equal. destruct t as [| t].
    + cbn. ring.
    + rewrite !S_INR. cbn [pow]. ring.
Qed.

Theorem d7_flat_end r w0 t : r <> 0 ->
  fst (heavy ((1 - r) ^ 2) (r ^ 2) w0 t) = (1 + (1 - r) * INR t) * r ^ t * w0.
Proof. intros Hr. rewrite double_root by assumption. reflexivity. Qed.

Theorem d7_steep_end r w0 t : r <> 0 ->
  fst (heavy ((1 + r) ^ 2) (r ^ 2) w0 t) = (1 + (1 + r) * INR t) * (- r) ^ t * w0.
Proof.
  intros Hr. replace ((1 + r) ^ 2) with ((1 - - r) ^ 2) by ring.
  replace (r ^ 2) with ((- r) ^ 2) by ring.
  rewrite double_root by lra. cbn [fst]. ring.
Qed.

Lemma nat_above x : exists n, x < INR n.
Proof.
  destruct (archimed (Rabs x)) as (H & _). pose proof (Rle_abs x). pose proof (Rabs_pos x).
  exists (Z.to_nat (up (Rabs x))). rewrite INR_IZR_INZ, Z2Nat.id; [lra |].
  apply le_IZR. lra.
Qed.

(** Control: the bound C r^t, without the factor 1 + t, is false. *)
Theorem d7_control_pure_rate r : 0 < r < 1 ->
  ~ exists C, forall t, Rabs (fst (heavy ((1 - r) ^ 2) (r ^ 2) 1 t)) <= C * r ^ t.
Proof.
  intros Hr (C & H). destruct (nat_above (C / (1 - r))) as (n & Hn).
  specialize (H n). rewrite d7_flat_end in H by lra.
  pose proof (pow_lt r n ltac:(lra)). pose proof (pos_INR n).
  assert (0 <= (1 - r) * INR n) by (apply Rmult_le_pos; lra).
  rewrite Rabs_pos_eq in H by (apply Rmult_le_pos; [apply Rmult_le_pos; lra | lra]).
  assert (E : C / (1 - r) * (1 - r) = C) by (field; lra).
  assert (C < (1 - r) * INR n) by nra.
  assert (1 + (1 - r) * INR n <= C) by (apply (Rmult_le_reg_r (r ^ n)); lra). lra.
Qed.

Definition theorems :=
  (@d7_best_parameters, @d7_flat_end, @d7_steep_end, @d7_control_pure_rate).

Print Assumptions theorems.
