; Claim I1 over the reals, split so that each step is easy: per axis the overlap is at
; most both lengths (linear), and products keep the order (bilinear).
(set-logic QF_NRA)
(define-fun max ((s Real) (t Real)) Real (ite (<= s t) t s))
(define-fun min ((s Real) (t Real)) Real (ite (<= s t) s t))
(declare-const p Real)
(declare-const q Real)
(declare-const s Real)
(declare-const t Real)
(define-fun overlap () Real (max 0 (- (min q t) (max p s))))
(assert (<= p q))
(assert (<= s t))

; 0 <= overlap <= both lengths
(push)
(assert (or (< overlap 0) (> overlap (- q p)) (> overlap (- t s))))
; expect: unsat
(check-sat)
(pop)

; planted: without the clamp at 0
(push)
(assert (< (- (min q t) (max p s)) 0))
; expect: sat
(check-sat)
(pop)

; planted: for boxes with their ends in the wrong order
(push)
(declare-const p2 Real)
(declare-const q2 Real)
(assert (> p2 q2))
(assert (> (max 0 (- (min q2 t) (max p2 s))) (- q2 p2)))
; expect: sat
(check-sat)
(pop)

; from the axes to the areas: I <= A, I <= B, hence 0 <= I <= U
(push)
(declare-const ow Real)
(declare-const oh Real)
(declare-const aw Real)
(declare-const ah Real)
(declare-const bw Real)
(declare-const bh Real)
(assert (and (<= 0 ow) (<= ow aw) (<= ow bw)))
(assert (and (<= 0 oh) (<= oh ah) (<= oh bh)))
(push)
(assert (> (* ow oh) (* aw ah)))
; expect: unsat
(check-sat)
(pop)
(declare-const i Real)
(declare-const areaA Real)
(declare-const areaB Real)
(assert (and (<= 0 i) (<= i areaA) (<= i areaB)))
(push)
(assert (or (< i 0) (> i (- (+ areaA areaB) i))))
; expect: unsat
(check-sat)
(pop)
; planted: the symmetric difference a + b - 2 i in place of the union
(push)
(assert (> i (- (+ areaA areaB) (* 2 i))))
; expect: sat
(check-sat)
(pop)
(pop)
