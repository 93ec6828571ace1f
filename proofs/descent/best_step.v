(** Claim D5.

    The rate of step e on L(x, y) = (a x^2 + b y^2) / 2 is max(|1 - e a|, |1 - e b|).
    Over all e it is least at e = 2 / (a + b), where it is |a - b| / (a + b)
    = (kappa - 1) / (kappa + 1). For kappa = 10^4 it takes 69,078 steps, and not
    fewer, to shrink the error by 10^-6. *)

Require Import Reals ZArith Lra Lia.
Open Scope R_scope.

Definition rate (a b e : R) : R := Rmax (Rabs (1 - e * a)) (Rabs (1 - e * b)).

(** ** The best step *)

(** With m <= M: the two ends of the spectrum pull the step in opposite directions. *)
Lemma ends m M e : 0 < m <= M ->
  (M - m) / (M + m) <= rate m M e /\
  (rate m M e = (M - m) / (M + m) -> e = 2 / (M + m)).
Proof.
  intros H. set (r := rate m M e).
  assert (L1 : 1 - e * m <= r).
  { unfold r, rate. eapply Rle_trans; [apply Rle_abs | apply Rmax_l]. }
  assert (L2 : e * M - 1 <= r).
  { unfold r, rate. eapply Rle_trans; [apply Rle_abs |].
    rewrite Rabs_minus_sym. apply Rmax_r. }
  assert (Q : (M - m) / (M + m) * (M + m) = M - m) by (field; lra).
  split.
  - apply (Rmult_le_reg_r (M + m)); [lra | rewrite Q; nra].
  - intros E. apply (Rmult_eq_reg_r (M + m)); [| lra].
    replace (2 / (M + m) * (M + m)) with 2 by (field; lra).
    rewrite <- E in Q. assert (e * (M + m) <= 2 /\ 2 <= e * (M + m)); [split | lra].
    + apply (Rmult_le_reg_r M); [lra |]. nra.
    + apply (Rmult_le_reg_r m); [lra |]. nra.
Qed.

Lemma rate_sym a b e : rate a b e = rate b a e.
Proof. apply Rmax_comm. Qed.

Theorem d5_best_rate a b e : 0 < a -> 0 < b -> Rabs (a - b) / (a + b) <= rate a b e.
Proof.
  intros Ha Hb. destruct (Rle_dec a b).
  - rewrite Rabs_left1 by lra. replace (- (a - b) / (a + b)) with ((b - a) / (b + a))
      by (field; lra). apply ends; lra.
  - rewrite Rabs_pos_eq, rate_sym by lra. apply ends; lra.
Qed.

Theorem d5_best_step_attains a b : 0 < a -> 0 < b ->
  rate a b (2 / (a + b)) = Rabs (a - b) / (a + b).
Proof.
  intros Ha Hb. unfold rate.
  replace (1 - 2 / (a + b) * a) with (- ((a - b) / (a + b))) by (field; lra).
  replace (1 - 2 / (a + b) * b) with ((a - b) / (a + b)) by (field; lra).
  rewrite Rabs_Ropp, Rmax_left by lra. unfold Rdiv.
  rewrite Rabs_mult, (Rabs_pos_eq (/ (a + b))); [reflexivity |].
  left; apply Rinv_0_lt_compat; lra.
Qed.

Theorem d5_best_step_unique a b e : 0 < a -> 0 < b ->
  rate a b e = Rabs (a - b) / (a + b) -> e = 2 / (a + b).
Proof.
  intros Ha Hb. destruct (Rle_dec a b).
  - rewrite Rabs_left1 by lra. replace (- (a - b) / (a + b)) with ((b - a) / (b + a))
      by (field; lra). rewrite (Rplus_comm a b). apply ends; lra.
  - rewrite Rabs_pos_eq, rate_sym by lra. apply ends; lra.
Qed.

(** The same rate in terms of the condition number. *)
Theorem d5_rate_kappa m M : 0 < m <= M ->
  let kappa := M / m in (M - m) / (M + m) = (kappa - 1) / (kappa + 1).
Proof. intros H kappa; unfold kappa; field; lra. Qed.

(** ** The number of steps

    Powers of (10^4 - 1) / (10^4 + 1) enclosed by repeated squaring in fixed point:
    2^-200 units, rounded down and up. *)

Definition unit : Z := 2 ^ 200.

Fixpoint power (round : Z -> Z) (x : Z) (p : positive) : Z :=
  match p with
  | xH => x
  | xO q => let y := power round x q in round (y * y)%Z
  | xI q => let y := power round x q in round (round (y * y) * x)%Z
  end.

Definition down (z : Z) : Z := (z / unit)%Z.
Definition up (z : Z) : Z := (z / unit + 1)%Z.

Lemma unit_pos : 0 < IZR unit.
Proof. apply IZR_lt; reflexivity. Qed.

Lemma down_le z : IZR (down z) * IZR unit <= IZR z.
Proof.
  unfold down. rewrite <- mult_IZR. apply IZR_le.
  rewrite Z.mul_comm. apply Z.mul_div_le. reflexivity.
Qed.

Lemma up_ge z : IZR z <= IZR (up z) * IZR unit.
Proof.
  unfold up. rewrite <- mult_IZR. apply IZR_le.
  pose proof (Z.mul_succ_div_gt z unit eq_refl). lia.
Qed.

Lemma power_enclosed (r : R) (lo hi : Z) p :
  (0 <= lo)%Z -> IZR lo <= r * IZR unit <= IZR hi ->
  (0 <= power down lo p)%Z /\
  IZR (power down lo p) <= r ^ Pos.to_nat p * IZR unit <= IZR (power up hi p).
Proof.
  intros Hlo Hr. pose proof unit_pos as U. apply IZR_le in Hlo as Hlo'.
  assert (Step : forall xl xh yl yh x y, (0 <= xl)%Z -> (0 <= yl)%Z ->
    IZR xl <= x * IZR unit <= IZR xh -> IZR yl <= y * IZR unit <= IZR yh ->
    (0 <= down (xl * yl))%Z /\
    IZR (down (xl * yl)) <= x * y * IZR unit <= IZR (up (xh * yh))).
  { intros xl xh yl yh x y Hxl Hyl Hx Hy. split.
    { unfold down. apply Z.div_pos; [lia | reflexivity]. }
    apply IZR_le in Hxl. apply IZR_le in Hyl.
    pose proof (down_le (xl * yl)) as D. pose proof (up_ge (xh * yh)) as P.
    rewrite mult_IZR in D, P.
    pose proof (Rmult_le_compat _ _ _ _ Hxl Hyl (proj1 Hx) (proj1 Hy)).
    assert (0 <= x * IZR unit) as X0 by lra. assert (0 <= y * IZR unit) as Y0 by lra.
    pose proof (Rmult_le_compat _ _ _ _ X0 Y0 (proj2 Hx) (proj2 Hy)).
    split; apply (Rmult_le_reg_r (IZR unit)); try assumption; lra. }
  induction p as [q IH | q IH |]; cbn [power].
  - rewrite Pos2Nat.inj_xI. destruct IH as (I0 & IH).
    replace (S (2 * Pos.to_nat q)) with ((Pos.to_nat q + Pos.to_nat q) + 1)%nat by lia.
    rewrite !pow_add, pow_1.
    pose proof (Step _ _ _ _ _ _ I0 I0 IH IH) as (S0 & S1).
    apply (Step _ _ _ _ _ _ S0 Hlo S1 Hr).
  - rewrite Pos2Nat.inj_xO.
    replace (2 * Pos.to_nat q)%nat with (Pos.to_nat q + Pos.to_nat q)%nat by lia.
    rewrite pow_add. destruct IH as (I0 & IH). apply (Step _ _ _ _ _ _ I0 I0 IH IH).
  - change (Pos.to_nat 1) with 1%nat. rewrite pow_1. split; assumption.
Qed.

(** From kappa = 10^4 the error is below 10^-6 after 69,078 steps, not after 69,077. *)
Theorem d5_slow_scenario :
  let r := (10 ^ 4 - 1) / (10 ^ 4 + 1) in
  r ^ Pos.to_nat 69078 <= / 10 ^ 6 < r ^ Pos.to_nat 69077.
Proof.
  intros r. pose proof unit_pos as U.
  set (lo := (9999 * unit / 10001)%Z). set (hi := (lo + 1)%Z).
  assert (Hlo : (0 <= lo)%Z) by (unfold lo; apply Z.div_pos; [unfold unit; lia | lia]).
  assert (Hr : IZR lo <= r * IZR unit <= IZR hi).
  { assert (E : r * IZR unit * 10001 = IZR (9999 * unit))
      by (rewrite mult_IZR; unfold r; field).
    pose proof (Z.mul_div_le (9999 * unit) 10001 ltac:(lia)) as A.
    pose proof (Z.mul_succ_div_gt (9999 * unit) 10001 ltac:(lia)) as B.
    fold lo in A, B. apply IZR_le in A. apply IZR_lt in B.
    rewrite <- E, mult_IZR in A, B. rewrite succ_IZR in B.
    unfold hi. rewrite plus_IZR. lra. }
  split.
  - pose proof (power_enclosed r lo hi 69078 Hlo Hr) as (_ & _ & H).
    assert (C : (power up hi 69078 * 10 ^ 6 <= unit)%Z) by (vm_compute; discriminate).
    apply IZR_le in C. rewrite mult_IZR in C.
    apply (Rmult_le_reg_r (IZR unit)); [assumption |]. lra.
  - pose proof (power_enclosed r lo hi 69077 Hlo Hr) as (_ & H & _).
    assert (C : (unit < power down lo 69077 * 10 ^ 6)%Z) by (vm_compute; reflexivity).
    apply IZR_lt in C. rewrite mult_IZR in C.
    apply (Rmult_lt_reg_r (IZR unit)); [assumption |]. lra.
Qed.

Definition theorems :=
  (@d5_best_rate, @d5_best_step_attains, @d5_best_step_unique, @d5_rate_kappa,
   @d5_slow_scenario).

Print Assumptions theorems.
