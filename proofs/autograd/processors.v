(** Claim X3: the same bits on every processor.

    A processor may take the elements of a list n at a time (its lanes), share pieces of work
    among workers and have them done in any order. Whatever [f] and [op] do, rounded as they
    may be, what is computed is the same: nothing below asks [op] to be associative or
    commutative. The control shows that it is not so where lanes are added to each other. *)

Require Import List Arith Lia Permutation.
Import ListNotations.

(** ** Lanes *)

Section Lanes.
Context {A B : Type}.

(** The first n, the next n, ..., and what is left; [fuel] is the number of pieces at most. *)
Fixpoint cut (fuel n : nat) (l : list A) : list (list A) :=
  match fuel, l with
  | S fuel, _ :: _ => firstn n l :: cut fuel n (skipn n l)
  | _, _ => []
  end.

Definition pieces (n : nat) (l : list A) : list (list A) := cut (length l) n l.

Lemma cut_whole fuel n l : 0 < n -> length l <= fuel -> concat (cut fuel n l) = l.
Proof.
  intros Hn. revert l. induction fuel as [| fuel IH]; intros [| x l] H; try easy.
  destruct n as [| n]; [lia |]. cbn [cut concat firstn skipn app]. f_equal.
  rewrite IH; [apply firstn_skipn |]. rewrite skipn_length. cbn in H. lia.
Qed.

(** Vectors of n lanes, each lane by itself: the same for every n. *)
Theorem x3_lanes_by_themselves (f : A -> B) n l : 0 < n ->
  concat (map (map f) (pieces n l)) = map f l.
Proof.
  intros Hn. rewrite <- concat_map. unfold pieces. now rewrite cut_whole.
Qed.

End Lanes.

(** ** Sums, a lane each *)

Section Columns.
Context {A B : Type} (op : B -> A -> B).

(** One more row is added to the sums, lane by lane. *)
Fixpoint add_row (sums : list B) (row : list A) : list B :=
  match sums, row with
  | s :: sums, x :: row => op s x :: add_row sums row
  | _, _ => []
  end.

Definition add_rows (sums : list B) (rows : list (list A)) : list B := fold_left add_row rows sums.

Lemma add_row_app s s' r r' : length s = length r ->
  add_row (s ++ s') (r ++ r') = add_row s r ++ add_row s' r'.
Proof.
  revert r. induction s as [| x s IH]; intros [| y r] H; cbn in *; try lia; [reflexivity |].
  f_equal. apply IH. lia.
Qed.

Lemma add_row_length s r : length s = length r -> length (add_row s r) = length s.
Proof.
  revert r. induction s as [| x s IH]; intros [| y r] H; cbn in *; try lia. f_equal. apply IH. lia.
Qed.

(** Columns that are divided among vectors, or among workers: left and right are summed apart,
    in the order of the rows, and lie side by side. By induction so do any number of parts. *)
Theorem x3_columns_side_by_side (s s' : list B) (rows : list (list A * list A)) :
  Forall (fun r => length (fst r) = length s) rows ->
  add_rows (s ++ s') (map (fun r => fst r ++ snd r) rows) =
  add_rows s (map fst rows) ++ add_rows s' (map snd rows).
Proof.
  revert s s'. unfold add_rows. induction rows as [| [r r'] rows IH]; intros s s' H; [reflexivity |].
  inversion H as [| ? ? Hr Hrows]; subst. cbn [map fold_left fst snd] in *.
  rewrite add_row_app by easy. apply IH.
  rewrite add_row_length by easy. exact Hrows.
Qed.

End Columns.

(** ** Pieces, whoever computes them *)

Section Pieces.
Context {A B : Type} (f : A -> B).

(** What is written: (place, value) in the order of writing. A place that is read is found. *)
Definition written (tasks : list (nat * A)) : list (nat * B) :=
  map (fun t => (fst t, f (snd t))) tasks.

Fixpoint read (place : nat) (memory : list (nat * B)) : option B :=
  match memory with
  | [] => None
  | (p, v) :: memory => if p =? place then Some v else read place memory
  end.

Lemma read_in place v memory : NoDup (map fst memory) -> In (place, v) memory -> read place memory = Some v.
Proof.
  induction memory as [| [p w] memory IH]; intros N H; [destruct H |]. cbn in *.
  inversion N as [| ? ? Hp Hn]; subst. destruct H as [H | H].
  - injection H as -> ->. now rewrite Nat.eqb_refl.
  - destruct (Nat.eqb_spec p place) as [-> |]; [| now apply IH].
    exfalso. apply Hp. change place with (fst (place, v)). now apply in_map.
Qed.

Lemma read_not_in place memory : ~ In place (map fst memory) -> read place memory = None.
Proof.
  induction memory as [| [p w] memory IH]; intros H; [reflexivity |]. cbn in *.
  destruct (Nat.eqb_spec p place) as [-> | _]; [exfalso | apply IH]; tauto.
Qed.

(** In any order, by any number of workers: each place is written by one piece alone, and holds
    the same afterwards. *)
Theorem x3_pieces_in_any_order (tasks tasks' : list (nat * A)) :
  NoDup (map fst tasks) -> Permutation tasks tasks' ->
  forall place, read place (written tasks) = read place (written tasks').
Proof.
  intros N P place.
  assert (W : Permutation (written tasks) (written tasks')) by now apply Permutation_map.
  assert (K : map fst (written tasks) = map fst tasks) by (unfold written; now rewrite map_map).
  assert (N' : NoDup (map fst (written tasks'))).
  { eapply Permutation_NoDup; [apply Permutation_map, W |]. now rewrite K. }
  rewrite <- K in N. destruct (in_dec Nat.eq_dec place (map fst (written tasks))) as [H | H].
  - apply in_map_iff in H as [[p v] [E H]]. cbn in E. subst p.
    rewrite (read_in place v _ N H). symmetry. apply read_in; [exact N' |].
    now apply (Permutation_in _ W).
  - rewrite read_not_in by easy. symmetry. apply read_not_in.
    intros H'. apply H. apply (Permutation_in _ (Permutation_map fst (Permutation_sym W)) H').
Qed.

End Pieces.

(** ** A tree that the shape decides *)

Inductive tree := Leaf (place : nat) | Node (left right : tree).

Fixpoint value {B} (op : B -> B -> B) (memory : nat -> B) (t : tree) : B :=
  match t with
  | Leaf place => memory place
  | Node l r => op (value op memory l) (value op memory r)
  end.

(** Whatever was computed in the pieces alike is combined alike. *)
Theorem x3_the_tree_of_equal_pieces {B} (op : B -> B -> B) m m' t :
  (forall place, m place = m' place) -> value op m t = value op m' t.
Proof. intros H. induction t as [| l IHl r IHr]; cbn; [apply H | now rewrite IHl, IHr]. Qed.

(** ** Control: a sum over the lanes at hand

    Numbers of four significant bits, as many as matter here: beyond 16 a sum keeps even numbers
    alone. *)
Definition rounded_sum (a b : nat) : nat :=
  let s := a + b in if s <=? 16 then s else s / 2 * 2.

(** n lanes, each of which sums every n-th number, and then the lanes. *)
Definition lane_sum (n : nat) (l : list nat) : nat :=
  fold_left rounded_sum
    (fold_left (fun sums part => map (fun sx => rounded_sum (fst sx) (snd sx)) (combine sums part))
      (pieces n l) (repeat 0 n)) 0.

Theorem x3_control_lane_sums : ~ forall n m l, 0 < n -> 0 < m -> lane_sum n l = lane_sum m l.
Proof.
  intros H. specialize (H 1 2 [16; 1; 0; 1] ltac:(lia) ltac:(lia)). vm_compute in H. discriminate H.
Qed.

Definition theorems :=
  (@x3_lanes_by_themselves, @x3_columns_side_by_side, @x3_pieces_in_any_order,
   @x3_the_tree_of_equal_pieces, @x3_control_lane_sums).

Print Assumptions theorems.
