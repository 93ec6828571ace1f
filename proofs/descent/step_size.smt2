; Claims D2, D5, D6 over the reals: each claim's negation has no solution, each planted
; mistake has one. c is the larger curvature, m the smaller, e the step.
(set-logic QF_NRA)
(declare-const a Real)
(declare-const b Real)
(declare-const e Real)
(define-fun larger () Real (ite (<= a b) b a))
(define-fun smaller () Real (ite (<= a b) a b))
(define-fun contracts ((c Real)) Bool (and (< (- 1) (- 1 (* e c))) (< (- 1 (* e c)) 1)))
(assert (> a 0))
(assert (> b 0))

; D2: both factors are below 1 in size iff 0 < e < 2 / max(a, b)
(push)
(assert (distinct (and (contracts a) (contracts b)) (and (< 0 e) (< (* e larger) 2))))
; expect: unsat
(check-sat)
(pop)

; planted: <= for <
(push)
(assert (distinct (and (contracts a) (contracts b)) (and (< 0 e) (<= (* e larger) 2))))
; expect: sat
(check-sat)
(pop)

; planted: min for max
(push)
(assert (distinct (and (contracts a) (contracts b)) (and (< 0 e) (< (* e smaller) 2))))
; expect: sat
(check-sat)
(pop)

; planted: e <= 1 / L is necessary
(push)
(assert (and (contracts a) (contracts b) (> (* e larger) 1)))
; expect: sat
(check-sat)
(pop)

; D5: no step has a rate below (max - min) / (max + min)
(push)
(declare-const r Real)
(assert (<= (- 1 (* e a)) r))
(assert (<= (- (* e a) 1) r))
(assert (<= (- 1 (* e b)) r))
(assert (<= (- (* e b) 1) r))
(assert (< (* r (+ larger smaller)) (- larger smaller)))
; expect: unsat
(check-sat)
(pop)

; planted: no step has a rate below 1 - min / max, that of e = 1 / L
(push)
(declare-const r Real)
(assert (<= (- 1 (* e a)) r))
(assert (<= (- (* e a) 1) r))
(assert (<= (- 1 (* e b)) r))
(assert (<= (- (* e b) 1) r))
(assert (< (* r larger) (- larger smaller)))
; expect: sat
(check-sat)
(pop)

; D6: the loss falls or stays from each start iff 0 <= e <= 2 / max(a, b); first "if"
(push)
(declare-const x Real)
(declare-const y Real)
(define-fun p () Real (- x (* e a x)))
(define-fun q () Real (- y (* e b y)))
(assert (<= 0 e))
(assert (<= (* e a) 2))
(assert (<= (* e b) 2))
(assert (> (+ (* a p p) (* b q q)) (+ (* a x x) (* b y y))))
; expect: unsat
(check-sat)
(pop)

; planted: with max replaced by min the loss can rise
(push)
(declare-const x Real)
(declare-const y Real)
(define-fun p () Real (- x (* e a x)))
(define-fun q () Real (- y (* e b y)))
(assert (<= 0 e))
(assert (<= (* e smaller) 2))
(assert (> (+ (* a p p) (* b q q)) (+ (* a x x) (* b y y))))
; expect: sat
(check-sat)
(pop)
