(** Claims F1 to F9, in exact arithmetic on the infinite plane.

    An image is a function of the row u and the column v; a 3x3 filter is nine taps
    a b c / d e f / g h i, and filtering is correlation:
    y(u, v) = sum of w[p, q] x(u + p, v + q), p, q in {-1, 0, 1}. *)

Require Import Reals ZArith Lra Lia Psatz.
Open Scope R_scope.

Definition image := Z -> Z -> R.

Record filter := Taps { a : R; b : R; c : R; d : R; e : R; f : R; g : R; h : R; i : R }.

Definition correlate (w : filter) (x : image) : image := fun u v =>
  a w * x (u - 1)%Z (v - 1)%Z + b w * x (u - 1)%Z v + c w * x (u - 1)%Z (v + 1)%Z +
  d w * x u (v - 1)%Z + e w * x u v + f w * x u (v + 1)%Z +
  g w * x (u + 1)%Z (v - 1)%Z + h w * x (u + 1)%Z v + i w * x (u + 1)%Z (v + 1)%Z.

(** Convolution reads the image the other way round. *)
Definition convolve (w : filter) (x : image) : image := fun u v =>
  a w * x (u + 1)%Z (v + 1)%Z + b w * x (u + 1)%Z v + c w * x (u + 1)%Z (v - 1)%Z +
  d w * x u (v + 1)%Z + e w * x u v + f w * x u (v - 1)%Z +
  g w * x (u - 1)%Z (v + 1)%Z + h w * x (u - 1)%Z v + i w * x (u - 1)%Z (v - 1)%Z.

Definition rotate (w : filter) : filter :=
  Taps (i w) (h w) (g w) (f w) (e w) (d w) (c w) (b w) (a w).

Definition gain (w : filter) : R := a w + b w + c w + d w + e w + f w + g w + h w + i w.
Definition energy (w : filter) : R :=
  a w ^ 2 + b w ^ 2 + c w ^ 2 + d w ^ 2 + e w ^ 2 + f w ^ 2 + g w ^ 2 + h w ^ 2 + i w ^ 2.

Definition box : filter :=
  Taps (1 / 9) (1 / 9) (1 / 9) (1 / 9) (1 / 9) (1 / 9) (1 / 9) (1 / 9) (1 / 9).
Definition binomial : filter :=
  Taps (1 / 16) (2 / 16) (1 / 16) (2 / 16) (4 / 16) (2 / 16) (1 / 16) (2 / 16) (1 / 16).
Definition sobel_x : filter := Taps (-1) 0 1 (-2) 0 2 (-1) 0 1.
Definition laplacian : filter := Taps 0 1 0 1 (-4) 1 0 1 0.
Definition sharpen_horizontal : filter := Taps 0 0 0 (-1) 3 (-1) 0 0 0.
Definition identity : filter := Taps 0 0 0 0 1 0 0 0 0.
Definition zero : filter := Taps 0 0 0 0 0 0 0 0 0.

Ltac open := unfold correlate, convolve, gain, energy, rotate, box, binomial, sobel_x,
  laplacian, sharpen_horizontal, identity, zero in *; cbn [a b c d e f g h i] in *.

(** ** F1: the gain *)

Theorem f1_constant w k u v : correlate w (fun _ _ => k) u v = gain w * k.
Proof. open. ring. Qed.

Theorem f1_gains :
  gain box = 1 /\ gain binomial = 1 /\ gain sharpen_horizontal = 1 /\
  gain sobel_x = 0 /\ gain laplacian = 0.
Proof. open. lra. Qed.

(** ** F2: Sobel *)

Theorem f2_ramp k u v : correlate sobel_x (fun _ q => IZR q + k) u v = 8.
Proof. open. rewrite minus_IZR, plus_IZR. lra. Qed.

(** A step of height s between the columns 0 and 1. *)
Definition step (s : R) : image := fun _ q => if (q <=? 0)%Z then 0 else s.

Theorem f2_step s u v :
  correlate sobel_x (step s) u v = if ((0 <=? v) && (v <=? 1))%bool%Z then 4 * s else 0.
Proof.
  open. unfold step.
  destruct (Z.leb_spec (v - 1) 0), (Z.leb_spec v 0), (Z.leb_spec (v + 1) 0),
    (Z.leb_spec 0 v), (Z.leb_spec v 1); try lia; cbn; ring.
Qed.

(** The response to cos(wx q + wy p) and sin(...): amplitude 2 sin(wx) (2 + 2 cos(wy)). *)
Theorem f2_response wx wy u v :
  correlate sobel_x (fun p q => cos (wx * IZR q + wy * IZR p)) u v =
  - (2 * sin wx * (2 + 2 * cos wy)) * sin (wx * IZR v + wy * IZR u).
Proof.
  open. rewrite !minus_IZR, !plus_IZR.
  replace (wx * (IZR v + 1) + wy * (IZR u + 1)) with (wx * IZR v + wy * IZR u + (wx + wy)) by ring.
  replace (wx * (IZR v - 1) + wy * (IZR u + 1)) with (wx * IZR v + wy * IZR u - (wx - wy)) by ring.
  replace (wx * (IZR v + 1) + wy * (IZR u - 1)) with (wx * IZR v + wy * IZR u + (wx - wy)) by ring.
  replace (wx * (IZR v - 1) + wy * (IZR u - 1)) with (wx * IZR v + wy * IZR u - (wx + wy)) by ring.
  replace (wx * (IZR v - 1) + wy * IZR u) with (wx * IZR v + wy * IZR u - wx) by ring.
  replace (wx * (IZR v + 1) + wy * IZR u) with (wx * IZR v + wy * IZR u + wx) by ring.
  repeat (rewrite cos_plus || rewrite cos_minus || rewrite sin_plus || rewrite sin_minus). ring.
Qed.

(** Control: "Sobel fires on every image that is not constant". *)
Theorem f2_control_stripes : exists x : image,
  x 0%Z 0%Z <> x 0%Z 1%Z /\ forall u v, correlate sobel_x x u v = 0.
Proof.
  exists (fun _ q => if Z.even q then 1 else 0). cbn. split; [lra |]. intros u v. open.
  rewrite Z.even_sub, Z.even_add. cbn. destruct (Z.even v); cbn; ring.
Qed.

(** ** F3: the Laplacian *)

Theorem f3_affine k s t u v :
  correlate laplacian (fun p q => k + s * IZR p + t * IZR q) u v = 0.
Proof. open. rewrite !minus_IZR, !plus_IZR. ring. Qed.

Theorem f3_paraboloid u v :
  correlate laplacian (fun p q => IZR p ^ 2 + IZR q ^ 2) u v = 4.
Proof. open. rewrite !minus_IZR, !plus_IZR. ring. Qed.

(** ** F4, F5: responses. Each filter is symmetric, so cos(...) leaves scaled by H. *)

Ltac waves wx wy u v :=
  open; rewrite ?minus_IZR, ?plus_IZR;
  rewrite ?Rmult_minus_distr_l, ?Rmult_plus_distr_l, ?Rmult_1_r;
  replace (wx * IZR v - wx + (wy * IZR u - wy)) with (wx * IZR v + wy * IZR u - (wx + wy)) by ring;
  replace (wx * IZR v + (wy * IZR u - wy)) with (wx * IZR v + wy * IZR u - wy) by ring;
  replace (wx * IZR v + wx + (wy * IZR u - wy)) with (wx * IZR v + wy * IZR u + (wx - wy)) by ring;
  replace (wx * IZR v - wx + wy * IZR u) with (wx * IZR v + wy * IZR u - wx) by ring;
  replace (wx * IZR v + wx + wy * IZR u) with (wx * IZR v + wy * IZR u + wx) by ring;
  replace (wx * IZR v - wx + (wy * IZR u + wy)) with (wx * IZR v + wy * IZR u - (wx - wy)) by ring;
  replace (wx * IZR v + (wy * IZR u + wy)) with (wx * IZR v + wy * IZR u + wy) by ring;
  replace (wx * IZR v + wx + (wy * IZR u + wy)) with (wx * IZR v + wy * IZR u + (wx + wy)) by ring;
  repeat (rewrite cos_plus || rewrite cos_minus || rewrite sin_plus || rewrite sin_minus); field.

Theorem f4_box_response wx wy u v :
  correlate box (fun p q => cos (wx * IZR q + wy * IZR p)) u v =
  (1 + 2 * cos wx) / 3 * ((1 + 2 * cos wy) / 3) * cos (wx * IZR v + wy * IZR u).
Proof. waves wx wy u v. Qed.

Theorem f4_binomial_response wx wy u v :
  correlate binomial (fun p q => cos (wx * IZR q + wy * IZR p)) u v =
  (1 + cos wx) / 2 * ((1 + cos wy) / 2) * cos (wx * IZR v + wy * IZR u).
Proof. waves wx wy u v. Qed.

Theorem f4_box_zero_and_inversion :
  (1 + 2 * cos (2 * (PI / 3))) / 3 = 0 /\ (1 + 2 * cos PI) / 3 = - (1 / 3).
Proof. rewrite cos_2PI3, cos_PI. lra. Qed.

Theorem f4_binomial_square w : (1 + cos w) / 2 = cos (w / 2) ^ 2 /\ 0 <= (1 + cos w) / 2.
Proof.
  assert (E : (1 + cos w) / 2 = cos (w / 2) ^ 2).
  { replace w with (2 * (w / 2)) at 1 by field. rewrite cos_2a_cos. field. }
  split; [assumption |]. rewrite E. apply pow2_ge_0.
Qed.

Theorem f5_response wx wy u v :
  correlate sharpen_horizontal (fun p q => cos (wx * IZR q + wy * IZR p)) u v =
  (3 - 2 * cos wx) * cos (wx * IZR v + wy * IZR u).
Proof. waves wx wy u v. Qed.

Theorem f5_range w : 1 <= 3 - 2 * cos w <= 5.
Proof. pose proof (COS_bound w). lra. Qed.

Theorem f5_vertical_variation_unchanged (x : Z -> R) u v :
  correlate sharpen_horizontal (fun p _ => x p) u v = x u.
Proof. open. ring. Qed.

Theorem f5_overshoot s u :
  correlate sharpen_horizontal (step s) u 0%Z = - s /\
  correlate sharpen_horizontal (step s) u 1%Z = 2 * s.
Proof. open. unfold step. cbn. split; ring. Qed.

(** ** F6: noise *)

Theorem f6_energies :
  energy box = 1 / 9 /\ energy binomial = 9 / 64 /\ energy sobel_x = 12 /\
  energy laplacian = 20 /\ energy sharpen_horizontal = 11.
Proof. open. repeat split; field. Qed.

(** Among the filters of gain 1 the box lets the least noise through, and it alone. *)
Theorem f6_box_is_best w : gain w = 1 -> energy box <= energy w /\ (energy w = energy box -> w = box).
Proof.
  destruct w as [a' b' c' d' e' f' g' h' i']. open. intros H.
  assert (S : a' ^ 2 + b' ^ 2 + c' ^ 2 + d' ^ 2 + e' ^ 2 + f' ^ 2 + g' ^ 2 + h' ^ 2 + i' ^ 2 - 1 / 9
    = (a' - 1 / 9) ^ 2 + (b' - 1 / 9) ^ 2 + (c' - 1 / 9) ^ 2 + (d' - 1 / 9) ^ 2 + (e' - 1 / 9) ^ 2
    + (f' - 1 / 9) ^ 2 + (g' - 1 / 9) ^ 2 + (h' - 1 / 9) ^ 2 + (i' - 1 / 9) ^ 2) by nra.
  pose proof (pow2_ge_0 (a' - 1 / 9)). pose proof (pow2_ge_0 (b' - 1 / 9)).
  pose proof (pow2_ge_0 (c' - 1 / 9)). pose proof (pow2_ge_0 (d' - 1 / 9)).
  pose proof (pow2_ge_0 (e' - 1 / 9)). pose proof (pow2_ge_0 (f' - 1 / 9)).
  pose proof (pow2_ge_0 (g' - 1 / 9)). pose proof (pow2_ge_0 (h' - 1 / 9)).
  pose proof (pow2_ge_0 (i' - 1 / 9)).
  split; [lra |]. intros E.
  assert (Z : forall t, t ^ 2 = 0 -> t = 0) by (intros t Ht; apply Rsqr_0_uniq; unfold Rsqr; lra).
  f_equal; apply Rminus_diag_uniq, Z; lra.
Qed.

(** ** F7: averages stay within the range of the image *)

Theorem f7_range w x lo hi u v :
  0 <= a w -> 0 <= b w -> 0 <= c w -> 0 <= d w -> 0 <= e w -> 0 <= f w -> 0 <= g w ->
  0 <= h w -> 0 <= i w -> gain w = 1 -> (forall p q, lo <= x p q <= hi) ->
  lo <= correlate w x u v <= hi.
Proof.
  intros Wa Wb Wc Wd We Wf Wg Wh Wi Hgain Hx. unfold gain, correlate in *.
  assert (S : forall t p q, 0 <= t -> t * lo <= t * x p q <= t * hi).
  { intros t p q Ht. split; apply Rmult_le_compat_l; try apply Hx; assumption. }
  pose proof (S (a w) (u - 1)%Z (v - 1)%Z ltac:(assumption)).
  pose proof (S (b w) (u - 1)%Z v ltac:(assumption)).
  pose proof (S (c w) (u - 1)%Z (v + 1)%Z ltac:(assumption)).
  pose proof (S (d w) u (v - 1)%Z ltac:(assumption)).
  pose proof (S (e w) u v ltac:(assumption)).
  pose proof (S (f w) u (v + 1)%Z ltac:(assumption)).
  pose proof (S (g w) (u + 1)%Z (v - 1)%Z ltac:(assumption)).
  pose proof (S (h w) (u + 1)%Z v ltac:(assumption)).
  pose proof (S (i w) (u + 1)%Z (v + 1)%Z ltac:(assumption)).
  assert (M : forall m, m = (a w + b w + c w + d w + e w + f w + g w + h w + i w) * m)
    by (intros; rewrite Hgain; ring).
  pose proof (M lo). pose proof (M hi).
  lra.
Qed.

(** Control: without the sign condition the range is left. *)
Theorem f7_control_sharpen :
  gain sharpen_horizontal = 1 /\ (forall p q, 0 <= step 1 p q <= 1) /\
  1 < correlate sharpen_horizontal (step 1) 0%Z 1%Z.
Proof.
  rewrite (proj2 (f5_overshoot 1 0%Z)). split; [apply f1_gains |]. split; [| lra].
  intros p q. unfold step. destruct (q <=? 0)%Z; lra.
Qed.

(** ** F8: idempotent filters *)

Definition impulse : image := fun u v => if ((u =? 0) && (v =? 0))%bool%Z then 1 else 0.

(** The 25 coefficients of the filter's square are its response, twice, to an impulse. The
    corners vanish, then the sides, and the centre is its own square. *)
Theorem f8_only_zero_and_identity w :
  (forall x u v, correlate w (correlate w x) u v = correlate w x u v) <-> w = zero \/ w = identity.
Proof.
  split; [| intros [-> | ->] x u v; open; ring].
  intros H. assert (Q : forall t, t * t = 0 -> t = 0) by (intros; apply Rsqr_0_uniq; assumption).
  destruct w as [a' b' c' d' e' f' g' h' i'].
  assert (E : forall u v, correlate (Taps a' b' c' d' e' f' g' h' i')
    (correlate (Taps a' b' c' d' e' f' g' h' i') impulse) u v
    = correlate (Taps a' b' c' d' e' f' g' h' i') impulse u v) by (intros; apply H).
  unfold correlate, impulse in E. cbn [a b c d e f g h i] in E. clear H.
  pose proof (E 2%Z 2%Z) as Ea. pose proof (E 2%Z (-2)%Z) as Ec.
  pose proof (E (-2)%Z 2%Z) as Eg. pose proof (E (-2)%Z (-2)%Z) as Ei.
  cbn in Ea, Ec, Eg, Ei.
  assert (a' = 0) by (apply Q; lra). assert (c' = 0) by (apply Q; lra).
  assert (g' = 0) by (apply Q; lra). assert (i' = 0) by (apply Q; lra).
  subst. clear Ea Ec Eg Ei.
  pose proof (E 2%Z 0%Z) as Eb. pose proof (E (-2)%Z 0%Z) as Eh.
  pose proof (E 0%Z 2%Z) as Ed. pose proof (E 0%Z (-2)%Z) as Ef.
  cbn in Eb, Eh, Ed, Ef.
  assert (b' = 0) by (apply Q; lra). assert (h' = 0) by (apply Q; lra).
  assert (d' = 0) by (apply Q; lra). assert (f' = 0) by (apply Q; lra).
  subst. clear Eb Eh Ed Ef. pose proof (E 0%Z 0%Z) as Ee. cbn in Ee.
  assert (Z : e' * (e' - 1) = 0) by lra. apply Rmult_integral in Z.
  destruct Z; [left | right]; unfold zero, identity; f_equal; lra.
Qed.

(** ** F9: linear, shift-equivariant, and a rotation away from convolution *)

Theorem f9_linear w x y s t u v :
  correlate w (fun p q => s * x p q + t * y p q) u v =
  s * correlate w x u v + t * correlate w y u v.
Proof. open. ring. Qed.

Theorem f9_shift_equivariant w x m n u v :
  correlate w (fun p q => x (p + m)%Z (q + n)%Z) u v = correlate w x (u + m)%Z (v + n)%Z.
Proof.
  unfold correlate.
  replace (u + m - 1)%Z with (u - 1 + m)%Z by ring. replace (v + n - 1)%Z with (v - 1 + n)%Z by ring.
  replace (u + m + 1)%Z with (u + 1 + m)%Z by ring. replace (v + n + 1)%Z with (v + 1 + n)%Z by ring.
  reflexivity.
Qed.

Theorem f9_convolution_is_rotated w x u v : convolve w x u v = correlate (rotate w) x u v.
Proof. open. ring. Qed.

Theorem f9_sobel_changes_sign x u v : convolve sobel_x x u v = - correlate sobel_x x u v.
Proof. open. ring. Qed.

Definition theorems :=
  (@f1_constant, @f1_gains, @f2_ramp, @f2_step, @f2_response, @f2_control_stripes, @f3_affine,
   @f3_paraboloid, @f4_box_response, @f4_binomial_response, @f4_box_zero_and_inversion,
   @f4_binomial_square, @f5_response, @f5_range, @f5_vertical_variation_unchanged,
   @f5_overshoot, @f6_energies, @f6_box_is_best, @f7_range, @f7_control_sharpen,
   @f8_only_zero_and_identity, @f9_linear, @f9_shift_equivariant,
   @f9_convolution_is_rotated, @f9_sobel_changes_sign).

Print Assumptions theorems.
