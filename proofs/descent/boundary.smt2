; Claim D3 in floating point (IEEE binary32): on the boundary e c = 2 the update
; w - (2 w) gives -w, bit for bit, for every finite w whose double is finite.
; The gradient c w and the product e (c w) scale by powers of two; here c = 2^-3, e = 2^4.
(set-logic QF_FP)
(define-sort F () (_ FloatingPoint 8 24))
(declare-const w F)
(define-fun c () F ((_ to_fp 8 24) RNE 0.125))
(define-fun e () F ((_ to_fp 8 24) RNE 16.0))
(define-fun next () F (fp.sub RNE w (fp.mul RNE e (fp.mul RNE c w))))
(define-fun doubled () F (fp.add RNE w w))
(assert (not (fp.isNaN w)))
(assert (not (fp.isInfinite w)))
(assert (not (fp.isInfinite doubled)))

; away from underflow of c w (w normal, and 2^3 times the least normal number)
(push)
(assert (fp.leq ((_ to_fp 8 24) RNE 0.0000000000000000000000000000000000001) (fp.abs w)))
(assert (not (fp.eq next (fp.neg w))))
; expect: unsat
(check-sat)
(pop)

; planted: it holds for subnormal w too (c w loses bits)
(push)
(assert (not (fp.eq next (fp.neg w))))
; expect: sat
(check-sat)
(pop)

; planted: it holds for any step with fl(e c) = 2, such as c = 3, e = fl(2 / 3)
(push)
(define-fun third () F ((_ to_fp 8 24) RNE 3.0))
(define-fun step () F (fp.div RNE ((_ to_fp 8 24) RNE 2.0) third))
(assert (fp.leq ((_ to_fp 8 24) RNE 1.0) (fp.abs w)))
(assert (not (fp.eq (fp.sub RNE w (fp.mul RNE step (fp.mul RNE third w))) (fp.neg w))))
; expect: sat
(check-sat)
(pop)
