(** Claim C1: Winograd's transforms, exactly.

    F(m, r) computes m outputs of an r-tap correlation by n = m + r - 1 products:
    y = A^T ((G g) . (B^T d)). It is correct iff for all k, j, l
      sum_i A[k,i] G[i,j] B[i,l] = 1 if l = k + j, else 0,
    and the two-dimensional F(m x m, r x r) is the product of two such sums, one an axis.
    Everything here is computed over the rationals: no axioms. *)

Require Import QArith List Arith.
Import ListNotations.
Open Scope Q_scope.

Definition matrix := list (list Q).

Definition at_ (m : matrix) (r c : nat) : Q := nth c (nth r m []) 0.
Definition sum (n : nat) (t : nat -> Q) : Q := fold_right Qplus 0 (map t (seq 0 n)).
Definition all (n : nat) (p : nat -> bool) : bool := forallb p (seq 0 n).
Definition absolute (q : Q) : Q := if Qle_bool 0 q then q else - q.
Definition largest (n : nat) (t : nat -> Q) : Q :=
  fold_right (fun q r => if Qle_bool r q then q else r) 0 (map t (seq 0 n)).

(** Transforms: B^T is n x n, G is n x r, A^T is m x n. *)
Record transform := Transform { m : nat; r : nat; n : nat; Bt : matrix; G : matrix; At : matrix }.

Definition f23 : transform := Transform 2 3 4
  [[1; 0; -(1); 0]; [0; 1; 1; 0]; [0; -(1); 1; 0]; [0; 1; 0; -(1)]]
  [[1; 0; 0]; [1#2; 1#2; 1#2]; [1#2; -(1#2); 1#2]; [0; 0; 1]]
  [[1; 1; 1; 0]; [0; 1; -(1); -(1)]].

(** With the points 0, a, -a, b, -b and infinity: B^T is one for all m and r with m + r = 7. *)
Definition six_points (a b : Q) : matrix :=
  let a2 := a * a in let b2 := b * b in let n0 := a2 * b2 in
  [[n0; 0; -(a2 + b2); 0; 1; 0];
   [0; -(a * b2); -b2; a; 1; 0]; [0; a * b2; -b2; -a; 1; 0];
   [0; -(b * a2); -a2; b; 1; 0]; [0; b * a2; -a2; -b; 1; 0];
   [0; n0; 0; -(a2 + b2); 0; 1]].

Definition f43 (a b : Q) : transform :=
  let a2 := a * a in let b2 := b * b in
  let n0 := a2 * b2 in let na := 2 * a2 * (a2 - b2) in let nb := 2 * b2 * (b2 - a2) in
  Transform 4 3 6 (six_points a b)
  [[1 / n0; 0; 0]; [1 / na; a / na; a2 / na]; [1 / na; -a / na; a2 / na];
   [1 / nb; b / nb; b2 / nb]; [1 / nb; -b / nb; b2 / nb]; [0; 0; 1]]
  [[1; 1; 1; 1; 1; 0]; [0; a; -a; b; -b; 0]; [0; a2; a2; b2; b2; 0];
   [0; a * a2; -(a * a2); b * b2; -(b * b2); 1]].

Definition f25 (a b : Q) : transform :=
  let a2 := a * a in let b2 := b * b in
  let n0 := a2 * b2 in let na := 2 * a2 * (a2 - b2) in let nb := 2 * b2 * (b2 - a2) in
  Transform 2 5 6 (six_points a b)
  [[1 / n0; 0; 0; 0; 0];
   [1 / na; a / na; a2 / na; a * a2 / na; a2 * a2 / na]; [1 / na; -a / na; a2 / na; -(a * a2) / na; a2 * a2 / na];
   [1 / nb; b / nb; b2 / nb; b * b2 / nb; b2 * b2 / nb]; [1 / nb; -b / nb; b2 / nb; -(b * b2) / nb; b2 * b2 / nb];
   [0; 0; 0; 0; 1]]
  [[1; 1; 1; 1; 1; 0]; [0; a; -a; b; -b; 1]].

(** The points in common use, and those of this library. *)
Definition usual : transform := f43 1 2.
Definition ours : transform := f43 (5#8) (3#2).
Definition ours5 : transform := f25 (5#8) (3#2).

(** One axis: the trilinear form of output k, tap j, input l. *)
Definition form (t : transform) (k j l : nat) : Q :=
  sum (n t) (fun i => at_ (At t) k i * at_ (G t) i j * at_ (Bt t) i l).

Definition correlates (t : transform) : bool :=
  all (m t) (fun k => all (r t) (fun j => all (n t) (fun l =>
    Qeq_bool (form t k j l) (if (l =? k + j)%nat then 1 else 0)))).

Theorem c1_f23_correct : correlates f23 = true.
Proof. vm_compute. reflexivity. Qed.

Theorem c1_f43_correct : correlates ours = true /\ correlates usual = true.
Proof. split; vm_compute; reflexivity. Qed.

Theorem c1_f25_correct : correlates ours5 = true /\ correlates (f25 1 2) = true.
Proof. split; vm_compute; reflexivity. Qed.

(** Two axes, with all four sums written out: output (k, k'), tap (j, j'), input (l, l'). *)
Definition form2 (t : transform) (k k' j j' l l' : nat) : Q :=
  sum (n t) (fun i => sum (n t) (fun i' =>
    (at_ (At t) k i * at_ (At t) k' i') * (at_ (G t) i j * at_ (G t) i' j') *
    (at_ (Bt t) i l * at_ (Bt t) i' l'))).

Definition correlates2 (t : transform) : bool :=
  all (m t) (fun k => all (m t) (fun k' => all (r t) (fun j => all (r t) (fun j' =>
    all (n t) (fun l => all (n t) (fun l' =>
      Qeq_bool (form2 t k k' j j' l l')
        (if ((l =? k + j) && (l' =? k' + j'))%nat%bool then 1 else 0))))))).

Theorem c1_f23_correct_in_two_dimensions : correlates2 f23 = true.
Proof. vm_compute. reflexivity. Qed.

(** ** Amplification

    With |d| <= 1 and |g| <= 1 the sum of the absolute values of all terms, along one axis,
    is sum_i |A[k,i]| (sum_j |G[i,j]|) (sum_l |B[i,l]|). Direct evaluation has r. The library's
    points have about half of the usual ones': 23.75 for 48, with five taps 33.65 for 57.67. *)

Definition amplification (t : transform) : Q :=
  largest (m t) (fun k => sum (n t) (fun i => absolute (at_ (At t) k i) *
    sum (r t) (fun j => absolute (at_ (G t) i j)) * sum (n t) (fun l => absolute (at_ (Bt t) i l)))).

Theorem c1_f23_amplification : amplification f23 == 8.
Proof. reflexivity. Qed.

Theorem c1_f43_amplification : amplification ours == 423859 # 17850 /\ amplification usual == 48.
Proof. split; reflexivity. Qed.

Theorem c1_f25_amplification : amplification ours5 == 9608119 # 285600 /\ amplification (f25 1 2) == 173 # 3.
Proof. split; reflexivity. Qed.

(** Control: one wrong sign in a transform is noticed. *)
Definition wrong : transform := Transform 2 3 4
  [[1; 0; -(1); 0]; [0; 1; 1; 0]; [0; -(1); 1; 0]; [0; 1; 0; 1]] (G f23) (At f23).

Theorem c1_control_wrong_sign : correlates wrong = false.
Proof. reflexivity. Qed.

Definition theorems :=
  (@c1_f23_correct, @c1_f43_correct, @c1_f25_correct, @c1_f23_correct_in_two_dimensions,
   @c1_f23_amplification, @c1_f43_amplification, @c1_f25_amplification, @c1_control_wrong_sign).

Print Assumptions theorems.
