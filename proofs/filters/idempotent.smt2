; Claim F8: the exceptions to "only 0 and the identity are idempotent".
(set-logic QF_NRA)

; on the line, a three-tap filter a b c with (a + b z + c z^2)^2 = z (a + b z + c z^2)
(push)
(declare-const a Real)
(declare-const b Real)
(declare-const c Real)
(assert (= (* a a) 0))
(assert (= (* 2 a b) a))
(assert (= (+ (* b b) (* 2 a c)) b))
(assert (= (* 2 b c) c))
(assert (= (* c c) 0))
(push)
(assert (not (or (and (= a 0) (= b 0) (= c 0)) (and (= a 0) (= b 1) (= c 0)))))
; expect: unsat
(check-sat)
(pop)
; planted: only the zero filter
(assert (not (= b 0)))
; expect: sat
(check-sat)
(pop)

; on a ring of three pixels the square wraps round, and other filters are idempotent
(push)
(declare-const a Real)
(declare-const b Real)
(declare-const c Real)
(assert (= (+ (* b b) (* 2 a c)) b))
(assert (= (+ (* 2 a b) (* c c)) a))
(assert (= (+ (* 2 b c) (* a a)) c))
; planted: the line's answer holds on the ring
(push)
(assert (not (or (and (= a 0) (= b 0) (= c 0)) (and (= a 0) (= b 1) (= c 0)))))
; expect: sat
(check-sat)
(pop)
; the mean of the three is one of them
(push)
(assert (and (= a (/ 1 3)) (= b (/ 1 3)) (= c (/ 1 3))))
; expect: sat
(check-sat)
(pop)
; and the only ones are 0, the identity, the mean, and the identity less the mean: the sum s of the
; taps is its own square, hence 0 or 1; in both cases a = c; and then those four are left
(define-fun s () Real (+ a b c))
(push)
(assert (not (= (* s s) s)))
; expect: unsat
(check-sat)
(pop)
(push)
(assert (= s 0))
(assert (not (= a c)))
; expect: unsat
(check-sat)
(pop)
(push)
(assert (= s 1))
(assert (not (= a c)))
; expect: unsat
(check-sat)
(pop)
(assert (= a c))
(assert (not (and (= a 0) (= b 0))))
(assert (not (and (= a 0) (= b 1))))
(assert (not (and (= a (/ 1 3)) (= b (/ 1 3)))))
(assert (not (and (= a (/ (- 1) 3)) (= b (/ 2 3)))))
; expect: unsat
(check-sat)
(pop)

; the median of three flips an alternating row, for ever: median(1, 0, 1) = 1 and (0, 1, 0) = 0
(push)
(define-fun min ((s Real) (t Real)) Real (ite (<= s t) s t))
(define-fun max ((s Real) (t Real)) Real (ite (<= s t) t s))
(define-fun median ((p Real) (q Real) (r Real)) Real (max (min p q) (min (max p q) r)))
(declare-const p Real)
(declare-const q Real)
(assert (not (and (= (median q p q) q) (= (median p q p) p))))
; expect: unsat
(check-sat)
(pop)
